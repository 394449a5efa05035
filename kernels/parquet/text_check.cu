// Operator  Parquet page decoding: whether strings are UTF-8
// Kernels   page_check_text
// Method    a block per page, over the views that were decoded: a string per lane; long ones are
//           cut into pieces, a lane each, which begin at the character that reaches into them.
//           8 bytes at a time as long as they are ASCII
// Cost      reads 16 B per string and the strings once, writes nothing
// Source    the Unicode Standard, table 3-7 (well-formed UTF-8); written from the table
#include "parquet/page.cuh"

#define CHECK_LONG_BYTES 256u  // a string that is longer is cut
#define CHECK_PIECE_BYTES 64u  // bytes of a piece
#define CHECK_HIGH_BITS 0x8080808080808080ull

/// A string within the bytes that may be read around it.
struct CheckText {
  const uint8_t *data;
  uint64_t bytes;  ///< of `data`
  uint64_t start;  ///< first byte of the string
  uint64_t end;    ///< behind its last byte
};

/// The string of a view, which lies in the page or in the strings that were put together.
KERNEL_FN CheckText check_text(const Page &page, const TextView &view) {
  const uint64_t at = (uint64_t)view.bytes, data = (uint64_t)page.data;
  if (at >= data && at + view.length <= data + page.data_bytes) {
    return CheckText{page.data, page.data_bytes, at - data, at - data + view.length};
  }
  return CheckText{view.bytes, view.length, 0, view.length};
}

/// Whether a byte can only continue a character.
KERNEL_FN bool check_continues(uint32_t byte) { return (byte & 0xc0) == 0x80; }

/// Bytes of the character that begins at byte `at` of the string, 0 if none does.
KERNEL_FN uint32_t check_character(const CheckText &text, uint64_t at) {
  const uint32_t lead = text.data[at];
  if (lead < 0x80) return 1;
  const uint32_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || length > text.end - at) return 0;
  const uint32_t second = text.data[at + 1];
  // No character is written longer than it need be, is a surrogate, or passes U+10FFFF.
  const uint32_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint32_t greatest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > greatest) return 0;
  for (uint32_t k = 2; k < length; k++) {
    if (!check_continues(text.data[at + k])) return 0;
  }
  return length;
}

/// Whether the characters that reach into bytes `from` to `to` of the string are well-formed.
KERNEL_FN bool check_piece(const CheckText &text, uint64_t from, uint64_t to) {
  uint64_t at = from;
  for (uint32_t back = 0; back < 3 && at > text.start && check_continues(text.data[at]); back++) {
    at--;
  }
  while (at < to) {
    if (at + 8 <= text.end && !(bytes_u64(text.data, text.bytes, at) & CHECK_HIGH_BITS)) {
      at += 8;
      continue;
    }
    const uint32_t length = check_character(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

/// Checks that the strings of pages are UTF-8. Empty strings stand where decoding failed.
///
/// Shape   pages[page_count], their views, dense -> nothing but the status
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0; after the decoders, before
///         `page_spread`
/// Nulls   left out
/// Errors  STATUS_PAGE_TEXT: argument = page
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_check_text(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  const uint32_t lane = threadIdx.x & 31, count = page_values(page).count;
  const TextView *views = (const TextView *)page.values + page.row_start;
  bool good = true;
  for (uint64_t first = threadIdx.x - lane; first < count; first += PAGE_THREADS) {
    const TextView own = first + lane < count ? views[first + lane] : TextView{nullptr, 0, 0};
    const bool is_long = own.length > CHECK_LONG_BYTES;
    if (!is_long && own.length) {
      const CheckText text = check_text(page, own);
      good &= check_piece(text, text.start, text.end);
    }
    for (uint32_t left = __ballot_sync(WARP_ALL, is_long); left; left &= left - 1) {
      const CheckText text = check_text(page, views[first + (uint32_t)__ffs((int)left) - 1]);
      for (uint64_t from = text.start + lane * CHECK_PIECE_BYTES; from < text.end;
           from += WARP_LANES * CHECK_PIECE_BYTES) {
        const uint64_t to = from + CHECK_PIECE_BYTES;
        good &= check_piece(text, from, to < text.end ? to : text.end);
      }
    }
  }
  if (!good) status_set(params.status, STATUS_PAGE_TEXT, index);
}
