//! Functions over dates, times and durations.
//!
//! Dates and timestamps are of the proleptic Gregorian calendar with a year 0
//! ([`calendar`](crate::types)). A timestamp with a zone of a fixed offset is read, and cut, in local
//! time; named zones are refused. A time of day is taken modulo a day. A result that does not fit its
//! type is null, or an overflow error.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::BinaryOp;
use super::super::resolve::{cast_to, common_of_all};
use super::super::typed::{TypedExpr, TypedKind};
use super::{Function, applied, only, pair, undefined};
use crate::error::{Error, Result};
use crate::types::{DataType, Literal, TimeUnit, calendar};

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// A part of a date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year.
    Year,
    /// The year that the week of ISO 8601 belongs to.
    IsoYear,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// The week of ISO 8601, 1 to 53.
    IsoWeek,
    /// The day of the month, 1 to 31.
    Day,
    /// 1 to 366.
    DayOfYear,
    /// 1 is Monday, 7 is Sunday.
    DayOfWeek,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 to 59.
    Second,
    /// Milliseconds of the second, 0 to 999.
    Millisecond,
    /// Microseconds of the second, 0 to 999,999.
    Microsecond,
    /// Nanoseconds of the second, 0 to 999,999,999.
    Nanosecond,
    /// Seconds since 1970-01-01T00:00:00 UTC, or since midnight; a fraction floors. `Int64`.
    Epoch,
}

impl DatePart {
    fn is_of_day(self) -> bool {
        use DatePart::{Epoch, Hour, Microsecond, Millisecond, Minute, Nanosecond, Second};
        matches!(
            self,
            Hour | Minute | Second | Millisecond | Microsecond | Nanosecond | Epoch
        )
    }
}

/// What a date or time is cut to the start of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// 1 January.
    Year,
    /// 1 January, April, July or October.
    Quarter,
    /// The first of the month.
    Month,
    /// Monday.
    Week,
    /// Midnight.
    Day,
    /// The full hour.
    Hour,
    /// The full minute.
    Minute,
    /// The full second.
    Second,
    /// The full millisecond.
    Millisecond,
    /// The full microsecond.
    Microsecond,
}

impl CalendarUnit {
    /// Nanoseconds of a unit that is part of a day, or a day.
    pub(crate) fn nanos(self) -> Option<i64> {
        Some(match self {
            CalendarUnit::Day => NANOS_PER_DAY,
            CalendarUnit::Hour => 3_600_000_000_000,
            CalendarUnit::Minute => 60_000_000_000,
            CalendarUnit::Second => 1_000_000_000,
            CalendarUnit::Millisecond => 1_000_000,
            CalendarUnit::Microsecond => 1_000,
            _ => return None,
        })
    }
}

/// A function over dates, times and durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemporalFunction {
    /// A part, as `Int32`; of durations none. A year beyond `Int32`, which only timestamps in
    /// seconds reach, is an overflow.
    Extract(DatePart),
    /// The start of the unit that the operand lies in; the type stays.
    Truncate(CalendarUnit),
    /// The last day of the operand's month, as `Date32`.
    LastDay,
    /// The `Date32` of a year, month and day; null, or an overflow error, if there is none.
    MakeDate,
    /// The operand later by months (clamped to the last day of a shorter month), then days, then
    /// nanoseconds; the type stays.
    AddInterval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Nanoseconds.
        nanos: i64,
    },
    /// The sum of a date and a number of days, or of a timestamp or duration and a duration, in the
    /// finer of their units.
    Add,
    /// The difference of the same, or of two dates, in days as `Int64`, or of two timestamps, as a
    /// duration.
    Subtract,
}

