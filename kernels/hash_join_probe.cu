// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_match hash_join_match_wide hash_join_pairs hash_join_pairs_wide
//           hash_join_count hash_join_count_wide hash_join_emit
// Method    a thread has the keys, places and first slots of its rows in flight: of two, so that
//           many threads hide what one waits for. Where no build key comes twice, a tile of rows
//           gets its output rows by one atomic; else a first pass keeps each row's list and sums
//           lengths by look-back, and a second writes the pairs, each block an equal share of tiles
//           and output rows, however long a list is
// Cost      per probe row: reads the key, one 32 B sector, writes 8 B per pair (1/8 B per row where
//           only existence is asked); with lists 8 B more are written and read per row, and one
//           more sector is read per pair
// Source    equal shares of two sequences are merge path (S. Odeh et al., IPDPSW 2012); written
//           from the idea
#include "hash_join_find.cuh"
#include "primitives/grid.cuh"

struct HashJoinProbePolicy {
  static const uint32_t ITEMS = HASH_JOIN_PROBE_ROWS / HASH_JOIN_THREADS;
};
static_assert(HASH_JOIN_PROBE_ROWS == HASH_JOIN_THREADS * HashJoinProbePolicy::ITEMS,
              "a tile is one round of the block");

template <bool WIDE>
KERNEL_FN void hash_join_match_rows(const HashJoinMatchParams &params) {
  const uint32_t ITEMS = HashJoinProbePolicy::ITEMS;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_PROBE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_PROBE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinFound<HashJoinProbePolicy::ITEMS> own;
    hash_join_find<WIDE, HashJoinProbePolicy::ITEMS>(params.probe, params.build, params.table,
                                                     params.filter, tile_row, row_count, &own);
#pragma unroll  // hash_join/semi
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
      if ((row & ~(uint64_t)31) >= row_count) break;  // whole warps leave together
      bitmap_write_warp(params.out_found, row,
                        row < row_count && own.found[i] != (params.invert != 0));
      if (params.out_build_rows && row < row_count) {
        params.out_build_rows[row] = own.found[i] ? (uint32_t)own.values[i] : 0;
      }
    }
  }
}

/// Says of every probe row whether its key is there, and where.
///
/// Shape   probe[rows], table -> out_found[rows], out_build_rows[rows]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS, HASH_JOIN_PROBE_BLOCKS)
hash_join_match(GRID_CONSTANT(HashJoinMatchParams) params) { hash_join_match_rows<false>(params); }

/// Says of every probe row with a wide key whether it is there, and where.
///
/// Shape   probe[rows], table -> out_found[rows], out_build_rows[rows]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS, HashJoinPolicy::WIDE_BLOCKS)
hash_join_match_wide(GRID_CONSTANT(HashJoinMatchParams) params) {
  hash_join_match_rows<true>(params);
}

template <bool WIDE>
KERNEL_FN void hash_join_pairs_rows(const HashJoinPairsParams &params) {
  const uint32_t ITEMS = HashJoinProbePolicy::ITEMS;
  // Of this tile and of the next, in turn, so that two barriers do.
  SHARED(uint32_t, tile_counts, 2);
  SHARED(uint64_t, tile_starts, 2);
  const uint32_t lane = threadIdx.x & 31;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_PROBE_ROWS;
  if (threadIdx.x < 2) tile_counts[threadIdx.x] = 0;
  __syncthreads();
  uint32_t turn = 0;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_PROBE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinFound<HashJoinProbePolicy::ITEMS> own;
    hash_join_find<WIDE, HashJoinProbePolicy::ITEMS>(params.probe, params.build, params.table,
                                                     params.filter, tile_row, row_count, &own);
    uint32_t found[ITEMS], count = 0;
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
      own.found[i] = row < row_count && own.found[i] != (params.invert != 0);
      found[i] = __ballot_sync(WARP_ALL, own.found[i]);
      count += (uint32_t)__popc(found[i]);
    }
    uint32_t before = 0;  // of the warp, in the order in which warps come
    if (lane == 0 && count) before = atomicAdd(&tile_counts[turn], count);
    __syncthreads();
    if (threadIdx.x == 0) {
      const uint32_t total = tile_counts[turn];
      tile_starts[turn] = total ? atomic_add_u64(params.out_row_count, total) : 0;
      tile_counts[turn ^ 1] = 0;
    }
    __syncthreads();
    uint64_t out_row = tile_starts[turn] + __shfl_sync(WARP_ALL, before, 0);
    turn ^= 1;
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < ITEMS; i++) {
      if (own.found[i]) {
        const uint64_t out = out_row + (uint32_t)__popc(found[i] & ((1u << lane) - 1));
        const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
        __stcs(params.out_probe_rows + out, (uint32_t)row);
        if (params.out_build_rows) __stcs(params.out_build_rows + out, (uint32_t)own.values[i]);
      }
      out_row += (uint32_t)__popc(found[i]);
    }
  }
}

