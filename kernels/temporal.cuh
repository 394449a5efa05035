// Operator  project (src/operators/project.rs): functions over dates and times
// Kernels   those of temporal.cu
// Method    a count is split into a day and a rest by constant divisors, a day into year, month and
//           day by eras; 32-bit arithmetic but for the first division
// Cost      none of its own
// Source    eras of 400 years that begin in March: Howard Hinnant, "chrono-Compatible Low-Level
// Date
//           Algorithms"; written from the idea
#pragma once
#include "abi/temporal.h"
#include "project.cuh"

#define TEMPORAL_ERA_DAYS 146097
#define TEMPORAL_EPOCH_DAYS 719468  // from 0000-03-01 to 1970-01-01
#define TEMPORAL_SHIFT_ERAS 7000    // makes most days positive: eras, so that nothing else changes

/// A day of the proleptic Gregorian calendar.
struct CivilDate {
  int64_t year;
  uint32_t month;        // 1 to 12
  uint32_t day;          // 1 to 31
  uint32_t day_of_year;  // 1 to 366
};

/// A local day since 1970 and the counts since its midnight.
struct LocalTime {
  int64_t days;
  int64_t counts;
};

/// Nanoseconds of one count.
KERNEL_FN int64_t temporal_nanos(uint32_t unit) {
  switch (unit) {
    case TEMPORAL_DAYS: return 86400000000000ll;
    case TEMPORAL_SECONDS: return 1000000000;
    case TEMPORAL_MILLIS: return 1000000;
    case TEMPORAL_MICROS: return 1000;
    default: return 1;
  }
}

/// Counts of one day.
KERNEL_FN int64_t temporal_per_day(uint32_t unit) {
  switch (unit) {
    case TEMPORAL_DAYS: return 1;
    case TEMPORAL_SECONDS: return 86400;
    case TEMPORAL_MILLIS: return 86400000;
    case TEMPORAL_MICROS: return 86400000000ll;
    default: return 86400000000000ll;
  }
}

template <int64_t PER_DAY>
KERNEL_FN LocalTime temporal_floor(int64_t value) {
  int64_t days = value / PER_DAY, counts = value % PER_DAY;
  if (counts < 0) days--, counts += PER_DAY;
  return {days, counts};
}

KERNEL_FN LocalTime temporal_local(const TemporalParams &params, int64_t value) {
  LocalTime local;
  switch (params.unit) {
    case TEMPORAL_DAYS: local = {value, 0}; break;
    case TEMPORAL_SECONDS: local = temporal_floor<86400>(value); break;
    case TEMPORAL_MILLIS: local = temporal_floor<86400000>(value); break;
    case TEMPORAL_MICROS: local = temporal_floor<86400000000ll>(value); break;
    default: local = temporal_floor<86400000000000ll>(value); break;
  }
  if (params.offset != 0) {
    const int64_t per_day = temporal_per_day(params.unit);
    local.counts += params.offset;
    if (local.counts < 0) local.days--, local.counts += per_day;
    if (local.counts >= per_day) local.days++, local.counts -= per_day;
  }
  if (params.is_time) local.days = 0;
  return local;
}

/// The count of a local day and the counts since its midnight.
KERNEL_FN int128_t temporal_value(const TemporalParams &params, int64_t days, int64_t counts) {
  return (int128_t)days * temporal_per_day(params.unit) + (counts - params.offset);
}

/// The day of a year, month and day of month.
KERNEL_FN int64_t civil_days(int64_t year, uint32_t month, uint32_t day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const uint32_t of_era = (uint32_t)(year - era * 400);
  const uint32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const uint32_t days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
  return era * TEMPORAL_ERA_DAYS + (int64_t)days - TEMPORAL_EPOCH_DAYS;
}

KERNEL_FN CivilDate civil_date(int64_t days) {
  int64_t era;
  uint32_t of_era;
  const int64_t shift = TEMPORAL_EPOCH_DAYS + (int64_t)TEMPORAL_SHIFT_ERAS * TEMPORAL_ERA_DAYS;
  const int64_t shifted = days + shift;
  if (shifted == (int64_t)(uint32_t)shifted) {
    const uint32_t eras = (uint32_t)shifted / TEMPORAL_ERA_DAYS;
    of_era = (uint32_t)shifted - eras * TEMPORAL_ERA_DAYS;
    era = (int64_t)eras - TEMPORAL_SHIFT_ERAS;
  } else {
    const int64_t since = days + TEMPORAL_EPOCH_DAYS;
    era = (since >= 0 ? since : since - (TEMPORAL_ERA_DAYS - 1)) / TEMPORAL_ERA_DAYS;
    of_era = (uint32_t)(since - era * TEMPORAL_ERA_DAYS);
  }
  const uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const uint32_t march_month = (5 * of_year + 2) / 153;
  CivilDate date;
  date.day = of_year - (153 * march_month + 2) / 5 + 1;
  date.month = march_month < 10 ? march_month + 3 : march_month - 9;
  const bool next_year = date.month <= 2;
  date.year = (int64_t)year + era * 400 + next_year;
  // Behind February there are 59 or 60 days of the year; before March its days are 306 and more.
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year == 0);
  date.day_of_year = next_year ? of_year - 305 : of_year + 60 + leap;
  return date;
}

KERNEL_FN uint32_t civil_month_days(int64_t year, uint32_t month) {
  if (month == 2) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return leap ? 29 : 28;
  }
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/// The weekday: 0 is Monday.
KERNEL_FN uint32_t civil_weekday(int64_t days) {
  const int64_t rest = (days + 3) % 7;  // 1970-01-01 was a Thursday
  return (uint32_t)(rest < 0 ? rest + 7 : rest);
}
