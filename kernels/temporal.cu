// Operator  project (src/operators/project.rs): functions over dates and times
// Kernels   temporal_extract temporal_truncate temporal_later temporal_make_date temporal_sum
// Method    see temporal.cuh; a thread loads its rows of a tile before it computes the first
// Cost      reads 4 or 8 B per operand and writes as much per row, and 1/8 B per validity bitmap
// Source    see temporal.cuh
#include "temporal.cuh"

/// Applies `compute(value, &result)` to every row that is not null; results that do not fit the
/// output's type are null or fail.
template <typename R, typename Compute>
KERNEL_FN void temporal_rows(const TemporalParams &params, Compute compute) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  if ((uint64_t)blockIdx.x * PROJECT_TILE_ROWS >= row_count) return;
  int64_t values[ProjectPolicy::STEPS];
  project_load_integers(params.input, row_count, values);
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {row < row_count && column_valid(params.input, row), STATUS_OK};
    R result = 0;
    if (outcome.valid) {
      compute(values[step], &result);
      if (!integer_fits(params.output.type, result)) {
        outcome = {false, STATUS_OVERFLOW};
        project_fail(params.status, params.active, params.flags, row, &outcome);
        result = 0;
      }
    }
    if (row < row_count) output_bits(params.output, row, (uint64_t)result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// A part that depends on the day alone.
KERNEL_FN int64_t temporal_day_part(uint32_t part, int64_t days) {
  if (part == TEMPORAL_DAY_OF_WEEK) return civil_weekday(days) + 1;
  if (part == TEMPORAL_WEEK || part == TEMPORAL_ISO_YEAR) {
    const CivilDate thursday = civil_date(days - civil_weekday(days) + 3);
    return part == TEMPORAL_WEEK ? (thursday.day_of_year - 1) / 7 + 1 : thursday.year;
  }
  const CivilDate date = civil_date(days);
  switch (part) {
    case TEMPORAL_YEAR: return date.year;
    case TEMPORAL_QUARTER: return (date.month + 2) / 3;
    case TEMPORAL_MONTH: return date.month;
    case TEMPORAL_DAY: return date.day;
    case TEMPORAL_DAY_OF_YEAR: return date.day_of_year;
    default: return civil_days(date.year, date.month, civil_month_days(date.year, date.month));
  }
}

KERNEL_FN int64_t temporal_part(const TemporalParams &params, int64_t value) {
  const LocalTime local = temporal_local(params, value);
  const uint64_t nanos = (uint64_t)(local.counts * temporal_nanos(params.unit));
  switch (params.part) {
    case TEMPORAL_HOUR: return (int64_t)(nanos / 3600000000000ull);
    case TEMPORAL_MINUTE: return (uint32_t)(nanos / 60000000000ull) % 60;
    case TEMPORAL_SECOND: return (uint32_t)(nanos / 1000000000ull) % 60;
    case TEMPORAL_MILLISECOND: return (uint32_t)(nanos % 1000000000ull) / 1000000;
    case TEMPORAL_MICROSECOND: return (uint32_t)(nanos % 1000000000ull) / 1000;
    case TEMPORAL_NANOSECOND: return (int64_t)(nanos % 1000000000ull);
    case TEMPORAL_EPOCH: return local.days * 86400 + (int64_t)(nanos / 1000000000ull);
    default: return temporal_day_part(params.part, local.days);
  }
}

/// Takes a part of dates, timestamps or times of day, or the last day of their month.
///
/// Shape   input[rows] -> output[rows], Int32 or Int64
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if the part does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
temporal_extract(GRID_CONSTANT(TemporalParams) params) {
  temporal_rows<int64_t>(params, [&params](int64_t value, int64_t *result) {
    *result = temporal_part(params, value);
  });
}

/// The start of the unit that a value lies in.
KERNEL_FN int128_t temporal_start(const TemporalParams &params, int64_t value) {
  const LocalTime local = temporal_local(params, value);
  if (params.part > TEMPORAL_WEEK) {
    int64_t unit;
    switch (params.part) {
      case TEMPORAL_DAY: unit = 86400000000000ll; break;
      case TEMPORAL_HOUR: unit = 3600000000000ll; break;
      case TEMPORAL_MINUTE: unit = 60000000000ll; break;
      case TEMPORAL_SECOND: unit = 1000000000; break;
      case TEMPORAL_MILLISECOND: unit = 1000000; break;
      default: unit = 1000; break;
    }
    unit /= temporal_nanos(params.unit);  // finer units than the counts are not asked for
    return temporal_value(params, local.days, local.counts - local.counts % unit);
  }
  if (params.part == TEMPORAL_WEEK) {
    return temporal_value(params, local.days - civil_weekday(local.days), 0);
  }
  const CivilDate date = civil_date(local.days);
  const int64_t first = local.days + 1 - date.day;  // of the month
  if (params.part == TEMPORAL_MONTH) return temporal_value(params, first, 0);
  if (params.part == TEMPORAL_YEAR) {
    return temporal_value(params, local.days + 1 - date.day_of_year, 0);
  }
  const uint32_t month = (date.month - 1) / 3 * 3 + 1;
  return temporal_value(params, civil_days(date.year, month, 1), 0);
}

/// Cuts dates, timestamps or times of day to the start of a unit.
///
/// Shape   input[rows] -> output[rows], of the input's type
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if the start does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
temporal_truncate(GRID_CONSTANT(TemporalParams) params) {
  temporal_rows<int128_t>(params, [&params](int64_t value, int128_t *result) {
    *result = temporal_start(params, value);
  });
}

/// Adds months, then days, then counts to dates or timestamps.
///
/// Shape   input[rows] -> output[rows], of the input's type
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if the input is, or if the sum does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
temporal_later(GRID_CONSTANT(TemporalParams) params) {
  temporal_rows<int128_t>(params, [&params](int64_t value, int128_t *result) {
    LocalTime local = temporal_local(params, value);
    if (params.months != 0) {
      const CivilDate date = civil_date(local.days);
      const int64_t months = date.year * 12 + (int64_t)date.month - 1 + params.months;
      const int64_t year = (months >= 0 ? months : months - 11) / 12;
      const uint32_t month = (uint32_t)(months - year * 12) + 1,
                     last = civil_month_days(year, month);
      local.days = civil_days(year, month, date.day < last ? date.day : last);
    }
    *result = temporal_value(params, local.days + params.days, local.counts) + params.counts;
  });
}

/// Makes dates of years, months and days.
///
/// Shape   year[rows], month[rows], day[rows] -> output[rows], Int32
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if there is no such date and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
temporal_make_date(GRID_CONSTANT(TemporalMakeDateParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {false, STATUS_OK};
    int64_t result = 0;
    if (row < row_count && column_valid(params.year, row) && column_valid(params.month, row) &&
        column_valid(params.day, row)) {
      const int32_t year = column_value<int32_t>(params.year, row);
      const int32_t month = column_value<int32_t>(params.month, row);
      const int32_t day = column_value<int32_t>(params.day, row);
      outcome.valid = month >= 1 && month <= 12 && day >= 1 &&
                      day <= (int32_t)civil_month_days(year, (uint32_t)month);
      if (outcome.valid) result = civil_days(year, (uint32_t)month, (uint32_t)day);
      outcome.valid = outcome.valid && result == (int32_t)result;
      if (!outcome.valid) outcome.failure = STATUS_OVERFLOW;
      project_fail(params.status, params.active, params.flags, row, &outcome);
      if (!outcome.valid) result = 0;
    }
    if (row < row_count) ((int32_t *)params.output.values)[row] = (int32_t)result;
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}

/// Adds or subtracts counts.
///
/// Shape   left[rows], right[rows] -> output[rows], Int32 or Int64 each
/// Launch  grid = ceil(row_count / PROJECT_TILE_ROWS), block = PROJECT_THREADS, shared = 0
/// Nulls   null if an operand is, or if the result does not fit and that is no error
/// Errors  STATUS_OVERFLOW: argument = row
/// Tests   tests/operators/functions.rs
extern "C" __global__ void __launch_bounds__(PROJECT_THREADS)
temporal_sum(GRID_CONSTANT(ProjectBinaryParams) params) {
  const uint64_t row_count = row_count_of(params.row_count_device, params.row_count);
  int64_t left[ProjectPolicy::STEPS], right[ProjectPolicy::STEPS];
  project_load_integers(params.left, row_count, left);
  project_load_integers(params.right, row_count, right);
#pragma unroll
  for (uint32_t step = 0; step < ProjectPolicy::STEPS; step++) {
    const uint64_t row = project_row(step);
    if ((row & ~(uint64_t)31) >= row_count) return;
    ProjectOutcome outcome = {false, STATUS_OK};
    int64_t result = 0;
    if (row < row_count && column_valid(params.left, row) && column_valid(params.right, row)) {
      const int128_t exact = params.op == PROJECT_ADD ? (int128_t)left[step] + right[step]
                                                      : (int128_t)left[step] - right[step];
      outcome.valid = integer_fits(params.output.type, exact);
      if (!outcome.valid) outcome.failure = STATUS_OVERFLOW;
      project_fail(params.status, params.active, params.flags, row, &outcome);
      if (outcome.valid) result = (int64_t)exact;
    }
    if (row < row_count) output_bits(params.output, row, (uint64_t)result);
    if (params.output.validity) bitmap_write_warp(params.output.validity, row, outcome.valid);
  }
}
