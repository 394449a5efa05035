// Launch struct of filter: a stable compaction of many columns by one predicate.
#ifndef PELTON_ABI_FILTER_H
#define PELTON_ABI_FILTER_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  FILTER_THREADS = 256,    ///< threads per block
  FILTER_TILE_ROWS = 4096, ///< rows that one block compacts
  FILTER_COLUMNS_MAX = 32, ///< columns of one launch
};

/// Launch parameters of `filter_compact`.
typedef struct FilterCompactParams {
  ColumnView predicate;                        ///< Boolean; a row is kept where it is true and valid
  ColumnView columns[FILTER_COLUMNS_MAX];      ///< what is compacted
  ColumnOut outputs[FILTER_COLUMNS_MAX];       ///< [rows] each; bitmaps are zeroed by the caller
  uint64_t *tile_states;                       ///< [tiles], device, the caller zeroes it
  uint64_t *tile_ticket;                       ///< [1], device, the caller zeroes it
  uint64_t *out_row_count;                     ///< [1], device, written: rows kept
  const uint64_t *row_count_device;            ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                          ///< rows, or their upper bound if `row_count_device` is given
  uint32_t column_count;                       ///< columns in use
  uint32_t reserved;                           ///< zero
} FilterCompactParams;
ABI_ASSERT(sizeof(FilterCompactParams) == 48 + 32 * 72 + 48, "FilterCompactParams crosses the ABI");

#endif
