// Operator  shuffle_partition (src/backend/cuda/shuffle_partition.rs): ranges of strings and bytes
// Kernels   strings_place
// Method    a thread per string, which it searches for among the bounds by halving; the first steps
//           of all threads meet the same bounds
// Cost      reads 16 B per row and, per step, a bound and as much of the string as they share;
//           writes 4 B per row
// Source    none needed
#include "strings.cuh"

/// Where a string is among ascending bounds: 2 * i + 1 if it equals bound i, else twice the number
/// of bounds below it.
KERNEL_FN int32_t strings_place_of(const StringsPlaceParams &params, const TextView &text) {
  uint64_t low = 0, high = params.bound_count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const int order = strings_order(text, strings_view(params.bounds, middle));
    if (order == 0) return (int32_t)(2 * middle + 1);
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return (int32_t)(2 * low);
}

/// Says where strings are among bounds, so that numbers can be compared in their place.
///
/// Shape   input[rows], bounds[bound_count] -> output[rows], Int32
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_place(GRID_CONSTANT(StringsPlaceParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  if (row < rows) {
    const int32_t place = valid ? strings_place_of(params, strings_view(params.input, row)) : 0;
    ((int32_t *)params.output.values)[row] = place;
  }
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}
