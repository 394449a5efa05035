// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_range hash_join_insert hash_join_insert_wide hash_join_offsets hash_join_fill
//           hash_join_mark
// Method    the build side: one pass finds the range of the keys, one puts them into the table, or,
//           of a large one, what hash_join_parts.cu left, and ranks the rows of each key (warps add
//           once per key, so that a frequent one is no hot spot); where keys repeat, lists get
//           their places and are filled. Besides, the marks of rows that were matched
// Cost      per build row: reads the key twice, one 32 B sector and one atomic, writes 8 B; where
//           keys repeat, one more sector read and one written
// Source    lists by count, scan and fill are common knowledge; written from the idea
#include "hash_join.cuh"

/// What a thread knows of the words that it saw.
struct HashJoinRange {
  uint64_t least, greatest, in_all, in_any, words, nulls;
};

KERNEL_FN void hash_join_range_join(HashJoinRange *own, const HashJoinRange &other) {
  own->least = other.least < own->least ? other.least : own->least;
  own->greatest = other.greatest > own->greatest ? other.greatest : own->greatest;
  own->in_all &= other.in_all;
  own->in_any |= other.in_any;
  own->words += other.words;
  own->nulls += other.nulls;
}

/// Joins what the lanes of a warp know. Result in every lane.
KERNEL_FN void hash_join_range_warp(HashJoinRange *own) {
  for (int distance = 16; distance > 0; distance /= 2) {
    HashJoinRange other;
    other.least = __shfl_xor_sync(WARP_ALL, own->least, distance);
    other.greatest = __shfl_xor_sync(WARP_ALL, own->greatest, distance);
    other.in_all = __shfl_xor_sync(WARP_ALL, own->in_all, distance);
    other.in_any = __shfl_xor_sync(WARP_ALL, own->in_any, distance);
    other.words = __shfl_xor_sync(WARP_ALL, own->words, distance);
    other.nulls = __shfl_xor_sync(WARP_ALL, own->nulls, distance);
    hash_join_range_join(own, other);
  }
}

/// Finds out where narrow keys lie: the range of their words and the bits that they share.
///
/// Shape   build[row_count] -> found[HASH_JOIN_RANGE_WORDS], raised or lowered
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Nulls   rows that match nothing do not count; nulls without a word are counted apart
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_range(GRID_CONSTANT(HashJoinRangeParams) params) {
  SHARED(HashJoinRange, ranges, HashJoinPolicy::WARPS);
  HashJoinRange own = {~0ull, 0, ~0ull, 0, 0, 0};
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_TILE_ROWS; tile_row < params.row_count;
       tile_row += stride) {
    HashJoinWord words[HASH_JOIN_ITEMS];
    hash_join_words<false>(params.build, tile_row, params.row_count, words);
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      const uint64_t word = words[i].word;
      if (words[i].state == HASH_JOIN_NULL) own.nulls++;
      if (words[i].state == HASH_JOIN_WORD)
        hash_join_range_join(&own, {word, word, word, word, 1, 0});
    }
  }
  hash_join_range_warp(&own);
  if ((threadIdx.x & 31) == 0) ranges[threadIdx.x / 32] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (uint32_t w = 1; w < HashJoinPolicy::WARPS; w++) hash_join_range_join(&own, ranges[w]);
  atomic_min_u64(params.found, own.least);
  atomic_max_u64(params.found + 1, own.greatest);
  atomicAnd((unsigned long long *)params.found + 2, (unsigned long long)own.in_all);
  atomicOr((unsigned long long *)params.found + 3, (unsigned long long)own.in_any);
  atomic_add_u64(params.found + 4, own.words);
  atomic_add_u64(params.found + 5, own.nulls);
}

/// Finds or claims the slot of a key. `*there` says whether it was claimed before.
template <bool WIDE>
KERNEL_FN uint64_t hash_join_claim(const HashJoinInsertParams &params, HashJoinWord key,
                                   uint64_t row, bool *there) {
  const HashJoinTable &table = params.table;
  const uint64_t hash = hash_join_hash<WIDE>(table.hash_mask_bits, key.word);
  uint64_t slot = hash_join_start<WIDE>(table, key, hash);
  const bool special = slot >= table.capacity;
  const uint64_t own = WIDE ? hash << 32 | row : special ? 0 : key.word;
  for (uint64_t probe = 0; probe < table.capacity; probe++) {
    uint64_t *mark = table.slots + slot * table.slot_words;
    uint64_t seen = ld_relaxed(mark);
    if (seen == HASH_JOIN_EMPTY) {
      seen = atomic_cas_u64(mark, HASH_JOIN_EMPTY, own);
      *there = seen != HASH_JOIN_EMPTY;
      if (!*there) return slot;
    }
    *there = true;
    const bool same = WIDE ? (uint32_t)(seen >> 32) == (uint32_t)hash &&
                                 hash_join_same(params.build, row, params.build, (uint32_t)seen)
                           : seen == own;
    if (same) return slot;
    slot = hash_join_step(table, slot);
  }
  return HASH_JOIN_NO_SLOT;
}

