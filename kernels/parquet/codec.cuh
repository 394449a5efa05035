// What the page decompressors share: a warp, the window of compressed bytes that it reads, the
// parts of output that it found there, and the loop that writes them.
//
// All lanes read the elements of 32 bytes at once, each as if one began at its byte; doubling finds
// those that the first one leads to. Their literals and matches become parts. Parts are written 32
// bytes at a time, a byte per lane: a byte whose source is among the 32 takes the value of the lane
// that it leads to in the end, hence matches that overlap themselves or each other need no order.
#pragma once
#include "abi/page.h"
#include "primitives/status.cuh"

#define CODEC_WARPS (PAGE_CODEC_THREADS / WARP_LANES)
#define CODEC_BLOCK_BYTES 512u     // of the source that one load of the warp covers
#define CODEC_WINDOW_BYTES 1024u   // of the source in shared memory: two blocks
#define CODEC_HISTORY_BYTES 4096u  // of output in shared memory
#define CODEC_PARTS_MAX 32u
#define CODEC_FOUND_MAX 16u     // elements that begin in 32 bytes; each has 2 bytes or more
#define CODEC_BATCH_BYTES 128u  // of elements, between two looks whether the window must move
#define CODEC_LITERAL_MAX 270u  // longer literals are copied without the window
#define CODEC_ELEMENT_TAIL 8u   // bytes that an element has beside its literal, and of words beyond
#define CODEC_REACH_OUT 32u     // in a lane's reach: what follows begins beyond the 32 bytes
#define CODEC_REACH_OUTPUT 64u  // in a lane's reach: one byte of output
static_assert(CODEC_BLOCK_BYTES == 16 * WARP_LANES, "a lane loads 16 bytes");
static_assert(CODEC_WINDOW_BYTES == 2 * CODEC_BLOCK_BYTES, "blocks alternate in the window");
static_assert(CODEC_BATCH_BYTES + WARP_LANES + CODEC_LITERAL_MAX + CODEC_ELEMENT_TAIL <=
                  CODEC_BLOCK_BYTES,
              "what a batch reads is in the window, wherever in its first block the batch begins");
static_assert(2 * CODEC_FOUND_MAX <= CODEC_PARTS_MAX, "there is room for one more round");

/// Bytes of output: a literal, then a match. Either may be empty.
struct CodecPart {
  uint32_t start;        ///< first byte of output
  uint32_t literal_end;  ///< behind the last byte of the literal
  uint32_t source;       ///< byte `p` of the literal is byte `source + p` of the source
  uint32_t distance;     ///< byte `p` of the match is byte `p - distance` of output
};

/// Shared memory of a warp.
struct CodecShared {
  uint4 window[CODEC_WINDOW_BYTES / 16];
  uint4 history[CODEC_HISTORY_BYTES / 16];
  CodecPart parts[CODEC_PARTS_MAX];
};

/// A page under decompression. All lanes of the warp hold the same, but `ahead`.
struct Codec {
  CodecShared *shared;
  const uint8_t *source;  ///< at a multiple of 16 bytes, less than 16 before the page's first
  uint8_t *target;
  uint32_t begin;       ///< first byte of the page, counted from `source`, as all positions
  uint32_t end;         ///< behind its last byte
  uint32_t at;          ///< next byte to read
  uint32_t length;      ///< bytes of output that there must be
  uint32_t done;        ///< bytes of output that are written or in the list of parts
  uint32_t written;     ///< bytes of output that are written
  uint32_t held;        ///< first byte of output that went through the history
  uint32_t staged;      ///< blocks of the source that were put into the window
  uint32_t part_count;  ///< parts in the list
  uint32_t found;       ///< lanes that held an element in the last round
  bool stopped;         ///< the element at `at` is too long for the list
  uint32_t asked;       ///< the block that `ahead` is of
  uint4 ahead;          ///< the lane's bytes of a block
};

/// What a lane reads, if an element begins at its byte.
struct CodecElement {
  uint32_t bytes;       ///< of the element
  uint32_t literal_at;  ///< where its literal begins, from its first byte on
  uint32_t literal;     ///< bytes of literal, at most `CODEC_LITERAL_MAX`
  uint32_t match;       ///< bytes of match
  uint32_t distance;
  bool stop;  ///< the element is too long for the list
};

