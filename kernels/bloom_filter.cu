// Operator  none: launchers alone (src/kernels/bloom_filter.rs)
// Kernels   bloom_filter_insert bloom_filter_probe
// Method    split block Bloom filters over xxHash64 of a value as Parquet writes it, so that a
//           filter of a file and one that was made here are probed alike; a thread has the blocks
//           of four rows in flight
// Cost      insert: reads the value, one 32 B sector, up to four atomics; probe: reads the value,
//           one 32 B sector, writes 1/8 B
// Source    Apache Parquet's specification of Bloom filters; written from it
#include "abi/bloom_filter.h"
#include "primitives/bloom.cuh"
#include "primitives/value.cuh"

/// The hash of a row's value, in 4 bytes as Parquet stores narrow integers, or in 8.
KERNEL_FN uint64_t bloom_filter_hash(const ColumnView &column, uint64_t row) {
  const uint64_t value = (uint64_t)column_integer(column, row);
  return type_bytes(column.type) == 8 ? xxhash_u64(value) : xxhash_u32((uint32_t)value);
}

/// Puts the values of a column into a filter.
///
/// Shape   column[rows] -> blocks[block_count * 4], raised
/// Launch  grid = ceil(row_count / BLOOM_FILTER_THREADS), block = BLOOM_FILTER_THREADS, shared = 0
/// Nulls   are not put in
/// Errors  none
/// Tests   tests/operators/bloom_filter.rs
extern "C" __global__ void __launch_bounds__(BLOOM_FILTER_THREADS)
bloom_filter_insert(GRID_CONSTANT(BloomFilterInsertParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * BLOOM_FILTER_THREADS + threadIdx.x;
  if (row >= row_count_of(params.row_count_device, params.row_count)) return;
  if (!column_valid(params.column, row)) return;
  bloom_insert(params.blocks, params.block_count, bloom_filter_hash(params.column, row));
}

/// Says of every row whether its value may be in a filter.
///
/// Shape   column[rows] -> out_found[rows]
/// Launch  grid = ceil(row_count / (BLOOM_FILTER_THREADS * BLOOM_FILTER_ITEMS)),
///         block = BLOOM_FILTER_THREADS, shared = 0
/// Order   that of the rows
/// Nulls   are not in a filter
/// Errors  none
/// Tests   tests/operators/bloom_filter.rs
extern "C" __global__ void __launch_bounds__(BLOOM_FILTER_THREADS)
bloom_filter_probe(GRID_CONSTANT(BloomFilterProbeParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tile_row =
      (uint64_t)blockIdx.x * BLOOM_FILTER_THREADS * BLOOM_FILTER_ITEMS + threadIdx.x;
  bool found[BLOOM_FILTER_ITEMS];
#pragma unroll  // bloom_filter/probe: the blocks of all items are in flight together
  for (uint32_t i = 0; i < BLOOM_FILTER_ITEMS; i++) {
    const uint64_t row = tile_row + i * BLOOM_FILTER_THREADS;
    const uint64_t hash = row < row_count ? bloom_filter_hash(params.column, row) : 0;
    found[i] = row < row_count && bloom_may_have(params.blocks, params.block_count, hash) &&
               column_valid(params.column, row);
  }
#pragma unroll  // bloom_filter/probe
  for (uint32_t i = 0; i < BLOOM_FILTER_ITEMS; i++) {
    const uint64_t row = tile_row + i * BLOOM_FILTER_THREADS;
    if ((row & ~(uint64_t)31) >= row_count) return;  // whole warps leave together
    bitmap_write_warp(params.out_found, row, found[i]);
  }
}
