// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_split hash_join_build_parts
// Method    a table that the L2 cache does not hold is built without touching it at random: the
// keys
//           are split by the highest bits of their hashes, once or twice, until the slots of a part
//           fit shared memory; a block fills them there and writes them side by side. Parts have
//           room for what hashes make likely, so that nothing is counted before; rows beyond that,
//           or whose stretch of slots is full, are left to `hash_join_insert`. Where many are left,
//           or rows are wanted and a key repeats, blocks stop early
// Cost      per row and split: reads and writes 8 B of key, and 4 B of row number if rows are
//           wanted; then reads them once more and writes each slot once
// Source    radix partitioning for joins: S. Manegold, P. Boncz, M. Kersten, "Optimizing
// Main-Memory
//           Join on Modern Hardware", IEEE TKDE 2002; written from the idea
#include "hash_join.cuh"

struct HashJoinPartsPolicy {
  static const uint32_t WARPS = HASH_JOIN_PARTS_THREADS / 32;
  static const uint32_t ITEMS = HASH_JOIN_SPLIT_ROWS / HASH_JOIN_PARTS_THREADS;
  static const uint32_t COUNTERS = 1 << HASH_JOIN_LEVEL_BITS_MAX;
  static const uint32_t BUILD_ITEMS = 4;   // rows of a thread that are in flight
  static const uint32_t BUILD_BLOCKS = 2;  // per multiprocessor, so that one loads while one fills
  static const uint32_t SPLIT_BLOCKS = 3;
  static const uint32_t NO_PART = ~0u;
};
static_assert(HASH_JOIN_SPLIT_ROWS == HASH_JOIN_PARTS_THREADS * HashJoinPartsPolicy::ITEMS,
              "a tile is one round of the block");
static_assert(HashJoinPartsPolicy::COUNTERS <= HASH_JOIN_PARTS_THREADS, "a thread per counter");
static_assert(HASH_JOIN_SPLIT_ROWS <= 1 << 16, "part and rank of a tile share 32 bits");

/// Adds a row to those that are left.
KERNEL_FN void hash_join_leave(const HashJoinRest &rest, uint64_t word, uint32_t row) {
  const uint64_t at = atomic_add_u64(rest.count, 1);
  if (at >= rest.room) return;
  rest.words[at] = word;
  if (rest.rows) rest.rows[at] = row;
}

/// Whether the table will be built another way, for all threads of the block alike.
KERNEL_FN bool hash_join_gave_up(const HashJoinRest &rest, const uint64_t *duplicate_count) {
  SHARED(uint32_t, gave_up, 1);
  if (threadIdx.x == 0) {
    const bool repeats = duplicate_count && ld_relaxed(duplicate_count) > 0;
    gave_up[0] = repeats || ld_relaxed(rest.count) > rest.room;
  }
  __syncthreads();
  return gave_up[0] != 0;
}

/// Rows that lie in a part.
KERNEL_FN uint64_t hash_join_part_rows(const HashJoinParts &parts, uint64_t part) {
  const uint64_t rows = parts.cursors[part];
  return rows < parts.room ? rows : parts.room;
}

/// The part of a word's hash.
KERNEL_FN uint32_t hash_join_part(const HashJoinSplitParams &params, uint64_t word) {
  const uint64_t hash = hash_join_hash<false>(params.hash_mask_bits, word);
  return (uint32_t)(hash >> (64 - params.to.part_bits));
}

/// Reads the words of a tile. Rows that match nothing have no part.
KERNEL_FN void hash_join_split_read(const HashJoinSplitParams &params, uint64_t base,
                                    uint64_t tile_row, uint64_t rows, HashJoinWord *words) {
  const uint32_t ITEMS = HashJoinPartsPolicy::ITEMS;
  if (!params.from.words) {
    hash_join_words<false, ITEMS, HASH_JOIN_PARTS_THREADS>(params.side, tile_row, rows, words);
    return;
  }
#pragma unroll  // hash_join/inner: the words of all items are in flight together
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint64_t row = tile_row + i * HASH_JOIN_PARTS_THREADS + threadIdx.x;
    words[i] = {0, HASH_JOIN_MATCHES_NONE};
    if (row < rows) words[i] = {params.from.words[base + row], HASH_JOIN_WORD};
  }
}

