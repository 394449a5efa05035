// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_init group_by_sketch group_by_sketch_wide group_by_update
//           group_by_update_wide group_by_merge group_by_merge_wide group_by_list
// Method    a block first aggregates in a table of its own in shared memory, with copies of each
//           accumulator per lane where groups are few; rows that find no place there, or all rows
//           once that table proves useless, go to the table in device memory. A row that finds no
//           slot within `probe_max` stays pending, for a second launch over a larger table
// Cost      reads keys and inputs once per row; per row one 32 B sector and one atomic per
//           accumulator, in shared memory or in the table
// Source    linear probing and shared-memory pre-aggregation are common knowledge; the sketch is
//           HyperLogLog (P. Flajolet et al., AofA 2007); written from the idea
#include "group_by.cuh"

struct GroupByPolicy {
  static const uint32_t TILE_ROWS = GROUP_BY_THREADS * GROUP_BY_ITEMS;
  static const uint32_t BLOCKS = 3;           // on a multiprocessor: leaves 40 registers
  static const uint32_t SHARED_PROBES = 8;    // slots looked at in a block's own table
  static const uint32_t USEFUL_PERCENT = 30;  // rows that it must take to be tried further
};
static_assert(GROUP_BY_THREADS % 32 == 0, "warps are whole");

/// Makes every entry empty.
///
/// Shape   table[capacity + GROUP_BY_SPECIAL_SLOTS] written
/// Launch  grid covers the entries' words, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_init(GRID_CONSTANT(GroupByInitParams) params) {
  const GroupByLayout &layout = params.layout;
  const uint64_t entries = params.table.capacity + GROUP_BY_SPECIAL_SLOTS;
  const uint64_t stride = (uint64_t)gridDim.x * GROUP_BY_TABLE_THREADS;
  for (uint64_t e = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x; e < entries;
       e += stride) {
    uint64_t *entry = params.table.entries + e * layout.entry_words;
    for (uint32_t w = 0; w < layout.entry_words; w++) entry[w] = 0;
    if (layout.key_words == 1) entry[0] = GROUP_BY_EMPTY;
    for (uint32_t a = 0; a < layout.accumulator_count; a++) {
      for (uint32_t w = 0; w < accumulator_width(layout.kinds[a]); w++) {
        entry[layout.accumulator_start + layout.starts[a] + w] =
            accumulator_start(layout.kinds[a], w);
      }
    }
  }
}

template <uint32_t W>
KERNEL_FN void group_by_sketch_keys(const GroupBySketchParams &params) {
  SHARED(uint32_t, registers, GROUP_BY_SKETCH_REGISTERS);
  for (uint32_t r = threadIdx.x; r < GROUP_BY_SKETCH_REGISTERS; r += GROUP_BY_TABLE_THREADS) {
    registers[r] = 0;
  }
  __syncthreads();
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t stride = (uint64_t)gridDim.x * GROUP_BY_TABLE_THREADS;
  for (uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x; row < row_count;
       row += stride) {
    GroupByRowKey<W> key;
    group_by_pack(params.layout, params.keys, row, &key);
    const uint64_t hash = hash_words(key.words, group_by_key_words<W>(params.layout)) ^ key.is_null;
    const uint32_t index = (uint32_t)(hash % GROUP_BY_SKETCH_REGISTERS);
    const uint64_t rest = hash / GROUP_BY_SKETCH_REGISTERS;
    const uint32_t rank = rest ? (uint32_t)__ffsll((long long)rest) : 53;
    if (atomicAdd(&registers[index], 0u) < rank) atomicMax(&registers[index], rank);
  }
  __syncthreads();
  for (uint32_t r = threadIdx.x; r < GROUP_BY_SKETCH_REGISTERS; r += GROUP_BY_TABLE_THREADS) {
    if (registers[r]) atomicMax(&params.registers[r], registers[r]);
  }
}

/// Raises the registers of a distinct-count sketch of the keys.
///
/// Shape   keys[rows] -> registers[GROUP_BY_SKETCH_REGISTERS], raised
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null key counts as a key
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_sketch(GRID_CONSTANT(GroupBySketchParams) params) { group_by_sketch_keys<1>(params); }

/// Raises the registers of a distinct-count sketch of keys of several words.
///
/// Shape   keys[rows] -> registers[GROUP_BY_SKETCH_REGISTERS], raised
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null key counts as a key
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_sketch_wide(GRID_CONSTANT(GroupBySketchParams) params) {
  group_by_sketch_keys<GROUP_BY_KEY_WORDS_MAX>(params);
}

