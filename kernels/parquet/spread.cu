// Operator  Parquet page decoding: room for nulls
// Kernels   page_spread
// Method    a block per page moves the dense values to their rows, from the last tile to the
//           first: a value never moves down, so that a tile reads what later writes cannot touch
// Cost      reads 1/8 B of validity per row; reads and writes the values of rows behind a null
// Source    none needed
#include "primitives/bitmap.cuh"
#include "primitives/block.cuh"
#include "parquet/page.cuh"

#define SPREAD_WARPS (PAGE_THREADS / 32)

struct alignas(16) SpreadValue16 {
  uint64_t low, high;
};

/// Where the rows of a tile find their values.
struct SpreadTile {
  uint64_t row;     ///< the thread's row, within the page
  uint64_t source;  ///< its dense value
  bool in_page;
  bool valid;
};

template <typename T>
KERNEL_FN void spread_values(const Page &page, const SpreadTile &tile) {
  T *values = (T *)page.values + page.row_start;
  T value = {};
  if (tile.valid) value = values[tile.source];
  __syncthreads();
  if (tile.in_page) values[tile.row] = value;
}

KERNEL_FN void spread_bits(const Page &page, const SpreadTile &tile) {
  uint32_t *words = (uint32_t *)page.values;
  const uint64_t source = page.row_start + tile.source, target = page.row_start + tile.row;
  // Other pages' bits share the first and last words: words are read and changed by atomics.
  const bool bit = tile.valid && (atomicOr(&words[source >> 5], 0u) >> (source & 31) & 1);
  __syncthreads();
  if (!tile.in_page) return;
  const uint32_t mask = 1u << (target & 31);
  if (bit)
    atomicOr(&words[target >> 5], mask);
  else
    atomicAnd(&words[target >> 5], ~mask);
}

KERNEL_FN void spread_tile(const Page &page, const SpreadTile &tile) {
  switch (page.value_bytes) {
    case 0: return spread_bits(page, tile);
    case 1: return spread_values<uint8_t>(page, tile);
    case 2: return spread_values<uint16_t>(page, tile);
    case 4: return spread_values<uint32_t>(page, tile);
    case 8: return spread_values<uint64_t>(page, tile);
    default: return spread_values<SpreadValue16>(page, tile);
  }
}

/// Moves the dense values of pages with nulls to their rows; null rows become zero.
///
/// Shape   pages[page_count], validity[column rows] -> values[column rows]
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   that is what it is for
/// Errors  none
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_spread(GRID_CONSTANT(PageDecodeParams) params) {
  const Page &page = params.pages[params.order[blockIdx.x]];
  const PageState state = *page.state;
  SHARED(uint32_t, warp_counts, SPREAD_WARPS);
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const bool failed = state.values_at == PAGE_VALUES_NOWHERE;
  uint64_t left = failed ? 0 : state.value_count;  // values of this tile and those before it
  const uint64_t tiles = ((uint64_t)page.level_count + PAGE_THREADS - 1) / PAGE_THREADS;
  for (uint64_t tile = tiles; tile-- > 0;) {
    const uint64_t start = tile * PAGE_THREADS, row = start + threadIdx.x;
    const uint64_t end =
        start + PAGE_THREADS < page.level_count ? start + PAGE_THREADS : page.level_count;
    if (left == end) return;  // no null up to here: every value is in its row
    const bool in_page = row < page.level_count;
    const bool valid = in_page && !failed && bitmap_get(page.validity, page.row_start + row);
    const uint32_t warp_valid = __ballot_sync(WARP_ALL, valid);
    if (lane == 0) warp_counts[warp] = (uint32_t)__popc(warp_valid);
    const uint32_t count = block_scan_warps(warp_counts, SPREAD_WARPS);
    const uint64_t before = left - count;  // values of the tiles before this one
    const uint32_t below = (uint32_t)__popc(warp_valid & ((1u << lane) - 1));
    const SpreadTile place{row, before + warp_counts[warp] + below, in_page, valid};
    spread_tile(page, place);
    left = before;
    __syncthreads();
  }
}
