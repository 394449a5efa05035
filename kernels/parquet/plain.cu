// Operator  Parquet page decoding: PLAIN
// Kernels   page_decode_plain, page_decode_plain_bytes
// Method    fixed width: an element per thread. BYTE_ARRAY: a warp per page; one lane follows the
//           lengths through a window in shared memory, all lanes write what it found
// Cost      reads and writes the values once
// Source    the Parquet format's Encodings.md, "Plain"; written from the specification
#include "primitives/bitmap.cuh"
#include "parquet/page.cuh"

#define PLAIN_BLOCK_BYTES 2048u  // of the page that the warp loads at a time
#define PLAIN_VECTORS (PLAIN_BLOCK_BYTES / (16 * WARP_LANES))
#define PLAIN_WINDOW_WORDS (2 * PLAIN_BLOCK_BYTES / 4)  // two blocks: a length may lie in both
#define PLAIN_FOUND_MAX 128u
static_assert(PLAIN_VECTORS * 16 * WARP_LANES == PLAIN_BLOCK_BYTES, "lanes load whole vectors");

/// Elements of 4 or 8 bytes, by a conversion known to the compiler.
template <typename T, uint32_t BYTES>
KERNEL_FN void plain_bits(const Page &page, const PageValues &values) {
  T *out = (T *)page.values + page.row_start;
  for (uint32_t i = threadIdx.x; i < values.count; i += PAGE_THREADS) {
    const uint64_t at = (uint64_t)i * BYTES;
    out[i] = BYTES == 4 ? (T)(int32_t)bytes_u32(values.data, values.bytes, at)
                        : (T)bytes_u64(values.data, values.bytes, at);
  }
}

KERNEL_FN void plain_booleans(const Page &page, const PageValues &values) {
  const uint32_t lane = threadIdx.x & 31;
  for (uint32_t first = threadIdx.x - lane; first < values.count; first += PAGE_THREADS) {
    const uint32_t i = first + lane;
    const bool bit = i < values.count && bitmap_get(values.data, i);
    bitmap_or_warp((uint8_t *)page.values, page.row_start + first, bit);
  }
}

/// Decodes pages of fixed-width PLAIN values, dictionaries among them.
///
/// Shape   pages[page_count] -> values[column rows], dense
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_plain(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  const uint64_t needed = page.conversion == PAGE_BITS_1
                              ? ((uint64_t)values.count + 7) / 8
                              : (uint64_t)values.count * page.element_bytes;
  if (needed > values.bytes) {
    if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
    return page_zero(page, 0, values.count);
  }
  if (page.conversion == PAGE_BITS_1) return plain_booleans(page, values);
  if (page.conversion == PAGE_BITS_32 && page.element_bytes == 4) {
    return plain_bits<uint32_t, 4>(page, values);
  }
  if (page.conversion == PAGE_BITS_64 && page.element_bytes == 8) {
    return plain_bits<uint64_t, 8>(page, values);
  }
  if (page.conversion == PAGE_WIDEN_64) return plain_bits<int64_t, 4>(page, values);
  bool good = true;
  for (uint32_t i = threadIdx.x; i < values.count; i += PAGE_THREADS) {
    const uint8_t *element = values.data + (uint64_t)i * page.element_bytes;
    good &= page_store_bytes(page, i, element, page.element_bytes);
  }
  if (!good) status_set(params.status, STATUS_PAGE_VALUES, index);
}

/// What a warp has found in its window: where strings begin, and their lengths.
struct PlainFound {
  uint32_t count;
  uint32_t bad;
  uint32_t at[PLAIN_FOUND_MAX];  ///< first byte of a string
  uint32_t length[PLAIN_FOUND_MAX];
};

/// A section of strings under a warp's eyes. Positions count from `source`.
struct PlainStrings {
  const uint8_t *source;  ///< at a multiple of 16 bytes, less than 16 before the section
  uint32_t begin;         ///< first byte of the section
  uint32_t end;           ///< behind its last byte
  uint32_t at;            ///< byte of the next length
  uint32_t staged;        ///< blocks that were put into the window
  uint32_t asked;         ///< the block that `ahead` is of
  uint4 ahead[PLAIN_VECTORS];
};