impl TemporalFunction {
    pub(super) fn resolve(self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let whole = Function::Temporal(self);
        match self {
            TemporalFunction::Extract(part) => {
                let operand = clock(&whole, only(&whole, operands)?)?;
                if !part.is_of_day() && is_time(&operand.data_type) {
                    return Err(undefined(&whole, &operand.data_type));
                }
                let data_type = if part == DatePart::Epoch {
                    DataType::Int64
                } else {
                    DataType::Int32
                };
                Ok(applied(whole, vec![operand], data_type))
            }
            TemporalFunction::Truncate(unit) => {
                let operand = clock(&whole, only(&whole, operands)?)?;
                let data_type = operand.data_type.clone();
                let finest = nanos_per_tick(&data_type).unwrap_or(1);
                match unit.nanos() {
                    Some(NANOS_PER_DAY) | None if is_time(&data_type) => {
                        Err(undefined(&whole, &data_type))
                    }
                    Some(nanos) if nanos <= finest => Ok(operand),
                    _ => Ok(applied(whole, vec![operand], data_type)),
                }
            }
            TemporalFunction::LastDay => {
                let operand = clock(&whole, only(&whole, operands)?)?;
                if is_time(&operand.data_type) {
                    return Err(undefined(&whole, &operand.data_type));
                }
                Ok(applied(whole, vec![operand], DataType::Date32))
            }
            TemporalFunction::MakeDate => {
                let count = operands.len();
                let parts = operands.into_iter().map(|operand| {
                    let known = operand.data_type.is_integer() || operand.data_type.is_null();
                    if !known {
                        return Err(undefined(&whole, &operand.data_type));
                    }
                    cast_to(operand, &DataType::Int32)
                });
                let parts = parts.collect::<Result<Vec<_>>>()?;
                if count != 3 {
                    let cause = format!("has {count} operands, of three");
                    return Err(Error::invalid(format!("function {whole}"), cause, ""));
                }
                Ok(applied(whole, parts, DataType::Date32))
            }
            TemporalFunction::AddInterval {
                months,
                days,
                nanos,
            } => add_interval(clock(&whole, only(&whole, operands)?)?, months, days, nanos),
            TemporalFunction::Add | TemporalFunction::Subtract => {
                let op = if self == TemporalFunction::Add {
                    BinaryOp::Add
                } else {
                    BinaryOp::Subtract
                };
                let [left, right] = pair(&whole, operands)?;
                let other = right.data_type.clone();
                arithmetic(op, left, right)?.ok_or_else(|| undefined(&whole, &other))
            }
        }
    }

    /// What the function is called with besides its operands.
    pub(super) fn constants(self) -> Vec<String> {
        match self {
            TemporalFunction::AddInterval {
                months,
                days,
                nanos,
            } => vec![
                Literal::Interval {
                    months,
                    days,
                    nanos,
                }
                .to_string(),
            ],
            _ => Vec::new(),
        }
    }
}

/// `left + right` or `left - right`, if one of them is a date, timestamp or duration that the other
/// can be added to or taken from.
pub(in crate::expr) fn arithmetic(
    op: BinaryOp,
    left: TypedExpr,
    right: TypedExpr,
) -> Result<Option<TypedExpr>> {
    use DataType::{Date32, Date64, Duration, Timestamp};
    let subtracts = op == BinaryOp::Subtract;
    if let (TypedKind::Literal(Literal::Interval { .. }), false) = (&left.kind, subtracts)
        && is_instant(&right.data_type)
    {
        return arithmetic(op, right, left);
    }
    if let TypedKind::Literal(Literal::Interval {
        months,
        days,
        nanos,
    }) = right.kind
        && is_instant(&left.data_type)
    {
        return shift(left, subtracts, months, days, nanos).map(Some);
    }
    let function = if subtracts {
        TemporalFunction::Subtract
    } else {
        TemporalFunction::Add
    };
    let whole = Function::Temporal(function);
    let counts = |data_type: &DataType| data_type.is_integer();
    Ok(Some(match (&left.data_type, &right.data_type) {
        (Date32 | Date64, Date32 | Date64) if subtracts => {
            let operands = vec![cast_to(left, &Date32)?, cast_to(right, &Date32)?];
            applied(whole, operands, DataType::Int64)
        }
        (Date32 | Date64, days) if counts(days) => {
            let operands = vec![cast_to(left, &Date32)?, cast_to(right, &DataType::Int64)?];
            applied(whole, operands, Date32)
        }
        (days, Date32 | Date64) if counts(days) && !subtracts => {
            return arithmetic(op, right, left);
        }
        (Timestamp(..) | Date32, Timestamp(..)) | (Timestamp(..), Date32) if subtracts => {
            let common = common_of_all(&whole, [&left, &right].into_iter())?;
            let Timestamp(unit, _) = common else {
                return Ok(None);
            };
            let operands = vec![cast_to(left, &common)?, cast_to(right, &common)?];
            applied(whole, operands, Duration(unit))
        }
        (Timestamp(a, zone), Duration(b)) => {
            let unit = finer(*a, *b);
            let to = Timestamp(unit, zone.clone());
            let operands = vec![cast_to(left, &to)?, cast_to(right, &Duration(unit))?];
            applied(whole, operands, to)
        }
        (Duration(_), Timestamp(..)) if !subtracts => return arithmetic(op, right, left),
        (Duration(a), Duration(b)) => {
            let to = Duration(finer(*a, *b));
            let operands = vec![cast_to(left, &to)?, cast_to(right, &to)?];
            applied(whole, operands, to)
        }
        _ => return Ok(None),
    }))
}

