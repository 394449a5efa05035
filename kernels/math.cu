// Operator  project (src/operators/project.rs): functions over numbers
// Kernels   math_unary math_sign math_bits math_shift math_extreme math_between math_between_wide
//           math_in_list math_round math_round_wide math_round_float
// Method    the loops of math.cuh; a constant divisor is divided by through its float reciprocal
// Cost      reads each operand and writes the result once per row, and 1/8 B per validity bitmap;
//           a long list also log2(values) reads from cache
// Source    none needed
#include "math.cuh"

/// Absolute values and signs of floats, and inverted bits.
///
/// Shape   left[rows] -> output[rows], of one type
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the operand is
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_unary(GRID_CONSTANT(ProjectBinaryParams) params) {
  switch (params.left.type) {
    case PHYSICAL_INT8: math_unary_rows<int8_t>(params); break;
    case PHYSICAL_INT16: math_unary_rows<int16_t>(params); break;
    case PHYSICAL_INT32: math_unary_rows<int32_t>(params); break;
    case PHYSICAL_INT64: math_unary_rows<int64_t>(params); break;
    case PHYSICAL_UINT8: math_unary_rows<uint8_t>(params); break;
    case PHYSICAL_UINT16: math_unary_rows<uint16_t>(params); break;
    case PHYSICAL_UINT32: math_unary_rows<uint32_t>(params); break;
    case PHYSICAL_UINT64: math_unary_rows<uint64_t>(params); break;
    case PHYSICAL_FLOAT32: math_unary_rows<float>(params); break;
    case PHYSICAL_FLOAT64: math_unary_rows<double>(params); break;
    default: math_unary_rows<int128_t>(params); break;
  }
}

/// Signs of integers and decimals.
///
/// Shape   left[rows] -> output[rows], Int8
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the operand is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_sign(GRID_CONSTANT(ProjectBinaryParams) params) {
  switch (params.left.type) {
    case PHYSICAL_INT8: math_sign_rows<int8_t>(params); break;
    case PHYSICAL_INT16: math_sign_rows<int16_t>(params); break;
    case PHYSICAL_INT32: math_sign_rows<int32_t>(params); break;
    case PHYSICAL_INT64: math_sign_rows<int64_t>(params); break;
    case PHYSICAL_UINT8: math_sign_rows<uint8_t>(params); break;
    case PHYSICAL_UINT16: math_sign_rows<uint16_t>(params); break;
    case PHYSICAL_UINT32: math_sign_rows<uint32_t>(params); break;
    case PHYSICAL_UINT64: math_sign_rows<uint64_t>(params); break;
    default: math_sign_rows<int128_t>(params); break;
  }
}

/// Bits of two integers, joined.
///
/// Shape   left[rows], right[rows] -> output[rows], of one type
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_bits(GRID_CONSTANT(ProjectBinaryParams) params) {
  switch (type_bytes(params.left.type)) {
    case 1: math_bits_rows<uint8_t>(params); break;
    case 2: math_bits_rows<uint16_t>(params); break;
    case 4: math_bits_rows<uint32_t>(params); break;
    default: math_bits_rows<uint64_t>(params); break;
  }
}

/// Shifts integers by counts.
///
/// Shape   left[rows], right[rows] (Int64) -> output[rows], of the type of left
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if the count is outside of the width and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_shift(GRID_CONSTANT(ProjectBinaryParams) params) {
  switch (params.left.type) {
    case PHYSICAL_INT8: math_shift_rows<int8_t>(params); break;
    case PHYSICAL_INT16: math_shift_rows<int16_t>(params); break;
    case PHYSICAL_INT32: math_shift_rows<int32_t>(params); break;
    case PHYSICAL_INT64: math_shift_rows<int64_t>(params); break;
    case PHYSICAL_UINT8: math_shift_rows<uint8_t>(params); break;
    case PHYSICAL_UINT16: math_shift_rows<uint16_t>(params); break;
    case PHYSICAL_UINT32: math_shift_rows<uint32_t>(params); break;
    default: math_shift_rows<uint64_t>(params); break;
  }
}

