// Scope   grid
// Tickets and decoupled look-back: a prefix sum over tiles in one pass.
// Source  D. Merrill, M. Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back",
//         NVIDIA technical report 2016; written from the idea.
#pragma once
#include "primitives/atomic.cuh"

#define LOOKBACK_AGGREGATE (1ull << 62)
#define LOOKBACK_INCLUSIVE (2ull << 62)
#define LOOKBACK_VALUE ((1ull << 62) - 1)

/// The next tile in order. Blocks that hold a ticket are running, so that waiting for a smaller
/// ticket always ends.
/// Scope block, all threads · Result in every thread · Memory 1 barrier, 1 atomic · JIT yes
KERNEL_FN uint64_t grid_ticket(uint64_t *ticket) {
  SHARED(uint64_t, own, 1);
  if (threadIdx.x == 0) own[0] = atomic_add_u64(ticket, 1);
  __syncthreads();
  return own[0];
}

/// The sum of the values of all tiles before `tile`. `states` [tiles] starts as zero.
/// Scope the first warp of a block, all lanes · Result in every lane · Memory relaxed words that
/// carry flag and value together, hence no fence · JIT yes
KERNEL_FN uint64_t grid_lookback(uint64_t *states, uint64_t tile, uint64_t value) {
  const uint32_t lane = threadIdx.x & 31;
  if (tile == 0) {
    if (lane == 0) st_release(&states[0], LOOKBACK_INCLUSIVE | value);
    return 0;
  }
  if (lane == 0) st_release(&states[tile], LOOKBACK_AGGREGATE | value);
  uint64_t sum = 0;
  for (uint64_t end = tile;; end -= 32) {
    // Lane l looks at tile end - 1 - l; lanes before tile 0 see an inclusive sum of nothing.
    uint64_t state = LOOKBACK_INCLUSIVE;
    if (lane < end) {
      do {
        state = ld_acquire(&states[end - 1 - lane]);
      } while ((state >> 62) == 0);
    }
    __syncwarp();
    const uint32_t inclusive = __ballot_sync(WARP_ALL, (state >> 62) == 2);
    const uint32_t last = inclusive ? (uint32_t)__ffs((int)inclusive) - 1 : 31;
    uint64_t part = lane <= last ? state & LOOKBACK_VALUE : 0;
    for (uint32_t distance = 16; distance > 0; distance /= 2) {
      part += __shfl_xor_sync(WARP_ALL, part, (int)distance);
    }
    sum += part;
    if (inclusive) break;
  }
  if (lane == 0) st_release(&states[tile], LOOKBACK_INCLUSIVE | (sum + value));
  return sum;
}
