// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   those of hash_join_probe.cu
// Method    rows that a Bloom filter keeps away match nothing; a thread has the keys, places and
//           first sectors of its rows in flight; a sector is read whole and its slots are compared
//           at once, so that the lanes of a warp seldom part
// Cost      per probe row: one 32 B sector
// Source    buckets of a sector are common knowledge; written from the idea
#pragma once
#include "hash_join.cuh"
#include "primitives/bloom.cuh"

/// What the rows of a thread found in the table.
template <uint32_t ITEMS>
struct HashJoinFound {
  uint64_t values[ITEMS];  // the build row, or the list
  bool found[ITEMS];
};

/// The rows' finds in a dense table.
template <uint32_t ITEMS>
KERNEL_FN void hash_join_find_dense(const HashJoinTable &table, const HashJoinWord *words,
                                    HashJoinFound<ITEMS> *out) {
  uint64_t places[ITEMS];
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    const bool has_word = words[i].state == HASH_JOIN_WORD;
    places[i] = has_word ? hash_join_place(table, words[i].word) : HASH_JOIN_NO_SLOT;
    out->values[i] = 0;
  }
  if (table.layout == HASH_JOIN_DENSE_ROWS) {
#pragma unroll  // hash_join/inner: the rows of all items are in flight together
    for (uint32_t i = 0; i < ITEMS; i++) {
      out->values[i] = places[i] == HASH_JOIN_NO_SLOT ? HASH_JOIN_NO_ROW : table.rows[places[i]];
    }
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < ITEMS; i++) {
      out->found[i] = out->values[i] != HASH_JOIN_NO_ROW;
    }
    return;
  }
  const bool bits = table.layout == HASH_JOIN_DENSE_BITS;
#pragma unroll  // hash_join/semi
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint64_t word = bits ? places[i] >> 6 : places[i];
    if (places[i] != HASH_JOIN_NO_SLOT) out->values[i] = table.slots[word];
  }
#pragma unroll  // hash_join/semi
  for (uint32_t i = 0; i < ITEMS; i++) {
    out->found[i] = bits ? out->values[i] >> (places[i] & 63) & 1 : out->values[i] != 0;
  }
}

/// 32 bytes of slots: four marks, or two marks with their values.
struct HashJoinSector {
  ulonglong2 halves[2];
};

/// The sector of a slot, by two loads of 16 bytes.
KERNEL_FN HashJoinSector hash_join_sector(const HashJoinTable &table, uint64_t slot) {
  const uint64_t word = slot * table.slot_words & ~3ull;
  const ulonglong2 *halves = (const ulonglong2 *)(table.slots + word);
  return {{halves[0], halves[1]}};
}

/// What a sector says of a key.
enum HashJoinSeen {
  HASH_JOIN_ABSENT = 0,   // a free slot: the key would have it
  HASH_JOIN_PRESENT = 1,  // it is there
  HASH_JOIN_FURTHER = 2,  // other keys have all slots
};

/// A probe row, for what is compared with it.
struct HashJoinSought {
  uint64_t row, word;
  uint32_t fingerprint;
};

/// Whether a slot may hold the row's wide key: taken, and with its fingerprint.
KERNEL_FN bool hash_join_resembles(const HashJoinSought &sought, uint64_t mark) {
  return mark != HASH_JOIN_EMPTY && (uint32_t)(mark >> 32) == sought.fingerprint;
}

/// The slot of a sector that holds the row's wide key, counted low.x, high.x, low.y, high.y; 4 if
/// none does. The columns are compared at one place, whichever slots resemble the key: a copy for
/// every slot of every row in flight would not fit the registers.
KERNEL_FN uint32_t hash_join_slot_wide(const HashJoinKeys &probe, const HashJoinKeys &build,
                                       const HashJoinSought &sought, const HashJoinSector &sector,
                                       bool alone) {
  const ulonglong2 &low = sector.halves[0], &high = sector.halves[1];
  uint32_t resembling = hash_join_resembles(sought, low.x) ? 1 : 0;
  if (hash_join_resembles(sought, high.x)) resembling |= 2;
  if (alone && hash_join_resembles(sought, low.y)) resembling |= 4;
  if (alone && hash_join_resembles(sought, high.y)) resembling |= 8;
  while (resembling) {
    const uint32_t slot = (uint32_t)__ffs((int)resembling) - 1;
    const uint64_t mark = slot == 0 ? low.x : slot == 1 ? high.x : slot == 2 ? low.y : high.y;
    if (hash_join_same(probe, sought.row, build, (uint32_t)mark)) return slot;
    resembling &= resembling - 1;
  }
  return 4;
}

