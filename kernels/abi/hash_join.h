// Launch structs of hash_join: a table of the build side's keys, and how probe rows meet it.
#ifndef PELTON_ABI_HASH_JOIN_H
#define PELTON_ABI_HASH_JOIN_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  HASH_JOIN_THREADS = 256,       ///< threads per block of every kernel
  HASH_JOIN_ITEMS = 4,           ///< rows that a thread has in flight
  HASH_JOIN_TILE_ROWS = 1024,    ///< rows that a block handles at a time
  HASH_JOIN_PROBE_ROWS = 512,    ///< the same of `hash_join_match` and `hash_join_pairs`
  HASH_JOIN_PROBE_BLOCKS = 6,    ///< blocks of them that a multiprocessor holds
  HASH_JOIN_KEYS_MAX = 16,       ///< key columns
  HASH_JOIN_RUNS_MAX = 4,        ///< runs of bits that a dense place is put together from
  HASH_JOIN_SPECIAL_SLOTS = 4,   ///< slots behind a hashed table, whole sectors: the null key, the key equal to the empty mark, two unused
  HASH_JOIN_RANGE_WORDS = 6,     ///< words of what `hash_join_range` finds out
  HASH_JOIN_TILE_COST = 1024,    ///< what a tile costs `hash_join_emit`, in output rows
  HASH_JOIN_SHARE = 8192,        ///< cost that one block of `hash_join_emit` takes
  HASH_JOIN_FILTER_TENTHS = 7,   ///< tenths of the sampled rows that may pass a filter that is used
  HASH_JOIN_SAMPLE_TILES = 64,   ///< tiles of probe rows that are sampled for it
  HASH_JOIN_PARTS_THREADS = 512, ///< threads per block of `hash_join_split` and `hash_join_build_parts`
  HASH_JOIN_SPLIT_ROWS = 4096,   ///< rows that a block of `hash_join_split` handles
  HASH_JOIN_LEVEL_BITS_MAX = 8,  ///< one launch of it splits a part into at most 2 to this power
};

/// A slot that holds no key, and a row number that stands for none (as 32 bits).
#define HASH_JOIN_EMPTY 0xFFFFFFFFFFFFFFFFull
#define HASH_JOIN_NO_ROW 0xFFFFFFFFu

enum {
  HASH_JOIN_DENSE_BITS = 0,   ///< a bit per place: whether the key is there
  HASH_JOIN_DENSE_ROWS = 1,   ///< a row number per place: no key comes twice
  HASH_JOIN_DENSE_LISTS = 2,  ///< a list of rows per place
  HASH_JOIN_HASH_KEYS = 3,    ///< open addressing: keys alone
  HASH_JOIN_HASH_ROWS = 4,    ///< open addressing: key and row; no key comes twice
  HASH_JOIN_HASH_LISTS = 5,   ///< open addressing: key and list of rows
};

/// A key column and, for keys that fit one word, its place there.
typedef struct HashJoinKey {
  ColumnView column;    ///< the values
  uint64_t flip;        ///< bits to turn around, so that the order of words is that of values
  uint64_t base;        ///< taken from them: the least of the build side, where columns are packed by their ranges
  uint64_t span;        ///< a greater difference is no build row's
  uint32_t shift;       ///< first bit of the value in the word
  uint32_t null_shift;  ///< bit that says null; 64: none
} HashJoinKey;
ABI_ASSERT(sizeof(HashJoinKey) == 80, "HashJoinKey crosses the ABI");

/// The key columns of one side.
typedef struct HashJoinKeys {
  HashJoinKey keys[HASH_JOIN_KEYS_MAX];  ///< key columns
  uint32_t key_count;         ///< key columns in use
  uint32_t null_equals_null;  ///< 1: nulls are equal; 0: a row with a null key matches nothing
  uint32_t plain_bytes;       ///< 4 or 8: the one key is an array of integers of so many bytes without nulls, its base 0; 0: else
  uint32_t reserved;          ///< zero
} HashJoinKeys;
ABI_ASSERT(sizeof(HashJoinKeys) == 1296, "HashJoinKeys crosses the ABI");

