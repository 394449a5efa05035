// Scope   thread, warp
// Bitmaps, least significant bit first: reading a bit, writing 32 at a time.
#pragma once
#include "primitives/prelude.cuh"

/// One bit.
/// Scope thread · Result in the caller · Memory 1 byte read · JIT yes
KERNEL_FN bool bitmap_get(const uint8_t *bitmap, uint64_t bit) {
  return (bitmap[bit >> 3] >> (bit & 7)) & 1;
}

/// The 64 bits from bit `at` on of a bitmap that begins at a multiple of 8 bytes; those at or
/// beyond bit `bits` are undefined, and no byte behind the last of them is read. Scope thread ·
/// Result in the caller · Memory one or two aligned words, single bytes near the end · JIT yes
KERNEL_FN uint64_t bitmap_word(const uint8_t *bitmap, uint64_t at, uint64_t bits) {
  const uint64_t bytes = (bits + 7) / 8, word = at >> 6;
  const uint32_t shift = (uint32_t)(at & 63);
  const uint64_t *words = (const uint64_t *)bitmap;
  uint64_t low = 0, high = 0;
  if (word * 8 + 16 <= bytes) {
    low = words[word];
    if (shift) high = words[word + 1];
  } else {
    for (uint64_t byte = word * 8; byte < bytes; byte++) {
      const uint64_t place = byte - word * 8, value = bitmap[byte];
      if (place < 8) {
        low |= value << (8 * place);
      } else {
        high |= value << (8 * (place - 8));
      }
    }
  }
  return shift ? low >> shift | high << (64 - shift) : low;
}

/// Writes the bits of 32 consecutive rows, `row` being the caller's; the first row of the warp is
/// a multiple of 32. Bits of lanes beyond the rows are written as zero, if the caller says so.
/// Scope warp, all lanes · Result in memory · Memory 4 bytes written · JIT yes
KERNEL_FN void bitmap_write_warp(uint8_t *bitmap, uint64_t row, bool bit) {
  const uint32_t word = __ballot_sync(WARP_ALL, bit);
  if ((threadIdx.x & 31) == 0) ((uint32_t *)bitmap)[row >> 5] = word;
}

/// Ors the bits of up to 32 consecutive rows, starting at any bit, into a zeroed bitmap.
/// `first` is the bit of lane 0; lanes beyond the rows pass false.
/// Scope warp, all lanes · Result in memory · Memory up to two atomics · JIT yes
KERNEL_FN void bitmap_or_warp(uint8_t *bitmap, uint64_t first, bool bit) {
  const uint32_t word = __ballot_sync(WARP_ALL, bit);
  if ((threadIdx.x & 31) != 0 || word == 0) return;
  uint32_t *words = (uint32_t *)bitmap + (first >> 5);
  const uint32_t shift = (uint32_t)(first & 31);
  if (word << shift) atomicOr(words, word << shift);
  if (shift && (word >> (32 - shift))) atomicOr(words + 1, word >> (32 - shift));
}
