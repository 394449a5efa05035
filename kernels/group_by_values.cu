// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_carry group_by_distance group_by_distance_wide group_by_registers
//           group_by_bound group_by_settle
// Method    what aggregates need before or after the rows went through group_by_update: values of
//           picked rows, distances from means, registers of a sketch, bounds of sums
// Cost      carry and settle read an entry per slot; distance reads keys, a value and a sector per
//           row and writes 8 B; registers reads a value and writes 12 B; bound reads 8 B
// Source    the sketch is HyperLogLog (P. Flajolet et al., AofA 2007); written from the idea
#include "group_by.cuh"

/// Copies the values of the rows that were picked in this batch into their groups.
///
/// Shape   table[capacity + GROUP_BY_SPECIAL_SLOTS], column[rows] -> table
/// Launch  grid covers the slots, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   none
/// Nulls   kept as they are
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_carry(GRID_CONSTANT(GroupByCarryParams) params) {
  const GroupByLayout &layout = params.layout;
  const uint64_t slot = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (slot >= params.table.capacity + GROUP_BY_SPECIAL_SLOTS) return;
  uint64_t *entry = params.table.entries + slot * layout.entry_words;
  if (!group_by_in_use(layout, entry[0])) return;
  uint64_t *words = entry + layout.accumulator_start;
  const bool last = layout.kinds[params.row_accumulator] == ACCUMULATE_ROW_LAST;
  const uint64_t row = words[layout.starts[params.row_accumulator]] - (last ? 1 : 0);
  // A group without such a row has the greatest number, which is in no batch.
  if (row < params.row_start || row - params.row_start >= params.row_count) return;
  const uint64_t place = row - params.row_start;
  words += layout.starts[params.accumulator];
  const bool valid = column_valid(params.column, place);
  if (layout.kinds[params.accumulator] == ACCUMULATE_CARRY_INT128) {
    const int128_t value = valid ? column_value<int128_t>(params.column, place) : 0;
    words[0] = (uint64_t)value;
    words[1] = (uint64_t)(value >> 64);
    words[2] = valid;
  } else {
    words[0] = valid ? column_bits(params.column, place) : 0;
    words[1] = valid;
  }
}

template <uint32_t W>
KERNEL_FN void group_by_distance_rows(const GroupByDistanceParams &params) {
  const GroupByLayout &layout = params.layout;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= row_count) return;
  uint32_t slot = GROUP_BY_NO_SLOT;
  const GroupByStore store = group_by_global(params.table, layout);
  if (row < row_count && column_valid(params.column, row)) {
    GroupByRowKey<W> key;
    group_by_pack(layout, params.keys, row, &key);
    uint32_t inserted = 0;  // none: every key is there
    slot = group_by_slot(store, layout, key, group_by_hash(layout, key), store.capacity, &inserted);
  }
  __syncwarp();  // the lanes looked at unequal numbers of slots
  const bool valid = slot != GROUP_BY_NO_SLOT;
  if (valid) {
    const uint64_t *words = group_by_words(store, slot, 0) + layout.starts[params.accumulator];
    const double mean = __longlong_as_double((long long)words[1]) / (double)words[0];
    ((double *)params.output.values)[row] = column_number(params.column, row) - mean;
  }
  bitmap_write_warp(params.output.validity, row, valid);
}

/// The distance of each value from the mean of its group, once all rows were added.
///
/// Shape   keys[rows], column[rows], table -> output[rows]
/// Launch  grid = ceil(rows / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null gives a null
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_distance(GRID_CONSTANT(GroupByDistanceParams) params) {
  group_by_distance_rows<1>(params);
}

/// The distance of each value from the mean of its group, for keys of several words.
///
/// Shape   keys[rows], column[rows], table -> output[rows]
/// Launch  grid = ceil(rows / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null gives a null
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_distance_wide(GRID_CONSTANT(GroupByDistanceParams) params) {
  group_by_distance_rows<GROUP_BY_KEY_WORDS_MAX>(params);
}

/// One step of the hash of src/operators/group_by/sketch.rs.
KERNEL_FN uint64_t register_hash(uint64_t hash, uint64_t word) {
  return hash_word(word + 0x9e3779b97f4a7c15ull * hash);
}

