// Launch struct of quantile: a place among the sorted values of each segment.
#ifndef PELTON_ABI_QUANTILE_H
#define PELTON_ABI_QUANTILE_H

#include "abi/column.h"

enum {
  QUANTILE_THREADS = 256,  ///< threads per block, a segment each
};

enum {
  QUANTILE_LINEAR = 0,    ///< between the neighbours, by the distance from the lesser one
  QUANTILE_MIDPOINT = 1,  ///< half way between them
  QUANTILE_LOWER = 2,     ///< the lesser neighbour
  QUANTILE_HIGHER = 3,    ///< the greater neighbour
  QUANTILE_NEAREST = 4,   ///< the nearer one; half way, the greater one
};

/// Launch parameters of `quantile_pick`.
typedef struct QuantileParams {
  ColumnView values;        ///< [rows], read: ascending within each segment, nulls behind
  const uint32_t *starts;   ///< [segment_count + 1], device, read: the first row of each, and the end of the last
  ColumnOut output;         ///< [segment_count]: of the values' type, or Float64 for what is between two
  uint64_t row_count;       ///< rows
  uint64_t segment_count;   ///< segments
  double q;                 ///< from 0 to 1
  double divisor;           ///< what values are divided by: 10^scale of decimals, else 1
  double multiplier;        ///< what they are multiplied by: 10^-scale where the scale is negative, else 1
  uint32_t interpolation;   ///< one of `QUANTILE_*`
  uint32_t reserved;        ///< zero
} QuantileParams;
ABI_ASSERT(sizeof(QuantileParams) == 128, "QuantileParams crosses the ABI");

#endif
