// What the kernels of sort and top_k share: values as unsigned codes that compare as they do, and
// how often each digit of a word has each value. Source  the codes of integers and floats are
// common knowledge; written from the idea
#pragma once
#include "abi/sort.h"
#include "primitives/value.cuh"

/// The floating-point type of so many bytes.
template <uint32_t BYTES>
KERNEL_FN constexpr uint32_t sort_float_type() {
  return BYTES == 2 ? PHYSICAL_FLOAT16 : BYTES == 4 ? PHYSICAL_FLOAT32 : PHYSICAL_FLOAT64;
}

KERNEL_FN bool sort_signed(uint32_t type) {
  return type >= PHYSICAL_INT8 && type <= PHYSICAL_INT64;
}

/// The highest bit of a value of so many bytes; 0 of a Boolean.
template <uint32_t BYTES>
KERNEL_FN constexpr uint64_t sort_top() {
  return BYTES ? 1ull << (BYTES * 8 - (BYTES ? 1 : 0)) : 0;
}

/// All bits of a value of so many bytes.
template <uint32_t BYTES>
KERNEL_FN constexpr uint64_t sort_mask() {
  return BYTES ? sort_top<BYTES>() | (sort_top<BYTES>() - 1) : 1;
}

/// A code in the order of the values (NaN greatest, -0.0 as 0.0), as wide as they are.
template <uint32_t BYTES>
KERNEL_FN uint64_t sort_code(uint32_t type, uint64_t bits) {
  const uint64_t top = sort_top<BYTES>();
  if (type_is_float(type)) {
    const uint64_t normal = float_bits_normal(sort_float_type<BYTES>(), bits);
    return normal & top ? ~normal & sort_mask<BYTES>() : normal | top;
  }
  return sort_signed(type) ? bits ^ top : bits;
}

/// The bits of the value that a code stands for.
template <uint32_t BYTES>
KERNEL_FN uint64_t sort_value(uint32_t type, uint64_t code) {
  const uint64_t top = sort_top<BYTES>();
  if (type_is_float(type)) return code & top ? code ^ top : ~code & sort_mask<BYTES>();
  return sort_signed(type) ? code ^ top : code;
}

/// `sort_code` of a row of a column of at most 64 bits.
template <uint32_t BYTES>
KERNEL_FN uint64_t sort_column_code(const ColumnView &column, uint64_t row) {
  uint64_t bits;
  switch (BYTES) {
    case 0: bits = column_bit(column, row); break;
    case 1: bits = column_value<uint8_t>(column, row); break;
    case 2: bits = column_value<uint16_t>(column, row); break;
    case 4: bits = column_value<uint32_t>(column, row); break;
    default: bits = column_value<uint64_t>(column, row); break;
  }
  return sort_code<BYTES>(column.type, bits);
}

/// The same of a column of 128-bit integers.
KERNEL_FN uint128_t sort_column_code_wide(const ColumnView &column, uint64_t row) {
  return (uint128_t)column_value<int128_t>(column, row) ^ (uint128_t)1 << 127;
}

/// The code of a row of any column.
KERNEL_FN uint128_t sort_column_code_any(const ColumnView &column, uint64_t row) {
  switch (type_bytes(column.type)) {
    case 0: return sort_column_code<0>(column, row);
    case 1: return sort_column_code<1>(column, row);
    case 2: return sort_column_code<2>(column, row);
    case 4: return sort_column_code<4>(column, row);
    case 16: return sort_column_code_wide(column, row);
    default: return sort_column_code<8>(column, row);
  }
}

struct SortPolicy {
  static const uint32_t WARPS = SORT_THREADS / 32;
  static const uint32_t ITEMS = 4;  // rows of a thread that are on their way at one time
  static const uint32_t BLOCK_ROWS = SORT_THREADS * ITEMS;
  static const uint32_t DIGITS_MAX = 8;    // of a word
  static const uint32_t BLOCKS = 3;        // per multiprocessor, of `sort_pack`
  static const uint32_t RANGE_BLOCKS = 2;  // of `sort_range`, which has more in flight
};
static_assert(SORT_DIGITS <= SORT_THREADS, "a thread per value of a digit");
static_assert(SORT_DIGITS == 1 << SORT_DIGIT_BITS, "a digit has all values of its bits");

KERNEL_FN void sort_histogram_clear(uint32_t *counts, uint32_t digits) {
  for (uint32_t i = threadIdx.x; i < digits * SORT_DIGITS; i += SORT_THREADS) counts[i] = 0;
  __syncthreads();
}

KERNEL_FN void sort_histogram_count(uint32_t *counts, uint32_t digits, uint64_t word) {
#pragma unroll  // sort/keys
  for (uint32_t digit = 0; digit < SortPolicy::DIGITS_MAX; digit++) {
    if (digit >= digits) break;
    atomicAdd(counts + digit * SORT_DIGITS + (word >> digit * SORT_DIGIT_BITS & 255), 1u);
  }
}

KERNEL_FN void sort_histogram_add(const uint32_t *counts, uint32_t digits, uint32_t *histogram) {
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < digits * SORT_DIGITS; i += SORT_THREADS) {
    if (counts[i]) atomicAdd(histogram + i, counts[i]);
  }
}