/// Puts the key of a row into the table. Result: its slot; `*there` says whether the key, or, of
/// dense lists, any row, has a place to be ranked behind.
template <bool WIDE>
KERNEL_FN uint64_t hash_join_put(const HashJoinInsertParams &params, HashJoinWord key, uint64_t row,
                                 bool *there) {
  const HashJoinTable &table = params.table;
  if (table.layout >= HASH_JOIN_HASH_KEYS) {
    const uint64_t slot = hash_join_claim<WIDE>(params, key, row, there);
    if (!*there && table.slot_words == 2) {
      *(uint32_t *)(table.slots + slot * 2 + 1) = (uint32_t)row;
    }
    return slot;
  }
  const uint64_t place = hash_join_place(table, key.word);
  if (place == HASH_JOIN_NO_SLOT) return place;
  if (table.layout == HASH_JOIN_DENSE_ROWS) {
    const uint32_t before = atomicCAS(&table.rows[place], HASH_JOIN_NO_ROW, (uint32_t)row);
    *there = before != HASH_JOIN_NO_ROW;
  } else if (table.layout == HASH_JOIN_DENSE_BITS) {
    uint64_t *word = table.slots + (place >> 6);
    const uint64_t bit = 1ull << (place & 63);
    if (!(ld_relaxed(word) & bit)) atomicOr((unsigned long long *)word, (unsigned long long)bit);
  } else {
    *there = true;
  }
  return place;
}

/// The rank of a row among those of its slot, counted in the high half of the slot's value. The
/// lanes of a warp that have one slot add once.
KERNEL_FN uint32_t hash_join_rank(const HashJoinTable &table, uint64_t slot, bool counted) {
  if (__ballot_sync(WARP_ALL, counted) == 0) return 0;
  const uint32_t lane = threadIdx.x & 31;
  const uint64_t same = counted ? slot : HASH_JOIN_NO_SLOT;
  const uint32_t peers = __match_any_sync(WARP_ALL, (unsigned long long)same);
  const uint32_t leader = (uint32_t)__ffs((int)peers) - 1;
  uint32_t before = 0;
  if (counted && lane == leader) {
    uint32_t *value = (uint32_t *)(table.slots + (slot + 1) * table.slot_words - 1);
    before = atomicAdd(value + 1, (uint32_t)__popc(peers));
    // The memory of hashed slots starts with all bits set, and their first row does not add.
    if (table.layout != HASH_JOIN_DENSE_LISTS) before += 2;
  }
  before = __shfl_sync(WARP_ALL, before, (int)leader);
  return before + (uint32_t)__popc(peers & ((1u << lane) - 1));
}

template <bool WIDE>
KERNEL_FN void hash_join_insert_rows(const HashJoinInsertParams &params) {
  const bool is_rest = !WIDE && params.rest.words != nullptr;
  uint32_t duplicates = 0;
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_THREADS;
  for (uint64_t first = (uint64_t)blockIdx.x * HASH_JOIN_THREADS; first < params.row_count;
       first += stride) {
    const uint64_t place = first + threadIdx.x;
    HashJoinWord key = {0, HASH_JOIN_MATCHES_NONE};
    if (place < params.row_count && is_rest) key = {params.rest.words[place], HASH_JOIN_WORD};
    if (place < params.row_count && !is_rest) key = hash_join_key<WIDE>(params.build, place);
    bool there = false;
    uint64_t slot = HASH_JOIN_NO_SLOT;
    if (key.state != HASH_JOIN_MATCHES_NONE) {
      const uint64_t row = !is_rest ? place : params.rest.rows ? params.rest.rows[place] : 0;
      slot = hash_join_put<WIDE>(params, key, row, &there);
      if (slot == HASH_JOIN_NO_SLOT) {
        status_set(params.status, STATUS_TABLE_FULL, row);
        there = false;
      }
    }
    duplicates += there;
    if (!params.row_ranks) continue;
    const uint32_t rank = hash_join_rank(params.table, slot, there);
    if (place < params.row_count) {
      params.row_slots[place] = (uint32_t)slot;
      params.row_ranks[place] = slot == HASH_JOIN_NO_SLOT ? HASH_JOIN_NO_ROW : there ? rank : 0;
    }
  }
  const uint32_t total = __reduce_add_sync(WARP_ALL, duplicates);
  if ((threadIdx.x & 31) == 0 && total) atomic_add_u64(params.duplicate_count, total);
}