/// What a block carries through its tiles.
struct GroupByBlock {
  GroupByStore own;    // in shared memory; capacity 0: none
  GroupByStore table;  // in device memory
  bool own_useful;     // whether new groups may still enter the block's own table
  uint32_t inserted;   // groups that this thread inserted into the table
};

/// The block's own table, of no capacity if there is none. Where rows meet it, its pointers come
/// from shared memory's name and not from registers: they would be generic addresses, whose atomics
/// ask first where they point.
KERNEL_FN GroupByStore group_by_own(const GroupByBlock &block) {
  DYN_SHARED(uint64_t, memory);
  GroupByStore own = block.own;
  own.keys = memory;
  own.accumulators = memory + (own.capacity + GROUP_BY_SPECIAL_SLOTS) * own.key_stride;
  return own;
}

KERNEL_FN void group_by_take(const GroupByUpdateParams &params, const GroupByStore &store,
                             uint64_t slot, uint64_t row) {
  const uint32_t replica = threadIdx.x & (store.replicas - 1);
  uint64_t *words = group_by_words(store, slot, replica);
  for (uint32_t i = 0; i < params.input_count; i++) {
    const uint32_t a = params.inputs[i].accumulator;
    accumulate_row(params.layout.kinds[a], words + params.layout.starts[a] * store.replicas,
                   store.replicas, params.inputs[i], row, params.row_start + row);
  }
}

/// Aggregates one row. Result: whether it found a slot; `*own_hits` counts those in `block.own`.
template <uint32_t W>
KERNEL_FN bool group_by_row(const GroupByUpdateParams &params, GroupByBlock *block, uint64_t row,
                            uint32_t *own_hits) {
  GroupByRowKey<W> key;
  group_by_pack(params.layout, params.keys, row, &key);
  const uint64_t hash = group_by_hash(params.layout, key);
  if (block->own.capacity && (block->own_useful || key.is_null)) {
    const GroupByStore own = group_by_own(*block);
    uint32_t unused = 0;
    const uint64_t slot = group_by_slot(own, params.layout, key, hash >> 32 ^ hash,
                                        GroupByPolicy::SHARED_PROBES, &unused);
    if (slot != GROUP_BY_NO_SLOT) {
      group_by_take(params, own, slot, row);
      ++*own_hits;
      return true;
    }
  }
  const uint64_t slot =
      group_by_slot(block->table, params.layout, key, hash, params.probe_max, &block->inserted);
  if (slot == GROUP_BY_NO_SLOT) return false;
  group_by_take(params, block->table, slot, row);
  return true;
}

/// Lays the block's own table out in shared memory and empties it.
KERNEL_FN GroupByStore group_by_lay_out(const GroupByUpdateParams &params, uint64_t *memory) {
  const GroupByLayout &layout = params.layout;
  if (params.shared_slots == 0) return {memory, memory, 0, 1, 1, 1};
  const uint32_t slots = params.shared_slots + GROUP_BY_SPECIAL_SLOTS;
  const uint32_t key_stride = layout.accumulator_start;
  GroupByStore own = {memory,
                      memory + slots * key_stride,
                      params.shared_slots,
                      key_stride,
                      layout.accumulator_words * params.shared_replicas,
                      params.shared_replicas};
  for (uint32_t i = threadIdx.x; i < slots * key_stride; i += GROUP_BY_THREADS) {
    own.keys[i] = layout.key_words == 1 ? GROUP_BY_EMPTY : 0;
  }
  for (uint32_t s = threadIdx.x; s < slots * own.replicas; s += GROUP_BY_THREADS) {
    uint64_t *words = group_by_words(own, s / own.replicas, s % own.replicas);
    for (uint32_t a = 0; a < layout.accumulator_count; a++) {
      for (uint32_t w = 0; w < accumulator_width(layout.kinds[a]); w++) {
        words[(layout.starts[a] + w) * own.replicas] = accumulator_start(layout.kinds[a], w);
      }
    }
  }
  return own;
}

