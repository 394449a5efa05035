// Launch structs of strings: functions over strings that lie as views, and tables for those that are
// codes.
#ifndef PELTON_ABI_STRINGS_H
#define PELTON_ABI_STRINGS_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  STRINGS_THREADS = 256,       ///< threads per block, a row each
  STRINGS_LOOKUP_ROWS = 1024,  ///< rows that a block of `strings_lookup` handles
  STRINGS_OPERANDS_MAX = 64,   ///< operands of one `strings_concat`: launch structs have 4 KiB
};

enum {
  STRINGS_LENGTH = 0,       ///< characters
  STRINGS_BYTE_LENGTH = 1,  ///< bytes
  STRINGS_FIND = 2,         ///< position of the first occurrence, counted from 1; 0: none
};

enum {
  STRINGS_SKIP_TAKE = 0,  ///< skip `first` characters, take `second`
  STRINGS_DROP_LAST = 1,  ///< all but the last `first` characters
  STRINGS_KEEP_LAST = 2,  ///< the last `first` characters
  STRINGS_TRIM = 3,       ///< without characters of the ASCII set `first`, `second` at the ends
};

enum {
  STRINGS_ANCHOR_START = 1,  ///< flag: the first piece is at the start
  STRINGS_ANCHOR_END = 2,    ///< flag: the last piece is at the end
  STRINGS_TRIM_START = 4,    ///< flag: trim at the start
  STRINGS_TRIM_END = 8,      ///< flag: trim at the end
  STRINGS_UPPER = 16,        ///< flag: to upper case, else to lower
  STRINGS_SKIP_NULLS = 32,   ///< flag: operands that are null are left out
};

enum {
  STRINGS_WILD = 0xff,    ///< byte of a piece that stands for any one character: never part of UTF-8
  STRINGS_DFA_DEAD = 0,   ///< state from which nothing matches
  STRINGS_DFA_MATCH = 1,  ///< state in which everything matches
};

enum {
  STRINGS_FORMAT_NUMBER = 0,     ///< integers and decimals
  STRINGS_FORMAT_DATE = 1,       ///< days since 1970
  STRINGS_FORMAT_TIMESTAMP = 2,  ///< counts since 1970
  STRINGS_FORMAT_TRUTH = 3,      ///< Booleans
};

enum {
  STRINGS_FORMAT_BYTES_MAX = 48,  ///< bytes of the longest text: 39 digits, sign and point, in whole words
};

/// A part of a LIKE pattern between two `%`.
typedef struct StringsPiece {
  uint32_t at;          ///< where its bytes begin among those of all pieces
  uint32_t bytes;       ///< how many
  uint32_t characters;  ///< how many characters it matches
  uint32_t wild;        ///< 1: it has a `STRINGS_WILD`
} StringsPiece;
ABI_ASSERT(sizeof(StringsPiece) == 16, "StringsPiece crosses the ABI");

/// Launch parameters of `strings_lookup`.
typedef struct StringsLookupParams {
  ColumnView codes;                  ///< [rows], UInt32
  ColumnOut output;                  ///< [rows], Boolean, of 32 bits, or views
  const void *table;                 ///< [entries], device, read: of the output's type
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t entries;                  ///< entries of the table
} StringsLookupParams;
ABI_ASSERT(sizeof(StringsLookupParams) == 104, "StringsLookupParams crosses the ABI");

/// Launch parameters of `strings_compare`.
typedef struct StringsCompareParams {
  ColumnView left;                   ///< [rows] views
  ColumnView right;                  ///< [rows] views
  ColumnOut output;                  ///< [rows], Boolean
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t op;                       ///< one of `PROJECT_EQUAL` … `PROJECT_GREATER_OR_EQUAL`
  uint32_t reserved;                 ///< zero
} StringsCompareParams;
ABI_ASSERT(sizeof(StringsCompareParams) == 144, "StringsCompareParams crosses the ABI");

/// Launch parameters of `strings_like`.
typedef struct StringsLikeParams {
  ColumnView input;                  ///< [rows] views
  ColumnOut output;                  ///< [rows], Boolean
  const StringsPiece *pieces;        ///< [piece_count], device, read: in the order of the pattern
  const uint8_t *bytes;              ///< [of all pieces], device, read
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t piece_count;              ///< pieces; one at least for each anchor
  uint32_t flags;                    ///< `STRINGS_ANCHOR_*`
} StringsLikeParams;
ABI_ASSERT(sizeof(StringsLikeParams) == 112, "StringsLikeParams crosses the ABI");

/// Launch parameters of `strings_dfa`.
typedef struct StringsDfaParams {
  ColumnView input;                  ///< [rows] views
  ColumnOut output;                  ///< [rows], Boolean
  const uint16_t *table;             ///< [states * class_count], device, read: the next state; the last class is the end
  const uint8_t *classes;            ///< [256], device, read: the class of each byte
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t class_count;              ///< classes of bytes, and one for the end
  uint32_t start;                    ///< first state
} StringsDfaParams;
ABI_ASSERT(sizeof(StringsDfaParams) == 112, "StringsDfaParams crosses the ABI");

