// Kernels with planted bugs: `bug` in the launch struct picks one, 0 is the correct kernel.
//
// Written as kernels of the library are, so that the emulator is tested on what it is for.

// ---- reduction ------------------------------------------------------------------------------------

struct DemoReduceParams {
  const uint64_t *values;  // [value_count], read
  uint64_t *sum;           // [1], accumulated
  uint64_t value_count;
  uint64_t bug;
};

extern "C" __global__ void __launch_bounds__(256) demo_reduce(GRID_CONSTANT(DemoReduceParams) params) {
  SHARED(uint64_t, partial, 32);
  const uint64_t bug = params.bug;
  uint64_t sum = 0;
  for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < params.value_count;
       i += (uint64_t)gridDim.x * blockDim.x) {
    if (bug == 13) {  // misaligned: four bytes off
      sum += *(const uint64_t *)((const char *)(params.values + (i + 1 < params.value_count ? i : 0)) + 4);
    } else {
      sum += params.values[bug == 1 ? i + 1 : i];  // 1: off by one at the end
    }
  }
  for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  if (bug != 2) __syncthreads();  // 2: missing barrier
  if (threadIdx.x < 32) {
    const bool mine = bug == 3 || threadIdx.x < blockDim.x / 32;  // 3: reads unwritten shared memory
    sum = mine ? partial[threadIdx.x] : 0;
    for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
    if (threadIdx.x == 0) {
      if (bug == 4) *params.sum += sum;  // 4: not atomic across blocks
      else if (bug == 18 && blockIdx.x == 0) *params.sum = sum;  // 18: a plain store among atomics
      else atomicAdd((unsigned long long *)params.sum, sum);
    }
  }
  if (bug == 5 && threadIdx.x < 16) __syncthreads();  // 5: divergent barrier
  if (bug == 16) {  // 16: two barriers where one is meant
    if (threadIdx.x % 2) __syncthreads();
    else
      __syncthreads();
  }
}

// ---- hash table -----------------------------------------------------------------------------------

struct DemoBuildParams {
  const uint64_t *keys;  // [key_count], read
  uint64_t *slots;       // [slot_count], all EMPTY, written
  uint32_t *counts;      // [slot_count], accumulated
  uint64_t key_count;
  uint64_t slot_count;
  uint64_t bug;
};

static __device__ const uint64_t DEMO_EMPTY = ~0ull;

extern "C" __global__ void demo_build(GRID_CONSTANT(DemoBuildParams) params) {
  const uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= params.key_count) return;
  const uint64_t key = params.keys[i], bug = params.bug;
  uint64_t slot = __umul64hi(key * 0x9e3779b97f4a7c15ull, params.slot_count);
  const uint64_t tries = bug == 6 ? ~0ull : params.slot_count;  // 6: spins for ever on a full table
  for (uint64_t t = 0; t < tries; t++) {
    if (bug == 7) {  // 7: test, then set
      if (params.slots[slot] == DEMO_EMPTY) params.slots[slot] = key;
      if (params.slots[slot] == key) {
        atomicAdd(&params.counts[slot], 1u);
        return;
      }
    } else {
      const uint64_t old = atomicCAS((unsigned long long *)&params.slots[slot], DEMO_EMPTY, key);
      if (old == DEMO_EMPTY || old == key) {
        atomicAdd(&params.counts[slot], 1u);
        return;
      }
    }
    slot = slot + 1 == params.slot_count ? 0 : slot + 1;
  }
}

// ---- Parquet's RLE / bit-packed hybrid: one block, thread 0 finds the runs, all expand them ---------

struct DemoHybridParams {
  const uint8_t *page;  // [page_bytes], read
  uint32_t *values;     // [value_count], written
  uint32_t *error;      // [1], set on a malformed page
  uint64_t page_bytes;
  uint32_t bit_width;
  uint32_t value_count;
  uint64_t bug;
};

struct DemoRun {
  uint32_t first, length, byte, packed, value;
};

