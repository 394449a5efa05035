//! Constants and types.

use arrow::datatypes::IntervalUnit;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr as SqlExpr;
use pelton::error::{Error, Result};
use pelton::expr::{Expr, lit};
use pelton::types::{DataType, Literal, TimeUnit};

use crate::problem::{refused, unsupported};

/// The type that Pelton stores values of a type as.
pub(super) fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => stored_type(values),
        other => other.clone(),
    }
}

/// A constant. A null keeps its type by a cast.
pub(super) fn constant(value: &ScalarValue) -> Result<Expr> {
    if value.is_null() {
        let data_type = stored_type(&value.data_type());
        if matches!(data_type, DataType::Null | DataType::Interval(_)) {
            return Ok(lit(Literal::Null));
        }
        return Ok(lit(Literal::Null).cast(data_type));
    }
    if let DataType::Timestamp(unit, Some(zone)) = value.data_type()
        && ["UTC", "+00:00", "Z"].contains(&&*zone)
    {
        // The engine's constants have no zone.
        let zoneless = value.cast_to(&DataType::Timestamp(unit, None));
        let zoneless = literal(&zoneless.map_err(|error| refused(&error))?)?;
        return Ok(Expr::Literal(zoneless).cast(value.data_type()));
    }
    literal(value).map(Expr::Literal)
}

/// The literal of a value; `Null` for any null.
pub(super) fn literal(value: &ScalarValue) -> Result<Literal> {
    let refused = || unsupported(format!("a constant of type {}", value.data_type()));
    if value.is_null() {
        return Ok(Literal::Null);
    }
    let scaled = |value: i64, factor: i64| -> Result<Literal> {
        let overflow = || Error::arithmetic("timestamp", "does not fit microseconds");
        let micros = value.checked_mul(factor).ok_or_else(overflow)?;
        Ok(Literal::TimestampMicros(micros))
    };
    Ok(match value {
        ScalarValue::Boolean(Some(value)) => Literal::Boolean(*value),
        ScalarValue::Int8(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::Int16(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::Int32(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::Int64(Some(value)) => Literal::Int64(*value),
        ScalarValue::UInt8(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::UInt16(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::UInt32(Some(value)) => Literal::Int64((*value).into()),
        ScalarValue::UInt64(Some(value)) => match i64::try_from(*value) {
            Ok(value) => Literal::Int64(value),
            Err(_) => Literal::UInt64(*value),
        },
        ScalarValue::Float32(Some(value)) => Literal::Float64((*value).into()),
        ScalarValue::Float64(Some(value)) => Literal::Float64(*value),
        ScalarValue::Decimal128(Some(value), _, scale) => Literal::Decimal {
            value: *value,
            precision: digits(*value, *scale),
            scale: *scale,
        },
        ScalarValue::Utf8(Some(value))
        | ScalarValue::Utf8View(Some(value))
        | ScalarValue::LargeUtf8(Some(value)) => Literal::Utf8(value.clone()),
        ScalarValue::Date32(Some(value)) => Literal::Date32(*value),
        ScalarValue::TimestampSecond(Some(value), None) => scaled(*value, 1_000_000)?,
        ScalarValue::TimestampMillisecond(Some(value), None) => scaled(*value, 1_000)?,
        ScalarValue::TimestampMicrosecond(Some(value), None) => Literal::TimestampMicros(*value),
        ScalarValue::TimestampNanosecond(Some(value), None) if value % 1_000 == 0 => {
            Literal::TimestampMicros(value / 1_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => Literal::Interval {
            months: *months,
            days: 0,
            nanos: 0,
        },
        ScalarValue::IntervalDayTime(Some(value)) => Literal::Interval {
            months: 0,
            days: value.days,
            nanos: i64::from(value.milliseconds) * 1_000_000,
        },
        ScalarValue::IntervalMonthDayNano(Some(value)) => Literal::Interval {
            months: value.months,
            days: value.days,
            nanos: value.nanoseconds,
        },
        ScalarValue::Dictionary(_, value) => return literal(value),
        _ => return Err(refused()),
    })
}

/// Fewest digits that hold a decimal: literals come with the widest precision of their kind, and
/// what is computed from them would be wide, too.
fn digits(value: i128, scale: i8) -> u8 {
    let written = value
        .unsigned_abs()
        .checked_ilog10()
        .map_or(1, |log| log + 1);
    let least = u32::from(scale.max(1).unsigned_abs());
    u8::try_from(written.max(least)).unwrap_or(38)
}

/// A number of rows; none for a null.
pub(super) fn count(expr: &SqlExpr) -> Result<Option<u64>> {
    let refused = || unsupported("LIMIT or OFFSET that is no constant");
    let SqlExpr::Literal(value, _) = expr else {
        return Err(refused());
    };
    match literal(value)? {
        Literal::Null => Ok(None),
        Literal::Int64(value) => u64::try_from(value).map(Some).map_err(|_| {
            Error::invalid(
                "LIMIT or OFFSET",
                format!("is {value}"),
                "use a positive number",
            )
        }),
        Literal::UInt64(value) => Ok(Some(value)),
        _ => Err(refused()),
    }
}

/// True for types to which a cast means something here.
pub(super) fn is_castable(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime)
            | DataType::Time32(TimeUnit::Microsecond)
            | DataType::Union(..)
            | DataType::RunEndEncoded(..)
    )
}
