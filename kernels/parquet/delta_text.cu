// Operator  Parquet page decoding: DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY
// Kernels   page_decode_delta_length, page_size_delta_bytes, page_decode_delta_bytes
// Method    a block per page. One warp walks the headers of the lengths to find where the strings
//           begin; then all threads decode lengths window by window and sum them to positions.
//           Views of whole strings point into the page. Strings that share a prefix with the one
//           before are put together: a warp takes a run of strings, a lane a column of their bytes
// Cost      reads the lengths twice (their headers, then all), writes views; strings that are put
//           together: reads their suffixes, writes all their bytes
// Source    the Parquet format's Encodings.md, "Delta-length byte array" and "Delta Strings";
//           written from the specification and the idea
#include "parquet/delta.cuh"
#include "parquet/page.cuh"

#define DELTA_NOWHERE 0xffffffffu
#define DELTA_RANGE (DELTA_WINDOW / DELTA_WARPS)

/// What the decoding of whole strings has in shared memory.
struct DeltaLengths {
  DeltaStream stream;
  uint64_t text_at;               ///< first byte of the first string
  uint32_t place[DELTA_WINDOW];   ///< first byte of a string; `DELTA_NOWHERE`: it has none
  uint32_t length[DELTA_WINDOW];  ///< bytes of a string
  uint32_t length_sums[DELTA_WARPS];
  uint64_t text_sums[DELTA_WARPS];
};

/// Writes all values of a page of whole strings. False if one is malformed, or one of the lengths
/// that follow the last value's.
KERNEL_FN bool delta_lengths(const Page &page, const PageValues &values, DeltaLengths *shared) {
  const uint8_t *data = values.data;
  const uint64_t bytes = values.bytes, total = shared->stream.total;
  uint32_t length = (uint32_t)shared->stream.first;
  uint64_t end = shared->text_at + length;  // of the string before the window
  bool good = length >> 31 == 0 && end <= bytes;
  if (good && threadIdx.x == 0) {
    good = page_store_bytes(page, 0, data + shared->text_at, length);
  }
  for (uint64_t done = 1; done < total; done += DELTA_WINDOW) {
    if (threadIdx.x < WARP_LANES) delta_window(&shared->stream, data, bytes, total - done);
    __syncthreads();
    const uint32_t held = shared->stream.held;
    uint32_t lengths[DELTA_ITEMS];
    uint64_t ends[DELTA_ITEMS];
    length = delta_values(&shared->stream, data, bytes, lengths, shared->length_sums, length);
    for (uint32_t k = 0; k < DELTA_ITEMS; k++) ends[k] = delta_index(k) < held ? lengths[k] : 0;
    end = delta_sums(ends, shared->text_sums, end);
    for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
      const bool fits = lengths[k] >> 31 == 0 && ends[k] <= bytes;
      shared->place[delta_index(k)] = fits ? (uint32_t)(ends[k] - lengths[k]) : DELTA_NOWHERE;
      shared->length[delta_index(k)] = lengths[k];
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < held; i += PAGE_THREADS) {
      const uint32_t place = shared->place[i];
      good &= place != DELTA_NOWHERE;
      if (place == DELTA_NOWHERE || done + i >= values.count) continue;
      good &= page_store_bytes(page, done + i, data + place, shared->length[i]);
    }
  }
  return good;
}

/// Decodes pages of DELTA_LENGTH_BYTE_ARRAY strings: views into the page, or decimals.
///
/// Shape   pages[page_count] -> values[column rows], dense
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_delta_length(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(DeltaLengths, shared, 1);
  SHARED(uint32_t, empty, 1);  // there are no strings, and need not be
  DeltaStream *stream = &shared->stream;
  uint64_t text_at = 0;
  if (threadIdx.x < WARP_LANES) {
    text_at = delta_walk(stream, values.data, values.bytes, 0, values.count, page.level_count);
  }
  if (threadIdx.x == 0) {
    shared->text_at = text_at;
    empty[0] = values.count == 0 && delta_is_empty(stream, values.data, values.bytes, 0);
    if (stream->total) delta_start(stream, values.data, values.bytes, 0, 32);
  }
  __syncthreads();
  const bool good = empty[0] || (shared->stream.total > 0 && delta_lengths(page, values, shared));
  if (__syncthreads_and(good)) return;
  if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
  page_zero(page, 0, values.count);
}