/// Splits each part of a side, or the whole of it, by the next bits of the keys' hashes.
///
/// Shape   side[row_count] or from -> to, rest
/// Launch  grid = parts of `from` * tiles_per_part, block = HASH_JOIN_PARTS_THREADS,
///         shared = HASH_JOIN_SPLIT_ROWS * (12 with rows, else 8)
/// Order   none among the rows of a part
/// Nulls   a row that matches nothing is left out; there is no null key
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_PARTS_THREADS,
                                             HashJoinPartsPolicy::SPLIT_BLOCKS)
hash_join_split(GRID_CONSTANT(HashJoinSplitParams) params) {
  const uint32_t ITEMS = HashJoinPartsPolicy::ITEMS;
  DYN_SHARED(uint64_t, tile_words);
  uint32_t *tile_rows = (uint32_t *)(tile_words + HASH_JOIN_SPLIT_ROWS);
  SHARED(uint32_t, counts, HashJoinPartsPolicy::COUNTERS);
  SHARED(uint32_t, targets,
         HashJoinPartsPolicy::COUNTERS);  // of the part's row 0, if it were there
  SHARED(uint32_t, warp_counts, HashJoinPartsPolicy::WARPS);
  const uint32_t own = threadIdx.x;
  const uint64_t from_part = blockIdx.x / params.tiles_per_part;
  const uint64_t tile_row = (uint64_t)(blockIdx.x % params.tiles_per_part) * HASH_JOIN_SPLIT_ROWS;
  const bool first = params.from.words == nullptr;
  const uint64_t rows = first ? params.row_count : hash_join_part_rows(params.from, from_part);
  const uint64_t base = first ? 0 : from_part * params.from.room;
  if (tile_row >= rows || hash_join_gave_up(params.rest, nullptr)) return;
  const uint32_t level_bits = params.to.part_bits - (first ? 0 : params.from.part_bits);
  const uint32_t mask = (1u << level_bits) - 1;
  const uint64_t to_part = from_part << level_bits;  // the first of them
  if (own <= mask) counts[own] = 0;
  HashJoinWord words[ITEMS];
  hash_join_split_read(params, base, tile_row, rows, words);
  __syncthreads();
  uint32_t ranks[ITEMS];  // part above rank
#pragma unroll            // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    ranks[i] = HashJoinPartsPolicy::NO_PART;
    if (words[i].state != HASH_JOIN_WORD) continue;
    if (words[i].word == HASH_JOIN_EMPTY) {  // it has a slot of its own
      hash_join_leave(params.rest, words[i].word,
                      (uint32_t)tile_row + i * HASH_JOIN_PARTS_THREADS + own);
      continue;
    }
    const uint32_t part = hash_join_part(params, words[i].word) & mask;
    ranks[i] = part << 16 | atomicAdd(&counts[part], 1u);
  }
  __syncthreads();
  const uint32_t count = own <= mask ? counts[own] : 0;
  uint32_t total;
  const uint32_t start =
      hash_join_block_offset<HashJoinPartsPolicy::WARPS>(count, warp_counts, &total);
  if (own <= mask) {
    targets[own] = (count ? atomicAdd(&params.to.cursors[to_part | own], count) : 0) - start;
    counts[own] = start;
  }
  __syncthreads();
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (ranks[i] == HashJoinPartsPolicy::NO_PART) continue;
    const uint32_t place = counts[ranks[i] >> 16] + (ranks[i] & 0xffff);
    const uint64_t row = tile_row + i * HASH_JOIN_PARTS_THREADS + own;
    tile_words[place] = words[i].word;
    if (params.to.rows) tile_rows[place] = first ? (uint32_t)row : params.from.rows[base + row];
  }
  __syncthreads();
#pragma unroll 4  // hash_join/inner
  for (uint32_t place = own; place < total; place += HASH_JOIN_PARTS_THREADS) {
    const uint64_t word = tile_words[place];
    const uint32_t part = hash_join_part(params, word) & mask;
    const uint32_t at = targets[part] + place;
    const uint32_t row = params.to.rows ? tile_rows[place] : 0;
    if (at >= params.to.room) {
      hash_join_leave(params.rest, word, row);
      continue;
    }
    const uint64_t target = (to_part | part) * params.to.room + at;
    params.to.words[target] = word;
    if (params.to.rows) params.to.rows[target] = row;
  }
}

