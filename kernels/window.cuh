// Operator  window (src/operators/window.rs states the contract)
// Kernels   those of window.cu, window_scan.cu and window_frame.cu
// Method    a bitmap of heads with a count per word finds the segment of any row in two loads, and
// a
//           list of starts its first row and its end
// Cost      see the kernels
// Source    rank and select over bitmaps are common knowledge; written from the idea
#pragma once
#include "abi/window.h"
#include "primitives/atomic.cuh"
#include "primitives/bitmap.cuh"
#include "primitives/status.cuh"
#include "primitives/value.cuh"

#define WINDOW_WARPS (WINDOW_THREADS / 32)
#define WINDOW_WARP_ROWS (WINDOW_ITEMS * 32)
static_assert(WINDOW_TILE_ROWS == WINDOW_THREADS * WINDOW_ITEMS,
              "a thread has its items of a tile");

/// The row of this thread's first item: items are 32 rows apart, so that a warp reads side by side.
KERNEL_FN uint64_t window_first_row(uint64_t tile) {
  return tile * WINDOW_TILE_ROWS + (threadIdx.x >> 5) * WINDOW_WARP_ROWS + (threadIdx.x & 31);
}

/// The lanes up to this one, itself included.
KERNEL_FN uint32_t window_lanes_upto() { return 0xffffffffu >> (31 - (threadIdx.x & 31)); }

/// The number of the segment that a row is in.
KERNEL_FN uint32_t window_segment(const WindowSegmentsView &segments, uint64_t row) {
  const uint32_t upto = 0xffffffffu >> (31 - (row & 31));
  return segments.before[row >> 5] + (uint32_t)__popc(segments.heads[row >> 5] & upto) - 1;
}

/// True if a segment begins with the row.
KERNEL_FN bool window_is_head(const WindowSegmentsView &segments, uint64_t row) {
  return segments.heads[row >> 5] >> (row & 31) & 1;
}

/// Rows from `begin` up to `end`, not included.
struct WindowRange {
  int64_t begin, end;
};

/// The rows of the segment of a row.
KERNEL_FN WindowRange window_range(const WindowSegmentsView &segments, uint64_t row) {
  const uint32_t segment = window_segment(segments, row);
  return {(int64_t)segments.starts[segment], (int64_t)segments.starts[segment + 1]};
}

/// The frame of a row, within its partition. An empty one ends where it begins, or before.
KERNEL_FN WindowRange window_frame_of(const WindowFrameBounds &frame,
                                      const WindowSegmentsView &peers, WindowRange partition,
                                      uint64_t row) {
  WindowRange range = partition;
  if (frame.kind == WINDOW_FRAME_RANGE) {
    range.end = window_range(peers, row).end;
  } else if (frame.kind == WINDOW_FRAME_ROWS) {
    if (frame.start_bounded) range.begin = max(range.begin, (int64_t)row + frame.start);
    if (frame.end_bounded) range.end = min(range.end, (int64_t)row + frame.end + 1);
  }
  return range;
}

/// What the rows of a frame come to: a value, and how many values it is of.
template <typename Value>
struct WindowState {
  Value value;
  uint64_t count;
};

struct WindowAddI64 {
  typedef uint64_t Value;
};
struct WindowAddInt128 {
  typedef uint128_t Value;
};
struct WindowAddF64 {
  typedef double Value;
};
struct WindowMaxU64 {
  typedef uint64_t Value;
};
struct WindowMaxUint128 {
  typedef uint128_t Value;
};

KERNEL_FN uint64_t window_combine(WindowAddI64, uint64_t a, uint64_t b) { return a + b; }
KERNEL_FN uint128_t window_combine(WindowAddInt128, uint128_t a, uint128_t b) { return a + b; }
KERNEL_FN double window_combine(WindowAddF64, double a, double b) { return a + b; }
KERNEL_FN uint64_t window_combine(WindowMaxU64, uint64_t a, uint64_t b) { return a > b ? a : b; }
KERNEL_FN uint128_t window_combine(WindowMaxUint128, uint128_t a, uint128_t b) {
  return a > b ? a : b;
}

/// The values of a that are not in b, which is a part of it. Only sums of integers can tell.
KERNEL_FN uint64_t window_difference(WindowAddI64, uint64_t a, uint64_t b) { return a - b; }
KERNEL_FN uint128_t window_difference(WindowAddInt128, uint128_t a, uint128_t b) { return a - b; }
template <typename Add, typename Value>
KERNEL_FN Value window_difference(Add, Value a, Value) {
  return a;
}