/// A window of strings that share prefixes. In shared memory.
struct DeltaStrings {
  DeltaStream prefix_stream;          ///< bytes that a string has in common with the one before
  DeltaStream suffix_stream;          ///< bytes of its own
  uint64_t suffixes_at;               ///< first byte of the first suffix
  uint64_t target[DELTA_WINDOW + 1];  ///< where a string begins in the page's text
  uint64_t suffix_sums[DELTA_WARPS];
  uint64_t target_sums[DELTA_WARPS];
  uint32_t source[DELTA_WINDOW];  ///< where a suffix begins in the page
  uint32_t prefix[DELTA_WINDOW];  ///< bytes of a prefix
  uint32_t prefix_length_sums[DELTA_WARPS];
  uint32_t suffix_length_sums[DELTA_WARPS];
  uint32_t range_min[DELTA_WARPS];  ///< least prefix of a warp's range of the window
};

/// The string before a window, in every thread.
struct DeltaBefore {
  uint32_t prefix;  ///< its lengths, as the streams have them
  uint32_t suffix;
  uint64_t length;      ///< bytes
  uint64_t source_end;  ///< end of its suffix in the page
  uint64_t target_end;  ///< its end in the page's text
};

/// Reads the headers of a page of strings that share prefixes, and begins with string 0. False,
/// in every thread, if there is none.
/// Scope block, all threads · Memory 1 barrier · JIT yes
KERNEL_FN bool delta_strings_start(const Page &page, const PageValues &values,
                                   DeltaStrings *strings, DeltaBefore *before) {
  const uint8_t *data = values.data;
  DeltaStream *prefix = &strings->prefix_stream, *suffix = &strings->suffix_stream;
  uint64_t suffix_at = 0, suffixes_at = 0;
  if (threadIdx.x < WARP_LANES) {
    suffix_at = delta_walk(prefix, data, values.bytes, 0, values.count, page.level_count);
    const uint64_t total = prefix->total;
    suffixes_at = delta_walk(suffix, data, values.bytes, suffix_at, total, total);
  }
  if (threadIdx.x == 0) {
    strings->suffixes_at = suffixes_at;
    const bool good = prefix->total > 0 && suffix->total > 0;
    delta_start(prefix, data, values.bytes, 0, 32);
    delta_start(suffix, data, values.bytes, suffix_at, 32);
    if (!good) prefix->total = 0;
  }
  __syncthreads();
  const uint64_t length = suffix->first, at = strings->suffixes_at;
  *before = DeltaBefore{(uint32_t)prefix->first, (uint32_t)length, length, at + length, length};
  return prefix->total > 0 && prefix->first == 0 && (int64_t)length >= 0 &&
         at + length <= values.bytes && (page.element_bytes == 0 || page.element_bytes == length);
}

/// Whether the headers of a page are well-formed that needs no string: the CPU reads them all the
/// same. Scope one warp · Result in lane 0 · JIT yes
KERNEL_FN bool delta_strings_none(const Page &page, const PageValues &values,
                                  DeltaStrings *strings) {
  const uint8_t *data = values.data;
  DeltaStream *prefix = &strings->prefix_stream, *suffix = &strings->suffix_stream;
  const uint64_t bytes = values.bytes;
  const uint64_t at = delta_walk(prefix, data, bytes, 0, 0, page.level_count);
  const uint64_t total = prefix->total;
  const bool first = threadIdx.x == 0;
  __syncwarp();
  bool good = total > 0;
  if (!good && first) good = delta_is_empty(prefix, data, bytes, 0);
  __syncwarp();
  const uint64_t suffix_at = total ? at : prefix->at;
  delta_walk(suffix, data, bytes, suffix_at, total, total);
  if (!first || suffix->total) return good;
  return good && total == 0 && delta_is_empty(suffix, data, bytes, suffix_at);
}

