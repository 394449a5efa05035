// Operator  append (src/backend/cuda/append.rs): batches of a fold put behind one another
// Kernels   append_rows
// Method    one row per thread, all columns of a batch in one launch
// Cost      reads and writes each column once per row
// Source    none needed
#include "abi/append.h"
#include "primitives/bitmap.cuh"
#include "primitives/value.cuh"

/// Copies columns behind the rows that their outputs have already.
///
/// Shape   columns[row_count] -> outputs[out_start + row_count]
/// Launch  grid = ceil(row_count / APPEND_THREADS), block = APPEND_THREADS, shared = 0
/// Order   kept
/// Nulls   kept
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(APPEND_THREADS)
append_rows(GRID_CONSTANT(AppendRowsParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * APPEND_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
  const bool in_rows = row < params.row_count;
  const uint64_t out_row = params.out_start + row, out_first = out_row - (threadIdx.x & 31);
  for (uint32_t c = 0; c < params.column_count; c++) {
    const ColumnView &column = params.columns[c];
    const ColumnOut &output = params.outputs[c];
    if (output.type == PHYSICAL_BOOLEAN) {
      bitmap_or_warp((uint8_t *)output.values, out_first, in_rows && column_bit(column, row));
    } else if (in_rows && type_bytes(output.type) == 16) {
      ((int128_t *)output.values)[out_row] = column_value<int128_t>(column, row);
    } else if (in_rows) {
      output_bits(output, out_row, column_bits(column, row));
    }
    if (!output.validity) continue;
    bitmap_or_warp(output.validity, out_first, in_rows && column_valid(column, row));
  }
}