/// Looks for a key among the slots of a sector, all at once.
template <bool WIDE>
KERNEL_FN HashJoinSeen hash_join_look(const HashJoinKeys &probe, const HashJoinKeys &build,
                                      const HashJoinTable &table, const HashJoinSought &sought,
                                      const HashJoinSector &sector, uint64_t *value) {
  const ulonglong2 &low = sector.halves[0], &high = sector.halves[1];
  const bool alone = table.slot_words == 1;
  bool first, present;
  if (WIDE) {
    const uint32_t slot = hash_join_slot_wide(probe, build, sought, sector, alone);
    first = slot == 0;
    present = slot < 4;
  } else {
    first = low.x == sought.word;
    present = first || high.x == sought.word ||
              (alone && (low.y == sought.word || high.y == sought.word));
  }
  bool has_room = low.x == HASH_JOIN_EMPTY || high.x == HASH_JOIN_EMPTY;
  if (alone) {
    has_room = has_room || low.y == HASH_JOIN_EMPTY || high.y == HASH_JOIN_EMPTY;
  } else {
    *value = first ? low.y : high.y;
  }
  return present ? HASH_JOIN_PRESENT : has_room ? HASH_JOIN_ABSENT : HASH_JOIN_FURTHER;
}

/// Looks for a key in the sector of a slot and, while other keys have all of its slots, in those
/// behind. Result: whether it is there.
template <bool WIDE>
KERNEL_FN bool hash_join_seek(const HashJoinKeys &probe, const HashJoinKeys &build,
                              const HashJoinTable &table, const HashJoinSought &sought,
                              uint64_t slot, HashJoinSector sector, uint64_t *value) {
  const uint32_t step = table.slot_words == 1 ? 4 : 2;
#pragma unroll 1  // hash_join/inner: seldom more than once
  for (uint64_t looked = 0; looked < table.capacity; looked += step) {
    const HashJoinSeen seen = hash_join_look<WIDE>(probe, build, table, sought, sector, value);
    if (seen != HASH_JOIN_FURTHER) return seen == HASH_JOIN_PRESENT;
    slot = slot + step == table.capacity ? 0 : slot + step;
    sector = hash_join_sector(table, slot);
  }
  return false;
}

/// The rows' finds in a table with open addressing.
template <bool WIDE, uint32_t ITEMS>
KERNEL_FN void hash_join_find_hashed(const HashJoinKeys &probe, const HashJoinKeys &build,
                                     const HashJoinTable &table, uint64_t first_row,
                                     const HashJoinWord *words, HashJoinFound<ITEMS> *out) {
  uint32_t slots[ITEMS];  // a slot's number fits 32 bits, special ones included
  HashJoinSector sectors[ITEMS];
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint64_t hash = hash_join_hash<WIDE>(table.hash_mask_bits, words[i].word);
    slots[i] = (uint32_t)hash_join_start<WIDE>(table, words[i], hash);
  }
  // Rows that match nothing look, too: a branch would part the loads, which are in flight together.
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) sectors[i] = hash_join_sector(table, slots[i]);
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    out->found[i] = false;
    out->values[i] = 0;
    if (words[i].state == HASH_JOIN_MATCHES_NONE) continue;
    if (!WIDE && slots[i] >= table.capacity) {  // a slot of its own: taken or not
      const ulonglong2 *halves = sectors[i].halves;
      const bool second = slots[i] > table.capacity;
      const bool alone = table.slot_words == 1;
      const uint64_t mark = !second ? halves[0].x : alone ? halves[0].y : halves[1].x;
      out->found[i] = mark != HASH_JOIN_EMPTY;
      if (!alone) out->values[i] = second ? halves[1].y : halves[0].y;
      continue;
    }
    HashJoinSought sought = {first_row + i * HASH_JOIN_THREADS, words[i].word, 0};
    const uint32_t mask_bits = table.hash_mask_bits;
    if (WIDE) sought.fingerprint = (uint32_t)hash_join_hash<true>(mask_bits, sought.word);
    out->found[i] =
        hash_join_seek<WIDE>(probe, build, table, sought, slots[i], sectors[i], &out->values[i]);
  }
}

/// Rows whose key is certainly not in the table match nothing from here on.
template <uint32_t ITEMS>
KERNEL_FN void hash_join_apply_filter(const HashJoinFilter &filter, HashJoinWord *words) {
  if (!filter.blocks) return;
  if (filter.sampled[1] * 10 > filter.sampled[0] * HASH_JOIN_FILTER_TENTHS) return;
  bool may_have[ITEMS];
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    may_have[i] = bloom_may_have(filter.blocks, filter.block_count, xxhash_u64(words[i].word));
  }
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (words[i].state == HASH_JOIN_WORD && !may_have[i]) words[i] = {0, HASH_JOIN_MATCHES_NONE};
  }
}

/// What the rows of a tile find: those of the caller, one of every HASH_JOIN_THREADS.
template <bool WIDE, uint32_t ITEMS>
KERNEL_FN void hash_join_find(const HashJoinKeys &probe, const HashJoinKeys &build,
                              const HashJoinTable &table, const HashJoinFilter &filter,
                              uint64_t tile_row, uint64_t row_count, HashJoinFound<ITEMS> *out) {
  HashJoinWord words[ITEMS];
  hash_join_words<WIDE, ITEMS>(probe, tile_row, row_count, words);
  if (!WIDE) hash_join_apply_filter<ITEMS>(filter, words);
  if (!WIDE && table.layout < HASH_JOIN_HASH_KEYS) {
    hash_join_find_dense<ITEMS>(table, words, out);
  } else {
    hash_join_find_hashed<WIDE, ITEMS>(probe, build, table, tile_row + threadIdx.x, words, out);
  }
}
