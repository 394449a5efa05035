// Operator  shuffle_partition (src/operators/shuffle_partition.rs states the contract)
// Kernels   shuffle_partition_layout shuffle_partition_clear shuffle_partition_scatter
// Method    a tile of rows is split in shared memory: every row gets a slot, slots are in the order
// of
//           the partitions; one atomic per tile and partition reserves the rows of a run. Then
//           every column is read side by side, put into its slots in shared memory, and written
//           slot by slot, so that a run is one stretch of memory; the next column is on its way to
//           the L2 cache meanwhile. Bitmaps are put together 32 slots at a time
// Cost      per row: reads 4 B (the second time from cache) and every column, writes every column
// Source    multi-split: S. Ashkiani et al., "GPU Multisplit", PPoPP 2016; written from the idea
#include "abi/page.h"
#include "abi/shuffle_partition.h"
#include "primitives/block.cuh"
#include "primitives/value.cuh"

struct ShuffleScatterPolicy {
  static const uint32_t WARPS = SHUFFLE_PARTITION_THREADS / 32;
  // Lanes with one target from which on they count together: shuffle_partition/skew.
  static const uint32_t PEERS_MIN = 8;
};
static_assert(SHUFFLE_PARTITION_THREADS % 32 == 0, "warps are whole");
static_assert(SHUFFLE_PARTITION_TILE_ROWS_MAX <= 65536, "a slot within a tile fits 16 bits");

/// Bytes from one section to the next.
KERNEL_FN uint64_t shuffle_section_bytes(uint32_t type, uint64_t rows) {
  const uint64_t bytes = type == PHYSICAL_BOOLEAN ? (rows + 7) / 8 : rows * type_bytes(type);
  return (bytes + SHUFFLE_PARTITION_ALIGNMENT - 1) & ~(uint64_t)(SHUFFLE_PARTITION_ALIGNMENT - 1);
}

/// Exclusive sums of one value per thread of a block, and their total.
/// The values of a block are in use until its next barrier.
KERNEL_FN uint64_t shuffle_block_scan(uint64_t value, uint64_t *warp_sums, uint64_t *total) {
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  uint64_t sum = value;
  for (uint32_t distance = 1; distance < 32; distance *= 2) {
    const uint64_t below = __shfl_up_sync(WARP_ALL, sum, distance);
    if (lane >= distance) sum += below;
  }
  __syncthreads();
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  uint64_t before = 0, all = 0;
  for (uint32_t w = 0; w < ShuffleScatterPolicy::WARPS; w++) {
    if (w < warp) before += warp_sums[w];
    all += warp_sums[w];
  }
  *total = all;
  return before + sum - value;
}

/// A tile of rows, and what a block knows of it in shared memory.
struct ShuffleTile {
  uint64_t first;          // its first row
  uint32_t rows;           // its rows
  uint8_t *stage;          // [tile_rows * stage_bytes] values, or a byte per bit, by slot
  uint32_t *run_starts;    // [partitions] first slot of each run
  uint32_t *run_places;    // [partitions] rows of each run; then what is added to a slot to get its
                           // row within the partition, modulo 2^32
  uint16_t *row_slots;     // [tile_rows] slot of each row
  uint16_t *slot_targets;  // [tile_rows] partition of each slot
};

KERNEL_FN ShuffleTile shuffle_tile(const ShufflePartitionScatterParams &params, uint8_t *memory) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  ShuffleTile tile;
  tile.first = (uint64_t)blockIdx.x * params.tile_rows;
  const uint64_t left = tile.first < row_count ? row_count - tile.first : 0;
  tile.rows = left < params.tile_rows ? (uint32_t)left : params.tile_rows;
  tile.stage = memory;
  tile.run_starts = (uint32_t *)(memory + (uint64_t)params.tile_rows * params.stage_bytes);
  tile.run_places = tile.run_starts + params.partitions;
  tile.row_slots = (uint16_t *)(tile.run_places + params.partitions);
  tile.slot_targets = tile.row_slots + params.tile_rows;
  return tile;
}

/// Asks for a tile's values of a column, so that nobody waits for device memory between barriers.
KERNEL_FN void shuffle_prefetch(const ShufflePartitionScatterParams &params,
                                const ShuffleTile &tile, uint32_t c) {
  if (c >= params.column_count) return;
  const ColumnView &column = params.columns[c].column;
  const uint32_t bytes = type_bytes(column.type);
  if (column.kind != COLUMN_ARRAY) return;
  const uint8_t *values = (const uint8_t *)column.values + (column.offset + tile.first) * bytes;
  for (uint32_t at = threadIdx.x * 128; at < tile.rows * bytes;
       at += SHUFFLE_PARTITION_THREADS * 128) {
    prefetch_line(values + at);
  }
}

