// Operator  hash_join (src/operators/hash_join.rs states the contract)
// Kernels   hash_join_match hash_join_match_wide hash_join_pairs hash_join_pairs_wide
//           hash_join_count hash_join_count_wide hash_join_emit
// Method    a thread has the keys, places and first slots of four rows in flight. Where no build
//           key comes twice, a tile of rows gets its output rows by one atomic; else a first pass
//           keeps each row's list and sums lengths by look-back, and a second writes the pairs,
//           each block an equal share of tiles and output rows, however long a list is
// Cost      per probe row: reads the key, one 32 B sector, writes 8 B per pair (1/8 B per row where
//           only existence is asked); with lists 8 B more are written and read per row, and one
//           more sector is read per pair
// Source    equal shares of two sequences are merge path (S. Odeh et al., IPDPSW 2012); written
//           from the idea
#include "hash_join.cuh"
#include "primitives/grid.cuh"

/// What the rows of a thread found in the table.
struct HashJoinFound {
  uint64_t values[HASH_JOIN_ITEMS];  // the build row, or the list
  bool found[HASH_JOIN_ITEMS];
};

/// A slot's mark in `x`, its value in `y`.
KERNEL_FN ulonglong2 hash_join_slot(const HashJoinTable &table, uint64_t slot) {
  if (table.slot_words == 2) return ((const ulonglong2 *)table.slots)[slot];
  return make_ulonglong2((unsigned long long)table.slots[slot], 0);
}

/// The rows' finds in a dense table.
KERNEL_FN void hash_join_find_dense(const HashJoinTable &table, const HashJoinWord *words,
                                    HashJoinFound *out) {
  uint64_t places[HASH_JOIN_ITEMS];
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const bool has_word = words[i].state == HASH_JOIN_WORD;
    places[i] = has_word ? hash_join_place(table, words[i].word) : HASH_JOIN_NO_SLOT;
    out->values[i] = 0;
  }
  if (table.layout == HASH_JOIN_DENSE_ROWS) {
#pragma unroll  // hash_join/inner: the rows of all items are in flight together
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      out->values[i] = places[i] == HASH_JOIN_NO_SLOT ? HASH_JOIN_NO_ROW : table.rows[places[i]];
    }
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      out->found[i] = out->values[i] != HASH_JOIN_NO_ROW;
    }
    return;
  }
  const bool bits = table.layout == HASH_JOIN_DENSE_BITS;
#pragma unroll  // hash_join/semi
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint64_t word = bits ? places[i] >> 6 : places[i];
    if (places[i] != HASH_JOIN_NO_SLOT) out->values[i] = table.slots[word];
  }
#pragma unroll  // hash_join/semi
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    out->found[i] = bits ? out->values[i] >> (places[i] & 63) & 1 : out->values[i] != 0;
  }
}

/// Looks for a key from a slot on, whose words are `first`. Result: whether it is there.
template <bool WIDE>
KERNEL_FN bool hash_join_walk(const HashJoinKeys &probe, const HashJoinKeys &build,
                              const HashJoinTable &table, uint64_t row, uint64_t word,
                              uint32_t fingerprint, uint64_t slot, ulonglong2 first,
                              uint64_t *value) {
  for (uint64_t looked = 0; looked < table.capacity; looked++) {
    if (first.x == HASH_JOIN_EMPTY) return false;
    const bool same = WIDE ? (uint32_t)(first.x >> 32) == fingerprint &&
                                 hash_join_same(probe, row, build, (uint32_t)first.x)
                           : first.x == word;
    if (same) {
      *value = first.y;
      return true;
    }
    slot = hash_join_step(table, slot);
    first = hash_join_slot(table, slot);
  }
  return false;
}

/// The rows' finds in a table with open addressing.
template <bool WIDE>
KERNEL_FN void hash_join_find_hashed(const HashJoinKeys &probe, const HashJoinKeys &build,
                                     const HashJoinTable &table, uint64_t first_row,
                                     const HashJoinWord *words, HashJoinFound *out) {
  uint64_t slots[HASH_JOIN_ITEMS];
  ulonglong2 marks[HASH_JOIN_ITEMS];
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint64_t hash = hash_join_hash<WIDE>(table, words[i].word);
    slots[i] = hash_join_start<WIDE>(table, words[i], hash);
  }
  // Rows that match nothing look, too: a branch would part the loads, which are in flight together.
  if (table.slot_words == 2) {
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      marks[i] = ((const ulonglong2 *)table.slots)[slots[i]];
    }
  } else {
#pragma unroll  // hash_join/semi
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      marks[i] = make_ulonglong2((unsigned long long)table.slots[slots[i]], 0);
    }
  }
