// Launch structs of group_by: a hash table of groups in device memory, and what is done with it.
#ifndef PELTON_ABI_GROUP_BY_H
#define PELTON_ABI_GROUP_BY_H

#include "abi/column.h"
#include "abi/status.h"

enum {
  GROUP_BY_THREADS = 512,          ///< threads per block of `group_by_update`
  GROUP_BY_ITEMS = 8,              ///< rows per thread and tile of `group_by_update`
  GROUP_BY_TABLE_THREADS = 256,    ///< threads per block of the kernels over table entries
  GROUP_BY_KEYS_MAX = 16,          ///< key columns
  GROUP_BY_KEY_WORDS_MAX = 40,     ///< 64-bit words of a packed key
  GROUP_BY_ACCUMULATORS_MAX = 24,  ///< accumulators of one launch
  GROUP_BY_SKETCH_REGISTERS = 4096, ///< registers of the distinct-count sketch
  GROUP_BY_SKETCH_ROWS = 1024,     ///< rows of a tile of the sketch
  GROUP_BY_SKETCH_BLOCKS = 6,      ///< blocks of the sketch on a multiprocessor: leaves 40 registers
  GROUP_BY_SPECIAL_SLOTS = 2,      ///< slots behind the table: the null key, the key equal to the empty mark
  GROUP_BY_EVERY = 64,             ///< in place of the accumulator that tells whether there are values: every group has some
  GROUP_BY_ENTRY_WORDS_MAX = 368,  ///< words of an entry: tag, key, and accumulators that start below word 256
};

enum {
  INPUT_GENERAL = 0,   ///< taken by the accumulator's kind and the column's type
  INPUT_DISTANCES = 1, ///< the values are distances from the means, for `ACCUMULATE_VARIANCE`
  INPUT_ONE = 2,       ///< adds one to a word for each value that is not null
  INPUT_WORD = 3,      ///< adds 64-bit integers of an array to a word
  INPUT_FLOAT = 4,     ///< adds binary64 of an array to a word
};

/// Marks an empty slot in the first word of an entry of a table of one-word keys.
#define GROUP_BY_EMPTY 0x9E3779B97F4A7C15ull

enum {
  ACCUMULATE_ADD = 0,        ///< one word: sum modulo 2^64 (integers, counts)
  ACCUMULATE_ADD_INT128 = 1, ///< two words, low first: sum modulo 2^128
  ACCUMULATE_ADD_FLOAT = 2,  ///< one word: sum as binary64
  ACCUMULATE_MIN = 3,        ///< one word: smallest value, in an order-preserving unsigned code
  ACCUMULATE_MAX = 4,        ///< one word: greatest value, likewise
  ACCUMULATE_MIN_INT128 = 5, ///< three words: low, high of the code, lock
  ACCUMULATE_MAX_INT128 = 6, ///< three words: low, high of the code, lock
  ACCUMULATE_ANY = 7,        ///< one word: 1 once there was a value that is not null
  ACCUMULATE_COUNT = 8,      ///< one word: number of values that are not null; of rows, without input
  ACCUMULATE_ROW_FIRST = 9,  ///< one word: least number of a row whose value is not null
  ACCUMULATE_ROW_LAST = 10,  ///< one word: greatest number of such a row, plus one
  ACCUMULATE_CARRY = 11,     ///< two words: bits of the value of the row that the row accumulator before it tells; 1 if it is not null
  ACCUMULATE_CARRY_INT128 = 12, ///< three words: low, high, 1 if it is not null
  ACCUMULATE_TRUE = 13,      ///< one word: 1 once a value was true
  ACCUMULATE_FALSE = 14,     ///< one word: 1 once a value was false
  ACCUMULATE_NULL = 15,      ///< one word: 1 once a value was null
  ACCUMULATE_VARIANCE = 16,  ///< four words: count, and as binary64: sum, sum of squared distances from the mean, sum of distances
  ACCUMULATE_ADD_EXACT = 17, ///< `GROUP_BY_EXACT_DIGITS` digits and one word of flags: exact sum of floats
};

enum {
  GROUP_BY_EXACT_DIGITS = 68, ///< digits of an exact sum: of 32 bits each, in units of 2^-1074
  EXACT_NAN = 1,              ///< flag: a NaN was added
  EXACT_INFINITY = 2,         ///< flag: +infinity was added
  EXACT_NEGATIVE_INFINITY = 4, ///< flag: -infinity was added
};

