// Operator  functions over strings that make new strings (src/backend/cuda/function/strings.rs)
// Kernels   strings_case strings_concat_sizes strings_concat strings_replace_sizes strings_replace
// Method    lengths first, then `text_offsets`, then the strings, a thread each. The strings of a
//           warp lie behind one another: they are put together in shared memory and leave it in
//           words of 16 bytes, unless they are too long
// Cost      reads 16 B per row and the strings in each of the two steps, 8 B per row of offsets;
//           writes 16 B per row in each step and the new strings
// Source    none needed beyond primitives/grid.cuh
#include "primitives/status.cuh"
#include "strings.cuh"

#define STRINGS_STAGE_BYTES 2048u  // of a warp; 16 KiB of a block leave room for 2,048 threads
#define STRINGS_WARPS (STRINGS_THREADS / WARP_LANES)
#define STRINGS_BYTES_MAX 0xffffffffull

/// Where the strings of a warp are put together.
struct StringsStage {
  uint8_t *staged;  ///< of the warp, `STRINGS_STAGE_BYTES`; a byte's place modulo 16 is that of its
                    ///< target
  uint8_t *target;  ///< a multiple of 16 below the first byte
  uint64_t begin;   ///< bytes from `target` to the first byte
  uint64_t end;     ///< bytes from `target` to behind the last byte
  bool in_shared;   ///< whether they fit
};

/// The stage of a warp whose rows begin with `first`.
/// Scope warp, all lanes · Result in every lane · Memory 2 offsets read · JIT yes
KERNEL_FN StringsStage stage_open(uint8_t *shared, uint8_t *out_bytes, const uint64_t *offsets,
                                  uint64_t first, uint64_t rows) {
  uint8_t *start = out_bytes + offsets[first];
  uint8_t *target = start - ((uint64_t)start & 15);
  const uint64_t last = offsets[min(first + WARP_LANES, rows)];
  StringsStage stage = {shared + (threadIdx.x / WARP_LANES) * STRINGS_STAGE_BYTES, target,
                        (uint64_t)(start - target), (uint64_t)(out_bytes + last - target), false};
  stage.in_shared = stage.end <= STRINGS_STAGE_BYTES;
  return stage;
}

/// Where the caller writes the string that belongs at `at`.
KERNEL_FN uint8_t *stage_place(const StringsStage &stage, uint8_t *at) {
  return stage.in_shared ? stage.staged + (at - stage.target) : at;
}

/// Brings the strings of the warp to memory.
/// Scope warp, all lanes · Result in memory · Memory the strings, read and written · JIT yes
KERNEL_FN void stage_close(const StringsStage &stage) {
  __syncwarp();
  if (!stage.in_shared) return;
  for (uint64_t at = (threadIdx.x % WARP_LANES) * 16; at < stage.end; at += WARP_LANES * 16) {
    if (at >= stage.begin && at + 16 <= stage.end) {
      *(uint4 *)(stage.target + at) = *(const uint4 *)(stage.staged + at);
      continue;
    }
    const uint64_t behind = min(at + 16, stage.end);
    for (uint64_t i = max(at, stage.begin); i < behind; i++) stage.target[i] = stage.staged[i];
  }
}

/// Copies a part of a string, 8 bytes read at a time; answers where it ends.
KERNEL_FN uint8_t *strings_append(uint8_t *out, const TextView &part) {
  for (uint64_t at = 0; at < part.length; at += 8) {
    uint64_t word = strings_word(part, at);
    const uint64_t bytes = min((uint64_t)8, part.length - at);
    for (uint64_t i = 0; i < bytes; i++, word >>= 8) *out++ = (uint8_t)word;
  }
  return out;
}

/// A word with its ASCII letters in the other case where they are in the wrong one.
KERNEL_FN uint64_t case_word(uint64_t word, bool upper) {
  const uint64_t first = STRINGS_ONES * (upper ? 'a' : 'A');
  const uint64_t low = word & ~STRINGS_HIGH_BITS;
  // Bit 7 of a byte: at least the first letter; above the last one. Bytes carry nothing over.
  const uint64_t from = low + (STRINGS_HIGH_BITS - first);
  const uint64_t above = low + (STRINGS_HIGH_BITS - first - STRINGS_ONES * 26);
  return word ^ ((from & ~above & ~word & STRINGS_HIGH_BITS) >> 2);
}

/// Upper or lower case of strings whose characters are all ASCII.
///
/// Shape   input[rows], offsets[rows + 1] -> output[rows] views, out_bytes, out_other
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  none; other characters stay as they are, and `out_other` says that there are some
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_case(GRID_CONSTANT(StringsCaseParams) params) {
  SHARED(uint4, shared, STRINGS_WARPS * STRINGS_STAGE_BYTES / 16);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  const uint64_t first = row & ~(uint64_t)31, rows = params.row_count;
  if (first >= rows) return;  // whole warps leave together
  const bool valid = row < rows && column_valid(params.input, row);
  const TextView text = strings_row(params.input, row, valid);
  const StringsStage stage =
      stage_open((uint8_t *)shared, params.out_bytes, params.offsets, first, rows);
  uint8_t *at = params.out_bytes + params.offsets[min(row, rows)];
  uint8_t *out = stage_place(stage, at);
  uint64_t other = 0;
  for (uint64_t from = 0; from < text.length; from += 8) {
    const uint64_t word = strings_word(text, from);
    other |= word & STRINGS_HIGH_BITS;
    uint64_t cased = case_word(word, params.flags & STRINGS_UPPER);
    const uint64_t bytes = min((uint64_t)8, text.length - from);
    for (uint64_t i = 0; i < bytes; i++, cased >>= 8) *out++ = (uint8_t)cased;
  }
  stage_close(stage);
  if (__any_sync(WARP_ALL, other != 0) && threadIdx.x % WARP_LANES == 0) {
    atomicOr(params.out_other, 1u);
  }
  if (row < rows) strings_store(params.output, row, at, text.length);
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}