/// Counts a row of each lane for its target. Result: the rows counted before it.
KERNEL_FN uint32_t shuffle_rank(uint32_t *counts, uint32_t target, bool in_rows) {
  const uint32_t common = __shfl_sync(WARP_ALL, target, 0);
  const uint32_t peers = __ballot_sync(WARP_ALL, in_rows && target == common);
  const uint32_t count = (uint32_t)__popc(peers);
  if (count < ShuffleScatterPolicy::PEERS_MIN) {
    return in_rows ? atomicAdd(&counts[target], 1u) : 0;
  }
  // Many rows of one target: they add once, so that a frequent target is no hot spot.
  const uint32_t lane = threadIdx.x & 31;
  uint32_t rank = 0;
  if (lane == 0) rank = atomicAdd(&counts[common], count);
  rank = __shfl_sync(WARP_ALL, rank, 0) + (uint32_t)__popc(peers & ((1u << lane) - 1));
  return in_rows && target != common ? atomicAdd(&counts[target], 1u) : rank;
}

/// Gives every row of the tile a rank among those of its target, and counts them.
KERNEL_FN void shuffle_count(const ShuffleTile &tile, const uint16_t *targets,
                             uint32_t partitions) {
  for (uint32_t p = threadIdx.x; p < partitions; p += SHUFFLE_PARTITION_THREADS) {
    tile.run_places[p] = 0;
  }
  __syncthreads();
  const uint32_t lane = threadIdx.x & 31;
#pragma unroll 4  // shuffle_partition/hash
  for (uint32_t step = threadIdx.x - lane; step < tile.rows; step += SHUFFLE_PARTITION_THREADS) {
    const uint32_t row = step + lane;
    const bool in_rows = row < tile.rows;
    const uint32_t target = in_rows ? targets[row] : 0;
    const uint32_t rank = shuffle_rank(tile.run_places, target, in_rows);
    if (in_rows) tile.row_slots[row] = (uint16_t)rank;
  }
  __syncthreads();
}

/// Gives every run its slots, and its rows in the partition.
KERNEL_FN void shuffle_reserve(const ShuffleTile &tile, uint32_t *cursors, uint32_t partitions,
                               uint64_t *warp_sums) {
  const uint32_t each = (partitions + SHUFFLE_PARTITION_THREADS - 1) / SHUFFLE_PARTITION_THREADS;
  const uint32_t first = threadIdx.x * each;
  const uint32_t end = first + each < partitions ? first + each : partitions;
  uint64_t rows = 0, total;
  for (uint32_t p = first; p < end; p++) rows += tile.run_places[p];
  uint32_t slot = (uint32_t)shuffle_block_scan(rows, warp_sums, &total);
  for (uint32_t p = first; p < end; p++) {
    tile.run_starts[p] = slot;
    slot += tile.run_places[p];
  }
  __syncthreads();
#pragma unroll 4  // shuffle_partition/hash
  for (uint32_t p = threadIdx.x; p < partitions; p += SHUFFLE_PARTITION_THREADS) {
    const uint32_t count = tile.run_places[p];
    if (count) tile.run_places[p] = atomicAdd(&cursors[p], count) - tile.run_starts[p];
  }
}

/// Turns ranks into slots.
KERNEL_FN void shuffle_assign(const ShuffleTile &tile, const uint16_t *targets) {
#pragma unroll 4  // shuffle_partition/hash
  for (uint32_t row = threadIdx.x; row < tile.rows; row += SHUFFLE_PARTITION_THREADS) {
    const uint16_t target = targets[row];
    const uint32_t slot = tile.run_starts[target] + tile.row_slots[row];
    tile.row_slots[row] = (uint16_t)slot;
    tile.slot_targets[slot] = target;
  }
}

