// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_emit_key group_by_emit_aggregate
// Method    one output row per thread, from the list of slots in use; one column per launch
// Cost      reads 4 B and one 32 B sector per group and column, writes the column
// Source    none needed
#include "group_by.cuh"

/// Unpacks one key column of the listed groups.
///
/// Shape   table, slots[group_count] -> output[group_count]
/// Launch  grid = ceil(group_count / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS,
///         shared = 0
/// Order   that of the list
/// Nulls   the null group's key is null
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_emit_key(GRID_CONSTANT(GroupByEmitKeyParams) params) {
  const GroupByLayout &layout = params.layout;
  const GroupByKey &place = params.key;
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.group_count) return;
  bool valid = false;
  uint64_t low = 0, high = 0;
  if (row < params.group_count) {
    const uint64_t slot = params.slots[row];
    const uint64_t *entry = params.table.entries + slot * layout.entry_words;
    const uint64_t *words = layout.key_words == 1 ? entry : entry + 1;
    valid = layout.key_words != 1 || !layout.null_is_special || slot != params.table.capacity;
    if (place.null_shift < 64) valid = valid && !(words[place.null_word] >> place.null_shift & 1);
    if (valid) {
      low = words[place.word] >> place.shift;
      if (place.bits < 64) low &= (1ull << place.bits) - 1;
      if (layout.key_words == 1 && slot == params.table.capacity + 1) low = GROUP_BY_EMPTY;
      if (params.output.type == PHYSICAL_INT128) high = words[place.word + 1];
      if (params.output.type == PHYSICAL_VIEW) {
        low = words[place.word + GROUP_BY_TEXT_BYTES];
        high = words[place.word + GROUP_BY_TEXT_LENGTH];
      }
    }
    if (params.output.type == PHYSICAL_INT128 || params.output.type == PHYSICAL_VIEW) {
      ((int128_t *)params.output.values)[row] = int128_of(low, high);
    } else if (params.output.type != PHYSICAL_BOOLEAN) {
      output_bits(params.output, row, low);
    }
  }
  if (params.output.type == PHYSICAL_BOOLEAN) {
    bitmap_write_warp((uint8_t *)params.output.values, row, valid && (low & 1));
  }
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}

/// A sum, its failure, and whether it is null.
struct GroupByResult {
  uint64_t low, high;
  bool valid;
  bool overflow;
};

/// Sum of one or two words, against the output type's range or the launch's limit.
KERNEL_FN GroupByResult emit_sum(const GroupByEmitAggregateParams &params, uint32_t kind,
                                 const uint64_t *words) {
  if (kind == ACCUMULATE_ADD) return {words[0], 0, true, false};
  const int128_t sum = int128_of(words[0], words[1]);
  const int128_t limit = int128_of(params.limit_low, params.limit_high);
  const bool wraps = params.output.type == PHYSICAL_INT64 || params.output.type == PHYSICAL_UINT64;
  if (wraps && !params.overflow_is_error) return {words[0], 0, true, false};
  bool fits = limit == 0 || (sum < limit && sum > -limit);
  if (params.output.type == PHYSICAL_INT64) fits = fits && sum == (int64_t)sum;
  if (params.output.type == PHYSICAL_UINT64) fits = fits && sum == (uint64_t)sum;
  if (!fits) return {0, 0, false, true};
  return {words[0], words[1], true, false};
}

KERNEL_FN uint64_t emit_bits(double value) { return (uint64_t)__double_as_longlong(value); }

/// A variance, or one of the numbers that it is made of.
KERNEL_FN GroupByResult emit_variance(const GroupByEmitAggregateParams &params,
                                      const uint64_t *words) {
  const Spread spread = spread_of(words);
  const double m2 = spread.m2 / params.factor / params.factor;
  if (params.emit == EMIT_VARIANCE_M2) return {emit_bits(m2), 0, true, false};
  if (params.emit == EMIT_VARIANCE_MEAN) {
    return {emit_bits(spread.mean / params.factor), 0, true, false};
  }
  if (words[0] <= params.ddof) return {0, 0, false, false};
  const double variance = m2 / (double)(words[0] - params.ddof);
  const double result = params.emit == EMIT_DEVIATION ? sqrt(variance) : variance;
  return {emit_bits(result), 0, true, false};
}

/// The digits of an exact sum with their carries carried, without their sign. Result: the sign.
KERNEL_FN bool exact_magnitude(const uint64_t *words, uint32_t count, uint32_t *digits) {
  bool negative = false;
  for (uint32_t pass = 0; pass < 2; pass++) {
    long long carry = 0;
    for (uint32_t d = 0; d < count; d++) {
      const long long digit = (long long)words[d];
      const long long sum = (negative ? -digit : digit) + carry;
      digits[d] = (uint32_t)sum;
      carry = sum >> 32;
    }
    if (carry >= 0) break;
    negative = true;
  }
  return negative;
}

