// Columns as kernels see them.
#ifndef PELTON_ABI_COLUMN_H
#define PELTON_ABI_COLUMN_H

#include "abi/prelude.h"

enum {
  PHYSICAL_BOOLEAN = 0,   ///< bitmap, least significant bit first
  PHYSICAL_INT8 = 1,      ///< signed 8-bit integer
  PHYSICAL_INT16 = 2,     ///< signed 16-bit integer
  PHYSICAL_INT32 = 3,     ///< signed 32-bit integer
  PHYSICAL_INT64 = 4,     ///< signed 64-bit integer
  PHYSICAL_UINT8 = 5,     ///< unsigned 8-bit integer
  PHYSICAL_UINT16 = 6,    ///< unsigned 16-bit integer
  PHYSICAL_UINT32 = 7,    ///< unsigned 32-bit integer
  PHYSICAL_UINT64 = 8,    ///< unsigned 64-bit integer
  PHYSICAL_FLOAT16 = 9,   ///< IEEE 754 binary16
  PHYSICAL_FLOAT32 = 10,  ///< IEEE 754 binary32
  PHYSICAL_FLOAT64 = 11,  ///< IEEE 754 binary64
  PHYSICAL_INT128 = 12,   ///< signed 128-bit integer
  PHYSICAL_VIEW = 13,     ///< bytes that lie elsewhere: a `TextView`
};

enum {
  COLUMN_ARRAY = 0,        ///< one value per row
  COLUMN_SCALAR = 1,       ///< the value in `scalar_low`, `scalar_high` for every row
  COLUMN_SCALAR_NULL = 2,  ///< null in every row
};

enum {
  COLUMN_BYTES_MULTIPLE = 64,  ///< bytes of every output buffer are rounded up to this
};

/// A column to read: an array with an offset, or a scalar that stands for every row.
typedef struct ColumnView {
  const void *values;       ///< [offset + rows], device, read; row i is element (bit) offset + i
  const uint8_t *validity;  ///< [ceil((offset + rows) / 8)], device, read, LSB first; absent: all valid
  uint64_t offset;          ///< rows to skip in `values` and `validity`
  uint64_t scalar_low;      ///< low bits of a scalar's value
  uint64_t scalar_high;     ///< high bits of a 128-bit scalar's value
  uint32_t type;            ///< one of `PHYSICAL_*`
  uint32_t kind;            ///< one of `COLUMN_*`
} ColumnView;
ABI_ASSERT(sizeof(ColumnView) == 48, "ColumnView crosses the ABI");

/// A column to write, without offset. Bitmaps are written in 32-bit words.
typedef struct ColumnOut {
  void *values;       ///< [rows], device, written
  uint8_t *validity;  ///< [ceil(rows / 8)], device, written; absent: the caller knows that no row is null
  uint32_t type;      ///< one of `PHYSICAL_*`
  uint32_t reserved;  ///< zero
} ColumnOut;
ABI_ASSERT(sizeof(ColumnOut) == 24, "ColumnOut crosses the ABI");

#endif
