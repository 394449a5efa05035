// Operator  Parquet page decoding: DELTA_BINARY_PACKED
// Kernels   page_decode_delta
// Method    a block per page: one warp walks the headers of a window, whose widths tell where the
//           next header is; all threads unpack deltas and sum them over the block
// Cost      reads the packed deltas, writes the values
// Source    the Parquet format's Encodings.md, "Delta Encoding"; written from the specification
#include "parquet/delta.cuh"
#include "parquet/page.cuh"

/// Writes the items of a window that are below `held`, the first to value `start` of the page.
template <typename OUT, typename T>
KERNEL_FN void delta_store(const Page &page, const T *items, uint64_t start, uint32_t held) {
  OUT *out = (OUT *)page.values + page.row_start + start;
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    const uint32_t index = delta_index(k);
    if (index < held) out[index] = (OUT)items[k];
  }
}

/// As `delta_store`, by the page's conversion.
template <typename T>
KERNEL_FN void delta_convert(const Page &page, T *items, uint64_t start, uint32_t held) {
  switch (page.conversion) {
    case PAGE_BITS_8: return delta_store<uint8_t>(page, items, start, held);
    case PAGE_BITS_16: return delta_store<uint16_t>(page, items, start, held);
    case PAGE_BITS_32: return delta_store<uint32_t>(page, items, start, held);
    case PAGE_WIDEN_64: {
      int32_t narrow[DELTA_ITEMS];
      for (uint32_t k = 0; k < DELTA_ITEMS; k++) narrow[k] = (int32_t)(uint32_t)items[k];
      return delta_store<int64_t>(page, narrow, start, held);
    }
    default: return delta_store<uint64_t>(page, items, start, held);
  }
}

/// Decodes a page of integers of type T, unsigned: sums wrap. Answers how many values it has
/// written.
template <typename T>
KERNEL_FN uint32_t delta_page(const Page &page, const PageValues &values, DeltaStream *stream,
                              uint64_t *warp_sums) {
  if (threadIdx.x == 0) {
    delta_start(stream, values.data, values.bytes, 0, sizeof(T) * 8);
    if (stream->total >= values.count) page_store_bits(page, 0, stream->first);
  }
  __syncthreads();
  if (stream->total < values.count) return 0;
  T before = (T)stream->first;
  uint32_t done = 1;
  while (done < values.count) {
    if (threadIdx.x < WARP_LANES)
      delta_window(stream, values.data, values.bytes, values.count - done);
    __syncthreads();
    const uint32_t held = stream->held, wanted = values.count - done;
    T items[DELTA_ITEMS];
    before = delta_values(stream, values.data, values.bytes, items, (T *)warp_sums, before);
    delta_convert(page, items, done, held);
    done += held;
    if (held < DELTA_WINDOW && held < wanted) break;
  }
  return done;
}

/// Decodes pages of DELTA_BINARY_PACKED integers.
///
/// Shape   pages[page_count] -> values[column rows], dense
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_delta(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  SHARED(DeltaStream, stream, 1);
  SHARED(uint64_t, warp_sums, DELTA_WARPS);
  if (values.count == 0) {
    // The CPU reads the header all the same.
    if (threadIdx.x != 0) return;
    delta_start(stream, values.data, values.bytes, 0, page.element_bytes * 8);
    if (stream->bad) status_set(params.status, STATUS_PAGE_VALUES, index);
    return;
  }
  const uint32_t done = page.element_bytes == 4
                            ? delta_page<uint32_t>(page, values, stream, warp_sums)
                            : delta_page<uint64_t>(page, values, stream, warp_sums);
  if (done == values.count) return;
  if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
  page_zero(page, done, values.count);
}
