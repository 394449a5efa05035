// Operator  sort (src/operators/sort.rs states the contract)
// Kernels   sort_range sort_pack sort_unpack sort_starts
// Method    what surrounds the passes (sort_pass.cu): the range of each key, by which all keys pack
//           into as few bits as their values need; the packed words and how often each digit has
//           each value; after the passes, keys from words again, so that they need no gather
// Cost      range: reads each key (16 bytes at a time, if it has 4 or 8 and no nulls); pack: reads
//           each key, writes 4 or 8 B; unpack: the reverse. A single key of 4 or 8 B that fills its
//           bits is not packed: its digits are counted with the range
// Source    histogram of all digits first: A. Adinets, D. Merrill, "Onesweep", arXiv 2206.01784,
//           2022; written from the idea
#include "sort.cuh"
#include "primitives/bitmap.cuh"
#include "primitives/block.cuh"
#include "primitives/warp.cuh"

struct SortPolicy {
  static const uint32_t WARPS = SORT_THREADS / 32;
  static const uint32_t ITEMS = 4;  // rows of a thread that are on their way at one time
  static const uint32_t BLOCK_ROWS = SORT_THREADS * ITEMS;
  static const uint32_t DIGITS_MAX = 8;  // of a word
  static const uint32_t BLOCKS = 3;        // per multiprocessor, of `sort_pack`
  static const uint32_t RANGE_BLOCKS = 2;  // of `sort_range`, which has more in flight
};
static_assert(SORT_DIGITS <= SORT_THREADS, "a thread per value of a digit");
static_assert(SORT_DIGITS == 1 << SORT_DIGIT_BITS, "a digit has all values of its bits");

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

KERNEL_FN void sort_histogram_clear(uint32_t *counts, uint32_t digits) {
  for (uint32_t i = threadIdx.x; i < digits * SORT_DIGITS; i += SORT_THREADS) counts[i] = 0;
  __syncthreads();
}

KERNEL_FN void sort_histogram_count(uint32_t *counts, uint32_t digits, uint64_t word) {
#pragma unroll  // sort/keys
  for (uint32_t digit = 0; digit < SortPolicy::DIGITS_MAX; digit++) {
    if (digit >= digits) break;
    atomicAdd(counts + digit * SORT_DIGITS + (word >> digit * SORT_DIGIT_BITS & 255), 1u);
  }
}

KERNEL_FN void sort_histogram_add(const uint32_t *counts, uint32_t digits, uint32_t *histogram) {
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < digits * SORT_DIGITS; i += SORT_THREADS) {
    if (counts[i]) atomicAdd(histogram + i, counts[i]);
  }
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
  return {seen.valid ? (uint128_t)seen.least : ~(uint128_t)0,
          seen.greatest,
          seen.any,
          seen.valid ? (uint128_t)seen.all : ~(uint128_t)0,
          seen.valid,
          seen.odd};
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

/// The part of a field's value, shifted to its place, that lies in the word.
KERNEL_FN uint64_t sort_part(uint128_t value, int32_t place) {
  if (place >= 64 || place <= -128) return 0;
  return place >= 0 ? (uint64_t)value << place : (uint64_t)(value >> -place);
}

/// A field of a row, at its place in the word.
template <typename CODE>
KERNEL_FN uint64_t sort_field(const SortField &field, bool valid, CODE code) {
  uint64_t word = 0;
  if (valid) {
    const CODE base = (CODE)((uint128_t)field.base_high << 64 | field.base_low);
    const CODE distance = field.flags & SORT_DESCENDING ? base - code : code - base;
    const uint128_t value = field.value_bits ? (uint128_t)(distance >> field.shift) : 0;
    word = sort_part(value, field.place);
  }
  if (field.flags & SORT_NULL_BIT) {
    const bool bit = valid == ((field.flags & SORT_NULLS_FIRST) != 0);
    word |= sort_part(bit, field.place + (int32_t)field.value_bits);
  }
  return word;
}

