// Operator  filter (src/operators/filter.rs states the contract)
// Kernels   filter_compact
// Method    one look-back for all columns: a tile's kept rows are listed in shared memory, then
//           every column is read by that list and written side by side
// Cost      reads 1/8 B (1/4 B with nulls) and each column per row, writes each column per kept row
// Source    stream compaction by decoupled look-back (primitives/grid.cuh); written from the idea
#include "abi/filter.h"
#include "primitives/bitmap.cuh"
#include "primitives/block.cuh"
#include "primitives/grid.cuh"
#include "primitives/value.cuh"

struct FilterPolicy {
  static const uint32_t WARPS = FILTER_THREADS / 32;
  static const uint32_t WARP_ROWS = FILTER_TILE_ROWS / WARPS;  // consecutive rows of one warp
  static const uint32_t WARP_STEPS = WARP_ROWS / 32;
};
static_assert(FILTER_TILE_ROWS % FILTER_THREADS == 0, "a tile is whole rounds of the block");
static_assert(FILTER_TILE_ROWS <= 65536, "a row within the tile fits 16 bits");

/// Copies the listed rows of a tile, of one column of type T.
template <typename T>
KERNEL_FN void filter_copy(const ColumnView &column, const ColumnOut &output, uint64_t tile_row,
                           const uint16_t *kept_rows, uint32_t kept, uint64_t out_row) {
  if (column.kind != COLUMN_ARRAY) {
    const T value = column_value<T>(column, 0);
    for (uint32_t i = threadIdx.x; i < kept; i += FILTER_THREADS) {
      ((T *)output.values)[out_row + i] = value;
    }
    return;
  }
  const T *source = (const T *)column.values + column.offset + tile_row;
  T *target = (T *)output.values + out_row;
#pragma unroll 4
  for (uint32_t i = threadIdx.x; i < kept; i += FILTER_THREADS) target[i] = source[kept_rows[i]];
}

/// Copies the listed rows' bits: of a validity bitmap, or of a Boolean column.
KERNEL_FN void filter_copy_bits(const ColumnView &column, uint8_t *target, bool validity,
                                uint64_t tile_row, const uint16_t *kept_rows, uint32_t kept,
                                uint64_t out_row) {
  for (uint32_t first = threadIdx.x & ~31u; first < kept; first += FILTER_THREADS) {
    const uint32_t i = first + (threadIdx.x & 31);
    bool bit = false;
    if (i < kept) {
      const uint64_t row = tile_row + kept_rows[i];
      bit = validity ? column_valid(column, row) : column_bit(column, row);
    }
    bitmap_or_warp(target, out_row + first, bit);
  }
}

KERNEL_FN void filter_copy_column(const ColumnView &column, const ColumnOut &output,
                                  uint64_t tile_row, const uint16_t *kept_rows, uint32_t kept,
                                  uint64_t out_row) {
  switch (type_bytes(output.type)) {
    case 0:
      filter_copy_bits(column, (uint8_t *)output.values, false, tile_row, kept_rows, kept, out_row);
      break;
    case 1: filter_copy<uint8_t>(column, output, tile_row, kept_rows, kept, out_row); break;
    case 2: filter_copy<uint16_t>(column, output, tile_row, kept_rows, kept, out_row); break;
    case 4: filter_copy<uint32_t>(column, output, tile_row, kept_rows, kept, out_row); break;
    case 8: filter_copy<uint64_t>(column, output, tile_row, kept_rows, kept, out_row); break;
    default: filter_copy<int128_t>(column, output, tile_row, kept_rows, kept, out_row); break;
  }
  if (output.validity) {
    filter_copy_bits(column, output.validity, true, tile_row, kept_rows, kept, out_row);
  }
}

/// Lists the kept rows of a tile in order. Result: their number, in every thread.
KERNEL_FN uint32_t filter_list(const ColumnView &predicate, uint64_t tile_row, uint64_t row_count,
                               uint16_t *kept_rows, uint32_t *warp_counts) {
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x & 31;
  uint32_t kept_words[FilterPolicy::WARP_STEPS];
  uint32_t count = 0;
#pragma unroll
  for (uint32_t step = 0; step < FilterPolicy::WARP_STEPS; step++) {
    const uint64_t row = tile_row + warp * FilterPolicy::WARP_ROWS + step * 32 + lane;
    const bool keep = row < row_count && column_bit(predicate, row) && column_valid(predicate, row);
    kept_words[step] = __ballot_sync(WARP_ALL, keep);
    count += (uint32_t)__popc(kept_words[step]);
  }
  if (lane == 0) warp_counts[warp] = count;
  const uint32_t total = block_scan_warps(warp_counts, FilterPolicy::WARPS);
  uint32_t slot = warp_counts[warp];
#pragma unroll
  for (uint32_t step = 0; step < FilterPolicy::WARP_STEPS; step++) {
    const uint32_t below = kept_words[step] & ((1u << lane) - 1);
    if (kept_words[step] >> lane & 1) {
      kept_rows[slot + (uint32_t)__popc(below)] =
          (uint16_t)(warp * FilterPolicy::WARP_ROWS + step * 32 + lane);
    }
    slot += (uint32_t)__popc(kept_words[step]);
  }
  return total;
}

/// Compacts all columns by one predicate, keeping the order of rows.
///
/// Shape   predicate[rows], columns[rows] -> outputs[*out_row_count]
/// Launch  grid = max(1, ceil(row_count / FILTER_TILE_ROWS)), block = FILTER_THREADS, shared = 0
/// Order   kept
/// Nulls   a row whose predicate is null is dropped
/// Errors  none
/// Tests   tests/operators/filter.rs
extern "C" __global__ void __launch_bounds__(FILTER_THREADS)
filter_compact(GRID_CONSTANT(FilterCompactParams) params) {
  SHARED(uint16_t, kept_rows, FILTER_TILE_ROWS);
  SHARED(uint32_t, warp_counts, FilterPolicy::WARPS);
  SHARED(uint64_t, tile_out_row, 1);
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t tile_row = tile * FILTER_TILE_ROWS;
  if (tile_row >= row_count && tile > 0) return;
  const uint32_t kept = filter_list(params.predicate, tile_row, row_count, kept_rows, warp_counts);
  if (threadIdx.x < 32) {
    const uint64_t before = grid_lookback(params.tile_states, tile, kept);
    if (threadIdx.x == 0) {
      tile_out_row[0] = before;
      if (tile_row + FILTER_TILE_ROWS >= row_count) *params.out_row_count = before + kept;
    }
  }
  __syncthreads();
  for (uint32_t c = 0; c < params.column_count; c++) {
    filter_copy_column(params.columns[c], params.outputs[c], tile_row, kept_rows, kept,
                       tile_out_row[0]);
  }
}
