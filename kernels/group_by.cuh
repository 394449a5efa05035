// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   those of group_by.cu and group_by_emit.cu
// Method    packed keys; a table with open addressing, key and accumulators side by side in one
//           32-byte sector where they fit; accumulators know how to take a value and how to merge
// Cost      see the kernels
// Source    none needed
#pragma once
#include "abi/group_by.h"
#include "primitives/atomic.cuh"
#include "primitives/hash.cuh"
#include "primitives/status.cuh"
#include "primitives/value.cuh"

#define GROUP_BY_NO_SLOT (~0ull)
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

/// Packs the key columns of a row. Equal keys pack to equal words: one NaN, one zero, nulls as a
/// set null bit over zero value bits.
template <uint32_t W>
KERNEL_FN void group_by_pack(const GroupByLayout &layout, const GroupByKey *keys, uint64_t row,
                             GroupByRowKey<W> *packed) {
  packed->is_null = false;
  for (uint32_t w = 0; w < group_by_key_words<W>(layout); w++) packed->words[w] = 0;
  for (uint32_t k = 0; k < layout.key_count; k++) {
    const GroupByKey &key = keys[k];
    if (!column_valid(key.column, row)) {
      if (layout.null_is_special) {
        packed->is_null = true;
      } else {
        packed->words[W == 1 ? 0 : key.null_word] |= 1ull << key.null_shift;
      }
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

template <uint32_t W>
KERNEL_FN uint64_t group_by_hash(const GroupByLayout &layout, const GroupByRowKey<W> &key) {
  const uint64_t hash = hash_words(key.words, group_by_key_words<W>(layout));
  return layout.hash_mask_bits >= 64 ? hash : hash & ((1ull << layout.hash_mask_bits) - 1);
}

/// Where a table keeps the words of a slot: entries of `entry_words` with the accumulators inside,
/// or, in shared memory, keys first and then `replicas` interleaved copies of each accumulator.
struct GroupByStore {
  uint64_t *keys;
  uint64_t *accumulators;
  uint64_t capacity;          // a power of two
  uint32_t key_stride;        // words between the keys of neighbouring slots
  uint32_t accumulator_step;  // words between the accumulators of neighbouring slots
  uint32_t replicas;          // words between the accumulators of a slot
};

KERNEL_FN GroupByStore group_by_global(const GroupByTable &table, const GroupByLayout &layout) {
  return {table.entries,      table.entries + layout.accumulator_start,
          table.capacity,     layout.entry_words,
          layout.entry_words, 1};
}

/// The slot of a one-word key, inserted if it is new.
KERNEL_FN uint64_t group_by_slot_narrow(const GroupByStore &store, const GroupByRowKey<1> &key,
                                        uint64_t hash, uint64_t probe_max, uint32_t *inserted) {
  const uint64_t word = key.words[0];
  if (key.is_null || word == GROUP_BY_EMPTY) {
    const uint64_t slot = store.capacity + (key.is_null ? 0 : 1);
    uint64_t *mark = &store.keys[slot * store.key_stride];
    if (ld_relaxed(mark) == GROUP_BY_EMPTY) {
      *inserted += atomic_cas_u64(mark, GROUP_BY_EMPTY, 0) == GROUP_BY_EMPTY;
    }
    return slot;
  }
  for (uint64_t probe = 0; probe < probe_max; probe++) {
    const uint64_t slot = (hash + probe) & (store.capacity - 1);
    uint64_t *mark = &store.keys[slot * store.key_stride];
    uint64_t seen = ld_relaxed(mark);
    if (seen == GROUP_BY_EMPTY) {
      seen = atomic_cas_u64(mark, GROUP_BY_EMPTY, word);
      if (seen == GROUP_BY_EMPTY) {
        ++*inserted;
        return slot;
      }
    }
    if (seen == word) return slot;
  }
  return GROUP_BY_NO_SLOT;
}

template <uint32_t W>
KERNEL_FN bool group_by_same(const uint64_t *words, const GroupByRowKey<W> &key, uint32_t count) {
  for (uint32_t w = 0; w < count; w++) {
    if (words[w] != key.words[w]) return false;
  }
  return true;
}

/// The slot of a key of several words: claimed by its tag, published when its words are written.
template <uint32_t W>
KERNEL_FN uint64_t group_by_slot_wide(const GroupByStore &store, uint32_t key_words,
                                      const GroupByRowKey<W> &key, uint64_t hash,
                                      uint64_t probe_max, uint32_t *inserted) {
  const uint64_t tag = hash | 2;  // neither empty nor busy
  for (uint64_t probe = 0; probe < probe_max; probe++) {
    const uint64_t slot = (hash + probe) & (store.capacity - 1);
    uint64_t *mark = &store.keys[slot * store.key_stride];
    uint64_t seen = ld_acquire(mark);
    if (seen == 0) {
      seen = atomic_cas_u64(mark, 0, GROUP_BY_TAG_BUSY);
      if (seen == 0) {
        for (uint32_t w = 0; w < key_words; w++) mark[1 + w] = key.words[w];
        st_release(mark, tag);
        ++*inserted;
        return slot;
      }
    }
    while (seen == GROUP_BY_TAG_BUSY) seen = ld_acquire(mark);
    if (seen == tag) {
      seen = ld_acquire(mark);
      if (group_by_same(mark + 1, key, key_words)) return slot;
    }
  }
  return GROUP_BY_NO_SLOT;
}

KERNEL_FN uint64_t group_by_slot(const GroupByStore &store, const GroupByLayout &,
                                 const GroupByRowKey<1> &key, uint64_t hash, uint64_t probe_max,
                                 uint32_t *inserted) {
  return group_by_slot_narrow(store, key, hash, probe_max, inserted);
}

template <uint32_t W>
KERNEL_FN uint64_t group_by_slot(const GroupByStore &store, const GroupByLayout &layout,
                                 const GroupByRowKey<W> &key, uint64_t hash, uint64_t probe_max,
                                 uint32_t *inserted) {
  return group_by_slot_wide(store, layout.key_words, key, hash, probe_max, inserted);
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
KERNEL_FN uint64_t *group_by_words(const GroupByStore &store, uint64_t slot, uint32_t replica) {
  return store.accumulators + slot * store.accumulator_step + replica;
}

/// Words of an accumulator.
KERNEL_FN uint32_t accumulator_width(uint32_t kind) {
  switch (kind) {
    case ACCUMULATE_ADD_INT128: return 2;
    case ACCUMULATE_MIN_INT128:
    case ACCUMULATE_MAX_INT128: return 3;
    default: return 1;
  }
}

/// The `index`-th word of an accumulator that has taken nothing.
KERNEL_FN uint64_t accumulator_start(uint32_t kind, uint32_t index) {
  return (kind == ACCUMULATE_MIN || kind == ACCUMULATE_MIN_INT128) && index < 2 ? ~0ull : 0;
}

/// The lesser or greater of a 128-bit code and the accumulator's, under the accumulator's lock.
/// The words are looked at first: the low word is written before the high one, so a state that
/// looks no worse than the value cannot become worse than it.
KERNEL_FN void accumulate_extreme_int128(uint64_t *words, uint32_t step, bool want_max,
                                         uint64_t low, uint64_t high) {
  const uint64_t flip = want_max ? 0 : ~0ull;  // a minimum is the maximum of complements
  const uint64_t own_low = low ^ flip, own_high = high ^ flip;
  uint64_t *low_word = words, *high_word = words + step, *lock = words + 2 * step;
  const uint64_t high_before = ld_acquire(high_word) ^ flip;
  const uint64_t low_before = ld_acquire(low_word) ^ flip;
  if (high_before > own_high || (high_before == own_high && low_before >= own_low)) return;
  bool done = false;
  while (!done) {
    if (atomic_cas_u64(lock, 0, 1) != 0) continue;
    __threadfence();
    const uint64_t high_now = ld_acquire(high_word) ^ flip, low_now = ld_acquire(low_word) ^ flip;
    if (high_now < own_high || (high_now == own_high && low_now < own_low)) {
      st_release(low_word, low);
      st_release(high_word, high);
    }
    __threadfence();
    atomic_exchange_u64(lock, 0);
    done = true;
  }
}

/// Lets an accumulator take a value, or the words of another accumulator of its kind.
/// The words of an accumulator lie `step` apart.
KERNEL_FN void accumulate(uint32_t kind, uint64_t *words, uint32_t step, uint64_t low,
                          uint64_t high) {
  switch (kind) {
    case ACCUMULATE_ADD_INT128: {
      const uint64_t before = low ? atomic_add_u64(words, low) : 0;
      const uint64_t carry = low && before + low < low;
      if (high + carry) atomic_add_u64(words + step, high + carry);
      break;
    }
    case ACCUMULATE_ADD_FLOAT: atomic_add_f64(words, __longlong_as_double((long long)low)); break;
    case ACCUMULATE_MIN:
      if (low < ld_relaxed(words)) atomic_min_u64(words, low);
      break;
    case ACCUMULATE_MAX:
      if (low > ld_relaxed(words)) atomic_max_u64(words, low);
      break;
    case ACCUMULATE_MIN_INT128:
    case ACCUMULATE_MAX_INT128:
      accumulate_extreme_int128(words, step, kind == ACCUMULATE_MAX_INT128, low, high);
      break;
    case ACCUMULATE_ANY:
      if (low && !ld_relaxed(words)) st_relaxed(words, 1);
      break;
    default:
      if (low) atomic_add_u64(words, low);
      break;
  }
}

/// Lets an accumulator take the value of a row. A null leaves it as it is.
KERNEL_FN void accumulate_row(uint32_t kind, uint64_t *words, uint32_t step,
                              const ColumnView &column, uint64_t row) {
  if (!column_valid(column, row)) return;
  uint64_t low = 1, high = 0;
  switch (kind) {
    case ACCUMULATE_COUNT:
    case ACCUMULATE_ANY: break;
    case ACCUMULATE_ADD_FLOAT:
      low = (uint64_t)__double_as_longlong(column_float(column, row));
      break;
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX: low = order_code(column.type, column_bits(column, row)); break;
    case ACCUMULATE_MIN_INT128:
    case ACCUMULATE_MAX_INT128: {
      const int128_t value = column_value<int128_t>(column, row);
      low = (uint64_t)value;
      high = (uint64_t)(value >> 64) ^ 0x8000000000000000ull;
      break;
    }
    default: {
      const int128_t value = column_integer(column, row);
      low = (uint64_t)value;
      high = (uint64_t)(value >> 64);
      break;
    }
  }
  accumulate(kind, words, step, low, high);
}

/// Merges all accumulators of one slot, `source_step` words apart, into another.
KERNEL_FN void group_by_merge_words(const GroupByLayout &layout, uint64_t *words, uint32_t step,
                                    const uint64_t *source, uint32_t source_step) {
  for (uint32_t a = 0; a < layout.accumulator_count; a++) {
    const uint32_t start = layout.starts[a], kind = layout.kinds[a];
    const uint64_t low = ld_relaxed(source + start * source_step);
    const uint64_t high =
        accumulator_width(kind) > 1 ? ld_relaxed(source + (start + 1) * source_step) : 0;
    accumulate(kind, words + start * step, step, low, high);
  }
}

/// True if the first word of an entry says that it holds a group.
KERNEL_FN bool group_by_in_use(const GroupByLayout &layout, uint64_t mark) {
  return layout.key_words == 1 ? mark != GROUP_BY_EMPTY : mark != 0;
}