enum {
  GROUP_BY_REGISTER_BITS = 12,  ///< bits of a hash that choose a register of `group_by_registers`
  GROUP_BY_RANK_MAX = 52,       ///< greatest rank of a register
};

/// Words of a key that is a string: its hash, where its bytes are, how many.
enum {
  GROUP_BY_TEXT_HASH = 0,
  GROUP_BY_TEXT_BYTES = 1,
  GROUP_BY_TEXT_LENGTH = 2,
  GROUP_BY_TEXT_WORDS = 3,
};

/// How the key columns pack into words, and where entries have their words.
/// An entry of a one-word key: key, accumulators. Of a wider key: tag (0 empty, 1 being written),
/// key words, accumulators.
typedef struct GroupByLayout {
  uint32_t key_words;          ///< words of a packed key
  uint32_t entry_words;        ///< words of an entry, padding included
  uint32_t accumulator_start;  ///< first word of the accumulators in an entry
  uint32_t accumulator_words;  ///< words of all accumulators
  uint32_t accumulator_count;  ///< accumulators of the entry
  uint32_t key_count;          ///< key columns
  uint32_t null_is_special;    ///< 1: one key column, whose null goes to the first special slot
  uint32_t hash_mask_bits;     ///< hash bits in use, 64 but for tests of collisions
  uint64_t text_words;         ///< bit w: word w of a packed key tells where the bytes of a string are
  uint8_t kinds[64];           ///< kind of each accumulator
  uint8_t starts[64];          ///< word of each accumulator, counted from `accumulator_start`
} GroupByLayout;
ABI_ASSERT(sizeof(GroupByLayout) == 168, "GroupByLayout crosses the ABI");

/// A key column and its place in the packed key.
typedef struct GroupByKey {
  ColumnView column;   ///< the values
  uint32_t word;       ///< word of the (low) value bits
  uint32_t shift;      ///< first bit within the word
  uint32_t null_word;  ///< word of the null bit
  uint32_t null_shift; ///< bit of the null bit; 64: none
  uint32_t bits;       ///< bits of the value, for values of up to 64
  uint32_t reserved;   ///< zero
} GroupByKey;
ABI_ASSERT(sizeof(GroupByKey) == 72, "GroupByKey crosses the ABI");

/// An input and the accumulator that takes it.
typedef struct GroupByInput {
  ColumnView column;    ///< the values; `COLUMN_SCALAR` for a count of rows
  uint32_t form;        ///< one of `INPUT_*`
  uint16_t kind;        ///< kind of the accumulator
  uint16_t start;       ///< its first word, counted from `accumulator_start`
} GroupByInput;
ABI_ASSERT(sizeof(GroupByInput) == 56, "GroupByInput crosses the ABI");

/// A table in device memory: `capacity` (a power of two) entries, then the special slots.
typedef struct GroupByTable {
  uint64_t *entries;   ///< [(capacity + GROUP_BY_SPECIAL_SLOTS) * entry_words], device
  uint64_t capacity;   ///< slots
} GroupByTable;
ABI_ASSERT(sizeof(GroupByTable) == 16, "GroupByTable crosses the ABI");

/// Launch parameters of `group_by_init`.
typedef struct GroupByInitParams {
  GroupByTable table;    ///< written: every entry empty, accumulators at their start
  GroupByLayout layout;  ///< of the table
} GroupByInitParams;
ABI_ASSERT(sizeof(GroupByInitParams) == 184, "GroupByInitParams crosses the ABI");

/// Launch parameters of `group_by_sketch`.
typedef struct GroupBySketchParams {
  GroupByLayout layout;              ///< of the keys
  GroupByKey keys[GROUP_BY_KEYS_MAX]; ///< key columns
  uint32_t *registers;               ///< [GROUP_BY_SKETCH_REGISTERS], device, raised; HyperLogLog ranks
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t first_tile;               ///< first tile to look at
  uint32_t tile_step;                ///< from a tile to the next one to look at; 1: all
} GroupBySketchParams;
ABI_ASSERT(sizeof(GroupBySketchParams) == 168 + 1152 + 32, "GroupBySketchParams crosses the ABI");

