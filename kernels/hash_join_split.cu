// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_split_count hash_join_split_starts hash_join_split_rows
// Method    puts the keys of a side into the order of their slots' highest bits, so that what meets
//           a table which is larger than the L2 cache meets a part of it at a time: a first pass
//           counts the parts, a second sorts tiles by part in shared memory, gets a run of each
//           part by one atomic and writes runs. Warps count once per part, so that a frequent key
//           is no hot spot
// Cost      per row: reads the key twice, writes 12 B
// Source    multi-split by counts and runs is common knowledge; written from the idea
#include "hash_join.cuh"

struct HashJoinSplitPolicy {
  static const uint32_t ITEMS = HASH_JOIN_SPLIT_ROWS / HASH_JOIN_THREADS;
};
static_assert(HASH_JOIN_SPLIT_ROWS == HASH_JOIN_THREADS * HashJoinSplitPolicy::ITEMS,
              "a tile is one round of the block");
static_assert(HASH_JOIN_SPLIT_COUNTERS == (1 << HASH_JOIN_SPLIT_BITS_MAX) + 2,
              "a counter per part, one for null keys, one for rows that match nothing");
static_assert(HASH_JOIN_SPLIT_COUNTERS <= HASH_JOIN_THREADS, "a thread per counter");
static_assert(HASH_JOIN_SPLIT_ROWS <= 1 << 16, "part and row of a tile share 32 bits");

/// The counter of a part. Tiles add to all of them at the same time.
KERNEL_FN uint64_t *hash_join_split_counter(uint64_t *counters, uint32_t part) {
  return counters + part * HASH_JOIN_SPLIT_STRIDE;
}

/// The part of a key.
KERNEL_FN uint32_t hash_join_part(const HashJoinSplitParams &params, HashJoinWord key) {
  const uint32_t parts = 1u << params.part_bits;
  if (key.state == HASH_JOIN_NULL) return parts;
  if (key.state == HASH_JOIN_MATCHES_NONE) return parts + 1;
  return (uint32_t)(hash_join_hash<false>(params.hash_mask_bits, key.word) >>
                    (64 - params.part_bits));
}

/// Counts a row of each lane. Result: its rank among those of its part that the block counted.
KERNEL_FN uint32_t hash_join_part_rank(uint32_t *counts, uint32_t part, bool counted) {
  const uint32_t lane = threadIdx.x & 31;
  const uint32_t same = counted ? part : HASH_JOIN_SPLIT_COUNTERS;
  const uint32_t peers = __match_any_sync(WARP_ALL, same);
  const uint32_t leader = (uint32_t)__ffs((int)peers) - 1;
  uint32_t before = 0;
  if (counted && lane == leader) before = atomicAdd(&counts[part], (uint32_t)__popc(peers));
  before = __shfl_sync(WARP_ALL, before, (int)leader);
  return before + (uint32_t)__popc(peers & ((1u << lane) - 1));
}

/// Counts the rows of each part of a side.
///
/// Shape   side[rows] -> counters, raised
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Nulls   null keys, and rows that match nothing, are parts of their own
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_split_count(GRID_CONSTANT(HashJoinSplitParams) params) {
  SHARED(uint32_t, counts, HASH_JOIN_SPLIT_COUNTERS);
  if (threadIdx.x < HASH_JOIN_SPLIT_COUNTERS) counts[threadIdx.x] = 0;
  __syncthreads();
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_TILE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinWord words[HASH_JOIN_ITEMS];
    hash_join_words<false>(params.side, tile_row, row_count, words);
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
      hash_join_part_rank(counts, hash_join_part(params, words[i]), row < row_count);
    }
  }
  __syncthreads();
  if (threadIdx.x >= HASH_JOIN_SPLIT_COUNTERS) return;
  const uint32_t count = counts[threadIdx.x];
  if (count) atomic_add_u64(hash_join_split_counter(params.counters, threadIdx.x), count);
}

/// Gives every part its place: counts become starts.
///
/// Shape   counters -> counters, specials[2]
/// Launch  grid = 1, block = HASH_JOIN_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_split_starts(GRID_CONSTANT(HashJoinSplitStartsParams) params) {
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  const uint32_t own = threadIdx.x, parts = 1u << params.part_bits;
  // A side has fewer rows than 32-bit row numbers there are.
  uint64_t *counter = hash_join_split_counter(params.counters, own);
  const uint32_t count = own < HASH_JOIN_SPLIT_COUNTERS ? (uint32_t)*counter : 0;
  uint32_t total;
  const uint32_t start = hash_join_block_offset(count, warp_counts, &total);
  if (own < HASH_JOIN_SPLIT_COUNTERS) *counter = start;
  if (own == parts || own == parts + 1) params.specials[own - parts] = start;
}

/// Writes the keys of a side, packed, and their rows, part after part.
///
/// Shape   side[rows], counters -> split[rows]
/// Launch  grid = ceil(row_count / HASH_JOIN_SPLIT_ROWS), block = HASH_JOIN_THREADS, shared = 0
/// Order   none among the rows of a part
/// Nulls   null keys stand behind the parts, rows that match nothing behind them
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_split_rows(GRID_CONSTANT(HashJoinSplitParams) params) {
  const uint32_t ITEMS = HashJoinSplitPolicy::ITEMS;
  SHARED(uint64_t, tile_words, HASH_JOIN_SPLIT_ROWS);
  SHARED(uint32_t, tile_rows, HASH_JOIN_SPLIT_ROWS);  // part above row of the tile
  SHARED(uint32_t, counts, HASH_JOIN_SPLIT_COUNTERS);
  SHARED(uint64_t, targets, HASH_JOIN_SPLIT_COUNTERS);  // of the part's row 0, if it were there
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  const uint32_t own = threadIdx.x;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_SPLIT_ROWS;
  if (tile_row >= row_count) return;
  if (own < HASH_JOIN_SPLIT_COUNTERS) counts[own] = 0;
  __syncthreads();
  HashJoinWord words[ITEMS];
  uint32_t ranks[ITEMS];  // part above rank
  hash_join_words<false, HashJoinSplitPolicy::ITEMS>(params.side, tile_row, row_count, words);
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    const bool in_rows = tile_row + i * HASH_JOIN_THREADS + own < row_count;
    const uint32_t part = hash_join_part(params, words[i]);
    ranks[i] = part << 16 | hash_join_part_rank(counts, part, in_rows);
  }
  __syncthreads();
  const uint32_t count = own < HASH_JOIN_SPLIT_COUNTERS ? counts[own] : 0;
  uint32_t total;
  const uint32_t start = hash_join_block_offset(count, warp_counts, &total);
  if (own < HASH_JOIN_SPLIT_COUNTERS) {
    uint64_t *counter = hash_join_split_counter(params.counters, own);
    targets[own] = (count ? atomic_add_u64(counter, count) : 0) - start;
    counts[own] = start;
  }
  __syncthreads();
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint32_t row = i * HASH_JOIN_THREADS + own;
    if (tile_row + row >= row_count) continue;
    const uint32_t part = ranks[i] >> 16;
    const uint32_t place = counts[part] + (ranks[i] & 0xffff);
    tile_words[place] = words[i].word;
    tile_rows[place] = part << 16 | row;
  }
  __syncthreads();
  for (uint32_t place = own; place < total; place += HASH_JOIN_THREADS) {
    const uint32_t row = tile_rows[place];
    const uint64_t target = targets[row >> 16] + place;
    params.split.words[target] = tile_words[place];
    params.split.rows[target] = (uint32_t)tile_row + (row & 0xffff);
  }
}