/// A table in device memory. A slot of open addressing is a mark and, if there are rows, a value.
/// Mark: the key's word; of wide keys the low half of the hash over a row with that key. Value: the
/// row, or the start of the list below its length.
typedef struct HashJoinTable {
  uint64_t *slots;         ///< [(capacity + HASH_JOIN_SPECIAL_SLOTS) * slot_words], device; dense lists: values [capacity]; dense bits: words
  uint32_t *rows;          ///< device; dense rows: [capacity]; lists: [build rows with a key], list after list
  uint64_t capacity;       ///< slots, a multiple of those in 32 bytes; dense: places
  uint64_t constant_mask;  ///< dense: bits that all keys share
  uint64_t constant_bits;  ///< dense: what they are
  uint64_t base;           ///< dense: place of the smallest key, which becomes 0
  uint64_t run_masks[HASH_JOIN_RUNS_MAX];  ///< dense: bits of the word
  uint32_t run_shifts[HASH_JOIN_RUNS_MAX]; ///< dense: how far they move down
  uint32_t run_count;      ///< dense: runs in use
  uint32_t layout;         ///< one of `HASH_JOIN_DENSE_*` and `HASH_JOIN_HASH_*`
  uint32_t slot_words;     ///< 1: marks alone; 2: marks and values
  uint32_t hash_mask_bits; ///< hash bits in use, 64 but for tests of collisions
} HashJoinTable;
ABI_ASSERT(sizeof(HashJoinTable) == 112, "HashJoinTable crosses the ABI");

/// The build side's narrow keys by the highest bits of their hashes, which are those of their slots:
/// all keys of a part have their slots in one stretch of the table. A part has `room` places.
typedef struct HashJoinParts {
  uint64_t *words;     ///< [parts * room], device: packed keys; absent: the side is not split yet
  uint32_t *rows;      ///< [parts * room], device: the row that each key is of; absent: not wanted
  uint32_t *cursors;   ///< [parts], device: rows of each part, those included that found it full
  uint64_t room;       ///< places of a part
  uint32_t part_bits;  ///< parts: 2 to this power
  uint32_t reserved;   ///< zero
} HashJoinParts;
ABI_ASSERT(sizeof(HashJoinParts) == 40, "HashJoinParts crosses the ABI");

/// Rows of the build side that found their part full, or no slot in its stretch of the table. If they
/// are more than there is room for, the table is to be built another way.
typedef struct HashJoinRest {
  uint64_t *words;  ///< [room], device: packed keys; absent: the build side itself is meant
  uint32_t *rows;   ///< [room], device: the row that each key is of; absent: not wanted
  uint64_t *count;  ///< [1], device: rows, those included that there is no room for
  uint64_t room;    ///< places
} HashJoinRest;
ABI_ASSERT(sizeof(HashJoinRest) == 32, "HashJoinRest crosses the ABI");

/// Launch parameters of `hash_join_split`.
typedef struct HashJoinSplitParams {
  HashJoinKeys side;       ///< narrow keys, read if `from` has none
  HashJoinParts from;      ///< read
  HashJoinParts to;        ///< written: each part of `from` split further; the caller zeroes its cursors
  HashJoinRest rest;       ///< raised by rows that found their part full
  uint64_t row_count;      ///< rows of the side
  uint32_t tiles_per_part; ///< blocks for each part of `from`
  uint32_t hash_mask_bits; ///< as the table's
} HashJoinSplitParams;
ABI_ASSERT(sizeof(HashJoinSplitParams) == 1296 + 80 + 32 + 16, "HashJoinSplitParams crosses the ABI");

/// Launch parameters of `hash_join_build_parts`.
typedef struct HashJoinBuildPartsParams {
  HashJoinParts parts;        ///< read
  HashJoinTable table;        ///< written, but for the special slots; its sectors are a multiple of the parts
  HashJoinRest rest;          ///< raised by rows that found no slot
  uint64_t *duplicate_count;  ///< [1], device, raised by rows whose key was there
} HashJoinBuildPartsParams;
ABI_ASSERT(sizeof(HashJoinBuildPartsParams) == 40 + 112 + 32 + 8, "HashJoinBuildPartsParams crosses the ABI");