/// Scatters the values of a column of type T. `starts` [partitions] are its sections.
template <typename T>
KERNEL_FN void shuffle_values(const ShuffleTile &tile, const ColumnView &column,
                              const uint64_t *starts, uint8_t *out_bytes) {
  const uint32_t items = sizeof(T) > 8 ? SHUFFLE_PARTITION_ITEMS / 2 : SHUFFLE_PARTITION_ITEMS;
  const bool is_array = column.kind == COLUMN_ARRAY;
  const T same = is_array ? T(0) : column_value<T>(column, 0);
  const T *source = (const T *)column.values + column.offset + tile.first;
  T *staged = (T *)tile.stage;
  for (uint32_t step = 0; step < tile.rows; step += items * SHUFFLE_PARTITION_THREADS) {
    T values[items];
#pragma unroll  // shuffle_partition/hash: the values of all items are in flight together
    for (uint32_t i = 0; i < items; i++) {
      const uint32_t row = step + i * SHUFFLE_PARTITION_THREADS + threadIdx.x;
      values[i] = is_array && row < tile.rows ? source[row] : same;
    }
    if (step == 0) __syncthreads();  // the stage is free, and slots are there
#pragma unroll                       // shuffle_partition/hash
    for (uint32_t i = 0; i < items; i++) {
      const uint32_t row = step + i * SHUFFLE_PARTITION_THREADS + threadIdx.x;
      if (row < tile.rows) staged[tile.row_slots[row]] = values[i];
    }
  }
  __syncthreads();
#pragma unroll 4  // shuffle_partition/hash
  for (uint32_t slot = threadIdx.x; slot < tile.rows; slot += SHUFFLE_PARTITION_THREADS) {
    const uint32_t target = tile.slot_targets[slot], row = tile.run_places[target] + slot;
    ((T *)(out_bytes + starts[target]))[row] = staged[slot];
  }
}

/// Ors the bits of consecutive slots of one run, lowest first, into a zeroed bitmap from bit
/// `first`.
KERNEL_FN void shuffle_or(uint8_t *bitmap, uint32_t first, uint32_t bits) {
  if (!bits) return;
  uint32_t *words = (uint32_t *)bitmap + (first >> 5);
  const uint32_t shift = first & 31;
  if (bits << shift) atomicOr(words, bits << shift);
  if (shift && bits >> (32 - shift)) atomicOr(words + 1, bits >> (32 - shift));
}

/// Scatters the bits of a column: its validity, or the values of a Boolean. The first lane of a
/// warp that is in a run writes the bits of all lanes that are in it.
KERNEL_FN void shuffle_bits(const ShuffleTile &tile, const ColumnView &column, bool validity,
                            const uint64_t *starts, uint8_t *out_bytes) {
  __syncthreads();  // the stage is free, and slots are there
#pragma unroll 4    // shuffle_partition/mixed
  for (uint32_t i = threadIdx.x; i < tile.rows; i += SHUFFLE_PARTITION_THREADS) {
    const uint64_t row = tile.first + i;
    const bool bit = validity ? column_valid(column, row) : column_bit(column, row);
    tile.stage[tile.row_slots[i]] = bit;
  }
  __syncthreads();
  const uint32_t lane = threadIdx.x & 31;
  for (uint32_t step = threadIdx.x - lane; step < tile.rows; step += SHUFFLE_PARTITION_THREADS) {
    const uint32_t slot = step + lane, end = tile.rows - step < 32 ? tile.rows - step : 32;
    const uint32_t target = lane < end ? tile.slot_targets[slot] : ~0u;
    const uint32_t word = __ballot_sync(WARP_ALL, lane < end && tile.stage[slot]);
    const uint32_t before = __shfl_up_sync(WARP_ALL, target, 1);
    const bool begins = lane < end && (lane == 0 || before != target);
    const uint32_t others = __ballot_sync(WARP_ALL, begins) & ~(2u * (1u << lane) - 1);
    if (!begins) continue;
    const uint32_t next = others ? (uint32_t)__ffs((int)others) - 1 : end;
    const uint32_t mask = next - lane < 32 ? (1u << (next - lane)) - 1 : ~0u;
    shuffle_or(out_bytes + starts[target], tile.run_places[target] + slot, word >> lane & mask);
  }
}

KERNEL_FN void shuffle_column(const ShuffleTile &tile, const ColumnView &column,
                              const uint64_t *starts, uint8_t *out_bytes) {
  switch (type_bytes(column.type)) {
    case 0: shuffle_bits(tile, column, false, starts, out_bytes); break;
    case 1: shuffle_values<uint8_t>(tile, column, starts, out_bytes); break;
    case 2: shuffle_values<uint16_t>(tile, column, starts, out_bytes); break;
    case 4: shuffle_values<uint32_t>(tile, column, starts, out_bytes); break;
    case 8: shuffle_values<uint64_t>(tile, column, starts, out_bytes); break;
    default: shuffle_values<int128_t>(tile, column, starts, out_bytes); break;
  }
}

