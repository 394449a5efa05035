// Launch structs of Parquet page decoding: decompression, levels, values.
#ifndef PELTON_ABI_PAGE_H
#define PELTON_ABI_PAGE_H

#include "abi/prelude.h"
#include "abi/status.h"

enum {
  PAGE_THREADS = 256,         ///< threads per block of the decoders that give a page to a block
  PAGE_WARP_THREADS = 32,     ///< threads per block of the decoders that give a page to a warp
  PAGE_CODEC_THREADS = 128,   ///< threads per block of the decompressors, a page per warp of a block
  PAGE_SPLIT_THREADS = 256,   ///< threads per block of `page_split_snappy`, a page per block
  PAGE_PART_BYTES = 65536,    ///< bytes of a part of a page; Snappy's compressors begin anew there
  PAGE_BYTES_MAX = 0x7fffffff,  ///< bytes of a page, compressed or not: Parquet counts them in an i32
  PAGE_SLACK_BYTES = 64,      ///< bytes after a page that kernels may read and never use
  PAGE_PREFIXED = 0x7fffffff, ///< a level section whose length stands in front of it, in 4 bytes
};

/// How an element of a page becomes a value of the column.
enum {
  PAGE_BITS_1 = 0,       ///< BOOLEAN to a bitmap
  PAGE_BITS_8 = 1,       ///< low 8 bits of an element
  PAGE_BITS_16 = 2,      ///< low 16 bits of an element
  PAGE_BITS_32 = 3,      ///< low 32 bits of an element
  PAGE_BITS_64 = 4,      ///< 64 bits of an element
  PAGE_WIDEN_64 = 5,     ///< 32 bits, sign-extended to 64
  PAGE_DECIMAL_64 = 6,   ///< big-endian two's complement of any length, to 64 bits
  PAGE_DECIMAL_128 = 7,  ///< big-endian two's complement of any length, to 128 bits
  PAGE_INT96 = 8,        ///< INT96 (nanoseconds of the day, Julian day) to microseconds since 1970
  PAGE_VIEW = 9,         ///< bytes that stay where they are, as a `TextView`
};

/// A string where it lies. Its bytes live as long as the buffer that they are in.
typedef struct TextView {
  const uint8_t *bytes;  ///< [length], device, read
  uint32_t length;       ///< bytes
  uint32_t reserved;     ///< zero
} TextView;
ABI_ASSERT(sizeof(TextView) == 16, "TextView crosses the ABI");

/// What `page_levels` finds out about a page and the decoders read. The host fills it for pages
/// that have no levels.
typedef struct PageState {
  uint32_t values_at;    ///< where the values begin in the page's data
  uint32_t value_count;  ///< values that are not null
  uint64_t text_bytes;   ///< bytes of the strings of a page whose strings must be put together
} PageState;
ABI_ASSERT(sizeof(PageState) == 16, "PageState crosses the ABI");

/// One page. Values are written densely, nulls left out, from element `row_start` of the column on;
/// `page_spread` then moves them to their rows.
typedef struct Page {
  const uint8_t *data;             ///< [data_bytes], device, read: levels, then values, not compressed
  const void *dictionary;          ///< [dictionary_count], device, read: values of the column's type
  void *values;                    ///< [column rows], device, written: values of the column's type
  uint8_t *validity;               ///< [ceil(column rows / 8)], device, zeroed, written; null: none is kept
  uint8_t *definition_levels;      ///< [column rows], device, written; null: not kept
  uint8_t *repetition_levels;      ///< [column rows], device, written; null: not kept
  uint8_t *text;                   ///< [text_bytes of the state], device, written: strings put together
  PageState *state;                ///< [1], device, read or written
  uint64_t row_start;              ///< first element of the page in the column's arrays
  uint32_t data_bytes;             ///< bytes of levels and values
  uint32_t level_count;            ///< level entries: values and nulls
  uint32_t dictionary_count;       ///< entries of the dictionary
  uint32_t encoding;               ///< of the values: the number that Parquet gives it
  uint32_t conversion;             ///< one of `PAGE_BITS_1` to `PAGE_VIEW`
  uint32_t element_bytes;          ///< of a PLAIN element; 0: a BYTE_ARRAY, 4 bytes of length before each
  uint32_t value_bytes;            ///< of a value of the column; 0: a bitmap
  uint32_t repetition_bytes;       ///< length of the section, or `PAGE_PREFIXED`
  uint32_t definition_bytes;       ///< length of the section, or `PAGE_PREFIXED`
  uint32_t repetition_bits;        ///< bits of a repetition level; 0: the section is absent
  uint32_t definition_bits;        ///< bits of a definition level; 0: the section is absent
  uint32_t definition_level_max;   ///< level of a value that is not null
  uint32_t levels_packed;          ///< 1: the levels are BIT_PACKED, without lengths; 0: RLE
  uint32_t value_count_max;        ///< values that are not null are no more
} Page;
ABI_ASSERT(sizeof(Page) == 72 + 56, "Page crosses the ABI");

