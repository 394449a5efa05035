// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_list_rows group_by_element_rows group_by_write_registers
//           group_by_read_registers
// Method    states that have no fixed number of words, as rows and back. The row of an element is
//           found by halving the starts of all lists; of a sketch, registers that are raised become
//           rows, a block per sketch, and rows become bytes among zeros
// Cost      list_rows reads and writes 4 B per row; element_rows writes 4 B per element and reads
//           starts, mostly cached; write_registers reads 12 B and writes 1 B per raised register;
//           read_registers reads 4 KiB per sketch and writes 16 B per raised register
// Source    none needed
#include "group_by.cuh"
#include "primitives/warp.cuh"

static_assert((1u << GROUP_BY_REGISTER_BITS) % (8 * GROUP_BY_TABLE_THREADS) == 0,
              "each thread of a block reads as many words of a sketch");

/// Tells the row of each list.
///
/// Shape   lists[row_count] -> list_rows[list_count]
/// Launch  grid = ceil(row_count / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS,
///         shared = 0
/// Nulls   have no list
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_list_rows(GRID_CONSTANT(GroupByListRowsParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (row >= params.row_count || !column_valid(params.lists, row)) return;
  const uint32_t list = column_value<uint32_t>(params.lists, row);
  if (list < params.list_count) params.list_rows[list] = (uint32_t)row;
}

/// The last of `count` ascending starts that is not above `at`; the first one is not.
KERNEL_FN uint64_t states_part_of(const uint32_t *starts, uint64_t count, uint64_t at) {
  uint64_t begin = 0, end = count;
  while (end - begin > 1) {
    const uint64_t middle = begin + (end - begin) / 2;
    if (starts[middle] <= at) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// Tells the row of each element of lists.
///
/// Shape   starts[list_count + 1], list_rows[list_count] -> element_rows[element_count]
/// Launch  grid = ceil(element_count / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS,
///         shared = 0
/// Order   that of the elements
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_element_rows(GRID_CONSTANT(GroupByElementRowsParams) params) {
  const uint64_t element = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (element >= params.element_count) return;
  const uint64_t list = states_part_of(params.starts, params.list_count, element);
  params.element_rows[element] = params.list_rows[list];
}

/// Writes the registers of sketches, a byte each, and where the sketch of each group is.
///
/// Shape   registers[row_count], weights[row_count], starts[sketch_count + 1], lists[group_count]
///         -> bytes, sketches[group_count]
/// Launch  grid covers rows and groups, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   that of the groups
/// Nulls   raise no register
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_write_registers(GRID_CONSTANT(GroupByWriteRegistersParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (row < params.group_count) {
    const bool valid = column_valid(params.lists, row);
    const uint64_t list = valid ? column_value<uint32_t>(params.lists, row) : params.sketch_count;
    strings_store(params.sketches, row, params.bytes + (list << GROUP_BY_REGISTER_BITS),
                  1u << GROUP_BY_REGISTER_BITS);
  }
  if (row >= params.row_count || !column_valid(params.registers, row)) return;
  const uint64_t sketch = states_part_of(params.starts, params.sketch_count, row);
  const uint32_t place = column_value<uint32_t>(params.registers, row);
  const uint64_t weight = column_value<uint64_t>(params.weights, row);
  const uint32_t rank = GROUP_BY_RANK_MAX + 1 - (uint32_t)__ffsll((long long)weight);
  params.bytes[(sketch << GROUP_BY_REGISTER_BITS) + place] = (uint8_t)rank;
}

/// Lists the raised registers of sketches, or counts them.
///
/// Shape   sketches[row_count] -> rows, registers, weights [*raised_count]
/// Launch  grid = row_count, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   unspecified
/// Nulls   have no registers
/// Errors  STATUS_STATE: argument = row
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_read_registers(GRID_CONSTANT(GroupByReadRegistersParams) params) {
  const uint64_t row = blockIdx.x;
  if (!column_valid(params.sketches, row)) return;
  const TextView sketch = strings_view(params.sketches, row);
  if (sketch.length != 1u << GROUP_BY_REGISTER_BITS) {
    if (threadIdx.x == 0) status_set(params.status, STATUS_STATE, row);
    return;
  }
  for (uint32_t at = threadIdx.x * 8; at < sketch.length; at += GROUP_BY_TABLE_THREADS * 8) {
    const uint64_t ranks = strings_word(sketch, at);
    uint32_t raised = 0;
    for (uint32_t byte = 0; byte < 8; byte++) raised += (ranks >> (8 * byte) & 0xff) != 0;
    const uint32_t end = warp_scan(raised);
    uint64_t place = 0;
    if ((threadIdx.x & 31) == 31 && end) place = atomic_add_u64(params.raised_count, end);
    place = __shfl_sync(WARP_ALL, place, 31) + end - raised;
    for (uint32_t byte = 0; byte < 8; byte++) {
      const uint32_t rank = (uint32_t)(ranks >> (8 * byte)) & 0xff;
      if (rank > GROUP_BY_RANK_MAX) status_set(params.status, STATUS_STATE, row);
      if (rank == 0 || rank > GROUP_BY_RANK_MAX || !params.rows) continue;
      params.rows[place] = (uint32_t)row;
      params.registers[place] = at + byte;
      params.weights[place] = 1ull << (GROUP_BY_RANK_MAX - rank);
      place++;
    }
  }
}
