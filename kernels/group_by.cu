// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_sketch group_by_sketch_wide group_by_update group_by_update_wide
// Method    a block first aggregates in a table of its own in shared memory, with copies of each
//           accumulator per lane where groups are few; rows that find no place there, or all rows
//           once that table proves useless, go to the table in device memory. A warp first finds
//           the slots of its rows, each after a number of probes of its own, and then meets again
//           to let the accumulators take them; the common ways of taking a value are told by the
//           host and not found out for each row. A row that finds no slot within `probe_max` stays
//           pending, for a second launch over a larger table
// Cost      the sketch reads keys, of a sample 1/8 of them; an update reads keys and inputs once
//           per row; per row one 32 B sector and one atomic per accumulator, in shared memory or in
//           the table
// Source    linear probing and shared-memory pre-aggregation are common knowledge; the sketch is
//           HyperLogLog (P. Flajolet et al., AofA 2007); written from the idea
#include "group_by.cuh"

struct GroupByPolicy {
  static const uint32_t TILE_ROWS = GROUP_BY_THREADS * GROUP_BY_ITEMS;
  static const uint32_t BLOCKS = 3;           // on a multiprocessor: leaves 40 registers
  static const uint32_t SHARED_PROBES = 8;    // slots looked at in a block's own table
  static const uint32_t USEFUL_PERCENT = 30;  // rows that it must take to be tried further
  static const uint32_t SKETCH_ITEMS = GROUP_BY_SKETCH_ROWS / GROUP_BY_TABLE_THREADS;
};
static_assert(GROUP_BY_THREADS % 32 == 0, "warps are whole");

/// Raises the register that a key's hash chooses.
KERNEL_FN void group_by_sketch_raise(uint32_t *registers, uint64_t hash) {
  const uint32_t index = (uint32_t)(hash % GROUP_BY_SKETCH_REGISTERS);
  const uint64_t rest = hash / GROUP_BY_SKETCH_REGISTERS;
  const uint32_t rank = rest ? (uint32_t)__ffsll((long long)rest) : 53;
  if (ld_relaxed(&registers[index]) < rank) atomicMax(&registers[index], rank);
}

template <uint32_t W>
KERNEL_FN void group_by_sketch_keys(const GroupBySketchParams &params) {
  SHARED(uint32_t, registers, GROUP_BY_SKETCH_REGISTERS);
  for (uint32_t r = threadIdx.x; r < GROUP_BY_SKETCH_REGISTERS; r += GROUP_BY_TABLE_THREADS) {
    registers[r] = 0;
  }
  __syncthreads();
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  const uint64_t begin = (uint64_t)params.first_tile + (uint64_t)blockIdx.x * params.tile_step;
  const uint64_t stride = (uint64_t)gridDim.x * params.tile_step * GROUP_BY_SKETCH_ROWS;
  const bool plain = W == 1 && group_by_plain_key(params.layout, params.keys);
  for (uint64_t first = begin * GROUP_BY_SKETCH_ROWS; first < row_count; first += stride) {
    if (plain) {
      GroupByRowKey<1> keys[GroupByPolicy::SKETCH_ITEMS];  // loaded before the first is looked at
#pragma unroll  // `group_by/sum(i64)/groups=100000/uniform`
      for (uint32_t i = 0; i < GroupByPolicy::SKETCH_ITEMS; i++) {
        const uint64_t row = first + i * GROUP_BY_TABLE_THREADS + threadIdx.x;
        if (row < row_count) group_by_pack_plain(params.keys, row, &keys[i]);
      }
#pragma unroll  // as above
      for (uint32_t i = 0; i < GroupByPolicy::SKETCH_ITEMS; i++) {
        if (first + i * GROUP_BY_TABLE_THREADS + threadIdx.x >= row_count) continue;
        group_by_sketch_raise(registers, hash_words(keys[i].words, 1) ^ keys[i].is_null);
      }
      continue;
    }
    for (uint32_t i = 0; i < GroupByPolicy::SKETCH_ITEMS; i++) {
      const uint64_t row = first + i * GROUP_BY_TABLE_THREADS + threadIdx.x;
      if (row >= row_count) break;
      GroupByRowKey<W> key;
      group_by_pack(params.layout, params.keys, row, &key);
      const uint64_t hash = group_by_hash_words(params.layout, key);
      group_by_sketch_raise(registers, hash ^ key.is_null);
    }
  }
  __syncthreads();
  for (uint32_t r = threadIdx.x; r < GROUP_BY_SKETCH_REGISTERS; r += GROUP_BY_TABLE_THREADS) {
    if (registers[r]) atomicMax(&params.registers[r], registers[r]);
  }
}

/// Raises the registers of a distinct-count sketch of the keys, or of those in some of the tiles.
///
/// Shape   keys[rows] -> registers[GROUP_BY_SKETCH_REGISTERS], raised
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null key counts as a key
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS, GROUP_BY_SKETCH_BLOCKS)
group_by_sketch(GRID_CONSTANT(GroupBySketchParams) params) { group_by_sketch_keys<1>(params); }

