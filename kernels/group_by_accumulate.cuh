// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   those of group_by.cu, group_by_emit.cu and group_by_values.cu
// Method    an accumulator is one or more words; it takes a value by atomics, merges with words
// that
//           others may be changing, and merges with a whole group that nobody else changes
// Cost      an atomic per row for most; two for a variance, two or three for an exact sum
// Source    exact sums: U. Kulisch, W. Miranker, Computer Arithmetic in Theory and Practice, 1981;
//           variances: T. F. Chan, G. H. Golub, R. J. LeVeque, 1982; written from the ideas
#pragma once
#include "abi/group_by.h"
#include "primitives/atomic.cuh"
#include "primitives/value.cuh"

/// Words of an accumulator.
KERNEL_FN uint32_t accumulator_width(uint32_t kind) {
  switch (kind) {
    case ACCUMULATE_ADD_INT128: return 2;
    case ACCUMULATE_CARRY: return 2;
    case ACCUMULATE_MIN_INT128:
    case ACCUMULATE_MAX_INT128:
    case ACCUMULATE_CARRY_INT128: return 3;
    case ACCUMULATE_VARIANCE: return 4;
    case ACCUMULATE_ADD_EXACT: return GROUP_BY_EXACT_DIGITS + 1;
    default: return 1;
  }
}

/// The `index`-th word of an accumulator that has taken nothing.
KERNEL_FN uint64_t accumulator_start(uint32_t kind, uint32_t index) {
  const bool least =
      kind == ACCUMULATE_MIN || kind == ACCUMULATE_MIN_INT128 || kind == ACCUMULATE_ROW_FIRST;
  return least && index < 2 ? ~0ull : 0;
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
      atomic_exchange_u64(low_word, low);
      __threadfence();
      atomic_exchange_u64(high_word, high);
    }
    __threadfence();
    atomic_exchange_u64(lock, 0);
    done = true;
  }
}

/// Adds to a word that nobody reads before all additions are over. OWN: a word in shared memory,
/// which has no 64-bit addition, only loops of compare-and-swap: two of 32 bits, and the carry.
template <bool OWN>
KERNEL_FN void add_word(uint64_t *word, uint64_t value) {
  if (!OWN) {
    add_global_u64(word, value);
    return;
  }
  uint32_t *halves = (uint32_t *)word;
  const uint32_t low = (uint32_t)value;
  const uint32_t before = low ? atomicAdd(halves, low) : 0;
  const uint32_t high = (uint32_t)(value >> 32) + (low && before + low < low);
  if (high) atomicAdd(halves + 1, high);
}

template <bool OWN>
KERNEL_FN void add_float(uint64_t *word, double value) {
  if (OWN) {
    atomic_add_f64(word, value);
  } else {
    add_global_f64(word, value);
  }
}

/// Lets an accumulator take a value, or the words of another accumulator of its kind.
/// The words of an accumulator lie `step` apart. What others may write at the same time is written
/// by atomics, of words in shared memory too: tools that look for races there follow nothing else.
template <bool OWN>
KERNEL_FN void accumulate(uint32_t kind, uint64_t *words, uint32_t step, uint64_t low,
                          uint64_t high) {
  switch (kind) {
    case ACCUMULATE_ADD_INT128: {
      const uint64_t before = low ? atomic_add_u64(words, low) : 0;
      const uint64_t carry = low && before + low < low;
      if (high + carry) atomic_add_u64(words + step, high + carry);
      break;
    }
    case ACCUMULATE_ADD_FLOAT: add_float<OWN>(words, __longlong_as_double((long long)low)); break;
    case ACCUMULATE_MIN:
    case ACCUMULATE_ROW_FIRST:
      if (low < ld_relaxed(words)) atomic_min_u64(words, low);
      break;
    case ACCUMULATE_MAX:
    case ACCUMULATE_ROW_LAST:
      if (low > ld_relaxed(words)) atomic_max_u64(words, low);
      break;
    case ACCUMULATE_MIN_INT128:
    case ACCUMULATE_MAX_INT128:
      accumulate_extreme_int128(words, step, kind == ACCUMULATE_MAX_INT128, low, high);
      break;
    case ACCUMULATE_ANY:
    case ACCUMULATE_TRUE:
    case ACCUMULATE_FALSE:
    case ACCUMULATE_NULL:
      if (low && !ld_relaxed(words)) atomic_exchange_u64(words, 1);
      break;
    case ACCUMULATE_CARRY:
    case ACCUMULATE_CARRY_INT128: break;  // written when the row is known
    default:
      if (low) add_word<OWN>(words, low);
      break;
  }
}