#pragma unroll  // hash_join/inner
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    out->values[i] = marks[i].y;
    if (words[i].state == HASH_JOIN_MATCHES_NONE || (!WIDE && slots[i] >= table.capacity)) {
      out->found[i] = words[i].state != HASH_JOIN_MATCHES_NONE && marks[i].x != HASH_JOIN_EMPTY;
      continue;
    }
    const uint64_t row = first_row + i * HASH_JOIN_THREADS;
    const uint32_t fingerprint = WIDE ? (uint32_t)hash_join_hash<WIDE>(table, words[i].word) : 0;
    out->found[i] = hash_join_walk<WIDE>(probe, build, table, row, words[i].word, fingerprint,
                                         slots[i], marks[i], &out->values[i]);
  }
}

/// What the rows of a tile find: those of the caller, one of every HASH_JOIN_THREADS.
template <bool WIDE>
KERNEL_FN void hash_join_find(const HashJoinKeys &probe, const HashJoinKeys &build,
                              const HashJoinTable &table, uint64_t tile_row, uint64_t row_count,
                              HashJoinFound *out) {
  HashJoinWord words[HASH_JOIN_ITEMS];
  hash_join_words<WIDE>(probe, tile_row, row_count, words);
  if (!WIDE && table.layout < HASH_JOIN_HASH_KEYS) {
    hash_join_find_dense(table, words, out);
  } else {
    hash_join_find_hashed<WIDE>(probe, build, table, tile_row + threadIdx.x, words, out);
  }
}

template <bool WIDE>
KERNEL_FN void hash_join_match_rows(const HashJoinMatchParams &params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_TILE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinFound own;
    hash_join_find<WIDE>(params.probe, params.build, params.table, tile_row, row_count, &own);
#pragma unroll  // hash_join/semi
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
      if ((row & ~(uint64_t)31) >= row_count) break;  // whole warps leave together
      bitmap_write_warp(params.out_found, row,
                        row < row_count && own.found[i] != (params.invert != 0));
      if (params.out_build_rows && row < row_count) {
        params.out_build_rows[row] = own.found[i] ? (uint32_t)own.values[i] : 0;
      }
    }
  }
}

/// Says of every probe row whether its key is there, and where.
///
/// Shape   probe[rows], table -> out_found[rows], out_build_rows[rows]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_match(GRID_CONSTANT(HashJoinMatchParams) params) { hash_join_match_rows<false>(params); }

/// Says of every probe row with a wide key whether it is there, and where.
///
/// Shape   probe[rows], table -> out_found[rows], out_build_rows[rows]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_match_wide(GRID_CONSTANT(HashJoinMatchParams) params) {
  hash_join_match_rows<true>(params);
}

template <bool WIDE>
KERNEL_FN void hash_join_pairs_rows(const HashJoinPairsParams &params) {
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  SHARED(uint64_t, tile_start, 1);
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * HASH_JOIN_TILE_ROWS;
  for (uint64_t tile_row = (uint64_t)blockIdx.x * HASH_JOIN_TILE_ROWS; tile_row < row_count;
       tile_row += stride) {
    HashJoinFound own;
    hash_join_find<WIDE>(params.probe, params.build, params.table, tile_row, row_count, &own);
    uint32_t found[HASH_JOIN_ITEMS], count = 0;
#pragma unroll  // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      found[i] = __ballot_sync(WARP_ALL, own.found[i]);
      count += (uint32_t)__popc(found[i]);
    }
    if (lane == 0) warp_counts[warp] = count;
    const uint32_t total = block_scan_warps(warp_counts, HashJoinPolicy::WARPS);
    if (threadIdx.x == 0) tile_start[0] = total ? atomic_add_u64(params.out_row_count, total) : 0;
    __syncthreads();
    uint64_t out_row = tile_start[0] + warp_counts[warp];
    __syncthreads();  // the next tile writes both again
#pragma unroll        // hash_join/inner
    for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
      if (own.found[i]) {
        const uint64_t out = out_row + (uint32_t)__popc(found[i] & ((1u << lane) - 1));
        params.out_probe_rows[out] = (uint32_t)(tile_row + i * HASH_JOIN_THREADS + threadIdx.x);
        params.out_build_rows[out] = (uint32_t)own.values[i];
      }
      out_row += (uint32_t)__popc(found[i]);
    }
  }
}

