//! Constants as a user writes them.

use std::fmt;

use arrow::datatypes::IntervalUnit;
use serde::{Deserialize, Serialize};

use super::DataType;

/// A constant of a plan, in the type its front end gave it. Expressions cast it to the type that
/// its neighbours need when they are resolved against a schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// No value, of no type yet.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A signed integer.
    Int64(i64),
    /// An unsigned integer that does not fit `i64`.
    UInt64(u64),
    /// A floating-point number.
    Float64(f64),
    /// A decimal: `value` × 10^−`scale`.
    Decimal {
        /// The digits.
        value: i128,
        /// Number of digits, at most 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A string.
    Utf8(String),
    /// Days since 1970-01-01.
    Date32(i32),
    /// Microseconds since 1970-01-01T00:00:00, without a time zone.
    TimestampMicros(i64),
    /// A span of calendar time, to be added to dates and timestamps: months first, then days, then
    /// nanoseconds.
    Interval {
        /// Months; the day of the month is clamped to the month's last.
        months: i32,
        /// Days, of whatever length.
        days: i32,
        /// Nanoseconds.
        nanos: i64,
    },
}

impl Literal {
    /// The type that the literal has on its own.
    pub fn data_type(&self) -> DataType {
        match self {
            Literal::Null => DataType::Null,
            Literal::Boolean(_) => DataType::Boolean,
            Literal::Int64(_) => DataType::Int64,
            Literal::UInt64(_) => DataType::UInt64,
            Literal::Float64(_) => DataType::Float64,
            Literal::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(*precision, *scale),
            Literal::Utf8(_) => DataType::Utf8,
            Literal::Date32(_) => DataType::Date32,
            Literal::TimestampMicros(_) => DataType::Timestamp(super::TimeUnit::Microsecond, None),
            Literal::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("null"),
            Literal::Boolean(value) => write!(f, "{value}"),
            Literal::Int64(value) => write!(f, "{value}"),
            Literal::UInt64(value) => write!(f, "{value}"),
            Literal::Float64(value) => write!(f, "{value:?}"),
            Literal::Decimal { value, scale, .. } => write!(f, "{value}e-{scale}"),
            Literal::Utf8(value) => write!(f, "{value:?}"),
            Literal::Date32(value) => write!(f, "date({value})"),
            Literal::TimestampMicros(value) => write!(f, "timestamp_us({value})"),
            Literal::Interval {
                months,
                days,
                nanos,
            } => write!(f, "interval({months} months, {days} days, {nanos} ns)"),
        }
    }
}

macro_rules! literal_from {
    ($($rust:ty => $variant:ident as $as:ty),* $(,)?) => {
        $(impl From<$rust> for Literal {
            fn from(value: $rust) -> Self {
                Literal::$variant(<$as>::from(value))
            }
        })*
    };
}

literal_from! {
    bool => Boolean as bool,
    i8 => Int64 as i64,
    i16 => Int64 as i64,
    i32 => Int64 as i64,
    i64 => Int64 as i64,
    u8 => Int64 as i64,
    u16 => Int64 as i64,
    u32 => Int64 as i64,
    u64 => UInt64 as u64,
    f32 => Float64 as f64,
    f64 => Float64 as f64,
    &str => Utf8 as String,
    String => Utf8 as String,
}

impl<T: Into<Literal>> From<Option<T>> for Literal {
    fn from(value: Option<T>) -> Self {
        value.map_or(Literal::Null, Into::into)
    }
}