/// Reads the next window, which begins behind the string `before` and then follows it. False, in
/// every thread, if a string is malformed. Answers in `held` how many strings there are.
/// Scope block, all threads · Result in `strings` · Memory 7 barriers, the last behind all writes ·
/// JIT yes
KERNEL_FN bool delta_strings_window(const Page &page, const PageValues &values, uint32_t wanted,
                                    DeltaStrings *strings, DeltaBefore *before, uint32_t *held) {
  const uint8_t *data = values.data;
  const uint64_t bytes = values.bytes;
  if (threadIdx.x < WARP_LANES) {
    delta_window(&strings->prefix_stream, data, bytes, wanted);
    delta_window(&strings->suffix_stream, data, bytes, wanted);
  }
  __syncthreads();
  const uint32_t count = strings->prefix_stream.held;
  uint32_t prefixes[DELTA_ITEMS], suffixes[DELTA_ITEMS];
  uint64_t ends[DELTA_ITEMS];
  before->prefix = delta_values(&strings->prefix_stream, data, bytes, prefixes,
                                strings->prefix_length_sums, before->prefix);
  before->suffix = delta_values(&strings->suffix_stream, data, bytes, suffixes,
                                strings->suffix_length_sums, before->suffix);
  bool good = true;
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    ends[k] = delta_index(k) < count ? suffixes[k] : 0;
    if (delta_index(k) < count) good &= (prefixes[k] | suffixes[k]) >> 31 == 0;
  }
  before->source_end = delta_sums(ends, strings->suffix_sums, before->source_end);
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    const uint32_t i = delta_index(k);
    if (i < count) {
      strings->source[i] = (uint32_t)(ends[k] - suffixes[k]);
      strings->prefix[i] = prefixes[k];
    }
    ends[k] = i < count ? (uint64_t)prefixes[k] + suffixes[k] : 0;
    if (i < count && page.element_bytes) good &= ends[k] == page.element_bytes;
  }
  const uint64_t first = before->target_end;
  before->target_end = delta_sums(ends, strings->target_sums, first);
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    if (delta_index(k) < count) strings->target[delta_index(k) + 1] = ends[k];
  }
  if (threadIdx.x == 0) strings->target[0] = first;
  __syncthreads();
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    const uint32_t i = delta_index(k);
    const uint64_t *target = strings->target + i;
    if (i < count) good &= prefixes[k] <= (i ? target[0] - target[-1] : before->length);
  }
  *held = count;
  if (count) before->length = strings->target[count] - strings->target[count - 1];
  return __syncthreads_and(good && count > 0 && before->source_end <= bytes);
}

/// Finds out how many bytes the strings of DELTA_BYTE_ARRAY pages are, put together.
///
/// Shape   pages[page_count] -> states[page_count].text_bytes
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out
/// Errors  STATUS_PAGE_VALUES: argument = page; the page then has no values
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_size_delta_bytes(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(DeltaStrings, strings, 1);
  if (values.count == 0) {
    if (threadIdx.x >= WARP_LANES) return;
    const bool good = delta_strings_none(page, values, strings);
    if (threadIdx.x == 0 && !good) status_set(params.status, STATUS_PAGE_VALUES, index);
    return;
  }
  DeltaBefore before;
  bool good = delta_strings_start(page, values, strings, &before);
  uint32_t held;
  for (uint32_t done = 1; good && done < values.count; done += held) {
    good = delta_strings_window(page, values, values.count - done, strings, &before, &held);
  }
  if (threadIdx.x != 0) return;
  if (good) {
    page.state->text_bytes = before.target_end;
  } else {
    status_set(params.status, STATUS_PAGE_VALUES, index);
    page.state->values_at = PAGE_VALUES_NOWHERE;
  }
}