KERNEL_FN bool demo_next_run(const DemoHybridParams &params, uint32_t &at, uint32_t made, DemoRun &run) {
  uint32_t header = 0, shift = 0;
  while (true) {
    if (at >= params.page_bytes && params.bug != 8) return false;  // 8: no bounds check
    const uint32_t byte = params.page[at++];
    header |= (byte & 127) << shift;
    if (byte < 128) break;
    shift += 7;
    if (shift > 28) return false;
  }
  const uint32_t left = params.value_count - made, room = (uint32_t)params.page_bytes - at;
  if (header & 1) {
    const uint64_t length = (uint64_t)(header >> 1) * 8, need = (uint64_t)(header >> 1) * params.bit_width;
    if (params.bug != 9 && (need > room || length == 0)) return false;  // 9: trusts the header
    run = DemoRun{made, (uint32_t)min(length, (uint64_t)left), at, 1, 0};
    at += (uint32_t)need;
  } else {
    const uint32_t length = header >> 1, bytes = (params.bit_width + 7) / 8;
    if (bytes > room || length == 0) return false;
    uint32_t value = 0;
    for (uint32_t k = 0; k < bytes; k++) value |= (uint32_t)params.page[at + k] << (8 * k);
    run = DemoRun{made, min(length, left), at, 0, value};
    at += bytes;
  }
  return true;
}

extern "C" __global__ void demo_hybrid(GRID_CONSTANT(DemoHybridParams) params) {
  SHARED(DemoRun, run, 1);
  SHARED(uint32_t, stop, 1);
  uint32_t at = 0, made = 0;
  if (threadIdx.x == 0) stop[0] = 0;
  __syncthreads();
  while (true) {
    if (threadIdx.x == 0) {
      DemoRun next = {};
      if (made >= params.value_count) stop[0] = 1;
      else if (!demo_next_run(params, at, made, next)) {
        stop[0] = 1;
        *params.error = 1;
      } else {
        run[0] = next;
        made += next.length;
      }
    }
    __syncthreads();
    if (stop[0]) return;
    const DemoRun mine = run[0];
    for (uint32_t i = threadIdx.x; i < mine.length; i += blockDim.x) {
      uint32_t value = mine.value;
      if (mine.packed) {
        value = 0;
        for (uint32_t k = 0; k < params.bit_width; k++) {
          const uint64_t bit = (uint64_t)i * params.bit_width + k;
          value |= (uint32_t)(params.page[mine.byte + bit / 8] >> (bit % 8) & 1) << k;
        }
      }
      params.values[mine.first + i] = value;
    }
    if (params.bug != 10) __syncthreads();  // 10: `run` overwritten while in use
  }
}

// ---- compaction by ballot -------------------------------------------------------------------------

struct DemoCompactParams {
  const int32_t *values;  // [value_count], read
  int32_t *kept;          // [value_count], written
  uint32_t *kept_count;   // [1], accumulated
  uint64_t value_count;
  uint64_t bug;
};

extern "C" __global__ void demo_compact(GRID_CONSTANT(DemoCompactParams) params) {
  const uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x, bug = params.bug;
  const uint32_t lane = threadIdx.x % 32;
  if (bug == 11) {  // 11: lanes of the mask have left
    if (i >= params.value_count) return;
    __ballot_sync(0xffffffffu, 1);
  }
  if (bug == 17) __ballot_sync(__activemask(), 1);  // 17: a mask with no portable meaning
  const bool keep = i < params.value_count && params.values[i] > 0;
  const uint32_t kept = __ballot_sync(0xffffffffu, keep);
  uint32_t base = 0;
  if (lane == 0) base = atomicAdd(params.kept_count, (uint32_t)__popc(kept));
  if (bug != 12) base = __shfl_sync(0xffffffffu, base, 0);  // 12: base not broadcast
  if (keep) params.kept[base + __popc(kept & ((1u << lane) - 1))] = params.values[i];
}

// ---- scan by decoupled look-back --------------------------------------------------------------------

enum { DEMO_SCAN_THREADS = 64 };

struct DemoScanParams {
  const uint32_t *values;  // [value_count], read
  uint64_t *sums;          // [value_count], inclusive, written
  uint64_t *tile_sums;     // [tiles], written by whoever owns the tile
  uint64_t *tile_totals;   // [tiles], sums of all tiles up to this one, written
  uint32_t *tile_states;   // [tiles], zeroed; 1: sum known, 2: total known
  uint32_t *next_tile;     // [1], zeroed
  uint64_t value_count;
  uint64_t bug;
};

KERNEL_FN void demo_publish(uint32_t *state, uint32_t value, uint64_t bug) {
  if (bug == 15) st_relaxed(state, value);  // 15: no release
  else if (bug == 100) {                    // correct, by fence and atomic
    __threadfence();
    atomicExch(state, value);
  } else if (bug == 19) {  // 19: a fence for the block only
    __threadfence_block();
    atomicExch(state, value);
  } else st_release(state, value);
}

