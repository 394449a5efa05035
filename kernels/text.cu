// Operator  text (src/backend/cuda/text.rs): strings of a column brought together
// Kernels   text_offsets, text_copy
// Method    lengths are summed in one pass with look-back; short strings are copied by a lane each,
//           long ones by a warp
// Cost      reads 16 B per row twice and the strings once, writes 8 B per row and the strings
// Source    none needed beyond primitives/grid.cuh
#include "abi/page.h"
#include "abi/text.h"
#include "primitives/block.cuh"
#include "primitives/grid.cuh"
#include "primitives/value.cuh"

#define TEXT_WARPS (TEXT_THREADS / 32)
#define TEXT_ITEMS (TEXT_TILE_ROWS / TEXT_THREADS)
#define TEXT_LONG_BYTES 64u

KERNEL_FN TextView text_view(const ColumnView &column, uint64_t row) {
  return ((const TextView *)column.values)[column.offset + row];
}

KERNEL_FN uint64_t text_length(const ColumnView &column, uint64_t row) {
  return column_valid(column, row) ? text_view(column, row).length : 0;
}

/// Exclusive sums of one value per thread of a block, and their total.
KERNEL_FN uint64_t text_block_scan(uint64_t value, uint64_t *warp_sums, uint64_t *total) {
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  uint64_t sum = value;
  for (uint32_t distance = 1; distance < 32; distance *= 2) {
    const uint64_t below = __shfl_up_sync(WARP_ALL, sum, distance);
    if (lane >= distance) sum += below;
  }
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  uint64_t before = 0, all = 0;
  for (uint32_t w = 0; w < TEXT_WARPS; w++) {
    if (w < warp) before += warp_sums[w];
    all += warp_sums[w];
  }
  *total = all;
  return before + sum - value;
}

/// Sums the lengths of strings.
///
/// Shape   column[rows] -> out_offsets[rows + 1]
/// Launch  grid = max(1, ceil(row_count / TEXT_TILE_ROWS)), block = TEXT_THREADS, shared = 0
/// Nulls   of length 0
/// Errors  none
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(TEXT_THREADS)
text_offsets(GRID_CONSTANT(TextOffsetsParams) params) {
  SHARED(uint64_t, warp_sums, TEXT_WARPS);
  SHARED(uint64_t, tile_start, 1);
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t first = tile * TEXT_TILE_ROWS + (uint64_t)threadIdx.x * TEXT_ITEMS;
  uint64_t lengths[TEXT_ITEMS], sum = 0, total;
  for (uint32_t i = 0; i < TEXT_ITEMS; i++) {
    lengths[i] = first + i < rows ? text_length(params.column, first + i) : 0;
    sum += lengths[i];
  }
  const uint64_t within = text_block_scan(sum, warp_sums, &total);
  if (threadIdx.x < 32) {
    const uint64_t before = grid_lookback(params.tile_states, tile, total);
    if (threadIdx.x == 0) tile_start[0] = before;
  }
  __syncthreads();
  uint64_t at = tile_start[0] + within;
  for (uint32_t i = 0; i < TEXT_ITEMS; i++) {
    if (first + i < rows) params.out_offsets[first + i] = at;
    at += lengths[i];
    if (first + i + 1 == rows) params.out_offsets[rows] = at;
  }
  if (rows == 0 && tile == 0 && threadIdx.x == 0) params.out_offsets[0] = 0;
}

/// Copies strings to where the offsets say.
///
/// Shape   column[rows], offsets[rows + 1] -> out_bytes[offsets[rows]]
/// Launch  grid = ceil(row_count / TEXT_THREADS), block = TEXT_THREADS, shared = 0
/// Nulls   skipped
/// Errors  none
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(TEXT_THREADS)
text_copy(GRID_CONSTANT(TextCopyParams) params) {
  const uint32_t lane = threadIdx.x & 31;
  const uint64_t row = (uint64_t)blockIdx.x * TEXT_THREADS + threadIdx.x;
  TextView view = {};
  uint64_t target = 0;
  if (row < params.row_count && column_valid(params.column, row)) {
    view = text_view(params.column, row);
    target = params.offsets[row];
  }
  const bool is_long = view.length >= TEXT_LONG_BYTES;
  if (!is_long) {
    for (uint32_t i = 0; i < view.length; i++) params.out_bytes[target + i] = view.bytes[i];
  }
  for (uint32_t left = __ballot_sync(WARP_ALL, is_long); left; left &= left - 1) {
    const int owner = __ffs((int)left) - 1;
    const uint8_t *bytes = (const uint8_t *)__shfl_sync(WARP_ALL, (uint64_t)view.bytes, owner);
    const uint32_t length = __shfl_sync(WARP_ALL, view.length, owner);
    const uint64_t start = __shfl_sync(WARP_ALL, target, owner);
    for (uint32_t i = lane; i < length; i += 32) params.out_bytes[start + i] = bytes[i];
  }
}
