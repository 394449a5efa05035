// Parquet's RLE / bit-packed hybrid, read by a block: levels, dictionary indices, Booleans.
// Source  the Parquet format's Encodings.md, "Run Length Encoding / Bit-Packing Hybrid"; written
//         from the specification.
#pragma once
#include "primitives/bytes.cuh"

#define HYBRID_RUNS_MAX 128u

/// Runs of a window of values, and where the reading of headers goes on. In shared memory.
struct HybridRuns {
  uint64_t at;                       ///< next byte of the section
  uint32_t run_count;                ///< runs in the window
  uint32_t window_start;             ///< first value of the window
  uint32_t window_end;               ///< behind the last value of the window
  uint32_t ended;                    ///< 1: no header follows, in later windows either
  uint32_t first[HYBRID_RUNS_MAX];   ///< first value of a run
  uint32_t source[HYBRID_RUNS_MAX];  ///< byte where a packed run's bits begin; else the value
  uint32_t packed[HYBRID_RUNS_MAX];  ///< 1: bit-packed
};

/// Starts at the section's first value.
/// Scope one thread · Result in `runs` · JIT yes
KERNEL_FN void hybrid_start(HybridRuns *runs, uint64_t at) {
  runs->at = at;
  runs->run_count = runs->window_start = runs->window_end = runs->ended = 0;
}

/// Reads headers until the window is full or holds value `count - 1`. A header of 0 ends the
/// section, as padding does, if `zero_ends`; else it is a run of nothing, and its value follows. A
/// packed run may be cut off by the end of the section.
/// Scope one thread · Result in `runs` · JIT yes
KERNEL_FN void hybrid_window(HybridRuns *runs, const uint8_t *data, uint64_t bytes, uint32_t bits,
                             uint32_t count, bool zero_ends) {
  uint64_t at = runs->at, value = runs->window_end;
  uint32_t run = 0;
  runs->window_start = runs->window_end;
  while (run < HYBRID_RUNS_MAX && value < count && !runs->ended) {
    uint64_t header;
    if (!bytes_varint(data, bytes, &at, &header) || (header == 0 && zero_ends)) {
      runs->ended = 1;
      break;
    }
    runs->first[run] = (uint32_t)value;
    runs->packed[run] = header & 1;
    if (header & 1) {
      const uint64_t left = bytes - at;
      const uint64_t held = bits ? left * 8 / bits : (uint64_t)count;
      const uint64_t groups = (header >> 1) < (uint64_t)1 << 31 ? header >> 1 : (uint64_t)1 << 31;
      const uint64_t whole = groups * bits;  // 8 values of `bits` bits in so many bytes
      runs->source[run] = (uint32_t)at;
      value += groups * 8 < held ? groups * 8 : held;
      at += whole < left ? whole : left;
    } else {
      const uint32_t width = (bits + 7) / 8;
      if (bytes - at < width) {
        runs->ended = 1;
        break;
      }
      const uint32_t word = bytes_u32(data, bytes, at);
      runs->source[run] = width == 4 ? word : word & ((1u << (8 * width)) - 1);
      at += width;
      value += header >> 1;
    }
    if (value > count) value = count;
    if (value > runs->first[run]) run++;
  }
  runs->at = at;
  runs->run_count = run;
  runs->window_end = (uint32_t)value;
}

/// Whether the run at byte `at`, if there is one, has its value: the CPU reads it even if no value
/// is wanted.
/// Scope thread · Result in the caller · Memory up to 10 bytes · JIT yes
KERNEL_FN bool hybrid_begins(const uint8_t *data, uint64_t bytes, uint64_t at, uint32_t bits) {
  uint64_t header;
  if (!bytes_varint(data, bytes, &at, &header) || header == 0 || (header & 1)) return true;
  return bytes - at >= (bits + 7) / 8;
}

/// Value `index` of the window.
/// Scope thread · Result in the caller · Memory shared words, two words of the section · JIT yes
KERNEL_FN uint32_t hybrid_value(const HybridRuns *runs, const uint8_t *data, uint64_t bytes,
                                uint32_t bits, uint32_t index) {
  uint32_t low = 0, high = runs->run_count;  // the last run that begins at or before `index`
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    if (runs->first[middle] <= index)
      low = middle;
    else
      high = middle;
  }
  const uint32_t source = runs->source[low];
  if (!runs->packed[low] || bits == 0) return runs->packed[low] ? 0 : source;
  const uint64_t bit = (uint64_t)(index - runs->first[low]) * bits;
  const uint64_t at = source + (bit >> 3);
  const uint32_t shift = (uint32_t)(bit & 7);
  uint64_t word = bytes_u32(data, bytes, at);
  if (shift + bits > 32) word |= (uint64_t)bytes_u32(data, bytes, at + 4) << 32;
  return (uint32_t)(word >> shift) & (uint32_t)(((uint64_t)1 << bits) - 1);
}
