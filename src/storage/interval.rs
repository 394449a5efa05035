//! What values an expression may have in a row group, and what a comparison of them may give.
//!
//! Everything here over-approximates: a set may be too large, never too small.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::expr::BinaryOp;

/// A value with an order, in the order of its type. Never a null; a float is no NaN.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Point {
    /// Integers, truth values, decimals without their point, dates and times.
    Integer(i128),
    /// A float. −0.0 equals 0.0.
    Float(f64),
    /// A string or binary, by its bytes.
    Bytes(Vec<u8>),
}

impl Point {
    /// The order of two values; `None` if they are of different types.
    pub(super) fn order(&self, other: &Point) -> Option<Ordering> {
        match (self, other) {
            (Point::Integer(a), Point::Integer(b)) => Some(a.cmp(b)),
            (Point::Float(a), Point::Float(b)) => a.partial_cmp(b),
            (Point::Bytes(a), Point::Bytes(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// One value of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sample {
    Null,
    Nan,
    Value(Point),
}

macro_rules! integer {
    ($array:expr, $row:expr, $type:ty) => {
        Sample::Value(Point::Integer(i128::from(
            $array.as_primitive::<$type>().value($row),
        )))
    };
}

fn float(value: f64) -> Sample {
    if value.is_nan() {
        Sample::Nan
    } else {
        Sample::Value(Point::Float(value))
    }
}

/// A row of an array; `None` if the type has no order that is known here.
pub(super) fn sample(array: &dyn Array, row: usize) -> Option<Sample> {
    if array.is_null(row) {
        return Some(Sample::Null);
    }
    let bytes = |bytes: &[u8]| Sample::Value(Point::Bytes(bytes.to_vec()));
    Some(match array.data_type() {
        DataType::Boolean => Sample::Value(Point::Integer(array.as_boolean().value(row).into())),
        DataType::Int8 => integer!(array, row, Int8Type),
        DataType::Int16 => integer!(array, row, Int16Type),
        DataType::Int32 => integer!(array, row, Int32Type),
        DataType::Int64 => integer!(array, row, Int64Type),
        DataType::UInt8 => integer!(array, row, UInt8Type),
        DataType::UInt16 => integer!(array, row, UInt16Type),
        DataType::UInt32 => integer!(array, row, UInt32Type),
        DataType::UInt64 => integer!(array, row, UInt64Type),
        DataType::Decimal32(..) => integer!(array, row, Decimal32Type),
        DataType::Decimal64(..) => integer!(array, row, Decimal64Type),
        DataType::Decimal128(..) => integer!(array, row, Decimal128Type),
        DataType::Date32 => integer!(array, row, Date32Type),
        DataType::Date64 => integer!(array, row, Date64Type),
        DataType::Time32(TimeUnit::Second) => integer!(array, row, Time32SecondType),
        DataType::Time32(TimeUnit::Millisecond) => integer!(array, row, Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => integer!(array, row, Time64MicrosecondType),
        DataType::Time64(TimeUnit::Nanosecond) => integer!(array, row, Time64NanosecondType),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => integer!(array, row, TimestampSecondType),
            TimeUnit::Millisecond => integer!(array, row, TimestampMillisecondType),
            TimeUnit::Microsecond => integer!(array, row, TimestampMicrosecondType),
            TimeUnit::Nanosecond => integer!(array, row, TimestampNanosecondType),
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => integer!(array, row, DurationSecondType),
            TimeUnit::Millisecond => integer!(array, row, DurationMillisecondType),
            TimeUnit::Microsecond => integer!(array, row, DurationMicrosecondType),
            TimeUnit::Nanosecond => integer!(array, row, DurationNanosecondType),
        },
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => bytes(array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => bytes(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => bytes(array.as_string_view().value(row).as_bytes()),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        _ => return None,
    })
}

/// Ends of a range of values, both included; an absent end is unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Interval {
    pub(super) min: Option<Point>,
    pub(super) max: Option<Point>,
}

/// What values an expression may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    /// Values in order, or none at all.
    pub(super) interval: Option<Interval>,
    /// NaN, which equals itself and is greater than every value of the interval.
    pub(super) nan: bool,
    /// Null.
    pub(super) null: bool,
}

impl Values {
    /// Anything.
    pub(super) const ANY: Values = Values {
        interval: Some(Interval {
            min: None,
            max: None,
        }),
        nan: true,
        null: true,
    };

    /// Exactly this value.
    pub(super) fn of_sample(sample: Sample) -> Values {
        let mut values = Values {
            interval: None,
            nan: false,
            null: false,
        };
        match sample {
            Sample::Null => values.null = true,
            Sample::Nan => values.nan = true,
            Sample::Value(point) => {
                values.interval = Some(Interval {
                    min: Some(point.clone()),
                    max: Some(point),
                });
            }
        }
        values
    }
}

/// What a Boolean expression may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) can_be_true: bool,
    pub(super) can_be_false: bool,
    pub(super) can_be_null: bool,
}

impl Outcome {
    pub(super) const ANY: Outcome = Outcome {
        can_be_true: true,
        can_be_false: true,
        can_be_null: true,
    };

    /// Nothing at all: the outcome over no rows.
    pub(super) const NEVER: Outcome = Outcome {
        can_be_true: false,
        can_be_false: false,
        can_be_null: false,
    };

    /// What either may give.
    pub(super) fn or_also(self, other: Outcome) -> Outcome {
        Outcome {
            can_be_true: self.can_be_true | other.can_be_true,
            can_be_false: self.can_be_false | other.can_be_false,
            can_be_null: self.can_be_null | other.can_be_null,
        }
    }

    /// Kleene negation.
    pub(super) fn not(self) -> Outcome {
        Outcome {
            can_be_true: self.can_be_false,
            can_be_false: self.can_be_true,
            ..self
        }
    }

    /// Kleene conjunction.
    pub(super) fn and(self, other: Outcome) -> Outcome {
        let not_false = |outcome: Outcome| outcome.can_be_true || outcome.can_be_null;
        Outcome {
            can_be_true: self.can_be_true && other.can_be_true,
            can_be_false: self.can_be_false || other.can_be_false,
            can_be_null: self.can_be_null && not_false(other)
                || other.can_be_null && not_false(self),
        }
    }

    /// Kleene disjunction.
    pub(super) fn or(self, other: Outcome) -> Outcome {
        self.not().and(other.not()).not()
    }
}

/// Intervals and NaN apart: within each, comparisons follow one order.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Interval(&'a Interval),
    Nan,
}

fn pieces(values: &Values) -> Vec<Piece<'_>> {
    let interval = values.interval.as_ref().map(Piece::Interval);
    let nan = values.nan.then_some(Piece::Nan);
    interval.into_iter().chain(nan).collect()
}

fn known(can_be_true: bool, can_be_false: bool) -> Outcome {
    Outcome {
        can_be_true,
        can_be_false,
        can_be_null: false,
    }
}

/// The order of two ends, if both are known and comparable.
fn ends(left: Option<&Point>, right: Option<&Point>) -> Option<Ordering> {
    left?.order(right?)
}

fn less(left: Piece, right: Piece) -> Outcome {
    match (left, right) {
        (Piece::Nan, _) => known(false, true),
        (Piece::Interval(_), Piece::Nan) => known(true, false),
        (Piece::Interval(left), Piece::Interval(right)) => {
            let lowest = ends(left.min.as_ref(), right.max.as_ref());
            let highest = ends(left.max.as_ref(), right.min.as_ref());
            known(
                lowest.is_none_or(Ordering::is_lt),
                highest.is_none_or(Ordering::is_ge),
            )
        }
    }
}

fn equal(left: Piece, right: Piece) -> Outcome {
    match (left, right) {
        (Piece::Nan, Piece::Nan) => known(true, false),
        (Piece::Nan, _) | (_, Piece::Nan) => known(false, true),
        (Piece::Interval(left), Piece::Interval(right)) => {
            let above = ends(left.min.as_ref(), right.max.as_ref());
            let below = ends(left.max.as_ref(), right.min.as_ref());
            let one_point = above == Some(Ordering::Equal) && below == Some(Ordering::Equal);
            let disjoint = above == Some(Ordering::Greater) || below == Some(Ordering::Less);
            known(!disjoint, !one_point)
        }
    }
}

/// What a comparison of any of the one with any of the other may give.
pub(super) fn compare(op: BinaryOp, left: &Values, right: &Values) -> Outcome {
    let mut outcome = Outcome {
        can_be_null: left.null || right.null,
        ..Outcome::NEVER
    };
    for left in pieces(left) {
        for right in pieces(right) {
            outcome = outcome.or_also(match op {
                BinaryOp::Less => less(left, right),
                BinaryOp::Greater => less(right, left),
                BinaryOp::GreaterOrEqual => less(left, right).not(),
                BinaryOp::LessOrEqual => less(right, left).not(),
                BinaryOp::Equal => equal(left, right),
                BinaryOp::NotEqual => equal(left, right).not(),
                _ => Outcome::ANY,
            });
        }
    }
    outcome
}
