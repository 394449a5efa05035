// Launch structs of nested_loop_join: pairs of row numbers of two sides.
#ifndef PELTON_ABI_NESTED_LOOP_JOIN_H
#define PELTON_ABI_NESTED_LOOP_JOIN_H

#include "abi/column.h"

enum {
  NESTED_LOOP_JOIN_THREADS = 256,        ///< threads per block
  NESTED_LOOP_JOIN_ITEMS = 4,            ///< pairs that a thread of `nested_loop_join_pairs` writes
  NESTED_LOOP_JOIN_BUILD_ROWS = 1024,    ///< build rows that a block compares its probe rows with at a time
  NESTED_LOOP_JOIN_COMPARISONS_MAX = 4,  ///< comparisons of one condition
};

/// What a comparison accepts, as bits: the probe's value is below, equal to, above the build's.
enum {
  NESTED_LOOP_JOIN_BELOW = 1,  ///< below
  NESTED_LOOP_JOIN_EQUAL = 2,  ///< equal
  NESTED_LOOP_JOIN_ABOVE = 4,  ///< above
};

/// Launch parameters of `nested_loop_join_pairs`.
typedef struct NestedLoopJoinPairsParams {
  uint32_t *out_probe_rows;  ///< [pairs], device, written: probe row of each pair
  uint32_t *out_build_rows;  ///< [pairs], device, written: build row of each pair
  uint64_t first_pair;       ///< number of the first pair; pairs are counted probe row by probe row
  uint64_t pair_count;       ///< pairs
  uint64_t build_row_count;  ///< build rows, at least one
} NestedLoopJoinPairsParams;
ABI_ASSERT(sizeof(NestedLoopJoinPairsParams) == 40, "NestedLoopJoinPairsParams crosses the ABI");

/// Launch parameters of `nested_loop_join_count` and `nested_loop_join_compare`.
typedef struct NestedLoopJoinCompareParams {
  ColumnView probe[NESTED_LOOP_JOIN_COMPARISONS_MAX];    ///< [probe rows] each, of at most 64 bits: left operands
  ColumnView build[NESTED_LOOP_JOIN_COMPARISONS_MAX];    ///< [build rows] each, of the same types: right operands
  uint64_t *out_row_count;   ///< [1], device, raised by matches; the caller zeroes it
  uint32_t *out_marks;       ///< [ceil(probe rows / 32)], device, raised by the count: which probe rows have a match; absent: not wanted
  uint32_t *out_probe_rows;  ///< [matches], device, written: probe row of each
  uint32_t *out_build_rows;  ///< [matches], device, written: build row of each
  uint64_t probe_row_count;  ///< probe rows
  uint64_t build_row_count;  ///< build rows
  uint32_t accepts[NESTED_LOOP_JOIN_COMPARISONS_MAX];    ///< `NESTED_LOOP_JOIN_*` bits of each comparison
  uint32_t comparison_count; ///< comparisons in use
  uint32_t reserved;         ///< zero
} NestedLoopJoinCompareParams;
ABI_ASSERT(sizeof(NestedLoopJoinCompareParams) == 8 * 48 + 48 + 24, "NestedLoopJoinCompareParams crosses the ABI");

#endif
