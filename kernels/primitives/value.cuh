// Scope   thread
// Values of columns: loading and storing by physical type, conversions that must be the same on
// every machine, and codes that keep the order of values.
#pragma once
#include "abi/column.h"
#include "primitives/bitmap.cuh"

/// True if the row of the column is not null.
KERNEL_FN bool column_valid(const ColumnView &column, uint64_t row) {
  if (column.kind == COLUMN_SCALAR_NULL) return false;
  if (column.kind == COLUMN_SCALAR || !column.validity) return true;
  return bitmap_get(column.validity, column.offset + row);
}

/// The value of a Boolean column, whatever its validity.
KERNEL_FN bool column_bit(const ColumnView &column, uint64_t row) {
  if (column.kind != COLUMN_ARRAY) return column.scalar_low & 1;
  return bitmap_get((const uint8_t *)column.values, column.offset + row);
}

/// A scalar's bits as a value of the type pointed to.
template <typename T>
KERNEL_FN void scalar_read(uint64_t low, uint64_t, T *value) {
  *value = (T)low;
}
KERNEL_FN void scalar_read(uint64_t low, uint64_t, float *value) {
  *value = __uint_as_float((uint32_t)low);
}
KERNEL_FN void scalar_read(uint64_t low, uint64_t, double *value) {
  *value = __longlong_as_double((long long)low);
}
KERNEL_FN void scalar_read(uint64_t low, uint64_t high, int128_t *value) {
  *value = int128_of(low, high);
}

/// The value of a column whose type is `T`, whatever its validity.
template <typename T>
KERNEL_FN T column_value(const ColumnView &column, uint64_t row) {
  if (column.kind == COLUMN_ARRAY) return ((const T *)column.values)[column.offset + row];
  T value;
  scalar_read(column.scalar_low, column.scalar_high, &value);
  return value;
}

/// binary16 to binary32: exact.
KERNEL_FN float float16_to_float(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (fraction << 13));
  if (exponent) return __uint_as_float(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float tiny = (float)fraction * 5.9604644775390625e-8f;  // 2^-24: subnormal halves
  return sign ? -tiny : tiny;
}

/// binary32 to binary16: to nearest, ties to even; overflow to infinity.
KERNEL_FN uint16_t float_to_float16(float value) {
  const uint32_t bits = __float_as_uint(value);
  const uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x33000001) return (uint16_t)sign;
  const uint32_t exponent = magnitude >> 23;
  if (exponent >= 113) {
    const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
  }
  const uint32_t fraction = (magnitude & 0x7fffff) | 0x800000, shift = 126 - exponent;
  const uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  return (uint16_t)(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
}

/// 128-bit integer to binary64: to nearest, ties to even.
KERNEL_FN double int128_to_double(int128_t value) {
  if (value == (int128_t)(int64_t)value) return (double)(int64_t)value;
  const bool negative = value < 0;
  uint128_t magnitude = negative ? (uint128_t)0 - (uint128_t)value : (uint128_t)value;
  uint32_t shift = 0;
  while ((magnitude >> shift) >> 64) shift++;
  uint64_t top = (uint64_t)(magnitude >> shift);
  if (shift && ((magnitude >> shift) << shift) != magnitude) top |= 1;  // sticky: rounding sees it
  double result = (double)top;
  for (uint32_t i = 0; i < shift; i++) result *= 2.0;  // exact
  return negative ? -result : result;
}

/// 128-bit integer to binary32: to nearest, ties to even.
KERNEL_FN float int128_to_float(int128_t value) {
  if (value == (int128_t)(int64_t)value) return (float)(int64_t)value;
  const bool negative = value < 0;
  uint128_t magnitude = negative ? (uint128_t)0 - (uint128_t)value : (uint128_t)value;
  uint32_t shift = 0;
  while ((magnitude >> shift) >> 64) shift++;
  uint64_t top = (uint64_t)(magnitude >> shift);
  if (shift && ((magnitude >> shift) << shift) != magnitude) top |= 1;
  float result = (float)top;
  for (uint32_t i = 0; i < shift; i++) result *= 2.0f;
  return negative ? -result : result;
}

/// binary64 to a 128-bit integer, truncating toward zero. False if it does not fit (or is NaN).
KERNEL_FN bool double_to_int128(double value, int128_t *result) {
  if (!(value > -1.7014118346046923e38 && value < 1.7014118346046923e38)) return false;
  const bool negative = value < 0;
  const double magnitude = negative ? -value : value;
  uint128_t whole;
  if (magnitude < 9223372036854775808.0) {
    whole = (uint128_t)(uint64_t)(long long)magnitude;
  } else {
    const uint64_t bits = (uint64_t)__double_as_longlong(magnitude);
    const uint32_t exponent = (uint32_t)(bits >> 52) - 1075;
    whole = (uint128_t)((bits & 0xfffffffffffffull) | 0x10000000000000ull) << exponent;
  }
  *result = negative ? (int128_t)((uint128_t)0 - whole) : (int128_t)whole;
  return true;
}