/// Launch parameters of `group_by_update`.
typedef struct GroupByUpdateParams {
  GroupByLayout layout;                            ///< of the table
  GroupByKey keys[GROUP_BY_KEYS_MAX];              ///< key columns
  GroupByInput inputs[GROUP_BY_ACCUMULATORS_MAX];  ///< accumulators fed by this launch
  GroupByTable table;                              ///< read and written
  const uint32_t *pending_in;                      ///< [ceil(rows / 32)], device, read: rows to do; absent: all
  uint32_t *pending_out;                           ///< [ceil(rows / 32)], device, written: rows that found no slot
  uint64_t *pending_count;                         ///< [1], device, raised by those rows; the caller zeroes it
  uint64_t *group_count;                           ///< [1], device, raised by groups inserted
  uint64_t *spilled_entries;                       ///< [spilled_max * entry_words], device, written: groups of a block's own table that found no slot
  uint64_t *spilled_count;                         ///< [1], device, raised; the caller zeroes it
  const uint64_t *row_count_device;                ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                              ///< rows, or their upper bound
  uint64_t probe_max;                              ///< slots looked at before a row is left pending
  uint64_t row_start;                              ///< number of the first row, for row accumulators
  uint32_t input_count;                            ///< accumulators in use
  uint32_t shared_slots;                           ///< slots of a block's own table, a power of two; 0: none
  uint32_t shared_replicas;                        ///< copies of each accumulator there, a power of two up to 32
  uint32_t reserved;                               ///< zero
} GroupByUpdateParams;
ABI_ASSERT(sizeof(GroupByUpdateParams) == 168 + 1152 + 1344 + 16 + 96, "GroupByUpdateParams crosses the ABI");

/// Launch parameters of `group_by_merge`.
typedef struct GroupByMergeParams {
  GroupByLayout layout;       ///< of both tables
  GroupByTable table;         ///< read and written
  const uint64_t *entries;    ///< [entry_count * entry_words], device, read: what is merged in
  KernelStatus *status;       ///< [1], device, first error wins; the caller zeroes it
  uint64_t *group_count;      ///< [1], device, raised by groups inserted
  uint64_t entry_count;       ///< entries to merge, empty ones included
  uint64_t special_start;     ///< entries from here on are special slots of another table
  uint64_t row_shift;         ///< added to the entries' row numbers
  uint64_t exclusive;         ///< 1: no key stands twice among the entries, which are whole groups
} GroupByMergeParams;
ABI_ASSERT(sizeof(GroupByMergeParams) == 240, "GroupByMergeParams crosses the ABI");

/// Launch parameters of `group_by_list`.
typedef struct GroupByListParams {
  GroupByTable table;      ///< read
  uint32_t *slots;         ///< [group count], device, written: slots in use
  uint64_t *slot_count;    ///< [1], device, raised; the caller zeroes it
  GroupByLayout layout;    ///< of the table
} GroupByListParams;
ABI_ASSERT(sizeof(GroupByListParams) == 200, "GroupByListParams crosses the ABI");

/// Launch parameters of `group_by_emit_key`.
typedef struct GroupByEmitKeyParams {
  GroupByLayout layout;     ///< of the table
  GroupByTable table;       ///< read
  GroupByKey key;           ///< place of the key; its column gives the type alone
  ColumnOut output;         ///< [group count]
  const uint32_t *slots;    ///< [group count], device, read
  uint64_t group_count;     ///< rows of the output
} GroupByEmitKeyParams;
ABI_ASSERT(sizeof(GroupByEmitKeyParams) == 168 + 16 + 72 + 24 + 16, "GroupByEmitKeyParams crosses the ABI");

/// Launch parameters of `group_by_move_text`.
typedef struct GroupByMoveTextParams {
  GroupByLayout layout;     ///< of the table
  GroupByTable table;       ///< read and written
  const uint8_t *bytes;     ///< [offsets[group_count]], device: where the strings are from now on
  const uint64_t *offsets;  ///< [group_count + 1], device, read: where each begins there
  const uint32_t *slots;    ///< [group_count], device, read
  uint64_t group_count;     ///< groups
  uint64_t word;            ///< word of the packed key that tells where the bytes of the string are
} GroupByMoveTextParams;
ABI_ASSERT(sizeof(GroupByMoveTextParams) == 168 + 16 + 40, "GroupByMoveTextParams crosses the ABI");

