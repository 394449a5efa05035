// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   those of group_by.cu, group_by_emit.cu and group_by_values.cu
// Method    packed keys; a table with open addressing, key and accumulators side by side in one
//           32-byte sector where they fit; how accumulators take values is in
//           group_by_accumulate.cuh
// Cost      see the kernels
// Source    none needed
#pragma once
#include "group_by_accumulate.cuh"
#include "primitives/hash.cuh"
#include "primitives/status.cuh"
#include "strings.cuh"

#define GROUP_BY_NO_SLOT (~0u)
#define GROUP_BY_TAG_BUSY 1ull

/// The packed key of a row, of at most W words. Keys of one word stay in a register.
template <uint32_t W>
struct GroupByRowKey {
  uint64_t words[W];
  bool is_null;  // the null of a single key column, which has a slot of its own
};

/// Words of a packed key: known when it is one.
template <uint32_t W>
KERNEL_FN uint32_t group_by_key_words(const GroupByLayout &layout) {
  return W == 1 ? 1 : layout.key_words;
}

/// Hash bits in use.
KERNEL_FN uint64_t group_by_masked(const GroupByLayout &layout, uint64_t hash) {
  return layout.hash_mask_bits >= 64 ? hash : hash & ((1ull << layout.hash_mask_bits) - 1);
}

/// Packs a string: its hash, and where it lies.
KERNEL_FN void group_by_pack_text(const GroupByLayout &layout, const TextView &text,
                                  uint64_t *words) {
  uint64_t hash = text.length;
  for (uint64_t at = 0; at < text.length; at += 8) {
    hash = hash_word(strings_word(text, at) + 0x9e3779b97f4a7c15ull * hash);
  }
  words[GROUP_BY_TEXT_HASH] = group_by_masked(layout, hash);
  words[GROUP_BY_TEXT_BYTES] = (uint64_t)text.bytes;
  words[GROUP_BY_TEXT_LENGTH] = text.length;
}

/// Whether two packed strings are equal. `words` and `others` are at their `GROUP_BY_TEXT_BYTES`.
KERNEL_FN bool group_by_same_text(const uint64_t *words, const uint64_t *others) {
  const uint64_t length = words[1];
  if (length != others[1]) return false;
  if (words[0] == others[0]) return true;
  const TextView text = {(const uint8_t *)words[0], (uint32_t)length, 0};
  const TextView other = {(const uint8_t *)others[0], (uint32_t)length, 0};
  for (uint64_t at = 0; at < length; at += 8) {
    if (strings_word(text, at) != strings_word(other, at)) return false;
  }
  return true;
}

/// Packs the key columns of a row. Equal keys pack to equal words: one NaN, one zero, nulls as a
/// set null bit over zero value bits.
template <uint32_t W>
KERNEL_FN void group_by_pack(const GroupByLayout &layout, const GroupByKey *keys, uint64_t row,
                             GroupByRowKey<W> *packed) {
  packed->is_null = false;
  packed->words[0] = 0;  // there is always one
  for (uint32_t w = 1; w < group_by_key_words<W>(layout); w++) packed->words[w] = 0;
  for (uint32_t k = 0; k < layout.key_count; k++) {
    const GroupByKey &key = keys[k];
    if (!column_valid(key.column, row)) {
      if (layout.null_is_special) {
        packed->is_null = true;
      } else {
        packed->words[W == 1 ? 0 : key.null_word] |= 1ull << key.null_shift;
      }
    } else if (W > 1 && key.column.type == PHYSICAL_VIEW) {
      group_by_pack_text(layout, strings_view(key.column, row),
                         packed->words + (W == 1 ? 0 : key.word));
    } else if (W > 1 && key.column.type == PHYSICAL_INT128) {
      const int128_t value = column_value<int128_t>(key.column, row);
      packed->words[W == 1 ? 0 : key.word] = (uint64_t)value;
      packed->words[W == 1 ? 0 : key.word + 1] = (uint64_t)(value >> 64);
    } else {
      const uint64_t bits = float_bits_normal(key.column.type, column_bits(key.column, row));
      packed->words[W == 1 ? 0 : key.word] |= bits << key.shift;
    }
  }
}

