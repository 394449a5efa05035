// Operator  nested_loop_join (src/operators/nested_loop_join.rs states the contract)
// Kernels   nested_loop_join_pairs
// Method    numbers the pairs of two sides' rows probe row by probe row and writes a range of them as
//           row numbers, four to a thread; conditions are evaluated over what is gathered by them
// Cost      per pair: writes 8 B
// Source    common knowledge
#include "abi/nested_loop_join.h"
#include "primitives/prelude.cuh"

/// Writes the row numbers of pairs.
///
/// Shape   out_probe_rows[pair_count], out_build_rows[pair_count]
/// Launch  grid = ceil(pair_count / (NESTED_LOOP_JOIN_THREADS * NESTED_LOOP_JOIN_ITEMS)),
///         block = NESTED_LOOP_JOIN_THREADS, shared = 0
/// Order   by probe row, then by build row
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/nested_loop_join.rs
extern "C" __global__ void __launch_bounds__(NESTED_LOOP_JOIN_THREADS)
nested_loop_join_pairs(GRID_CONSTANT(NestedLoopJoinPairsParams) params) {
  const uint64_t tile = (uint64_t)NESTED_LOOP_JOIN_THREADS * NESTED_LOOP_JOIN_ITEMS;
  const uint64_t first = blockIdx.x * tile;
  if (first >= params.pair_count) return;
  // One division of 64 bits per block; from there on the rows fit 32 bits, and places of the tile
  // behind a build row fit, too, unless the build side is about as large as row numbers allow.
  const uint64_t pair = params.first_pair + first;
  const uint64_t probe_row = pair / params.build_row_count;
  const uint64_t build_row = pair - probe_row * params.build_row_count;
  for (uint32_t i = 0; i < NESTED_LOOP_JOIN_ITEMS; i++) {
    const uint64_t at = i * NESTED_LOOP_JOIN_THREADS + threadIdx.x;
    if (first + at >= params.pair_count) return;
    const uint64_t place = build_row + at;
    const uint64_t more = params.build_row_count > 0xffffffffull - tile
                              ? place / params.build_row_count
                              : (uint32_t)place / (uint32_t)params.build_row_count;
    params.out_probe_rows[first + at] = (uint32_t)(probe_row + more);
    params.out_build_rows[first + at] = (uint32_t)(place - more * params.build_row_count);
  }
}
