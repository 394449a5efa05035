// Operator  project (src/operators/project.rs): functions over numbers
// Kernels   those of math.cu and math_float.cu
// Method    the loops of project.cuh; types are switched once per launch, outside of the loops
// Cost      reads each operand and writes the result once per row, and 1/8 B per validity bitmap
// Source    none needed
#pragma once
#include "abi/math.h"
#include "project.cuh"
#include "primitives/divide.cuh"

template <typename T>
KERNEL_FN ProjectOutcome math_unary_of(uint32_t op, T a, T *result) {
  if (op == MATH_BIT_NOT) {
    *result = (T)~a;
    return {true, STATUS_OK};
  }
  *result = project_order(a, T()) < 0 ? (T)((uint128_t)0 - (uint128_t)a) : a;
  const bool fits = project_order(*result, T()) >= 0;
  return {true, fits ? (uint32_t)STATUS_OK : (uint32_t)STATUS_OVERFLOW};
}
KERNEL_FN ProjectOutcome math_unary_of(uint32_t op, float a, float *result) {
  const float sign = a == 0 || a != a ? a : a < 0 ? -1.0f : 1.0f;
  *result = op == MATH_ABS ? fabsf(a) : sign;
  return {true, STATUS_OK};
}
KERNEL_FN ProjectOutcome math_unary_of(uint32_t op, double a, double *result) {
  const double sign = a == 0 || a != a ? a : a < 0 ? -1.0 : 1.0;
  *result = op == MATH_ABS ? fabs(a) : sign;
  return {true, STATUS_OK};
}

template <typename T>
KERNEL_FN void math_unary_rows(const ProjectBinaryParams &params) {
  const uint32_t op = params.op;
  project_binary<T, T>(params, [op](T a, T, T *result) { return math_unary_of(op, a, result); });
}

template <typename T>
KERNEL_FN void math_sign_rows(const ProjectBinaryParams &params) {
  project_binary<T, int8_t>(params, [](T a, T, int8_t *result) -> ProjectOutcome {
    *result = (int8_t)project_order(a, T());
    return {true, STATUS_OK};
  });
}

template <typename T>
KERNEL_FN void math_bits_rows(const ProjectBinaryParams &params) {
  const uint32_t op = params.op;
  project_binary<T, T>(params, [op](T a, T b, T *result) -> ProjectOutcome {
    *result = (T)(op == MATH_BIT_AND ? a & b : op == MATH_BIT_OR ? a | b : a ^ b);
    return {true, STATUS_OK};
  });
}

template <typename T>
KERNEL_FN void math_shift_rows(const ProjectBinaryParams &params) {
  const uint32_t op = params.op;
  project_binary<T, T, int64_t>(params, [op](T a, int64_t count, T *result) -> ProjectOutcome {
    if (count < 0 || count >= (int64_t)sizeof(T) * 8) return {false, STATUS_OVERFLOW};
    *result = (T)(op == MATH_SHIFT_LEFT ? (uint64_t)a << count : (uint64_t)(a >> count));
    return {true, STATUS_OK};
  });
}

/// The greater or lesser of two columns of one type; a null loses against a value.
template <typename T>
KERNEL_FN void math_extreme_rows(const ProjectBinaryParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
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
    const bool left_valid = in_rows && column_valid(params.left, row);
    const bool right_valid = in_rows && column_valid(params.right, row);
    const int32_t order = project_order(right[step], left[step]);
    const bool wins = params.op == MATH_GREATEST ? order > 0 : order < 0;
    const T taken = right_valid && (!left_valid || wins) ? right[step] : left[step];
    const bool valid = left_valid || right_valid;
    if (in_rows) ((T *)params.output.values)[row] = valid ? taken : T();
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
  }
}

/// Two comparisons of one value, joined by Kleene's `and`.
template <typename T>
KERNEL_FN void math_between_rows(const MathBetweenParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  T value[ProjectPolicy::STEPS], low[ProjectPolicy::STEPS], high[ProjectPolicy::STEPS];
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    value[step] = row < row_count ? column_value<T>(params.value, row) : T();
    low[step] = row < row_count ? column_value<T>(params.low, row) : T();
    high[step] = row < row_count ? column_value<T>(params.high, row) : T();
  }
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const bool in_rows = row < row_count;
    const bool above = project_holds(params.op_low, project_order(value[step], low[step]));
    const bool below = project_holds(params.op_high, project_order(value[step], high[step]));
    if (!params.output.validity) {
      bitmap_write_warp((uint8_t *)params.output.values, row, in_rows && above && below);
      continue;
    }
    const bool valid = in_rows && column_valid(params.value, row);
    const bool low_valid = valid && column_valid(params.low, row);
    const bool high_valid = valid && column_valid(params.high, row);
    const bool holds = low_valid && high_valid && above && below;
    const bool fails = (low_valid && !above) || (high_valid && !below);
    bitmap_write_warp((uint8_t *)params.output.values, row, holds);
    bitmap_write_warp(params.output.validity, row, holds || fails);
  }
}

/// Whether a sorted list has a value.
template <typename W>
KERNEL_FN bool math_list_has(const W *list, uint32_t count, W value) {
  uint32_t low = 0, high = count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (list[middle] < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && list[low] == value;
}

/// Membership of values of `T`, by their bits; `W` is what the list holds.
template <typename T, typename W>
KERNEL_FN void math_in_list_rows(const MathInListParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  T value[ProjectPolicy::STEPS];
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    value[step] = row < row_count ? column_value<T>(params.value, row) : T();
  }
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    const bool valid = row < row_count && column_valid(params.value, row);
    W bits = (W)value[step];
    if (type_is_float(params.value.type)) bits = float_bits_normal(params.value.type, bits);
    bool found = false;
    if (params.list) {
      found = valid && math_list_has((const W *)params.list, params.count, bits);
    } else if (valid) {
#pragma unroll
      for (uint32_t i = 0; i < MATH_LIST_SMALL; i++) {
        found |= i < params.count && params.small_values[i] == bits;
      }
    }
    bitmap_write_warp((uint8_t *)params.output.values, row, found);
    if (params.output.validity) {
      bitmap_write_warp(params.output.validity, row, valid && (found || !params.has_null));
    }
  }
}
