// Operator  window (src/operators/window.rs states the contract)
// Kernels   window_scan_i64 window_scan_int128 window_scan_f64 window_scan_max_u64
//           window_scan_max_uint128
// Method    a segmented scan in one pass: warps scan 32 rows at a time by shuffles, bounded by the
//           heads among them; counts of values are population counts. A tile in which a segment
//           begins knows at once what the next tile needs, and look-back ends there
// Cost      reads the column and 1/8 B per row (1/4 B with nulls), writes 8 or 16 B per row, or per
//           segment
// Source    decoupled look-back (D. Merrill, M. Garland, NVIDIA technical report 2016), with states
// of
//           several words beside their flags; written from the idea
#include "primitives/grid.cuh"
#include "window.cuh"

/// The row of an item: counted from the last row in a reverse scan.
KERNEL_FN uint64_t window_scan_row(const WindowScanParams &params, uint64_t index) {
  return params.reverse ? params.row_count - 1 - index : index;
}

/// True if a scan begins anew with the row.
KERNEL_FN bool window_scan_begins(const WindowScanParams &params, uint64_t row) {
  const WindowSegmentsView &partitions = params.partitions;
  if (params.reverse) {
    if (row + 1 == params.row_count || window_is_head(partitions, row + 1)) return true;
  } else if (window_is_head(partitions, row)) {
    return true;
  }
  if (params.block_rows == 0) return false;
  const uint32_t place = (uint32_t)(row - (uint64_t)window_range(partitions, row).begin);
  return (place + params.reverse) % params.block_rows == 0;
}

// A value as each state holds it, from the bits or the number that a column holds.
template <typename T>
KERNEL_FN uint64_t window_take(WindowAddI64, const WindowScanParams &, T value) {
  return (uint64_t)value;
}
template <typename T>
KERNEL_FN uint128_t window_take(WindowAddInt128, const WindowScanParams &, T value) {
  return (uint128_t)(int128_t)value;
}
template <typename T>
KERNEL_FN double window_take(WindowAddF64, const WindowScanParams &, T value) {
  return (double)value;
}
KERNEL_FN double window_take(WindowAddF64, const WindowScanParams &, uint16_t value) {
  return (double)float16_to_float(value);
}
template <typename T>
KERNEL_FN uint64_t window_take(WindowMaxU64, const WindowScanParams &params, T value) {
  return order_code(params.column.type, (uint64_t)value) ^ params.finish.flip;
}
template <typename T>
KERNEL_FN uint128_t window_take(WindowMaxUint128, const WindowScanParams &params, T value) {
  const uint64_t flip = params.finish.flip;
  const uint64_t high = (uint64_t)((uint128_t)value >> 64) ^ 0x8000000000000000ull ^ flip;
  return (uint128_t)high << 64 | ((uint64_t)value ^ flip);
}

/// Reads the items of a thread from a column of type T; none are read behind the last row.
template <typename T, typename Add>
KERNEL_FN void window_load_as(const WindowScanParams &params, uint64_t first,
                              typename Add::Value *values) {
#pragma unroll  // window/running_sum(i64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t index = first + item * 32;
    if (index >= params.row_count) continue;
    const uint64_t row = window_scan_row(params, index);
    values[item] = window_take(Add(), params, column_value<T>(params.column, row));
  }
}

KERNEL_FN void window_load(WindowAddI64, const WindowScanParams &params, uint64_t first,
                           uint64_t *values) {
  switch (params.column.type) {
    case PHYSICAL_INT8: window_load_as<int8_t, WindowAddI64>(params, first, values); break;
    case PHYSICAL_INT16: window_load_as<int16_t, WindowAddI64>(params, first, values); break;
    case PHYSICAL_INT32: window_load_as<int32_t, WindowAddI64>(params, first, values); break;
    case PHYSICAL_UINT8: window_load_as<uint8_t, WindowAddI64>(params, first, values); break;
    case PHYSICAL_UINT16: window_load_as<uint16_t, WindowAddI64>(params, first, values); break;
    case PHYSICAL_UINT32: window_load_as<uint32_t, WindowAddI64>(params, first, values); break;
    default: window_load_as<uint64_t, WindowAddI64>(params, first, values); break;
  }
}