KERNEL_FN uint32_t codec_lane() { return threadIdx.x % WARP_LANES; }

/// 8 bytes of a page; those outside of `begin` to `end` are zero.
KERNEL_FN uint64_t codec_edge(const uint8_t *source, uint32_t begin, uint32_t end, uint32_t at) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < 8; i++) {
    const uint32_t byte = at + i;
    if (byte >= begin && byte < end) value |= (uint64_t)source[byte] << (8 * i);
  }
  return value;
}

/// The 16 bytes of a page at `at`, a multiple of 16; those outside of `begin` to `end` are zero.
KERNEL_FN uint4 codec_vector(const uint8_t *source, uint32_t begin, uint32_t end, uint32_t at) {
  if (at >= begin && at + 16 <= end) return *(const uint4 *)(source + at);
  if (at >= end) return make_uint4(0, 0, 0, 0);
  const uint64_t low = codec_edge(source, begin, end, at);
  const uint64_t high = codec_edge(source, begin, end, at + 8);
  return make_uint4((uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32));
}

/// The lane's 16 bytes of a block of the source; those outside of the page are zero.
KERNEL_FN uint4 codec_load(const Codec &codec, uint32_t block) {
  const uint32_t at = block * CODEC_BLOCK_BYTES + codec_lane() * 16;
  return codec_vector(codec.source, codec.begin, codec.end, at);
}

/// A page before its first byte.
KERNEL_FN Codec codec_open(const PageCompressed &page, CodecShared *shared) {
  Codec codec;
  codec.shared = shared;
  codec.begin = (uint32_t)((uint64_t)page.source % 16);
  codec.source = page.source - codec.begin;
  codec.target = page.target;
  codec.end = codec.begin + page.source_bytes;
  codec.at = codec.begin;
  codec.length = page.target_bytes;
  codec.done = codec.written = codec.held = codec.staged = codec.part_count = codec.found = 0;
  codec.stopped = false;
  codec.asked = ~0u;
  codec.ahead = make_uint4(0, 0, 0, 0);
  return codec;
}

/// Puts the block of the next byte and the one behind it into the window, and asks for the third.
/// Scope warp; no part's literal may be in the window · Result the window · JIT yes
KERNEL_FN void codec_stage(Codec &codec) {
  const uint32_t block = codec.at / CODEC_BLOCK_BYTES;
  if (codec.staged >= block + 2) return;
  if (codec.staged < block) codec.staged = block;
  for (;;) {
    if (codec.asked == codec.staged) {
      if (codec.staged >= block + 2) break;
      codec.shared->window[codec.staged % 2 * WARP_LANES + codec_lane()] = codec.ahead;
      codec.staged++;
    }
    codec.ahead = codec_load(codec, codec.staged);
    codec.asked = codec.staged;
  }
  __syncwarp();
}

/// 4 bytes of the window.
KERNEL_FN uint32_t codec_word(const Codec &codec, uint32_t at) {
  const uint32_t *words = (const uint32_t *)codec.shared->window;
  const uint32_t count = CODEC_WINDOW_BYTES / 4;
  return __funnelshift_r(words[at / 4 % count], words[(at / 4 + 1) % count], at % 4 * 8);
}

/// The 16 bytes from byte `shift` of two vectors on.
KERNEL_FN uint4 codec_shift(const uint4 &low, const uint4 &high, uint32_t shift) {
  const bool two = shift & 8, one = shift & 4;
  const uint32_t a = two ? low.z : low.x, b = two ? low.w : low.y, c = two ? high.x : low.z;
  const uint32_t d = two ? high.y : low.w, e = two ? high.z : high.x, f = two ? high.w : high.y;
  const uint32_t bits = shift % 4 * 8;
  return make_uint4(__funnelshift_r(one ? b : a, one ? c : b, bits),
                    __funnelshift_r(one ? c : b, one ? d : c, bits),
                    __funnelshift_r(one ? d : c, one ? e : d, bits),
                    __funnelshift_r(one ? e : d, one ? f : e, bits));
}

