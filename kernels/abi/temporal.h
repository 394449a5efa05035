// Launch structs of functions over dates and times.
#ifndef PELTON_ABI_TEMPORAL_H
#define PELTON_ABI_TEMPORAL_H

#include "abi/project.h"

enum {
  TEMPORAL_DAYS = 0,     ///< counts are days
  TEMPORAL_SECONDS = 1,  ///< counts are seconds
  TEMPORAL_MILLIS = 2,   ///< counts are milliseconds
  TEMPORAL_MICROS = 3,   ///< counts are microseconds
  TEMPORAL_NANOS = 4,    ///< counts are nanoseconds
};

enum {
  TEMPORAL_YEAR = 0,          ///< year; its first day
  TEMPORAL_QUARTER = 1,       ///< 1 to 4; its first day
  TEMPORAL_MONTH = 2,         ///< 1 to 12; its first day
  TEMPORAL_WEEK = 3,          ///< week of ISO 8601; its Monday
  TEMPORAL_DAY = 4,           ///< day of the month; midnight
  TEMPORAL_HOUR = 5,          ///< 0 to 23; the full hour
  TEMPORAL_MINUTE = 6,        ///< 0 to 59; the full minute
  TEMPORAL_SECOND = 7,        ///< 0 to 59; the full second
  TEMPORAL_MILLISECOND = 8,   ///< of the second; the full millisecond
  TEMPORAL_MICROSECOND = 9,   ///< of the second; the full microsecond
  TEMPORAL_NANOSECOND = 10,   ///< of the second
  TEMPORAL_ISO_YEAR = 11,     ///< year of the week of ISO 8601
  TEMPORAL_DAY_OF_YEAR = 12,  ///< 1 to 366
  TEMPORAL_DAY_OF_WEEK = 13,  ///< 1 is Monday
  TEMPORAL_EPOCH = 14,        ///< seconds since 1970, or since midnight
  TEMPORAL_LAST_DAY = 15,     ///< the last day of the month, in days
};

/// Launch parameters of `temporal_extract`, `temporal_truncate` and `temporal_later`.
typedef struct TemporalParams {
  ColumnView input;                  ///< Int32 or Int64
  ColumnOut output;                  ///< [rows], Int32 or Int64
  const uint8_t *active;             ///< [ceil(rows / 8)], device, read: rows that may fail; absent: all
  KernelStatus *status;              ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  int64_t offset;                    ///< counts that local time is ahead of UTC, less than a day
  int64_t counts;                    ///< `temporal_later`: counts to add at last
  int32_t months;                    ///< `temporal_later`: months to add first
  int32_t days;                      ///< `temporal_later`: days to add then
  uint32_t unit;                     ///< one of `TEMPORAL_DAYS` to `TEMPORAL_NANOS`
  uint32_t is_time;                  ///< 1: a time of day, taken modulo a day
  uint32_t part;                     ///< one of `TEMPORAL_YEAR` to `TEMPORAL_LAST_DAY`
  uint32_t flags;                    ///< `PROJECT_*` flags
} TemporalParams;
ABI_ASSERT(sizeof(TemporalParams) == 144, "TemporalParams crosses the ABI");

/// Launch parameters of `temporal_make_date`.
typedef struct TemporalMakeDateParams {
  ColumnView year;                   ///< Int32
  ColumnView month;                  ///< Int32
  ColumnView day;                    ///< Int32
  ColumnOut output;                  ///< [rows], Int32
  const uint8_t *active;             ///< [ceil(rows / 8)], device, read: rows that may fail; absent: all
  KernelStatus *status;              ///< [1], device, first error wins; the caller zeroes it
  const uint64_t *row_count_device;  ///< [1], device, read: rows, if it is not null
  uint64_t row_count;                ///< rows, or their upper bound
  uint32_t flags;                    ///< `PROJECT_*` flags
  uint32_t reserved;                 ///< zero
} TemporalMakeDateParams;
ABI_ASSERT(sizeof(TemporalMakeDateParams) == 208, "TemporalMakeDateParams crosses the ABI");

#endif