enum {
  EMIT_COUNT = 0,        ///< the word of a count
  EMIT_SUM = 1,          ///< a sum of one or two words
  EMIT_SUM_FLOAT = 2,    ///< a binary64 sum
  EMIT_EXTREME = 3,      ///< a minimum or maximum
  EMIT_MEAN = 4,         ///< sum / factor / count
  EMIT_CARRY = 5,        ///< the value that a row accumulator picked
  EMIT_ANY = 6,          ///< Kleene disjunction, of `ACCUMULATE_TRUE` and `ACCUMULATE_NULL` as the count
  EMIT_ALL = 7,          ///< Kleene conjunction, of `ACCUMULATE_FALSE` and `ACCUMULATE_NULL` as the count
  EMIT_VARIANCE = 8,     ///< variance / factor^2
  EMIT_DEVIATION = 9,    ///< its square root
  EMIT_VARIANCE_MEAN = 10, ///< mean / factor, of a variance's words; 0 for no values
  EMIT_VARIANCE_M2 = 11, ///< sum of squared distances / factor^2
  EMIT_EXACT = 12,       ///< an exact sum, rounded once
  EMIT_EXACT_MEAN = 13,  ///< the same, divided by the count
};

/// Launch parameters of `group_by_emit_aggregate`.
typedef struct GroupByEmitAggregateParams {
  GroupByLayout layout;      ///< of the table
  GroupByTable table;        ///< read
  ColumnOut output;          ///< [group count]
  const uint32_t *slots;     ///< [group count], device, read
  KernelStatus *status;      ///< [1], device, first error wins; the caller zeroes it
  uint64_t group_count;      ///< rows of the output
  uint64_t limit_low;        ///< absolute sums must be below this, low bits; 0: the output's type decides
  uint64_t limit_high;       ///< high bits of the limit
  double factor;             ///< mean: 10^scale of a decimal operand, else 1
  uint32_t emit;             ///< one of `EMIT_*`
  uint32_t accumulator;      ///< the accumulator
  uint32_t count_accumulator; ///< the accumulator that tells the number (or presence) of values; `GROUP_BY_EVERY`: every group has one
  uint32_t empty_is_zero;    ///< 1: a sum of no values is zero, not null
  uint32_t overflow_is_error; ///< 1: a sum beyond its limit fails the launch, instead of being null
  uint32_t ddof;             ///< variance: taken from the count in the denominator
} GroupByEmitAggregateParams;
ABI_ASSERT(sizeof(GroupByEmitAggregateParams) == 168 + 16 + 24 + 48 + 24, "GroupByEmitAggregateParams crosses the ABI");

/// Launch parameters of `group_by_carry`.
typedef struct GroupByCarryParams {
  GroupByLayout layout;       ///< of the table
  GroupByTable table;         ///< read and written
  ColumnView column;          ///< the values
  uint64_t row_start;         ///< number of the column's first row
  uint64_t row_count;         ///< rows, or their upper bound
  uint32_t row_accumulator;   ///< the row accumulator
  uint32_t accumulator;       ///< the accumulator that carries the value
} GroupByCarryParams;
ABI_ASSERT(sizeof(GroupByCarryParams) == 168 + 16 + 48 + 24, "GroupByCarryParams crosses the ABI");

/// Launch parameters of `group_by_distance`.
typedef struct GroupByDistanceParams {
  GroupByLayout layout;                ///< of the table
  GroupByKey keys[GROUP_BY_KEYS_MAX];  ///< key columns
  GroupByTable table;                  ///< read
  ColumnView column;                   ///< the values
  ColumnOut output;                    ///< [rows], written: binary64
  const uint64_t *row_count_device;    ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                  ///< rows, or their upper bound
  uint64_t accumulator;                ///< the variance accumulator
} GroupByDistanceParams;
ABI_ASSERT(sizeof(GroupByDistanceParams) == 168 + 1152 + 16 + 48 + 24 + 24, "GroupByDistanceParams crosses the ABI");

/// Launch parameters of `group_by_registers`.
typedef struct GroupByRegistersParams {
  ColumnView column;                 ///< the values, or their hashes
  ColumnOut registers;               ///< [rows], written: `PHYSICAL_UINT32`, null where the value is
  ColumnOut weights;                 ///< [rows], written: `PHYSICAL_INT64`, 2^(GROUP_BY_RANK_MAX - rank)
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint64_t hashed;                   ///< 1: the column has hashes
} GroupByRegistersParams;
ABI_ASSERT(sizeof(GroupByRegistersParams) == 48 + 48 + 24, "GroupByRegistersParams crosses the ABI");

