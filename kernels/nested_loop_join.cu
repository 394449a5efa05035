// Operator  nested_loop_join (src/operators/nested_loop_join.rs states the contract)
// Kernels   nested_loop_join_pairs nested_loop_join_count nested_loop_join_compare
// Method    where the condition compares what the probe side has with what the build side has, a
//           thread holds the values of one probe row and a block those of many build rows in shared
//           memory: matches are counted, then written, warp by warp. Else pairs are numbered probe
//           row by probe row and a range of them is written as row numbers, four to a thread;
//           conditions are evaluated over what is gathered by them
// Cost      pairs: writes 8 B per pair; count, compare: per probe row reads the values once per
//           1024 build rows, no byte per pair; compare writes 8 B per match
// Source    block nested loops are common knowledge; written from the idea
#include "abi/nested_loop_join.h"
#include "primitives/atomic.cuh"
#include "primitives/block.cuh"
#include "primitives/value.cuh"

struct NestedLoopJoinPolicy {
  static const uint32_t WARPS = NESTED_LOOP_JOIN_THREADS / 32;
  static const uint32_t COMPARISONS = NESTED_LOOP_JOIN_COMPARISONS_MAX;
};

/// The value of each comparison in one row, in codes that have the order of values.
struct NestedLoopJoinRow {
  uint64_t codes[NestedLoopJoinPolicy::COMPARISONS];
  bool valid;  // no value is null
};

KERNEL_FN NestedLoopJoinRow nested_loop_join_row(const ColumnView *columns, uint32_t count,
                                                 uint64_t row) {
  NestedLoopJoinRow own = {{0, 0, 0, 0}, true};
#pragma unroll  // nested_loop_join/less
  for (uint32_t c = 0; c < NestedLoopJoinPolicy::COMPARISONS; c++) {
    if (c >= count) break;
    own.valid = own.valid && column_valid(columns[c], row);
    own.codes[c] = order_code(columns[c].type, column_bits(columns[c], row));
  }
  return own;
}

/// Some build rows in shared memory, those without nulls.
struct NestedLoopJoinTile {
  const uint64_t *codes;  // [comparison][row]
  const uint32_t *rows;
  uint32_t count;
};

/// Whether a probe row and a row of the tile are a match.
KERNEL_FN bool nested_loop_join_match(const NestedLoopJoinCompareParams &params,
                                      const NestedLoopJoinRow &probe,
                                      const NestedLoopJoinTile &tile, uint32_t place) {
  bool match = probe.valid;
#pragma unroll  // nested_loop_join/less
  for (uint32_t c = 0; c < NestedLoopJoinPolicy::COMPARISONS; c++) {
    if (c >= params.comparison_count) break;
    const uint64_t p = probe.codes[c], b = tile.codes[c * NESTED_LOOP_JOIN_BUILD_ROWS + place];
    const uint32_t order = p < b    ? NESTED_LOOP_JOIN_BELOW
                           : p == b ? NESTED_LOOP_JOIN_EQUAL
                                    : NESTED_LOOP_JOIN_ABOVE;
    match = match && (params.accepts[c] & order);
  }
  return match;
}

/// Counts the caller's matches in a tile.
KERNEL_FN uint32_t nested_loop_join_matches(const NestedLoopJoinCompareParams &params,
                                            const NestedLoopJoinRow &probe,
                                            const NestedLoopJoinTile &tile) {
  uint32_t count = 0;
  if (!probe.valid) return count;
#pragma unroll 4  // nested_loop_join/less
  for (uint32_t place = 0; place < tile.count; place++) {
    count += nested_loop_join_match(params, probe, tile, place);
  }
  return count;
}

