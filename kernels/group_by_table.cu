// Operator  group_by (src/operators/group_by.rs states the contract)
// Kernels   group_by_init group_by_merge group_by_merge_wide group_by_list group_by_move_text
// Method    what is done to a table as a whole: its entries are emptied by 16-byte stores side by
//           side, merged into another table's, listed where they hold a group, or told where their
//           strings were moved to
// Cost      init writes the table; merge reads the entries and updates a sector for each; list
// reads
//           a sector per slot and writes 4 B per group
// Source    none needed
#include "group_by.cuh"

/// Makes every entry empty. Threads write 16 bytes each, side by side: entries are whole numbers of
/// them, but those of one word, of which there are two at least.
///
/// Shape   table[capacity + GROUP_BY_SPECIAL_SLOTS] written
/// Launch  any grid, block = GROUP_BY_TABLE_THREADS, shared = 0
/// Nulls   none here
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_init(GRID_CONSTANT(GroupByInitParams) params) {
  SHARED(uint64_t, entry, GROUP_BY_ENTRY_WORDS_MAX + 1);  // and the first word of the next one
  const GroupByLayout &layout = params.layout;
  const uint32_t words = layout.entry_words;
  for (uint32_t w = threadIdx.x; w <= words; w += GROUP_BY_TABLE_THREADS) {
    entry[w] = w % words == 0 && layout.key_words == 1 ? GROUP_BY_EMPTY : 0;
  }
  __syncthreads();
  if (threadIdx.x < layout.accumulator_count) {
    const uint32_t kind = layout.kinds[threadIdx.x];
    for (uint32_t w = 0; w < accumulator_width(kind); w++) {
      entry[layout.accumulator_start + layout.starts[threadIdx.x] + w] = accumulator_start(kind, w);
    }
  }
  __syncthreads();
  const uint64_t pairs = (params.table.capacity + GROUP_BY_SPECIAL_SLOTS) * words / 2;
  const uint64_t stride = (uint64_t)gridDim.x * GROUP_BY_TABLE_THREADS;
  uint64_t pair = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  const uint32_t step = (uint32_t)(2 * stride % words);
  for (uint32_t at = (uint32_t)(2 * pair % words); pair < pairs; pair += stride) {
    ((ulonglong2 *)params.table.entries)[pair] = make_ulonglong2(entry[at], entry[at + 1]);
    at += step;
    if (at >= words) at -= words;
  }
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
    const uint32_t slot =
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

/// Tells groups where the strings of a key lie from now on.
///
/// Shape   slots[group_count], offsets[group_count + 1] -> table
/// Launch  grid = ceil(group_count / GROUP_BY_TABLE_THREADS), block = GROUP_BY_TABLE_THREADS,
///         shared = 0
/// Nulls   of length 0, as empty strings: they lie nowhere
/// Errors  none
/// Tests   tests/operators/group_by.rs
extern "C" __global__ void __launch_bounds__(GROUP_BY_TABLE_THREADS)
group_by_move_text(GRID_CONSTANT(GroupByMoveTextParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * GROUP_BY_TABLE_THREADS + threadIdx.x;
  if (row >= params.group_count) return;
  uint64_t *entry = params.table.entries + (uint64_t)params.slots[row] * params.layout.entry_words;
  uint64_t *words = entry + 1 + params.word;
  if (words[1]) words[0] = (uint64_t)(params.bytes + params.offsets[row]);
}
