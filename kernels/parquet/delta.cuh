// Parquet's DELTA_BINARY_PACKED integers, read by a block: numbers, and the lengths of strings.
// Source  the Parquet format's Encodings.md, "Delta Encoding"; written from the specification.
#pragma once
#include "abi/page.h"
#include "primitives/bytes.cuh"

#define DELTA_ITEMS 8u
#define DELTA_WINDOW (DELTA_ITEMS * PAGE_THREADS)
#define DELTA_GROUPS (DELTA_WINDOW / WARP_LANES)
#define DELTA_WARPS (PAGE_THREADS / WARP_LANES)

/// Where a stream's reading stands, and the groups of 32 deltas of a window: the length of a
/// miniblock is a multiple of 32, so that a group has one width. In shared memory.
struct DeltaStream {
  uint64_t at;                       ///< next byte: of a block's header, or of the miniblock's bits
  uint64_t width_at;                 ///< byte that holds the next miniblock's width
  uint64_t total;                    ///< values of the stream, by its header
  uint64_t first;                    ///< the first value
  uint64_t min_delta;                ///< of the block
  uint64_t miniblocks;               ///< of a block
  uint64_t miniblocks_left;          ///< of this block
  uint64_t miniblock_values;         ///< of a miniblock
  uint64_t values_left;              ///< of this miniblock
  uint32_t width;                    ///< of this miniblock, in bits
  uint32_t width_max;                ///< bits of a value
  uint32_t held;                     ///< deltas of the window
  uint32_t bad;                      ///< 1: what follows the window is malformed
  uint64_t group_min[DELTA_GROUPS];  ///< least delta
  uint32_t group_at[DELTA_GROUPS];   ///< first byte
  uint32_t group_width[DELTA_GROUPS];  ///< bits of a delta
};

/// A signed number of the stream: 7 bits per byte, zigzag. False if it is not of `width_max` bits.
KERNEL_FN bool delta_signed(const uint8_t *data, uint64_t bytes, uint64_t *at, uint32_t width_max,
                            uint64_t *value) {
  uint64_t folded;
  if (!bytes_varint(data, bytes, at, &folded)) return false;
  *value = (folded >> 1) ^ (0 - (folded & 1));
  return width_max == 64 || *value == (uint64_t)(int64_t)(int32_t)(uint32_t)*value;
}

/// Reads the header of the stream that begins at byte `at`; values have `width_max` bits.
/// Scope one thread · Result in `stream` · JIT yes
KERNEL_FN void delta_start(DeltaStream *stream, const uint8_t *data, uint64_t bytes, uint64_t at,
                           uint32_t width_max) {
  uint64_t block = 0, miniblocks = 0, total = 0, first = 0;
  const bool good =
      bytes_varint(data, bytes, &at, &block) && bytes_varint(data, bytes, &at, &miniblocks) &&
      bytes_varint(data, bytes, &at, &total) && delta_signed(data, bytes, &at, width_max, &first) &&
      miniblocks > 0 && (int64_t)(block | miniblocks | total) >= 0 && block % 128 == 0 &&
      block % miniblocks == 0 && block / miniblocks % 32 == 0;
  stream->at = at;
  stream->width_at = 0;
  stream->total = good ? total : 0;
  stream->first = first;
  stream->min_delta = 0;
  stream->miniblocks = miniblocks;
  stream->miniblocks_left = 0;
  stream->miniblock_values = good ? block / miniblocks : 0;
  stream->values_left = 0;
  stream->width = 0;
  stream->width_max = width_max;
  stream->held = 0;
  stream->bad = !good;
}

/// Goes to the next miniblock, and to the next block if there is none. False if they are malformed.
KERNEL_FN bool delta_miniblock(DeltaStream *stream, const uint8_t *data, uint64_t bytes) {
  if (stream->miniblocks_left == 0) {
    uint64_t at = stream->at, min_delta;
    if (!delta_signed(data, bytes, &at, stream->width_max, &min_delta)) return false;
    if (stream->miniblocks > bytes - at) return false;
    stream->min_delta = min_delta;
    stream->width_at = at;
    stream->at = at + stream->miniblocks;
    stream->miniblocks_left = stream->miniblocks;
  }
  stream->width = data[stream->width_at++];
  stream->miniblocks_left--;
  stream->values_left = stream->miniblock_values;
  return stream->values_left > 0 && stream->width <= stream->width_max;
}