/// A Bloom filter of the build side's words, which probe rows are asked for before the table is. It is
/// left out where more than HASH_JOIN_FILTER_TENTHS of the sampled rows pass it.
typedef struct HashJoinFilter {
  uint64_t *blocks;      ///< [block_count * 4], device; absent: there is none
  uint64_t *sampled;     ///< [2], device: probe rows with a word that were sampled, those of them that passed
  uint64_t block_count;  ///< blocks, less than 2^32
} HashJoinFilter;
ABI_ASSERT(sizeof(HashJoinFilter) == 24, "HashJoinFilter crosses the ABI");

/// Launch parameters of `hash_join_filter_insert` and `hash_join_filter_sample`.
typedef struct HashJoinFilterParams {
  HashJoinKeys side;                 ///< narrow keys: of the build side to put in, of the probe side to sample
  HashJoinFilter filter;             ///< its blocks, or its samples, are raised
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
} HashJoinFilterParams;
ABI_ASSERT(sizeof(HashJoinFilterParams) == 1296 + 40, "HashJoinFilterParams crosses the ABI");

/// Launch parameters of `hash_join_range`.
typedef struct HashJoinRangeParams {
  HashJoinKeys build;   ///< narrow keys of the build side
  uint64_t *found;      ///< [HASH_JOIN_RANGE_WORDS], device, raised or lowered: least and greatest word, bits set in all, in any, rows with a word, rows with the null key
  uint64_t row_count;   ///< build rows
} HashJoinRangeParams;
ABI_ASSERT(sizeof(HashJoinRangeParams) == 1296 + 16, "HashJoinRangeParams crosses the ABI");

/// Launch parameters of `hash_join_insert`.
typedef struct HashJoinInsertParams {
  HashJoinKeys build;         ///< keys of the build side
  HashJoinTable table;        ///< written
  HashJoinRest rest;          ///< read in place of the build side, if it is there
  uint32_t *row_slots;        ///< [rows], device, written: slot of each row; absent: no lists will be made
  uint32_t *row_ranks;        ///< [rows], device, written: its rank among the rows of the slot; NO_ROW: it has no key
  uint64_t *duplicate_count;  ///< [1], device, raised by rows whose key was there; the caller zeroes it
  KernelStatus *status;       ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;         ///< build rows, or those that are left
} HashJoinInsertParams;
ABI_ASSERT(sizeof(HashJoinInsertParams) == 1296 + 112 + 32 + 40, "HashJoinInsertParams crosses the ABI");

/// Launch parameters of `hash_join_offsets`.
typedef struct HashJoinOffsetsParams {
  HashJoinTable table;    ///< lists: values become starts and lengths
  uint64_t *list_count;   ///< [1], device, raised by rows in lists; the caller zeroes it
  uint64_t slot_count;    ///< slots, the special ones included
} HashJoinOffsetsParams;
ABI_ASSERT(sizeof(HashJoinOffsetsParams) == 128, "HashJoinOffsetsParams crosses the ABI");

/// Launch parameters of `hash_join_fill`.
typedef struct HashJoinFillParams {
  HashJoinTable table;         ///< lists: rows written
  const uint32_t *row_slots;   ///< [rows], device, read: slot of each row
  const uint32_t *row_ranks;   ///< [rows], device, read: rank among the rows of the slot
  uint64_t row_count;          ///< build rows
} HashJoinFillParams;
ABI_ASSERT(sizeof(HashJoinFillParams) == 136, "HashJoinFillParams crosses the ABI");

/// Launch parameters of `hash_join_match`.
typedef struct HashJoinMatchParams {
  HashJoinKeys probe;                ///< keys of the probe side
  HashJoinKeys build;                ///< keys of the build side, read for wide keys only
  HashJoinTable table;               ///< read
  HashJoinFilter filter;             ///< read, if there is one
  uint8_t *out_found;                ///< [ceil(rows / 8)], device, written in 32-bit words: whether the key is there
  uint32_t *out_build_rows;          ///< [rows], device, written: the build row, 0 where there is none; absent: not wanted
  const uint64_t *row_count_device;  ///< [1], device, read: probe rows, if it is not null
  uint64_t row_count;                ///< probe rows, or their upper bound
  uint32_t invert;                   ///< 1: bits say that the key is not there
  uint32_t reserved;                 ///< zero
} HashJoinMatchParams;
ABI_ASSERT(sizeof(HashJoinMatchParams) == 2592 + 112 + 24 + 40, "HashJoinMatchParams crosses the ABI");