KERNEL_FN void window_load(WindowAddInt128, const WindowScanParams &params, uint64_t first,
                           uint128_t *values) {
  switch (params.column.type) {
    case PHYSICAL_INT8: window_load_as<int8_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_INT16: window_load_as<int16_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_INT32: window_load_as<int32_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_INT64: window_load_as<int64_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_UINT8: window_load_as<uint8_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_UINT16: window_load_as<uint16_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_UINT32: window_load_as<uint32_t, WindowAddInt128>(params, first, values); break;
    case PHYSICAL_UINT64: window_load_as<uint64_t, WindowAddInt128>(params, first, values); break;
    default: window_load_as<int128_t, WindowAddInt128>(params, first, values); break;
  }
}

KERNEL_FN void window_load(WindowAddF64, const WindowScanParams &params, uint64_t first,
                           double *values) {
  switch (params.column.type) {
    case PHYSICAL_FLOAT16: window_load_as<uint16_t, WindowAddF64>(params, first, values); break;
    case PHYSICAL_FLOAT32: window_load_as<float, WindowAddF64>(params, first, values); break;
    default: window_load_as<double, WindowAddF64>(params, first, values); break;
  }
}

KERNEL_FN void window_load(WindowMaxU64, const WindowScanParams &params, uint64_t first,
                           uint64_t *values) {
  switch (type_bytes(params.column.type)) {
    case 0:
      for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
        const uint64_t index = first + item * 32;
        if (index >= params.row_count) continue;
        const bool bit = column_bit(params.column, window_scan_row(params, index));
        values[item] = (uint64_t)bit ^ params.finish.flip;
      }
      break;
    case 1: window_load_as<uint8_t, WindowMaxU64>(params, first, values); break;
    case 2: window_load_as<uint16_t, WindowMaxU64>(params, first, values); break;
    case 4: window_load_as<uint32_t, WindowMaxU64>(params, first, values); break;
    default: window_load_as<uint64_t, WindowMaxU64>(params, first, values); break;
  }
}

KERNEL_FN void window_load(WindowMaxUint128, const WindowScanParams &params, uint64_t first,
                           uint128_t *values) {
  window_load_as<uint128_t, WindowMaxUint128>(params, first, values);
}

/// Hands a tile's state on: its own, or, with `inclusive`, that of all rows since the last head.
/// The value lies in a place of its own before the flag, which carries the count, says that it is
/// there.
template <typename Value>
KERNEL_FN void window_publish(const WindowScanParams &params, uint64_t tile, bool inclusive,
                              const WindowState<Value> &state) {
  const uint64_t words = sizeof(Value) / 8;
  window_put(params.tile_values + (tile * 2 + inclusive) * words, state.value);
  st_release(&params.tile_flags[tile],
             (inclusive ? LOOKBACK_INCLUSIVE : LOOKBACK_AGGREGATE) | state.count);
}

/// The state of the rows before a tile, back to the last head. For the first warp, all lanes.
template <typename Add>
KERNEL_FN WindowState<typename Add::Value> window_lookback(
    const WindowScanParams &params, uint64_t tile, bool has_head,
    const WindowState<typename Add::Value> &own) {
  typedef typename Add::Value Value;
  const uint32_t lane = threadIdx.x & 31;
  const bool done = has_head || tile == 0;
  if (lane == 0) window_publish(params, tile, done, own);
  WindowState<Value> before = {};
  if (tile == 0) return before;
  for (uint64_t end = tile;; end -= 32) {
    // Lane l looks at tile end - 1 - l; lanes before tile 0 see an inclusive state of nothing.
    uint64_t flag = LOOKBACK_INCLUSIVE;
    if (lane < end) {
      do {
        flag = ld_acquire(&params.tile_flags[end - 1 - lane]);
      } while ((flag >> 62) == 0);
    }
    __syncwarp();
    const uint32_t inclusive = __ballot_sync(WARP_ALL, (flag >> 62) == 2);
    const uint32_t last = inclusive ? (uint32_t)__ffs((int)inclusive) - 1 : 31;
    WindowState<Value> part = {};
    if (lane <= last && lane < end) {
      const uint64_t place = (end - 1 - lane) * 2 + ((flag >> 62) == 2);
      window_get(params.tile_values + place * (sizeof(Value) / 8), &part.value);
      part.count = flag & LOOKBACK_VALUE;
    }
    for (uint32_t distance = 16; distance > 0; distance /= 2) {
      const Value other = window_shuffle(part.value, lane ^ distance);
      part.value = window_combine(Add(), part.value, other);
      part.count += __shfl_xor_sync(WARP_ALL, part.count, (int)distance);
    }
    before.value = window_combine(Add(), before.value, part.value);
    before.count += part.count;
    if (inclusive) break;
  }
  if (!done && lane == 0) {
    const Value all = window_combine(Add(), before.value, own.value);
    window_publish(params, tile, true, WindowState<Value>{all, before.count + own.count});
  }
  return before;
}

