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
    }
    if (params.output.type == PHYSICAL_INT128) {
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
  bool fits = limit == 0 || (sum < limit && sum > -limit);
  if (params.output.type == PHYSICAL_INT64) fits = fits && sum == (int64_t)sum;
  if (params.output.type == PHYSICAL_UINT64) fits = fits && sum == (uint64_t)sum;
  if (!fits) return {0, 0, false, true};
  return {words[0], words[1], true, false};
}

KERNEL_FN GroupByResult emit_result(const GroupByEmitAggregateParams &params, const uint64_t *words,
                                    uint64_t count) {
  const GroupByLayout &layout = params.layout;
  const uint32_t kind = layout.kinds[params.accumulator];
  words += layout.starts[params.accumulator];
  if (params.emit == EMIT_COUNT) return {words[0], 0, true, false};
  if (count == 0) return {0, 0, params.empty_is_zero != 0, false};
  switch (params.emit) {
    case EMIT_SUM: return emit_sum(params, kind, words);
    case EMIT_SUM_FLOAT: return {words[0], 0, true, false};
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
    result = emit_result(params, words, words[layout.starts[params.count_accumulator]]);
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
