// Scope   thread
// Division of 64-bit integers by a divisor that is the same for a whole launch.
#pragma once
#include "primitives/prelude.cuh"

/// value / divisor toward zero, and the rest, which has the sign of the value; `divisor` is
/// positive and `inverse` is 1.0 / divisor. The quotient of floats is off by at most 2^-51 of
/// itself plus one, so that what it leaves is few divisors, and a second quotient of that is off by
/// at most one. Scope thread · Result in the caller · Memory none · JIT yes
KERNEL_FN int64_t divide_i64(int64_t value, int64_t divisor, double inverse, int64_t *rest) {
  *rest = 0;
  if (divisor == 1) return value;
  int64_t quotient = (int64_t)((double)value * inverse);
  int64_t left = (int64_t)((uint64_t)value - (uint64_t)quotient * (uint64_t)divisor);
  const int64_t more = (int64_t)((double)left * inverse);
  quotient += more;
  left -= more * divisor;
  if (value >= 0) {
    if (left < 0) quotient--, left += divisor;
    if (left >= divisor) quotient++, left -= divisor;
  } else {
    if (left > 0) quotient++, left -= divisor;
    if (left <= -divisor) quotient--, left += divisor;
  }
  *rest = left;
  return quotient;
}

/// a * b wrapped to 64 bits. False if it does not fit.
/// Scope thread · Result in the caller · Memory none · JIT yes
KERNEL_FN bool multiply_i64(int64_t a, int64_t b, int64_t *result) {
  const int128_t exact = (int128_t)a * b;
  *result = (int64_t)exact;
  return exact == *result;
}