/// What became of a key in its part's stretch of slots.
enum HashJoinFilled {
  HASH_JOIN_CLAIMED = 0,  // it has a slot
  HASH_JOIN_REPEATS = 1,  // it was there
  HASH_JOIN_CROWDED = 2,  // others have all slots from its first on
};

/// Finds or claims the slot of a key among those of a part, in shared memory.
KERNEL_FN HashJoinFilled hash_join_fill_slot(uint64_t *slots, uint32_t slot_words, uint64_t start,
                                             uint64_t end, uint64_t word, uint32_t row) {
  for (uint64_t slot = start; slot < end; slot++) {
    uint64_t *mark = slots + slot * slot_words;
    uint64_t seen = ld_relaxed(mark);
    if (seen == HASH_JOIN_EMPTY) {
      seen = atomic_cas_u64(mark, HASH_JOIN_EMPTY, word);
      if (seen == HASH_JOIN_EMPTY) {
        if (slot_words == 2) *(uint32_t *)(mark + 1) = row;
        return HASH_JOIN_CLAIMED;
      }
    }
    if (seen == word) return HASH_JOIN_REPEATS;
  }
  return HASH_JOIN_CROWDED;
}

/// Fills the slots of all parts.
///
/// Shape   parts -> table, rest
/// Launch  grid = parts, block = HASH_JOIN_PARTS_THREADS, shared = bytes of a part's slots
/// Order   none
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_PARTS_THREADS,
                                             HashJoinPartsPolicy::BUILD_BLOCKS)
hash_join_build_parts(GRID_CONSTANT(HashJoinBuildPartsParams) params) {
  const uint32_t ITEMS = HashJoinPartsPolicy::BUILD_ITEMS, THREADS = HASH_JOIN_PARTS_THREADS;
  DYN_SHARED(ulonglong2, halves);
  uint64_t *slots = (uint64_t *)halves;
  const HashJoinTable &table = params.table;
  const HashJoinParts &parts = params.parts;
  // Keys that repeat are lists where rows are wanted.
  if (hash_join_gave_up(params.rest, table.slot_words == 2 ? params.duplicate_count : nullptr)) {
    return;
  }
  const uint64_t part = blockIdx.x, slot_count = table.capacity >> parts.part_bits;
  const uint64_t half_count = slot_count * table.slot_words / 2;
  const uint64_t rows = hash_join_part_rows(parts, part), base = part * parts.room;
  for (uint64_t i = threadIdx.x; i < half_count; i += THREADS) {
    halves[i] = {HASH_JOIN_EMPTY, HASH_JOIN_EMPTY};
  }
  __syncthreads();
  uint32_t duplicates = 0;
  for (uint64_t first = threadIdx.x; first < rows; first += THREADS * ITEMS) {
    uint64_t words[ITEMS];
    uint32_t numbers[ITEMS];
#pragma unroll  // hash_join/inner: the rows of all items are in flight together
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t at = first + i * THREADS;
      words[i] = at < rows ? parts.words[base + at] : 0;
      numbers[i] = at < rows && parts.rows ? parts.rows[base + at] : 0;
    }
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < ITEMS; i++) {
      if (first + i * THREADS >= rows) continue;
      const uint64_t hash = hash_join_hash<false>(table.hash_mask_bits, words[i]);
      const uint64_t slot = hash_join_start<false>(table, {words[i], HASH_JOIN_WORD}, hash);
      const HashJoinFilled filled = hash_join_fill_slot(
          slots, table.slot_words, slot - part * slot_count, slot_count, words[i], numbers[i]);
      if (filled == HASH_JOIN_CROWDED) hash_join_leave(params.rest, words[i], numbers[i]);
      duplicates += filled == HASH_JOIN_REPEATS;
    }
  }
  duplicates = __reduce_add_sync(WARP_ALL, duplicates);
  if ((threadIdx.x & 31) == 0 && duplicates) atomic_add_u64(params.duplicate_count, duplicates);
  __syncthreads();
  ulonglong2 *out = (ulonglong2 *)table.slots + part * half_count;
#pragma unroll 4  // hash_join/inner
  for (uint64_t i = threadIdx.x; i < half_count; i += THREADS) out[i] = halves[i];
}