/// Gives every section of every partition its place.
///
/// Shape   table.rows[partitions] -> table
/// Launch  grid = 1, block = SHUFFLE_PARTITION_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(SHUFFLE_PARTITION_THREADS)
shuffle_partition_layout(GRID_CONSTANT(ShufflePartitionLayoutParams) params) {
  SHARED(uint64_t, warp_sums, ShuffleScatterPolicy::WARPS);
  uint64_t *starts = params.table + params.partitions;
  uint64_t base = 0, sections = 0;
  for (uint32_t first = 0; first < params.partitions; first += SHUFFLE_PARTITION_THREADS) {
    const uint32_t p = first + threadIdx.x;
    const uint64_t rows = p < params.partitions ? params.table[p] : 0;
    uint64_t bytes = 0, total;
    for (uint32_t c = 0; c < params.column_count; c++) {
      bytes += shuffle_section_bytes(params.columns[c].column.type, rows);
      if (params.columns[c].nullable) bytes += shuffle_section_bytes(PHYSICAL_BOOLEAN, rows);
    }
    uint64_t at = base + shuffle_block_scan(bytes, warp_sums, &total);
    sections = 0;
    for (uint32_t c = 0; c < params.column_count; c++) {
      for (uint32_t validity = 0; validity <= params.columns[c].nullable; validity++) {
        const uint32_t type = validity ? PHYSICAL_BOOLEAN : params.columns[c].column.type;
        if (p < params.partitions) starts[sections * params.partitions + p] = at;
        at += shuffle_section_bytes(type, rows);
        sections++;
      }
    }
    base += total;
  }
  if (threadIdx.x == 0) starts[sections * params.partitions] = base;
}

/// Zeroes the bitmaps, and what is left behind the values of every section.
///
/// Shape   table -> out_bytes
/// Launch  grid = column_count * partitions * splits, block = SHUFFLE_PARTITION_CLEAR_THREADS,
///         shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(SHUFFLE_PARTITION_CLEAR_THREADS)
shuffle_partition_clear(GRID_CONSTANT(ShufflePartitionClearParams) params) {
  const uint32_t split = blockIdx.x % params.splits, item = blockIdx.x / params.splits;
  const uint32_t p = item % params.partitions;
  const ShufflePartitionColumn &column = params.columns[item / params.partitions];
  const uint64_t rows = params.table[p];
  const uint64_t *starts = params.table + (uint64_t)(1 + column.section) * params.partitions + p;
  for (uint32_t validity = 0; validity <= column.nullable; validity++) {
    const uint32_t type = validity ? PHYSICAL_BOOLEAN : column.column.type;
    uint8_t *section = params.out_bytes + starts[(uint64_t)validity * params.partitions];
    const uint64_t bytes = shuffle_section_bytes(type, rows);
    if (type != PHYSICAL_BOOLEAN) {
      const uint64_t at = rows * type_bytes(type) + threadIdx.x;
      if (split == 0 && at < bytes) section[at] = 0;
      continue;
    }
    for (uint64_t w = split * SHUFFLE_PARTITION_CLEAR_THREADS + threadIdx.x; w < bytes / 8;
         w += (uint64_t)params.splits * SHUFFLE_PARTITION_CLEAR_THREADS) {
      ((uint64_t *)section)[w] = 0;
    }
  }
}

/// Scatters all columns to the partitions of their rows.
///
/// Shape   columns[rows], targets[rows] -> out_bytes
/// Launch  grid = ceil(row_count / tile_rows), block = SHUFFLE_PARTITION_THREADS,
///         shared = tile_rows * (stage_bytes + 4) + 8 * partitions
/// Order   unspecified within a partition
/// Nulls   kept
/// Errors  none
/// Tests   tests/operators/shuffle_partition.rs
extern "C" __global__ void __launch_bounds__(SHUFFLE_PARTITION_THREADS)
shuffle_partition_scatter(GRID_CONSTANT(ShufflePartitionScatterParams) params) {
  DYN_SHARED(int128_t, memory);
  SHARED(uint64_t, warp_sums, ShuffleScatterPolicy::WARPS);
  const ShuffleTile tile = shuffle_tile(params, (uint8_t *)memory);
  if (tile.rows == 0) return;
  shuffle_prefetch(params, tile, 0);
  const uint16_t *targets = params.targets + tile.first;
  shuffle_count(tile, targets, params.partitions);
  shuffle_reserve(tile, params.cursors, params.partitions, warp_sums);
  shuffle_assign(tile, targets);
  for (uint32_t c = 0; c < params.column_count; c++) {
    const ShufflePartitionColumn &column = params.columns[c];
    const uint64_t *starts = params.table + (uint64_t)(1 + column.section) * params.partitions;
    shuffle_prefetch(params, tile, c + 1);
    shuffle_column(tile, column.column, starts, params.out_bytes);
    if (column.nullable) {
      shuffle_bits(tile, column.column, true, starts + params.partitions, params.out_bytes);
    }
  }
}
