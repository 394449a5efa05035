// Operator  group_by (src/backend/cuda/group_by/ordered.rs): quantiles of sorted values
// Kernels   quantile_pick
// Method    a thread per segment: nulls stand behind, and are found by halving; then one or two
//           values are read
// Cost      reads 8 B and up to two 32 B sectors per segment, and a byte of validity per halving;
//           writes a value per segment
// Source    none needed; src/expr/aggregate.rs says what the interpolations are
#include "abi/quantile.h"
#include "primitives/value.cuh"

/// Two neighbours among sorted values, and how far from the lesser one the quantile is.
struct QuantilePlace {
  uint64_t lower, higher;
  double fraction;
};

/// The rows of a segment whose values are not null end here.
KERNEL_FN uint64_t quantile_valid_end(const ColumnView &values, uint64_t begin, uint64_t end) {
  while (begin < end) {
    const uint64_t middle = begin + (end - begin) / 2;
    if (column_valid(values, middle)) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// The place of a quantile among so many values, at least one.
KERNEL_FN QuantilePlace quantile_place(double q, uint32_t interpolation, uint64_t count) {
  const uint64_t last = count - 1;
  const double exact = q * (double)last;
  const uint64_t lower = min((uint64_t)floor(exact), last);
  const uint64_t higher = min((uint64_t)ceil(exact), last);
  const double fraction = exact - (double)lower;
  switch (interpolation) {
    case QUANTILE_LINEAR: return {lower, higher, fraction};
    case QUANTILE_MIDPOINT: return {lower, higher, lower < higher ? 0.5 : 0.0};
    case QUANTILE_LOWER: return {lower, lower, 0.0};
    case QUANTILE_HIGHER: return {higher, higher, 0.0};
    default:
      return fraction < 0.5 ? QuantilePlace{lower, lower, 0.0} : QuantilePlace{higher, higher, 0.0};
  }
}

/// A value as a number, with one zero.
KERNEL_FN double quantile_number(const QuantileParams &params, uint64_t row) {
  if (type_is_float(params.values.type)) return column_float(params.values, row) + 0.0;
  const double value = int128_to_double(column_integer(params.values, row));
  return value / params.divisor * params.multiplier;
}

/// What is between two values; equal neighbours are what they are, infinite or not.
KERNEL_FN double quantile_between(const QuantileParams &params, const QuantilePlace &place) {
  const double lower = quantile_number(params, place.lower);
  const double higher = quantile_number(params, place.higher);
  if (lower == higher || place.fraction == 0.0) return lower;
  return lower + (higher - lower) * place.fraction;
}

/// Writes a value as it is, floats with one zero and one NaN.
KERNEL_FN void quantile_copy(const QuantileParams &params, uint64_t row, uint64_t segment) {
  if (params.output.type == PHYSICAL_INT128) {
    ((int128_t *)params.output.values)[segment] = column_value<int128_t>(params.values, row);
    return;
  }
  const uint64_t bits = column_bits(params.values, row);
  output_bits(params.output, segment, float_bits_normal(params.values.type, bits));
}

/// Finds a quantile of each segment of sorted values.
///
/// Shape   values[rows], starts[segment_count + 1] -> output[segment_count]
/// Launch  grid = ceil(segment_count / QUANTILE_THREADS), block = QUANTILE_THREADS, shared = 0
/// Order   that of the segments
/// Nulls   left out; null for a segment without values
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(QUANTILE_THREADS)
quantile_pick(GRID_CONSTANT(QuantileParams) params) {
  const uint64_t segment = (uint64_t)blockIdx.x * QUANTILE_THREADS + threadIdx.x;
  if ((segment & ~(uint64_t)31) >= params.segment_count) return;  // whole warps leave together
  bool valid = false;
  if (segment < params.segment_count) {
    const uint64_t end = min((uint64_t)params.starts[segment + 1], params.row_count);
    const uint64_t begin = min((uint64_t)params.starts[segment], end);
    const uint64_t count = quantile_valid_end(params.values, begin, end) - begin;
    valid = count > 0;
    if (valid) {
      QuantilePlace place = quantile_place(params.q, params.interpolation, count);
      place.lower += begin;
      place.higher += begin;
      if (params.interpolation <= QUANTILE_MIDPOINT) {
        ((double *)params.output.values)[segment] = quantile_between(params, place);
      } else {
        quantile_copy(params, place.lower, segment);
      }
    }
  }
  bitmap_write_warp(params.output.validity, segment, valid);
}
