// Launch struct of gather: rows of many columns, picked by index.
#ifndef PELTON_ABI_GATHER_H
#define PELTON_ABI_GATHER_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  GATHER_THREADS = 256,    ///< threads per block
  GATHER_COLUMNS_MAX = 32, ///< columns of one launch
};

/// Launch parameters of `gather_rows`.
typedef struct GatherRowsParams {
  ColumnView indices;                      ///< UInt32; a null index gives a row of nulls
  ColumnView columns[GATHER_COLUMNS_MAX];  ///< [built rows] each
  ColumnOut outputs[GATHER_COLUMNS_MAX];   ///< [rows] each
  KernelStatus *status;                    ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;        ///< [1], device, read: indices, if it is not null
  const uint64_t *built_row_count_device;  ///< [1], device, read: built rows, if it is not null
  uint64_t row_count;                      ///< indices, or their upper bound
  uint64_t built_row_count;                ///< built rows, or their upper bound
  uint32_t column_count;                   ///< columns in use
  uint32_t reserved;                       ///< zero
} GatherRowsParams;
ABI_ASSERT(sizeof(GatherRowsParams) == 48 + 32 * 72 + 48, "GatherRowsParams crosses the ABI");

#endif
