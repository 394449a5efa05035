// Operator  Parquet page decompression: LZ4_RAW
// Kernels   page_decompress_lz4
// Method    a warp per page: lanes read the sequences of 32 bytes at once, then write 32 bytes of
//           output at once (parquet/codec.cuh)
// Cost      reads the compressed bytes, writes the page; matches farther back than the history in
//           shared memory read it again
// Source    the LZ4 project's lz4_Block_format.md; written from the description
#include "parquet/codec.cuh"

#define LZ4_MATCH_MIN 4u

/// The sequence that may begin at the lane's byte; `last` if it is the one without a match. Lengths
/// of more than one byte beside the token are too long for the list.
KERNEL_FN CodecElement lz4_element(const Codec &codec, bool *last) {
  const uint32_t at = codec.at + codec_lane(), word = codec_word(codec, at);
  uint32_t literal = word >> 4 & 15, literal_at = 1, match = word & 15;
  bool stop = false;
  if (literal == 15) {
    const uint32_t more = word >> 8 & 255;
    literal += more;
    literal_at = 2;
    stop = more == 255;
  }
  uint32_t bytes = literal_at + literal;
  *last = at + bytes == codec.end;
  if (*last) return CodecElement{bytes, literal_at, literal, 0, 0, stop};
  const uint32_t tail = codec_word(codec, at + bytes);
  bytes += 2;
  if (match == 15) {
    const uint32_t more = tail >> 16 & 255;
    match += more;
    bytes += 1;
    stop |= more == 255;
  }
  return CodecElement{bytes, literal_at, literal, match + LZ4_MATCH_MIN, tail & 65535, stop};
}

/// Adds the bytes of a length, of which the last is less than 255. False at the end of the source.
KERNEL_FN bool lz4_extend(Codec &codec, uint64_t *length) {
  for (;;) {
    const uint32_t at = codec.at + codec_lane();
    const uint32_t byte = at < codec.end ? codec.source[at] : 0;
    const uint32_t ends = __ballot_sync(WARP_ALL, byte != 255);
    const uint32_t full = ends ? (uint32_t)__ffs((int)ends) - 1 : WARP_LANES;
    *length += full * 255;
    codec.at += full;
    if (!ends) continue;
    *length += __shfl_sync(WARP_ALL, byte, (int)full);
    codec.at += 1;
    return codec.at <= codec.end;
  }
}

/// The sequence at `at`, at which a round stopped; `last` if it has no match. False if it is
/// malformed.
KERNEL_FN bool lz4_long(Codec &codec, bool *last) {
  const uint32_t token = codec.source[codec.at++];
  uint64_t literal = token >> 4, match = token & 15;
  if (literal == 15 && !lz4_extend(codec, &literal)) return false;
  if (!codec_literal(codec, literal)) return false;
  *last = codec.at == codec.end;
  if (*last) return true;
  if (codec.end - codec.at < 2) return false;
  const uint32_t low = codec.source[codec.at], high = codec.source[codec.at + 1];
  codec.at += 2;
  if (match == 15 && !lz4_extend(codec, &match)) return false;
  return codec_match(codec, high << 8 | low, match + LZ4_MATCH_MIN);
}

/// Decompresses one page. False if the bytes are malformed.
KERNEL_FN bool lz4_page(Codec &codec) {
  bool last = false;
  do {
    codec.stopped = false;
    if (codec.at >= codec.end) return false;  // the last sequence has no match
    codec_stage(codec);
    const uint32_t batch = codec.at;
    do {
      bool ends;
      const CodecElement element = lz4_element(codec, &ends);
      if (!codec_round(codec, element)) return false;
      last = __ballot_sync(WARP_ALL, ends) & codec.found;
    } while (codec_more(codec, batch));
    codec_write(codec);
    if (codec.stopped && !lz4_long(codec, &last)) return false;
  } while (!last);
  return codec.done == codec.length;
}

/// Decompresses LZ4_RAW pages.
///
/// Shape   pages[page_count].source -> pages[page_count].target
/// Launch  grid = ceil(page_count / CODEC_WARPS), block = PAGE_CODEC_THREADS, shared = 0
/// Nulls   none here
/// Errors  STATUS_PAGE_CODEC: argument = the page's index
/// Tests   tests/parquet/codec.rs
extern "C" __global__ void __launch_bounds__(PAGE_CODEC_THREADS)
page_decompress_lz4(GRID_CONSTANT(PageDecompressParams) params) {
  SHARED(CodecShared, shared, CODEC_WARPS);
  const uint32_t warp = threadIdx.x / WARP_LANES;
  const uint64_t index = (uint64_t)blockIdx.x * CODEC_WARPS + warp;
  if (index >= params.page_count) return;
  Codec codec = codec_open(params.pages[index], &shared[warp]);
  if (!lz4_page(codec)) codec_fail(params.pages[index], params.status);
}
