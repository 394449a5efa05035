// Operator  gather (src/operators/gather.rs states the contract)
// Kernels   gather_rows
// Method    one output row per thread, all columns in one launch
// Cost      reads 4 B and one 32 B sector per column and row, writes each column per row
// Source    none needed
#include "abi/gather.h"
#include "primitives/bitmap.cuh"
#include "primitives/status.cuh"
#include "primitives/value.cuh"

KERNEL_FN void gather_column(const ColumnView &column, const ColumnOut &output, uint64_t row,
                             uint64_t index, bool in_rows, bool picked) {
  if (output.type == PHYSICAL_BOOLEAN) {
    bitmap_write_warp((uint8_t *)output.values, row, picked && column_bit(column, index));
  } else if (in_rows) {
    if (type_bytes(output.type) == 16) {
      ((int128_t *)output.values)[row] = picked ? column_value<int128_t>(column, index) : 0;
    } else {
      output_bits(output, row, picked ? column_bits(column, index) : 0);
    }
  }
  if (output.validity) {
    bitmap_write_warp(output.validity, row, picked && column_valid(column, index));
  }
}

/// Picks rows of all columns by index.
///
/// Shape   indices[rows], columns[built rows] -> outputs[rows]
/// Launch  grid = ceil(row_count / GATHER_THREADS), block = GATHER_THREADS, shared = 0
/// Order   that of the indices
/// Nulls   a null index gives a row of nulls
/// Errors  STATUS_INDEX_OUT_OF_RANGE: argument = the row whose index is too large
/// Tests   tests/operators/gather.rs
extern "C" __global__ void __launch_bounds__(GATHER_THREADS)
gather_rows(GRID_CONSTANT(GatherRowsParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t built_rows = row_count_of(params.built_row_count_device, params.built_row_count);
  const uint64_t row = (uint64_t)blockIdx.x * GATHER_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= row_count) return;  // whole warps leave together
  const bool in_rows = row < row_count;
  bool picked = in_rows && column_valid(params.indices, row);
  const uint64_t index = picked ? column_value<uint32_t>(params.indices, row) : 0;
  if (picked && index >= built_rows) {
    status_set(params.status, STATUS_INDEX_OUT_OF_RANGE, row);
    picked = false;
  }
  for (uint32_t c = 0; c < params.column_count; c++) {
    gather_column(params.columns[c], params.outputs[c], row, index, in_rows, picked);
  }
}
