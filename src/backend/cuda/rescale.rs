//! How values change on the way from one type to another: the table of casts in
//! `backend/cpu/scalar`, as factors for the kernel.

use crate::kernels::abi;
use crate::kernels::project::Rescale;
use crate::types::{DataType, TimeUnit, calendar, decimal_parts};

/// The factors of a cast, and the kernel flags that go with them. `None` if kernels have no rule.
pub(super) fn rescale(from: &DataType, to: &DataType) -> Option<(Rescale, u32)> {
    let (from_kind, to_kind) = (kind_of(from)?, kind_of(to)?);
    if from_kind.is_instant() && to_kind.is_instant() && moves(from, to) {
        return None;
    }
    if *to == DataType::Boolean {
        return Some((Rescale::NONE, 0));
    }
    match (from_kind, to_kind) {
        (Kind::Decimal(_, scale), Kind::Float) => Some((
            Rescale {
                factor: power_f64(scale)?,
                ..Rescale::NONE
            },
            0,
        )),
        (Kind::Float, Kind::Decimal(precision, scale)) => {
            let factor = power_f64(scale)?;
            Some((
                Rescale {
                    factor,
                    limit: power(precision)?,
                    ..Rescale::NONE
                },
                0,
            ))
        }
        (Kind::Decimal(_, scale), Kind::Decimal(precision, to_scale)) => {
            rescale_decimal(to_scale.checked_sub(scale)?, power(precision)?)
        }
        (Kind::Number | Kind::Instant(_) | Kind::Span(_), Kind::Decimal(precision, scale)) => {
            rescale_decimal(scale, power(precision)?)
        }
        (Kind::Decimal(_, scale), Kind::Number | Kind::Instant(_) | Kind::Span(_)) => {
            // Toward zero: the kernel rounds by flag, so truncation has a flag of its own.
            let (rescale, _) = rescale_decimal(scale.checked_neg()?, 0)?;
            Some((rescale, abi::PROJECT_ROUND_TOWARD_ZERO))
        }
        (Kind::Instant(from_unit), Kind::Instant(to_unit))
        | (Kind::Span(from_unit), Kind::Span(to_unit)) => Some(rescale_unit(from_unit, to_unit)),
        (Kind::Instant(from_unit), Kind::Span(to_unit))
            if matches!(from, DataType::Timestamp(_, None))
                && matches!(to, DataType::Time32(_) | DataType::Time64(_)) =>
        {
            // Units since midnight, then as a time in another unit; below one day in either.
            let (rescale, flags) = rescale_unit(from_unit, to_unit);
            Some((
                Rescale {
                    limit: from_unit,
                    ..rescale
                },
                flags | abi::PROJECT_MODULO,
            ))
        }
        (
            Kind::Instant(_) | Kind::Span(_) | Kind::Number | Kind::Float,
            Kind::Number | Kind::Float,
        )
        | (Kind::Number | Kind::Float, Kind::Instant(_) | Kind::Span(_)) => {
            Some((Rescale::NONE, 0))
        }
        _ => None,
    }
}

/// What a type's values count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Integers and Booleans.
    Number,
    Float,
    /// Precision and scale.
    Decimal(u8, i8),
    /// Dates and timestamps: ticks per day.
    Instant(i128),
    /// Times of day and durations: ticks per day.
    Span(i128),
}

impl Kind {
    fn is_instant(self) -> bool {
        matches!(self, Kind::Instant(_))
    }
}

/// True if a cast between dates and timestamps adds what local time is ahead of UTC: one into a zone
/// takes the count for local time, one of a timestamp with a zone into a date gives the local one.
fn moves(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(..)) => false,
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(zone))) => {
            calendar::fixed_offset(zone) != Some(0)
        }
        (DataType::Timestamp(_, Some(_)), _) | (_, DataType::Timestamp(_, Some(_))) => true,
        _ => false,
    }
}

const SECONDS_PER_DAY: i128 = 86_400;

fn ticks(unit: TimeUnit) -> i128 {
    SECONDS_PER_DAY
        * match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        }
}

fn kind_of(data_type: &DataType) -> Option<Kind> {
    if let Some((precision, scale)) = decimal_parts(data_type) {
        return Some(Kind::Decimal(precision, scale));
    }
    Some(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => Kind::Number,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Kind::Float,
        DataType::Date32 => Kind::Instant(1),
        DataType::Date64 => Kind::Instant(ticks(TimeUnit::Millisecond)),
        DataType::Timestamp(unit, _) => Kind::Instant(ticks(*unit)),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
            Kind::Span(ticks(*unit))
        }
        _ => return None,
    })
}

fn power(exponent: u8) -> Option<i128> {
    10i128.checked_pow(u32::from(exponent))
}

/// 10^scale as the nearest float, as the CPU backend has it.
pub(super) fn power_f64(scale: i8) -> Option<f64> {
    let factor: f64 = format!("1e{scale}").parse().ok()?;
    Some(factor)
}

/// Multiplies by 10^`exponent`, or divides by 10^−`exponent`, half away from zero.
fn rescale_decimal(exponent: i8, limit: i128) -> Option<(Rescale, u32)> {
    let factor = power(exponent.unsigned_abs())?;
    let rescale = if exponent >= 0 {
        Rescale {
            multiplier: factor,
            limit,
            ..Rescale::NONE
        }
    } else {
        Rescale {
            divisor: factor,
            limit,
            ..Rescale::NONE
        }
    };
    Some((rescale, 0))
}

/// A finer unit multiplies; a coarser one floors.
fn rescale_unit(from: i128, to: i128) -> (Rescale, u32) {
    if to >= from {
        (
            Rescale {
                multiplier: to / from,
                ..Rescale::NONE
            },
            0,
        )
    } else {
        (
            Rescale {
                divisor: from / to,
                ..Rescale::NONE
            },
            abi::PROJECT_ROUND_FLOOR,
        )
    }
}