/// The hash of a value, equal on every backend.
KERNEL_FN uint64_t value_hash(const ColumnView &column, uint64_t row) {
  if (type_is_float(column.type)) {
    const uint64_t bits = (uint64_t)__double_as_longlong(column_float(column, row));
    return register_hash(1, float_bits_normal(PHYSICAL_FLOAT64, bits));
  }
  const int128_t value = column_integer(column, row);
  const uint64_t hash = register_hash(1, (uint64_t)value);
  if (column.type != PHYSICAL_INT128) return hash;
  return register_hash(hash, (uint64_t)(value >> 64));
}

/// The register of each value in a sketch of different values, and the weight of its rank.
///
/// Shape   column[rows] -> registers[rows], weights[rows]
/// Launch  grid = ceil(rows / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null gives nulls
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_registers(GRID_CONSTANT(GroupByRegistersParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= row_count) return;
  const bool valid = row < row_count && column_valid(params.column, row);
  if (valid) {
    const uint64_t hash =
        params.hashed ? column_value<uint64_t>(params.column, row) : value_hash(params.column, row);
    const uint64_t rest = hash >> GROUP_BY_REGISTER_BITS;
    const uint32_t first = rest ? (uint32_t)__ffsll((long long)rest) : GROUP_BY_RANK_MAX;
    const uint32_t rank = first < GROUP_BY_RANK_MAX ? first : GROUP_BY_RANK_MAX;
    ((uint32_t *)params.registers.values)[row] =
        (uint32_t)(hash & ((1u << GROUP_BY_REGISTER_BITS) - 1));
    ((uint64_t *)params.weights.values)[row] = 1ull << (GROUP_BY_RANK_MAX - rank);
  }
  bitmap_write_warp(params.registers.validity, row, valid);
  bitmap_write_warp(params.weights.validity, row, valid);
}

/// Raises a bound of the absolute values of a column.
///
/// Shape   column[rows] -> bound[1], raised
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   left out
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_bound(GRID_CONSTANT(GroupByBoundParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * GROUP_BY_TABLE_THREADS;
  uint64_t greatest = 0;
  for (uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x; row < row_count;
       row += stride) {
    if (!column_valid(params.column, row)) continue;
    const int64_t value = column_value<int64_t>(params.column, row);
    const uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (magnitude > greatest) greatest = magnitude;
  }
  for (uint32_t step = 16; step; step >>= 1) {
    const uint64_t other = __shfl_xor_sync(WARP_ALL, greatest, (int)step);
    if (other > greatest) greatest = other;
  }
  if ((threadIdx.x & 31) == 0 && greatest) atomic_max_u64(params.bound, greatest);
}

/// Catches up on what was put off: marks of values that every group has, signs of narrow sums in
/// their high words, carries of the digits of exact sums.
///
/// Shape   table[capacity + GROUP_BY_SPECIAL_SLOTS] -> table
/// Launch  grid covers the slots, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_settle(GRID_CONSTANT(GroupBySettleParams) params) {
  const GroupByLayout &layout = params.layout;
  const uint64_t slot = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (slot >= params.table.capacity + GROUP_BY_SPECIAL_SLOTS) return;
  uint64_t *entry = params.table.entries + slot * layout.entry_words;
  if (!group_by_in_use(layout, entry[0])) return;
  for (uint32_t a = 0; a < layout.accumulator_count; a++) {
    uint64_t *words = entry + layout.accumulator_start + layout.starts[a];
    if (params.present >> a & 1) words[0] = 1;
    if (params.narrow >> a & 1) words[1] = words[0] >> 63 ? ~0ull : 0;
    if (params.carry >> a & 1) {
      long long carry = 0;
      for (uint32_t d = 0; d + 1 < GROUP_BY_EXACT_DIGITS; d++) {
        const long long sum = (long long)words[d] + carry;
        words[d] = (uint64_t)sum & 0xffffffffull;
        carry = sum >> 32;
      }
      words[GROUP_BY_EXACT_DIGITS - 1] += (uint64_t)carry;
    }
  }
}