/// Sets a group of the block's own table aside, for a merge into a larger table.
KERNEL_FN void group_by_spill(const GroupByUpdateParams &params, const GroupByStore &own,
                              uint32_t slot) {
  const GroupByLayout &layout = params.layout;
  uint64_t *entry =
      params.spilled_entries + atomic_add_u64(params.spilled_count, 1) * layout.entry_words;
  for (uint32_t w = 0; w < layout.entry_words; w++) entry[w] = 0;
  for (uint32_t w = 0; w < layout.accumulator_start; w++) {
    entry[w] = own.keys[slot * own.key_stride + w];
  }
  for (uint32_t a = 0; a < layout.accumulator_count; a++) {
    for (uint32_t w = 0; w < accumulator_width(layout.kinds[a]); w++) {
      entry[layout.accumulator_start + layout.starts[a] + w] =
          accumulator_start(layout.kinds[a], w);
    }
  }
  for (uint32_t replica = 0; replica < own.replicas; replica++) {
    group_by_merge_words(layout, entry + layout.accumulator_start, 1,
                         group_by_words(own, slot, replica), own.replicas);
  }
}

/// Moves the block's own table into the table in device memory.
template <uint32_t W>
KERNEL_FN void group_by_flush(const GroupByUpdateParams &params, GroupByBlock *block) {
  const GroupByLayout &layout = params.layout;
  const GroupByStore &own = block->own;
  for (uint32_t s = threadIdx.x; s < own.capacity + GROUP_BY_SPECIAL_SLOTS; s += GROUP_BY_THREADS) {
    const uint64_t *mark = own.keys + s * own.key_stride;
    if (!group_by_in_use(layout, *mark)) continue;
    GroupByRowKey<W> key;
    group_by_read_key(layout, mark, s - own.capacity, &key);
    const uint64_t slot = group_by_slot(block->table, layout, key, group_by_hash(layout, key),
                                        params.probe_max, &block->inserted);
    if (slot == GROUP_BY_NO_SLOT) {
      group_by_spill(params, own, s);
      continue;
    }
    for (uint32_t replica = 0; replica < own.replicas; replica++) {
      group_by_merge_words(layout, group_by_words(block->table, slot, 0), 1,
                           group_by_words(own, s, replica), own.replicas);
    }
  }
}

/// Aggregates the rows of one tile. Result: whether the block's own table took enough of them.
template <uint32_t W>
KERNEL_FN bool group_by_tile(const GroupByUpdateParams &params, GroupByBlock *block, uint64_t tile,
                             uint64_t row_count) {
  uint32_t own_hits = 0, rows = 0, pending = 0;
  for (uint32_t item = 0; item < GROUP_BY_ITEMS; item++) {
    const uint64_t row = tile * GroupByPolicy::TILE_ROWS + item * GROUP_BY_THREADS + threadIdx.x;
    const bool wanted =
        row < row_count && (!params.pending_in || (params.pending_in[row >> 5] >> (row & 31) & 1));
    const bool done = !wanted || group_by_row<W>(params, block, row, &own_hits);
    rows += wanted;
    const uint32_t word = __ballot_sync(WARP_ALL, !done);
    if ((threadIdx.x & 31) == 0 && row < row_count) {
      params.pending_out[row >> 5] = word;
      pending += (uint32_t)__popc(word);
    }
  }
  if (pending) atomic_add_u64(params.pending_count, pending);
  if (!block->own.capacity || !block->own_useful) return false;
  const uint32_t hits = __reduce_add_sync(WARP_ALL, own_hits);
  const uint32_t all = __reduce_add_sync(WARP_ALL, rows);
  return hits * 100 >= all * GroupByPolicy::USEFUL_PERCENT;
}

/// Each block takes a run of consecutive tiles, so that clustered keys stay together.
template <uint32_t W>
KERNEL_FN void group_by_update_rows(const GroupByUpdateParams &params) {
  DYN_SHARED(uint64_t, memory);
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t tiles = (row_count + GroupByPolicy::TILE_ROWS - 1) / GroupByPolicy::TILE_ROWS;
  const uint64_t first = tiles * blockIdx.x / gridDim.x;
  const uint64_t end = tiles * (blockIdx.x + 1) / gridDim.x;
  GroupByBlock block = {group_by_lay_out(params, memory),
                        group_by_global(params.table, params.layout), params.shared_slots != 0, 0};
  __syncthreads();
  for (uint64_t tile = first; tile < end; tile++) {
    block.own_useful = group_by_tile<W>(params, &block, tile, row_count);
  }
  __syncthreads();
  if (block.own.capacity) group_by_flush<W>(params, &block);
  const uint32_t inserted = __reduce_add_sync(WARP_ALL, block.inserted);
  if ((threadIdx.x & 31) == 0 && inserted) atomic_add_u64(params.group_count, inserted);
}