/// A number as binary64.
KERNEL_FN double column_number(const ColumnView &column, uint64_t row) {
  return type_is_float(column.type) ? column_float(column, row)
                                    : int128_to_double(column_integer(column, row));
}

/// Adds a float to the digits of an exact sum: its 53 bits fall into three of them at most.
template <bool OWN>
KERNEL_FN void accumulate_exact(uint64_t *words, uint32_t step, double value) {
  const uint64_t bits = (uint64_t)__double_as_longlong(value);
  const uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
  uint64_t magnitude = bits & 0xfffffffffffffull;
  if (exponent == 0x7ff) {
    const uint64_t flag = magnitude    ? EXACT_NAN
                          : bits >> 63 ? EXACT_NEGATIVE_INFINITY
                                       : EXACT_INFINITY;
    atomic_or_u64(words + GROUP_BY_EXACT_DIGITS * step, flag);
    return;
  }
  if (exponent) magnitude |= 0x10000000000000ull;
  const uint32_t position = exponent ? exponent - 1 : 0;
  uint32_t digit = position / 32;
  const uint128_t shifted = (uint128_t)magnitude << (position % 32);
  for (uint32_t part = 0; part < 3; part++, digit++) {
    const uint64_t low = (uint64_t)(shifted >> (32 * part)) & 0xffffffffull;
    if (low) add_word<OWN>(words + digit * step, bits >> 63 ? 0 - low : low);
  }
}

/// Lets a variance take a value, or the distance of one from its group's mean.
template <bool OWN>
KERNEL_FN void accumulate_variance(uint64_t *words, uint32_t step, double value, bool distance) {
  if (distance) {
    add_float<OWN>(words + 2 * step, value * value);
    add_float<OWN>(words + 3 * step, value);
  } else {
    add_word<OWN>(words, 1);
    add_float<OWN>(words + step, value);
  }
}

