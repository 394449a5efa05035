// Operator  sort (src/operators/sort.rs states the contract)
// Kernels   sort_range
// Method    the range of each key, by which sort.cu packs it; a single key of 4 or 8 B that fills
// its
//           bits is not packed: its digits are counted with the range
// Cost      reads each key, 16 bytes at a time if it has 4 or 8 and no nulls
// Source    histogram of all digits first: A. Adinets, D. Merrill, "Onesweep", arXiv 2206.01784,
//           2022; written from the idea
#include "sort.cuh"

/// What a thread knows of a key.
struct SortSeen {
  uint128_t least, greatest, any, all;
  uint32_t valid, odd;
};

KERNEL_FN void sort_see(SortSeen *seen, uint128_t code) {
  seen->least = code < seen->least ? code : seen->least;
  seen->greatest = code > seen->greatest ? code : seen->greatest;
  seen->any |= code;
  seen->all &= code;
  seen->valid++;
}

/// Sees a key of at most 64 bits, in 64-bit registers.
template <uint32_t BYTES>
KERNEL_FN SortSeen sort_range_narrow(const SortRangeParams &params, const ColumnView &column) {
  uint64_t least = ~0ull, greatest = 0, any = 0, all = ~0ull;
  uint32_t valid = 0, odd = 0;
  const uint64_t stride = (uint64_t)gridDim.x * SortPolicy::BLOCK_ROWS;
  for (uint64_t first = (uint64_t)blockIdx.x * SortPolicy::BLOCK_ROWS + threadIdx.x;
       first < params.row_count; first += stride) {
    uint64_t codes[SortPolicy::ITEMS];
    bool is_valid[SortPolicy::ITEMS];
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < SortPolicy::ITEMS; i++) {
      const uint64_t row = first + i * SORT_THREADS;
      is_valid[i] = row < params.row_count && column_valid(column, row);
      codes[i] = is_valid[i] ? sort_column_code<BYTES>(column, row) : 0;
      if (type_is_float(column.type) && is_valid[i]) {
        const uint64_t shown = sort_value<BYTES>(column.type, codes[i]);
        odd += shown != column_bits(column, row);
      }
    }
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < SortPolicy::ITEMS; i++) {
      if (!is_valid[i]) continue;
      least = codes[i] < least ? codes[i] : least;
      greatest = codes[i] > greatest ? codes[i] : greatest;
      any |= codes[i];
      all &= codes[i];
      valid++;
    }
  }
  return {valid ? (uint128_t)least : ~(uint128_t)0,
          greatest,
          any,
          valid ? all : ~(uint128_t)0,
          valid,
          odd};
}

/// What a thread saw of a key of 4 or 8 bytes, in as many.
template <typename WORD>
struct SortSeenWords {
  WORD least, greatest, any, all;
  uint32_t valid, odd;
};

/// Sees a value of a key without nulls; with a histogram, counts its digits.
template <typename WORD>
KERNEL_FN void sort_see_word(const SortRangeParams &params, uint32_t type, WORD word,
                             SortSeenWords<WORD> *seen, uint32_t *counts) {
  const uint32_t BYTES = sizeof(WORD);
  const WORD code = (WORD)sort_code<BYTES>(type, word);
  if (type_is_float(type)) seen->odd += (WORD)sort_value<BYTES>(type, code) != word;
  seen->least = code < seen->least ? code : seen->least;
  seen->greatest = code > seen->greatest ? code : seen->greatest;
  seen->any |= code;
  seen->all &= code;
  seen->valid++;
  if (params.histogram) sort_histogram_count(counts, BYTES, (WORD)(code ^ (WORD)params.flip));
}

/// Sees a key of 4 or 8 bytes without nulls, 16 bytes at a time.
template <typename WORD>
KERNEL_FN SortSeen sort_range_words(const SortRangeParams &params, const ColumnView &column,
                                    uint32_t *counts) {
  const uint32_t BYTES = sizeof(WORD), PER = 16 / BYTES, ITEMS = SortPolicy::ITEMS;
  SortSeenWords<WORD> seen = {(WORD) ~(WORD)0, 0, 0, (WORD) ~(WORD)0, 0, 0};
  const WORD *values = (const WORD *)column.values + column.offset;
  const uint32_t type = column.type;
  const uint64_t before = (16 - (uint64_t)values % 16) % 16 / BYTES;
  const uint64_t head = before < params.row_count ? before : params.row_count;
  const ulonglong2 *vectors = (const ulonglong2 *)(values + head);
  const uint64_t vector_count = (params.row_count - head) / PER;
  const uint64_t stride = (uint64_t)gridDim.x * SORT_THREADS * ITEMS;
  for (uint64_t first = (uint64_t)blockIdx.x * SORT_THREADS * ITEMS + threadIdx.x;
       first < vector_count; first += stride) {
    ulonglong2 halves[ITEMS];
#pragma unroll  // sort/keys: the values of all items are in flight together
    for (uint32_t i = 0; i < ITEMS; i++) {
      const uint64_t at = first + i * SORT_THREADS;
      if (at < vector_count) halves[i] = vectors[at];
    }
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < ITEMS; i++) {
      if (first + i * SORT_THREADS >= vector_count) break;
#pragma unroll  // sort/keys
      for (uint32_t w = 0; w < PER; w++) {
        const uint64_t half = w < PER / 2 ? halves[i].x : halves[i].y;
        sort_see_word<WORD>(params, type, (WORD)(half >> w % (PER / 2) * 32), &seen, counts);
      }
    }
  }
  if (blockIdx.x == 0 && threadIdx.x < 2 * PER) {  // what lies before and behind whole vectors
    const uint64_t behind = head + vector_count * PER + (threadIdx.x - PER);
    const uint64_t row = threadIdx.x < PER ? threadIdx.x : behind;
    const uint64_t end = threadIdx.x < PER ? head : params.row_count;
    if (row < end) sort_see_word<WORD>(params, type, values[row], &seen, counts);
  }
  return {seen.valid ? (uint128_t)seen.least : ~(uint128_t)0, seen.greatest, seen.any,
          seen.valid ? (uint128_t)seen.all : ~(uint128_t)0,   seen.valid,    seen.odd};
}

