// Launch struct of append: columns of several batches, put behind one another.
#ifndef PELTON_ABI_APPEND_H
#define PELTON_ABI_APPEND_H

#include "abi/column.h"

enum {
  APPEND_THREADS = 256,     ///< threads per block
  APPEND_COLUMNS_MAX = 32,  ///< columns of one launch
};

/// Launch parameters of `append_rows`.
typedef struct AppendRowsParams {
  ColumnView columns[APPEND_COLUMNS_MAX];  ///< [rows] each, read
  ColumnOut outputs[APPEND_COLUMNS_MAX];   ///< [out_start + rows] each; bitmaps are zeroed by the caller
  uint64_t row_count;                      ///< rows
  uint64_t out_start;                      ///< row of the outputs where they go
  uint32_t column_count;                   ///< columns in use
  uint32_t reserved;                       ///< zero
} AppendRowsParams;
ABI_ASSERT(sizeof(AppendRowsParams) == 32 * 72 + 24, "AppendRowsParams crosses the ABI");

#endif
