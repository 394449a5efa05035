// Operator  ceilings (benches/ceilings.rs: no operator, but what bounds them all)
// Kernels   ceilings_gather ceilings_atomic ceilings_shared_atomic ceilings_empty
// Method    a grid of fixed size strides over the operations; the place of each is the hash of its
//           number, so that no array of indices is read beside what is measured
// Cost      one access of 8 B or 32 B per operation, at a random place of the footprint
// Source    none needed
#include "abi/ceilings.h"
#include "primitives/atomic.cuh"
#include "primitives/hash.cuh"

struct CeilingsPolicy {
  static const uint64_t BLOCK_OPERATIONS = (uint64_t)CEILINGS_THREADS * CEILINGS_ITEMS;
};
static_assert((CEILINGS_SHARED_WORDS_MAX & (CEILINGS_SHARED_WORDS_MAX - 1)) == 0,
              "places are chosen by a mask");

/// The sum of the words of a place, read one by one: a sector takes four loads, which is why its
/// rate from the cache is understated (docs/benchmarks.md).
template <uint32_t WORDS>
KERNEL_FN uint64_t ceilings_read(const uint64_t *source, uint64_t place) {
  const uint64_t *words = source + place * WORDS;
  uint64_t sum = 0;
#pragma unroll
  for (uint32_t w = 0; w < WORDS; w++) sum += words[w];
  return sum;
}

/// Reads at the places of every operation of the thread. Result: the sum, in the caller.
template <uint32_t WORDS>
KERNEL_FN uint64_t ceilings_gather_sum(const CeilingsGatherParams &params) {
  const uint64_t stride = gridDim.x * CeilingsPolicy::BLOCK_OPERATIONS;
  uint64_t first = blockIdx.x * CeilingsPolicy::BLOCK_OPERATIONS + threadIdx.x;
  uint64_t sum = 0;
  for (; first < params.operation_count; first += stride) {
    uint64_t items[CEILINGS_ITEMS];
#pragma unroll  // ceilings/gather: all loads of a step are in flight together
    for (uint32_t i = 0; i < CEILINGS_ITEMS; i++) {
      const uint64_t operation = first + (uint64_t)i * CEILINGS_THREADS;
      const uint64_t place = hash_word(operation + 1) & params.place_mask;
      items[i] =
          operation < params.operation_count ? ceilings_read<WORDS>(params.source, place) : 0;
    }
#pragma unroll  // ceilings/gather
    for (uint32_t i = 0; i < CEILINGS_ITEMS; i++) sum += items[i];
  }
  return sum;
}

/// Reads 8 or 32 bytes at random places.
///
/// Shape   source[words * places] -> sums[threads of the grid]
/// Launch  any grid, block = CEILINGS_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   benches/ceilings.rs times it; its results are not checked yet
extern "C" __global__ void __launch_bounds__(CEILINGS_THREADS)
ceilings_gather(GRID_CONSTANT(CeilingsGatherParams) params) {
  const uint64_t thread = (uint64_t)blockIdx.x * CEILINGS_THREADS + threadIdx.x;
  params.sums[thread] = params.words == 1 ? ceilings_gather_sum<1>(params)
                                          : ceilings_gather_sum<CEILINGS_SECTOR_WORDS>(params);
}

/// Does one operation at the place of each number of the thread.
template <uint32_t OP>
KERNEL_FN void ceilings_modify(const CeilingsAtomicParams &params) {
  const uint64_t stride = gridDim.x * CeilingsPolicy::BLOCK_OPERATIONS;
  uint64_t first = blockIdx.x * CeilingsPolicy::BLOCK_OPERATIONS + threadIdx.x;
  for (; first < params.operation_count; first += stride) {
#pragma unroll  // ceilings/atomic: all operations of a step are in flight together
    for (uint32_t i = 0; i < CEILINGS_ITEMS; i++) {
      const uint64_t operation = first + (uint64_t)i * CEILINGS_THREADS;
      const uint64_t place = hash_word(operation + 1) & params.place_mask;
      if (operation >= params.operation_count) continue;
      if (OP == CEILINGS_ADD) {
        atomic_add_u64(params.target + place, 1);
      } else if (OP == CEILINGS_CAS) {
        atomic_cas_u64(params.target + place, 0, place + 1);
      } else {
        st_relaxed(params.target + place, place + 1);
      }
    }
  }
}

/// Adds, compares and swaps, or stores 8 bytes at random places.
///
/// Shape   target[places] -> target[places]
/// Launch  any grid, block = CEILINGS_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   benches/ceilings.rs times it; its results are not checked yet
extern "C" __global__ void __launch_bounds__(CEILINGS_THREADS)
ceilings_atomic(GRID_CONSTANT(CeilingsAtomicParams) params) {
  switch (params.op) {
    case CEILINGS_ADD: ceilings_modify<CEILINGS_ADD>(params); break;
    case CEILINGS_CAS: ceilings_modify<CEILINGS_CAS>(params); break;
    default: ceilings_modify<CEILINGS_STORE>(params); break;
  }
}

/// Adds 1 at random places of a block's shared memory, and the totals to device memory at the end.
///
/// Shape   -> counters[place_mask + 1]
/// Launch  any grid, block = CEILINGS_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   benches/ceilings.rs times it; its results are not checked yet
extern "C" __global__ void __launch_bounds__(CEILINGS_THREADS)
ceilings_shared_atomic(GRID_CONSTANT(CeilingsSharedAtomicParams) params) {
  SHARED(uint64_t, counters, CEILINGS_SHARED_WORDS_MAX);
  for (uint32_t i = threadIdx.x; i <= params.place_mask; i += CEILINGS_THREADS) counters[i] = 0;
  __syncthreads();
  const uint64_t stride = (uint64_t)gridDim.x * CEILINGS_THREADS;
  uint64_t operation = (uint64_t)blockIdx.x * CEILINGS_THREADS + threadIdx.x;
  for (; operation < params.operation_count; operation += stride) {
    atomic_add_u64(counters + (hash_word(operation + 1) & params.place_mask), 1);
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i <= params.place_mask; i += CEILINGS_THREADS) {
    atomic_add_u64(params.counters + i, counters[i]);
  }
}

/// Does nothing: what a launch costs.
///
/// Shape   nothing -> nothing
/// Launch  grid = 1, block = CEILINGS_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   benches/ceilings.rs
extern "C" __global__ void __launch_bounds__(CEILINGS_THREADS)
ceilings_empty(GRID_CONSTANT(CeilingsEmptyParams) params) { (void)params; }