/// Launch parameters of every kernel that reads decompressed pages.
typedef struct PageDecodeParams {
  const Page *pages;     ///< all pages of the batch, device, read
  const uint32_t *order; ///< [page_count], device, read: the pages of this launch
  KernelStatus *status;  ///< [1], device, first error wins; the caller zeroes it
  uint64_t page_count;   ///< pages of this launch
} PageDecodeParams;
ABI_ASSERT(sizeof(PageDecodeParams) == 32, "PageDecodeParams crosses the ABI");

/// One compressed page, or the compressed part of one.
typedef struct PageCompressed {
  const uint8_t *source;  ///< [source_bytes], device, read; `PAGE_SLACK_BYTES` may be read beyond
  uint8_t *target;        ///< [target_bytes], device, written
  uint32_t source_bytes;  ///< compressed bytes, at most `PAGE_BYTES_MAX`
  uint32_t target_bytes;  ///< bytes that it must decompress to, exactly; at most `PAGE_BYTES_MAX`
  uint32_t page;          ///< index of the page, for the status
  uint32_t is_part;       ///< 1: elements of a Snappy page that refer to nothing before `target`
} PageCompressed;
ABI_ASSERT(sizeof(PageCompressed) == 32, "PageCompressed crosses the ABI");

/// A compressed page that may be decompressed in parts, which lie one behind the other in a table.
typedef struct PageSplit {
  uint32_t first_part;  ///< index of its first part in the table
  uint32_t part_count;  ///< parts of `PAGE_PART_BYTES`, the last one of what is left
} PageSplit;
ABI_ASSERT(sizeof(PageSplit) == 8, "PageSplit crosses the ABI");

/// Launch parameters of `page_split_snappy`. Of the parts of a page, `target` and `target_bytes` are
/// known; `source` and `source_bytes` are the page's before the launch and their own after it.
typedef struct PageSplitParams {
  const PageSplit *splits;  ///< [split_count], device, read
  PageCompressed *parts;    ///< device, read and written: the parts that `splits` name
  uint64_t split_count;     ///< pages
} PageSplitParams;
ABI_ASSERT(sizeof(PageSplitParams) == 24, "PageSplitParams crosses the ABI");

/// Launch parameters of the decompressors.
typedef struct PageDecompressParams {
  const PageCompressed *pages;  ///< [page_count], device, read
  KernelStatus *status;         ///< [1], device, first error wins; the caller zeroes it
  uint64_t page_count;          ///< pages of this launch
} PageDecompressParams;
ABI_ASSERT(sizeof(PageDecompressParams) == 24, "PageDecompressParams crosses the ABI");

/// Launch parameters of `page_find_rows`. Piece i begins with row `piece_rows[i]`, which is element
/// `piece_indices[i]` of the column; the rows that follow are the elements that follow.
typedef struct PageFindRowsParams {
  const uint32_t *rows;           ///< [row_count], device, read: growing; null: row i is i
  const uint32_t *piece_rows;     ///< [piece_count], device, read: growing
  const uint32_t *piece_indices;  ///< [piece_count], device, read
  uint32_t *indices;              ///< [row_count], device, written: elements of the column
  uint64_t row_count;             ///< rows to find
  uint64_t piece_count;           ///< pieces, at least one
} PageFindRowsParams;
ABI_ASSERT(sizeof(PageFindRowsParams) == 48, "PageFindRowsParams crosses the ABI");

/// Launch parameters of `page_count_rows`.
typedef struct PageCountRowsParams {
  const uint32_t *rows;              ///< [row_count], device, read: growing
  const uint32_t *bounds;            ///< [bound_count], device, read: rows
  uint32_t *counts;                  ///< [bound_count + 1], device, written: rows below each bound, and all
  const uint64_t *row_count_device;  ///< [1], device, read: rows; null: `row_count`
  uint64_t row_count;                ///< rows, or an upper bound
  uint64_t bound_count;              ///< bounds
} PageCountRowsParams;
ABI_ASSERT(sizeof(PageCountRowsParams) == 48, "PageCountRowsParams crosses the ABI");

#endif