/// Lists the groups of whole blocks, at most `room` deltas, and moves the stream behind them: a
/// lane takes a byte of a block's header, then a miniblock, then a group. Stops in front of
/// whatever is unusual or malformed. Answers how many deltas it has listed. Scope one warp, the
/// stream in front of a block · Result in `stream`, written by lane 0 and by the lanes of groups ·
/// JIT yes
KERNEL_FN uint32_t delta_blocks(DeltaStream *stream, const uint8_t *data, uint64_t bytes,
                                uint32_t room) {
  const uint32_t lane = threadIdx.x & 31, width_max = stream->width_max;
  const uint64_t values = stream->miniblock_values, miniblocks = stream->miniblocks;
  if (miniblocks > 16 || values == 0 || values > DELTA_WINDOW) return 0;
  const uint32_t block = (uint32_t)(values * miniblocks);
  const uint32_t groups = block / WARP_LANES, groups_each = (uint32_t)values / WARP_LANES;
  uint64_t at = stream->at;
  uint32_t held = 0;
  while (held + block <= room && at + WARP_LANES <= bytes) {
    const uint32_t byte = data[at + lane];
    const uint32_t last = __ballot_sync(WARP_ALL, !(byte & 128));
    const uint32_t length = (uint32_t)__ffs((int)last);  // bytes of the least delta
    if (length == 0 || length > 10 || length + miniblocks > WARP_LANES) break;
    const uint64_t digit = lane < length ? (uint64_t)(byte & 127) << (7 * lane) : 0;
    const uint64_t folded = (uint64_t)__reduce_or_sync(WARP_ALL, (uint32_t)(digit >> 32)) << 32 |
                            __reduce_or_sync(WARP_ALL, (uint32_t)digit);
    const uint64_t least = (folded >> 1) ^ (0 - (folded & 1));
    const bool fits = width_max == 64 || least == (uint64_t)(int64_t)(int32_t)(uint32_t)least;
    const uint32_t width = __shfl_sync(WARP_ALL, byte, length + lane);
    const bool own = lane < miniblocks;
    if (!__all_sync(WARP_ALL, fits && (!own || width <= width_max))) break;
    const uint32_t packed = own ? groups_each * 4 * width : 0;  // bytes of a miniblock
    uint32_t end = packed;
    for (uint32_t distance = 1; distance < 16; distance *= 2) {
      const uint32_t below = __shfl_up_sync(WARP_ALL, end, distance);
      if (lane >= distance) end += below;
    }
    const uint64_t body = at + length + miniblocks;
    const uint64_t next = body + __shfl_sync(WARP_ALL, end, 15);
    if (next > bytes) break;
    for (uint32_t first = 0; first < groups; first += WARP_LANES) {
      const uint32_t group = first + lane, miniblock = group / groups_each & 31;
      const uint32_t group_width = __shfl_sync(WARP_ALL, width, miniblock);
      const uint32_t start = __shfl_sync(WARP_ALL, end - packed, miniblock);
      if (group >= groups) continue;
      const uint32_t place = held / WARP_LANES + group;
      stream->group_min[place] = least;
      stream->group_at[place] = (uint32_t)body + start + group % groups_each * 4 * group_width;
      stream->group_width[place] = group_width;
    }
    at = next;
    held += block;
  }
  __syncwarp();
  if (lane == 0) stream->at = at;
  return held;
}

/// Lists the groups of the next deltas, `held` being listed: up to `wanted` of them, or as many as
/// a window holds, a group at a time. Scope one thread · Result in `stream` · JIT yes
KERNEL_FN void delta_groups(DeltaStream *stream, const uint8_t *data, uint64_t bytes,
                            uint64_t wanted, uint32_t held) {
  for (uint32_t group = held / WARP_LANES; group < DELTA_GROUPS && held < wanted && !stream->bad;
       group++) {
    if (stream->values_left == 0 && !delta_miniblock(stream, data, bytes)) {
      stream->bad = 1;
      break;
    }
    const uint64_t at = stream->at;
    const uint32_t width = stream->width;
    const uint32_t count = wanted - held < WARP_LANES ? (uint32_t)(wanted - held) : WARP_LANES;
    if (at > bytes || (uint64_t)count * width > (bytes - at) * 8) {
      stream->bad = 1;
      break;
    }
    stream->group_min[group] = stream->min_delta;
    stream->group_at[group] = (uint32_t)at;
    stream->group_width[group] = width;
    stream->at = at + 4 * width;  // 32 values of `width` bits
    stream->values_left -= WARP_LANES;
    held += count;
  }
  stream->held = held;
}

/// Lists the groups of the next deltas: `wanted` of them, or as many as a window holds. Only the
/// last window of a stream may end within a group.
/// Scope one warp · Result in `stream`, for the warp · JIT yes
KERNEL_FN void delta_window(DeltaStream *stream, const uint8_t *data, uint64_t bytes,
                            uint64_t wanted) {
  uint32_t held = 0;
  if (stream->values_left == 0 && stream->miniblocks_left == 0 && !stream->bad) {
    const uint32_t room = wanted < DELTA_WINDOW ? (uint32_t)wanted : DELTA_WINDOW;
    held = delta_blocks(stream, data, bytes, room);
  }
  __syncwarp();
  if ((threadIdx.x & 31) == 0) delta_groups(stream, data, bytes, wanted, held);
  __syncwarp();
}

