//! Columns as plain numbers and back: every integer, decimal, date and time as an `i128`, every
//! float as an `f64`. Both hold all values of the types they stand for, so that a rule is written
//! once for all widths. Boolean counts as an integer here.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{self as arrow_types, ArrowPrimitiveType};
use half::f16;

use super::scalar::cast::float_to_f16;
use crate::types::{DataType, TimeUnit};

/// The values of a column, those of null rows included (any number may stand there).
pub(super) enum Numbers {
    /// Integers, decimals, dates, times and Booleans.
    Integers(Vec<i128>),
    /// Floats.
    Floats(Vec<f64>),
}

/// Calls a macro with the Arrow type of every integer-like [`DataType`].
macro_rules! with_integer_type {
    ($data_type:expr, $call:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $call!(arrow_types::Int8Type),
            DataType::Int16 => $call!(arrow_types::Int16Type),
            DataType::Int32 => $call!(arrow_types::Int32Type),
            DataType::Int64 => $call!(arrow_types::Int64Type),
            DataType::UInt8 => $call!(arrow_types::UInt8Type),
            DataType::UInt16 => $call!(arrow_types::UInt16Type),
            DataType::UInt32 => $call!(arrow_types::UInt32Type),
            DataType::UInt64 => $call!(arrow_types::UInt64Type),
            DataType::Decimal32(..) => $call!(arrow_types::Decimal32Type),
            DataType::Decimal64(..) => $call!(arrow_types::Decimal64Type),
            DataType::Decimal128(..) => $call!(arrow_types::Decimal128Type),
            DataType::Date32 => $call!(arrow_types::Date32Type),
            DataType::Date64 => $call!(arrow_types::Date64Type),
            DataType::Time32(TimeUnit::Second) => $call!(arrow_types::Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => $call!(arrow_types::Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => $call!(arrow_types::Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => $call!(arrow_types::Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $call!(arrow_types::TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                $call!(arrow_types::TimestampMillisecondType)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $call!(arrow_types::TimestampMicrosecondType)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                $call!(arrow_types::TimestampNanosecondType)
            }
            DataType::Duration(TimeUnit::Second) => $call!(arrow_types::DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => {
                $call!(arrow_types::DurationMillisecondType)
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                $call!(arrow_types::DurationMicrosecondType)
            }
            DataType::Duration(TimeUnit::Nanosecond) => $call!(arrow_types::DurationNanosecondType),
            _ => $otherwise,
        }
    };
}

/// The values of a numeric, Boolean, date or time column; `None` for any other type.
pub(super) fn numbers(array: &dyn Array) -> Option<Numbers> {
    let floats = |values: Vec<f64>| Some(Numbers::Floats(values));
    macro_rules! read {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>().values();
            Some(Numbers::Integers(
                values.iter().map(|value| i128::from(*value)).collect(),
            ))
        }};
    }
    match array.data_type() {
        DataType::Boolean => Some(Numbers::Integers(
            array.as_boolean().values().iter().map(i128::from).collect(),
        )),
        DataType::Float16 => {
            let values = array.as_primitive::<arrow_types::Float16Type>().values();
            floats(values.iter().map(|value| value.to_f64()).collect())
        }
        DataType::Float32 => {
            let values = array.as_primitive::<arrow_types::Float32Type>().values();
            floats(values.iter().map(|value| f64::from(*value)).collect())
        }
        DataType::Float64 => {
            let values = array.as_primitive::<arrow_types::Float64Type>().values();
            floats(values.to_vec())
        }
        other => with_integer_type!(other, read, None),
    }
}

/// Smallest and greatest value that the storage of an integer-like type holds (a decimal's digits
/// are a narrower bound); `None` for any other type.
pub(super) fn storage_range(data_type: &DataType) -> Option<(i128, i128)> {
    macro_rules! range {
        ($type:ty) => {{
            type Native = <$type as ArrowPrimitiveType>::Native;
            Some((i128::from(Native::MIN), i128::from(Native::MAX)))
        }};
    }
    with_integer_type!(data_type, range, None)
}

/// A column of an integer-like type, or of Boolean, from values that fit it. `None` for any other
/// type.
pub(super) fn from_integers(
    values: &[i128],
    nulls: Option<NullBuffer>,
    to: &DataType,
) -> Option<ArrayRef> {
    macro_rules! write {
        ($type:ty) => {{
            type Native = <$type as ArrowPrimitiveType>::Native;
            let values = values.iter().map(|value| *value as Native).collect();
            let array = PrimitiveArray::<$type>::new(values, nulls);
            Some(Arc::new(array.with_data_type(to.clone())))
        }};
    }
    if *to == DataType::Boolean {
        let values = values.iter().map(|value| *value != 0).collect();
        return Some(Arc::new(BooleanArray::new(values, nulls)));
    }
    with_integer_type!(to, write, None)
}

/// A float column; `Float32` and `Float16` round to nearest. `None` for any other type.
pub(super) fn from_floats(
    values: Vec<f64>,
    nulls: Option<NullBuffer>,
    to: &DataType,
) -> Option<ArrayRef> {
    Some(match to {
        DataType::Float16 => {
            let values: Vec<f16> = values.into_iter().map(float_to_f16).collect();
            Arc::new(PrimitiveArray::<arrow_types::Float16Type>::new(
                values.into(),
                nulls,
            ))
        }
        DataType::Float32 => {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Arc::new(PrimitiveArray::<arrow_types::Float32Type>::new(
                values.into(),
                nulls,
            ))
        }
        DataType::Float64 => Arc::new(PrimitiveArray::<arrow_types::Float64Type>::new(
            values.into(),
            nulls,
        )),
        _ => return None,
    })
}