/// The greater or lesser of two columns; the left of equal values.
///
/// Shape   left[rows], right[rows] -> output[rows], of one type
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   ignored; null if both are
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_extreme(GRID_CONSTANT(ProjectBinaryParams) params) {
  switch (params.left.type) {
    case PHYSICAL_INT8: math_extreme_rows<int8_t>(params); break;
    case PHYSICAL_INT16: math_extreme_rows<int16_t>(params); break;
    case PHYSICAL_INT32: math_extreme_rows<int32_t>(params); break;
    case PHYSICAL_INT64: math_extreme_rows<int64_t>(params); break;
    case PHYSICAL_UINT8: math_extreme_rows<uint8_t>(params); break;
    case PHYSICAL_UINT16: math_extreme_rows<uint16_t>(params); break;
    case PHYSICAL_UINT32: math_extreme_rows<uint32_t>(params); break;
    case PHYSICAL_UINT64: math_extreme_rows<uint64_t>(params); break;
    case PHYSICAL_FLOAT32: math_extreme_rows<float>(params); break;
    case PHYSICAL_FLOAT64: math_extreme_rows<double>(params); break;
    default: math_extreme_rows<int128_t>(params); break;
  }
}

/// Whether values lie between two bounds.
///
/// Shape   value[rows], low[rows], high[rows] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   as Kleene's `and` of the two comparisons
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_between(GRID_CONSTANT(MathBetweenParams) params) {
  switch (params.value.type) {
    case PHYSICAL_INT8: math_between_rows<int8_t>(params); break;
    case PHYSICAL_INT16: math_between_rows<int16_t>(params); break;
    case PHYSICAL_INT32: math_between_rows<int32_t>(params); break;
    case PHYSICAL_INT64: math_between_rows<int64_t>(params); break;
    case PHYSICAL_UINT8: math_between_rows<uint8_t>(params); break;
    case PHYSICAL_UINT16: math_between_rows<uint16_t>(params); break;
    case PHYSICAL_UINT32: math_between_rows<uint32_t>(params); break;
    case PHYSICAL_UINT64: math_between_rows<uint64_t>(params); break;
    case PHYSICAL_FLOAT32: math_between_rows<float>(params); break;
    default: math_between_rows<double>(params); break;
  }
}

/// As `math_between`, of 128-bit integers, whose registers the others need not have.
///
/// Shape   value[rows], low[rows], high[rows] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   as Kleene's `and` of the two comparisons
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_between_wide(GRID_CONSTANT(MathBetweenParams) params) { math_between_rows<int128_t>(params); }

/// Whether values are in a list: a short one is compared in registers, a long one is searched.
///
/// Shape   value[rows], list[count] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the value is, or if it is not found and the list has a null
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_in_list(GRID_CONSTANT(MathInListParams) params) {
  switch (type_bytes(params.value.type)) {
    case 1: math_in_list_rows<uint8_t, uint64_t>(params); break;
    case 2: math_in_list_rows<uint16_t, uint64_t>(params); break;
    case 4: math_in_list_rows<uint32_t, uint64_t>(params); break;
    case 8: math_in_list_rows<uint64_t, uint64_t>(params); break;
    default: math_in_list_rows<int128_t, uint128_t>(params); break;
  }
}

/// True if a rounded-down quotient goes one further from zero; `half` compares the rest with its
/// complement to the divisor.
KERNEL_FN bool math_rounds_away(uint32_t rounding, bool half, bool negative, bool exact) {
  switch (rounding) {
    case MATH_ROUND_HALF_AWAY: return half;
    case MATH_ROUND_FLOOR: return negative && !exact;
    case MATH_ROUND_CEILING: return !negative && !exact;
    default: return false;
  }
}

/// Stores a rounded integer, or what becomes of one that does not fit.
KERNEL_FN ProjectOutcome math_round_outcome(const MathRoundParams &params, bool fits,
                                            int128_t value) {
  const int128_t limit = int128_of(params.limit_low, params.limit_high);
  if (limit != 0) {  // a decimal
    const bool below = fits && value < limit && value > -limit;
    return {below, below ? (uint32_t)STATUS_OK : (uint32_t)STATUS_OVERFLOW};
  }
  const bool holds = fits && integer_fits(params.output.type, value);
  return {true, holds ? (uint32_t)STATUS_OK : (uint32_t)STATUS_OVERFLOW};
}

