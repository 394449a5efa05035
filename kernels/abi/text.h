// Launch structs of text: strings that lie elsewhere, brought together.
#ifndef PELTON_ABI_TEXT_H
#define PELTON_ABI_TEXT_H

#include "abi/column.h"

enum {
  TEXT_THREADS = 256,     ///< threads per block
  TEXT_TILE_ROWS = 1024,  ///< rows that a block of `text_offsets` handles
};

/// Launch parameters of `text_offsets`.
typedef struct TextOffsetsParams {
  ColumnView column;                 ///< [rows] views; nulls count as empty
  uint64_t *out_offsets;             ///< [rows + 1], device, written: where each string begins, and the end
  uint64_t *tile_states;             ///< [ceil(rows / TEXT_TILE_ROWS)], device; the caller zeroes them
  uint64_t *tile_ticket;             ///< [1], device; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
} TextOffsetsParams;
ABI_ASSERT(sizeof(TextOffsetsParams) == 88, "TextOffsetsParams crosses the ABI");

/// Launch parameters of `text_copy`.
typedef struct TextCopyParams {
  ColumnView column;        ///< [rows] views; nulls are skipped
  const uint64_t *offsets;  ///< [rows + 1], device, read: of `text_offsets`
  uint8_t *out_bytes;       ///< [offsets[rows]], device, written
  uint64_t row_count;       ///< rows
} TextCopyParams;
ABI_ASSERT(sizeof(TextCopyParams) == 72, "TextCopyParams crosses the ABI");

#endif
