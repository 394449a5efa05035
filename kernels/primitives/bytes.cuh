// Scope   thread
// Reading numbers that lie at any byte.
#pragma once
#include "primitives/prelude.cuh"

/// The 32 bits from byte `at` on, least significant byte first; bytes at or beyond `bytes` are
/// zero. Scope thread · Result in the caller · Memory two aligned words, so up to 3 bytes in front
/// of `at`, single bytes near the end · JIT yes
KERNEL_FN uint32_t bytes_u32(const uint8_t *data, uint64_t bytes, uint64_t at) {
  if (at + 8 <= bytes) {
    const uint64_t address = (uint64_t)(data + at);
    const uint32_t *words = (const uint32_t *)(address & ~(uint64_t)3);
    const uint32_t shift = (uint32_t)(address & 3) * 8;
    return shift ? __funnelshift_r(words[0], words[1], shift) : words[0];
  }
  uint32_t value = 0;
  for (uint32_t i = 0; i < 4; i++) {
    if (at + i < bytes) value |= (uint32_t)data[at + i] << (8 * i);
  }
  return value;
}

/// The 64 bits from byte `at` on, as `bytes_u32`.
KERNEL_FN uint64_t bytes_u64(const uint8_t *data, uint64_t bytes, uint64_t at) {
  return bytes_u32(data, bytes, at) | (uint64_t)bytes_u32(data, bytes, at + 4) << 32;
}

/// An integer of 7 bits per byte, low ones first, from byte `*at` on, which then moves behind it.
/// False if it does not end within `bytes` or has more than 64 bits.
KERNEL_FN bool bytes_varint(const uint8_t *data, uint64_t bytes, uint64_t *at, uint64_t *value) {
  uint64_t sum = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    if (*at >= bytes) return false;
    const uint8_t byte = data[(*at)++];
    sum |= (uint64_t)(byte & 127) << shift;
    if (!(byte & 128)) {
      *value = sum;
      return true;
    }
  }
  return false;
}
