// Launch structs of window: rows that stand in the order of their partitions, and what each is among
// the others.
#ifndef PELTON_ABI_WINDOW_H
#define PELTON_ABI_WINDOW_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  WINDOW_THREADS = 256,     ///< threads per block
  WINDOW_ITEMS = 8,         ///< rows per thread
  WINDOW_TILE_ROWS = 2048,  ///< rows that one block handles
  WINDOW_KEYS_MAX = 16,     ///< keys of partitions and of their order together
};

enum {
  WINDOW_ROW_NUMBER = 0,    ///< 1 + rows before in the partition
  WINDOW_RANK = 1,          ///< 1 + rows before the first peer
  WINDOW_DENSE_RANK = 2,    ///< 1 + groups of peers before
  WINDOW_PERCENT_RANK = 3,  ///< (rank - 1) / (rows - 1), 0 for one row
  WINDOW_CUME_DIST = 4,     ///< rows up to the last peer / rows
  WINDOW_NTILE = 5,         ///< number of the bucket, of `buckets`
};

enum {
  WINDOW_FRAME_PARTITION = 0,  ///< all rows of the partition
  WINDOW_FRAME_RANGE = 1,      ///< from the partition's first row to the last peer
  WINDOW_FRAME_ROWS = 2,       ///< from `start` to `end`, counted from the row
};

enum {
  WINDOW_PICK_NEIGHBOUR = 0,  ///< the row `offset` rows behind, within the partition
  WINDOW_PICK_FIRST = 1,      ///< the row `offset` rows behind the frame's first, within the frame
  WINDOW_PICK_LAST = 2,       ///< the frame's last row
  WINDOW_PICK_PARTITION = 3,  ///< the element of the row's partition, by its number
  WINDOW_PICK_PEERS = 4,      ///< the element of the row's group of peers, by its number
};

enum {
  WINDOW_FINISH_COUNT = 0,  ///< the number of values
  WINDOW_FINISH_SUM = 1,    ///< their sum
  WINDOW_FINISH_MEAN = 2,   ///< their sum / number
  WINDOW_FINISH_MAX = 3,    ///< the greatest, or the smallest with `flip`
};

enum {
  WINDOW_SCAN_ROWS = 0,        ///< a result for each row: of the rows up to it
  WINDOW_SCAN_PARTITIONS = 1,  ///< a result for each partition
  WINDOW_SCAN_PEERS = 2,       ///< a result for each group of peers: of the rows up to its last
  WINDOW_SCAN_STATES = 3,      ///< what `window_frame` puts results together from, for each row
};

enum {
  WINDOW_COMBINE_PREFIX = 0,      ///< frames that begin with the partition
  WINDOW_COMBINE_SUFFIX = 1,      ///< frames that end with the partition
  WINDOW_COMBINE_DIFFERENCE = 2,  ///< a prefix less a prefix: sums of integers
  WINDOW_COMBINE_BLOCKS = 3,      ///< a suffix and a prefix of runs of `block_rows` rows
};

enum {
  WINDOW_ADD_I64 = 0,      ///< sum modulo 2^64
  WINDOW_ADD_INT128 = 1,   ///< sum modulo 2^128
  WINDOW_ADD_F64 = 2,      ///< sum as binary64
  WINDOW_MAX_U64 = 3,      ///< greatest order-preserving code
  WINDOW_MAX_UINT128 = 4,  ///< greatest 128-bit code
};

/// Runs of consecutive rows: partitions, or groups of peers.
typedef struct WindowSegmentsView {
  uint32_t *heads;   ///< [ceil(rows / 32)], device: a bit per row, set where a segment begins
  uint32_t *before;  ///< [ceil(rows / 32)], device: segments that begin before each of these words
  uint32_t *starts;  ///< [segments + 1], device: each segment's first row; last, the number of rows
} WindowSegmentsView;
ABI_ASSERT(sizeof(WindowSegmentsView) == 24, "WindowSegmentsView crosses the ABI");

/// Which rows of its partition a row looks at.
typedef struct WindowFrameBounds {
  int64_t start;           ///< first row, counted from the row; at most 2^32 away
  int64_t end;             ///< last row, likewise
  uint32_t kind;           ///< one of `WINDOW_FRAME_*`
  uint32_t start_bounded;  ///< 1: `start` counts, else the partition's first row
  uint32_t end_bounded;    ///< 1: `end` counts, else the partition's last row
  uint32_t reserved;       ///< zero
} WindowFrameBounds;
ABI_ASSERT(sizeof(WindowFrameBounds) == 32, "WindowFrameBounds crosses the ABI");

/// What becomes of an aggregate's state.
typedef struct WindowFinish {
  uint64_t limit_low;          ///< 128-bit sums must be smaller than this in magnitude; 0: the type decides
  uint64_t limit_high;         ///< high bits of the limit
  uint64_t flip;               ///< all ones: the smallest value is wanted, and codes are complements
  double factor;               ///< mean: 10^scale of a decimal operand, else 1
  uint32_t finish;             ///< one of `WINDOW_FINISH_*`
  uint32_t empty_is_zero;      ///< 1: the sum of nothing is 0, else null
  uint32_t overflow_is_error;  ///< 1: a sum that does not fit is an error, else null
  uint32_t reserved;           ///< zero
} WindowFinish;
ABI_ASSERT(sizeof(WindowFinish) == 48, "WindowFinish crosses the ABI");

