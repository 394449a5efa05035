// Operator  Parquet page decompression: Snappy
// Kernels   page_decompress_snappy
// Method    a warp per page, or per part of a page (parquet/snappy_split.cu): lanes read the
// elements
//           of 32 bytes at once, then write 32 bytes of output at once (parquet/codec.cuh)
// Cost      reads the compressed bytes, writes the page; matches farther back than the history in
//           shared memory read it again
// Source    the Snappy project's format_description.txt; written from the description
#include "parquet/codec.cuh"

#define SNAPPY_LENGTH_BYTES_MAX 5u  // of the varint in front

/// The length in front must be the page's. False if it is not.
KERNEL_FN bool snappy_header(Codec &codec) {
  uint64_t length = 0;
  codec_stage(codec);
  for (uint32_t i = 0; i < SNAPPY_LENGTH_BYTES_MAX; i++) {
    if (codec.at >= codec.end) return false;
    const uint32_t byte = codec_word(codec, codec.at++) & 255;
    length |= (uint64_t)(byte & 127) << (7 * i);
    if (byte < 128) return length == codec.length;
  }
  return false;
}

/// The element that may begin at the lane's byte.
KERNEL_FN CodecElement snappy_element(const Codec &codec) {
  const uint32_t word = codec_word(codec, codec.at + codec_lane());
  const uint32_t kind = word & 3, size = word >> 2 & 63, second = word >> 8 & 255;
  // A literal: its length less 1, or from 60 on how many bytes have it. Else a match: with 11 bits
  // of distance and 4 to 11 bytes, with 16 bits, with 32.
  const bool literal = kind == 0, near = kind == 1, extra = literal && size == 60;
  const uint32_t count = (extra ? second : near ? (size & 7) + 3 : size) + 1;
  const uint32_t literal_at = 1 + extra;
  return CodecElement{literal ? literal_at + count : 1 + kind,
                      literal_at,
                      literal ? count : 0,
                      literal ? 0 : count,
                      near ? (word & 0xe0) << 3 | second : word >> 8 & 65535,
                      literal ? size > 60 : kind == 3};
}

/// The element at `at`, at which a round stopped: a literal whose length has 2 bytes or more, or a
/// match with 32 bits of distance. False if it is malformed.
KERNEL_FN bool snappy_long(Codec &codec) {
  const uint32_t tag = codec_word(codec, codec.at) & 255;
  const uint32_t extra = tag & 3 ? 4 : (tag >> 2) - 59;
  if (codec.end - codec.at - 1 < extra) return false;
  const uint32_t word = codec_word(codec, codec.at + 1);
  codec.at += 1 + extra;
  if (tag & 3) return codec_match(codec, word, (tag >> 2) + 1);
  return codec_literal(codec, (uint64_t)(extra < 4 ? word & ((1u << (8 * extra)) - 1) : word) + 1);
}

/// Decompresses one page, or a part, which has no length in front. False if the bytes are
/// malformed.
KERNEL_FN bool snappy_page(Codec &codec, bool is_part) {
  if (!is_part && !snappy_header(codec)) return false;
  for (;;) {
    codec.stopped = false;
    if (codec.at < codec.end) {
      codec_stage(codec);
      const uint32_t batch = codec.at;
      do {
        if (!codec_round(codec, snappy_element(codec))) return false;
      } while (codec_more(codec, batch));
    }
    codec_write(codec);
    if (codec.stopped) {
      if (!snappy_long(codec)) return false;
    } else if (codec.at >= codec.end) {
      return codec.done == codec.length;
    }
  }
}

/// Decompresses Snappy pages and parts of them; a part of no bytes is none.
///
/// Shape   pages[page_count].source -> pages[page_count].target
/// Launch  grid = ceil(page_count / CODEC_WARPS), block = PAGE_CODEC_THREADS, shared = 0
/// Nulls   none here
/// Errors  STATUS_PAGE_CODEC: argument = the page's index
/// Tests   tests/parquet/codec.rs
extern "C" __global__ void __launch_bounds__(PAGE_CODEC_THREADS)
page_decompress_snappy(GRID_CONSTANT(PageDecompressParams) params) {
  SHARED(CodecShared, shared, CODEC_WARPS);
  const uint32_t warp = threadIdx.x / WARP_LANES;
  const uint64_t index = (uint64_t)blockIdx.x * CODEC_WARPS + warp;
  if (index >= params.page_count) return;
  const PageCompressed page = params.pages[index];
  Codec codec = codec_open(page, &shared[warp]);
  if (!snappy_page(codec, page.is_part)) codec_fail(page, params.status);
}
