// Operator  Parquet page decompression: where the parts of a long Snappy page begin
// Kernels   page_split_snappy
// Method    a block per page: every byte of a window of 1 KB is read as if an element began there;
//           doubling finds the elements that the first one leads to and how much output is behind
//           each of them. Snappy's compressors begin anew every 64 KB of output; where an element
//           passes such a place, or a match reaches back over it, the page is left whole
// Cost      reads the compressed bytes once, writes 32 B per part
// Source    the Snappy project's format_description.txt; written from the description
#include "parquet/codec.cuh"

#define SPLIT_WINDOW_BYTES 1024u
#define SPLIT_WINDOW_VECTORS (SPLIT_WINDOW_BYTES / 16)
#define SPLIT_POSITIONS (SPLIT_WINDOW_BYTES / PAGE_SPLIT_THREADS)  // of a thread
#define SPLIT_LEAVES 0x80000000u   // in a jump: what follows begins beyond the window
#define SPLIT_LENGTH_BYTES_MAX 5u  // of the varint in front
static_assert(SPLIT_WINDOW_VECTORS < PAGE_SPLIT_THREADS, "a thread loads one vector");

/// Shared memory of a block.
struct SplitShared {
  uint4 bytes[SPLIT_WINDOW_VECTORS + 1];  // an element's first bytes may lie behind the window
  uint32_t jump[SPLIT_WINDOW_BYTES];      // where the elements from here on, so far, lead to
  uint32_t output[SPLIT_WINDOW_BYTES];    // bytes of output that they have
  uint8_t reached[SPLIT_WINDOW_BYTES];    // whether the first element leads here
  uint32_t broken;                        // not zero: the page is left whole
};

/// An element that may begin at some byte.
struct SplitElement {
  uint32_t output;    ///< bytes of output; none if it does not end within the page
  uint32_t distance;  ///< of a match; none of a literal
  bool is_match;
  uint32_t bytes;  ///< of the element; none if it does not end within the page
};

/// The element at byte `at` of the window, which has `left` bytes of the page from there on.
KERNEL_FN SplitElement split_element(const SplitShared &shared, uint32_t at, uint32_t left) {
  const uint32_t *words = (const uint32_t *)shared.bytes;
  const uint32_t behind = at + 1;
  const uint32_t tag = words[at / 4] >> (at % 4 * 8) & 255, kind = tag & 3, size = tag >> 2;
  const uint32_t word = __funnelshift_r(words[behind / 4], words[behind / 4 + 1], behind % 4 * 8);
  SplitElement element;
  element.is_match = kind != 0;
  uint64_t bytes;
  if (kind == 0) {
    const uint32_t extra = size < 60 ? 0 : size - 59;
    const uint32_t length = extra == 0   ? size
                            : extra == 4 ? word
                                         : word & ((1u << (8 * extra)) - 1);
    bytes = 2 + extra + (uint64_t)length;
    element.output = length + 1;
    element.distance = 0;
  } else {
    bytes = kind == 3 ? 5 : 1 + kind;
    element.output = kind == 1 ? (size & 7) + 4 : size + 1;
    element.distance = kind == 1   ? (tag & 0xe0) << 3 | (word & 255)
                       : kind == 2 ? word & 65535
                                   : word;
  }
  if (bytes > left) bytes = element.output = 0;
  element.bytes = (uint32_t)bytes;
  return element;
}

/// The length in front of a page: moves `at` behind it. False if it is not `length`.
KERNEL_FN bool split_header(const uint8_t *source, uint32_t *at, uint32_t end, uint32_t length) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < SPLIT_LENGTH_BYTES_MAX && *at < end; i++) {
    const uint32_t byte = source[(*at)++];
    value |= (uint64_t)(byte & 127) << (7 * i);
    if (byte < 128) return value == length;
  }
  return false;
}

/// Finds the elements that the one at byte `first` of the window leads to.
/// Scope block; the window and what the threads put into `jump` and `output` need no barrier
/// before · Result `jump[first]`, and for the bytes reached `output`, the output from there on ·
/// JIT yes
KERNEL_FN void split_follow(SplitShared &shared, uint32_t first) {
  for (;;) {
    __syncthreads();
    if (shared.jump[first] & SPLIT_LEAVES) return;
    uint32_t jump[SPLIT_POSITIONS], onward[SPLIT_POSITIONS], output[SPLIT_POSITIONS];
    bool reached[SPLIT_POSITIONS];
#pragma unroll
    for (uint32_t i = 0; i < SPLIT_POSITIONS; i++) {
      const uint32_t at = i * PAGE_SPLIT_THREADS + threadIdx.x;
      jump[i] = shared.jump[at];
      if (jump[i] & SPLIT_LEAVES) continue;
      onward[i] = shared.jump[jump[i]];
      output[i] = shared.output[at] + shared.output[jump[i]];
      reached[i] = shared.reached[at];
    }
    __syncthreads();
#pragma unroll
    for (uint32_t i = 0; i < SPLIT_POSITIONS; i++) {
      const uint32_t at = i * PAGE_SPLIT_THREADS + threadIdx.x;
      if (jump[i] & SPLIT_LEAVES) continue;
      shared.jump[at] = onward[i];
      shared.output[at] = output[i];
      if (reached[i]) shared.reached[jump[i]] = 1;
    }
  }
}

