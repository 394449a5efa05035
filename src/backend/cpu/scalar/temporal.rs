//! Functions over dates and times, for one value; the calendar itself is `types::calendar`.

use crate::expr::{CalendarUnit, DatePart};
use crate::types::calendar::{
    add_months, civil_from_days, days_from_civil, days_in_month, fixed_offset, iso_week, weekday,
};
use crate::types::{DataType, TimeUnit};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// How the counts of a date, timestamp or time of day are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// Counts per day.
    per_day: i128,
    /// Counts that local time is ahead of UTC.
    offset: i128,
    /// True for a time of day: taken modulo a day.
    is_time: bool,
}

impl Clock {
    /// The clock of a type; none for other types, and for zones without a fixed offset.
    pub(crate) fn of(data_type: &DataType) -> Option<Clock> {
        let of_unit = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 86_400,
            TimeUnit::Millisecond => 86_400_000,
            TimeUnit::Microsecond => 86_400_000_000,
            TimeUnit::Nanosecond => NANOS_PER_DAY,
        };
        let (per_day, zone, is_time) = match data_type {
            DataType::Date32 => (1, None, false),
            DataType::Date64 => (86_400_000, None, false),
            DataType::Timestamp(unit, zone) => (of_unit(unit), zone.as_deref(), false),
            DataType::Time32(unit) | DataType::Time64(unit) => (of_unit(unit), None, true),
            _ => return None,
        };
        let offset = zone.map_or(Some(0), fixed_offset)?;
        Some(Clock {
            per_day,
            offset: i128::from(offset) * (per_day / 86_400),
            is_time,
        })
    }

    /// The local day of a value, and its counts since that day's midnight.
    fn local(self, value: i128) -> (i64, i128) {
        let local = value + self.offset;
        let days = if self.is_time {
            0
        } else {
            local.div_euclid(self.per_day) as i64 // values have 64 bits, so days have too
        };
        (days, local.rem_euclid(self.per_day))
    }

    /// The value of a local day and counts since its midnight.
    fn value(self, days: i64, counts: i128) -> i128 {
        i128::from(days) * self.per_day + counts - self.offset
    }

    /// A part of a value.
    pub(crate) fn extract(self, part: DatePart, value: i128) -> i128 {
        let (days, counts) = self.local(value);
        let nanos = counts * (NANOS_PER_DAY / self.per_day);
        let (year, month, day) = civil_from_days(days);
        let second = 1_000_000_000;
        i128::from(match part {
            DatePart::Year => year,
            DatePart::IsoYear => iso_week(days).0,
            DatePart::Quarter => (month + 2) / 3,
            DatePart::Month => month,
            DatePart::IsoWeek => iso_week(days).1,
            DatePart::Day => day,
            DatePart::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
            DatePart::DayOfWeek => weekday(days) + 1,
            DatePart::Hour => return nanos / (3_600 * second),
            DatePart::Minute => return nanos / (60 * second) % 60,
            DatePart::Second => return nanos / second % 60,
            DatePart::Millisecond => return nanos % second / 1_000_000,
            DatePart::Microsecond => return nanos % second / 1_000,
            DatePart::Nanosecond => return nanos % second,
            DatePart::Epoch => {
                let seconds = i128::from(days) * 86_400 + nanos / second;
                return seconds - self.offset * 86_400 / self.per_day;
            }
        })
    }

    /// The start of the unit that a value lies in.
    pub(crate) fn truncate(self, unit: CalendarUnit, value: i128) -> i128 {
        let (days, counts) = self.local(value);
        let (year, month, _) = civil_from_days(days);
        let start = match unit {
            CalendarUnit::Year => days_from_civil(year, 1, 1),
            CalendarUnit::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
            CalendarUnit::Month => days_from_civil(year, month, 1),
            CalendarUnit::Week => days - weekday(days),
            _ => {
                let nanos = unit.nanos().map_or(NANOS_PER_DAY, i128::from);
                let unit = (nanos / (NANOS_PER_DAY / self.per_day)).max(1);
                return if self.is_time {
                    counts - counts % unit
                } else {
                    self.value(days, counts - counts % unit)
                };
            }
        };
        self.value(start, 0)
    }

    /// The last day of a value's month.
    pub(crate) fn last_day(self, value: i128) -> i128 {
        let (year, month, _) = civil_from_days(self.local(value).0);
        i128::from(days_from_civil(year, month, days_in_month(year, month)))
    }

    /// A value later by months, then days, then nanoseconds (a whole number of counts).
    pub(crate) fn add_interval(self, value: i128, months: i32, days: i32, nanos: i64) -> i128 {
        let (day, counts) = self.local(value);
        let day = add_months(day, i64::from(months)) + i64::from(days);
        self.value(day, counts) + i128::from(nanos) / (NANOS_PER_DAY / self.per_day)
    }
}

/// The day of a date; `None` if there is no such date.
pub(crate) fn make_date(year: i128, month: i128, day: i128) -> Option<i128> {
    let (year, month, day) = (year as i64, month as i64, day as i64); // they have 32 bits
    let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then(|| i128::from(days_from_civil(year, month, day)))
}