/// Whether a row of the operands together is not null.
KERNEL_FN bool concat_valid(const StringsConcatParams &params, uint64_t row) {
  if (params.flags & STRINGS_SKIP_NULLS) return true;
  for (uint32_t i = 0; i < params.operand_count; i++) {
    if (!column_valid(params.operands[i], row)) return false;
  }
  return true;
}

/// Lengths of strings behind one another.
///
/// Shape   operands[operand_count][rows] -> output[rows]: lengths, without addresses
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where an operand is; or left out, and never null
/// Errors  STATUS_OVERFLOW: argument = a row of more than 4 GiB
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_concat_sizes(GRID_CONSTANT(StringsConcatParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
  const bool valid = row < params.row_count && concat_valid(params, row);
  uint64_t length = 0, count = 0;
  for (uint32_t i = 0; i < params.operand_count && valid; i++) {
    if (!column_valid(params.operands[i], row)) continue;
    length += strings_view(params.operands[i], row).length;
    length += count++ ? params.separator_bytes : 0;
  }
  if (length > STRINGS_BYTES_MAX) {
    status_set(params.status, STATUS_OVERFLOW, row);
    length = 0;
  }
  if (row < params.row_count) strings_store(params.output, row, nullptr, length);
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}

/// Strings behind one another.
///
/// Shape   operands[operand_count][rows], offsets[rows + 1] -> output[rows] views, out_bytes
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0; after
///         `strings_concat_sizes` and `text_offsets` of its output
/// Nulls   as `strings_concat_sizes` wrote them
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_concat(GRID_CONSTANT(StringsConcatParams) params) {
  SHARED(uint4, shared, STRINGS_WARPS * STRINGS_STAGE_BYTES / 16);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  const uint64_t first = row & ~(uint64_t)31, rows = params.row_count;
  if (first >= rows) return;  // whole warps leave together
  const StringsStage stage =
      stage_open((uint8_t *)shared, params.out_bytes, params.offsets, first, rows);
  const uint64_t begin = params.offsets[min(row, rows)], end = params.offsets[min(row + 1, rows)];
  uint8_t *out = stage_place(stage, params.out_bytes + begin);
  const TextView separator = {params.separator, params.separator_bytes, 0};
  bool written = false;
  for (uint32_t i = 0; i < params.operand_count && begin < end; i++) {
    if (!column_valid(params.operands[i], row)) continue;
    if (written) out = strings_append(out, separator);
    out = strings_append(out, strings_view(params.operands[i], row));
    written = true;
  }
  stage_close(stage);
  if (row < rows) strings_store(params.output, row, params.out_bytes + begin, end - begin);
}

/// Lengths of strings with parts replaced.
///
/// Shape   input[rows] -> output[rows]: lengths, without addresses
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is
/// Errors  STATUS_OVERFLOW: argument = a row of more than 4 GiB
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_replace_sizes(GRID_CONSTANT(StringsReplaceParams) params) {
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= params.row_count) return;  // whole warps leave together
  const bool valid = row < params.row_count && column_valid(params.input, row);
  const TextView text = strings_row(params.input, row, valid);
  const TextView from = {params.from, params.from_bytes, 0};
  uint64_t count = 0, at = 0;
  while ((at = strings_find(text, at, text.length, from)) != STRINGS_NONE) {
    at += from.length;
    count++;
  }
  uint64_t length = text.length - count * params.from_bytes + count * params.to_bytes;
  if (length > STRINGS_BYTES_MAX) {
    status_set(params.status, STATUS_OVERFLOW, row);
    length = 0;
  }
  if (row < params.row_count) strings_store(params.output, row, nullptr, length);
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}

/// Strings with parts replaced.
///
/// Shape   input[rows], offsets[rows + 1] -> output[rows] views, out_bytes
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0; after
///         `strings_replace_sizes` and `text_offsets` of its output
/// Nulls   as `strings_replace_sizes` wrote them
/// Errors  none
/// Tests   tests/operators/strings.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_replace(GRID_CONSTANT(StringsReplaceParams) params) {
  SHARED(uint4, shared, STRINGS_WARPS * STRINGS_STAGE_BYTES / 16);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  const uint64_t first = row & ~(uint64_t)31, rows = params.row_count;
  if (first >= rows) return;  // whole warps leave together
  const StringsStage stage =
      stage_open((uint8_t *)shared, params.out_bytes, params.offsets, first, rows);
  const uint64_t begin = params.offsets[min(row, rows)], end = params.offsets[min(row + 1, rows)];
  uint8_t *out = stage_place(stage, params.out_bytes + begin);
  const TextView text = strings_row(params.input, row, begin < end);
  const TextView from = {params.from, params.from_bytes, 0};
  const TextView to = {params.to, params.to_bytes, 0};
  uint64_t at = 0, place;
  while ((place = strings_find(text, at, text.length, from)) != STRINGS_NONE) {
    out = strings_append(out, {text.bytes + at, (uint32_t)(place - at), 0});
    out = strings_append(out, to);
    at = place + from.length;
  }
  strings_append(out, {text.bytes + at, (uint32_t)(text.length - at), 0});
  stage_close(stage);
  if (row < rows) strings_store(params.output, row, params.out_bytes + begin, end - begin);
}