/// Lists the pairs of probe and build rows with equal keys, where no build key comes twice; or the
/// probe rows alone, with a match or without.
///
/// Shape   probe[rows], table -> out_probe_rows[*out_row_count],
///         out_build_rows[*out_row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none between warps
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS, HASH_JOIN_PROBE_BLOCKS)
hash_join_pairs(GRID_CONSTANT(HashJoinPairsParams) params) { hash_join_pairs_rows<false>(params); }

/// Lists the pairs of rows with equal wide keys, where no build key comes twice; or the probe rows
/// alone, with a match or without.
///
/// Shape   probe[rows], table -> out_probe_rows[*out_row_count], out_build_rows[*out_row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none between warps
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS, HashJoinPolicy::WIDE_BLOCKS)
hash_join_pairs_wide(GRID_CONSTANT(HashJoinPairsParams) params) {
  hash_join_pairs_rows<true>(params);
}

/// Adds a value of every thread of the block. Result: the sum, in the lanes of the first warp.
KERNEL_FN uint64_t hash_join_block_sum(uint64_t value, uint64_t *warp_sums) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WARP_ALL, value, distance);
  }
  if ((threadIdx.x & 31) == 0) warp_sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return 0;
  value = threadIdx.x < HashJoinPolicy::WARPS ? warp_sums[threadIdx.x] : 0;
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WARP_ALL, value, distance);
  }
  return value;
}

template <bool WIDE>
KERNEL_FN void hash_join_count_rows(const HashJoinCountParams &params) {
  SHARED(uint64_t, warp_sums, HashJoinPolicy::WARPS);
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t tile_row = tile * HASH_JOIN_TILE_ROWS;
  if (tile_row >= row_count && tile > 0) return;
  HashJoinFound<HASH_JOIN_ITEMS> own;
  hash_join_find<WIDE, HASH_JOIN_ITEMS>(params.probe, params.build, params.table, params.filter,
                                        tile_row, row_count, &own);
  uint64_t sum = 0;
#pragma unroll  // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
    if (row >= row_count) continue;
    const uint64_t hit = own.found[i] ? own.values[i] : 0;
    params.out_hits[row] = hit;
    sum += hit ? hit >> 32 : params.outer;
  }
  sum = hash_join_block_sum(sum, warp_sums);
  if (threadIdx.x >= 32) return;
  const uint64_t before = grid_lookback(params.tile_states, tile, sum);
  if (threadIdx.x != 0) return;
  params.out_tile_starts[tile] = before;
  if (tile_row + HASH_JOIN_TILE_ROWS >= row_count) {
    params.out_tile_starts[tile + 1] = before + sum;
    *params.out_row_count = before + sum;
  }
}

/// Finds every probe row's list of build rows, and where the output rows of each tile begin.
///
/// Shape   probe[rows], table -> out_hits[rows], out_tile_starts[tiles + 1]
/// Launch  grid = max(1, ceil(row_count / HASH_JOIN_TILE_ROWS)), block = HASH_JOIN_THREADS,
///         shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_count(GRID_CONSTANT(HashJoinCountParams) params) { hash_join_count_rows<false>(params); }

/// Finds the lists of probe rows with wide keys, and where the output rows of each tile begin.
///
/// Shape   probe[rows], table -> out_hits[rows], out_tile_starts[tiles + 1]
/// Launch  grid = max(1, ceil(row_count / HASH_JOIN_TILE_ROWS)), block = HASH_JOIN_THREADS,
///         shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS, HashJoinPolicy::WIDE_BLOCKS)
hash_join_count_wide(GRID_CONSTANT(HashJoinCountParams) params) {
  hash_join_count_rows<true>(params);
}

