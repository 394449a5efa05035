// Operator  Parquet page decoding: rows of pages that were not all decoded
// Kernels   page_find_rows, page_count_rows
// Method    one row, or one bound, per thread: a binary search in a sorted table
// Cost      page_find_rows reads 4 B per row where rows are listed and writes 4 B per row; tables
// of
//           an entry per page stay in the cache
// Source    none needed
#include "abi/page.h"
#include "primitives/value.cuh"

/// How many of `count` sorted numbers are below `bound`.
KERNEL_FN uint64_t rows_below(const uint32_t *sorted, uint64_t count, uint64_t bound) {
  uint64_t low = 0, high = count;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (sorted[middle] < bound) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Finds where rows of a scan are in a column of which only some pages were decoded.
///
/// Shape   rows[row_count] or none, pieces[piece_count] -> indices[row_count]
/// Launch  grid = ceil(row_count / PAGE_THREADS), block = PAGE_THREADS, shared = 0
/// Order   that of the rows
/// Nulls   none
/// Errors  none: a row before the first piece is taken for its first
/// Tests   tests/parquet/selection.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_find_rows(GRID_CONSTANT(PageFindRowsParams) params) {
  const uint64_t at = (uint64_t)blockIdx.x * PAGE_THREADS + threadIdx.x;
  if (at >= params.row_count) return;
  const uint64_t row = params.rows ? params.rows[at] : at;
  const uint64_t behind = rows_below(params.piece_rows, params.piece_count, row + 1);
  const uint64_t piece = behind ? behind - 1 : 0;
  params.indices[at] = (uint32_t)(params.piece_indices[piece] + row - params.piece_rows[piece]);
}

/// Counts how many of the rows that are left lie before each bound, and all of them.
///
/// Shape   rows[*row_count_device], bounds[bound_count] -> counts[bound_count + 1]
/// Launch  grid = ceil((bound_count + 1) / PAGE_THREADS), block = PAGE_THREADS, shared = 0
/// Order   that of the bounds
/// Nulls   none
/// Errors  none
/// Tests   tests/parquet/selection.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_count_rows(GRID_CONSTANT(PageCountRowsParams) params) {
  const uint64_t at = (uint64_t)blockIdx.x * PAGE_THREADS + threadIdx.x;
  if (at > params.bound_count) return;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const bool last = at == params.bound_count;
  const uint64_t below = last ? row_count : rows_below(params.rows, row_count, params.bounds[at]);
  params.counts[at] = (uint32_t)below;
}
