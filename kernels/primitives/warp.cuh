// Scope   warp
// Which lanes of a warp agree.
#pragma once
#include "primitives/prelude.cuh"

/// The lanes whose values have the same low `BITS` bits as the caller's: a ballot per bit, which
/// takes fewer cycles than a match of whole words while the bits are few.
/// Scope warp, all lanes · Result in every lane · Memory none · JIT yes
template <uint32_t BITS>
KERNEL_FN uint32_t warp_match(uint32_t value) {
  uint32_t peers = WARP_ALL;
#pragma unroll  // sort/keys
  for (uint32_t bit = 0; bit < BITS; bit++) {
    const bool set = value >> bit & 1;
    const uint32_t lanes = __ballot_sync(WARP_ALL, set);
    peers &= set ? lanes : ~lanes;
  }
  return peers;
}

/// Inclusive sums over the lanes of a warp.
/// Scope warp, all lanes · Result in every lane · Memory none · JIT yes
KERNEL_FN uint32_t warp_scan(uint32_t value) {
  const uint32_t lane = threadIdx.x & 31;
  for (uint32_t distance = 1; distance < WARP_LANES; distance *= 2) {
    const uint32_t below = __shfl_up_sync(WARP_ALL, value, distance);
    if (lane >= distance) value += below;
  }
  return value;
}