/// Byte `column` of the string before string `start` of the window, `start` being the first of a
/// warp's range. The string before the window is in the text already, its bytes begin at `text`.
KERNEL_FN uint8_t delta_byte_before(const DeltaStrings *strings, const uint8_t *data,
                                    const uint8_t *text, uint32_t start, uint32_t column) {
  for (uint32_t range = start / DELTA_RANGE; range-- > 0;) {
    if (strings->range_min[range] > column) continue;
    uint32_t i = (range + 1) * DELTA_RANGE - 1;
    while (strings->prefix[i] > column) i--;  // ends: the range has a prefix that is not longer
    return data[strings->source[i] + column - strings->prefix[i]];
  }
  return text[column];
}

/// Puts the strings of the window together: a warp a range of them, a lane a column. `before` is
/// where the string before the window begins.
KERNEL_FN void delta_strings_copy(const DeltaStrings *strings, const uint8_t *data, uint8_t *text,
                                  uint64_t before, uint32_t held) {
  const uint32_t lane = threadIdx.x & 31;
  const uint32_t start = (threadIdx.x >> 5) * DELTA_RANGE;
  const uint32_t end = start + DELTA_RANGE < held ? start + DELTA_RANGE : held;
  if (start >= end) return;
  uint32_t longest = 0;
  for (uint32_t i = start + lane; i < end; i += WARP_LANES) {
    const uint32_t length = (uint32_t)(strings->target[i + 1] - strings->target[i]);
    longest = length > longest ? length : longest;
  }
  longest = __reduce_max_sync(WARP_ALL, longest);
  for (uint32_t column = lane; column - lane < longest; column += WARP_LANES) {
    uint8_t byte = 0;
    if (column < strings->prefix[start]) {
      byte = delta_byte_before(strings, data, text + before, start, column);
    }
    for (uint32_t i = start; i < end; i++) {
      const uint64_t target = strings->target[i];
      const uint32_t prefix = strings->prefix[i];
      if (column >= strings->target[i + 1] - target) continue;
      if (column >= prefix) byte = data[strings->source[i] + column - prefix];
      text[target + column] = byte;
    }
  }
}

/// Decodes the windows of a page, string 0 being in the text already. False if a string cannot be
/// a value.
KERNEL_FN bool delta_strings_page(const Page &page, const PageValues &values, DeltaStrings *strings,
                                  DeltaBefore *before) {
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  bool good = true;
  uint32_t held;
  for (uint32_t done = 1; done < values.count; done += held) {
    const uint64_t text_before = before->target_end - before->length;
    if (!delta_strings_window(page, values, values.count - done, strings, before, &held)) {
      return false;
    }
    uint32_t least = 0xffffffffu;
    for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
      const uint32_t i = delta_index(k);
      if (i < held && strings->prefix[i] < least) least = strings->prefix[i];
    }
    least = __reduce_min_sync(WARP_ALL, least);
    if (lane == 0) strings->range_min[warp] = least;
    __syncthreads();
    delta_strings_copy(strings, values.data, page.text, text_before, held);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < held; i += PAGE_THREADS) {
      const uint64_t target = strings->target[i];
      const uint32_t length = (uint32_t)(strings->target[i + 1] - target);
      good &= page_store_bytes(page, done + i, page.text + target, length);
    }
  }
  return good;
}

/// Decodes pages of DELTA_BYTE_ARRAY strings: puts them together in the page's text, and writes
/// views of them, decimals, or halves.
///
/// Shape   pages[page_count] -> values[column rows], dense; text[text_bytes]
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0; after `page_size_delta_bytes`
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_delta_bytes(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(DeltaStrings, strings, 1);
  if (values.count == 0) return;
  DeltaBefore before;
  bool good = page.state->values_at != PAGE_VALUES_NOWHERE &&
              delta_strings_start(page, values, strings, &before);
  if (good) {
    for (uint64_t at = threadIdx.x; at < before.length; at += PAGE_THREADS) {
      page.text[at] = values.data[strings->suffixes_at + at];
    }
    __syncthreads();
    const uint32_t length = (uint32_t)before.length;
    if (threadIdx.x == 0) good = page_store_bytes(page, 0, page.text, length);
    good &= delta_strings_page(page, values, strings, &before);
  }
  if (__syncthreads_and(good)) return;
  if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
  page_zero(page, 0, values.count);
}
