// Operator  shuffle_partition (src/operators/shuffle_partition.rs states the contract)
// Kernels   shuffle_partition_bounds shuffle_partition_target
// Method    the keys' words are mixed, or looked for among the bounds, key by key; a block counts
// its
//           rows by partition in shared memory and adds once per partition at its end
// Cost      reads the keys, writes 2 B per row
// Source    multiply-shift to a range: D. Lemire, "Fast Random Integer Generation in an Interval",
//           ACM TOMACS 2019; written from the idea
#include "abi/page.h"
#include "abi/shuffle_partition.h"
#include "primitives/atomic.cuh"
#include "primitives/bytes.cuh"
#include "primitives/hash.cuh"
#include "primitives/value.cuh"

// Of the contract's hash: src/operators/shuffle_partition.rs.
#define SHUFFLE_HASH_STEP 0x9e3779b97f4a7c15ull
#define SHUFFLE_HASH_SEED 0x243f6a8885a308d3ull
#define SHUFFLE_NULL_WORD 0x9e3779b97f4a7c16ull

struct ShufflePartitionPolicy {
  static const uint32_t TILE_ROWS = SHUFFLE_PARTITION_THREADS * SHUFFLE_PARTITION_TARGET_ITEMS;
  static const uint32_t BLOCKS = 3;  // per multiprocessor: shuffle_partition/hash
};

/// The classes of a bound's first word, in their order.
enum ShuffleClass {
  SHUFFLE_NULL_FIRST = 0,
  SHUFFLE_VALUE = 1,
  SHUFFLE_NULL_LAST = 2,
};

/// A binary16 value, which is no number to the language.
struct ShuffleHalf {
  uint16_t bits;
};

/// A bit of a bitmap.
struct ShuffleBit {
  bool bit;
};

KERNEL_FN uint64_t shuffle_mixed(uint64_t word, uint64_t hash) {
  return hash_word(word + SHUFFLE_HASH_STEP * hash);
}

// The word of a value, by its type.
template <typename T>
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, T value) {
  return (uint64_t)(int64_t)value;
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &key, uint32_t value) {
  if (!key.words) return value;
  return value < key.word_count ? key.words[value] : 0;
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, uint64_t value) {
  return value >> 63 ? shuffle_mixed(value, 0) : value;
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, int128_t value) {
  const uint64_t low = (uint64_t)value, high = (uint64_t)(value >> 64);
  return value == (int128_t)(int64_t)low ? low : shuffle_mixed(low, high);
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, double value) {
  return float_bits_normal(PHYSICAL_FLOAT64, (uint64_t)__double_as_longlong(value));
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &key, float value) {
  return shuffle_word(key, (double)value);
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &key, ShuffleHalf value) {
  return shuffle_word(key, (double)float16_to_float(value.bits));
}
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, ShuffleBit value) { return value.bit; }
KERNEL_FN uint64_t shuffle_word(const ShufflePartitionKey &, const TextView &view) {
  uint64_t hash = view.length;
  for (uint64_t at = 0; at < view.length; at += 8) {
    hash = shuffle_mixed(bytes_u64(view.bytes, view.length, at), hash);
  }
  return hash;
}

// The value of a row.
template <typename T>
KERNEL_FN void shuffle_read(const ColumnView &column, uint64_t row, T *value) {
  *value = column_value<T>(column, row);
}
KERNEL_FN void shuffle_read(const ColumnView &column, uint64_t row, ShuffleHalf *value) {
  value->bits = column_value<uint16_t>(column, row);
}
KERNEL_FN void shuffle_read(const ColumnView &column, uint64_t row, ShuffleBit *value) {
  value->bit = column_bit(column, row);
}
KERNEL_FN void shuffle_read(const ColumnView &column, uint64_t row, TextView *value) {
  *value = {nullptr, 0, 0};  // views are no scalars but nulls
  if (column.kind == COLUMN_ARRAY) *value = ((const TextView *)column.values)[column.offset + row];
}

/// Mixes a key of type T into the hashes of a thread's rows, which are a block apart.
template <typename T>
KERNEL_FN void shuffle_mix(const ShufflePartitionKey &key, uint64_t first, uint64_t row_count,
                           uint64_t *hashes) {
  T values[SHUFFLE_PARTITION_TARGET_ITEMS] = {};
#pragma unroll  // shuffle_partition/hash: the keys of all items are in flight together
  for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
    const uint64_t row = first + i * SHUFFLE_PARTITION_THREADS;
    if (row < row_count) shuffle_read(key.column, row, &values[i]);
  }
#pragma unroll  // shuffle_partition/hash
  for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
    const uint64_t row = first + i * SHUFFLE_PARTITION_THREADS;
    if (row >= row_count) continue;
    const bool valid = column_valid(key.column, row);
    hashes[i] = shuffle_mixed(valid ? shuffle_word(key, values[i]) : SHUFFLE_NULL_WORD, hashes[i]);
  }
}