/// An instant later or earlier by an interval.
fn shift(
    operand: TypedExpr,
    earlier: bool,
    months: i32,
    days: i32,
    nanos: i64,
) -> Result<TypedExpr> {
    if !earlier {
        return add_interval(operand, months, days, nanos);
    }
    let negated = || {
        Some((
            months.checked_neg()?,
            days.checked_neg()?,
            nanos.checked_neg()?,
        ))
    };
    let (months, days, nanos) =
        negated().ok_or_else(|| Error::invalid("interval", "cannot be negated", "add it"))?;
    add_interval(operand, months, days, nanos)
}

fn add_interval(operand: TypedExpr, months: i32, days: i32, nanos: i64) -> Result<TypedExpr> {
    let whole = Function::Temporal(TemporalFunction::AddInterval {
        months,
        days,
        nanos,
    });
    if !is_instant(&operand.data_type) {
        return Err(undefined(&whole, &operand.data_type));
    }
    let operand = clock(&whole, operand)?;
    if nanos % nanos_per_tick(&operand.data_type).unwrap_or(1) != 0 {
        let cause = format!("{nanos} ns are no whole number of its units");
        let place = format!("interval added to {}", operand.data_type);
        return Err(Error::invalid(place, cause, "cast it to a finer timestamp"));
    }
    // A constant date is known now, so that scans can prune by it.
    if let (TypedKind::Literal(Literal::Date32(date)), DataType::Date32) =
        (&operand.kind, &operand.data_type)
    {
        let date = calendar::add_months(i64::from(*date), i64::from(months)) + i64::from(days);
        if let Ok(date) = i32::try_from(date + nanos / NANOS_PER_DAY) {
            return Ok(TypedExpr {
                kind: TypedKind::Literal(Literal::Date32(date)),
                data_type: DataType::Date32,
            });
        }
    }
    let data_type = operand.data_type.clone();
    Ok(applied(whole, vec![operand], data_type))
}

/// The operand, if it is a date, timestamp or time of day that has a local time without a table of
/// zones.
fn clock(whole: &Function, operand: TypedExpr) -> Result<TypedExpr> {
    match &operand.data_type {
        DataType::Null => cast_to(operand, &DataType::Date32),
        DataType::Timestamp(_, Some(zone)) if calendar::fixed_offset(zone).is_none() => {
            Err(Error::invalid(
                format!("function {whole}"),
                format!("the zone {zone} has no fixed offset"),
                "cast the operand to a zone such as +01:00, or to UTC",
            ))
        }
        other if is_instant(other) || is_time(other) => Ok(operand),
        other => Err(undefined(whole, other)),
    }
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    )
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

/// Nanoseconds of one count of a date, timestamp or time of day.
fn nanos_per_tick(data_type: &DataType) -> Option<i64> {
    Some(match data_type {
        DataType::Date32 => NANOS_PER_DAY,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            }
        }
        _ => return None,
    })
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    a.max(b) // the coarser come first in Arrow's enumeration
}

impl fmt::Display for TemporalFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TemporalFunction::Extract(part) => match part {
                DatePart::Year => "year",
                DatePart::IsoYear => "iso_year",
                DatePart::Quarter => "quarter",
                DatePart::Month => "month",
                DatePart::IsoWeek => "iso_week",
                DatePart::Day => "day",
                DatePart::DayOfYear => "day_of_year",
                DatePart::DayOfWeek => "day_of_week",
                DatePart::Hour => "hour",
                DatePart::Minute => "minute",
                DatePart::Second => "second",
                DatePart::Millisecond => "millisecond",
                DatePart::Microsecond => "microsecond",
                DatePart::Nanosecond => "nanosecond",
                DatePart::Epoch => "epoch",
            },
            TemporalFunction::Truncate(unit) => match unit {
                CalendarUnit::Year => "truncate_year",
                CalendarUnit::Quarter => "truncate_quarter",
                CalendarUnit::Month => "truncate_month",
                CalendarUnit::Week => "truncate_week",
                CalendarUnit::Day => "truncate_day",
                CalendarUnit::Hour => "truncate_hour",
                CalendarUnit::Minute => "truncate_minute",
                CalendarUnit::Second => "truncate_second",
                CalendarUnit::Millisecond => "truncate_millisecond",
                CalendarUnit::Microsecond => "truncate_microsecond",
            },
            TemporalFunction::LastDay => "last_day",
            TemporalFunction::MakeDate => "make_date",
            TemporalFunction::AddInterval { .. } | TemporalFunction::Add => "add",
            TemporalFunction::Subtract => "subtract",
        })
    }
}