/// Scans the items of a warp, 32 rows at a time. Result: the state since the warp's last head.
template <typename Add>
KERNEL_FN WindowState<typename Add::Value> window_scan_warp(const uint32_t *heads,
                                                            const uint32_t *valid,
                                                            typename Add::Value *values) {
  const uint32_t lane = threadIdx.x & 31;
  WindowState<typename Add::Value> carry = {};
#pragma unroll  // window/running_sum(i64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint32_t upto = heads[item] & window_lanes_upto();
    const uint32_t start = upto ? 31 - (uint32_t)__clz((int)upto) : 0;
    for (uint32_t distance = 1; distance < 32; distance *= 2) {
      const uint32_t from = lane >= distance ? lane - distance : lane;
      const typename Add::Value below = window_shuffle(values[item], from);
      if (lane >= start + distance) values[item] = window_combine(Add(), below, values[item]);
    }
    if (!upto) values[item] = window_combine(Add(), carry.value, values[item]);
    carry.value = window_shuffle(values[item], 31);
    if (heads[item]) carry.count = 0;
    const uint32_t last = heads[item] ? 31 - (uint32_t)__clz((int)heads[item]) : 0;
    carry.count += (uint32_t)__popc(valid[item] >> last);
  }
  return carry;
}

/// Writes the result of a segment, if the row is its last.
template <typename Value>
KERNEL_FN void window_write_segment(const WindowScanParams &params,
                                    const WindowSegmentsView &segments, uint64_t row,
                                    const WindowState<Value> &state) {
  if (row + 1 < params.row_count && !window_is_head(segments, row + 1)) return;
  const ColumnOut &output = params.output;
  const uint32_t segment = window_segment(segments, row);
  const WindowResult result =
      window_finished(params.finish, output.type, params.status, state.value, state.count, row);
  const uint32_t bit = 1u << (segment & 31);
  if (output.type == PHYSICAL_BOOLEAN) {
    if (result.low & 1) atomicOr((uint32_t *)output.values + (segment >> 5), bit);
  } else if (sizeof(Value) == 16 && type_bytes(output.type) == 16) {
    ((int128_t *)output.values)[segment] = int128_of(result.low, result.high);
  } else {
    output_bits(output, segment, result.low);
  }
  if (output.validity && result.valid) {
    atomicOr((uint32_t *)output.validity + (segment >> 5), bit);
  }
}

/// Writes what a row's state is wanted for. For whole warps.
template <typename Value>
KERNEL_FN void window_write_state(const WindowScanParams &params, uint64_t index,
                                  const WindowState<Value> &state) {
  const bool in_rows = index < params.row_count;
  if (params.target == WINDOW_SCAN_ROWS) {
    WindowResult result = {0, 0, false, false};
    if (in_rows) {
      result = window_finished(params.finish, params.output.type, params.status, state.value,
                               state.count, index);
    }
    window_write_rows(params.output, index, in_rows, result);
  } else if (in_rows && params.target == WINDOW_SCAN_STATES) {
    const uint64_t row = window_scan_row(params, index);
    if (params.out_values) ((Value *)params.out_values)[row] = state.value;
    if (params.out_counts) params.out_counts[row] = (uint32_t)state.count;
  } else if (in_rows) {
    const bool peers = params.target == WINDOW_SCAN_PEERS;
    window_write_segment(params, peers ? params.peers : params.partitions, index, state);
  }
}

