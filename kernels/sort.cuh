// What the kernels of sort and top_k share: values as unsigned codes that compare as they do.
// Source  the codes of integers and floats are common knowledge; written from the idea
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