/// Reads the headers of the stream that begins at byte `at`, up to its end, and answers the byte
/// behind it. `stream->total` becomes 0 if it is malformed, ends early, or has fewer than
/// `count_min` or more than `count_max` values. Scope one warp · Result in every lane, and in
/// `stream` for the warp · JIT yes
KERNEL_FN uint64_t delta_walk(DeltaStream *stream, const uint8_t *data, uint64_t bytes, uint64_t at,
                              uint64_t count_min, uint64_t count_max) {
  const bool first = (threadIdx.x & 31) == 0;
  if (first) {
    delta_start(stream, data, bytes, at, 32);
    if (stream->total < count_min || stream->total > count_max) stream->bad = 1;
  }
  __syncwarp();
  const uint64_t total = stream->total;
  for (uint64_t done = 1; done < total && !stream->bad; done += stream->held) {
    __syncwarp();
    delta_window(stream, data, bytes, total - done);
  }
  // The last miniblock is written in full; those after it are left out.
  const uint64_t groups = stream->values_left / WARP_LANES;
  const uint64_t end = stream->at + (stream->bad ? 0 : groups * 4 * stream->width);
  const bool bad = stream->bad || (groups > bytes && stream->width > 0) || end > bytes;
  __syncwarp();
  if (first && bad) stream->total = 0;
  __syncwarp();
  return total && !bad ? end : bytes;
}

/// Whether the stream that begins at byte `at` is well-formed and has no values; `stream` then is
/// behind its header. Scope one thread · Result in the caller and `stream` · JIT yes
KERNEL_FN bool delta_is_empty(DeltaStream *stream, const uint8_t *data, uint64_t bytes,
                              uint64_t at) {
  if (stream->total) return false;
  delta_start(stream, data, bytes, at, 32);
  const bool empty = !stream->bad && stream->total == 0;
  stream->total = 0;  // that a header claims values does not make any
  return empty;
}

/// Delta `lane` of the group whose bits begin at byte `at`.
/// Scope thread · Result in the caller · Memory two or three aligned words, single bytes near the
/// end · JIT yes
template <typename T>
KERNEL_FN T delta_bits(const uint8_t *data, uint64_t bytes, uint64_t at, uint32_t width,
                       uint32_t lane) {
  const uint32_t bit = lane * width;
  const uint64_t first = at + (bit >> 3);
  uint64_t value;
  if (first + 16 <= bytes) {
    const uint64_t address = (uint64_t)(data + first);
    const uint32_t *words = (const uint32_t *)(address & ~(uint64_t)3);
    const uint32_t shift = (uint32_t)(address & 3) * 8 + (bit & 7);
    value = __funnelshift_r(words[0], words[1], shift);
    if (sizeof(T) == 8) {
      const uint32_t word = width > 32 ? words[2] : 0;
      value |= (uint64_t)__funnelshift_r(words[1], word, shift) << 32;
    }
  } else {
    value = bytes_u64(data, bytes, first) >> (bit & 7);
    const uint32_t high = (bit & 7) + width > 64 ? data[first + 8] : 0;
    if (bit & 7) value |= (uint64_t)high << (64 - (bit & 7));
  }
  return (T)(width < 64 ? value & (((uint64_t)1 << width) - 1) : value);
}

/// Running sums of a window's items, `before` included. Item k of a thread is number
/// `delta_index(k)` of the window.
/// Scope block, all threads · Result the sums in `items`; the last one in every thread · Memory 1
/// barrier; `warp_sums` [DELTA_WARPS] must not be in use before, and is until the next barrier ·
/// JIT yes
template <typename T>
KERNEL_FN T delta_sums(T *items, T *warp_sums, T before) {
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  T sum = 0;
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    T item = items[k];
    for (uint32_t distance = 1; distance < 32; distance *= 2) {
      const T below = __shfl_up_sync(WARP_ALL, item, distance);
      if (lane >= distance) item += below;
    }
    items[k] = item + sum;
    sum = __shfl_sync(WARP_ALL, items[k], 31);
  }
  if (lane == 0) warp_sums[warp] = sum;
  __syncthreads();
  T own = before;
  for (uint32_t i = 0; i < DELTA_WARPS; i++) {
    if (i == warp) own = before;
    before += warp_sums[i];
  }
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) items[k] += own;
  return before;
}

/// Which item of the window a thread's item `k` is: 32 neighbours lie in one warp.
KERNEL_FN uint32_t delta_index(uint32_t k) {
  return (threadIdx.x >> 5) * (DELTA_ITEMS * WARP_LANES) + k * WARP_LANES + (threadIdx.x & 31);
}

/// The values of the window that `delta_window` listed, `before` being the one before them: items
/// at or behind `stream->held` repeat the last one.
/// Scope block, all threads, after a barrier · Result and Memory as `delta_sums` · JIT yes
template <typename T>
KERNEL_FN T delta_values(const DeltaStream *stream, const uint8_t *data, uint64_t bytes, T *items,
                         T *warp_sums, T before) {
  const uint32_t held = stream->held, lane = threadIdx.x & 31;
  for (uint32_t k = 0; k < DELTA_ITEMS; k++) {
    const uint32_t index = delta_index(k), group = index / WARP_LANES;
    items[k] = 0;
    if (index < held) {
      const uint32_t width = stream->group_width[group];
      items[k] = (T)stream->group_min[group];
      if (width) items[k] += delta_bits<T>(data, bytes, stream->group_at[group], width, lane);
    }
  }
  return delta_sums(items, warp_sums, before);
}