/// True if the only key is an array of 64-bit integers, which is read without a look at its type.
KERNEL_FN bool group_by_plain_key(const GroupByLayout &layout, const GroupByKey *keys) {
  const ColumnView &column = keys[0].column;
  const bool words = column.type == PHYSICAL_INT64 || column.type == PHYSICAL_UINT64;
  return layout.null_is_special && keys[0].bits == 64 && words && column.kind == COLUMN_ARRAY;
}

/// `group_by_pack` of a row of such a key, read past the cache that holds the table:
/// `group_by/sum(f64)+count/groups=100000/uniform`.
KERNEL_FN void group_by_pack_plain(const GroupByKey *keys, uint64_t row, GroupByRowKey<1> *packed) {
  const ColumnView &column = keys[0].column;
  const uint64_t at = column.offset + row;
  packed->is_null = column.validity && !bitmap_get(column.validity, at);
  packed->words[0] = packed->is_null ? 0 : __ldcs((const uint64_t *)column.values + at);
}

/// The hash of a packed key, all bits of it: of where strings lie it knows nothing.
template <uint32_t W>
KERNEL_FN uint64_t group_by_hash_words(const GroupByLayout &layout, const GroupByRowKey<W> &key) {
  const uint32_t count = group_by_key_words<W>(layout);
  if (W == 1 || layout.text_words == 0) return hash_words(key.words, count);
  uint64_t hash = 0;
  for (uint32_t w = 0; w < count; w++) {
    if (layout.text_words >> w & 1) continue;
    hash = hash_word(key.words[w] + 0x9e3779b97f4a7c15ull * hash);
  }
  return hash;
}

template <uint32_t W>
KERNEL_FN uint64_t group_by_hash(const GroupByLayout &layout, const GroupByRowKey<W> &key) {
  return group_by_masked(layout, group_by_hash_words(layout, key));
}

/// Where a table keeps the words of a slot: entries of `entry_words` with the accumulators inside,
/// or, in shared memory, keys first and then `replicas` interleaved copies of each accumulator.
struct GroupByStore {
  uint64_t *keys;
  uint64_t *accumulators;
  uint32_t capacity;          // a power of two
  uint32_t key_stride;        // words between the keys of neighbouring slots
  uint32_t accumulator_step;  // words between the accumulators of neighbouring slots
  uint32_t replicas;          // words between the accumulators of a slot
};

KERNEL_FN GroupByStore group_by_global(const GroupByTable &table, const GroupByLayout &layout) {
  return {table.entries,
          table.entries + layout.accumulator_start,
          (uint32_t)table.capacity,
          layout.entry_words,
          layout.entry_words,
          1};
}

/// The first word of a slot.
KERNEL_FN uint64_t *group_by_mark(const GroupByStore &store, uint32_t slot) {
  return store.keys + (uint64_t)slot * store.key_stride;
}

/// The slot of a one-word key, inserted if it is new.
KERNEL_FN uint32_t group_by_slot_narrow(const GroupByStore &store, const GroupByRowKey<1> &key,
                                        uint64_t hash, uint64_t probe_max, uint32_t *inserted) {
  const uint64_t word = key.words[0];
  if (key.is_null || word == GROUP_BY_EMPTY) {
    const uint32_t slot = store.capacity + (key.is_null ? 0 : 1);
    uint64_t *mark = group_by_mark(store, slot);
    if (ld_relaxed(mark) == GROUP_BY_EMPTY) {
      *inserted += atomic_cas_u64(mark, GROUP_BY_EMPTY, 0) == GROUP_BY_EMPTY;
    }
    return slot;
  }
  uint32_t slot = (uint32_t)hash & (store.capacity - 1);
  for (uint32_t probe = 0; probe < (uint32_t)probe_max; probe++) {
    uint64_t *mark = group_by_mark(store, slot);
    uint64_t seen = ld_relaxed(mark);
    if (seen == GROUP_BY_EMPTY) {
      seen = atomic_cas_u64(mark, GROUP_BY_EMPTY, word);
      if (seen == GROUP_BY_EMPTY) {
        ++*inserted;
        return slot;
      }
    }
    if (seen == word) return slot;
    slot = (slot + 1) & (store.capacity - 1);
  }
  return GROUP_BY_NO_SLOT;
}

