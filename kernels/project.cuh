// Operator  project (src/operators/project.rs states the contract)
// Kernels   those of project.cu and generated/project_*.cu
// Method    one step of an expression over whole columns; a thread loads its rows of a tile before
//           it computes the first, so that loads overlap
// Cost      reads each operand and writes the result once per row, and 1/8 B per validity bitmap
// Source    none needed
#pragma once
#include "abi/project.h"
#include "primitives/bitmap.cuh"
#include "primitives/status.cuh"
#include "primitives/value.cuh"

struct ProjectPolicy {
  static const uint32_t STEPS = PROJECT_TILE_ROWS / PROJECT_THREADS;  // rows per thread
};

/// What became of one row.
struct ProjectOutcome {
  bool valid;
  uint32_t failure;  // STATUS_*, or STATUS_OK
};

/// The row of a thread's `step`-th element; warps cover 32 consecutive rows.
KERNEL_FN uint64_t project_row(uint32_t step) {
  return (uint64_t)blockIdx.x * PROJECT_TILE_ROWS + step * PROJECT_THREADS + threadIdx.x;
}

/// Turns a failure into a null or into the launch's status, as `error_flag` of `flags` says.
KERNEL_FN void project_fail(KernelStatus *status, const uint8_t *active, uint32_t flags,
                            uint64_t row, ProjectOutcome *outcome) {
  if (outcome->failure == STATUS_OK) return;
  const uint32_t error_flag = outcome->failure == STATUS_DIVISION_BY_ZERO
                                  ? PROJECT_DIVISION_BY_ZERO_IS_ERROR
                              : outcome->failure == STATUS_CAST ? PROJECT_CAST_IS_STRICT
                                                                : PROJECT_OVERFLOW_IS_ERROR;
  if (!(flags & error_flag)) return;
  if (!active || bitmap_get(active, row)) status_set(status, outcome->failure, row);
}

/// a * b in 128 bits. False if it does not fit.
KERNEL_FN bool multiply_int128(int128_t a, int128_t b, int128_t *result) {
  *result = (int128_t)((uint128_t)a * (uint128_t)b);
  if (a == (int64_t)a && b == (int64_t)b) return true;
  if (a == 0 || b == 0) return true;
  if (a == -1) return *result != b || b == 0;
  return *result / a == b;
}

/// True if a value fits an integer type.
template <typename V>
KERNEL_FN bool integer_fits(uint32_t type, V value) {
  switch (type) {
    case PHYSICAL_INT8: return value == (int8_t)value;
    case PHYSICAL_INT16: return value == (int16_t)value;
    case PHYSICAL_INT32: return value == (int32_t)value;
    case PHYSICAL_INT64: return value == (int64_t)value;
    case PHYSICAL_UINT8: return value == (V)(uint8_t)value;
    case PHYSICAL_UINT16: return value == (V)(uint16_t)value;
    case PHYSICAL_UINT32: return value == (V)(uint32_t)value;
    case PHYSICAL_UINT64: return value >= 0 && (int128_t)value == (int128_t)(uint64_t)value;
    default: return true;
  }
}

KERNEL_FN void store_integer(const ColumnOut &output, uint64_t row, int128_t value) {
  if (output.type == PHYSICAL_INT128) {
    ((int128_t *)output.values)[row] = value;
  } else {
    output_bits(output, row, (uint64_t)value);
  }
}

template <typename T>
KERNEL_FN void project_load_as(const ColumnView &column, uint64_t row_count, int64_t *values) {
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    values[step] = row < row_count ? (int64_t)column_value<T>(column, row) : 0;
  }
}

/// A thread's values of a column of integers of at most 64 bits, loaded before any is used. UInt64
/// as its bits; Booleans too.
KERNEL_FN void project_load_integers(const ColumnView &column, uint64_t row_count,
                                     int64_t *values) {
  switch (column.type) {
    case PHYSICAL_INT8: project_load_as<int8_t>(column, row_count, values); break;
    case PHYSICAL_INT16: project_load_as<int16_t>(column, row_count, values); break;
    case PHYSICAL_INT32: project_load_as<int32_t>(column, row_count, values); break;
    case PHYSICAL_UINT8: project_load_as<uint8_t>(column, row_count, values); break;
    case PHYSICAL_UINT16: project_load_as<uint16_t>(column, row_count, values); break;
    case PHYSICAL_UINT32: project_load_as<uint32_t>(column, row_count, values); break;
    case PHYSICAL_BOOLEAN:
#pragma unroll
      for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
        const uint64_t row = project_row(step);
        values[step] = row < row_count && column_bit(column, row);
      }
      break;
    default: project_load_as<int64_t>(column, row_count, values); break;
  }
}