/// Launch parameters of `hash_join_pairs`.
typedef struct HashJoinPairsParams {
  HashJoinKeys probe;                ///< keys of the probe side
  HashJoinKeys build;                ///< keys of the build side, read for wide keys only
  HashJoinTable table;               ///< read; no key comes twice, if build rows are wanted
  HashJoinFilter filter;             ///< read, if there is one
  uint32_t *out_probe_rows;          ///< [rows], device, written: probe row of each pair
  uint32_t *out_build_rows;          ///< [rows], device, written: build row of each pair; absent: not wanted
  uint64_t *out_row_count;           ///< [1], device, raised by pairs; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: probe rows, if it is not null
  uint64_t row_count;                ///< probe rows, or their upper bound
  uint32_t invert;                   ///< 1: probe rows without a match are listed; build rows are not wanted
  uint32_t reserved;                 ///< zero
} HashJoinPairsParams;
ABI_ASSERT(sizeof(HashJoinPairsParams) == 2592 + 112 + 24 + 48, "HashJoinPairsParams crosses the ABI");

/// Launch parameters of `hash_join_count`.
typedef struct HashJoinCountParams {
  HashJoinKeys probe;                ///< keys of the probe side
  HashJoinKeys build;                ///< keys of the build side, read for wide keys only
  HashJoinTable table;               ///< read; lists
  HashJoinFilter filter;             ///< read, if there is one
  uint64_t *out_hits;                ///< [rows], device, written: start of the row's list below its length; 0: none
  uint64_t *out_tile_starts;         ///< [tiles + 1], device, written: first output row of each tile, and the end
  uint64_t *tile_states;             ///< [tiles], device, the caller zeroes it
  uint64_t *tile_ticket;             ///< [1], device, the caller zeroes it
  uint64_t *out_row_count;           ///< [1], device, written: output rows
  const uint64_t *row_count_device;  ///< [1], device, read: probe rows, if it is not null
  uint64_t row_count;                ///< probe rows, or their upper bound
  uint32_t outer;                    ///< 1: a row without a match gives one output row
  uint32_t reserved;                 ///< zero
} HashJoinCountParams;
ABI_ASSERT(sizeof(HashJoinCountParams) == 2592 + 112 + 24 + 64, "HashJoinCountParams crosses the ABI");

/// Launch parameters of `hash_join_emit`.
typedef struct HashJoinEmitParams {
  const uint64_t *hits;              ///< [rows], device, read: of `hash_join_count`
  const uint64_t *tile_starts;       ///< [tiles + 1], device, read: of `hash_join_count`
  const uint32_t *list_rows;         ///< device, read: the table's lists
  uint32_t *out_probe_rows;          ///< [output rows], device, written: probe row of each pair
  uint32_t *out_build_rows;          ///< [output rows], device, written: build row of each pair
  const uint64_t *row_count_device;  ///< [1], device, read: probe rows, if it is not null
  uint64_t row_count;                ///< probe rows, or their upper bound
  uint32_t outer;                    ///< 1: a row without a match gives one output row
  uint32_t no_row;                   ///< written for the build row of a row without a match
} HashJoinEmitParams;
ABI_ASSERT(sizeof(HashJoinEmitParams) == 64, "HashJoinEmitParams crosses the ABI");

/// Launch parameters of `hash_join_mark`.
typedef struct HashJoinMarkParams {
  ColumnView indices;                ///< UInt32: rows to mark; a null marks none
  ColumnView keep;                   ///< Boolean: marks only where it is true and valid; a scalar stands for all
  uint64_t *bits;                    ///< [ceil(marked rows / 64)], device, raised
  const uint64_t *row_count_device;  ///< [1], device, read: indices, if it is not null
  uint64_t row_count;                ///< indices, or their upper bound
} HashJoinMarkParams;
ABI_ASSERT(sizeof(HashJoinMarkParams) == 120, "HashJoinMarkParams crosses the ABI");

#endif