/// 16 bytes of the section; those outside of it are zero.
KERNEL_FN uint4 plain_vector(const PlainStrings &strings, uint32_t at) {
  if (at >= strings.begin && at + 16 <= strings.end) {
    return *(const uint4 *)(strings.source + at);
  }
  uint32_t words[4] = {0, 0, 0, 0};
  for (uint32_t i = 0; i < 16; i++) {
    const uint32_t byte = at + i;
    if (byte >= strings.begin && byte < strings.end) {
      words[i / 4] |= (uint32_t)strings.source[byte] << (8 * (i % 4));
    }
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

/// Puts the block of the next length and the one behind it into the window, and asks for the third.
/// Scope warp · Result the window · JIT yes
KERNEL_FN void plain_stage(PlainStrings &strings, uint4 *window) {
  const uint32_t block = strings.at / PLAIN_BLOCK_BYTES, lane = threadIdx.x;
  if (strings.staged < block) strings.staged = block;
  for (;;) {
    const uint32_t start = strings.staged * PLAIN_BLOCK_BYTES;
    if (strings.asked != strings.staged) {
      for (uint32_t v = 0; v < PLAIN_VECTORS; v++) {
        strings.ahead[v] = plain_vector(strings, start + (v * WARP_LANES + lane) * 16);
      }
      strings.asked = strings.staged;
    }
    if (strings.staged >= block + 2) break;
    for (uint32_t v = 0; v < PLAIN_VECTORS; v++) {
      const uint32_t slot = strings.staged % 2 * PLAIN_VECTORS + v;
      window[slot * WARP_LANES + lane] = strings.ahead[v];
    }
    strings.staged++;
  }
  __syncwarp();
}

/// Follows the lengths that begin in the first block of the window, as far as the list goes.
/// Scope one lane · Result `found`, and the next position · JIT yes
KERNEL_FN uint32_t plain_follow(const PlainStrings &strings, const uint32_t *window,
                                uint32_t wanted, PlainFound *found) {
  const uint32_t most = wanted < PLAIN_FOUND_MAX ? wanted : PLAIN_FOUND_MAX;
  const uint32_t window_end = (strings.at / PLAIN_BLOCK_BYTES + 1) * PLAIN_BLOCK_BYTES;
  uint32_t at = strings.at, count = 0, bad = 0;
  while (count < most && at < window_end) {
    const uint32_t word = at / 4 % PLAIN_WINDOW_WORDS;
    const uint32_t length =
        __funnelshift_r(window[word], window[(word + 1) % PLAIN_WINDOW_WORDS], at % 4 * 8);
    bad = strings.end - at < 4 || length > strings.end - at - 4;
    if (bad) break;
    found->at[count] = at + 4;
    found->length[count] = length;
    at += 4 + length;
    count++;
    if (at == strings.end) break;
  }
  if (count == 0) bad = 1;  // nothing is left, and more is wanted
  found->count = count;
  found->bad = bad;
  return at;
}

/// Decodes pages of BYTE_ARRAY values: views of the strings, or decimals.
///
/// Shape   pages[page_count] -> values[column rows], dense
/// Launch  grid = page_count, block = PAGE_WARP_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_WARP_THREADS)
page_decode_plain_bytes(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(uint4, window, PLAIN_WINDOW_WORDS / 4);
  SHARED(PlainFound, found, 1);
  PlainStrings strings = {};
  strings.begin = (uint32_t)((uint64_t)values.data % 16);
  strings.source = values.data - strings.begin;
  strings.end = strings.begin + (uint32_t)values.bytes;
  strings.at = strings.begin;
  strings.asked = ~0u;
  bool good = true;
  for (uint32_t done = 0; done < values.count;) {
    plain_stage(strings, window);
    uint32_t next = 0;
    if (threadIdx.x == 0) {
      next = plain_follow(strings, (const uint32_t *)window, values.count - done, found);
    }
    strings.at = __shfl_sync(WARP_ALL, next, 0);
    __syncwarp();
    const uint32_t count = found->count;
    for (uint32_t i = threadIdx.x; i < count; i += WARP_LANES) {
      good &= page_store_bytes(page, done + i, strings.source + found->at[i], found->length[i]);
    }
    done += count;
    const bool bad = found->bad;
    __syncwarp();
    if (bad) {
      page_zero(page, done, values.count);
      good = false;
      break;
    }
  }
  if (!good) status_set(params.status, STATUS_PAGE_VALUES, index);
}
