// Operator  functions over strings (src/backend/cuda/function/strings.rs)
// Kernels   strings_lookup strings_compare strings_like strings_dfa strings_measure strings_slice
// Method    strings that are codes: a table of one value per distinct string, which the host made.
//           Strings that lie as views: a thread per string, 8 bytes at a time. A LIKE pattern is
//           its pieces, each found as early as it can be behind the one before; `_` is a byte of a
//           piece that matches a character. A regular expression is a DFA over classes of bytes
// Cost      strings_lookup: reads 4 B per row and writes a value; the others read 16 B per row and
//           the strings as far as they must, and write 1/8 B, 4 B or 16 B per row
// Source    none needed beyond primitives; a zero byte of a word by the well-known subtraction
#include "abi/project.h"
#include "strings.cuh"

#define STRINGS_LOOKUP_STEPS (STRINGS_LOOKUP_ROWS / STRINGS_THREADS)

/// Takes a value per code from a table.
///
/// Shape   codes[rows], table[entries] -> output[rows]
/// Launch  grid = ceil(row_count / STRINGS_LOOKUP_ROWS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the code is, or where the table has no entry
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_lookup(GRID_CONSTANT(StringsLookupParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t first = (uint64_t)blockIdx.x * STRINGS_LOOKUP_ROWS + threadIdx.x;
  uint32_t codes[STRINGS_LOOKUP_STEPS];
  bool valid[STRINGS_LOOKUP_STEPS];
  for (uint32_t i = 0; i < STRINGS_LOOKUP_STEPS; i++) {
    const uint64_t row = first + i * STRINGS_THREADS;
    valid[i] = row < rows && column_valid(params.codes, row);
    codes[i] = valid[i] ? column_value<uint32_t>(params.codes, row) : 0;
    valid[i] = valid[i] && codes[i] < params.entries;
  }
  for (uint32_t i = 0; i < STRINGS_LOOKUP_STEPS; i++) {
    const uint64_t row = first + i * STRINGS_THREADS;
    if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
    if (params.output.type == PHYSICAL_BOOLEAN) {
      const bool bit = valid[i] && bitmap_get((const uint8_t *)params.table, codes[i]);
      bitmap_write_warp((uint8_t *)params.output.values, row, bit);
    } else if (row < rows && params.output.type == PHYSICAL_VIEW) {
      const ulonglong2 none = make_ulonglong2(0, 0);
      const ulonglong2 *table = (const ulonglong2 *)params.table;
      ((ulonglong2 *)params.output.values)[row] = valid[i] ? table[codes[i]] : none;
    } else if (row < rows) {
      const uint32_t *table = (const uint32_t *)params.table;
      ((uint32_t *)params.output.values)[row] = valid[i] ? table[codes[i]] : 0;
    }
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid[i]);
  }
}

/// Writes a Boolean per row and its validity.
KERNEL_FN void strings_answer(const ColumnOut &output, uint64_t row, bool valid, bool answer) {
  bitmap_write_warp((uint8_t *)output.values, row, valid && answer);
  if (output.validity) bitmap_write_warp(output.validity, row, valid);
}

KERNEL_FN bool strings_holds(uint32_t op, const TextView &left, const TextView &right) {
  if (op == PROJECT_EQUAL || op == PROJECT_NOT_EQUAL) {
    const bool equal = left.length == right.length && strings_stands(left, 0, right);
    return equal == (op == PROJECT_EQUAL);
  }
  const int order = strings_order(left, right);
  switch (op) {
    case PROJECT_LESS: return order < 0;
    case PROJECT_LESS_OR_EQUAL: return order <= 0;
    case PROJECT_GREATER: return order > 0;
    default: return order >= 0;
  }
}

