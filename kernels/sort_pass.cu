// Operator  sort (src/operators/sort.rs states the contract)
// Kernels   sort_pass_u32 sort_pass_u32_rows sort_pass_u64 sort_pass_u64_rows
// Method    one pass of a stable radix sort from the least significant digit on: a block takes a
//           tile, ranks its rows by warp ballots, learns from the tiles before it, value by value,
//           where its rows go (decoupled look-back), and writes them from shared memory, so that
//           rows of one value leave side by side
// Cost      reads and writes each word (4 or 8 B) and row number (4 B, not read by the first pass)
//           once per pass; per tile 1 KiB of states written, a few read
// Source    A. Adinets, D. Merrill, "Onesweep: A Faster Least Significant Digit Radix Sort for
//           GPUs", arXiv 2206.01784, 2022; written from the idea
#include "sort.cuh"
#include "primitives/block.cuh"
#include "primitives/grid.cuh"
#include "primitives/warp.cuh"

struct SortPassPolicy {
  static const uint32_t WARPS = SORT_THREADS / 32;
  static const uint32_t DEPTH = 8;  // states that one look takes in: sort/keys
  enum : uint32_t { AGGREGATE = 1u << 30, INCLUSIVE = 2u << 30, VALUE = (1u << 30) - 1 };
  static const uint32_t BLOCKS = 2;  // per multiprocessor, so that one loads while one ranks
};
static_assert(SORT_DIGITS % 32 == 0 && SORT_DIGITS <= SORT_THREADS, "whole warps own the values");
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

/// Ranks of a thread's rows within the tile, two in a register.
template <uint32_t ITEMS>
struct SortRanks {
  uint32_t pairs[(ITEMS + 1) / 2];
};

template <uint32_t ITEMS>
KERNEL_FN uint32_t sort_rank_of(const SortRanks<ITEMS> &ranks, uint32_t item) {
  return ranks.pairs[item / 2] >> item % 2 * 16 & 0xffff;
}

/// Ranks the words of a warp among those of equal digit. `counters` [SORT_DIGITS] is the warp's,
/// and counts them.
template <typename WORD, uint32_t ITEMS>
KERNEL_FN void sort_rank(const WORD (&words)[ITEMS], uint32_t steps, uint32_t shift,
                         uint32_t *counters, SortRanks<ITEMS> *ranks) {
  const uint32_t lane = threadIdx.x & 31;
  for (uint32_t value = lane; value < SORT_DIGITS; value += 32) counters[value] = 0;
  __syncwarp();
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (i >= steps) break;
    const uint32_t digit = sort_digit(words[i], shift);
    const uint32_t peers = warp_match<SORT_DIGIT_BITS>(digit);
    const uint32_t below = (uint32_t)__popc(peers & ((1u << lane) - 1));
    const uint32_t before = counters[digit];
    __syncwarp();
    if (below == 0) counters[digit] = before + (uint32_t)__popc(peers);
    __syncwarp();
    const uint32_t rank = before + below;
    ranks->pairs[i / 2] = i % 2 ? ranks->pairs[i / 2] | rank << 16 : rank;
  }
}

/// Turns the warps' counts into places within the tile and finds where each value's rows go.
/// `bases` [SORT_DIGITS] gets what is to be added to a place in the tile.
KERNEL_FN void sort_place(const SortPassParams &params, uint64_t tile, uint32_t pads,
                          uint32_t *counters, uint32_t *bases) {
  SHARED(uint32_t, warp_counts, SortPassPolicy::WARPS);
  const uint32_t value = threadIdx.x;
  uint32_t *states = params.states + SORT_STATES_START;
  uint32_t *state = states + tile * SORT_DIGITS + value;
  __syncthreads();
  uint32_t count = 0, own = 0;
  if (value < SORT_DIGITS) {
    for (uint32_t warp = 0; warp < SortPassPolicy::WARPS; warp++) {
      count += counters[warp * SORT_DIGITS + value];
    }
    own = count - (value == SORT_DIGITS - 1 ? pads : 0);
    st_relaxed(state, (tile ? SortPassPolicy::AGGREGATE : SortPassPolicy::INCLUSIVE) | own);
  }
  const uint32_t sum = warp_scan(count);
  if ((value & 31) == 31) warp_counts[value / 32] = sum;
  block_scan_warps(warp_counts, SortPassPolicy::WARPS);
  const uint32_t start = warp_counts[value / 32] + sum - count;
  if (value < SORT_DIGITS) {
    uint32_t running = start;
    for (uint32_t warp = 0; warp < SortPassPolicy::WARPS; warp++) {
      uint32_t *counter = counters + warp * SORT_DIGITS + value;
      const uint32_t rows = *counter;
      *counter = running;
      running += rows;
    }
  }
  __syncthreads();
  if (value >= SORT_DIGITS) return;
  const uint32_t before = sort_lookback(states, tile);
  if (tile) st_relaxed(state, SortPassPolicy::INCLUSIVE | (before + own));
  const uint32_t first = params.starts[value] + before;
  bases[value] = first - start;
  const bool last = (tile + 1) * params.tile_rows >= params.row_count;
  if (last && params.out_starts) params.out_starts[value] = first + own;
}