/// Applies `compute(a, b, &result) -> ProjectOutcome` to every row where both operands are valid.
template <typename T, typename R, typename U = T, typename Compute>
KERNEL_FN void project_binary(const ProjectBinaryParams &params, Compute compute) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  if ((uint64_t)blockIdx.x * PROJECT_TILE_ROWS >= row_count) return;
  T left[ProjectPolicy::STEPS];
  U right[ProjectPolicy::STEPS];
  bool valid[ProjectPolicy::STEPS];
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    valid[step] = false;
    left[step] = T();
    right[step] = U();
    if (row >= row_count) continue;
    valid[step] = column_valid(params.left, row) && column_valid(params.right, row);
    left[step] = column_value<T>(params.left, row);
    right[step] = column_value<U>(params.right, row);
  }
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    R result = R();
    ProjectOutcome outcome = {false, STATUS_OK};
    if (valid[step]) {
      outcome = compute(left[step], right[step], &result);
      project_fail(params.status, params.active, params.flags, row, &outcome);
    }
    if (row < row_count) ((R *)params.output.values)[row] = result;
    if (params.output.validity && (row & ~(uint64_t)31) < row_count) {
      bitmap_write_warp(params.output.validity, row, outcome.valid);
    }
  }
}

template <typename T>
struct ProjectType {
  static const bool IS_FLOAT = false;
};
template <>
struct ProjectType<float> {
  static const bool IS_FLOAT = true;
};
template <>
struct ProjectType<double> {
  static const bool IS_FLOAT = true;
};

KERNEL_FN ProjectOutcome project_compute(uint32_t op, float a, float b, float *result) {
  switch (op) {
    case PROJECT_ADD: *result = a + b; break;
    case PROJECT_SUBTRACT: *result = a - b; break;
    case PROJECT_MULTIPLY: *result = a * b; break;
    case PROJECT_DIVIDE: *result = a / b; break;
    case PROJECT_REMAINDER: *result = fmodf(a, b); break;
    default: *result = -a; break;
  }
  return {true, STATUS_OK};
}

KERNEL_FN ProjectOutcome project_compute(uint32_t op, double a, double b, double *result) {
  switch (op) {
    case PROJECT_ADD: *result = a + b; break;
    case PROJECT_SUBTRACT: *result = a - b; break;
    case PROJECT_MULTIPLY: *result = a * b; break;
    case PROJECT_DIVIDE: *result = a / b; break;
    case PROJECT_REMAINDER: *result = fmod(a, b); break;
    default: *result = -a; break;
  }
  return {true, STATUS_OK};
}

/// Integers: computed in 128 bits, wrapped to T, and compared with what came before.
template <typename T>
KERNEL_FN ProjectOutcome project_compute(uint32_t op, T a, T b, T *result) {
  int128_t exact;
  switch (op) {
    case PROJECT_ADD: exact = (int128_t)a + b; break;
    case PROJECT_SUBTRACT: exact = (int128_t)a - b; break;
    case PROJECT_MULTIPLY: exact = (int128_t)a * b; break;
    case PROJECT_NEGATE: exact = -(int128_t)a; break;
    default:
      if (b == 0) return {false, STATUS_DIVISION_BY_ZERO};
      if ((T)(b + 1) == 0 && (T)-1 < (T)0) {  // the one divisor whose quotient may not fit
        exact = op == PROJECT_DIVIDE ? -(int128_t)a : 0;
      } else {
        exact = op == PROJECT_DIVIDE ? a / b : a % b;
      }
      break;
  }
  *result = (T)exact;
  const bool fits = exact == (int128_t)*result;
  return {true, fits ? (uint32_t)STATUS_OK : (uint32_t)STATUS_OVERFLOW};
}

template <typename T>
KERNEL_FN void project_arithmetic(const ProjectBinaryParams &params) {
  const uint32_t op = params.op;
  project_binary<T, T>(params,
                       [op](T a, T b, T *result) { return project_compute(op, a, b, result); });
}

/// -1, 0 or 1 as a is below, equal to or above b; NaN is above every number and equal to NaN.
template <typename T>
KERNEL_FN int32_t project_order(T a, T b) {
  if (ProjectType<T>::IS_FLOAT) {
    const bool a_nan = a != a, b_nan = b != b;
    if (a_nan || b_nan) return (int32_t)a_nan - (int32_t)b_nan;
  }
  return (int32_t)(a > b) - (int32_t)(a < b);
}

KERNEL_FN bool project_holds(uint32_t op, int32_t order) {
  switch (op) {
    case PROJECT_EQUAL: return order == 0;
    case PROJECT_NOT_EQUAL: return order != 0;
    case PROJECT_LESS: return order < 0;
    case PROJECT_LESS_OR_EQUAL: return order <= 0;
    case PROJECT_GREATER: return order > 0;
    default: return order >= 0;
  }
}

/// Compares two columns of one type into a Boolean column.
template <typename T>
KERNEL_FN void project_compare(const ProjectBinaryParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  if ((uint64_t)blockIdx.x * PROJECT_TILE_ROWS >= row_count) return;
  T left[ProjectPolicy::STEPS], right[ProjectPolicy::STEPS];
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    left[step] = row < row_count ? column_value<T>(params.left, row) : T();
    right[step] = row < row_count ? column_value<T>(params.right, row) : T();
  }
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const bool in_rows = row < row_count;
    const bool holds = project_holds(params.op, project_order(left[step], right[step]));
    bitmap_write_warp((uint8_t *)params.output.values, row, in_rows && holds);
    if (params.output.validity) {
      const bool valid =
          in_rows && column_valid(params.left, row) && column_valid(params.right, row);
      bitmap_write_warp(params.output.validity, row, valid);
    }
  }
}