/// Rounds integers and decimals of at most 64 bits, other than UInt64, by factors of 64 bits.
///
/// Shape   input[rows] -> output[rows]
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if a decimal does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_round(GRID_CONSTANT(MathRoundParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const int64_t divisor = (int64_t)params.divisor_low;
  const int64_t multiplier = (int64_t)params.multiplier_low;
  const double inverse = 1.0 / (double)divisor;
  int64_t values[ProjectPolicy::STEPS];
  project_load_integers(params.input, row_count, values);
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {row < row_count && column_valid(params.input, row), STATUS_OK};
    int64_t result = 0;
    if (outcome.valid) {
      const bool negative = values[step] < 0;
      int64_t rest;
      int64_t quotient = divide_i64(values[step], divisor, inverse, &rest);
      const int64_t distance = negative ? -rest : rest;
      const bool half = distance >= divisor - distance;
      if (math_rounds_away(params.rounding, half, negative, rest == 0)) {
        quotient += negative ? -1 : 1;
      }
      const bool fits = multiply_i64(quotient, multiplier, &result);
      outcome = math_round_outcome(params, fits, result);
      project_fail(params.status, params.active, params.flags, row, &outcome);
      if (!outcome.valid) result = 0;
    }
    if (row < row_count) store_integer(params.output, row, result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// Rounds integers and decimals in 128 bits.
///
/// Shape   input[rows] -> output[rows]
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if a decimal does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_round_wide(GRID_CONSTANT(MathRoundParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const int128_t divisor = int128_of(params.divisor_low, params.divisor_high);
  const int128_t multiplier = int128_of(params.multiplier_low, params.multiplier_high);
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {row < row_count && column_valid(params.input, row), STATUS_OK};
    int128_t result = 0;
    if (outcome.valid) {
      const int128_t value = column_integer(params.input, row);
      int128_t quotient = 0, rest = value;
      if (divisor != 0) {
        quotient = value / divisor;
        rest = value - quotient * divisor;
      }
      const int128_t distance = rest < 0 ? -rest : rest;
      const bool half = divisor != 0 && distance >= divisor - distance;
      if (math_rounds_away(params.rounding, half, value < 0, rest == 0)) {
        quotient += value < 0 ? -1 : 1;
      }
      const bool fits = multiply_int128(quotient, multiplier, &result);
      outcome = math_round_outcome(params, fits, result);
      project_fail(params.status, params.active, params.flags, row, &outcome);
      if (!outcome.valid) result = 0;
    }
    if (row < row_count) store_integer(params.output, row, result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

KERNEL_FN double math_round_value(const MathRoundParams &params, double value) {
  const double scaled = params.digits_are_behind ? value * params.factor : value / params.factor;
  if (!(fabs(scaled) < 4503599627370496.0)) return value;  // 2^52: whole, or NaN
  double whole;
  switch (params.rounding) {
    case MATH_ROUND_HALF_AWAY: whole = round(scaled); break;
    case MATH_ROUND_FLOOR: whole = floor(scaled); break;
    case MATH_ROUND_CEILING: whole = ceil(scaled); break;
    default: whole = trunc(scaled); break;
  }
  return params.digits_are_behind ? whole / params.factor : whole * params.factor;
}

template <typename T>
KERNEL_FN void math_round_float_rows(const MathRoundParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  T values[ProjectPolicy::STEPS];
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    values[step] = row < row_count ? column_value<T>(params.input, row) : T();
  }
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const bool valid = row < row_count && column_valid(params.input, row);
    const T result = valid ? (T)math_round_value(params, (double)values[step]) : T();
    if (row < row_count) ((T *)params.output.values)[row] = result;
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
  }
}

/// Rounds floats.
///
/// Shape   input[rows] -> output[rows], Float32 or Float64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_round_float(GRID_CONSTANT(MathRoundParams) params) {
  if (params.input.type == PHYSICAL_FLOAT32) {
    math_round_float_rows<float>(params);
  } else {
    math_round_float_rows<double>(params);
  }
}