/// Scans a tile: loads, scans the warps, looks back, writes.
template <typename Add>
KERNEL_FN void window_scan_tile(const WindowScanParams &params) {
  typedef typename Add::Value Value;
  SHARED(Value, warp_values, WINDOW_WARPS);
  SHARED(uint64_t, warp_counts, WINDOW_WARPS);
  SHARED(uint32_t, warp_heads, WINDOW_WARPS);
  SHARED(Value, before_value, 1);
  SHARED(uint64_t, before_count, 1);
  const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t first = window_first_row(tile);
  Value values[WINDOW_ITEMS] = {};
  uint32_t heads[WINDOW_ITEMS], valid[WINDOW_ITEMS], any_head = 0;
  if (params.finish.finish != WINDOW_FINISH_COUNT) window_load(Add(), params, first, values);
#pragma unroll  // window/running_sum(i64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t index = first + item * 32;
    const bool in_rows = index < params.row_count;
    const uint64_t row = in_rows ? window_scan_row(params, index) : 0;
    const bool is_valid = in_rows && column_valid(params.column, row);
    valid[item] = __ballot_sync(WARP_ALL, is_valid);
    heads[item] = __ballot_sync(WARP_ALL, in_rows && window_scan_begins(params, row));
    any_head |= heads[item];
    if (!is_valid) values[item] = Value();
  }
  const WindowState<Value> own = window_scan_warp<Add>(heads, valid, values);
  if (lane == 0) {
    warp_values[warp] = own.value;
    warp_counts[warp] = own.count;
    warp_heads[warp] = any_head;
  }
  __syncthreads();
  WindowState<Value> before = {}, all = {};
  uint32_t heads_before = 0, heads_all = 0;
  for (uint32_t w = 0; w < WINDOW_WARPS; w++) {
    if (w == warp) {
      before = all;
      heads_before = heads_all;
    }
    const bool anew = warp_heads[w] != 0;
    all.value = anew ? warp_values[w] : window_combine(Add(), all.value, warp_values[w]);
    all.count = (anew ? 0 : all.count) + warp_counts[w];
    heads_all |= warp_heads[w];
  }
  if (warp == 0) {
    const WindowState<Value> tiles = window_lookback<Add>(params, tile, heads_all != 0, all);
    if (lane == 0) {
      before_value[0] = tiles.value;
      before_count[0] = tiles.count;
    }
  }
  __syncthreads();
  if (!heads_before) {
    before.value = window_combine(Add(), before_value[0], before.value);
    before.count += before_count[0];
  }
  uint32_t heads_passed = 0;
#pragma unroll  // window/running_sum(i64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t index = first + item * 32;
    if ((index & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
    const uint32_t upto = heads[item] & window_lanes_upto();
    const uint32_t start = upto ? 31 - (uint32_t)__clz((int)upto) : 0;
    WindowState<Value> state = {values[item], 0};
    if (!upto && !heads_passed) state.value = window_combine(Add(), before.value, state.value);
    state.count = (uint32_t)__popc((valid[item] & window_lanes_upto()) >> start);
    if (!upto) state.count += before.count;
    window_write_state(params, index, state);
    const uint32_t last = heads[item] ? 31 - (uint32_t)__clz((int)heads[item]) : 0;
    before.count = (heads[item] ? 0 : before.count) + (uint32_t)__popc(valid[item] >> last);
    heads_passed |= heads[item];
  }
}

/// Scans sums modulo 2^64, and counts.
///
/// Shape   column[rows], partitions, peers -> output[rows] or output[segments], or states[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   not added; null where nothing was, unless a sum is zero then
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_scan_i64(GRID_CONSTANT(WindowScanParams) params) { window_scan_tile<WindowAddI64>(params); }

/// Scans sums modulo 2^128.
///
/// Shape   column[rows], partitions, peers -> output[rows] or output[segments], or states[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   not added; null where nothing was, unless a sum is zero then, and for a sum that does
/// not
///         fit
/// Errors  STATUS_SUM_OVERFLOW: argument = row
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_scan_int128(GRID_CONSTANT(WindowScanParams) params) {
  window_scan_tile<WindowAddInt128>(params);
}

/// Scans sums of floats, as binary64.
///
/// Shape   column[rows], partitions, peers -> output[rows] or output[segments], or states[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   not added; null where nothing was, unless a sum is zero then
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_scan_f64(GRID_CONSTANT(WindowScanParams) params) { window_scan_tile<WindowAddF64>(params); }

/// Scans the greatest or smallest of values of at most 64 bits.
///
/// Shape   column[rows], partitions, peers -> output[rows] or output[segments], or states[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   not compared; null where nothing was
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_scan_max_u64(GRID_CONSTANT(WindowScanParams) params) {
  window_scan_tile<WindowMaxU64>(params);
}

/// Scans the greatest or smallest of 128-bit values.
///
/// Shape   column[rows], partitions, peers -> output[rows] or output[segments], or states[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   not compared; null where nothing was
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_scan_max_uint128(GRID_CONSTANT(WindowScanParams) params) {
  window_scan_tile<WindowMaxUint128>(params);
}
