// Operator  Parquet page decoding: dictionary indices, and Booleans by runs
// Kernels   page_decode_dictionary, page_decode_rle_boolean
// Method    a block per page: one thread lists the runs of a window, all threads read
//           indices from it and copy the dictionary's entries, which are of the column's type
// Cost      reads the bits of the indices, writes the values; dictionary entries come from caches
// Source    the Parquet format's Encodings.md, "Dictionary Encoding"; written from its text
#include "primitives/bitmap.cuh"
#include "parquet/hybrid.cuh"
#include "parquet/page.cuh"

struct alignas(16) DictionaryEntry16 {
  uint64_t low, high;
};

/// Copies the entries that values `start` to `end` of the window point to. False if one of them
/// points outside of the dictionary.
template <typename T>
KERNEL_FN bool dictionary_copy(const Page &page, const HybridRuns *runs, const uint8_t *data,
                               uint64_t bytes, uint32_t bits) {
  T *out = (T *)page.values + page.row_start;
  const T *entries = (const T *)page.dictionary;
  bool good = true;
  for (uint32_t i = runs->window_start + threadIdx.x; i < runs->window_end; i += PAGE_THREADS) {
    const uint32_t entry = hybrid_value(runs, data, bytes, bits, i);
    const bool inside = entry < page.dictionary_count;
    T value = {};
    if (inside) value = entries[entry];
    out[i] = value;
    good &= inside;
  }
  return good;
}

KERNEL_FN bool dictionary_window(const Page &page, const HybridRuns *runs, const uint8_t *data,
                                 uint64_t bytes, uint32_t bits) {
  switch (page.value_bytes) {
    case 1: return dictionary_copy<uint8_t>(page, runs, data, bytes, bits);
    case 2: return dictionary_copy<uint16_t>(page, runs, data, bytes, bits);
    case 4: return dictionary_copy<uint32_t>(page, runs, data, bytes, bits);
    case 8: return dictionary_copy<uint64_t>(page, runs, data, bytes, bits);
    default: return dictionary_copy<DictionaryEntry16>(page, runs, data, bytes, bits);
  }
}

/// Decodes pages of dictionary indices to the dictionary's entries.
///
/// Shape   pages[page_count], dictionaries -> values[column rows], dense
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES, STATUS_PAGE_INDEX: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_dictionary(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(HybridRuns, runs, 1);
  const uint32_t bits = values.bytes ? values.data[0] : 255;
  bool complete = bits <= 32 && hybrid_begins(values.data, values.bytes, 1, bits), inside = true;
  if (threadIdx.x == 0) hybrid_start(runs, 1);
  uint32_t done = 0;
  while (complete && done < values.count) {
    __syncthreads();
    if (threadIdx.x == 0) hybrid_window(runs, values.data, values.bytes, bits, values.count, true);
    __syncthreads();
    inside &= dictionary_window(page, runs, values.data, values.bytes, bits);
    complete = runs->window_end > done;
    done = runs->window_end;
  }
  if (!inside) status_set(params.status, STATUS_PAGE_INDEX, index);
  if (complete) return;
  if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
  page_zero(page, done, values.count);
}

/// Decodes pages of Booleans by runs (RLE, a length of 4 bytes in front).
///
/// Shape   pages[page_count] -> values bitmap[column rows], dense
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_rle_boolean(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(HybridRuns, runs, 1);
  const uint64_t length = values.bytes >= 4 ? bytes_u32(values.data, values.bytes, 0) : 0;
  const uint64_t bytes = length + 4 <= values.bytes ? length + 4 : 0;
  bool complete = bytes >= 4 && hybrid_begins(values.data, bytes, 4, 1);
  if (threadIdx.x == 0) hybrid_start(runs, 4);
  uint32_t done = 0;
  while (complete && done < values.count) {
    __syncthreads();
    if (threadIdx.x == 0) hybrid_window(runs, values.data, bytes, 1, values.count, true);
    __syncthreads();
    const uint32_t end = runs->window_end, lane = threadIdx.x & 31;
    for (uint32_t first = done + threadIdx.x - lane; first < end; first += PAGE_THREADS) {
      const uint32_t i = first + lane;
      const bool bit = i < end && hybrid_value(runs, values.data, bytes, 1, i) != 0;
      bitmap_or_warp((uint8_t *)page.values, page.row_start + first, bit);
    }
    complete = end > done;
    done = end;
  }
  if (!complete && threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
}