/// The value of another lane.
KERNEL_FN uint64_t window_shuffle(uint64_t value, uint32_t lane) {
  return __shfl_sync(WARP_ALL, value, (int)lane);
}
KERNEL_FN double window_shuffle(double value, uint32_t lane) {
  return __shfl_sync(WARP_ALL, value, (int)lane);
}
KERNEL_FN uint128_t window_shuffle(uint128_t value, uint32_t lane) {
  const uint64_t low = __shfl_sync(WARP_ALL, (uint64_t)value, (int)lane);
  const uint64_t high = __shfl_sync(WARP_ALL, (uint64_t)(value >> 64), (int)lane);
  return (uint128_t)high << 64 | low;
}

// The words of a value, as tiles hand them on.
KERNEL_FN void window_put(uint64_t *words, uint64_t value) { st_relaxed(words, value); }
KERNEL_FN void window_put(uint64_t *words, double value) {
  st_relaxed(words, (uint64_t)__double_as_longlong(value));
}
KERNEL_FN void window_put(uint64_t *words, uint128_t value) {
  st_relaxed(words, (uint64_t)value);
  st_relaxed(words + 1, (uint64_t)(value >> 64));
}
KERNEL_FN void window_get(const uint64_t *words, uint64_t *value) { *value = ld_relaxed(words); }
KERNEL_FN void window_get(const uint64_t *words, double *value) {
  *value = __longlong_as_double((long long)ld_relaxed(words));
}
KERNEL_FN void window_get(const uint64_t *words, uint128_t *value) {
  *value = (uint128_t)ld_relaxed(words + 1) << 64 | ld_relaxed(words);
}

/// A finished aggregate: its bits, whether it is null, whether it did not fit.
struct WindowResult {
  uint64_t low, high;
  bool valid, overflow;
};

KERNEL_FN WindowResult window_mean(const WindowFinish &finish, double sum, uint64_t count) {
  if (finish.factor != 1) sum /= finish.factor;
  return {(uint64_t)__double_as_longlong(sum / (double)count), 0, true, false};
}

KERNEL_FN WindowResult window_result(const WindowFinish &finish, uint32_t type, uint64_t value,
                                     uint64_t) {
  if (finish.finish == WINDOW_FINISH_MAX) value = order_decode(type, value ^ finish.flip);
  return {value, 0, true, false};
}

KERNEL_FN WindowResult window_result(const WindowFinish &finish, uint32_t, double value,
                                     uint64_t count) {
  if (finish.finish == WINDOW_FINISH_MEAN) return window_mean(finish, value, count);
  return {(uint64_t)__double_as_longlong(value), 0, true, false};
}

KERNEL_FN WindowResult window_result(const WindowFinish &finish, uint32_t type, uint128_t value,
                                     uint64_t count) {
  if (finish.finish == WINDOW_FINISH_MAX) {
    const uint64_t high = (uint64_t)(value >> 64) ^ finish.flip ^ 0x8000000000000000ull;
    return {(uint64_t)value ^ finish.flip, high, true, false};
  }
  const int128_t sum = (int128_t)value;
  if (finish.finish == WINDOW_FINISH_MEAN) return window_mean(finish, int128_to_double(sum), count);
  const int128_t limit = int128_of(finish.limit_low, finish.limit_high);
  bool fits = limit == 0 || (sum < limit && sum > -limit);
  if (type == PHYSICAL_INT64) fits = fits && sum == (int128_t)(int64_t)sum;
  if (type == PHYSICAL_UINT64) fits = fits && sum == (int128_t)(uint64_t)sum;
  if (!fits) return {0, 0, false, true};
  return {(uint64_t)value, (uint64_t)(value >> 64), true, false};
}

/// What a state is in the end; reports a sum that does not fit, if that is an error.
template <typename Value>
KERNEL_FN WindowResult window_finished(const WindowFinish &finish, uint32_t type,
                                       KernelStatus *status, Value value, uint64_t count,
                                       uint64_t row) {
  if (finish.finish == WINDOW_FINISH_COUNT) return {count, 0, true, false};
  if (count == 0) return {0, 0, finish.empty_is_zero != 0, false};
  const WindowResult result = window_result(finish, type, value, count);
  if (result.overflow && finish.overflow_is_error) status_set(status, STATUS_SUM_OVERFLOW, row);
  return result;
}

/// Writes the results of 32 consecutive rows, the first of which is a multiple of 32.
KERNEL_FN void window_write_rows(const ColumnOut &output, uint64_t row, bool in_rows,
                                 const WindowResult &result) {
  if (output.type == PHYSICAL_BOOLEAN) {
    bitmap_write_warp((uint8_t *)output.values, row, in_rows && result.valid && (result.low & 1));
  } else if (in_rows) {
    if (type_bytes(output.type) == 16) {
      ((int128_t *)output.values)[row] = int128_of(result.low, result.high);
    } else {
      output_bits(output, row, result.low);
    }
  }
  if (output.validity) bitmap_write_warp(output.validity, row, in_rows && result.valid);
}