/// An exact sum of `count` digits, rounded to nearest, ties to even. The count comes from the
/// launch, so that loops stay loops: unrolled, they would take the registers of all other results.
KERNEL_FN double exact_rounded(const uint64_t *words, uint32_t count) {
  const uint64_t flags = words[count];
  const uint64_t infinity = 0x7ff0000000000000ull;
  if (flags == EXACT_INFINITY) return __longlong_as_double((long long)infinity);
  if (flags == EXACT_NEGATIVE_INFINITY) {
    return __longlong_as_double((long long)(infinity | 0x8000000000000000ull));
  }
  if (flags) return __longlong_as_double(0x7ff8000000000000ll);
  uint32_t digits[GROUP_BY_EXACT_DIGITS];
  const bool negative = exact_magnitude(words, count, digits);
  uint32_t top = count - 1;
  while (top > 1 && digits[top] == 0) top--;
  // The three leading digits hold at least 65 bits of what is shown, unless there are fewer.
  const uint32_t low_digit = top >= 2 ? top - 2 : 0;
  uint128_t head = 0;
  for (uint32_t d = top + 1; d > low_digit; d--) head = head << 32 | digits[d - 1];
  uint32_t shift = 0;
  while (head >> shift >> 53) shift++;
  uint64_t fraction = (uint64_t)(head >> shift);
  if (shift) {
    const uint128_t rest = head & (((uint128_t)1 << shift) - 1);
    const uint128_t half = (uint128_t)1 << (shift - 1);
    bool below = false;
    for (uint32_t d = 0; d < low_digit && rest == half && !below; d++) below = digits[d] != 0;
    fraction += rest > half || (rest == half && (below || (fraction & 1)));
  }
  // The fraction's leading bit adds one to the exponent, where there is one.
  uint64_t bits = ((uint64_t)(low_digit * 32 + shift) << 52) + fraction;
  if (bits > infinity) bits = infinity;
  return __longlong_as_double((long long)(negative && bits ? bits | 0x8000000000000000ull : bits));
}

KERNEL_FN GroupByResult emit_result(const GroupByEmitAggregateParams &params, const uint64_t *words,
                                    uint64_t count) {
  const GroupByLayout &layout = params.layout;
  const uint32_t kind = layout.kinds[params.accumulator];
  words += layout.starts[params.accumulator];
  switch (params.emit) {
    case EMIT_COUNT: return {words[0], 0, true, false};
    case EMIT_CARRY: {
      const uint32_t last = accumulator_width(kind) - 1;
      return {words[0], last == 2 ? words[1] : 0, words[last] != 0, false};
    }
    // The count tells of nulls here: Kleene's logic.
    case EMIT_ANY: return {words[0] != 0, 0, words[0] || !count, false};
    case EMIT_ALL: return {words[0] == 0, 0, words[0] || !count, false};
    case EMIT_VARIANCE:
    case EMIT_DEVIATION:
    case EMIT_VARIANCE_MEAN:
    case EMIT_VARIANCE_M2: return emit_variance(params, words);
    default: break;
  }
  if (count == 0) return {0, 0, params.empty_is_zero != 0, false};
  switch (params.emit) {
    case EMIT_SUM: return emit_sum(params, kind, words);
    case EMIT_SUM_FLOAT: return {words[0], 0, true, false};
    case EMIT_EXACT:
    case EMIT_EXACT_MEAN: {
      const double sum = exact_rounded(words, accumulator_width(kind) - 1);
      const double result = params.emit == EMIT_EXACT ? sum : sum / (double)count;
      return {emit_bits(result), 0, true, false};
    }
    case EMIT_MEAN: {
      double sum = kind == ACCUMULATE_ADD_FLOAT ? __longlong_as_double((long long)words[0])
                                                : int128_to_double(int128_of(words[0], words[1]));
      if (params.factor != 1) sum /= params.factor;
      return {(uint64_t)__double_as_longlong(sum / (double)count), 0, true, false};
    }
    default: break;
  }
  if (kind == ACCUMULATE_MIN || kind == ACCUMULATE_MAX) {
    return {order_decode(params.output.type, words[0]), 0, true, false};
  }
  return {words[0], words[1] ^ 0x8000000000000000ull, true, false};
}

/// Finishes one aggregate of the listed groups.
///
/// Shape   table, slots[group_count] -> output[group_count]
/// Launch  grid = ceil(group_count / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS,
///         shared = 0
/// Order   that of the list
/// Nulls   null for a group without values (but a sum may be zero then), and for a sum that does
///         not fit
/// Errors  STATUS_SUM_OVERFLOW: argument = row
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_emit_aggregate(GRID_CONSTANT(GroupByEmitAggregateParams) params) {
  const GroupByLayout &layout = params.layout;
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.group_count) return;
  GroupByResult result = {0, 0, false, false};
  if (row < params.group_count) {
    const uint64_t *words = params.table.entries +
                            (uint64_t)params.slots[row] * layout.entry_words +
                            layout.accumulator_start;
    const bool every = params.count_accumulator == GROUP_BY_EVERY;
    const uint64_t count = every ? 1 : words[layout.starts[params.count_accumulator]];
    result = emit_result(params, words, count);
    if (result.overflow && params.overflow_is_error) {
      status_set(params.status, STATUS_SUM_OVERFLOW, row);
    }
    if (params.output.type == PHYSICAL_INT128) {
      ((int128_t *)params.output.values)[row] = int128_of(result.low, result.high);
    } else if (params.output.type != PHYSICAL_BOOLEAN) {
      output_bits(params.output, row, result.low);
    }
  }
  if (params.output.type == PHYSICAL_BOOLEAN) {
    bitmap_write_warp((uint8_t *)params.output.values, row, result.valid && (result.low & 1));
  }
  bitmap_write_warp(params.output.validity, row, result.valid);
}
