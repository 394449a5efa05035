// Operator  project (src/operators/project.rs states the contract)
// Kernels   project_decimal project_decimal_i64 project_decimal_widen project_cast
//           project_cast_narrow project_logic project_select
// Method    one row per step and thread, 64 rows of bitmaps; types are switched at run time,
//           uniformly over the launch
// Cost      reads each operand and writes the result once per row, and 1/8 B per validity bitmap
// Source    none needed
#include "project.cuh"
#include "primitives/divide.cuh"

KERNEL_FN bool decimal_below(int128_t value, int128_t limit) {
  return limit == 0 || (value < limit && value > -limit);
}

KERNEL_FN ProjectOutcome decimal_compute(uint32_t op, int128_t a, int128_t b, int128_t limit,
                                         int128_t *result) {
  bool fits = true;
  switch (op) {
    case PROJECT_ADD:
      *result = (int128_t)((uint128_t)a + (uint128_t)b);
      fits = ((a ^ *result) & (b ^ *result)) >= 0;
      break;
    case PROJECT_SUBTRACT:
      *result = (int128_t)((uint128_t)a - (uint128_t)b);
      fits = ((a ^ b) & (a ^ *result)) >= 0;
      break;
    case PROJECT_MULTIPLY: fits = multiply_int128(a, b, result); break;
    case PROJECT_NEGATE: *result = (int128_t)((uint128_t)0 - (uint128_t)a); break;
    default:
      if (b == 0) return {false, STATUS_DIVISION_BY_ZERO};
      if (a == (int64_t)a && b == (int64_t)b) {
        *result = b == -1 ? 0 : (int64_t)a % (int64_t)b;
      } else {
        *result = b == -1 ? 0 : a % b;
      }
      break;
  }
  if (fits && decimal_below(*result, limit)) return {true, STATUS_OK};
  return {false, STATUS_OVERFLOW};
}

/// As `decimal_compute` over operands of 64 bits, whose result may have 64 or 128.
template <typename R>
KERNEL_FN ProjectOutcome decimal_compute_i64(uint32_t op, int64_t a, int64_t b, int128_t limit,
                                             R *result) {
  int128_t exact;
  switch (op) {
    case PROJECT_ADD: exact = (int128_t)a + b; break;
    case PROJECT_SUBTRACT: exact = (int128_t)a - b; break;
    case PROJECT_MULTIPLY: exact = (int128_t)a * b; break;
    case PROJECT_NEGATE: exact = -(int128_t)a; break;
    default:
      if (b == 0) return {false, STATUS_DIVISION_BY_ZERO};
      exact = b == -1 ? 0 : a % b;
      break;
  }
  *result = (R)exact;
  bool below;
  if (sizeof(R) == 8) {  // the limit has 64 bits, too
    const int64_t bound = (int64_t)limit, low = (int64_t)exact;
    below = exact == low && (limit == 0 || (low < bound && low > -bound));
  } else {
    below = decimal_below(exact, limit);
  }
  if (!below) *result = 0;
  return {below, below ? (uint32_t)STATUS_OK : (uint32_t)STATUS_OVERFLOW};
}

template <typename R>
KERNEL_FN void decimal_rows_i64(const ProjectBinaryParams &params) {
  const uint32_t op = params.op;
  const int128_t limit = int128_of(params.limit_low, params.limit_high);
  project_binary<int64_t, R>(params, [op, limit](int64_t a, int64_t b, R *result) {
    return decimal_compute_i64(op, a, b, limit, result);
  });
}

/// Decimal arithmetic over operands and results of 64 bits; the limit has 64 bits.
///
/// Shape   left[rows], right[rows] -> output[rows], Int64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if the result does not fit and that is no error
/// Errors  STATUS_OVERFLOW, STATUS_DIVISION_BY_ZERO: argument = row
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_decimal_i64(GRID_CONSTANT(ProjectBinaryParams) params) {
  decimal_rows_i64<int64_t>(params);
}

