// Operator  Parquet page decompression: LZ4_RAW
// Kernels   page_decompress_lz4
// Method    a warp per page; one lane reads the sequences
// Cost      reads the compressed bytes, writes the page; matches read it again
// Source    the LZ4 project's lz4_Block_format.md; written from the description
#include "parquet/page.cuh"

/// A length whose 4 bits are full goes on in bytes. False at the end of the source.
KERNEL_FN bool lz4_length(const uint8_t *source, uint64_t bytes, uint64_t *at, uint64_t *length) {
  if (*length != 15) return true;
  for (;;) {
    if (*at >= bytes) return false;
    const uint8_t more = source[(*at)++];
    *length += more;
    if (more != 255) return true;
  }
}

/// Decompresses one page. False if the bytes are malformed.
KERNEL_FN bool lz4_page(const PageCompressed &page) {
  const uint8_t *source = page.source;
  const uint64_t bytes = page.source_bytes, length = page.target_bytes;
  uint64_t at = 0, done = 0;
  while (at < bytes) {
    const uint32_t token = source[at++];
    uint64_t count = token >> 4;
    if (!lz4_length(source, bytes, &at, &count)) return false;
    if (count > bytes - at || count > length - done) return false;
    for (uint64_t i = 0; i < count; i++) page.target[done + i] = source[at + i];
    at += count;
    done += count;
    if (at == bytes) break;  // the last sequence has no match
    if (bytes - at < 2) return false;
    const uint64_t distance = bytes_u32(source, bytes, at) & 65535;
    at += 2;
    count = token & 15;
    if (!lz4_length(source, bytes, &at, &count)) return false;
    count += 4;
    if (distance == 0 || distance > done || count > length - done) return false;
    for (uint64_t i = 0; i < count; i++) page.target[done + i] = page.target[done + i - distance];
    done += count;
  }
  return done == length;
}

/// Decompresses LZ4_RAW pages.
///
/// Shape   pages[page_count].source -> pages[page_count].target
/// Launch  grid = page_count, block = PAGE_WARP_THREADS, shared = 0
/// Nulls   none here
/// Errors  STATUS_PAGE_CODEC: argument = the page's index
/// Tests   tests/parquet/codec.rs
extern "C" __global__ void __launch_bounds__(PAGE_WARP_THREADS)
page_decompress_lz4(GRID_CONSTANT(PageDecompressParams) params) {
  const PageCompressed page = params.pages[blockIdx.x];
  if (threadIdx.x == 0 && !lz4_page(page)) {
    status_set(params.status, STATUS_PAGE_CODEC, page.page);
    for (uint64_t i = 0; i < page.target_bytes; i++) page.target[i] = 0;
  }
}