/// The last place of an ascending list whose value is at most `wanted`; the first one is.
template <typename T, typename F>
KERNEL_FN T hash_join_last_below(T count, uint64_t wanted, F value_at) {
  T low = 0, high = count;
  while (high - low > 1) {
    const T middle = low + (high - low) / 2;
    if (value_at(middle) <= wanted) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Writes output rows `from` to `to` of a tile, counted from its first.
KERNEL_FN void hash_join_expand(const HashJoinEmitParams &params, uint64_t tile_row,
                                uint64_t row_count, uint64_t from, uint64_t to) {
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  SHARED(uint32_t, out_starts, HASH_JOIN_TILE_ROWS);
  SHARED(uint32_t, list_starts, HASH_JOIN_TILE_ROWS);
  uint32_t lengths[HASH_JOIN_ITEMS], sum = 0;
  __syncthreads();  // the tile before has been written
#pragma unroll      // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint32_t place = threadIdx.x * HASH_JOIN_ITEMS + i;
    const bool in_rows = tile_row + place < row_count;
    const uint64_t hit = in_rows ? params.hits[tile_row + place] : 0;
    lengths[i] = hit ? (uint32_t)(hit >> 32) : in_rows && params.outer;
    list_starts[place] = hit ? (uint32_t)hit : HASH_JOIN_NO_ROW;
    sum += lengths[i];
  }
  uint32_t total;
  uint32_t start = hash_join_block_offset(sum, warp_counts, &total);
#pragma unroll  // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    out_starts[threadIdx.x * HASH_JOIN_ITEMS + i] = start;
    start += lengths[i];
  }
  __syncthreads();
  const uint64_t tile_start = params.tile_starts[tile_row / HASH_JOIN_TILE_ROWS];
  for (uint64_t out = from + threadIdx.x; out < to; out += HASH_JOIN_THREADS) {
    const uint32_t place = hash_join_last_below<uint32_t>(
        HASH_JOIN_TILE_ROWS, out, [&](uint32_t p) { return (uint64_t)out_starts[p]; });
    const uint32_t list = list_starts[place];
    params.out_probe_rows[tile_start + out] = (uint32_t)(tile_row + place);
    params.out_build_rows[tile_start + out] =
        list == HASH_JOIN_NO_ROW ? params.no_row
                                 : params.list_rows[list + (uint32_t)out - out_starts[place]];
  }
}

/// Writes the pairs of rows that `hash_join_count` counted.
///
/// Shape   hits[rows], tile_starts[tiles + 1] -> out_probe_rows, out_build_rows
/// Launch  grid = ceil((tiles * HASH_JOIN_TILE_COST + output rows) / HASH_JOIN_SHARE),
///         block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   `no_row` stands for the build row of a row without a match
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_emit(GRID_CONSTANT(HashJoinEmitParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tiles = (row_count + HASH_JOIN_TILE_ROWS - 1) / HASH_JOIN_TILE_ROWS;
  // A tile begins where the tiles and output rows before it end; it costs itself and its rows.
  const auto cost_before = [&](uint64_t tile) {
    return tile * HASH_JOIN_TILE_COST + params.tile_starts[tile];
  };
  const uint64_t share_start = (uint64_t)blockIdx.x * HASH_JOIN_SHARE;
  const uint64_t share_end = share_start + HASH_JOIN_SHARE;
  if (tiles == 0 || share_start >= cost_before(tiles)) return;
  uint64_t tile = hash_join_last_below<uint64_t>(tiles, share_start, cost_before);
  for (; tile < tiles && cost_before(tile) < share_end; tile++) {
    const uint64_t first = cost_before(tile) + HASH_JOIN_TILE_COST;
    const uint64_t length = params.tile_starts[tile + 1] - params.tile_starts[tile];
    const uint64_t from = share_start > first ? share_start - first : 0;
    const uint64_t to = share_end > first ? min(share_end - first, length) : 0;
    if (from < to) hash_join_expand(params, tile * HASH_JOIN_TILE_ROWS, row_count, from, to);
  }
}