/// Copies a literal of any length past the window and the history; the list must be empty. False
/// if the source or the target ends within it. Scope warp · Result the target · JIT yes
KERNEL_FN bool codec_literal(Codec &codec, uint64_t count) {
  if (count > codec.end - codec.at || count > codec.length - codec.done) return false;
  const uint32_t lane = codec_lane(), bytes = (uint32_t)count;
  const uint8_t *source = codec.source + codec.at;
  uint8_t *target = codec.target + codec.done;
  // More than 16 bytes first: the target is then aligned, and the vector before stays in the page.
  const uint32_t whole = 2 * 16 - (uint32_t)((uint64_t)target % 16);
  const uint32_t head = bytes < whole ? bytes : whole;
  if (lane < head) target[lane] = source[lane];
  const uint32_t from = codec.at + head, shift = from % 16;
  const uint32_t readable = (codec.end - (from - shift)) / 16;
  const uint32_t wanted = (bytes - head) / 16 + (shift != 0);
  const uint32_t inside = wanted < readable ? wanted : readable;
  const uint32_t vectors = shift && inside ? inside - 1 : inside;
  const uint4 *read = (const uint4 *)(codec.source + (from - shift));
  uint4 *write = (uint4 *)(target + head);
  for (uint32_t i = lane; i < vectors; i += WARP_LANES) {
    const uint4 low = read[i];
    write[i] = shift ? codec_shift(low, read[i + 1], shift) : low;
  }
  const uint32_t tail = head + vectors * 16 + lane;  // at most 31 bytes
  if (tail < bytes) target[tail] = source[tail];
  codec.at += bytes;
  codec.done += bytes;
  codec.written = codec.held = codec.done;
  __syncwarp();
  return true;
}

/// Puts a match of any length into the list, which is empty. False if it begins before the output
/// or ends behind it. Scope warp · Result the list · JIT yes
KERNEL_FN bool codec_match(Codec &codec, uint32_t distance, uint64_t count) {
  if (distance - 1 >= codec.done || count > codec.length - codec.done) return false;
  if (codec_lane() == 0) codec.shared->parts[0] = CodecPart{codec.done, codec.done, 0, distance};
  codec.part_count = 1;
  codec.done += (uint32_t)count;
  __syncwarp();  // the window may move now
  return true;
}

/// Finds the elements that the one at `at` leads to within 32 bytes, checks them, puts them into
/// the list and moves behind them, or stops at one that is too long for it. False if one is
/// malformed. Scope warp; `at` is before `end`, at most half of the list is full · Result the list
/// · JIT yes
KERNEL_FN bool codec_round(Codec &codec, const CodecElement &element) {
  const uint32_t lane = codec_lane(), left = codec.end - codec.at;
  const uint32_t next = lane + element.bytes;
  const bool leaves = element.stop || next >= left || next >= WARP_LANES;
  uint32_t chain = 1u << lane;                       // the elements that this lane's leads to, ...
  uint32_t reach = leaves ? CODEC_REACH_OUT : next;  // ... the byte behind them, ...
  if (!element.stop) reach += (element.literal + element.match) * CODEC_REACH_OUTPUT;  // ... output
  for (uint32_t known = 1; known < CODEC_FOUND_MAX; known *= 2) {
    // A shuffle takes the lane from the low 5 bits.
    const uint32_t chain_to = __shfl_sync(WARP_ALL, chain, (int)reach);
    const uint32_t reach_to = __shfl_sync(WARP_ALL, reach, (int)reach);
    if (!(reach & CODEC_REACH_OUT)) {
      chain |= chain_to;
      reach = (reach & ~(CODEC_REACH_OUTPUT - 1)) + reach_to;
    }
  }
  const uint32_t total = __shfl_sync(WARP_ALL, reach, 0) / CODEC_REACH_OUTPUT;
  chain = __shfl_sync(WARP_ALL, chain, 0);
  const uint32_t stops = __ballot_sync(WARP_ALL, element.stop) & chain;
  codec.found = chain & ~stops;
  codec.stopped = stops != 0;
  const bool mine = codec.found >> lane & 1;
  const uint32_t start = codec.done + total - reach / CODEC_REACH_OUTPUT;
  const uint32_t literal_end = start + element.literal;
  const bool early = element.match && element.distance - 1 >= literal_end;
  const bool late = next > left || literal_end + element.match > codec.length;
  if (__any_sync(WARP_ALL, mine && (early || late))) return false;
  if (mine) {
    const uint32_t index = codec.part_count + (uint32_t)__popc(codec.found & ((1u << lane) - 1));
    const uint32_t source = codec.at + lane + element.literal_at - start;
    codec.shared->parts[index] = CodecPart{start, literal_end, source, element.distance};
  }
  codec.part_count += (uint32_t)__popc(codec.found);
  codec.done += total;
  const uint32_t last = 31 - (uint32_t)__clz((int)(chain));
  const uint32_t behind = __shfl_sync(WARP_ALL, next, (int)last);
  codec.at += codec.stopped ? last : behind;
  return true;
}