/// Drops the first of a thread's items and appends one. Loops that are too long to be unrolled go
/// over all items so, and leave every one of them in a register.
template <typename T>
KERNEL_FN void shuffle_rotate(T *items, T last) {
#pragma unroll  // shuffle_partition/range
  for (uint32_t i = 0; i + 1 < SHUFFLE_PARTITION_TARGET_ITEMS; i++) items[i] = items[i + 1];
  items[SHUFFLE_PARTITION_TARGET_ITEMS - 1] = last;
}

/// As `shuffle_mix`, row by row: for types whose words take long.
template <typename T>
KERNEL_FN void shuffle_mix_slowly(const ShufflePartitionKey &key, uint64_t first,
                                  uint64_t row_count, uint64_t *hashes) {
#pragma unroll 1  // shuffle_partition/hash: registers
  for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
    const uint64_t row = first + i * SHUFFLE_PARTITION_THREADS;
    uint64_t word = SHUFFLE_NULL_WORD;
    if (row < row_count && column_valid(key.column, row)) {
      T value;
      shuffle_read(key.column, row, &value);
      word = shuffle_word(key, value);
    }
    shuffle_rotate(hashes, shuffle_mixed(word, hashes[0]));
  }
}

KERNEL_FN void shuffle_mix_key(const ShufflePartitionKey &key, uint64_t first, uint64_t row_count,
                               uint64_t *hashes) {
  switch (key.column.type) {
    case PHYSICAL_BOOLEAN: shuffle_mix<ShuffleBit>(key, first, row_count, hashes); break;
    case PHYSICAL_INT8: shuffle_mix<int8_t>(key, first, row_count, hashes); break;
    case PHYSICAL_INT16: shuffle_mix<int16_t>(key, first, row_count, hashes); break;
    case PHYSICAL_INT32: shuffle_mix<int32_t>(key, first, row_count, hashes); break;
    case PHYSICAL_INT64: shuffle_mix<int64_t>(key, first, row_count, hashes); break;
    case PHYSICAL_UINT8: shuffle_mix<uint8_t>(key, first, row_count, hashes); break;
    case PHYSICAL_UINT16: shuffle_mix<uint16_t>(key, first, row_count, hashes); break;
    case PHYSICAL_UINT32: shuffle_mix<uint32_t>(key, first, row_count, hashes); break;
    case PHYSICAL_UINT64: shuffle_mix<uint64_t>(key, first, row_count, hashes); break;
    case PHYSICAL_FLOAT16: shuffle_mix<ShuffleHalf>(key, first, row_count, hashes); break;
    case PHYSICAL_FLOAT32: shuffle_mix<float>(key, first, row_count, hashes); break;
    case PHYSICAL_FLOAT64: shuffle_mix<double>(key, first, row_count, hashes); break;
    case PHYSICAL_INT128: shuffle_mix_slowly<int128_t>(key, first, row_count, hashes); break;
    default: shuffle_mix_slowly<TextView>(key, first, row_count, hashes); break;
  }
}

/// What a value is compared by: three words, compared as one number.
struct ShuffleOrder {
  uint64_t words[SHUFFLE_PARTITION_BOUND_WORDS];
};

KERNEL_FN ShuffleOrder shuffle_order(const ShufflePartitionKey &key, uint64_t row) {
  const ColumnView &column = key.column;
  if (!column_valid(column, row)) {
    return {{(uint64_t)(key.nulls_first ? SHUFFLE_NULL_FIRST : SHUFFLE_NULL_LAST), 0, 0}};
  }
  if (column.type == PHYSICAL_INT128) {
    const int128_t value = column_value<int128_t>(column, row);
    const uint64_t high = (uint64_t)(value >> 64) ^ 0x8000000000000000ull;
    return {{SHUFFLE_VALUE, high ^ key.flip, (uint64_t)value ^ key.flip}};
  }
  const uint64_t code = order_code(column.type, column_bits(column, row));
  return {{SHUFFLE_VALUE, 0, code ^ key.flip}};
}

/// True if a bound is less than a value, or, with `or_equal`, not greater.
KERNEL_FN bool shuffle_is_below(const uint64_t *bound, const ShuffleOrder &value, bool or_equal) {
#pragma unroll  // shuffle_partition/range
  for (uint32_t w = 0; w < SHUFFLE_PARTITION_BOUND_WORDS; w++) {
    if (bound[w] != value.words[w]) return bound[w] < value.words[w];
  }
  return or_equal;
}