/// Launch parameters of `strings_measure`.
typedef struct StringsMeasureParams {
  ColumnView input;                  ///< [rows] views
  ColumnOut output;                  ///< [rows], Int32
  const uint8_t *part;               ///< [part_bytes], device, read: what `STRINGS_FIND` looks for
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t op;                       ///< `STRINGS_LENGTH`, `STRINGS_BYTE_LENGTH` or `STRINGS_FIND`
  uint32_t part_bytes;               ///< bytes
} StringsMeasureParams;
ABI_ASSERT(sizeof(StringsMeasureParams) == 104, "StringsMeasureParams crosses the ABI");

/// Launch parameters of `strings_slice`.
typedef struct StringsSliceParams {
  ColumnView input;                  ///< [rows] views
  ColumnOut output;                  ///< [rows] views of the same bytes
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t first;                    ///< characters, or the low half of the set
  uint64_t second;                   ///< characters, or the high half of the set
  uint32_t op;                       ///< `STRINGS_SKIP_TAKE` … `STRINGS_TRIM`
  uint32_t flags;                    ///< `STRINGS_TRIM_*`
} StringsSliceParams;
ABI_ASSERT(sizeof(StringsSliceParams) == 112, "StringsSliceParams crosses the ABI");

/// Launch parameters of `strings_case`.
typedef struct StringsCaseParams {
  ColumnView input;         ///< [rows] views
  ColumnOut output;         ///< [rows] views
  const uint64_t *offsets;  ///< [rows + 1], device, read: of `text_offsets`
  uint8_t *out_bytes;       ///< [offsets[rows]], device, written
  uint32_t *out_other;      ///< [1], device, set to 1 if a byte is not ASCII; the caller zeroes it
  uint64_t row_count;       ///< rows
  uint32_t flags;           ///< `STRINGS_UPPER`
  uint32_t reserved;        ///< zero
} StringsCaseParams;
ABI_ASSERT(sizeof(StringsCaseParams) == 112, "StringsCaseParams crosses the ABI");

/// Launch parameters of `strings_concat_sizes` and `strings_concat`.
typedef struct StringsConcatParams {
  ColumnView operands[STRINGS_OPERANDS_MAX];  ///< [rows] views each; `operand_count` of them
  ColumnOut output;                           ///< [rows] views: lengths first, then addresses, too
  const uint8_t *separator;                   ///< [separator_bytes], device, read
  const uint64_t *offsets;                    ///< [rows + 1], device, read: of `text_offsets`
  uint8_t *out_bytes;                         ///< [offsets[rows]], device, written
  KernelStatus *status;                       ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;                         ///< rows
  uint32_t separator_bytes;                   ///< bytes between two operands
  uint32_t operand_count;                     ///< operands
  uint32_t flags;                             ///< `STRINGS_SKIP_NULLS`
  uint32_t reserved;                          ///< zero
} StringsConcatParams;
ABI_ASSERT(sizeof(StringsConcatParams) == 3152, "StringsConcatParams crosses the ABI");

/// Launch parameters of `strings_replace_sizes` and `strings_replace`.
typedef struct StringsReplaceParams {
  ColumnView input;         ///< [rows] views
  ColumnOut output;         ///< [rows] views: lengths first, then addresses, too
  const uint8_t *from;      ///< [from_bytes], device, read: what is replaced; not empty
  const uint8_t *to;        ///< [to_bytes], device, read: by what
  const uint64_t *offsets;  ///< [rows + 1], device, read: of `text_offsets`
  uint8_t *out_bytes;       ///< [offsets[rows]], device, written
  KernelStatus *status;     ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;       ///< rows
  uint32_t from_bytes;      ///< bytes
  uint32_t to_bytes;        ///< bytes
} StringsReplaceParams;
ABI_ASSERT(sizeof(StringsReplaceParams) == 128, "StringsReplaceParams crosses the ABI");

/// Launch parameters of `strings_place`.
typedef struct StringsPlaceParams {
  ColumnView input;                  ///< [rows] views
  ColumnView bounds;                 ///< [bound_count] views, ascending, each once, none null
  ColumnOut output;                  ///< [rows], Int32
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t bound_count;              ///< bounds
} StringsPlaceParams;
ABI_ASSERT(sizeof(StringsPlaceParams) == 144, "StringsPlaceParams crosses the ABI");

/// Launch parameters of `strings_format`.
typedef struct StringsFormatParams {
  ColumnView input;                  ///< [rows], of a type that `form` reads
  ColumnOut output;                  ///< [rows] views
  uint8_t *out_bytes;                ///< [rows * room], device, written
  uint32_t *out_misfits;             ///< [1], device, set to 1 if a value has no text; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t form;                     ///< one of `STRINGS_FORMAT_*`
  uint32_t scale;                    ///< digits behind the point of a decimal
  uint32_t unit;                     ///< of a timestamp: one of `TEMPORAL_*`
  uint32_t room;                     ///< bytes per row, a multiple of 8, at most `STRINGS_FORMAT_BYTES_MAX`
} StringsFormatParams;
ABI_ASSERT(sizeof(StringsFormatParams) == 120, "StringsFormatParams crosses the ABI");

#endif
