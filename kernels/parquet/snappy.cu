// Operator  Parquet page decompression: Snappy
// Kernels   page_decompress_snappy
// Method    a warp per page; one lane reads the elements
// Cost      reads the compressed bytes, writes the page; matches read it again
// Source    the Snappy project's format_description.txt; written from the description
#include "parquet/page.cuh"

/// Decompresses one page. False if the bytes are malformed.
KERNEL_FN bool snappy_page(const PageCompressed &page) {
  const uint8_t *source = page.source;
  const uint64_t bytes = page.source_bytes;
  uint64_t at = 0, length, done = 0;
  if (!bytes_varint(source, bytes, &at, &length) || length != page.target_bytes) return false;
  while (done < length) {
    if (at >= bytes) return false;
    const uint32_t tag = source[at++], kind = tag & 3;
    uint64_t count = (tag >> 2) + 1, distance = 0;
    if (kind == 0) {
      if (count > 60) {
        const uint32_t extra = (uint32_t)count - 60;
        if (bytes - at < extra) return false;
        const uint32_t word = bytes_u32(source, bytes, at);
        count = (uint64_t)(extra == 4 ? word : word & ((1u << (8 * extra)) - 1)) + 1;
        at += extra;
      }
      if (count > bytes - at || count > length - done) return false;
      for (uint64_t i = 0; i < count; i++) page.target[done + i] = source[at + i];
      at += count;
    } else {
      const uint32_t extra = kind == 3 ? 4 : kind;
      if (bytes - at < extra) return false;
      const uint32_t word = bytes_u32(source, bytes, at);
      if (kind == 1) {
        count = (tag >> 2 & 7) + 4;
        distance = (tag >> 5) << 8 | (word & 255);
      } else {
        distance = kind == 2 ? word & 65535 : word;
      }
      at += extra;
      if (distance == 0 || distance > done || count > length - done) return false;
      for (uint64_t i = 0; i < count; i++) page.target[done + i] = page.target[done + i - distance];
    }
    done += count;
  }
  return at == bytes;
}

/// Decompresses Snappy pages.
///
/// Shape   pages[page_count].source -> pages[page_count].target
/// Launch  grid = page_count, block = PAGE_WARP_THREADS, shared = 0
/// Nulls   none here
/// Errors  STATUS_PAGE_CODEC: argument = the page's index
/// Tests   tests/parquet/codec.rs
extern "C" __global__ void __launch_bounds__(PAGE_WARP_THREADS)
page_decompress_snappy(GRID_CONSTANT(PageDecompressParams) params) {
  const PageCompressed page = params.pages[blockIdx.x];
  if (threadIdx.x == 0 && !snappy_page(page)) {
    status_set(params.status, STATUS_PAGE_CODEC, page.page);
    for (uint64_t i = 0; i < page.target_bytes; i++) page.target[i] = 0;
  }
}
