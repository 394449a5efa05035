// Scope   block
// Sums over a block.
#pragma once
#include "primitives/prelude.cuh"

/// Exclusive sums of one value per warp, for the warps of a block.
/// `warp_values` [warps] holds the values and, after, the exclusive sums.
/// Scope block, all threads · Result the total, in every thread · Memory 2 barriers · JIT yes
KERNEL_FN uint32_t block_scan_warps(uint32_t *warp_values, uint32_t warps) {
  __syncthreads();
  const uint32_t lane = threadIdx.x & 31;
  SHARED(uint32_t, total, 1);
  if (threadIdx.x < 32) {
    const uint32_t own = lane < warps ? warp_values[lane] : 0;
    uint32_t sum = own;
    for (uint32_t distance = 1; distance < 32; distance *= 2) {
      const uint32_t below = __shfl_up_sync(WARP_ALL, sum, distance);
      if (lane >= distance) sum += below;
    }
    if (lane < warps) warp_values[lane] = sum - own;
    if (lane == 31) total[0] = sum;
  }
  __syncthreads();
  return total[0];
}
