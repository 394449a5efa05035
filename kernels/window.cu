// Operator  window (src/operators/window.rs states the contract)
// Kernels   window_segments window_rank window_pick
// Method    rows stand in the order of their partitions. One pass compares neighbouring keys and
//           numbers partitions and groups of peers together, with one look-back; ranks and picked
//           rows are then found without any scan
// Cost      segments: reads the keys, writes 1/4 B per row and level and 4 B per segment; rank:
// reads
//           1/4 B per row and level and 4 B per segment, writes 8 B per row; pick: the same, reads
//           and writes the column
// Source    decoupled look-back (primitives/grid.cuh); written from the idea
#include "primitives/grid.cuh"
#include "window.cuh"

/// Marks, in `*differs`, the items whose bits are not those of the row before.
template <typename T>
KERNEL_FN void window_compare_bits(const ColumnView &key, uint64_t first, uint64_t row_count,
                                   uint32_t *differs) {
  const T *values = (const T *)key.values + key.offset;
#pragma unroll  // window/segments
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if (row == 0 || row >= row_count) continue;
    const T own = values[row], before = values[row - 1];
    bool differ = own != before;
    if (sizeof(T) <= 8 && differ && type_is_float(key.type)) {
      differ = float_bits_normal(key.type, (uint64_t)own) !=
               float_bits_normal(key.type, (uint64_t)before);
    }
    *differs |= (uint32_t)differ << item;
  }
}

/// Marks the items whose value of one key is not that of the row before.
KERNEL_FN void window_compare(const ColumnView &key, uint64_t first, uint64_t row_count,
                              uint32_t *differs) {
  if (key.kind != COLUMN_ARRAY) return;  // the same in every row
  uint32_t values = 0;
  switch (type_bytes(key.type)) {
    case 0:
      for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
        const uint64_t row = first + item * 32;
        if (row == 0 || row >= row_count) continue;
        values |= (uint32_t)(column_bit(key, row) != column_bit(key, row - 1)) << item;
      }
      break;
    case 1: window_compare_bits<uint8_t>(key, first, row_count, &values); break;
    case 2: window_compare_bits<uint16_t>(key, first, row_count, &values); break;
    case 4: window_compare_bits<uint32_t>(key, first, row_count, &values); break;
    case 8: window_compare_bits<uint64_t>(key, first, row_count, &values); break;
    default: window_compare_bits<uint128_t>(key, first, row_count, &values); break;
  }
  if (!key.validity) {
    *differs |= values;
    return;
  }
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if (row == 0 || row >= row_count) continue;
    const bool own = column_valid(key, row), before = column_valid(key, row - 1);
    const bool differ = own && before ? values >> item & 1 : own != before;
    *differs |= (uint32_t)differ << item;
  }
}

/// Writes the heads of a warp's rows and their places. `before` counts the segments in front.
KERNEL_FN void window_write_segments(const WindowSegmentsView &segments, uint64_t first,
                                     uint64_t row_count, const uint32_t *heads, uint32_t before) {
  const uint32_t lane = threadIdx.x & 31;
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    const uint32_t word = heads[item];
    if (lane == 0 && row < row_count) {
      segments.heads[row >> 5] = word;
      segments.before[row >> 5] = before;
    }
    if (word >> lane & 1) {
      segments.starts[before + (uint32_t)__popc(word & window_lanes_upto()) - 1] = (uint32_t)row;
    }
    before += (uint32_t)__popc(word);
  }
}

/// Finds where partitions and groups of peers begin, and numbers them.
///
/// Shape   keys[rows] -> partitions, peers, out_counts[2]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   a null equals a null
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_segments(GRID_CONSTANT(WindowSegmentsParams) params) {
  SHARED(uint64_t, warp_counts, WINDOW_WARPS);
  SHARED(uint64_t, tile_before, 1);
  const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const uint64_t row_count = params.row_count;
  const uint64_t tile = grid_ticket(params.tile_ticket);
  const uint64_t first = window_first_row(tile);
  uint32_t new_partition = first == 0, key = 0;
  for (; key < params.partition_key_count; key++) {
    window_compare(params.keys[key], first, row_count, &new_partition);
  }
  uint32_t new_peers = new_partition;
  for (; key < params.key_count; key++) {
    window_compare(params.keys[key], first, row_count, &new_peers);
  }
  // Both counts are less than 2^31, so that one word carries them through scan and look-back.
  uint32_t partitions[WINDOW_ITEMS], peers[WINDOW_ITEMS];
  uint64_t own = 0;
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    partitions[item] = __ballot_sync(WARP_ALL, (int)(new_partition >> item & 1));
    peers[item] = __ballot_sync(WARP_ALL, (int)(new_peers >> item & 1));
    own += (uint64_t)__popc(partitions[item]) << 31 | (uint64_t)__popc(peers[item]);
  }
  if (lane == 0) warp_counts[warp] = own;
  __syncthreads();
  uint64_t before = 0, all = 0;
  for (uint32_t w = 0; w < WINDOW_WARPS; w++) {
    if (w < warp) before += warp_counts[w];
    all += warp_counts[w];
  }
  if (warp == 0) {
    const uint64_t tiles_before = grid_lookback(params.tile_states, tile, all);
    if (lane == 0) tile_before[0] = tiles_before;
  }
  __syncthreads();
  before += tile_before[0];
  const uint32_t low = 0x7fffffff;
  window_write_segments(params.partitions, first, row_count, partitions, (uint32_t)(before >> 31));
  if (params.peers.heads) {
    window_write_segments(params.peers, first, row_count, peers, (uint32_t)before & low);
  }
  if (threadIdx.x == 0 && (tile + 1) * WINDOW_TILE_ROWS >= row_count) {
    const uint64_t total = tile_before[0] + all;
    params.out_counts[0] = total >> 31;
    params.out_counts[1] = total & low;
    params.partitions.starts[total >> 31] = (uint32_t)row_count;
    if (params.peers.heads) params.peers.starts[total & low] = (uint32_t)row_count;
  }
}

