// Operator  window (src/operators/window.rs states the contract)
// Kernels   window_frame
// Method    a frame is put together from at most two states of scans. Sums of integers: the prefix
// at
//           its end less the one before its start, exact modulo 2^64 or 2^128. All else, so that
//           nothing is ever taken back: scans that begin anew every `block_rows` rows, forward and
//           in reverse; a frame of so many rows is the rest of one block and the beginning of the
//           next
// Cost      reads the states of two rows (8 or 16 B each, neighbours' reads overlap) and 1/4 B per
//           row, writes the column
// Source    M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and
//           octagonal kernels", 1992; J. Gil, M. Werman, 1993; written from the idea
#include "window.cuh"

/// A state that a scan left for a row.
template <typename Value>
KERNEL_FN WindowState<Value> window_state_at(const uint64_t *values, const uint32_t *counts,
                                             int64_t row) {
  WindowState<Value> state = {};
  if (values) state.value = ((const Value *)values)[row];
  if (counts) state.count = counts[row];
  return state;
}

/// The state of a frame with rows. Without counts its count is left out.
template <typename Add>
KERNEL_FN WindowState<typename Add::Value> window_frame_state(const WindowFrameParams &params,
                                                              WindowRange partition,
                                                              WindowRange frame) {
  typedef typename Add::Value Value;
  const int64_t last = frame.end - 1;
  if (params.combine == WINDOW_COMBINE_SUFFIX) {
    return window_state_at<Value>(params.suffix_values, params.suffix_counts, frame.begin);
  }
  const WindowState<Value> prefix =
      window_state_at<Value>(params.prefix_values, params.prefix_counts, last);
  if (params.combine == WINDOW_COMBINE_PREFIX) return prefix;
  if (params.combine == WINDOW_COMBINE_DIFFERENCE) {
    if (frame.begin == partition.begin) return prefix;
    const WindowState<Value> before =
        window_state_at<Value>(params.prefix_values, params.prefix_counts, frame.begin - 1);
    return {window_difference(Add(), prefix.value, before.value), prefix.count - before.count};
  }
  const uint32_t begin = (uint32_t)(frame.begin - partition.begin), block = params.block_rows;
  const bool one_block = begin / block == (uint32_t)(last - partition.begin) / block;
  if (one_block && begin % block == 0) return prefix;
  const WindowState<Value> suffix =
      window_state_at<Value>(params.suffix_values, params.suffix_counts, frame.begin);
  if (one_block) return suffix;  // the frame is cut short where the partition ends
  return {window_combine(Add(), suffix.value, prefix.value), suffix.count + prefix.count};
}

template <typename Add>
KERNEL_FN void window_frame_rows(const WindowFrameParams &params) {
  const uint64_t first = window_first_row(blockIdx.x);
  const bool counted = params.prefix_counts || params.suffix_counts;
#pragma unroll 2  // window/trailing_sum(f64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
    const bool in_rows = row < params.row_count;
    WindowResult result = {0, 0, false, false};
    if (in_rows) {
      const WindowRange partition = window_range(params.partitions, row);
      const WindowRange frame = window_frame_of(params.frame, params.peers, partition, row);
      WindowState<typename Add::Value> state = {};
      if (frame.begin < frame.end) {
        state = window_frame_state<Add>(params, partition, frame);
        if (!counted) state.count = (uint64_t)(frame.end - frame.begin);
      }
      result = window_finished(params.finish, params.output.type, params.status, state.value,
                               state.count, row);
    }
    window_write_rows(params.output, row, in_rows, result);
  }
}

/// Finishes the aggregates of frames of rows.
///
/// Shape   states[rows] of scans, partitions, peers -> output[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   null for a frame without values (but a sum may be zero then), and for a sum that does
/// not
///         fit
/// Errors  STATUS_SUM_OVERFLOW: argument = row
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_frame(GRID_CONSTANT(WindowFrameParams) params) {
  switch (params.add) {
    case WINDOW_ADD_I64: window_frame_rows<WindowAddI64>(params); break;
    case WINDOW_ADD_INT128: window_frame_rows<WindowAddInt128>(params); break;
    case WINDOW_ADD_F64: window_frame_rows<WindowAddF64>(params); break;
    case WINDOW_MAX_U64: window_frame_rows<WindowMaxU64>(params); break;
    default: window_frame_rows<WindowMaxUint128>(params); break;
  }
}
