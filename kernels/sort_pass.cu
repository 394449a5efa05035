// Operator  sort (src/operators/sort.rs states the contract)
// Kernels   sort_pass_u32 sort_pass_u32_rows sort_pass_u64 sort_pass_u64_rows
// Method    one pass of a stable radix sort from the least significant digit on: a block takes a
//           tile, counts its digits and tells the tiles behind it, then ranks its rows (the lanes
//           of a warp that have one digit find each other by their bits in a shared word) and puts
//           them at their places in shared memory; it learns from the tiles before it, value by
//           value, where its rows go (decoupled look-back), and writes them, so that rows of one
//           value leave side by side
// Cost      reads and writes each word (4 or 8 B) and row number (4 B, not read by the first pass)
//           once per pass; per tile 1 KiB of states written, a few read
// Source    A. Adinets, D. Merrill, "Onesweep: A Faster Least Significant Digit Radix Sort for
//           GPUs", arXiv 2206.01784, 2022; written from the idea
#include "sort.cuh"
#include "primitives/grid.cuh"
#include "primitives/warp.cuh"

struct SortPassPolicy {
  static const uint32_t WARPS = SORT_PASS_THREADS / 32;
  static const uint32_t DEPTH = 8;  // states that one look takes in: sort/keys
  enum : uint32_t { AGGREGATE = 1u << 30, INCLUSIVE = 2u << 30, VALUE = (1u << 30) - 1 };
  // Per multiprocessor, so that one loads while one ranks: as many as shared memory holds.
  static const uint32_t BLOCKS_U32 = 3;
  static const uint32_t BLOCKS = 2;
};
static_assert(SORT_DIGITS % 32 == 0 && SORT_DIGITS <= SORT_PASS_THREADS,
              "whole warps own the values");
static_assert(SORT_PORTION_ROWS_MAX - 1 <= SortPassPolicy::VALUE, "a count fits beside its flag");

/// The sum over all tiles before `tile` of what each counted for the caller's value of the digit.
KERNEL_FN uint32_t sort_lookback(const uint32_t *states, uint64_t tile) {
  uint32_t sum = 0;
  for (uint64_t end = tile; end > 0;) {
    uint32_t seen[SortPassPolicy::DEPTH];
#pragma unroll  // sort/keys
    for (uint32_t k = 0; k < SortPassPolicy::DEPTH; k++) {
      seen[k] = k < end ? ld_relaxed(states + (end - 1 - k) * SORT_DIGITS + threadIdx.x) : 0;
    }
    bool looking = true;
    uint64_t next_end = end;
#pragma unroll  // sort/keys
    for (uint32_t k = 0; k < SortPassPolicy::DEPTH; k++) {
      looking = looking && seen[k] >= SortPassPolicy::AGGREGATE;
      if (!looking) continue;
      sum += seen[k] & SortPassPolicy::VALUE;
      next_end--;
      if (seen[k] >= SortPassPolicy::INCLUSIVE) {
        next_end = 0;
        looking = false;
      }
    }
    end = next_end;
  }
  return sum;
}

template <typename WORD>
KERNEL_FN uint32_t sort_digit(WORD word, uint32_t shift) {
  return (uint32_t)(word >> shift) & (SORT_DIGITS - 1);
}

/// Counts the digits of a warp's words in `counters` [SORT_DIGITS], and clears its `masks`
/// [SORT_DIGITS].
template <typename WORD, uint32_t ITEMS>
KERNEL_FN void sort_count(const WORD (&words)[ITEMS], uint32_t steps, uint32_t shift,
                          uint32_t *counters, uint32_t *masks) {
  for (uint32_t value = threadIdx.x & 31; value < SORT_DIGITS; value += 32) {
    counters[value] = 0;
    masks[value] = 0;
  }
  __syncwarp();
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (i >= steps) break;
    atomicAdd(counters + sort_digit(words[i], shift), 1u);
  }
}

/// What a thread knows of its value of the digit.
struct SortValue {
  uint32_t start;  // where its rows begin in the tile
  uint32_t count;  // how many it has, pads aside
};

