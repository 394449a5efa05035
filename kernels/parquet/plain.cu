// Operator  Parquet page decoding: PLAIN
// Kernels   page_decode_plain, page_decode_plain_bytes
// Method    fixed width: an element per thread. BYTE_ARRAY: a warp per page; one lane follows the
//           lengths through a window in shared memory, all lanes write what it found
// Cost      reads and writes the values once
// Source    the Parquet format's Encodings.md, "Plain"; written from the specification
#include "primitives/bitmap.cuh"
#include "parquet/page.cuh"

#define PLAIN_WINDOW_BYTES 4096u
#define PLAIN_FOUND_MAX 256u

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
  uint64_t next;                 ///< byte of the next length
  uint64_t at[PLAIN_FOUND_MAX];  ///< first byte of a string
  uint32_t length[PLAIN_FOUND_MAX];
};

/// Follows the lengths from `found->next` on, as far as the window and the list go.
KERNEL_FN void plain_follow(const uint32_t *window, uint64_t window_start, uint64_t window_bytes,
                            uint64_t bytes, uint32_t wanted, PlainFound *found) {
  uint64_t at = found->next;
  uint32_t count = 0;
  while (count < PLAIN_FOUND_MAX && count < wanted) {
    if (at + 4 > bytes) {
      found->bad = 1;
      break;
    }
    const uint64_t within = at - window_start;
    if (within + 4 > window_bytes) break;
    const uint32_t *words = window + within / 4;
    const uint32_t shift = (uint32_t)(within & 3) * 8;
    const uint32_t length = shift ? __funnelshift_r(words[0], words[1], shift) : words[0];
    if (length > bytes - at - 4) {
      found->bad = 1;
      break;
    }
    found->at[count] = at + 4;
    found->length[count] = length;
    at += 4 + (uint64_t)length;
    count++;
  }
  found->next = at;
  found->count = count;
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
  SHARED(uint32_t, window, PLAIN_WINDOW_BYTES / 4 + 1);
  SHARED(PlainFound, found, 1);
  const uint32_t lane = threadIdx.x;
  if (lane == 0) found->next = found->bad = found->count = 0;
  __syncwarp();
  bool good = true;
  for (uint32_t done = 0; done < values.count;) {
    const uint64_t start = found->next;
    const uint64_t left = start < values.bytes ? values.bytes - start : 0;
    const uint64_t held = left < PLAIN_WINDOW_BYTES ? left : PLAIN_WINDOW_BYTES;
    for (uint64_t at = (uint64_t)lane * 4; at < held + 4; at += 4 * WARP_LANES) {
      window[at / 4] = bytes_u32(values.data, values.bytes, start + at);
    }
    __syncwarp();
    if (lane == 0) {
      plain_follow(window, start, held, values.bytes, values.count - done, found);
    }
    __syncwarp();
    for (uint32_t i = lane; i < found->count; i += WARP_LANES) {
      good &= page_store_bytes(page, done + i, values.data + found->at[i], found->length[i]);
    }
    done += found->count;
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