/// Lists the pairs of probe and build rows with equal keys, where no build key comes twice.
///
/// Shape   probe[rows], table -> out_probe_rows[*out_row_count], out_build_rows[*out_row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none between tiles
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_pairs(GRID_CONSTANT(HashJoinPairsParams) params) { hash_join_pairs_rows<false>(params); }

/// Lists the pairs of rows with equal wide keys, where no build key comes twice.
///
/// Shape   probe[rows], table -> out_probe_rows[*out_row_count], out_build_rows[*out_row_count]
/// Launch  any grid, block = HASH_JOIN_THREADS, shared = 0
/// Order   none between tiles
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_pairs_wide(GRID_CONSTANT(HashJoinPairsParams) params) {
  hash_join_pairs_rows<true>(params);
}

/// Adds a value of every thread of the block. Result: the sum, in the lanes of the first warp.
KERNEL_FN uint64_t hash_join_block_sum(uint64_t value, uint64_t *warp_sums) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WARP_ALL, value, distance);
  }
  if ((threadIdx.x & 31) == 0) warp_sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x >= 32) return 0;
  value = threadIdx.x < HashJoinPolicy::WARPS ? warp_sums[threadIdx.x] : 0;
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(WARP_ALL, value, distance);
  }
  return value;
}

template <bool WIDE>
KERNEL_FN void hash_join_count_rows(const HashJoinCountParams &params) {
  SHARED(uint64_t, warp_sums, HashJoinPolicy::WARPS);
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t tile_row = tile * HASH_JOIN_TILE_ROWS;
  if (tile_row >= row_count && tile > 0) return;
  HashJoinFound own;
  hash_join_find<WIDE>(params.probe, params.build, params.table, tile_row, row_count, &own);
  uint64_t sum = 0;
#pragma unroll  // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint64_t row = tile_row + i * HASH_JOIN_THREADS + threadIdx.x;
    if (row >= row_count) continue;
    const uint64_t hit = own.found[i] ? own.values[i] : 0;
    params.out_hits[row] = hit;
    sum += hit ? hit >> 32 : params.outer;
  }
  sum = hash_join_block_sum(sum, warp_sums);
  if (threadIdx.x >= 32) return;
  const uint64_t before = grid_lookback(params.tile_states, tile, sum);
  if (threadIdx.x != 0) return;
  params.out_tile_starts[tile] = before;
  if (tile_row + HASH_JOIN_TILE_ROWS >= row_count) {
    params.out_tile_starts[tile + 1] = before + sum;
    *params.out_row_count = before + sum;
  }
}

/// Finds every probe row's list of build rows, and where the output rows of each tile begin.
///
/// Shape   probe[rows], table -> out_hits[rows], out_tile_starts[tiles + 1]
/// Launch  grid = max(1, ceil(row_count / HASH_JOIN_TILE_ROWS)), block = HASH_JOIN_THREADS,
///         shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_count(GRID_CONSTANT(HashJoinCountParams) params) { hash_join_count_rows<false>(params); }

/// Finds the lists of probe rows with wide keys, and where the output rows of each tile begin.
///
/// Shape   probe[rows], table -> out_hits[rows], out_tile_starts[tiles + 1]
/// Launch  grid = max(1, ceil(row_count / HASH_JOIN_TILE_ROWS)), block = HASH_JOIN_THREADS,
///         shared = 0
/// Order   that of the probe rows
/// Nulls   as `null_equals_null` says
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_count_wide(GRID_CONSTANT(HashJoinCountParams) params) {
  hash_join_count_rows<true>(params);
}