/// Finds where parts of pages begin.
///
/// Shape   splits[split_count] -> the parts that they name
/// Launch  grid = split_count, block = PAGE_SPLIT_THREADS, shared = 0
/// Nulls   none here
/// Errors  none: of a page that has no such parts, or is malformed, the first part becomes the
/// whole
///         page and the others become empty
/// Tests   tests/parquet/codec.rs
extern "C" __global__ void __launch_bounds__(PAGE_SPLIT_THREADS)
page_split_snappy(GRID_CONSTANT(PageSplitParams) params) {
  SHARED(SplitShared, shared_of_block, 1);
  SplitShared &shared = shared_of_block[0];
  const PageSplit split = params.splits[blockIdx.x];
  PageCompressed *parts = params.parts + split.first_part;
  const PageCompressed page = parts[0];
  const uint32_t last = split.part_count - 1;
  const uint32_t length = last * PAGE_PART_BYTES + parts[last].target_bytes;
  const uint32_t begin = (uint32_t)((uint64_t)page.source % 16), end = begin + page.source_bytes;
  const uint8_t *source = page.source - begin;
  uint32_t at = begin, done = 0, asked = ~0u;
  uint4 ahead = make_uint4(0, 0, 0, 0);
  const bool good = split_header(source, &at, end, length);
  __syncthreads();  // all have read the first part
  if (threadIdx.x == 0) shared.broken = !good;
  for (;;) {
    __syncthreads();  // the window is free, and all that was found in it is told
    if (shared.broken || at >= end) break;
    const uint32_t window = at / SPLIT_WINDOW_BYTES * SPLIT_WINDOW_BYTES, first = at - window;
    if (threadIdx.x <= SPLIT_WINDOW_VECTORS) {
      const uint32_t vector = window + threadIdx.x * 16;
      if (asked != window) ahead = codec_vector(source, begin, end, vector);
      shared.bytes[threadIdx.x] = ahead;
      asked = window + SPLIT_WINDOW_BYTES;
      ahead = codec_vector(source, begin, end, vector + SPLIT_WINDOW_BYTES);
    }
    __syncthreads();
    SplitElement elements[SPLIT_POSITIONS];
#pragma unroll
    for (uint32_t i = 0; i < SPLIT_POSITIONS; i++) {
      const uint32_t offset = i * PAGE_SPLIT_THREADS + threadIdx.x, from = window + offset;
      const uint32_t left = from < end ? end - from : 0;
      elements[i] = split_element(shared, offset, left);
      const uint32_t next = offset + elements[i].bytes;
      const bool leaves = next >= SPLIT_WINDOW_BYTES || elements[i].bytes >= left;
      shared.jump[offset] = leaves || elements[i].bytes == 0 ? SPLIT_LEAVES | next : next;
      shared.output[offset] = elements[i].output;
      shared.reached[offset] = offset == first;
    }
    split_follow(shared, first);
    const uint32_t total = shared.output[first];
#pragma unroll
    for (uint32_t i = 0; i < SPLIT_POSITIONS; i++) {
      const uint32_t offset = i * PAGE_SPLIT_THREADS + threadIdx.x;
      if (!shared.reached[offset]) continue;
      const SplitElement element = elements[i];
      const uint32_t start = done + total - shared.output[offset];
      const uint32_t within = start % PAGE_PART_BYTES;
      const bool short_of =
          element.bytes == 0 || start >= length || element.output > length - start;
      const bool passes = element.output > PAGE_PART_BYTES - within;
      const bool reaches = element.is_match && element.distance - 1 >= within;
      if (short_of || passes || reaches) {
        atomicOr(&shared.broken, 1u);
      } else if (within == 0) {
        parts[start / PAGE_PART_BYTES].source = source + window + offset;
      }
    }
    // More than there may be is found above: the sum does not wrap before.
    done += total;
    at = window + (shared.jump[first] & ~SPLIT_LEAVES);
  }
  const bool whole = shared.broken || done != length;
  for (uint32_t part = threadIdx.x; part < split.part_count; part += PAGE_SPLIT_THREADS) {
    if (!whole) {
      const uint8_t *behind = part == last ? source + end : parts[part + 1].source;
      parts[part].source_bytes = (uint32_t)(behind - parts[part].source);
    } else {
      parts[part].source = page.source;
      parts[part].source_bytes = part ? 0 : page.source_bytes;
      parts[part].target_bytes = part ? 0 : length;
      parts[part].is_part = part != 0;
    }
  }
}
