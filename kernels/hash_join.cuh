// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   those of hash_join.cu, hash_join_filter.cu, hash_join_parts.cu and hash_join_probe.cu
// Method    keys of at most 64 bits, or that need no more where the build side's values lie, are
//           one word, wider ones a hash that is verified against the build side's columns; a word
//           is a place of a dense table where the keys lie close once the bits that all of them
//           share are gone, else it is hashed to the start of a 32-byte sector of slots and looked
//           for from there on
// Cost      see the kernels
// Source    open addressing and removing constant bits are common knowledge; written from the idea
#pragma once
#include "abi/hash_join.h"
#include "primitives/atomic.cuh"
#include "primitives/block.cuh"
#include "primitives/hash.cuh"
#include "primitives/status.cuh"
#include "primitives/value.cuh"

#define HASH_JOIN_NO_SLOT (~0ull)
#define HASH_JOIN_HASH_STEP 0x9e3779b97f4a7c15ull

struct HashJoinPolicy {
  static const uint32_t WARPS = HASH_JOIN_THREADS / 32;
  // Per multiprocessor, of kernels that compare columns: more of them would spill registers.
  static const uint32_t WIDE_BLOCKS = 3;
};
static_assert(HASH_JOIN_THREADS % 32 == 0, "warps are whole");
static_assert(HASH_JOIN_TILE_ROWS == HASH_JOIN_THREADS * HASH_JOIN_ITEMS,
              "a tile is one round of the block");

enum HashJoinState {
  HASH_JOIN_MATCHES_NONE = 0,  // a null that equals nothing, or no row
  HASH_JOIN_WORD = 1,          // a key with a word
  HASH_JOIN_NULL = 2,          // the null of a single key column of 64 bits
};

/// The key of a row: its packed bits, or, of a wide key, its hash.
struct HashJoinWord {
  uint64_t word;
  HashJoinState state;
};

/// The values of a column's row with equal bits where values are equal.
KERNEL_FN uint64_t hash_join_bits(const ColumnView &column, uint64_t row, uint64_t *high) {
  *high = 0;
  if (column.type == PHYSICAL_INT128) {
    const int128_t value = column_value<int128_t>(column, row);
    *high = (uint64_t)(value >> 64);
    return (uint64_t)value;
  }
  return float_bits_normal(column.type, column_bits(column, row));
}

/// Packs the key of a row into a word. Words are in the order of a single integer key's values.
KERNEL_FN HashJoinWord hash_join_pack(const HashJoinKeys &side, uint64_t row) {
  HashJoinWord packed = {0, HASH_JOIN_WORD};
  for (uint32_t k = 0; k < side.key_count; k++) {
    const HashJoinKey &key = side.keys[k];
    if (column_valid(key.column, row)) {
      const uint64_t bits =
          (float_bits_normal(key.column.type, column_bits(key.column, row)) ^ key.flip) - key.base;
      if (bits > key.span) return {0, HASH_JOIN_MATCHES_NONE};
      packed.word |= bits << key.shift;
    } else if (!side.null_equals_null) {
      return {0, HASH_JOIN_MATCHES_NONE};
    } else if (key.null_shift < 64) {
      packed.word |= 1ull << key.null_shift;
    } else {
      return {0, HASH_JOIN_NULL};
    }
  }
  return packed;
}

/// Hashes the key of a row, column by column.
KERNEL_FN HashJoinWord hash_join_hash_columns(const HashJoinKeys &side, uint64_t row) {
  uint64_t hash = 0;
  for (uint32_t k = 0; k < side.key_count; k++) {
    const ColumnView &column = side.keys[k].column;
    const bool valid = column_valid(column, row);
    if (!valid && !side.null_equals_null) return {0, HASH_JOIN_MATCHES_NONE};
    uint64_t high = 0;
    const uint64_t low = valid ? hash_join_bits(column, row, &high) : HASH_JOIN_HASH_STEP;
    hash = hash_word(low + HASH_JOIN_HASH_STEP * hash);
    if (column.type == PHYSICAL_INT128) hash = hash_word(high + HASH_JOIN_HASH_STEP * hash);
  }
  return {hash, HASH_JOIN_WORD};
}

/// The key of a row.
template <bool WIDE>
KERNEL_FN HashJoinWord hash_join_key(const HashJoinKeys &side, uint64_t row) {
  return WIDE ? hash_join_hash_columns(side, row) : hash_join_pack(side, row);
}