/// Launch parameters of `window_segments`.
typedef struct WindowSegmentsParams {
  ColumnView keys[WINDOW_KEYS_MAX];  ///< [rows] each, those of the partitions first
  WindowSegmentsView partitions;         ///< written
  WindowSegmentsView peers;              ///< written; absent without keys of the order
  uint64_t *tile_states;             ///< [tiles], device, the caller zeroes it
  uint64_t *tile_ticket;             ///< [1], device, the caller zeroes it
  uint64_t *out_counts;              ///< [2], device, written: partitions, groups of peers
  uint64_t row_count;                ///< rows, not 0
  uint32_t partition_key_count;      ///< keys of the partitions
  uint32_t key_count;                ///< all keys
} WindowSegmentsParams;
ABI_ASSERT(sizeof(WindowSegmentsParams) == 16 * 48 + 2 * 24 + 40, "WindowSegmentsParams crosses the ABI");

/// Launch parameters of `window_rank`.
typedef struct WindowRankParams {
  WindowSegmentsView partitions;  ///< read
  WindowSegmentsView peers;       ///< read; the partitions' where there is no order
  ColumnOut output;           ///< [rows], 64-bit integers or floats
  uint64_t row_count;         ///< rows
  uint64_t buckets;           ///< `WINDOW_NTILE`: buckets, not 0
  uint32_t rank;              ///< one of `WINDOW_*`
  uint32_t reserved;          ///< zero
} WindowRankParams;
ABI_ASSERT(sizeof(WindowRankParams) == 96, "WindowRankParams crosses the ABI");

/// Launch parameters of `window_pick`.
typedef struct WindowPickParams {
  ColumnView column;          ///< [rows], or [segments]
  ColumnOut output;           ///< [rows]
  WindowSegmentsView partitions;  ///< read
  WindowSegmentsView peers;       ///< read; the partitions' where there is no order
  WindowFrameBounds frame;          ///< for `WINDOW_PICK_FIRST` and `WINDOW_PICK_LAST`
  int64_t offset;             ///< rows; at most 2^32 away
  uint64_t default_low;       ///< low bits of the value where there is no such row
  uint64_t default_high;      ///< high bits of it
  uint64_t row_count;         ///< rows
  uint32_t pick;              ///< one of `WINDOW_PICK_*`
  uint32_t default_valid;     ///< 1: there is such a value, else null
} WindowPickParams;
ABI_ASSERT(sizeof(WindowPickParams) == 192, "WindowPickParams crosses the ABI");

/// Launch parameters of the scans.
typedef struct WindowScanParams {
  ColumnView column;          ///< [rows] values
  ColumnOut output;           ///< [rows], or [segments] with bitmaps that the caller zeroes; not for states
  WindowSegmentsView partitions;  ///< read
  WindowSegmentsView peers;       ///< read; the partitions' where there is no order
  WindowFinish finish;        ///< what becomes of the states
  uint64_t *out_values;       ///< [rows * words], device, written: values of states; absent: not wanted
  uint32_t *out_counts;       ///< [rows], device, written: counts of states; absent: no value is null
  uint64_t *tile_flags;       ///< [tiles], device, the caller zeroes it
  uint64_t *tile_values;      ///< [tiles * 2 * words], device
  uint64_t *tile_ticket;      ///< [1], device, the caller zeroes it
  KernelStatus *status;       ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;         ///< rows
  uint32_t block_rows;        ///< a scan begins anew every so many rows of a partition; 0: never
  uint32_t target;            ///< one of `WINDOW_SCAN_*`
  uint32_t reverse;           ///< 1: from the last row to the first, for states
  uint32_t reserved;          ///< zero
} WindowScanParams;
ABI_ASSERT(sizeof(WindowScanParams) == 240, "WindowScanParams crosses the ABI");

/// Launch parameters of `window_frame`.
typedef struct WindowFrameParams {
  ColumnOut output;                 ///< [rows]
  WindowSegmentsView partitions;        ///< read
  WindowSegmentsView peers;             ///< read; the partitions' where there is no order
  WindowFrameBounds frame;                ///< which rows count
  WindowFinish finish;              ///< what becomes of the states
  const uint64_t *prefix_values;    ///< [rows * words], device, read; absent: not needed
  const uint32_t *prefix_counts;    ///< [rows], device, read; absent: no value is null
  const uint64_t *suffix_values;    ///< as `prefix_values`, of a scan in reverse
  const uint32_t *suffix_counts;    ///< as `prefix_counts`, of a scan in reverse
  KernelStatus *status;             ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;               ///< rows
  uint32_t block_rows;              ///< of the scans
  uint32_t add;                     ///< one of `WINDOW_ADD_*` and `WINDOW_MAX_*`
  uint32_t combine;                 ///< one of `WINDOW_COMBINE_*`
  uint32_t reserved;                ///< zero
} WindowFrameParams;
ABI_ASSERT(sizeof(WindowFrameParams) == 216, "WindowFrameParams crosses the ABI");

#endif