/// The first bound from `low` on, below `high`, that is not below a value; `high` if there is none.
KERNEL_FN uint32_t shuffle_search(const uint64_t *bounds, uint32_t low, uint32_t high,
                                  const ShuffleOrder &value, bool or_equal) {
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    const uint64_t *bound = bounds + (uint64_t)middle * SHUFFLE_PARTITION_BOUND_WORDS;
    if (shuffle_is_below(bound, value, or_equal)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// The number of bounds that are less than a row. Key by key, the search goes on among the bounds
/// that are equal so far.
KERNEL_FN uint32_t shuffle_range(const ShufflePartitionTargetParams &params, uint64_t row) {
  uint32_t low = 0, high = params.partitions - 1;
  for (uint32_t k = 0; k < params.key_count && low < high; k++) {
    const ShufflePartitionKey &key = params.keys[k];
    const ShuffleOrder value = shuffle_order(key, row);
    low = shuffle_search(key.words, low, high, value, false);
    if (k + 1 < params.key_count) high = shuffle_search(key.words, low, high, value, true);
  }
  return low;
}

/// The targets of a thread's rows, which are a block apart; what is beyond the rows is undefined.
KERNEL_FN void shuffle_targets(const ShufflePartitionTargetParams &params, uint64_t first,
                               uint64_t row_count, uint32_t *targets) {
  if (params.by == SHUFFLE_PARTITION_HASH) {
    uint64_t hashes[SHUFFLE_PARTITION_TARGET_ITEMS];
    for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) hashes[i] = SHUFFLE_HASH_SEED;
    for (uint32_t k = 0; k < params.key_count; k++) {
      shuffle_mix_key(params.keys[k], first, row_count, hashes);
    }
#pragma unroll  // shuffle_partition/hash
    for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
      targets[i] = (uint32_t)(((hashes[i] >> 32) * params.partitions) >> 32);
    }
    return;
  }
#pragma unroll 1  // shuffle_partition/range: registers
  for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
    const uint64_t row = first + i * SHUFFLE_PARTITION_THREADS;
    uint32_t target = ((uint32_t)row + params.start) % params.partitions;
    if (params.by == SHUFFLE_PARTITION_RANGE && row < row_count)
      target = shuffle_range(params, row);
    shuffle_rotate(targets, target);
  }
}

/// Turns the bounds of a key into words that compare as the keys do.
///
/// Shape   key[bound_count] -> out_words[bound_count * SHUFFLE_PARTITION_BOUND_WORDS]
/// Launch  grid = ceil(bound_count / SHUFFLE_PARTITION_THREADS), block = SHUFFLE_PARTITION_THREADS,
///         shared = 0
/// Nulls   before or behind all values, as the key says
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(SHUFFLE_PARTITION_THREADS)
shuffle_partition_bounds(GRID_CONSTANT(ShufflePartitionBoundsParams) params) {
  const uint64_t bound = (uint64_t)blockIdx.x * SHUFFLE_PARTITION_THREADS + threadIdx.x;
  if (bound >= params.bound_count) return;
  const ShuffleOrder order = shuffle_order(params.key, bound);
  for (uint32_t w = 0; w < SHUFFLE_PARTITION_BOUND_WORDS; w++) {
    params.out_words[bound * SHUFFLE_PARTITION_BOUND_WORDS + w] = order.words[w];
  }
}

/// Finds the partition of every row, and counts the rows of each.
///
/// Shape   keys[rows] -> out_targets[rows], out_rows[partitions]
/// Launch  any grid, block = SHUFFLE_PARTITION_THREADS, shared = 4 * partitions
/// Nulls   a null key is a value of its own
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(SHUFFLE_PARTITION_THREADS,
                                             ShufflePartitionPolicy::BLOCKS)
shuffle_partition_target(GRID_CONSTANT(ShufflePartitionTargetParams) params) {
  DYN_SHARED(uint32_t, counts);
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  for (uint32_t p = threadIdx.x; p < params.partitions; p += SHUFFLE_PARTITION_THREADS) {
    counts[p] = 0;
  }
  __syncthreads();
  const uint64_t stride = (uint64_t)gridDim.x * ShufflePartitionPolicy::TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * ShufflePartitionPolicy::TILE_ROWS;
       tile_row < row_count; tile_row += stride) {
    const uint64_t first = tile_row + threadIdx.x;
    uint32_t targets[SHUFFLE_PARTITION_TARGET_ITEMS] = {};
    shuffle_targets(params, first, row_count, targets);
#pragma unroll  // shuffle_partition/hash
    for (uint32_t i = 0; i < SHUFFLE_PARTITION_TARGET_ITEMS; i++) {
      const uint64_t row = first + i * SHUFFLE_PARTITION_THREADS;
      if (row >= row_count) continue;
      params.out_targets[row] = (uint16_t)targets[i];
      atomicAdd(&counts[targets[i]], 1u);
    }
  }
  __syncthreads();
  for (uint32_t p = threadIdx.x; p < params.partitions; p += SHUFFLE_PARTITION_THREADS) {
    if (counts[p]) atomic_add_u64(&params.out_rows[p], counts[p]);
  }
}