/// True if two rows have equal keys. Both keys can match: nulls are equal here.
KERNEL_FN bool hash_join_same(const HashJoinKeys &left, uint64_t left_row,
                              const HashJoinKeys &right, uint64_t right_row) {
  for (uint32_t k = 0; k < left.key_count; k++) {
    const ColumnView &a = left.keys[k].column, &b = right.keys[k].column;
    const bool valid = column_valid(a, left_row);
    if (valid != column_valid(b, right_row)) return false;
    if (!valid) continue;
    uint64_t high_a, high_b;
    const uint64_t low_a = hash_join_bits(a, left_row, &high_a);
    if (low_a != hash_join_bits(b, right_row, &high_b) || high_a != high_b) return false;
  }
  return true;
}

/// The keys of a thread's rows of a tile: one of every THREADS rows.
template <bool WIDE, uint32_t ITEMS = HASH_JOIN_ITEMS, uint32_t THREADS = HASH_JOIN_THREADS>
KERNEL_FN void hash_join_words(const HashJoinKeys &side, uint64_t tile_row, uint64_t row_count,
                               HashJoinWord *words) {
  const HashJoinKey &key = side.keys[0];
  const uint64_t first = tile_row + threadIdx.x;
  if (!WIDE && side.plain_bytes == 8) {
    const uint64_t *values = (const uint64_t *)key.column.values + key.column.offset;
#pragma unroll  // hash_join/inner: the keys of all items are in flight together
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t row = first + i * THREADS;
      words[i].state = row < row_count ? HASH_JOIN_WORD : HASH_JOIN_MATCHES_NONE;
      words[i].word = row < row_count ? __ldcs(values + row) ^ key.flip : 0;
    }
    return;
  }
  if (!WIDE && side.plain_bytes == 4) {
    const uint32_t *values = (const uint32_t *)key.column.values + key.column.offset;
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t row = first + i * THREADS;
      words[i].state = row < row_count ? HASH_JOIN_WORD : HASH_JOIN_MATCHES_NONE;
      words[i].word = row < row_count ? __ldcs(values + row) ^ key.flip : 0;
    }
    return;
  }
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint64_t row = first + i * THREADS;
    words[i] = {0, HASH_JOIN_MATCHES_NONE};
    if (row < row_count) words[i] = hash_join_key<WIDE>(side, row);
  }
}

/// The place of a word in a dense table; `HASH_JOIN_NO_SLOT` if it has none.
KERNEL_FN uint64_t hash_join_place(const HashJoinTable &table, uint64_t word) {
  uint64_t place = 0;
#pragma unroll  // hash_join/inner
  for (uint32_t r = 0; r < HASH_JOIN_RUNS_MAX; r++) {
    if (r < table.run_count) place |= (word & table.run_masks[r]) >> table.run_shifts[r];
  }
  place -= table.base;
  const bool has_place =
      (word & table.constant_mask) == table.constant_bits && place < table.capacity;
  return has_place ? place : HASH_JOIN_NO_SLOT;
}

/// A hash, as many bits of it as are in use.
template <bool WIDE>
KERNEL_FN uint64_t hash_join_hash(uint32_t hash_mask_bits, uint64_t word) {
  const uint64_t hash = WIDE ? word : hash_word(word);
  return hash_mask_bits >= 64 ? hash : hash & ((1ull << hash_mask_bits) - 1);
}

/// The first slot of the sector in which a key is looked for first; the slot of its own, of a key
/// that is no mark. Sectors are in the order of the hashes' high halves.
template <bool WIDE>
KERNEL_FN uint64_t hash_join_start(const HashJoinTable &table, HashJoinWord key, uint64_t hash) {
  if (!WIDE && key.state == HASH_JOIN_NULL) return table.capacity;
  if (!WIDE && key.word == HASH_JOIN_EMPTY) return table.capacity + 1;
  const uint32_t sector_bits = table.slot_words == 1 ? 2 : 1;
  return ((hash >> 32) * (table.capacity >> sector_bits) >> 32) << sector_bits;
}

/// The slot behind, or the first one.
KERNEL_FN uint64_t hash_join_step(const HashJoinTable &table, uint64_t slot) {
  return slot + 1 == table.capacity ? 0 : slot + 1;
}

/// Sums of the block's threads before the caller. `warp_counts` has one word per warp.
template <uint32_t WARPS = HashJoinPolicy::WARPS>
KERNEL_FN uint32_t hash_join_block_offset(uint32_t count, uint32_t *warp_counts, uint32_t *total) {
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  uint32_t sum = count;
#pragma unroll  // hash_join/duplicates
  for (uint32_t distance = 1; distance < 32; distance *= 2) {
    const uint32_t below = __shfl_up_sync(WARP_ALL, sum, distance);
    if (lane >= distance) sum += below;
  }
  if (lane == 31) warp_counts[warp] = sum;
  *total = block_scan_warps(warp_counts, WARPS);
  return warp_counts[warp] + sum - count;
}
