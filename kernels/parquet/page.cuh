// What the page decoders share: the values section of a page, and elements that become values.
#pragma once
#include "abi/page.h"
#include "primitives/bytes.cuh"
#include "primitives/status.cuh"

/// The values section of a page: its bytes, and how many values must be in it.
struct PageValues {
  const uint8_t *data;
  uint64_t bytes;
  uint32_t count;
};

/// `values_at` of a page whose levels could not be read.
#define PAGE_VALUES_NOWHERE 0xffffffffu

KERNEL_FN PageValues page_values(const Page &page) {
  const PageState state = *page.state;
  const uint32_t at = state.values_at < page.data_bytes ? state.values_at : page.data_bytes;
  return PageValues{page.data + at, page.data_bytes - at, state.value_count};
}

/// Writes zeros for values `from` to `to` of a page that could not be decoded, so that whatever
/// reads them before the status is known finds numbers, codes and (empty) strings. Scope block, all
/// threads · JIT yes
KERNEL_FN void page_zero(const Page &page, uint32_t from, uint32_t to) {
  uint8_t *values = (uint8_t *)page.values + page.row_start * page.value_bytes;
  const uint64_t end = (uint64_t)to * page.value_bytes;
  for (uint64_t at = (uint64_t)from * page.value_bytes + threadIdx.x; at < end; at += blockDim.x) {
    values[at] = 0;
  }
}

/// An integer of up to 16 big-endian bytes in two's complement.
KERNEL_FN int128_t page_big_endian(const uint8_t *bytes, uint32_t length) {
  int128_t value = length && (bytes[0] & 128) ? -1 : 0;
  for (uint32_t i = 0; i < length; i++) value = (int128_t)((uint128_t)value << 8 | bytes[i]);
  return value;
}

/// Microseconds since 1970 of an INT96 element; beyond 64 bits they wrap, as the CPU's do.
KERNEL_FN uint64_t page_int96(const uint8_t *bytes, uint64_t length) {
  const int64_t nanoseconds = (int64_t)bytes_u64(bytes, length, 0);
  const int64_t day = (int32_t)bytes_u32(bytes, length, 8);
  const int64_t days = day - 2440588;  // the Julian day of 1970-01-01
  return (uint64_t)days * 86400000000ull + (uint64_t)(nanoseconds / 1000);
}

/// Writes value `index` of a page from the low bits of an element. For conversions that need no
/// more than that: `PAGE_BITS_8` to `PAGE_WIDEN_64`.
KERNEL_FN void page_store_bits(const Page &page, uint64_t index, uint64_t bits) {
  const uint64_t row = page.row_start + index;
  switch (page.conversion) {
    case PAGE_BITS_8: ((uint8_t *)page.values)[row] = (uint8_t)bits; break;
    case PAGE_BITS_16: ((uint16_t *)page.values)[row] = (uint16_t)bits; break;
    case PAGE_BITS_32: ((uint32_t *)page.values)[row] = (uint32_t)bits; break;
    case PAGE_WIDEN_64: ((int64_t *)page.values)[row] = (int32_t)(uint32_t)bits; break;
    default: ((uint64_t *)page.values)[row] = bits; break;
  }
}

/// Writes value `index` of a page from the bytes of an element, by the page's conversion. False if
/// the element cannot be such a value.
KERNEL_FN bool page_store_bytes(const Page &page, uint64_t index, const uint8_t *bytes,
                                uint32_t length) {
  const uint64_t row = page.row_start + index;
  switch (page.conversion) {
    case PAGE_VIEW: ((TextView *)page.values)[row] = TextView{bytes, length, 0}; return true;
    case PAGE_DECIMAL_64: {
      if (length > 16) return false;
      const int128_t value = page_big_endian(bytes, length);
      ((int64_t *)page.values)[row] = (int64_t)value;
      return value == (int128_t)(int64_t)value;
    }
    case PAGE_DECIMAL_128:
      if (length > 16) return false;
      ((int128_t *)page.values)[row] = page_big_endian(bytes, length);
      return true;
    case PAGE_INT96: ((uint64_t *)page.values)[row] = page_int96(bytes, length); return true;
    default: page_store_bits(page, index, bytes_u64(bytes, length, 0)); return true;
  }
}
