// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_filter_insert hash_join_filter_sample
// Method    a Bloom filter of the build side's words stays in the L2 cache where the table does
//           not; a sample of the probe rows says on the device whether it keeps enough of them away
// Cost      insert, per build row: reads the key, one 32 B sector, up to four atomics; sample:
//           64 Ki rows at most
// Source    Bloom filters in front of joins are common knowledge; written from the idea
#include "hash_join.cuh"
#include "primitives/bloom.cuh"

/// Puts the words of the build side into a filter.
///
/// Shape   side[rows] -> filter.blocks, raised
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Nulls   null keys, and rows that match nothing, are left out
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_filter_insert(GRID_CONSTANT(HashJoinFilterParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_TILE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinWord words[HASH_JOIN_ITEMS];
    hash_join_words<false>(params.side, tile_row, row_count, words);
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      if (words[i].state != HASH_JOIN_WORD) continue;
      bloom_insert(params.filter.blocks, params.filter.block_count, xxhash_u64(words[i].word));
    }
  }
}

/// Counts how many of some tiles of probe rows pass a filter.
///
/// Shape   side[rows] -> filter.sampled[2], raised
/// Launch  grid = HASH_JOIN_SAMPLE_TILES, block = HASH_JOIN_THREADS, shared = 0
/// Nulls   null keys, and rows that match nothing, do not count
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_filter_sample(GRID_CONSTANT(HashJoinFilterParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  // The tiles lie as far from each other as the rows allow.
  const uint64_t apart = max(row_count / gridDim.x, (uint64_t)HASH_JOIN_TILE_ROWS);
  const uint64_t tile_row = blockIdx.x * apart;
  if (tile_row >= row_count) return;
  HashJoinWord words[HASH_JOIN_ITEMS];
  hash_join_words<false>(params.side, tile_row, row_count, words);
  uint32_t sampled = 0, passed = 0;
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    if (words[i].state != HASH_JOIN_WORD) continue;
    sampled++;
    passed +=
        bloom_may_have(params.filter.blocks, params.filter.block_count, xxhash_u64(words[i].word));
  }
  sampled = __reduce_add_sync(WARP_ALL, sampled);
  passed = __reduce_add_sync(WARP_ALL, passed);
  if ((threadIdx.x & 31) != 0 || sampled == 0) return;
  atomic_add_u64(params.filter.sampled, sampled);
  atomic_add_u64(params.filter.sampled + 1, passed);
}
