// Operator  Parquet page decoding: BYTE_STREAM_SPLIT
// Kernels   page_decode_byte_stream_split
// Method    a block per page. Elements of 4 and 8 bytes: a thread reads 4 bytes of every stream and
//           transposes them to 4 values in registers. Others: a thread gathers a value byte by byte
// Cost      reads and writes the values once
// Source    the Parquet format's Encodings.md, "Byte Stream Split"; written from the specification
#include "parquet/page.cuh"

/// The streams of a page: byte j of value i is at `data[j * stride + i]`.
struct SplitStreams {
  const uint8_t *data;
  uint64_t bytes;
  uint64_t stride;
  uint32_t length;  ///< streams: bytes of an element
};

struct alignas(16) SplitWords4 {
  uint32_t words[4];
};

/// Four bytes of each of four streams, from `first_stream` on: word v of the result is made of the
/// bytes of value i + v.
KERNEL_FN SplitWords4 split_transpose(const SplitStreams &streams, uint32_t first_stream,
                                      uint64_t i) {
  const uint64_t at = first_stream * streams.stride + i;
  const uint32_t a = bytes_u32(streams.data, streams.bytes, at);
  const uint32_t b = bytes_u32(streams.data, streams.bytes, at + streams.stride);
  const uint32_t c = bytes_u32(streams.data, streams.bytes, at + 2 * streams.stride);
  const uint32_t d = bytes_u32(streams.data, streams.bytes, at + 3 * streams.stride);
  const uint32_t ab_low = __byte_perm(a, b, 0x5140), ab_high = __byte_perm(a, b, 0x7362);
  const uint32_t cd_low = __byte_perm(c, d, 0x5140), cd_high = __byte_perm(c, d, 0x7362);
  return SplitWords4{{__byte_perm(ab_low, cd_low, 0x5410), __byte_perm(ab_low, cd_low, 0x7632),
                      __byte_perm(ab_high, cd_high, 0x5410),
                      __byte_perm(ab_high, cd_high, 0x7632)}};
}

/// The first 8 bytes of value `i`, or all of them.
KERNEL_FN uint64_t split_bits(const SplitStreams &streams, uint64_t i) {
  uint64_t bits = 0;
  for (uint32_t j = 0; j < streams.length && j < 8; j++) {
    bits |= (uint64_t)streams.data[j * streams.stride + i] << (8 * j);
  }
  return bits;
}

/// Writes values of 4 or 8 bytes that stay as they are: 4 values per thread, in stores of 16 bytes
/// that begin where the column's alignment allows it.
template <typename T>
KERNEL_FN void split_words(T *out, const SplitStreams &streams, uint32_t count) {
  const uint32_t per_store = 16 / sizeof(T);
  const uint32_t head = (uint32_t)((uint64_t)out / sizeof(T)) & (per_store - 1);
  const uint64_t end = (uint64_t)count + head;
  for (uint64_t tile = 4 * threadIdx.x; tile < end; tile += 4 * PAGE_THREADS) {
    if (tile < head || tile + 4 > end) {
      for (uint64_t i = tile < head ? head : tile; i < tile + 4 && i < end; i++) {
        out[i - head] = (T)split_bits(streams, i - head);
      }
      continue;
    }
    SplitWords4 *target = (SplitWords4 *)(out + (tile - head));
    const SplitWords4 low = split_transpose(streams, 0, tile - head);
    if (sizeof(T) == 4) {
      target[0] = low;
    } else {
      const SplitWords4 high = split_transpose(streams, 4, tile - head);
      target[0] = SplitWords4{{low.words[0], high.words[0], low.words[1], high.words[1]}};
      target[1] = SplitWords4{{low.words[2], high.words[2], low.words[3], high.words[3]}};
    }
  }
}

/// Writes value `i` by the page's conversion. False if the element cannot be such a value.
KERNEL_FN bool split_value(const Page &page, const SplitStreams &streams, uint32_t i) {
  const uint64_t row = page.row_start + i;
  switch (page.conversion) {
    case PAGE_VIEW: {
      uint8_t *bytes = page.text + (uint64_t)i * streams.length;
      for (uint32_t j = 0; j < streams.length; j++) {
        bytes[j] = streams.data[j * streams.stride + i];
      }
      ((TextView *)page.values)[row] = TextView{bytes, streams.length, 0};
      return true;
    }
    case PAGE_DECIMAL_64:
    case PAGE_DECIMAL_128: {
      if (streams.length > 16) return false;
      int128_t value = (int8_t)streams.data[i];
      for (uint32_t j = 1; j < streams.length; j++) {
        value = (int128_t)((uint128_t)value << 8 | streams.data[j * streams.stride + i]);
      }
      if (page.conversion == PAGE_DECIMAL_64) {
        ((int64_t *)page.values)[row] = (int64_t)value;
        return value == (int128_t)(int64_t)value;
      }
      ((int128_t *)page.values)[row] = value;
      return true;
    }
    default: page_store_bits(page, i, split_bits(streams, i)); return true;
  }
}

/// Decodes pages of BYTE_STREAM_SPLIT elements.
///
/// Shape   pages[page_count] -> values[column rows], dense; text, if values are views
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   left out; `page_spread` makes room for them
/// Errors  STATUS_PAGE_VALUES: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_decode_byte_stream_split(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const PageValues values = page_values(page);
  const uint32_t length = page.element_bytes, conversion = page.conversion;
  const SplitStreams streams{values.data, values.bytes, values.bytes / length, length};
  if (values.count > streams.stride) {
    if (threadIdx.x == 0) status_set(params.status, STATUS_PAGE_VALUES, index);
    return page_zero(page, 0, values.count);
  }
  if (conversion == PAGE_BITS_32 && length == 4) {
    return split_words((uint32_t *)page.values + page.row_start, streams, values.count);
  }
  if (conversion == PAGE_BITS_64 && length == 8) {
    return split_words((uint64_t *)page.values + page.row_start, streams, values.count);
  }
  bool good = true;
  for (uint32_t i = threadIdx.x; i < values.count; i += PAGE_THREADS) {
    good &= split_value(page, streams, i);
  }
  if (!good) status_set(params.status, STATUS_PAGE_VALUES, index);
}