/// Tells the tiles behind what this one counted, and turns the warps' counts into places within the
/// tile.
KERNEL_FN SortValue sort_publish(const SortPassParams &params, uint64_t tile, uint32_t pads,
                                 uint32_t *counters) {
  SHARED(uint32_t, warp_counts, SortPassPolicy::WARPS);
  const uint32_t value = threadIdx.x, warp = value / 32;
  __syncthreads();
  uint32_t count = 0, own = 0;
  if (value < SORT_DIGITS) {
    for (uint32_t w = 0; w < SortPassPolicy::WARPS; w++) {
      const uint32_t rows = counters[w * SORT_DIGITS + value];
      counters[w * SORT_DIGITS + value] = count;
      count += rows;
    }
    own = count - (value == SORT_DIGITS - 1 ? pads : 0);
    st_relaxed(params.states + SORT_STATES_START + tile * SORT_DIGITS + value,
               (tile ? SortPassPolicy::AGGREGATE : SortPassPolicy::INCLUSIVE) | own);
  }
  const uint32_t sum = warp_scan(count);
  if ((value & 31) == 31) warp_counts[warp] = sum;
  __syncthreads();
  uint32_t start = sum - count;
  for (uint32_t w = 0; w < warp; w++) start += warp_counts[w];
  if (value < SORT_DIGITS) {
    for (uint32_t w = 0; w < SortPassPolicy::WARPS; w++) {
      counters[w * SORT_DIGITS + value] += start;
    }
  }
  __syncthreads();
  return {start, own};
}

/// The place of a word in the tile: behind those of equal digit that come before. `counters` are
/// the warp's next places, `masks` are all zero.
KERNEL_FN uint32_t sort_place(uint32_t digit, uint32_t *counters, uint32_t *masks) {
  const uint32_t lane = threadIdx.x & 31;
  atomicOr(masks + digit, 1u << lane);
  __syncwarp();
  const uint32_t peers = ld_relaxed(masks + digit);
  const uint32_t leader = 31 - (uint32_t)__clz((int)peers);
  uint32_t first = 0;
  if (lane == leader) first = atomicAdd(counters + digit, (uint32_t)__popc(peers));
  // Whom a lane asks for the place depends on what it read, so that all have read by then.
  first = __shfl_sync(WARP_ALL, first, (int)leader);
  if (lane == leader) st_relaxed(masks + digit, 0u);
  __syncwarp();
  return first + (uint32_t)__popc(peers & ((1u << lane) - 1));
}

/// Finds where the rows of each value go. `bases` [SORT_DIGITS] gets what is to be added to a place
/// in the tile.
KERNEL_FN void sort_find_bases(const SortPassParams &params, uint64_t tile, const SortValue &own,
                               uint32_t *bases) {
  const uint32_t value = threadIdx.x;
  if (value >= SORT_DIGITS) return;
  uint32_t *states = params.states + SORT_STATES_START;
  const uint32_t before = sort_lookback(states, tile);
  if (tile) {
    st_relaxed(states + tile * SORT_DIGITS + value,
               SortPassPolicy::INCLUSIVE | (before + own.count));
  }
  const uint32_t first = params.starts[value] + before;
  bases[value] = first - own.start;
  const bool last = (tile + 1) * params.tile_rows >= params.row_count;
  if (last && params.out_starts) params.out_starts[value] = first + own.count;
}