/// True while another round fits into the batch that began at `batch`.
KERNEL_FN bool codec_more(const Codec &codec, uint32_t batch) {
  return !codec.stopped && codec.at < codec.end && codec.at - batch <= CODEC_BATCH_BYTES &&
         codec.part_count <= CODEC_PARTS_MAX - CODEC_FOUND_MAX;
}

/// The byte of output `p` of a part, from the window, the history or the target. `held` is the
/// first byte of output that the history has.
KERNEL_FN uint32_t codec_byte(const Codec &codec, const CodecPart &part, uint32_t p,
                              uint32_t held) {
  const bool literal = p < part.literal_end;
  const uint32_t from = p - part.distance;
  if (!literal && from < held) return codec.target[from];
  const uint8_t *bytes = (const uint8_t *)(literal ? codec.shared->window : codec.shared->history);
  const uint32_t mask = literal ? CODEC_WINDOW_BYTES - 1 : CODEC_HISTORY_BYTES - 1;
  return bytes[(literal ? part.source + p : from) & mask];
}

/// Writes the parts of the list and empties it.
/// Scope warp · Result the target and the history, visible to the warp · JIT yes
KERNEL_FN void codec_write(Codec &codec) {
  const uint32_t lane = codec_lane();
  __syncwarp();
  const uint32_t begins = lane < codec.part_count ? codec.shared->parts[lane].start : ~0u;
  uint32_t before = 0;  // parts that begin before the chunk
  for (uint32_t chunk = codec.written; chunk < codec.done; chunk += WARP_LANES) {
    const uint32_t within = begins - chunk;
    const uint32_t starts = __reduce_or_sync(WARP_ALL, within < WARP_LANES ? 1u << within : 0u);
    const uint32_t part_index = before + (uint32_t)__popc(starts & ((2u << lane) - 1)) - 1;
    const CodecPart part = codec.shared->parts[part_index];
    before += (uint32_t)__popc(starts);
    // A slot of the history that this chunk is about to write is as good as lost.
    const uint32_t kept = CODEC_HISTORY_BYTES - WARP_LANES;
    const uint32_t slots = chunk > kept ? chunk - kept : 0;
    const uint32_t held = codec.held > slots ? codec.held : slots;
    const uint32_t p = chunk + lane, from = p - part.distance;
    const bool active = p < codec.done;
    const bool inside = active && p >= part.literal_end && from >= chunk;
    uint32_t byte = active && !inside ? codec_byte(codec, part, p, held) : 0;
    const uint32_t insiders = __ballot_sync(WARP_ALL, inside);
    if (insiders) {
      uint32_t root = inside ? from - chunk : lane;
      while (__any_sync(WARP_ALL, (int)(insiders >> root & 1))) {
        root = __shfl_sync(WARP_ALL, root, (int)root);
      }
      byte = __shfl_sync(WARP_ALL, byte, (int)root);
    }
    if (active) {
      ((uint8_t *)codec.shared->history)[p % CODEC_HISTORY_BYTES] = (uint8_t)byte;
      codec.target[p] = (uint8_t)byte;
    }
    __syncwarp();
  }
  codec.written = codec.done;
  codec.part_count = 0;
}

/// Reports a malformed page, and writes zeros for it. Scope warp · JIT yes
KERNEL_FN void codec_fail(const PageCompressed &page, KernelStatus *status) {
  __syncwarp();
  if (codec_lane() == 0) status_set(status, STATUS_PAGE_CODEC, page.page);
  for (uint64_t at = codec_lane(); at < page.target_bytes; at += WARP_LANES) page.target[at] = 0;
}