/// Compares strings by their bytes.
///
/// Shape   left[rows], right[rows] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where an operand is
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_compare(GRID_CONSTANT(StringsCompareParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid =
      row < rows && column_valid(params.left, row) && column_valid(params.right, row);
  const TextView left = strings_row(params.left, row, valid);
  const TextView right = strings_row(params.right, row, valid);
  strings_answer(params.output, row, valid, strings_holds(params.op, left, right));
}

/// Where a piece with wild bytes ends if it stands at byte `at`, `end` at most; else
/// `STRINGS_NONE`.
KERNEL_FN uint64_t like_wild(const TextView &text, uint64_t at, uint64_t end,
                             const TextView &piece) {
  if (piece.bytes[0] == STRINGS_WILD && at < end && strings_continues(text.bytes[at])) {
    return STRINGS_NONE;  // a character begins elsewhere
  }
  for (uint32_t i = 0; i < piece.length; i++) {
    if (at >= end) return STRINGS_NONE;
    const uint8_t own = piece.bytes[i];
    if (own != STRINGS_WILD && own != text.bytes[at]) return STRINGS_NONE;
    at++;
    while (own == STRINGS_WILD && at < end && strings_continues(text.bytes[at])) at++;
  }
  return at;
}

/// Where a piece ends that stands at byte `at`; else `STRINGS_NONE`.
KERNEL_FN uint64_t like_at(const TextView &text, uint64_t at, const TextView &piece, bool wild) {
  if (wild) return like_wild(text, at, text.length, piece);
  if (piece.length > text.length - at) return STRINGS_NONE;
  return strings_stands(text, at, piece) ? at + piece.length : STRINGS_NONE;
}

/// Where the first piece ends that stands between two places; else `STRINGS_NONE`.
KERNEL_FN uint64_t like_find(const TextView &text, uint64_t from, uint64_t end,
                             const TextView &piece, bool wild) {
  if (!wild) {
    const uint64_t place = strings_find(text, from, end, piece);
    return place == STRINGS_NONE ? STRINGS_NONE : place + piece.length;
  }
  for (uint64_t at = from; at < end; at++) {
    const uint64_t behind = like_wild(text, at, end, piece);
    if (behind != STRINGS_NONE) return behind;
  }
  return STRINGS_NONE;
}

/// Where the last `piece.characters` characters begin; `STRINGS_NONE` if there are not so many.
KERNEL_FN uint64_t like_last(const TextView &text, const StringsPiece &piece) {
  if (!piece.wild) return piece.bytes <= text.length ? text.length - piece.bytes : STRINGS_NONE;
  uint64_t at = text.length;
  for (uint32_t count = 0; count < piece.characters; count++) {
    if (at == 0) return STRINGS_NONE;
    do at--;
    while (at > 0 && strings_continues(text.bytes[at]));
  }
  return at;
}

/// Whether a string matches the pattern.
KERNEL_FN bool like_matches(const StringsLikeParams &params, const TextView &text) {
  uint64_t from = 0, end = text.length;
  uint32_t first = 0, behind = params.piece_count;
  if (params.flags & STRINGS_ANCHOR_START) {
    const StringsPiece piece = params.pieces[0];
    from = like_at(text, 0, {params.bytes + piece.at, piece.bytes, 0}, piece.wild);
    if (from == STRINGS_NONE) return false;
    first = 1;
    if (behind == 1 && (params.flags & STRINGS_ANCHOR_END)) return from == end;
  }
  if (params.flags & STRINGS_ANCHOR_END) {
    behind--;
    const StringsPiece piece = params.pieces[behind];
    end = like_last(text, piece);
    if (end == STRINGS_NONE || end < from) return false;
    if (like_at(text, end, {params.bytes + piece.at, piece.bytes, 0}, piece.wild) != text.length) {
      return false;
    }
  }
  for (uint32_t i = first; i < behind; i++) {
    const StringsPiece piece = params.pieces[i];
    from = like_find(text, from, end, {params.bytes + piece.at, piece.bytes, 0}, piece.wild);
    if (from == STRINGS_NONE) return false;
  }
  return true;
}

/// Matches strings with a LIKE pattern.
///
/// Shape   input[rows], pieces[piece_count] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_like(GRID_CONSTANT(StringsLikeParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  const TextView text = strings_row(params.input, row, valid);
  strings_answer(params.output, row, valid, valid && like_matches(params, text));
}