/// Lets an accumulator take the value of a row, numbered `row_number`. A null leaves it as it is,
/// unless nulls are looked for.
template <bool OWN>
KERNEL_FN void accumulate_row(uint64_t *words, uint32_t step, const GroupByInput &input,
                              uint64_t row, uint64_t row_number) {
  const ColumnView &column = input.column;
  const uint32_t kind = input.kind;
  const bool valid = column_valid(column, row);
  uint64_t low = 1, high = 0;
  if (kind == ACCUMULATE_NULL) {
    if (!valid) accumulate<OWN>(kind, words, step, low, high);
    return;
  }
  if (!valid) return;
  switch (kind) {
    case ACCUMULATE_COUNT:
    case ACCUMULATE_ANY: break;
    case ACCUMULATE_ROW_FIRST: low = row_number; break;
    case ACCUMULATE_ROW_LAST: low = row_number + 1; break;
    case ACCUMULATE_TRUE: low = column_bit(column, row); break;
    case ACCUMULATE_FALSE: low = !column_bit(column, row); break;
    case ACCUMULATE_VARIANCE:
      return accumulate_variance<OWN>(words, step, column_number(column, row),
                                      input.form == INPUT_DISTANCES);
    case ACCUMULATE_ADD_EXACT: return accumulate_exact<OWN>(words, step, column_float(column, row));
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
  accumulate<OWN>(kind, words, step, low, high);
}

/// Merges one accumulator into another of its kind, which others may be changing.
KERNEL_FN void group_by_merge_one(uint32_t kind, uint64_t *words, uint32_t step,
                                  const uint64_t *source, uint32_t source_step) {
  if (kind == ACCUMULATE_VARIANCE) {
    const uint64_t count = ld_relaxed(source);
    if (count) atomic_add_u64(words, count);
    for (uint32_t w = 1; w < 4; w++) {
      const uint64_t bits = ld_relaxed(source + w * source_step);
      if (bits) atomic_add_f64(words + w * step, __longlong_as_double((long long)bits));
    }
    return;
  }
  if (kind == ACCUMULATE_ADD_EXACT) {
    for (uint32_t w = 0; w < GROUP_BY_EXACT_DIGITS; w++) {
      const uint64_t digit = ld_relaxed(source + w * source_step);
      if (digit) atomic_add_u64(words + w * step, digit);
    }
    const uint64_t flags = ld_relaxed(source + GROUP_BY_EXACT_DIGITS * source_step);
    if (flags) atomic_or_u64(words + GROUP_BY_EXACT_DIGITS * step, flags);
    return;
  }
  const uint64_t low = ld_relaxed(source);
  const uint64_t high = accumulator_width(kind) > 1 ? ld_relaxed(source + source_step) : 0;
  accumulate<false>(kind, words, step, low, high);
}

/// Merges all accumulators of one slot, `source_step` words apart, into another that others may be
/// changing.
KERNEL_FN void group_by_merge_words(const GroupByLayout &layout, uint64_t *words, uint32_t step,
                                    const uint64_t *source, uint32_t source_step) {
  for (uint32_t a = 0; a < layout.accumulator_count; a++) {
    const uint32_t start = layout.starts[a];
    group_by_merge_one(layout.kinds[a], words + start * step, step, source + start * source_step,
                       source_step);
  }
}

/// Count, mean and squared distances from it, of a variance whose distances were taken from a mean
/// that was rounded: the sum of the distances tells how far it is off.
struct Spread {
  double count, mean, m2;
};

KERNEL_FN Spread spread_of(const uint64_t *words) {
  const double count = (double)words[0];
  if (words[0] == 0) return {0, 0, 0};
  const double sum = __longlong_as_double((long long)words[1]);
  const double squares = __longlong_as_double((long long)words[2]);
  const double off = __longlong_as_double((long long)words[3]) / count;
  const double m2 = squares - off * off * count;
  return {count, sum / count + off, m2 < 0 ? 0 : m2};
}

/// Merges the variance of other values into one that nobody else changes.
KERNEL_FN void group_by_merge_variance(uint64_t *words, const uint64_t *source) {
  if (source[0] == 0) return;
  if (words[0] == 0) {
    for (uint32_t w = 0; w < 4; w++) words[w] = source[w];
    return;
  }
  const Spread own = spread_of(words), other = spread_of(source);
  const double distance = other.mean - own.mean;
  const double m2 = own.m2 + other.m2 +
                    distance * distance * own.count * (other.count / (own.count + other.count));
  const double sum =
      __longlong_as_double((long long)words[1]) + __longlong_as_double((long long)source[1]);
  words[0] += source[0];
  words[1] = (uint64_t)__double_as_longlong(sum);
  words[2] = (uint64_t)__double_as_longlong(m2);
  words[3] = 0;
}

/// Merges a whole group into one that nobody else changes. Rows of the source are numbered from
/// `row_shift`; values go with the rows that they are of.
KERNEL_FN void group_by_merge_group(const GroupByLayout &layout, uint64_t *words,
                                    const uint64_t *source, uint64_t row_shift) {
  bool carry = false;
  for (uint32_t a = 0; a < layout.accumulator_count; a++) {
    const uint32_t start = layout.starts[a], kind = layout.kinds[a];
    uint64_t *own = words + start;
    const uint64_t *other = source + start;
    switch (kind) {
      case ACCUMULATE_ROW_FIRST:
        carry = other[0] != ~0ull && other[0] + row_shift < own[0];
        if (carry) own[0] = other[0] + row_shift;
        break;
      case ACCUMULATE_ROW_LAST:
        carry = other[0] != 0 && other[0] + row_shift > own[0];
        if (carry) own[0] = other[0] + row_shift;
        break;
      case ACCUMULATE_CARRY:
      case ACCUMULATE_CARRY_INT128:
        for (uint32_t w = 0; carry && w < accumulator_width(kind); w++) own[w] = other[w];
        break;
      case ACCUMULATE_VARIANCE: group_by_merge_variance(own, other); break;
      default: group_by_merge_one(kind, own, 1, other, 1); break;
    }
  }
}