/// Decimal arithmetic over operands of 64 bits with a result of 128.
///
/// Shape   left[rows], right[rows] -> output[rows], Int128
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if the result does not fit and that is no error
/// Errors  STATUS_OVERFLOW, STATUS_DIVISION_BY_ZERO: argument = row
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_decimal_widen(GRID_CONSTANT(ProjectBinaryParams) params) {
  decimal_rows_i64<int128_t>(params);
}

/// Decimal arithmetic in 128 bits; operands and result are of 64 or 128 bits each.
///
/// Shape   left[rows], right[rows] -> output[rows]
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if the result does not fit and that is no error
/// Errors  STATUS_OVERFLOW, STATUS_DIVISION_BY_ZERO: argument = row
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_decimal(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const int128_t limit = int128_of(params.limit_low, params.limit_high);
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {false, STATUS_OK};
    int128_t result = 0;
    if (row < row_count && column_valid(params.left, row) && column_valid(params.right, row)) {
      const int128_t left = column_integer(params.left, row);
      outcome = decimal_compute(params.op, left, column_integer(params.right, row), limit, &result);
      project_fail(params.status, params.active, params.flags, row, &outcome);
      if (!outcome.valid) result = 0;
    }
    if (row < row_count) store_integer(params.output, row, result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// value * multiplier / divisor, rounded as the flags say. False if a step does not fit.
KERNEL_FN bool cast_rescale(const ProjectCastParams &params, int128_t value, int128_t *result) {
  const int128_t multiplier = int128_of(params.multiplier_low, params.multiplier_high);
  const int128_t divisor = int128_of(params.divisor_low, params.divisor_high);
  if (!multiply_int128(value, multiplier, result)) return false;
  if (divisor == 1) return true;
  const int128_t dividend = *result;
  int128_t quotient, rest;
  if (dividend == (int64_t)dividend && divisor == (int64_t)divisor) {
    quotient = (int64_t)dividend / (int64_t)divisor;
    rest = (int64_t)dividend % (int64_t)divisor;
  } else {
    quotient = dividend / divisor;
    rest = dividend % divisor;
  }
  if (params.flags & PROJECT_ROUND_FLOOR) {
    quotient -= rest < 0;
  } else if (!(params.flags & PROJECT_ROUND_TOWARD_ZERO)) {
    const int128_t distance = rest < 0 ? -rest : rest;
    if (distance >= divisor - distance) quotient += dividend < 0 ? -1 : 1;
  }
  *result = quotient;
  return true;
}

/// The integer that a row casts to. False if it does not fit.
KERNEL_FN bool cast_to_integer(const ProjectCastParams &params, uint64_t row, int128_t *result) {
  const int128_t limit = int128_of(params.limit_low, params.limit_high);
  bool fits;
  if (type_is_float(params.input.type)) {
    const double value = column_float(params.input, row);
    fits = double_to_int128(params.factor == 0 ? value : round(value * params.factor), result);
  } else {
    int128_t value = column_integer(params.input, row);
    if (params.flags & PROJECT_MODULO) {
      value %= limit;
      value += value < 0 ? limit : 0;
    }
    fits = cast_rescale(params, value, result);
  }
  const bool below = (params.flags & PROJECT_MODULO) || decimal_below(*result, limit);
  return fits && below && integer_fits(params.output.type, *result);
}

/// The bits of the float that a value casts to, which is given as the nearest of either width.
KERNEL_FN uint64_t float_bits(const ProjectCastParams &params, double wide, float narrow) {
  if (params.factor != 0) {
    wide /= params.factor;
    narrow = (float)wide;
  }
  switch (params.output.type) {
    case PHYSICAL_FLOAT16: return float_to_float16(narrow);
    case PHYSICAL_FLOAT32: return __float_as_uint(narrow);
    default: return (uint64_t)__double_as_longlong(wide);
  }
}

/// The bits of the float that a row casts to.
KERNEL_FN uint64_t cast_to_float(const ProjectCastParams &params, uint64_t row) {
  if (type_is_float(params.input.type)) {
    const double value = column_float(params.input, row);
    return float_bits(params, value, (float)value);
  }
  const int128_t value = column_integer(params.input, row);
  return float_bits(params, int128_to_double(value), int128_to_float(value));
}

KERNEL_FN bool cast_to_boolean(const ColumnView &input, uint64_t row) {
  return type_is_float(input.type) ? column_float(input, row) != 0
                                   : column_integer(input, row) != 0;
}

/// Casts a column to another type; integers of all kinds rescale on the way.
///
/// Shape   input[rows] -> output[rows]
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if the value does not fit and the cast is not strict
/// Errors  STATUS_CAST: argument = row
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_cast(GRID_CONSTANT(ProjectCastParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {row < row_count && column_valid(params.input, row), STATUS_OK};
    bool bit = false;
    uint64_t float_bits = 0;
    int128_t integer = 0;
    if (outcome.valid) {
      if (params.output.type == PHYSICAL_BOOLEAN) {
        bit = cast_to_boolean(params.input, row);
      } else if (type_is_float(params.output.type)) {
        float_bits = cast_to_float(params, row);
      } else if (!cast_to_integer(params, row, &integer)) {
        outcome = {false, STATUS_CAST};
        project_fail(params.status, params.active, params.flags, row, &outcome);
        integer = 0;
      }
    }
    if (params.output.type == PHYSICAL_BOOLEAN) {
      bitmap_write_warp((uint8_t *)params.output.values, row, bit);
    } else if (row < row_count) {
      if (type_is_float(params.output.type)) {
        output_bits(params.output, row, float_bits);
      } else {
        store_integer(params.output, row, integer);
      }
    }
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// What an integer of 64 bits casts to; as `cast_to_integer`, where no step needs more bits.
KERNEL_FN bool cast_narrow(const ProjectCastParams &params, double inverse, int64_t value,
                           int64_t *result) {
  const int64_t multiplier = (int64_t)params.multiplier_low;
  const int64_t divisor = (int64_t)params.divisor_low, limit = (int64_t)params.limit_low;
  if (params.flags & PROJECT_MODULO) {
    value %= limit;
    value += value < 0 ? limit : 0;
  }
  if (!multiply_i64(value, multiplier, result)) return false;
  if (divisor != 1) {
    const int64_t dividend = *result;
    int64_t rest;
    *result = divide_i64(dividend, divisor, inverse, &rest);
    const int64_t distance = rest < 0 ? -rest : rest;
    if (params.flags & PROJECT_ROUND_FLOOR) {
      *result -= rest < 0;
    } else if (!(params.flags & PROJECT_ROUND_TOWARD_ZERO) && distance >= divisor - distance) {
      *result += dividend < 0 ? -1 : 1;
    }
  }
  const bool unbounded = (params.flags & PROJECT_MODULO) || limit == 0;
  return (unbounded || (*result < limit && *result > -limit)) &&
         integer_fits(params.output.type, *result);
}

/// Casts integers of at most 64 bits (UInt64 excepted) to other integers, or to floats.
///
/// Shape   input[rows] -> output[rows], of any type but Boolean and Int128
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if the value does not fit and the cast is not strict
/// Errors  STATUS_CAST: argument = row
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_cast_narrow(GRID_CONSTANT(ProjectCastParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const double inverse = 1.0 / (double)(int64_t)params.divisor_low;
  const bool to_float = type_is_float(params.output.type);
  int64_t values[ProjectPolicy::STEPS];
  project_load_integers(params.input, row_count, values);
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {row < row_count && column_valid(params.input, row), STATUS_OK};
    int64_t result = 0;
    if (outcome.valid && to_float) {
      result = (int64_t)float_bits(params, (double)values[step], (float)values[step]);
    } else if (outcome.valid && !cast_narrow(params, inverse, values[step], &result)) {
      outcome = {false, STATUS_CAST};
      project_fail(params.status, params.active, params.flags, row, &outcome);
      result = 0;
    }
    if (row < row_count) output_bits(params.output, row, (uint64_t)result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// 64 rows of a Boolean column: where it is true and valid, and where it is false and valid.
struct LogicWord {
  uint64_t holds;
  uint64_t fails;
};

KERNEL_FN LogicWord logic_operand(const ColumnView &column, uint64_t row, uint64_t row_count) {
  if (column.kind == COLUMN_SCALAR_NULL) return {0, 0};
  const uint64_t bits = column.offset + row_count;
  uint64_t valid = ~(uint64_t)0;
  if (column.kind == COLUMN_ARRAY && column.validity) {
    valid = bitmap_word(column.validity, column.offset + row, bits);
  }
  uint64_t value = 0;  // of other types than Boolean, only the validity is asked
  if (column.type == PHYSICAL_BOOLEAN) {
    value = column.kind == COLUMN_ARRAY
                ? bitmap_word((const uint8_t *)column.values, column.offset + row, bits)
                : (uint64_t)0 - (column.scalar_low & 1);
  }
  return {value & valid, ~value & valid};
}

KERNEL_FN LogicWord logic_compute(uint32_t op, const LogicWord &a, const LogicWord &b) {
  const uint64_t valid = a.holds | a.fails;
  switch (op) {
    case PROJECT_AND: return {a.holds & b.holds, a.fails | b.fails};
    case PROJECT_OR: return {a.holds | b.holds, a.fails & b.fails};
    case PROJECT_NOT: return {a.fails, a.holds};
    case PROJECT_IS_NULL: return {~valid, valid};
    case PROJECT_IS_NOT_NULL: return {valid, ~valid};
    case PROJECT_TAKEN: return {a.holds & b.holds, ~(a.holds & b.holds)};
    default: return {~a.holds & b.holds, a.holds | ~b.holds};
  }
}

/// Kleene logic and null tests, and the masks of conditional branches: 64 rows per thread.
///
/// Shape   left[rows], right[rows] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / PROJECT_LOGIC_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   three-valued: false and null is false, true or null is true; null tests are never null
/// Errors  none
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_logic(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t word = (uint64_t)blockIdx.x * PROJECT_THREADS + threadIdx.x, row = word * 64;
  if (row >= row_count) return;
  const LogicWord left = logic_operand(params.left, row, row_count);
  LogicWord right = {0, 0};
  if (params.op != PROJECT_NOT && params.op != PROJECT_IS_NULL &&
      params.op != PROJECT_IS_NOT_NULL) {
    right = logic_operand(params.right, row, row_count);
  }
  const LogicWord result = logic_compute(params.op, left, right);
  const uint64_t rows = row_count - row;
  const uint64_t mask = rows < 64 ? ((uint64_t)1 << rows) - 1 : ~(uint64_t)0;
  ((uint64_t *)params.output.values)[word] = result.holds & mask;
  if (params.output.validity) {
    ((uint64_t *)params.output.validity)[word] = (result.holds | result.fails) & mask;
  }
}

/// Takes each row from one of two columns.
///
/// Shape   condition[rows], then[rows], otherwise[rows] -> output[rows]
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   a null condition takes `otherwise`; a taken null is null
/// Errors  none
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_select(GRID_CONSTANT(ProjectSelectParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const bool in_rows = row < row_count;
    const bool holds = in_rows && column_valid(params.condition, row) &&
                       (params.by_validity || column_bit(params.condition, row));
    const ColumnView &taken = holds ? params.then : params.otherwise;
    const bool valid = in_rows && column_valid(taken, row);
    if (params.output.type == PHYSICAL_BOOLEAN) {
      bitmap_write_warp((uint8_t *)params.output.values, row, valid && column_bit(taken, row));
    } else if (in_rows) {
      if (params.output.type == PHYSICAL_INT128) {
        store_integer(params.output, row, valid ? column_value<int128_t>(taken, row) : 0);
      } else {
        output_bits(params.output, row, valid ? column_bits(taken, row) : 0);
      }
    }
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
  }
}