/// An integer, decimal or Boolean value in 128 bits.
KERNEL_FN int128_t column_integer(const ColumnView &column, uint64_t row) {
  switch (column.type) {
    case PHYSICAL_BOOLEAN: return column_bit(column, row);
    case PHYSICAL_INT8: return column_value<int8_t>(column, row);
    case PHYSICAL_INT16: return column_value<int16_t>(column, row);
    case PHYSICAL_INT32: return column_value<int32_t>(column, row);
    case PHYSICAL_INT64: return column_value<int64_t>(column, row);
    case PHYSICAL_UINT8: return column_value<uint8_t>(column, row);
    case PHYSICAL_UINT16: return column_value<uint16_t>(column, row);
    case PHYSICAL_UINT32: return column_value<uint32_t>(column, row);
    case PHYSICAL_UINT64: return column_value<uint64_t>(column, row);
    default: return column_value<int128_t>(column, row);
  }
}

/// A floating-point value as binary64.
KERNEL_FN double column_float(const ColumnView &column, uint64_t row) {
  switch (column.type) {
    case PHYSICAL_FLOAT16: return (double)float16_to_float(column_value<uint16_t>(column, row));
    case PHYSICAL_FLOAT32: return (double)column_value<float>(column, row);
    default: return column_value<double>(column, row);
  }
}

KERNEL_FN bool type_is_float(uint32_t type) {
  return type >= PHYSICAL_FLOAT16 && type <= PHYSICAL_FLOAT64;
}

/// Bytes of a value; 0 for a Boolean.
KERNEL_FN uint32_t type_bytes(uint32_t type) {
  switch (type) {
    case PHYSICAL_BOOLEAN: return 0;
    case PHYSICAL_INT8:
    case PHYSICAL_UINT8: return 1;
    case PHYSICAL_INT16:
    case PHYSICAL_UINT16:
    case PHYSICAL_FLOAT16: return 2;
    case PHYSICAL_INT32:
    case PHYSICAL_UINT32:
    case PHYSICAL_FLOAT32: return 4;
    case PHYSICAL_INT128:
    case PHYSICAL_VIEW: return 16;
    default: return 8;
  }
}

/// Raw bits of a value of at most 64 bits; of a Boolean, its bit.
KERNEL_FN uint64_t column_bits(const ColumnView &column, uint64_t row) {
  switch (type_bytes(column.type)) {
    case 0: return column_bit(column, row);
    case 1: return column_value<uint8_t>(column, row);
    case 2: return column_value<uint16_t>(column, row);
    case 4: return column_value<uint32_t>(column, row);
    default: return column_value<uint64_t>(column, row);
  }
}

/// Stores the low bits of a value of 8 to 64 bits.
KERNEL_FN void output_bits(const ColumnOut &output, uint64_t row, uint64_t bits) {
  switch (type_bytes(output.type)) {
    case 1: ((uint8_t *)output.values)[row] = (uint8_t)bits; break;
    case 2: ((uint16_t *)output.values)[row] = (uint16_t)bits; break;
    case 4: ((uint32_t *)output.values)[row] = (uint32_t)bits; break;
    default: ((uint64_t *)output.values)[row] = bits; break;
  }
}

/// Bits of a floating-point value with one NaN and one zero, so that equal values have equal bits.
KERNEL_FN uint64_t float_bits_normal(uint32_t type, uint64_t bits) {
  switch (type) {
    case PHYSICAL_FLOAT16:
      if ((bits & 0x7fff) > 0x7c00) return 0x7e00;
      return (bits & 0x7fff) ? bits : 0;
    case PHYSICAL_FLOAT32:
      if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc00000;
      return (bits & 0x7fffffff) ? bits : 0;
    case PHYSICAL_FLOAT64:
      if ((bits & 0x7fffffffffffffffull) > 0x7ff0000000000000ull) return 0x7ff8000000000000ull;
      return (bits & 0x7fffffffffffffffull) ? bits : 0;
    default: return bits;
  }
}

/// An unsigned code in the order of the values (NaN greatest, -0.0 as 0.0), of at most 64 bits.
KERNEL_FN uint64_t order_code(uint32_t type, uint64_t bits) {
  switch (type) {
    case PHYSICAL_INT8: return (uint64_t)(int64_t)(int8_t)bits ^ 0x8000000000000000ull;
    case PHYSICAL_INT16: return (uint64_t)(int64_t)(int16_t)bits ^ 0x8000000000000000ull;
    case PHYSICAL_INT32: return (uint64_t)(int64_t)(int32_t)bits ^ 0x8000000000000000ull;
    case PHYSICAL_INT64: return bits ^ 0x8000000000000000ull;
    case PHYSICAL_FLOAT16:
    case PHYSICAL_FLOAT32:
    case PHYSICAL_FLOAT64: {
      const uint32_t width = type_bytes(type) * 8;
      const uint64_t normal = float_bits_normal(type, bits) << (64 - width);
      return normal >> 63 ? ~normal : normal | 0x8000000000000000ull;
    }
    default: return bits;
  }
}

/// The bits of the value that a code of `order_code` stands for.
KERNEL_FN uint64_t order_decode(uint32_t type, uint64_t code) {
  switch (type) {
    case PHYSICAL_INT8:
    case PHYSICAL_INT16:
    case PHYSICAL_INT32:
    case PHYSICAL_INT64: return code ^ 0x8000000000000000ull;
    case PHYSICAL_FLOAT16:
    case PHYSICAL_FLOAT32:
    case PHYSICAL_FLOAT64: {
      const uint32_t width = type_bytes(type) * 8;
      return (code >> 63 ? code & 0x7fffffffffffffffull : ~code) >> (64 - width);
    }
    default: return code;
  }
}