/// Calls `f` with a probe row, its values and a tile of build rows, for each of both that meet. All
/// threads of the block call it together; rows beyond the last are not valid.
template <typename F>
KERNEL_FN void nested_loop_join_tiles(const NestedLoopJoinCompareParams &params, F f) {
  SHARED(uint64_t, codes, NESTED_LOOP_JOIN_COMPARISONS_MAX * NESTED_LOOP_JOIN_BUILD_ROWS);
  SHARED(uint32_t, rows, NESTED_LOOP_JOIN_BUILD_ROWS);
  SHARED(uint32_t, held, 1);
  const uint64_t probe_tiles =
      (params.probe_row_count + NESTED_LOOP_JOIN_THREADS - 1) / NESTED_LOOP_JOIN_THREADS;
  const uint64_t build_tiles =
      (params.build_row_count + NESTED_LOOP_JOIN_BUILD_ROWS - 1) / NESTED_LOOP_JOIN_BUILD_ROWS;
  for (uint64_t t = blockIdx.x; t < probe_tiles * build_tiles; t += gridDim.x) {
    const uint64_t build_row = t % build_tiles * NESTED_LOOP_JOIN_BUILD_ROWS;
    const uint64_t probe_row = t / build_tiles * NESTED_LOOP_JOIN_THREADS + threadIdx.x;
    __syncthreads();  // the tile before has been compared
    if (threadIdx.x == 0) held[0] = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < NESTED_LOOP_JOIN_BUILD_ROWS; i += NESTED_LOOP_JOIN_THREADS) {
      if (build_row + i >= params.build_row_count) break;
      const NestedLoopJoinRow own =
          nested_loop_join_row(params.build, params.comparison_count, build_row + i);
      if (!own.valid) continue;
      const uint32_t place = atomicAdd(&held[0], 1u);
      rows[place] = (uint32_t)(build_row + i);
#pragma unroll  // nested_loop_join/less
      for (uint32_t c = 0; c < NestedLoopJoinPolicy::COMPARISONS; c++) {
        const uint32_t first = c * NESTED_LOOP_JOIN_BUILD_ROWS;
        if (c < params.comparison_count) codes[first + place] = own.codes[c];
      }
    }
    NestedLoopJoinRow probe = {{0, 0, 0, 0}, false};
    if (probe_row < params.probe_row_count) {
      probe = nested_loop_join_row(params.probe, params.comparison_count, probe_row);
    }
    __syncthreads();
    f(probe_row, probe, NestedLoopJoinTile{codes, rows, held[0]});
  }
}

/// Counts matches, or marks the probe rows that have some.
///
/// Shape   probe[probe rows], build[build rows] -> out_row_count, or out_marks[probe rows], raised
/// Launch  any grid, block = NESTED_LOOP_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   match nothing
/// Errors  none
/// Tests   tests/operators/nested_loop_join.rs
extern "C" __global__ void __launch_bounds__(NESTED_LOOP_JOIN_THREADS)
nested_loop_join_count(GRID_CONSTANT(NestedLoopJoinCompareParams) params) {
  const uint32_t lane = threadIdx.x & 31;
  nested_loop_join_tiles(params, [&](uint64_t probe_row, const NestedLoopJoinRow &probe,
                                     const NestedLoopJoinTile &tile) {
    const uint32_t count = nested_loop_join_matches(params, probe, tile);
    if (params.out_marks) {
      const uint32_t marked = __ballot_sync(WARP_ALL, count > 0);
      if (lane == 0 && marked) atomicOr(&params.out_marks[probe_row / 32], marked);
      return;
    }
    const uint32_t total = __reduce_add_sync(WARP_ALL, count);
    if (lane == 0 && total) atomic_add_u64(params.out_row_count, total);
  });
}

/// Writes matches. What they number is known to the caller, and counted again.
///
/// Shape   probe[probe rows], build[build rows] -> out_probe_rows[*out_row_count],
///         out_build_rows[*out_row_count]
/// Launch  any grid, block = NESTED_LOOP_JOIN_THREADS, shared = 0
/// Order   none
/// Nulls   match nothing
/// Errors  none
/// Tests   tests/operators/nested_loop_join.rs
extern "C" __global__ void __launch_bounds__(NESTED_LOOP_JOIN_THREADS)
nested_loop_join_compare(GRID_CONSTANT(NestedLoopJoinCompareParams) params) {
  SHARED(uint32_t, warp_counts, NestedLoopJoinPolicy::WARPS);
  SHARED(uint64_t, block_start, 1);
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  nested_loop_join_tiles(params, [&](uint64_t probe_row, const NestedLoopJoinRow &probe,
                                     const NestedLoopJoinTile &tile) {
    const uint32_t count = nested_loop_join_matches(params, probe, tile);
    const uint32_t warp_total = __reduce_add_sync(WARP_ALL, count);
    if (lane == 0) warp_counts[warp] = warp_total;
    const uint32_t total = block_scan_warps(warp_counts, NestedLoopJoinPolicy::WARPS);
    if (total == 0) return;  // all threads have one total
    if (threadIdx.x == 0) block_start[0] = atomic_add_u64(params.out_row_count, total);
    __syncthreads();
    uint64_t out = block_start[0] + warp_counts[warp];
    if (warp_total == 0) return;
    for (uint32_t place = 0; place < tile.count; place++) {
      const bool match = nested_loop_join_match(params, probe, tile, place);
      const uint32_t matches = __ballot_sync(WARP_ALL, match);
      if (match) {
        const uint64_t own = out + (uint32_t)__popc(matches & ((1u << lane) - 1));
        params.out_probe_rows[own] = (uint32_t)probe_row;
        params.out_build_rows[own] = tile.rows[place];
      }
      out += (uint32_t)__popc(matches);
    }
  });
}

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
