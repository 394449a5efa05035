// Launch struct of nested_loop_join: pairs of row numbers of two sides.
#ifndef PELTON_ABI_NESTED_LOOP_JOIN_H
#define PELTON_ABI_NESTED_LOOP_JOIN_H

#include "abi/prelude.h"

enum {
  NESTED_LOOP_JOIN_THREADS = 256,  ///< threads per block
  NESTED_LOOP_JOIN_ITEMS = 4,      ///< pairs that a thread writes
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

#endif