/// A rank of a row, as the bits of an integer or of a float.
KERNEL_FN uint64_t window_rank_of(const WindowRankParams &params, uint64_t row) {
  const WindowRange partition = window_range(params.partitions, row);
  const uint64_t rows = (uint64_t)(partition.end - partition.begin);
  const uint64_t index = row - (uint64_t)partition.begin;
  switch (params.rank) {
    case WINDOW_ROW_NUMBER: return index + 1;
    case WINDOW_DENSE_RANK:
      return window_segment(params.peers, row) -
             window_segment(params.peers, (uint64_t)partition.begin) + 1;
    case WINDOW_NTILE: {
      const uint64_t size = rows / params.buckets, greater = rows % params.buckets;
      const uint64_t in_greater = greater * (size + 1);
      if (index < in_greater) return index / (size + 1) + 1;
      return greater + (index - in_greater) / size + 1;
    }
    default: break;
  }
  const WindowRange peers = window_range(params.peers, row);
  const uint64_t before = (uint64_t)(peers.begin - partition.begin);
  if (params.rank == WINDOW_RANK) return before + 1;
  double share = 0;
  if (params.rank == WINDOW_CUME_DIST) {
    share = (double)(peers.end - partition.begin) / (double)rows;
  } else if (rows > 1) {
    share = (double)before / (double)(rows - 1);
  }
  return (uint64_t)__double_as_longlong(share);
}

/// Ranks each row among the rows of its partition.
///
/// Shape   partitions, peers -> output[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   none
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_rank(GRID_CONSTANT(WindowRankParams) params) {
  const uint64_t first = window_first_row(blockIdx.x);
#pragma unroll 4  // window/row_number
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if (row >= params.row_count) return;
    ((uint64_t *)params.output.values)[row] = window_rank_of(params, row);
  }
}

/// The element of the column that a row picks, or none: -1.
KERNEL_FN int64_t window_picked(const WindowPickParams &params, uint64_t row) {
  if (params.pick == WINDOW_PICK_PARTITION) return window_segment(params.partitions, row);
  if (params.pick == WINDOW_PICK_PEERS) return window_segment(params.peers, row);
  WindowRange range = window_range(params.partitions, row);
  if (params.pick == WINDOW_PICK_NEIGHBOUR) {
    const int64_t picked = (int64_t)row + params.offset;
    return range.begin <= picked && picked < range.end ? picked : -1;
  }
  range = window_frame_of(params.frame, params.peers, range, row);
  const int64_t picked =
      params.pick == WINDOW_PICK_FIRST ? range.begin + params.offset : range.end - 1;
  return range.begin <= picked && picked < range.end ? picked : -1;
}

/// Picks the items of a thread, of a column of type T.
template <typename T>
KERNEL_FN void window_pick_items(const WindowPickParams &params, uint64_t first, T otherwise) {
#pragma unroll 4  // window/lag(f64)
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
    const bool in_rows = row < params.row_count;
    const int64_t picked = in_rows ? window_picked(params, row) : -1;
    if (in_rows) {
      const T value = picked < 0 ? otherwise : column_value<T>(params.column, (uint64_t)picked);
      ((T *)params.output.values)[row] = value;
    }
    if (params.output.validity) {
      const bool valid =
          picked < 0 ? params.default_valid != 0 : column_valid(params.column, (uint64_t)picked);
      bitmap_write_warp(params.output.validity, row, in_rows && valid);
    }
  }
}

/// The same, of a Boolean column.
KERNEL_FN void window_pick_bits(const WindowPickParams &params, uint64_t first) {
  for (uint32_t item = 0; item < WINDOW_ITEMS; item++) {
    const uint64_t row = first + item * 32;
    if ((row & ~(uint64_t)31) >= params.row_count) return;
    const bool in_rows = row < params.row_count;
    const int64_t picked = in_rows ? window_picked(params, row) : -1;
    const bool value =
        picked < 0 ? params.default_low & 1 : column_bit(params.column, (uint64_t)picked);
    bitmap_write_warp((uint8_t *)params.output.values, row, in_rows && value);
    if (params.output.validity) {
      const bool valid =
          picked < 0 ? params.default_valid != 0 : column_valid(params.column, (uint64_t)picked);
      bitmap_write_warp(params.output.validity, row, in_rows && valid);
    }
  }
}

/// Gives each row the value of another row, or of its segment.
///
/// Shape   column[rows] or column[segments], partitions, peers -> output[rows]
/// Launch  grid = ceil(row_count / WINDOW_TILE_ROWS), block = WINDOW_THREADS, shared = 0
/// Nulls   a picked null is null; where there is no such row the default stands
/// Errors  none
/// Tests   tests/operators/window.rs
extern "C" __global__ void __launch_bounds__(WINDOW_THREADS)
window_pick(GRID_CONSTANT(WindowPickParams) params) {
  const uint64_t first = window_first_row(blockIdx.x);
  const uint64_t low = params.default_low;
  switch (type_bytes(params.output.type)) {
    case 0: window_pick_bits(params, first); break;
    case 1: window_pick_items<uint8_t>(params, first, (uint8_t)low); break;
    case 2: window_pick_items<uint16_t>(params, first, (uint16_t)low); break;
    case 4: window_pick_items<uint32_t>(params, first, (uint32_t)low); break;
    case 8: window_pick_items<uint64_t>(params, first, low); break;
    default: window_pick_items<int128_t>(params, first, int128_of(low, params.default_high)); break;
  }
}
