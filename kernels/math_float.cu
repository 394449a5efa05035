// Operator  project (src/operators/project.rs): functions over floats
// Kernels   math_float math_exponential math_trigonometric
// Method    the loops of project.cuh; an entry per family, so that none needs another's registers
// Cost      reads 8 B per operand and writes 8 B per row, and 1/8 B per validity bitmap
// Source    the device's own functions: of math_float to the nearest, the others within 2 ulp
#include "math.cuh"

/// Square roots and products.
///
/// Shape   left[rows], right[rows] -> output[rows], Float64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_float(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint32_t op = params.op;
  project_binary<double, double>(params, [op](double a, double b, double *result) {
    *result = op == MATH_SQRT ? sqrt(a) : a * b;
    return ProjectOutcome{true, STATUS_OK};
  });
}

KERNEL_FN double math_exponential_of(uint32_t op, double a, double b) {
  switch (op) {
    case MATH_CBRT: return cbrt(a);
    case MATH_EXP: return exp(a);
    case MATH_LN: return log(a);
    case MATH_LOG10: return log10(a);
    case MATH_LOG2: return log2(a);
    case MATH_POWER: return pow(a, b);
    default: return log(a) / log(b);
  }
}

/// Powers, roots and logarithms.
///
/// Shape   left[rows], right[rows] -> output[rows], Float64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_exponential(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint32_t op = params.op;
  project_binary<double, double>(params, [op](double a, double b, double *result) {
    *result = math_exponential_of(op, a, b);
    return ProjectOutcome{true, STATUS_OK};
  });
}

KERNEL_FN double math_trigonometric_of(uint32_t op, double a, double b) {
  switch (op) {
    case MATH_SIN: return sin(a);
    case MATH_COS: return cos(a);
    case MATH_TAN: return tan(a);
    case MATH_ASIN: return asin(a);
    case MATH_ACOS: return acos(a);
    case MATH_ATAN: return atan(a);
    default: return atan2(a, b);
  }
}

/// Sines, cosines, tangents and their inverses.
///
/// Shape   left[rows], right[rows] -> output[rows], Float64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is
/// Errors  none
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
math_trigonometric(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint32_t op = params.op;
  project_binary<double, double>(params, [op](double a, double b, double *result) {
    *result = math_trigonometric_of(op, a, b);
    return ProjectOutcome{true, STATUS_OK};
  });
}