/// The last place of an ascending list whose value is at most `wanted`; the first one is.
template <typename T, typename F>
KERNEL_FN T hash_join_last_below(T count, uint64_t wanted, F value_at) {
  T low = 0, high = count;
  while (high - low > 1) {
    const T middle = low + (high - low) / 2;
    if (value_at(middle) <= wanted) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Writes output rows `from` to `to` of a tile, counted from its first.
KERNEL_FN void hash_join_expand(const HashJoinEmitParams &params, uint64_t tile_row,
                                uint64_t row_count, uint64_t from, uint64_t to) {
  SHARED(uint32_t, warp_counts, HashJoinPolicy::WARPS);
  SHARED(uint32_t, out_starts, HASH_JOIN_TILE_ROWS);
  SHARED(uint32_t, list_starts, HASH_JOIN_TILE_ROWS);
  uint32_t lengths[HASH_JOIN_ITEMS], sum = 0;
  __syncthreads();  // the tile before has been written
#pragma unroll      // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    const uint32_t place = threadIdx.x * HASH_JOIN_ITEMS + i;
    const bool in_rows = tile_row + place < row_count;
    const uint64_t hit = in_rows ? params.hits[tile_row + place] : 0;
    lengths[i] = hit ? (uint32_t)(hit >> 32) : in_rows && params.outer;
    list_starts[place] = hit ? (uint32_t)hit : HASH_JOIN_NO_ROW;
    sum += lengths[i];
  }
  uint32_t total;
  uint32_t start = hash_join_block_offset(sum, warp_counts, &total);
#pragma unroll  // hash_join/duplicates
  for (uint32_t i = 0; i < HASH_JOIN_ITEMS; i++) {
    out_starts[threadIdx.x * HASH_JOIN_ITEMS + i] = start;
    start += lengths[i];
  }
  __syncthreads();
  const uint64_t tile_start = params.tile_starts[tile_row / HASH_JOIN_TILE_ROWS];
  for (uint64_t out = from + threadIdx.x; out < to; out += HASH_JOIN_THREADS) {
    const uint32_t place = hash_join_last_below<uint32_t>(
        HASH_JOIN_TILE_ROWS, out, [&](uint32_t p) { return (uint64_t)out_starts[p]; });
    const uint32_t list = list_starts[place];
    params.out_probe_rows[tile_start + out] = (uint32_t)(tile_row + place);
    params.out_build_rows[tile_start + out] =
        list == HASH_JOIN_NO_ROW ? params.no_row
                                 : params.list_rows[list + (uint32_t)out - out_starts[place]];
  }
}

/// Writes the pairs of rows that `hash_join_count` counted.
///
/// Shape   hits[rows], tile_starts[tiles + 1] -> out_probe_rows, out_build_rows
/// Launch  grid = ceil((tiles * HASH_JOIN_TILE_COST + output rows) / HASH_JOIN_SHARE),
///         block = HASH_JOIN_THREADS, shared = 0
/// Order   that of the probe rows
/// Nulls   `no_row` stands for the build row of a row without a match
/// Errors  none
/// Tests   tests/operators/hash_join.rs
extern "C" __global__ void __launch_bounds__(HASH_JOIN_THREADS)
hash_join_emit(GRID_CONSTANT(HashJoinEmitParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tiles = (row_count + HASH_JOIN_TILE_ROWS - 1) / HASH_JOIN_TILE_ROWS;
  // A tile begins where the tiles and output rows before it end; it costs itself and its rows.
  const auto cost_before = [&](uint64_t tile) {
    return tile * HASH_JOIN_TILE_COST + params.tile_starts[tile];
  };
  const uint64_t share_start = (uint64_t)blockIdx.x * HASH_JOIN_SHARE;
  const uint64_t share_end = share_start + HASH_JOIN_SHARE;
  if (tiles == 0 || share_start >= cost_before(tiles)) return;
  uint64_t tile = hash_join_last_below<uint64_t>(tiles, share_start, cost_before);
  for (; tile < tiles && cost_before(tile) < share_end; tile++) {
    const uint64_t first = cost_before(tile) + HASH_JOIN_TILE_COST;
    const uint64_t length = params.tile_starts[tile + 1] - params.tile_starts[tile];
    const uint64_t from = share_start > first ? share_start - first : 0;
    const uint64_t to = share_end > first ? min(share_end - first, length) : 0;
    if (from < to) hash_join_expand(params, tile * HASH_JOIN_TILE_ROWS, row_count, from, to);
  }
}