template <uint32_t W>
KERNEL_FN bool group_by_same(const uint64_t *words, const GroupByRowKey<W> &key,
                             const GroupByLayout &layout) {
  for (uint32_t w = 0; w < layout.key_words; w++) {
    if (layout.text_words >> w & 1) {
      if (!group_by_same_text(words + w, key.words + w)) return false;
    } else if (words[w] != key.words[w]) {
      return false;
    }
  }
  return true;
}

/// The slot of a key of several words: claimed by its tag, published when its words are written.
template <uint32_t W>
KERNEL_FN uint32_t group_by_slot_wide(const GroupByStore &store, const GroupByLayout &layout,
                                      const GroupByRowKey<W> &key, uint64_t hash,
                                      uint64_t probe_max, uint32_t *inserted) {
  const uint64_t tag = hash | 2;  // neither empty nor busy
  for (uint32_t probe = 0; probe < (uint32_t)probe_max; probe++) {
    const uint32_t slot = ((uint32_t)hash + probe) & (store.capacity - 1);
    uint64_t *mark = group_by_mark(store, slot);
    uint64_t seen = ld_acquire(mark);
    if (seen == 0) {
      seen = atomic_cas_u64(mark, 0, GROUP_BY_TAG_BUSY);
      if (seen == 0) {
        // By atomics, which tools that look for races in shared memory understand; it is rare.
        for (uint32_t w = 0; w < layout.key_words; w++)
          atomic_exchange_u64(&mark[1 + w], key.words[w]);
        __threadfence();
        atomic_exchange_u64(mark, tag);
        ++*inserted;
        return slot;
      }
    }
    while (seen == GROUP_BY_TAG_BUSY) seen = ld_acquire(mark);
    if (seen == tag) {
      seen = ld_acquire(mark);
      if (group_by_same(mark + 1, key, layout)) return slot;
    }
  }
  return GROUP_BY_NO_SLOT;
}

KERNEL_FN uint32_t group_by_slot(const GroupByStore &store, const GroupByLayout &,
                                 const GroupByRowKey<1> &key, uint64_t hash, uint64_t probe_max,
                                 uint32_t *inserted) {
  return group_by_slot_narrow(store, key, hash, probe_max, inserted);
}

template <uint32_t W>
KERNEL_FN uint32_t group_by_slot(const GroupByStore &store, const GroupByLayout &layout,
                                 const GroupByRowKey<W> &key, uint64_t hash, uint64_t probe_max,
                                 uint32_t *inserted) {
  return group_by_slot_wide(store, layout, key, hash, probe_max, inserted);
}

/// Reads the key of a used slot back. `mark` is its first word, `special` its place among the
/// special slots, or a larger number.
template <uint32_t W>
KERNEL_FN void group_by_read_key(const GroupByLayout &layout, const uint64_t *mark,
                                 uint64_t special, GroupByRowKey<W> *key) {
  key->is_null = W == 1 && special == 0;
  key->words[0] = W > 1 ? mark[1] : special == 1 ? GROUP_BY_EMPTY : mark[0];
  for (uint32_t w = 1; w < group_by_key_words<W>(layout); w++) key->words[w] = mark[1 + w];
}

/// The accumulator words of a slot; `replica` is 0 but in shared memory.
KERNEL_FN uint64_t *group_by_words(const GroupByStore &store, uint32_t slot, uint32_t replica) {
  return store.accumulators + (uint64_t)slot * store.accumulator_step + replica;
}

/// True if the first word of an entry says that it holds a group.
KERNEL_FN bool group_by_in_use(const GroupByLayout &layout, uint64_t mark) {
  return layout.key_words == 1 ? mark != GROUP_BY_EMPTY : mark != 0;
}
