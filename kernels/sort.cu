// Operator  sort (src/operators/sort.rs states the contract)
// Kernels   sort_pack sort_unpack sort_starts
// Method    what surrounds the passes (sort_pass.cu): all keys packed into as few bits as their
// values
//           need (sort_range.cu finds out), and how often each digit of the words has each value;
//           after the passes, keys from words again, so that they need no gather
// Cost      pack: reads each key, writes 4 or 8 B; unpack: the reverse
// Source    histogram of all digits first: A. Adinets, D. Merrill, "Onesweep", arXiv 2206.01784,
//           2022; written from the idea
#include "sort.cuh"
#include "primitives/bitmap.cuh"
#include "primitives/block.cuh"
#include "primitives/warp.cuh"

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