/// Launch parameters of `group_by_bound`.
typedef struct GroupByBoundParams {
  ColumnView column;                 ///< the values, `PHYSICAL_INT64`
  uint64_t *bound;                   ///< [1], device, raised: greatest absolute value; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
} GroupByBoundParams;
ABI_ASSERT(sizeof(GroupByBoundParams) == 48 + 24, "GroupByBoundParams crosses the ABI");

/// Launch parameters of `group_by_settle`.
typedef struct GroupBySettleParams {
  GroupByLayout layout;      ///< of the table
  GroupByTable table;        ///< read and written
  uint64_t narrow;           ///< bit a: the high word of accumulator a is to be its low word's sign
  uint64_t present;          ///< bit a: the word of accumulator a is to be 1
  uint64_t carry;            ///< bit a: digits of accumulator a are to be 32 bits again
} GroupBySettleParams;
ABI_ASSERT(sizeof(GroupBySettleParams) == 208, "GroupBySettleParams crosses the ABI");

/// Launch parameters of `group_by_list_rows`.
typedef struct GroupByListRowsParams {
  ColumnView lists;      ///< [row_count], read: `PHYSICAL_UINT32`, the list of each row; null: an empty one
  uint32_t *list_rows;   ///< [list_count], device, written: the row that has each list
  uint64_t row_count;    ///< rows
  uint64_t list_count;   ///< lists
} GroupByListRowsParams;
ABI_ASSERT(sizeof(GroupByListRowsParams) == 72, "GroupByListRowsParams crosses the ABI");

/// Launch parameters of `group_by_element_rows`.
typedef struct GroupByElementRowsParams {
  const uint32_t *starts;     ///< [list_count + 1], device, read: where each list begins, and where the last one ends
  const uint32_t *list_rows;  ///< [list_count], device, read: the row that has each list
  uint32_t *element_rows;     ///< [element_count], device, written: the row that has each element
  uint64_t list_count;        ///< lists, at least one
  uint64_t element_count;     ///< elements of all lists
} GroupByElementRowsParams;
ABI_ASSERT(sizeof(GroupByElementRowsParams) == 40, "GroupByElementRowsParams crosses the ABI");

/// Launch parameters of `group_by_write_registers`.
typedef struct GroupByWriteRegistersParams {
  ColumnView registers;    ///< [row_count], read: `PHYSICAL_UINT32`; null: none was raised
  ColumnView weights;      ///< [row_count], read: `PHYSICAL_INT64`, 2^(GROUP_BY_RANK_MAX - rank)
  ColumnView lists;        ///< [group_count], read: `PHYSICAL_UINT32`, the sketch of each group; null: that of nothing
  const uint32_t *starts;  ///< [sketch_count + 1], device, read: the first row of each sketch, and the end of the last
  uint8_t *bytes;          ///< [(sketch_count + 1) << GROUP_BY_REGISTER_BITS], device, written: ranks; the last sketch is of nothing; the caller zeroes it
  ColumnOut sketches;      ///< [group_count], written: `PHYSICAL_VIEW` of those bytes
  uint64_t row_count;      ///< rows
  uint64_t sketch_count;   ///< sketches that have rows
  uint64_t group_count;    ///< groups
} GroupByWriteRegistersParams;
ABI_ASSERT(sizeof(GroupByWriteRegistersParams) == 144 + 16 + 24 + 24, "GroupByWriteRegistersParams crosses the ABI");

/// Launch parameters of `group_by_read_registers`.
typedef struct GroupByReadRegistersParams {
  ColumnView sketches;      ///< [row_count], read: `PHYSICAL_VIEW` of a rank per register; null: none is raised
  uint32_t *rows;           ///< [raised], device, written: the row of each register that is raised; absent: they are counted
  uint32_t *registers;      ///< [raised], device, written
  uint64_t *weights;        ///< [raised], device, written: 2^(GROUP_BY_RANK_MAX - rank)
  uint64_t *raised_count;   ///< [1], device, raised; the caller zeroes it
  KernelStatus *status;     ///< [1], device, first error wins; the caller zeroes it
  uint64_t row_count;       ///< rows
} GroupByReadRegistersParams;
ABI_ASSERT(sizeof(GroupByReadRegistersParams) == 96, "GroupByReadRegistersParams crosses the ABI");

#endif