KERNEL_FN uint32_t demo_peek(uint32_t *state, uint64_t bug) {
  if (bug != 100) return ld_acquire(state);
  const uint32_t value = atomicAdd(state, 0);
  __threadfence();
  return value;
}

extern "C" __global__ void __launch_bounds__(DEMO_SCAN_THREADS) demo_scan(GRID_CONSTANT(DemoScanParams) params) {
  SHARED(uint64_t, warp_sums, DEMO_SCAN_THREADS / 32);
  SHARED(uint64_t, before_tile, 1);
  SHARED(uint32_t, tile_index, 1);
  if (threadIdx.x == 0) tile_index[0] = atomicAdd(params.next_tile, 1u);
  __syncthreads();
  const uint32_t tile = tile_index[0];
  const uint64_t row = (uint64_t)tile * DEMO_SCAN_THREADS + threadIdx.x;
  uint64_t sum = row < params.value_count ? params.values[row] : 0;
  for (uint32_t delta = 1; delta < 32; delta *= 2) {
    const uint64_t other = __shfl_up_sync(0xffffffffu, sum, delta);
    if (threadIdx.x % 32 >= delta) sum += other;
  }
  if (threadIdx.x % 32 == 31) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  for (uint32_t warp = 0; warp < threadIdx.x / 32; warp++) sum += warp_sums[warp];
  if (threadIdx.x == DEMO_SCAN_THREADS - 1) {
    uint64_t before = 0;
    if (tile > 0) {
      params.tile_sums[tile] = sum;
      demo_publish(&params.tile_states[tile], 1, params.bug);
      for (uint32_t back = tile; back-- > 0;) {
        uint32_t state;
        while ((state = demo_peek(&params.tile_states[back], params.bug)) == 0) {
        }
        before += state == 2 ? params.tile_totals[back] : params.tile_sums[back];
        if (state == 2) break;
      }
    }
    params.tile_totals[tile] = before + sum;
    demo_publish(&params.tile_states[tile], 2, params.bug);
    before_tile[0] = before;
  }
  __syncthreads();
  if (row < params.value_count) params.sums[row] = before_tile[0] + sum;
}

// ---- last block done, and dynamic shared memory -----------------------------------------------------

struct DemoLastBlockParams {
  const uint32_t *values;  // [value_count], read
  uint64_t *partials;      // [gridDim.x], written
  uint32_t *finished;      // [1], zeroed
  uint64_t *total;         // [1], written
  uint64_t value_count;
  uint64_t bug;
};

extern "C" __global__ void demo_last_block(GRID_CONSTANT(DemoLastBlockParams) params) {
  DYN_SHARED(uint64_t, sums);
  SHARED(uint32_t, is_last, 1);
  const uint32_t t = threadIdx.x;
  uint64_t sum = 0;
  for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + t; i < params.value_count; i += gridDim.x * blockDim.x)
    sum += __ldg(params.values + i);
  sums[t] = sum;
  __syncthreads();
  for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
    if (t < half) sums[t] += sums[t + half];
    __syncthreads();
  }
  if (t == 0) {
    params.partials[blockIdx.x] = sums[0];
    if (params.bug != 20) __threadfence();  // 20: no fence before the ticket
    is_last[0] = atomicAdd(params.finished, 1u) == gridDim.x - 1;
    __threadfence();
  }
  if (!__syncthreads_or(t == 0 && is_last[0])) return;
  if (t < 32) {
    uint64_t total = 0;
    for (uint32_t i = t; i < gridDim.x; i += 32) total += params.partials[i];
    sums[t] = total;
    __syncwarp();
    if (t == 0) {
      for (int lane = 1; lane < 32; lane++) total += sums[lane];
      *params.total = total;
    }
  }
}

// ---- small things ---------------------------------------------------------------------------------

struct DemoCopyParams {
  const uint32_t *source;  // [count], read
  uint32_t *target;        // [count], written
  uint64_t count;
  uint32_t add;
  uint32_t padding;
};

extern "C" __global__ void demo_copy(GRID_CONSTANT(DemoCopyParams) params) {
  const uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < params.count) params.target[i] = params.source[i] + params.add;
}

struct DemoVerbsParams {
  uint32_t *failed;  // [1], zeroed: the number of a check that failed
  uint64_t *words;   // [blockDim.x], written
};

#define DEMO_CHECK(number, condition) \
  if (!(condition)) atomicMax(params.failed, (unsigned)(number))

