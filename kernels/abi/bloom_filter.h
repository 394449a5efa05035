// Launch structs of bloom_filter: filters of a column's values, and which values may be in one.
#ifndef PELTON_ABI_BLOOM_FILTER_H
#define PELTON_ABI_BLOOM_FILTER_H

#include "abi/column.h"

enum {
  BLOOM_FILTER_THREADS = 256,     ///< threads per block
  BLOOM_FILTER_ITEMS = 4,         ///< rows that a thread has in flight
  BLOOM_FILTER_BLOCK_BYTES = 32,  ///< bytes of a filter's block
};

/// Launch parameters of `bloom_filter_insert`.
typedef struct BloomFilterInsertParams {
  ColumnView column;                 ///< [rows]: integers of at most 64 bits
  uint64_t *blocks;                  ///< [block_count * 4], device, raised
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t block_count;              ///< blocks, less than 2^32
} BloomFilterInsertParams;
ABI_ASSERT(sizeof(BloomFilterInsertParams) == 80, "BloomFilterInsertParams crosses the ABI");

/// Launch parameters of `bloom_filter_probe`.
typedef struct BloomFilterProbeParams {
  ColumnView column;                 ///< [rows]: integers of at most 64 bits
  const uint64_t *blocks;            ///< [block_count * 4], device, read
  uint8_t *out_found;                ///< [ceil(rows / 8)], device, written in 32-bit words: whether the value may be there
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t block_count;              ///< blocks, less than 2^32
} BloomFilterProbeParams;
ABI_ASSERT(sizeof(BloomFilterProbeParams) == 88, "BloomFilterProbeParams crosses the ABI");

#endif