/// Runs a DFA over strings.
///
/// Shape   input[rows], table[states * class_count], classes[256] -> output[rows], Boolean
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_dfa(GRID_CONSTANT(StringsDfaParams) params) {
  static_assert(STRINGS_THREADS == 256, "a thread brings the class of a byte");
  SHARED(uint8_t, classes, 256);
  classes[threadIdx.x] = params.classes[threadIdx.x];
  __syncthreads();
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  const TextView text = strings_row(params.input, row, valid);
  uint32_t state = params.start;
  for (uint64_t at = 0; at < text.length && state > STRINGS_DFA_MATCH; at += 8) {
    uint64_t word = strings_word(text, at);
    const uint32_t bytes = (uint32_t)min((uint64_t)8, text.length - at);
    for (uint32_t i = 0; i < bytes && state > STRINGS_DFA_MATCH; i++) {
      state = params.table[(uint64_t)state * params.class_count + classes[word & 255]];
      word >>= 8;
    }
  }
  if (state > STRINGS_DFA_MATCH) {
    state = params.table[(uint64_t)state * params.class_count + params.class_count - 1];
  }
  strings_answer(params.output, row, valid, state == STRINGS_DFA_MATCH);
}

/// Lengths of strings, and positions in them.
///
/// Shape   input[rows] -> output[rows], Int32
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_measure(GRID_CONSTANT(StringsMeasureParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  const TextView text = strings_row(params.input, row, valid);
  uint64_t measure = text.length;
  if (params.op == STRINGS_LENGTH) {
    measure = strings_characters(text, text.length);
  } else if (params.op == STRINGS_FIND) {
    const TextView part = {params.part, params.part_bytes, 0};
    const uint64_t place = strings_find(text, 0, text.length, part);
    measure = place == STRINGS_NONE ? 0 : strings_characters(text, place) + 1;
  }
  if (row < rows) {
    const uint64_t greatest = 0x7fffffff;
    ((int32_t *)params.output.values)[row] = (int32_t)min(measure, greatest);
  }
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}

KERNEL_FN bool slice_trims(const StringsSliceParams &params, uint8_t byte) {
  if (byte >= 128) return false;
  return ((byte < 64 ? params.first : params.second) >> (byte & 63)) & 1;
}

/// The part of a string that a slice takes.
KERNEL_FN TextView slice_of(const StringsSliceParams &params, const TextView &text) {
  uint64_t start = 0, end = text.length;
  if (params.op == STRINGS_SKIP_TAKE) {
    start = strings_skip(text, 0, params.first);
    end = strings_skip(text, start, params.second);
  } else if (params.op == STRINGS_TRIM) {
    if (params.flags & STRINGS_TRIM_START) {
      while (start < end && slice_trims(params, text.bytes[start])) start++;
    }
    if (params.flags & STRINGS_TRIM_END) {
      while (start < end && slice_trims(params, text.bytes[end - 1])) end--;
    }
  } else {
    const uint64_t count = strings_characters(text, text.length);
    const uint64_t split = strings_skip(text, 0, count - min(count, params.first));
    start = params.op == STRINGS_KEEP_LAST ? split : 0;
    end = params.op == STRINGS_KEEP_LAST ? end : split;
  }
  return TextView{text.bytes + start, (uint32_t)(end - start), 0};
}

/// Parts of strings, which stay where they are.
///
/// Shape   input[rows] -> output[rows], views
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_slice(GRID_CONSTANT(StringsSliceParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  const TextView part = slice_of(params, strings_row(params.input, row, valid));
  if (row < rows) strings_store(params.output, row, part.bytes, part.length);
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}
