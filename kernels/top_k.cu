// Operator  top_k (src/operators/top_k.rs states the contract)
// Kernels   top_k_sample top_k_filter
// Method    a sample's k-th word bounds the k-th word of all rows; one read of a key lists the rows
//           that are not beyond the bound, in order, and only they are looked at again
// Cost      reads the key once (and a sector per row drawn), writes 4 B per row listed
// Source    selection by a sampled threshold is common knowledge; written from the idea
#include "abi/top_k.h"
#include "primitives/block.cuh"
#include "primitives/grid.cuh"
#include "primitives/hash.cuh"
#include "sort.cuh"

struct TopKPolicy {
  static const uint32_t WARPS = TOP_K_THREADS / 32;
  static const uint32_t WARP_ROWS = TOP_K_TILE_ROWS / WARPS;  // consecutive rows of one warp
  static const uint32_t STEPS = WARP_ROWS / 32;
};
static_assert(TOP_K_TILE_ROWS % TOP_K_THREADS == 0, "a tile is whole rounds of the block");

/// The word of a row: words compare as the keys do, as far as the level goes.
template <uint32_t BYTES>
KERNEL_FN uint64_t top_k_word(const TopKKey &key, uint64_t row) {
  const uint64_t first = 1ull << 63;
  if (!column_valid(key.column, row)) {
    return key.level == 0 && !key.nulls_first ? ~0ull : 0;
  }
  const uint64_t marked = key.nulls_first ? first : 0;
  if (BYTES == 16) {
    const uint128_t code = sort_column_code_wide(key.column, row);
    const uint128_t bits = key.descending ? ~code : code;
    if (key.level == 0) return marked | (uint64_t)(bits >> 65);
    return key.level == 1 ? (uint64_t)(bits >> 1) : (uint64_t)bits << 63;
  }
  const uint64_t code = sort_column_code < BYTES == 16 ? 8 : BYTES > (key.column, row);
  const uint64_t high = code << (64 - (BYTES ? BYTES * 8 % 128 : 1)) % 64;
  const uint64_t bits = key.descending ? ~high : high;
  return key.level == 0 ? marked | bits >> 1 : bits << 63;
}

template <uint32_t BYTES>
KERNEL_FN void top_k_sample_rows(const TopKSampleParams &params) {
  const uint64_t i = (uint64_t)blockIdx.x * TOP_K_THREADS + threadIdx.x;
  if (i >= params.sample_count) return;
  const uint64_t start = i * params.row_count / params.sample_count;
  const uint64_t end = (i + 1) * params.row_count / params.sample_count;
  params.out_words[i] = top_k_word<BYTES>(params.key, start + hash_word(i) % (end - start));
}

/// Lists the rows of a tile, as ballots, whose words are as the relation says. Result: how many
/// the warp has.
template <uint32_t BYTES>
KERNEL_FN uint32_t top_k_list(const TopKFilterParams &params, uint64_t warp_row,
                              uint32_t (&listed)[TopKPolicy::STEPS]) {
  const uint32_t lane = threadIdx.x & 31;
  const uint64_t threshold = *params.threshold;
  uint64_t words[TopKPolicy::STEPS];
#pragma unroll  // top_k/keys
  for (uint32_t step = 0; step < TopKPolicy::STEPS; step++) {
    const uint64_t row = warp_row + step * 32 + lane;
    words[step] = row < params.row_count ? top_k_word<BYTES>(params.key, row) : 0;
  }
  uint32_t count = 0;
#pragma unroll  // top_k/keys
  for (uint32_t step = 0; step < TopKPolicy::STEPS; step++) {
    const bool in_rows = warp_row + step * 32 + lane < params.row_count;
    const bool below = words[step] < threshold && params.relation != TOP_K_AT;
    const bool at = words[step] == threshold && params.relation != TOP_K_BELOW;
    listed[step] = __ballot_sync(WARP_ALL, in_rows && (below || at));
    count += (uint32_t)__popc(listed[step]);
  }
  return count;
}

/// Words of rows drawn from all over the column.
///
/// Shape   key[row_count] -> out_words[sample_count]
/// Launch  grid = ceil(sample_count / TOP_K_THREADS), block = TOP_K_THREADS, shared = 0
/// Order   that of the rows
/// Nulls   have a word, too
/// Errors  none
/// Tests   tests/operators/top_k.rs
extern "C" __global__ void __launch_bounds__(TOP_K_THREADS)
top_k_sample(GRID_CONSTANT(TopKSampleParams) params) {
  switch (type_bytes(params.key.column.type)) {
    case 0: top_k_sample_rows<0>(params); break;
    case 1: top_k_sample_rows<1>(params); break;
    case 2: top_k_sample_rows<2>(params); break;
    case 4: top_k_sample_rows<4>(params); break;
    case 16: top_k_sample_rows<16>(params); break;
    default: top_k_sample_rows<8>(params); break;
  }
}

/// Lists the rows whose words are below a threshold, or at it, or either.
///
/// Shape   key[row_count], rows[row_count] -> out_rows[*out_row_count]
/// Launch  grid = ceil(row_count / TOP_K_TILE_ROWS), block = TOP_K_THREADS, shared = 0
/// Order   kept
/// Nulls   have a word, too
/// Errors  none
/// Tests   tests/operators/top_k.rs
extern "C" __global__ void __launch_bounds__(TOP_K_THREADS)
top_k_filter(GRID_CONSTANT(TopKFilterParams) params) {
  SHARED(uint32_t, warp_counts, TopKPolicy::WARPS);
  SHARED(uint64_t, tile_start, 1);
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x & 31;
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t warp_row = tile * TOP_K_TILE_ROWS + warp * TopKPolicy::WARP_ROWS;
  uint32_t listed[TopKPolicy::STEPS], count;
  switch (type_bytes(params.key.column.type)) {
    case 0: count = top_k_list<0>(params, warp_row, listed); break;
    case 1: count = top_k_list<1>(params, warp_row, listed); break;
    case 2: count = top_k_list<2>(params, warp_row, listed); break;
    case 4: count = top_k_list<4>(params, warp_row, listed); break;
    case 16: count = top_k_list<16>(params, warp_row, listed); break;
    default: count = top_k_list<8>(params, warp_row, listed); break;
  }
  if (lane == 0) warp_counts[warp] = count;
  const uint32_t total = block_scan_warps(warp_counts, TopKPolicy::WARPS);
  if (threadIdx.x < 32) {
    const uint64_t before = grid_lookback(params.tile_states, tile, total);
    if (lane == 0) {
      tile_start[0] = before;
      if ((tile + 1) * TOP_K_TILE_ROWS >= params.row_count) *params.out_row_count = before + total;
    }
  }
  __syncthreads();
  if (count == 0) return;
  uint64_t at = tile_start[0] + warp_counts[warp];
#pragma unroll  // top_k/keys
  for (uint32_t step = 0; step < TopKPolicy::STEPS; step++) {
    if (listed[step] >> lane & 1) {
      const uint64_t row = warp_row + step * 32 + lane;
      const uint32_t below = listed[step] & ((1u << lane) - 1);
      params.out_rows[at + (uint32_t)__popc(below)] =
          params.rows ? params.rows[row] : (uint32_t)row;
    }
    at += (uint32_t)__popc(listed[step]);
  }
}
