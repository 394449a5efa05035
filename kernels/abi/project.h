// Launch structs of project: one step of an expression per launch, over whole columns.
#ifndef PELTON_ABI_PROJECT_H
#define PELTON_ABI_PROJECT_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  PROJECT_THREADS = 256,   ///< threads per block
  PROJECT_TILE_ROWS = 1024, ///< rows that one block computes
  PROJECT_LOGIC_TILE_ROWS = 64 * PROJECT_THREADS, ///< rows that one block of `project_logic` computes
};

enum {
  PROJECT_ADD = 0,        ///< a + b
  PROJECT_SUBTRACT = 1,   ///< a - b
  PROJECT_MULTIPLY = 2,   ///< a * b
  PROJECT_DIVIDE = 3,     ///< a / b, truncating toward zero for integers
  PROJECT_REMAINDER = 4,  ///< a % b, with the sign of a
  PROJECT_NEGATE = 5,     ///< -a; b is ignored
};

enum {
  PROJECT_EQUAL = 0,             ///< a = b
  PROJECT_NOT_EQUAL = 1,         ///< a <> b
  PROJECT_LESS = 2,              ///< a < b
  PROJECT_LESS_OR_EQUAL = 3,     ///< a <= b
  PROJECT_GREATER = 4,           ///< a > b
  PROJECT_GREATER_OR_EQUAL = 5,  ///< a >= b
};

enum {
  PROJECT_AND = 0,          ///< Kleene a and b
  PROJECT_OR = 1,           ///< Kleene a or b
  PROJECT_NOT = 2,          ///< Kleene not a; b is ignored
  PROJECT_IS_NULL = 3,      ///< a is null, of any type
  PROJECT_IS_NOT_NULL = 4,  ///< a is not null, of any type
  PROJECT_TAKEN = 5,        ///< a is true and valid, and b is (b of `COLUMN_SCALAR`: true)
  PROJECT_NOT_TAKEN = 6,    ///< not (a is true and valid), and b is true
};

enum {
  PROJECT_OVERFLOW_IS_ERROR = 1,          ///< flag: overflow fails the launch instead of wrapping
  PROJECT_DIVISION_BY_ZERO_IS_ERROR = 2,  ///< flag: division by zero fails instead of giving null
  PROJECT_CAST_IS_STRICT = 4,             ///< flag: a value that does not fit fails instead of giving null
  PROJECT_ROUND_FLOOR = 8,                ///< flag: a cast's division rounds down, instead of half away from zero
  PROJECT_ROUND_TOWARD_ZERO = 16,         ///< flag: a cast's division rounds toward zero
  PROJECT_MODULO = 32,                    ///< flag: an integer is first reduced modulo the limit, toward minus infinity
};

/// Launch parameters of `project_arithmetic_*`, `project_decimal`, `project_compare_*` and
/// `project_logic`.
typedef struct ProjectBinaryParams {
  ColumnView left;                   ///< a
  ColumnView right;                  ///< b
  ColumnOut output;                  ///< [rows]
  const uint8_t *active;             ///< [ceil(rows / 8)], device, read: rows that may fail; absent: all
  KernelStatus *status;              ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t limit_low;                ///< decimals: absolute results must be below this, low bits; 0: no limit
  uint64_t limit_high;               ///< high bits of the limit
  uint32_t op;                       ///< one of the entry's operators
  uint32_t flags;                    ///< `PROJECT_*` flags
} ProjectBinaryParams;
ABI_ASSERT(sizeof(ProjectBinaryParams) == 176, "ProjectBinaryParams crosses the ABI");

/// Launch parameters of `project_cast`.
/// Integer to integer: value * multiplier / divisor. Integer to float: value / factor.
/// Float to integer: trunc(value) if factor is 0, else round half away from zero (value * factor).
typedef struct ProjectCastParams {
  ColumnView input;                  ///< of any type
  ColumnOut output;                  ///< [rows], of any type
  const uint8_t *active;             ///< [ceil(rows / 8)], device, read: rows that may fail; absent: all
  KernelStatus *status;              ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t multiplier_low;           ///< low bits of the multiplier
  uint64_t multiplier_high;          ///< high bits of the multiplier
  uint64_t divisor_low;              ///< low bits of the divisor, which is positive
  uint64_t divisor_high;             ///< high bits of the divisor
  uint64_t limit_low;                ///< absolute integer results must be below this, low bits; 0: no limit
  uint64_t limit_high;               ///< high bits of the limit
  double factor;                     ///< between decimals and floats: 10^scale; else 0
  uint32_t flags;                    ///< `PROJECT_*` flags
  uint32_t reserved;                 ///< zero
} ProjectCastParams;
ABI_ASSERT(sizeof(ProjectCastParams) == 168, "ProjectCastParams crosses the ABI");

/// Launch parameters of `project_select`.
typedef struct ProjectSelectParams {
  ColumnView condition;              ///< Boolean, or of any type if `by_validity`
  ColumnView then;                   ///< taken where the condition holds
  ColumnView otherwise;              ///< taken elsewhere; of the same type
  ColumnOut output;                  ///< [rows]
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t by_validity;              ///< 1: the condition is that `condition` is not null
  uint32_t reserved;                 ///< zero
} ProjectSelectParams;
ABI_ASSERT(sizeof(ProjectSelectParams) == 192, "ProjectSelectParams crosses the ABI");

#endif