/// Raises the registers of a distinct-count sketch of keys of several words.
///
/// Shape   keys[rows] -> registers[GROUP_BY_SKETCH_REGISTERS], raised
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   a null key counts as a key
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS, GROUP_BY_SKETCH_BLOCKS)
group_by_sketch_wide(GRID_CONSTANT(GroupBySketchParams) params) {
  group_by_sketch_keys<GROUP_BY_KEY_WORDS_MAX>(params);
}

/// What a block carries through its tiles.
struct GroupByBlock {
  GroupByStore own;    // in shared memory; capacity 0: none
  GroupByStore table;  // in device memory
  bool own_useful;     // whether new groups may still enter the block's own table
  bool plain_key;      // whether keys are read by group_by_pack_plain
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

/// Lets the accumulators of a slot take a row. OWN: of a block's own table. Values are read past
/// the cache that holds the table: `group_by/sum(f64)+count/groups=100000/uniform`.
template <bool OWN>
KERNEL_FN void group_by_take(const GroupByUpdateParams &params, const GroupByStore &store,
                             uint32_t slot, uint64_t row) {
  const uint32_t step = OWN ? store.replicas : 1;
  uint64_t *words = group_by_words(store, slot, threadIdx.x & (step - 1));
  for (uint32_t i = 0; i < params.input_count; i++) {
    const GroupByInput &input = params.inputs[i];
    uint64_t *own_words = words + input.start * step;
    const ColumnView &column = input.column;
    switch (input.form) {
      case INPUT_ONE:
        if (column_valid(column, row)) add_word<OWN>(own_words, 1);
        break;
      case INPUT_WORD:
        if (!column_valid(column, row)) break;
        add_word<OWN>(own_words, __ldcs((const uint64_t *)column.values + column.offset + row));
        break;
      case INPUT_FLOAT:
        if (!column_valid(column, row)) break;
        add_float<OWN>(own_words, __ldcs((const double *)column.values + column.offset + row));
        break;
      default: accumulate_row<OWN>(own_words, step, input, row, params.row_start + row); break;
    }
  }
}

/// The slot of a key: in the block's own table, if it finds one there, else in the table.
template <uint32_t W>
KERNEL_FN uint32_t group_by_find(const GroupByUpdateParams &params, GroupByBlock *block,
                                 const GroupByRowKey<W> &key, bool *in_own) {
  const uint64_t hash = group_by_hash(params.layout, key);
  if (block->own.capacity && (block->own_useful || key.is_null)) {
    uint32_t unused = 0;
    const uint32_t slot = group_by_slot(group_by_own(*block), params.layout, key, hash >> 32 ^ hash,
                                        GroupByPolicy::SHARED_PROBES, &unused);
    *in_own = slot != GROUP_BY_NO_SLOT;
    if (*in_own) return slot;
  }
  return group_by_slot(block->table, params.layout, key, hash, params.probe_max, &block->inserted);
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
    const uint32_t slot = group_by_slot(block->table, layout, key, group_by_hash(layout, key),
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
  const uint64_t first = tile * GroupByPolicy::TILE_ROWS + threadIdx.x;
  GroupByRowKey<1> ahead =
      {};  // the next row's key, if it is plain: loaded while this row is aggregated
  if (W == 1 && block->plain_key && first < row_count) {
    group_by_pack_plain(params.keys, first, &ahead);
  }
  for (uint32_t item = 0; item < GROUP_BY_ITEMS; item++) {
    const uint64_t row = first + item * GROUP_BY_THREADS, next = row + GROUP_BY_THREADS;
    const bool wanted =
        row < row_count && (!params.pending_in || (params.pending_in[row >> 5] >> (row & 31) & 1));
    GroupByRowKey<W> key;
    if (W == 1 && block->plain_key) {
      key.words[0] = ahead.words[0];
      key.is_null = ahead.is_null;
      const bool more = item + 1 < GROUP_BY_ITEMS && next < row_count;
      if (more) group_by_pack_plain(params.keys, next, &ahead);
    } else if (wanted) {
      group_by_pack(params.layout, params.keys, row, &key);
    }
    uint32_t slot = GROUP_BY_NO_SLOT;
    bool in_own = false;
    if (wanted) slot = group_by_find<W>(params, block, key, &in_own);
    // The lanes meet here, however many slots each looked at: the rest runs once for all of them.
    const uint32_t word = __ballot_sync(WARP_ALL, wanted && slot == GROUP_BY_NO_SLOT);
    if ((threadIdx.x & 31) == 0 && row < row_count) {
      params.pending_out[row >> 5] = word;
      pending += (uint32_t)__popc(word);
    }
    rows += wanted;
    own_hits += in_own;
    if (in_own) {
      group_by_take<true>(params, group_by_own(*block), slot, row);
    } else if (slot != GROUP_BY_NO_SLOT) {
      group_by_take<false>(params, block->table, slot, row);
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
                        group_by_global(params.table, params.layout), params.shared_slots != 0,
                        W == 1 && group_by_plain_key(params.layout, params.keys), 0};
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