/// Aggregates rows into the table.
///
/// Shape   keys[rows], inputs[rows] -> table, pending_out[ceil(rows / 32)]
/// Launch  any grid, block = GROUP_BY_THREADS, shared = bytes of the block's own table
/// Order   none
/// Nulls   a null key is a group; a null input is not accumulated
/// Errors  none: rows that found no slot are pending, groups likewise spilled
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_THREADS, GroupByPolicy::BLOCKS)
group_by_update(GRID_CONSTANT(GroupByUpdateParams) params) { group_by_update_rows<1>(params); }

/// Aggregates rows with keys of several words into the table.
///
/// Shape   keys[rows], inputs[rows] -> table, pending_out[ceil(rows / 32)]
/// Launch  any grid, block = GROUP_BY_THREADS, shared = bytes of the block's own table
/// Order   none
/// Nulls   a null key is a group; a null input is not accumulated
/// Errors  none: rows that found no slot are pending, groups likewise spilled
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_THREADS, GroupByPolicy::BLOCKS)
group_by_update_wide(GRID_CONSTANT(GroupByUpdateParams) params) {
  group_by_update_rows<GROUP_BY_KEY_WORDS_MAX>(params);
}

template <uint32_t W>
KERNEL_FN void group_by_merge_entries(const GroupByMergeParams &params) {
  const GroupByLayout &layout = params.layout;
  const GroupByStore store = group_by_global(params.table, layout);
  const uint64_t stride = (uint64_t)gridDim.x * GROUP_BY_TABLE_THREADS;
  uint32_t inserted = 0;
  for (uint64_t e = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
       e < params.entry_count; e += stride) {
    const uint64_t *entry = params.entries + e * layout.entry_words;
    if (!group_by_in_use(layout, entry[0])) continue;
    GroupByRowKey<W> key;
    group_by_read_key(layout, entry, e - params.special_start, &key);
    const uint64_t slot =
        group_by_slot(store, layout, key, group_by_hash(layout, key), store.capacity, &inserted);
    if (slot == GROUP_BY_NO_SLOT) {
      status_set(params.status, STATUS_TABLE_FULL, e);
      continue;
    }
    uint64_t *words = group_by_words(store, slot, 0);
    if (params.exclusive) {
      group_by_merge_group(layout, words, entry + layout.accumulator_start, params.row_shift);
    } else {
      group_by_merge_words(layout, words, 1, entry + layout.accumulator_start, 1);
    }
  }
  const uint32_t total = __reduce_add_sync(WARP_ALL, inserted);
  if ((threadIdx.x & 31) == 0 && total) atomic_add_u64(params.group_count, total);
}

/// Merges the entries of another table, or spilled ones, into a table that has room for all.
///
/// Shape   entries[entry_count] -> table
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   none
/// Nulls   none here
/// Errors  STATUS_TABLE_FULL: argument = the entry that found no slot
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_merge(GRID_CONSTANT(GroupByMergeParams) params) { group_by_merge_entries<1>(params); }

/// Merges entries with keys of several words into a table that has room for all.
///
/// Shape   entries[entry_count] -> table
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   none
/// Nulls   none here
/// Errors  STATUS_TABLE_FULL: argument = the entry that found no slot
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_merge_wide(GRID_CONSTANT(GroupByMergeParams) params) {
  group_by_merge_entries<GROUP_BY_KEY_WORDS_MAX>(params);
}

/// Lists the slots that hold a group.
///
/// Shape   table -> slots[*slot_count]
/// Launch  grid = ceil((capacity + GROUP_BY_SPECIAL_SLOTS) / GROUP_BY_TABLE_THREADS),
///         block = GROUP_BY_TABLE_THREADS, shared = 0
/// Order   unspecified
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_list(GRID_CONSTANT(GroupByListParams) params) {
  const uint64_t slot = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  const bool in_use =
      slot < params.table.capacity + GROUP_BY_SPECIAL_SLOTS &&
      group_by_in_use(params.layout, params.table.entries[slot * params.layout.entry_words]);
  const uint32_t word = __ballot_sync(WARP_ALL, in_use);
  const uint32_t lane = threadIdx.x & 31;
  uint64_t base = 0;
  if (lane == 0 && word) base = atomic_add_u64(params.slot_count, (uint64_t)__popc(word));
  base = __shfl_sync(WARP_ALL, base, 0);
  if (in_use) params.slots[base + (uint32_t)__popc(word & ((1u << lane) - 1))] = (uint32_t)slot;
}