/// Puts narrow keys of the build side into the table.
///
/// Shape   build[row_count] or rest -> table, row_slots[row_count], row_ranks[row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none: ranks are in no stated order
/// Nulls   a row that matches nothing is left out
/// Errors  STATUS_TABLE_FULL: argument = the row that found no slot
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_insert(GRID_CONSTANT(HashJoinInsertParams) params) {
  hash_join_insert_rows<false>(params);
}

/// Puts wide keys of the build side into the table.
///
/// Shape   build[row_count] -> table, row_slots[row_count], row_ranks[row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none: ranks are in no stated order
/// Nulls   a row that matches nothing is left out
/// Errors  STATUS_TABLE_FULL: argument = the row that found no slot
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_insert_wide(GRID_CONSTANT(HashJoinInsertParams) params) {
  hash_join_insert_rows<true>(params);
}

/// Gives every list its place: values of slots, which counted rows, become starts and lengths.
///
/// Shape   table[slot_count] -> table[slot_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   lists lie in no stated order
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_offsets(GRID_CONSTANT(HashJoinOffsetsParams) params) {
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  SHARED(uint64_t, block_start, 1);
  const HashJoinTable &table = params.table;
  const bool dense = table.layout == HASH_JOIN_DENSE_LISTS;
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_THREADS;
  for (uint64_t first = (uint64_t)blockIdx.x * HASH_JOIN_THREADS; first < params.slot_count;
       first += stride) {
    const uint64_t slot = first + threadIdx.x;
    uint64_t *words = table.slots + slot * table.slot_words;
    uint32_t length = 0;
    if (slot < params.slot_count) {
      if (dense) length = (uint32_t)(words[0] >> 32);
      if (!dense && words[0] != HASH_JOIN_EMPTY) length = (uint32_t)(words[1] >> 32) + 2;
    }
    uint32_t total;
    const uint32_t offset = hash_join_block_offset(length, warp_counts, &total);
    if (threadIdx.x == 0) block_start[0] = total ? atomic_add_u64(params.list_count, total) : 0;
    __syncthreads();
    if (length) {
      words[table.slot_words - 1] = (uint64_t)length << 32 | (uint32_t)(block_start[0] + offset);
    }
  }
}

/// Writes every build row to its place in the list of its key.
///
/// Shape   row_slots[row_count], row_ranks[row_count] -> table.rows
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the ranks
/// Nulls   a row without a key is in no list
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_fill(GRID_CONSTANT(HashJoinFillParams) params) {
  const HashJoinTable &table = params.table;
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_THREADS;
  for (uint64_t row = (uint64_t)blockIdx.x * HASH_JOIN_THREADS + threadIdx.x;
       row < params.row_count; row += stride) {
    const uint32_t rank = params.row_ranks[row];
    if (rank == HASH_JOIN_NO_ROW) continue;
    const uint64_t value =
        table.slots[((uint64_t)params.row_slots[row] + 1) * table.slot_words - 1];
    table.rows[(uint32_t)value + rank] = (uint32_t)row;
  }
}

/// Sets the bits of rows, named by index.
///
/// Shape   indices[rows], keep[rows] -> bits, raised
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none
/// Nulls   a null index names no row; a null `keep` keeps nothing
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_mark(GRID_CONSTANT(HashJoinMarkParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_THREADS;
  for (uint64_t row = (uint64_t)blockIdx.x * HASH_JOIN_THREADS + threadIdx.x; row < row_count;
       row += stride) {
    if (!column_valid(params.indices, row)) continue;
    if (!column_valid(params.keep, row) || !column_bit(params.keep, row)) continue;
    const uint32_t index = column_value<uint32_t>(params.indices, row);
    uint64_t *word = params.bits + (index >> 6);
    const uint64_t bit = 1ull << (index & 63);
    if (!(ld_relaxed(word) & bit)) atomicOr((unsigned long long *)word, (unsigned long long)bit);
  }
}
