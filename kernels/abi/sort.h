// Launch structs of sort: keys as packed words, and passes of a radix sort over them.
#ifndef PELTON_ABI_SORT_H
#define PELTON_ABI_SORT_H

#include "abi/column.h"

enum {
  SORT_THREADS = 512,        ///< threads per block of every kernel but the passes
  SORT_PASS_THREADS = 384,   ///< threads per block of the passes
  SORT_DIGIT_BITS = 8,       ///< bits that one pass sorts by
  SORT_DIGITS = 256,         ///< values of a digit
  SORT_KEYS_MAX = 16,        ///< key columns
  SORT_ITEMS_U32 = 24,       ///< rows per thread and tile: 32-bit words alone
  SORT_ITEMS_U32_ROWS = 20,  ///< with row numbers
  SORT_ITEMS_U64 = 20,       ///< 64-bit words alone
  SORT_ITEMS_U64_ROWS = 16,  ///< with row numbers
  SORT_PORTION_ROWS_MAX = 1 << 30, ///< rows of one launch of a pass: counts have 30 bits
  SORT_CODES = 0xff,         ///< no physical type: words that are codes
  SORT_STATES_START = 64,    ///< 32-bit words before the states of tiles: the ticket, alone in its sectors
};

enum {
  SORT_DESCENDING = 1,   ///< greater values first
  SORT_NULL_BIT = 2,     ///< a bit above the value says whether the row is null
  SORT_NULLS_FIRST = 4,  ///< that bit is 0 for a null; else 1
};

/// What a block saw of a key column, in codes that keep the order of values.
typedef struct SortSpan {
  uint64_t least_low, least_high;        ///< smallest code
  uint64_t greatest_low, greatest_high;  ///< greatest code
  uint64_t any_low, any_high;            ///< bits that some code has
  uint64_t all_low, all_high;            ///< bits that every code has
  uint64_t valid_count;                  ///< rows that are not null
  uint64_t odd_count;                    ///< floats whose bits are not those of their code: -0.0, odd NaNs
} SortSpan;
ABI_ASSERT(sizeof(SortSpan) == 80, "SortSpan crosses the ABI");

/// Launch parameters of `sort_range`.
typedef struct SortRangeParams {
  ColumnView keys[SORT_KEYS_MAX];  ///< [row_count] each, read
  SortSpan *out_ranges;           ///< [grid * key_count], device, written: a block's, key by key
  uint32_t *histogram;             ///< [bytes of a value * SORT_DIGITS], device, raised; absent: not counted
  uint64_t flip;                   ///< bits to invert in the words that are counted
  uint64_t row_count;              ///< rows
  uint32_t key_count;              ///< keys in use; 1 with a histogram
  uint32_t reserved;               ///< zero
} SortRangeParams;
ABI_ASSERT(sizeof(SortRangeParams) == 16 * 48 + 40, "SortRangeParams crosses the ABI");

/// A key column and its place in a packed word.
typedef struct SortField {
  ColumnView column;    ///< the values; of `sort_unpack`, their type alone
  uint64_t base_low;    ///< smallest code, of a descending key the greatest: low bits
  uint64_t base_high;   ///< its high bits
  uint32_t shift;       ///< low bits that the distances of all codes from the base lack
  uint32_t value_bits;  ///< bits of the distance, without those
  int32_t place;        ///< its first bit in the word; negative: that many bits lie in words below
  uint32_t flags;       ///< of `SORT_*`
} SortField;
ABI_ASSERT(sizeof(SortField) == 80, "SortField crosses the ABI");

/// Launch parameters of `sort_pack`.
typedef struct SortPackParams {
  SortField fields[SORT_KEYS_MAX];  ///< keys that have bits in this word
  const uint32_t *rows;             ///< [row_count], device, read: rows of the columns; absent: all in order
  void *out_words;                  ///< [row_count], device, written: words of `word_bytes`
  uint32_t *histogram;              ///< [digit_count * SORT_DIGITS], device, raised
  uint64_t row_count;               ///< rows
  uint32_t field_count;             ///< fields in use
  uint32_t word_bytes;              ///< 4 or 8
  uint32_t digit_count;             ///< digits to count, from the lowest
  uint32_t reserved;                ///< zero
} SortPackParams;
ABI_ASSERT(sizeof(SortPackParams) == 16 * 80 + 48, "SortPackParams crosses the ABI");

/// Launch parameters of `sort_unpack`.
typedef struct SortUnpackParams {
  SortField fields[SORT_KEYS_MAX];   ///< keys that are wanted
  ColumnOut outputs[SORT_KEYS_MAX];  ///< [row_count] each
  const void *words;                 ///< [row_count], device, read: words of `word_bytes`
  uint64_t row_count;                ///< rows
  uint32_t field_count;              ///< fields in use
  uint32_t word_bytes;               ///< 4 or 8
} SortUnpackParams;
ABI_ASSERT(sizeof(SortUnpackParams) == 16 * 80 + 16 * 24 + 24, "SortUnpackParams crosses the ABI");

/// Launch parameters of `sort_starts`.
typedef struct SortStartsParams {
  const uint32_t *histogram;  ///< [grid * SORT_DIGITS], device, read: rows of each value of each digit
  uint32_t *out_starts;       ///< [grid * start_stride], device, written: where each value's rows begin
  uint64_t start_stride;      ///< words from one digit's starts to the next one's
} SortStartsParams;
ABI_ASSERT(sizeof(SortStartsParams) == 24, "SortStartsParams crosses the ABI");

/// Launch parameters of the `sort_pass` kernels.
typedef struct SortPassParams {
  const void *words;       ///< [first_row + row_count], device, read
  const uint32_t *rows;    ///< likewise; absent: a row's number is its place
  void *out_words;         ///< [rows of all portions], device, written
  uint32_t *out_rows;      ///< likewise
  const uint32_t *starts;  ///< [SORT_DIGITS], device, read: where this portion's rows of each value go
  uint32_t *out_starts;    ///< [SORT_DIGITS], device, written: likewise of the next portion; absent: none
  uint32_t *states;        ///< [SORT_STATES_START + tiles * SORT_DIGITS], device; the caller zeroes it
  uint64_t flip_in;        ///< bits to invert in words that were read as values, once they are codes
  uint64_t flip_out;       ///< bits to invert in words that are written as values, before they are
  uint64_t first_row;      ///< first row of the portion
  uint64_t row_count;      ///< rows of the portion, at most `SORT_PORTION_ROWS_MAX`
  uint32_t tile_rows;      ///< rows of a tile, at most `SORT_PASS_THREADS` times the entry's items
  uint32_t shift;          ///< first bit of the digit
  uint32_t type_in;        ///< the words read are values of this type; SORT_CODES: codes already
  uint32_t type_out;       ///< the words written are values of this type; SORT_CODES: codes still
} SortPassParams;
ABI_ASSERT(sizeof(SortPassParams) == 104, "SortPassParams crosses the ABI");

#endif
