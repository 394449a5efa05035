// Operator  casts to strings (src/backend/cuda/cast.rs)
// Kernels   strings_format
// Method    a thread writes the text of its value into room of a fixed size, so that no lengths are
//           summed and nothing is waited for; the rest of the room is zero
// Cost      reads a value per row, writes 16 B and the room per row: 8 to 48 B
// Source    none needed; the forms are Arrow's
#include "strings.cuh"
#include "temporal.cuh"

#define FORMAT_CHUNK 10000000000000000000ull  // 10^19, the greatest power in 64 bits
#define FORMAT_YEAR_MIN (-262143)             // Arrow's calendar ends here
#define FORMAT_YEAR_MAX 262142

/// Text that is put together from its end. Bytes, so that places may be counted at run time.
struct FormatText {
  uint8_t bytes[STRINGS_FORMAT_BYTES_MAX];
  uint32_t at;  ///< the first byte in use
};

KERNEL_FN void format_put(FormatText *text, uint8_t byte) { text->bytes[--text->at] = byte; }

/// Digits of a number, at least so many.
KERNEL_FN void format_digits(FormatText *text, uint64_t number, uint32_t least) {
  for (uint32_t count = 0; count < least || number; count++) {
    format_put(text, (uint8_t)('0' + number % 10));
    number /= 10;
  }
}

/// Digits of a number of 128 bits, the point in front of the last `scale`, a zero in front of it.
KERNEL_FN void format_decimal(FormatText *text, int128_t value, uint32_t scale) {
  const bool negative = value < 0;
  uint128_t rest = negative ? (uint128_t)0 - (uint128_t)value : (uint128_t)value;
  uint64_t chunk = 0;
  uint32_t in_chunk = 0;
  for (uint32_t place = 0; place <= scale || rest || chunk; place++) {
    if (in_chunk == 0) {
      const bool narrow = (rest >> 64) == 0 && (uint64_t)rest < FORMAT_CHUNK;
      chunk = narrow ? (uint64_t)rest : (uint64_t)(rest % FORMAT_CHUNK);
      rest = narrow ? 0 : rest / FORMAT_CHUNK;
      in_chunk = 19;
    }
    if (place == scale && scale > 0) format_put(text, '.');
    format_put(text, (uint8_t)('0' + chunk % 10));
    chunk /= 10;
    in_chunk--;
  }
  if (negative) format_put(text, '-');
}

/// A date: year, month and day. False if Arrow's calendar does not have it.
KERNEL_FN bool format_date(FormatText *text, int64_t days) {
  const CivilDate date = civil_date(days);
  format_digits(text, date.day, 2);
  format_put(text, '-');
  format_digits(text, date.month, 2);
  format_put(text, '-');
  format_digits(text, (uint64_t)(date.year < 0 ? -date.year : date.year), 4);
  if (date.year < 0) format_put(text, '-');
  if (date.year > 9999) format_put(text, '+');
  return date.year >= FORMAT_YEAR_MIN && date.year <= FORMAT_YEAR_MAX;
}

/// The part of a second, in three, six or nine digits; none if it is zero.
KERNEL_FN void format_fraction(FormatText *text, uint32_t nanos) {
  if (nanos == 0) return;
  if (nanos % 1000000 == 0) {
    format_digits(text, nanos / 1000000, 3);
  } else if (nanos % 1000 == 0) {
    format_digits(text, nanos / 1000, 6);
  } else {
    format_digits(text, nanos, 9);
  }
  format_put(text, '.');
}

/// A date and a time of day.
KERNEL_FN bool format_timestamp(FormatText *text, uint32_t unit, int64_t value) {
  LocalTime local;
  switch (unit) {
    case TEMPORAL_SECONDS: local = temporal_floor<86400>(value); break;
    case TEMPORAL_MILLIS: local = temporal_floor<86400000>(value); break;
    case TEMPORAL_MICROS: local = temporal_floor<86400000000ll>(value); break;
    default: local = temporal_floor<86400000000000ll>(value); break;
  }
  const uint64_t nanos = (uint64_t)(local.counts * temporal_nanos(unit));
  const uint32_t seconds = (uint32_t)(nanos / 1000000000ull);
  format_fraction(text, (uint32_t)(nanos % 1000000000ull));
  format_digits(text, seconds % 60, 2);
  format_put(text, ':');
  format_digits(text, seconds / 60 % 60, 2);
  format_put(text, ':');
  format_digits(text, seconds / 3600, 2);
  format_put(text, 'T');
  return format_date(text, local.days);
}

KERNEL_FN bool format_truth(FormatText *text, bool truth) {
  format_put(text, 'e');
  format_put(text, truth ? 'u' : 's');
  format_put(text, truth ? 'r' : 'l');
  format_put(text, truth ? 't' : 'a');
  if (!truth) format_put(text, 'f');
  return true;
}

/// The text of a value that is not null; false if there is none.
KERNEL_FN bool format_value(const StringsFormatParams &params, uint64_t row, FormatText *text) {
  switch (params.form) {
    case STRINGS_FORMAT_TRUTH: return format_truth(text, column_bit(params.input, row));
    case STRINGS_FORMAT_DATE: return format_date(text, (int64_t)column_integer(params.input, row));
    case STRINGS_FORMAT_TIMESTAMP:
      return format_timestamp(text, params.unit, (int64_t)column_integer(params.input, row));
    default: format_decimal(text, column_integer(params.input, row), params.scale); return true;
  }
}

/// Writes numbers, dates, timestamps and truth values as text.
///
/// Shape   input[rows] -> output[rows] views, out_bytes[rows * room]
/// Launch  grid = ceil(row_count / STRINGS_THREADS), block = STRINGS_THREADS, shared = 0
/// Nulls   null where the input is, and for days that Arrow's calendar does not have
/// Errors  none; `out_misfits` says that there is such a day
/// Tests   tests/operators/casts.rs
extern "C" __global__ void __launch_bounds__(STRINGS_THREADS)
strings_format(GRID_CONSTANT(StringsFormatParams) params) {
  const uint64_t rows = row_count_of(params.row_count_device, params.row_count);
  const uint64_t row = (uint64_t)blockIdx.x * STRINGS_THREADS + threadIdx.x;
  if ((row & ~(uint64_t)31) >= rows) return;  // whole warps leave together
  const bool wanted = row < rows && column_valid(params.input, row);
  FormatText text;
  text.at = STRINGS_FORMAT_BYTES_MAX;
  const bool valid = wanted && format_value(params, row, &text);
  if (wanted && !valid) atomicOr(params.out_misfits, 1u);
  if (row < rows) {
    const uint64_t length = valid ? STRINGS_FORMAT_BYTES_MAX - text.at : 0;
    uint8_t *room = params.out_bytes + row * params.room;
    for (uint32_t at = 0; at < params.room; at += 8) {
      uint64_t word = 0;
      for (uint32_t byte = 0; byte < 8 && at + byte < length; byte++) {
        word |= (uint64_t)text.bytes[text.at + at + byte] << (8 * byte);
      }
      *(uint64_t *)(room + at) = word;
    }
    strings_store(params.output, row, room, length);
  }
  if (params.output.validity) bitmap_write_warp(params.output.validity, row, valid);
}