KERNEL_FN SortSeen sort_range_wide(const SortRangeParams &params, const ColumnView &column) {
  SortSeen seen = {~(uint128_t)0, 0, 0, ~(uint128_t)0, 0, 0};
  const uint64_t stride = (uint64_t)gridDim.x * SORT_THREADS;
  for (uint64_t row = (uint64_t)blockIdx.x * SORT_THREADS + threadIdx.x; row < params.row_count;
       row += stride) {
    if (column_valid(column, row)) sort_see(&seen, sort_column_code_wide(column, row));
  }
  return seen;
}

KERNEL_FN uint128_t sort_shuffle(uint128_t value, int distance) {
  const uint64_t low = __shfl_xor_sync(WARP_ALL, (uint64_t)value, distance);
  const uint64_t high = __shfl_xor_sync(WARP_ALL, (uint64_t)(value >> 64), distance);
  return (uint128_t)high << 64 | low;
}

KERNEL_FN void sort_seen_join(SortSeen *seen, const SortSeen &other) {
  seen->least = other.least < seen->least ? other.least : seen->least;
  seen->greatest = other.greatest > seen->greatest ? other.greatest : seen->greatest;
  seen->any |= other.any;
  seen->all &= other.all;
  seen->valid += other.valid;
  seen->odd += other.odd;
}

/// Joins what the threads of a block saw, and writes it.
KERNEL_FN void sort_seen_write(SortSeen seen, SortSeen *warps, SortSpan *out) {
  for (int distance = 16; distance > 0; distance /= 2) {
    SortSeen other;
    other.least = sort_shuffle(seen.least, distance);
    other.greatest = sort_shuffle(seen.greatest, distance);
    other.any = sort_shuffle(seen.any, distance);
    other.all = sort_shuffle(seen.all, distance);
    other.valid = __shfl_xor_sync(WARP_ALL, seen.valid, distance);
    other.odd = __shfl_xor_sync(WARP_ALL, seen.odd, distance);
    sort_seen_join(&seen, other);
  }
  __syncthreads();
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x / 32] = seen;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (uint32_t warp = 1; warp < SortPolicy::WARPS; warp++) sort_seen_join(&seen, warps[warp]);
  out->least_low = (uint64_t)seen.least;
  out->least_high = (uint64_t)(seen.least >> 64);
  out->greatest_low = (uint64_t)seen.greatest;
  out->greatest_high = (uint64_t)(seen.greatest >> 64);
  out->any_low = (uint64_t)seen.any;
  out->any_high = (uint64_t)(seen.any >> 64);
  out->all_low = (uint64_t)seen.all;
  out->all_high = (uint64_t)(seen.all >> 64);
  out->valid_count = seen.valid;
  out->odd_count = seen.odd;
}

/// Finds the range of each key's codes, and the bits that they share; of a single key, counts the
/// digits as well.
///
/// Shape   keys[row_count] -> out_ranges[grid * key_count], histogram
/// Launch  any grid, block = SORT_THREADS, shared = 0
/// Nulls   count for nothing; a key whose digits are counted has none
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPolicy::RANGE_BLOCKS)
sort_range(GRID_CONSTANT(SortRangeParams) params) {
  SHARED(uint32_t, counts, SortPolicy::DIGITS_MAX * SORT_DIGITS);
  SHARED(SortSeen, warps, SortPolicy::WARPS);
  const uint32_t digits = params.histogram ? type_bytes(params.keys[0].type) : 0;
  sort_histogram_clear(counts, digits);
  for (uint32_t k = 0; k < params.key_count; k++) {
    const ColumnView &column = params.keys[k];
    const bool is_plain = column.kind == COLUMN_ARRAY && !column.validity;
    SortSeen seen;
    switch (type_bytes(column.type)) {
      case 0: seen = sort_range_narrow<0>(params, column); break;
      case 1: seen = sort_range_narrow<1>(params, column); break;
      case 2: seen = sort_range_narrow<2>(params, column); break;
      case 4:
        seen = is_plain ? sort_range_words<uint32_t>(params, column, counts)
                        : sort_range_narrow<4>(params, column);
        break;
      case 16: seen = sort_range_wide(params, column); break;
      default:
        seen = is_plain ? sort_range_words<uint64_t>(params, column, counts)
                        : sort_range_narrow<8>(params, column);
        break;
    }
    sort_seen_write(seen, warps, params.out_ranges + (uint64_t)blockIdx.x * params.key_count + k);
  }
  if (digits) sort_histogram_add(counts, digits, params.histogram);
}
