// Launch structs of functions over numbers; those with two operands take ProjectBinaryParams.
#ifndef PELTON_ABI_MATH_H
#define PELTON_ABI_MATH_H

#include "abi/project.h"

enum {
  MATH_LIST_SMALL = 8,  ///< values of a list that travel with the launch
};

enum {
  MATH_ABS = 0,      ///< the value without its sign
  MATH_SIGN = 1,     ///< of floats: 1 with the sign of the value, or a zero or NaN itself
  MATH_BIT_NOT = 2,  ///< bits inverted
};

enum {
  MATH_BIT_AND = 0,  ///< bits that both have
  MATH_BIT_OR = 1,   ///< bits that one has
  MATH_BIT_XOR = 2,  ///< bits that differ
};

enum {
  MATH_SHIFT_LEFT = 0,   ///< toward the sign
  MATH_SHIFT_RIGHT = 1,  ///< away from the sign, which signed types keep
};

enum {
  MATH_GREATEST = 0,  ///< the greater operand
  MATH_LEAST = 1,     ///< the lesser operand
};

enum {
  MATH_SQRT = 0,     ///< square root
  MATH_SCALE = 1,    ///< a * b
  MATH_CBRT = 2,     ///< cube root
  MATH_EXP = 3,      ///< e^a
  MATH_LN = 4,       ///< natural logarithm
  MATH_LOG10 = 5,    ///< logarithm to base 10
  MATH_LOG2 = 6,     ///< logarithm to base 2
  MATH_POWER = 7,    ///< a^b
  MATH_LOG = 8,      ///< ln(a) / ln(b)
  MATH_SIN = 9,      ///< sine
  MATH_COS = 10,     ///< cosine
  MATH_TAN = 11,     ///< tangent
  MATH_ASIN = 12,    ///< inverse sine
  MATH_ACOS = 13,    ///< inverse cosine
  MATH_ATAN = 14,    ///< inverse tangent
  MATH_ATAN2 = 15,   ///< angle of the point (b, a)
};

enum {
  MATH_ROUND_HALF_AWAY = 0,    ///< to the nearest, halves away from zero
  MATH_ROUND_FLOOR = 1,        ///< down
  MATH_ROUND_CEILING = 2,      ///< up
  MATH_ROUND_TOWARD_ZERO = 3,  ///< toward zero
};

/// Launch parameters of `math_round*`: value / divisor, rounded, * multiplier.
typedef struct MathRoundParams {
  ColumnView input;                  ///< of the entry's types
  ColumnOut output;                  ///< [rows], of an integer type, or of the input's float type
  const uint8_t *active;             ///< [ceil(rows / 8)], device, read: rows that may fail; absent: all
  KernelStatus *status;              ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t divisor_low;              ///< integers: low bits of the divisor, which is positive; 0: beyond 128 bits
  uint64_t divisor_high;             ///< integers: high bits of the divisor
  uint64_t multiplier_low;           ///< integers: low bits of the multiplier, which is positive
  uint64_t multiplier_high;          ///< integers: high bits of the multiplier
  uint64_t limit_low;                ///< absolute results must be below this, low bits; 0: integers, which wrap
  uint64_t limit_high;               ///< high bits of the limit
  double factor;                     ///< floats: 10^|digits|
  uint32_t digits_are_behind;        ///< floats: 1 multiplies by the factor first, 0 divides by it
  uint32_t rounding;                 ///< one of `MATH_ROUND_*`
  uint32_t flags;                    ///< `PROJECT_*` flags
  uint32_t reserved;                 ///< zero
} MathRoundParams;
ABI_ASSERT(sizeof(MathRoundParams) == 176, "MathRoundParams crosses the ABI");

/// Launch parameters of `math_between*`: value op_low low and value op_high high.
typedef struct MathBetweenParams {
  ColumnView value;                  ///< of any type but Boolean and Float16
  ColumnView low;                    ///< of the same type
  ColumnView high;                   ///< of the same type
  ColumnOut output;                  ///< [rows], Boolean
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t op_low;                   ///< a comparison of `PROJECT_EQUAL` to `PROJECT_GREATER_OR_EQUAL`
  uint32_t op_high;                  ///< another
} MathBetweenParams;
ABI_ASSERT(sizeof(MathBetweenParams) == 192, "MathBetweenParams crosses the ABI");

/// Launch parameters of `math_in_list`.
typedef struct MathInListParams {
  ColumnView value;                  ///< of any type but Boolean and views
  ColumnOut output;                  ///< [rows], Boolean
  const uint64_t *list;              ///< [count], device, read: bits of the values, ascending; 128-bit values take two words, low first; absent: in `small_values`
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t small_values[MATH_LIST_SMALL];  ///< bits of the values, if there are few
  uint32_t count;                    ///< values
  uint32_t has_null;                 ///< 1: what equals none of the values is null
} MathInListParams;
ABI_ASSERT(sizeof(MathInListParams) == 168, "MathInListParams crosses the ABI");

#endif
