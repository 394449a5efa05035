// What every kernel source starts from: the words that nvcc, NVRTC and the emulator spell
// differently. The emulator defines them itself before any source is read.
#pragma once
#include "abi/prelude.h"

#if defined(__CUDACC__)
#define KERNEL_FN __device__ __forceinline__
#define GRID_CONSTANT(T) const __grid_constant__ T
#define SHARED(T, name, n) __shared__ T name[n]
#define DYN_SHARED(T, name) extern __shared__ T name[]
#endif

/// Asks for a line of 128 bytes, so that it is in the L2 cache when it is read; changes nothing.
/// Scope thread · Memory none · JIT yes
KERNEL_FN void prefetch_line(const void *address) {
#if defined(__CUDACC__)
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#else
  (void)address;
#endif
}

typedef __int128 int128_t;
typedef unsigned __int128 uint128_t;

#define WARP_LANES 32u
#define WARP_ALL 0xffffffffu

/// A 128-bit value from its halves.
KERNEL_FN int128_t int128_of(uint64_t low, uint64_t high) {
  return (int128_t)(((uint128_t)high << 64) | low);
}

/// Rows of a launch: the count on the device if there is one, else the count of the host.
KERNEL_FN uint64_t row_count_of(const uint64_t *row_count_device, uint64_t row_count) {
  return row_count_device ? *row_count_device : row_count;
}
