// Operator  project (src/operators/project.rs states the contract)
// Kernels   project_decimal project_cast project_logic project_select
// Method    one row per step and thread; types are switched at run time, uniformly over the launch
// Cost      reads each operand and writes the result once per row, and 1/8 B per validity bitmap
// Source    none needed
#include "project.cuh"

KERNEL_FN bool decimal_below(int128_t value, int128_t limit) {
  return limit == 0 || (value < limit && value > -limit);
}

/// a * b in 128 bits. False if it does not fit.
KERNEL_FN bool multiply_int128(int128_t a, int128_t b, int128_t *result) {
  *result = (int128_t)((uint128_t)a * (uint128_t)b);
  if (a == (int64_t)a && b == (int64_t)b) return true;
  if (a == 0 || b == 0) return true;
  if (a == -1) return *result != b || b == 0;
  return *result / a == b;
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

KERNEL_FN void store_integer(const ColumnOut &output, uint64_t row, int128_t value) {
  if (output.type == PHYSICAL_INT128) {
    ((int128_t *)output.values)[row] = value;
  } else {
    output_bits(output, row, (uint64_t)value);
  }
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

KERNEL_FN bool integer_fits(uint32_t type, int128_t value) {
  switch (type) {
    case PHYSICAL_INT8: return value == (int8_t)value;
    case PHYSICAL_INT16: return value == (int16_t)value;
    case PHYSICAL_INT32: return value == (int32_t)value;
    case PHYSICAL_INT64: return value == (int64_t)value;
    case PHYSICAL_UINT8: return value == (uint8_t)value;
    case PHYSICAL_UINT16: return value == (uint16_t)value;
    case PHYSICAL_UINT32: return value == (uint32_t)value;
    case PHYSICAL_UINT64: return value == (uint64_t)value;
    default: return true;
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

/// The bits of the float that a row casts to.
KERNEL_FN uint64_t cast_to_float(const ProjectCastParams &params, uint64_t row) {
  double wide;
  float narrow;
  if (type_is_float(params.input.type)) {
    wide = column_float(params.input, row);
    narrow = (float)wide;
  } else {
    const int128_t value = column_integer(params.input, row);
    wide = int128_to_double(value);
    narrow = int128_to_float(value);
    if (params.factor != 0) {
      wide /= params.factor;
      narrow = (float)wide;
    }
  }
  switch (params.output.type) {
    case PHYSICAL_FLOAT16: return float_to_float16(narrow);
    case PHYSICAL_FLOAT32: return __float_as_uint(narrow);
    default: return (uint64_t)__double_as_longlong(wide);
  }
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

/// A Boolean value: bit 0 says whether it is true, bit 1 whether it is valid.
KERNEL_FN uint32_t logic_operand(const ColumnView &column, uint64_t row) {
  if (!column_valid(column, row)) return 0;
  return 2u | (column.type == PHYSICAL_BOOLEAN && column_bit(column, row));
}

KERNEL_FN uint32_t logic_compute(uint32_t op, const ProjectBinaryParams &params, uint64_t row) {
  const uint32_t a = logic_operand(params.left, row);
  switch (op) {
    case PROJECT_NOT: return a & 2 ? a ^ 1 : 0;
    case PROJECT_IS_NULL: return a & 2 ? 2 : 3;
    case PROJECT_IS_NOT_NULL: return a & 2 ? 3 : 2;
    default: break;
  }
  const uint32_t b = logic_operand(params.right, row);
  switch (op) {
    case PROJECT_AND:
      if (a == 2 || b == 2) return 2;
      return a == 3 && b == 3 ? 3 : 0;
    case PROJECT_OR:
      if (a == 3 || b == 3) return 3;
      return a == 2 && b == 2 ? 2 : 0;
    case PROJECT_TAKEN: return a == 3 && b == 3 ? 3 : 2;
    default: return a != 3 && b == 3 ? 3 : 2;
  }
}

/// Kleene logic and null tests, and the masks of conditional branches.
///
/// Shape   left[rows], right[rows] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   three-valued: false and null is false, true or null is true; null tests are never null
/// Errors  none
/// Tests   tests/operators/project.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
project_logic(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const uint32_t result = row < row_count ? logic_compute(params.op, params, row) : 0;
    bitmap_write_warp((uint8_t *)params.output.values, row, result == 3);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, result & 2);
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
