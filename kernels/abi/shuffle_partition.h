// Launch structs of shuffle_partition: a target for every row, and all columns scattered by it into
// one buffer that is ready to be sent.
//
// The buffer has the partitions behind one another. A partition has its columns behind one another,
// of each column the values and then, if rows may be null, the validity bitmap: its sections. Every
// section starts at a multiple of SHUFFLE_PARTITION_ALIGNMENT bytes; what is left before the next one
// is zero. The table says where: rows of each partition [partitions], then the first byte of each
// section of each partition [section_count * partitions], section by section, then the bytes of all.
#ifndef PELTON_ABI_SHUFFLE_PARTITION_H
#define PELTON_ABI_SHUFFLE_PARTITION_H

#include "abi/column.h"

enum {
  SHUFFLE_PARTITION_THREADS = 512,          ///< threads per block
  SHUFFLE_PARTITION_CLEAR_THREADS = 64,     ///< threads per block of `shuffle_partition_clear`: as many as an alignment has bytes
  SHUFFLE_PARTITION_ITEMS = 8,              ///< rows of a thread of `shuffle_partition_scatter` that are in flight together
  SHUFFLE_PARTITION_TARGET_ITEMS = 4,       ///< the same of `shuffle_partition_target`, which keeps more of each
  SHUFFLE_PARTITION_KEYS_MAX = 16,          ///< key columns
  SHUFFLE_PARTITION_PARTITIONS_MAX = 4096,  ///< partitions of one launch
  SHUFFLE_PARTITION_TILE_ROWS_MAX = 8192,   ///< rows that a block of `shuffle_partition_scatter` handles
  SHUFFLE_PARTITION_ALIGNMENT = 64,         ///< sections start at multiples of so many bytes
  SHUFFLE_PARTITION_BOUND_WORDS = 3,        ///< words of a bound: class, high, low
};

enum {
  SHUFFLE_PARTITION_HASH = 0,         ///< by the upper bits of the keys' hash
  SHUFFLE_PARTITION_RANGE = 1,        ///< by the number of bounds that are less than the keys
  SHUFFLE_PARTITION_ROUND_ROBIN = 2,  ///< in turn
};

/// A key column.
typedef struct ShufflePartitionKey {
  ColumnView column;       ///< the values
  const uint64_t *words;   ///< device, read. Hash: [word_count], words of the values that codes stand for; absent: no codes. Range: [bounds * SHUFFLE_PARTITION_BOUND_WORDS]
  uint64_t word_count;     ///< codes that have a word
  uint64_t flip;           ///< range: all ones if greater values come first, else zero
  uint32_t nulls_first;    ///< range: 1 if nulls come first
  uint32_t reserved;       ///< zero
} ShufflePartitionKey;
ABI_ASSERT(sizeof(ShufflePartitionKey) == 80, "ShufflePartitionKey crosses the ABI");

/// Launch parameters of `shuffle_partition_bounds`.
typedef struct ShufflePartitionBoundsParams {
  ShufflePartitionKey key;  ///< its column has the bounds; its words are not read
  uint64_t *out_words;      ///< [bound_count * SHUFFLE_PARTITION_BOUND_WORDS], device, written
  uint64_t bound_count;     ///< bounds
} ShufflePartitionBoundsParams;
ABI_ASSERT(sizeof(ShufflePartitionBoundsParams) == 96, "ShufflePartitionBoundsParams crosses the ABI");

/// Launch parameters of `shuffle_partition_target`.
typedef struct ShufflePartitionTargetParams {
  ShufflePartitionKey keys[SHUFFLE_PARTITION_KEYS_MAX];  ///< [rows] each, the most significant first
  uint16_t *out_targets;             ///< [rows], device, written: partition of each row
  uint64_t *out_rows;                ///< [partitions], device, raised: rows of each partition; the caller zeroes them
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t key_count;                ///< keys in use
  uint32_t by;                       ///< `SHUFFLE_PARTITION_HASH`, `_RANGE` or `_ROUND_ROBIN`
  uint32_t partitions;               ///< partitions
  uint32_t start;                    ///< round robin: the partition of row 0
} ShufflePartitionTargetParams;
ABI_ASSERT(sizeof(ShufflePartitionTargetParams) == 1280 + 48, "ShufflePartitionTargetParams crosses the ABI");

/// A column to scatter.
typedef struct ShufflePartitionColumn {
  ColumnView column;  ///< [rows]
  uint32_t section;   ///< the section of the values
  uint32_t nullable;  ///< 1 if the section behind it is their validity
} ShufflePartitionColumn;
ABI_ASSERT(sizeof(ShufflePartitionColumn) == 56, "ShufflePartitionColumn crosses the ABI");

/// Launch parameters of `shuffle_partition_layout`.
typedef struct ShufflePartitionLayoutParams {
  const ShufflePartitionColumn *columns;  ///< [column_count], device, read
  uint64_t *table;                        ///< [partitions * (1 + section_count) + 1], device: rows read, the rest written
  uint32_t column_count;                  ///< columns
  uint32_t partitions;                    ///< partitions
} ShufflePartitionLayoutParams;
ABI_ASSERT(sizeof(ShufflePartitionLayoutParams) == 24, "ShufflePartitionLayoutParams crosses the ABI");

/// Launch parameters of `shuffle_partition_clear`.
typedef struct ShufflePartitionClearParams {
  const ShufflePartitionColumn *columns;  ///< [column_count], device, read
  const uint64_t *table;                  ///< device, read: of `shuffle_partition_layout`
  uint8_t *out_bytes;                     ///< [last word of the table], device, bitmaps and padding written
  uint32_t partitions;                    ///< partitions
  uint32_t splits;                        ///< blocks per column and partition
} ShufflePartitionClearParams;
ABI_ASSERT(sizeof(ShufflePartitionClearParams) == 32, "ShufflePartitionClearParams crosses the ABI");

/// Launch parameters of `shuffle_partition_scatter`.
typedef struct ShufflePartitionScatterParams {
  const ShufflePartitionColumn *columns;  ///< [column_count], device, read
  const uint16_t *targets;                ///< [rows], device, read: of `shuffle_partition_target`
  const uint64_t *table;                  ///< device, read: of `shuffle_partition_layout`
  uint32_t *cursors;                      ///< [partitions], device, raised: rows that have a place; the caller zeroes them
  uint8_t *out_bytes;                     ///< [last word of the table], device, written; bitmaps are zero before
  const uint64_t *row_count_device;       ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                     ///< rows, or their upper bound
  uint32_t column_count;                  ///< columns
  uint32_t partitions;                    ///< partitions
  uint32_t tile_rows;                     ///< rows of a block, a multiple of 32, at most SHUFFLE_PARTITION_TILE_ROWS_MAX
  uint32_t stage_bytes;                   ///< bytes of a tile's row in shared memory: of the widest value, at least 1
} ShufflePartitionScatterParams;
ABI_ASSERT(sizeof(ShufflePartitionScatterParams) == 72, "ShufflePartitionScatterParams crosses the ABI");

#endif