/// One pass over one tile. A tile's rows are dealt to warps in runs, and within a run to lanes in
/// turn, so that a row's rank among equals is its order. Words behind the last row are pads: they
/// have the greatest digit, come last, and are not written.
template <typename WORD, bool ROWS, uint32_t ITEMS>
KERNEL_FN void sort_pass(const SortPassParams &params) {
  const uint32_t TILE = SORT_PASS_THREADS * ITEMS;
  const uint32_t BYTES = sizeof(WORD);
  DYN_SHARED(uint64_t, memory);
  SHARED(uint32_t, bases, SORT_DIGITS);
  WORD *staged = (WORD *)memory;
  uint32_t *staged_rows = (uint32_t *)(staged + TILE);
  uint32_t *counters = staged_rows + (ROWS ? TILE : 0);
  const uint64_t tile = grid_ticket((uint64_t *)params.states);
  const uint64_t tile_row = params.first_row + tile * params.tile_rows;
  const uint64_t left = params.row_count - tile * params.tile_rows;
  const uint32_t rows = left < params.tile_rows ? (uint32_t)left : params.tile_rows;
  const uint32_t warp = threadIdx.x / 32, warp_first = warp * 32 * ITEMS;
  const uint32_t lane_first = warp_first + (threadIdx.x & 31);
  const uint32_t steps = rows > warp_first ? (rows - warp_first + 31) / 32 : 0;
  uint32_t *own_counters = counters + warp * SORT_DIGITS;
  uint32_t *own_masks = own_counters + SortPassPolicy::WARPS * SORT_DIGITS;
  WORD words[ITEMS];
  uint32_t numbers[ROWS ? ITEMS : 1];
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint32_t at = lane_first + i * 32;
    words[i] = at < rows ? ((const WORD *)params.words)[tile_row + at] : (WORD) ~(WORD)0;
  }
  if (ROWS) {
#pragma unroll  // sort/rows
    for (uint32_t i = 0; i < (ROWS ? ITEMS : 1); i++) {
      const uint64_t row = tile_row + lane_first + i * 32;
      numbers[i] = (uint32_t)row;
      if (params.rows && lane_first + i * 32 < rows) numbers[i] = params.rows[row];
    }
  }
  if (params.type_in != SORT_CODES) {
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < ITEMS; i++) {
      const WORD code = (WORD)sort_code<BYTES>(params.type_in, words[i]) ^ (WORD)params.flip_in;
      if (lane_first + i * 32 < rows) words[i] = code;
    }
  }
  sort_count<WORD, ITEMS>(words, steps, params.shift, own_counters, own_masks);
  const SortValue own = sort_publish(params, tile, (32 - rows % 32) % 32, counters);
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (i >= steps) break;
    const uint32_t place = sort_place(sort_digit(words[i], params.shift), own_counters, own_masks);
    staged[place] = words[i];
    if (ROWS) staged_rows[place] = numbers[ROWS ? i : 0];
  }
  sort_find_bases(params, tile, own, bases);
  __syncthreads();
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint32_t place = threadIdx.x + i * SORT_PASS_THREADS;
    if (place >= rows) break;
    WORD word = staged[place];
    const uint32_t target = bases[sort_digit(word, params.shift)] + place;
    if (params.type_out != SORT_CODES) {
      word = (WORD)sort_value<BYTES>(params.type_out, (WORD)(word ^ (WORD)params.flip_out));
    }
    ((WORD *)params.out_words)[target] = word;
    if (ROWS) params.out_rows[target] = staged_rows[place];
  }
}

/// Puts 32-bit words in the order of one digit.
///
/// Shape   words[row_count] -> out_words[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_PASS_THREADS, shared = staged words,
///         counters, masks
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_PASS_THREADS, SortPassPolicy::BLOCKS_U32)
sort_pass_u32(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint32_t, false, SORT_ITEMS_U32>(params);
}

/// Puts 32-bit words and their row numbers in the order of one digit.
///
/// Shape   words[row_count], rows[row_count] -> out_words[row_count], out_rows[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_PASS_THREADS, shared = staged words and
/// row
///         numbers, counters, masks
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_PASS_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u32_rows(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint32_t, true, SORT_ITEMS_U32_ROWS>(params);
}

/// Puts 64-bit words in the order of one digit.
///
/// Shape   words[row_count] -> out_words[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_PASS_THREADS, shared = staged words,
///         counters, masks
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_PASS_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u64(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint64_t, false, SORT_ITEMS_U64>(params);
}

/// Puts 64-bit words and their row numbers in the order of one digit.
///
/// Shape   words[row_count], rows[row_count] -> out_words[row_count], out_rows[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_PASS_THREADS, shared = staged words and
/// row
///         numbers, counters, masks
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_PASS_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u64_rows(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint64_t, true, SORT_ITEMS_U64_ROWS>(params);
}
