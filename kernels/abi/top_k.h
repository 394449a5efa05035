// Launch structs of top_k: which rows can still be among the first.
#ifndef PELTON_ABI_TOP_K_H
#define PELTON_ABI_TOP_K_H

#include "abi/column.h"

enum {
  TOP_K_THREADS = 256,     ///< threads per block
  TOP_K_TILE_ROWS = 4096,  ///< rows that one block of `top_k_filter` looks at
};

enum {
  TOP_K_BELOW = 0,  ///< words below the threshold
  TOP_K_AT = 1,     ///< words equal to it
  TOP_K_UP_TO = 2,  ///< both
};

/// A key column, and which 64 bits of each row's code are compared: of level 0 a bit for null and
/// the 63 highest bits of the value, of the following levels 64 bits each.
typedef struct TopKKey {
  ColumnView column;     ///< the values
  uint32_t level;        ///< 0 to 2
  uint32_t descending;   ///< 1: greater values first
  uint32_t nulls_first;  ///< 1: nulls before all values
  uint32_t reserved;     ///< zero
} TopKKey;
ABI_ASSERT(sizeof(TopKKey) == 64, "TopKKey crosses the ABI");

/// Launch parameters of `top_k_sample`.
typedef struct TopKSampleParams {
  TopKKey key;            ///< [row_count], read here and there
  uint64_t *out_words;    ///< [sample_count], device, written: the words of rows drawn
  uint64_t row_count;     ///< rows, at least `sample_count`
  uint64_t sample_count;  ///< rows drawn: one of each so many consecutive ones
} TopKSampleParams;
ABI_ASSERT(sizeof(TopKSampleParams) == 88, "TopKSampleParams crosses the ABI");

/// Launch parameters of `top_k_filter`.
typedef struct TopKFilterParams {
  TopKKey key;                ///< [row_count], read
  const uint64_t *threshold;  ///< [1], device, read: a word
  const uint32_t *rows;       ///< [row_count], device, read: what is listed of each row; absent: its number
  uint32_t *out_rows;         ///< [row_count], device, written up to `out_row_count`
  uint64_t *tile_states;      ///< [tiles], device, the caller zeroes it
  uint64_t *tile_ticket;      ///< [1], device, the caller zeroes it
  uint64_t *out_row_count;    ///< [1], device, written: rows listed
  uint64_t row_count;         ///< rows
  uint32_t relation;          ///< one of `TOP_K_*`: which words to list
  uint32_t reserved;          ///< zero
} TopKFilterParams;
ABI_ASSERT(sizeof(TopKFilterParams) == 128, "TopKFilterParams crosses the ABI");

#endif