/// Packs the keys of all rows into words, and counts the words' digits.
///
/// Shape   fields[row_count], rows[row_count] -> out_words[row_count], histogram
/// Launch  any grid, block = SORT_THREADS, shared = 0
/// Order   that of `rows`, or kept
/// Nulls   as each field's flags say
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS, SortPolicy::BLOCKS)
sort_pack(GRID_CONSTANT(SortPackParams) params) {
  SHARED(uint32_t, counts, SortPolicy::DIGITS_MAX * SORT_DIGITS);
  sort_histogram_clear(counts, params.digit_count);
  const uint64_t stride = (uint64_t)gridDim.x * SortPolicy::BLOCK_ROWS;
  for (uint64_t first = (uint64_t)blockIdx.x * SortPolicy::BLOCK_ROWS + threadIdx.x;
       first < params.row_count; first += stride) {
    uint64_t words[SortPolicy::ITEMS] = {};
    uint64_t rows[SortPolicy::ITEMS];
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < SortPolicy::ITEMS; i++) {
      const uint64_t at = first + i * SORT_THREADS;
      rows[i] = params.rows && at < params.row_count ? params.rows[at] : at;
    }
    for (uint32_t f = 0; f < params.field_count; f++) {
      const SortField &field = params.fields[f];
#pragma unroll  // sort/keys
      for (uint32_t i = 0; i < SortPolicy::ITEMS; i++) {
        if (first + i * SORT_THREADS >= params.row_count) continue;
        const bool valid = column_valid(field.column, rows[i]);
        if (field.column.type == PHYSICAL_INT128) {
          const uint128_t code = valid ? sort_column_code_wide(field.column, rows[i]) : 0;
          words[i] |= sort_field<uint128_t>(field, valid, code);
        } else {
          const uint64_t code = valid ? (uint64_t)sort_column_code_any(field.column, rows[i]) : 0;
          words[i] |= sort_field<uint64_t>(field, valid, code);
        }
      }
    }
#pragma unroll  // sort/keys
    for (uint32_t i = 0; i < SortPolicy::ITEMS; i++) {
      const uint64_t at = first + i * SORT_THREADS;
      if (at >= params.row_count) continue;
      if (params.word_bytes == 4) ((uint32_t *)params.out_words)[at] = (uint32_t)words[i];
      if (params.word_bytes == 8) ((uint64_t *)params.out_words)[at] = words[i];
      sort_histogram_count(counts, params.digit_count, words[i]);
    }
  }
  sort_histogram_add(counts, params.digit_count, params.histogram);
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

/// The keys of sorted rows, from their packed words.
///
/// Shape   words[row_count] -> outputs[row_count]
/// Launch  grid = ceil(row_count / SORT_THREADS), block = SORT_THREADS, shared = 0
/// Order   kept
/// Nulls   as each field's flags say
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS)
sort_unpack(GRID_CONSTANT(SortUnpackParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * SORT_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
  const bool in_rows = row < params.row_count;
  uint64_t word = 0;
  if (in_rows) {
    word = params.word_bytes == 4 ? ((const uint32_t *)params.words)[row]
                                  : ((const uint64_t *)params.words)[row];
  }
  for (uint32_t f = 0; f < params.field_count; f++) {
    const SortField &field = params.fields[f];
    const ColumnOut &output = params.outputs[f];
    bool valid = in_rows;
    if (field.flags & SORT_NULL_BIT) {
      const bool bit = word >> (field.place + (int32_t)field.value_bits) & 1;
      valid = in_rows && bit == ((field.flags & SORT_NULLS_FIRST) != 0);
    }
    const uint64_t mask = field.value_bits == 64 ? ~0ull : (1ull << field.value_bits) - 1;
    const uint64_t value = field.value_bits ? word >> field.place & mask : 0;
    const uint128_t base = (uint128_t)field.base_high << 64 | field.base_low;
    const uint128_t distance = field.value_bits ? (uint128_t)value << field.shift : 0;
    const uint128_t code = field.flags & SORT_DESCENDING ? base - distance : base + distance;
    const uint64_t low = (uint64_t)code;
    switch (type_bytes(output.type)) {
      case 0: bitmap_write_warp((uint8_t *)output.values, row, in_rows && (low & 1)); break;
      case 1:
        if (in_rows) output_bits(output, row, sort_value<1>(output.type, low));
        break;
      case 2:
        if (in_rows) output_bits(output, row, sort_value<2>(output.type, low));
        break;
      case 4:
        if (in_rows) output_bits(output, row, sort_value<4>(output.type, low));
        break;
      case 16:
        if (in_rows) ((uint128_t *)output.values)[row] = code ^ (uint128_t)1 << 127;
        break;
      default:
        if (in_rows) output_bits(output, row, sort_value<8>(output.type, low));
        break;
    }
    if (output.validity) bitmap_write_warp(output.validity, row, valid);
  }
}

/// Where the rows of each value of a digit begin: exclusive sums of the histogram.
///
/// Shape   histogram[grid * SORT_DIGITS] -> out_starts[grid * start_stride]
/// Launch  grid = digits, block = SORT_THREADS, shared = 0
/// Order   kept
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/sort.rs
extern "C" __global__ void __launch_bounds__(SORT_THREADS)
sort_starts(GRID_CONSTANT(SortStartsParams) params) {
  SHARED(uint32_t, warp_counts, SortPolicy::WARPS);
  const bool own = threadIdx.x < SORT_DIGITS;
  const uint64_t at = (uint64_t)blockIdx.x * SORT_DIGITS + threadIdx.x;
  const uint32_t count = own ? params.histogram[at] : 0;
  const uint32_t sum = warp_scan(count);
  if ((threadIdx.x & 31) == 31) warp_counts[threadIdx.x / 32] = sum;
  block_scan_warps(warp_counts, SortPolicy::WARPS);
  if (own) {
    params.out_starts[blockIdx.x * params.start_stride + threadIdx.x] =
        warp_counts[threadIdx.x / 32] + sum - count;
  }
}