/// One pass over one tile. A tile's rows are dealt to warps in runs, and within a run to lanes in
/// turn, so that a row's rank among equals is its order. Words behind the last row are pads: they
/// have the greatest digit, come last, and are not written.
template <typename WORD, bool ROWS, uint32_t ITEMS>
KERNEL_FN void sort_pass(const SortPassParams &params) {
  const uint32_t TILE = SORT_THREADS * ITEMS;
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
  WORD words[ITEMS];
  SortRanks<ITEMS> ranks;
  uint32_t numbers[ROWS ? ITEMS : 1];
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint32_t at = lane_first + i * 32;
    words[i] = at < rows ? ((const WORD *)params.words)[tile_row + at] : (WORD) ~(WORD)0;
  }
  if (params.type_in != SORT_CODES) {
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < ITEMS; i++) {
      const WORD code = (WORD)sort_code<BYTES>(params.type_in, words[i]) ^ (WORD)params.flip_in;
      if (lane_first + i * 32 < rows) words[i] = code;
    }
  }
  uint32_t *own_counters = counters + warp * SORT_DIGITS;
  sort_rank<WORD, ITEMS>(words, steps, params.shift, own_counters, &ranks);
  if (ROWS) {
#pragma unroll  // sort/rows
    for (uint32_t i = 0; i < (ROWS ? ITEMS : 1); i++) {
      const uint64_t row = tile_row + lane_first + i * 32;
      numbers[i] = (uint32_t)row;
      if (params.rows && lane_first + i * 32 < rows) numbers[i] = params.rows[row];
    }
  }
  sort_place(params, tile, (32 - rows % 32) % 32, counters, bases);
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    if (i >= steps) break;
    const uint32_t place =
        own_counters[sort_digit(words[i], params.shift)] + sort_rank_of<ITEMS>(ranks, i);
    staged[place] = words[i];
    if (ROWS) staged_rows[place] = numbers[ROWS ? i : 0];
  }
  __syncthreads();
#pragma unroll  // sort/keys
  for (uint32_t i = 0; i < ITEMS; i++) {
    const uint32_t place = threadIdx.x + i * SORT_THREADS;
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
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_THREADS, shared = words, counters
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u32(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint32_t, false, SORT_ITEMS_U32>(params);
}

/// Puts 32-bit words and their row numbers in the order of one digit.
///
/// Shape   words[row_count], rows[row_count] -> out_words[row_count], out_rows[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_THREADS, shared = staged words and row
///         numbers, counters
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u32_rows(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint32_t, true, SORT_ITEMS_U32_ROWS>(params);
}

/// Puts 64-bit words in the order of one digit.
///
/// Shape   words[row_count] -> out_words[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_THREADS, shared = words, counters
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u64(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint64_t, false, SORT_ITEMS_U64>(params);
}

/// Puts 64-bit words and their row numbers in the order of one digit.
///
/// Shape   words[row_count], rows[row_count] -> out_words[row_count], out_rows[row_count]
/// Launch  grid = ceil(row_count / tile_rows), block = SORT_THREADS, shared = staged words and row
///         numbers, counters
/// Order   that of the digit; equal digits keep theirs
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPassPolicy::BLOCKS)
sort_pass_u64_rows(GRID_CONSTANT(SortPassParams) params) {
  sort_pass<uint64_t, true, SORT_ITEMS_U64_ROWS>(params);
}