/// One warp and a half: every verb against its definition.
extern "C" __global__ void demo_verbs(GRID_CONSTANT(DemoVerbsParams) params) {
  const uint32_t t = threadIdx.x, lane = t % 32;
  const uint32_t all = t < 32 ? 0xffffffffu : 0x0000ffffu;
  const uint32_t lanes = t < 32 ? 32 : 16;
  DEMO_CHECK(1, __ballot_sync(all, lane % 3 == 0) == (0x49249249u & all));
  DEMO_CHECK(2, __any_sync(all, lane == 5) && !__any_sync(all, 0));
  DEMO_CHECK(3, __all_sync(all, lane < lanes) && !__all_sync(all, lane == 1));
  DEMO_CHECK(4, __shfl_sync(all, lane * 3, 7) == 21);
  DEMO_CHECK(5, __shfl_up_sync(all, lane, 2) == (lane < 2 ? lane : lane - 2));
  if (t < 32) {
    DEMO_CHECK(6, __shfl_down_sync(all, (double)lane, 3) == (lane + 3 > 31 ? lane : lane + 3));
    DEMO_CHECK(7, __shfl_xor_sync(all, (uint64_t)lane << 40, 5) == (uint64_t)(lane ^ 5) << 40);
    DEMO_CHECK(8, __shfl_sync(all, lane, 1, 8) == (lane & ~7u) + 1);
  }
  DEMO_CHECK(9, __match_any_sync(all, lane % 2) == ((lane % 2 ? 0xaaaaaaaau : 0x55555555u) & all));
  DEMO_CHECK(10, __reduce_add_sync(all, lane) == lanes * (lanes - 1) / 2);
  DEMO_CHECK(11, __reduce_min_sync(all, (int)lane - 5) == -5);
  DEMO_CHECK(12, __reduce_max_sync(all, lane) == lanes - 1);
  DEMO_CHECK(13, __reduce_or_sync(all, 1u << lane) == all && __reduce_and_sync(all, 6u | lane) == 6u);
  DEMO_CHECK(14, __syncthreads_count(t % 2 == 0) == 24);
  DEMO_CHECK(15, __syncthreads_or(t == 40) && !__syncthreads_and(t != 40));
  DEMO_CHECK(16, __popc(0xf0f0u) == 8 && __popcll(~0ull) == 64 && __ffs(8) == 4 && __ffsll(1ll << 40) == 41);
  DEMO_CHECK(17, __clz(1) == 31 && __clz(0) == 32 && __clzll(1) == 63 && __brev(1u) == 0x80000000u);
  DEMO_CHECK(18, __funnelshift_r(0x11112222u, 0x33334444u, 16) == 0x44441111u);
  DEMO_CHECK(19, __funnelshift_l(0x11112222u, 0x33334444u, 16) == 0x44441111u);
  DEMO_CHECK(20, __umul64hi(~0ull, 2) == 1 && __float_as_uint(1.0f) == 0x3f800000u);
  DEMO_CHECK(21, __longlong_as_double(__double_as_longlong(2.5)) == 2.5 && min(3, 2) == 2 && max(1.0, 2.0) == 2.0);
  DEMO_CHECK(22, (uint64_t)((__int128)params.words[t] * t >> 64) == 0);
  __nanosleep(10);
  __syncthreads();
  if (t == 0) params.words[0] = 1000;
  __syncthreads();
  atomicMin((unsigned long long *)&params.words[0], 900ull + t);
  atomicMax((int *)&params.words[1], (int)t);
  atomicOr((unsigned *)&params.words[2], 1u << lane);
  atomicXor((unsigned *)&params.words[3], 1u);
  atomicInc((unsigned *)&params.words[4], 1000u);
  atomicAdd((double *)&params.words[5], 0.5);
  atomicAdd((float *)&params.words[6], 0.5f);
  atomicAnd((unsigned *)&params.words[7], ~(1u << lane));
  atomicSub((int *)&params.words[8], 1);
}

struct DemoBlockOrderParams {
  uint32_t *order;  // [gridDim.x * gridDim.y], written
  uint32_t *next;   // [1], zeroed
};

extern "C" __global__ void demo_block_order(GRID_CONSTANT(DemoBlockOrderParams) params) {
  if (threadIdx.x + threadIdx.y + threadIdx.z == 0)
    params.order[atomicAdd(params.next, 1u)] = blockIdx.y * gridDim.x + blockIdx.x;
}
