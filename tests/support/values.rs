//! One cell of a column as a plain Rust value, read without any Arrow kernel.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes as types;
use pelton::types::{DataType, TimeUnit};

/// A cell. Floats of every width are an `f64`, integers, decimals, dates and times an `i128`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    /// Order and equality of the semantics: null first, NaN last and equal to NaN, zeros equal.
    pub fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a
                .partial_cmp(b)
                .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (a, b) => unreachable!("{a} and {b} are of two types"),
        }
    }

    /// 0.0 for −0.0, one NaN for all.
    pub fn canonical(self) -> Value {
        match self {
            Value::Float(value) if value.is_nan() => Value::Float(f64::NAN),
            Value::Float(0.0) => Value::Float(0.0),
            other => other,
        }
    }

    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Bytes(value) => write!(f, "{value:02x?}"),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// Rows of cells.
pub type Rows = Vec<Vec<Value>>;

/// All rows of some batches, one after the other.
pub fn rows(batches: &[RecordBatch]) -> Rows {
    let row = |batch: &RecordBatch, row: usize| {
        let columns = batch.columns().iter();
        columns.map(|column| cell(column.as_ref(), row)).collect()
    };
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |index| row(batch, index)))
        .collect()
}

/// One cell.
pub fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    macro_rules! integer {
        ($type:ty) => {
            Value::Integer(array.as_primitive::<$type>().value(row).into())
        };
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => integer!(types::Int8Type),
        DataType::Int16 => integer!(types::Int16Type),
        DataType::Int32 => integer!(types::Int32Type),
        DataType::Int64 => integer!(types::Int64Type),
        DataType::UInt8 => integer!(types::UInt8Type),
        DataType::UInt16 => integer!(types::UInt16Type),
        DataType::UInt32 => integer!(types::UInt32Type),
        DataType::UInt64 => integer!(types::UInt64Type),
        DataType::Decimal32(..) => integer!(types::Decimal32Type),
        DataType::Decimal64(..) => integer!(types::Decimal64Type),
        DataType::Decimal128(..) => integer!(types::Decimal128Type),
        DataType::Date32 => integer!(types::Date32Type),
        DataType::Date64 => integer!(types::Date64Type),
        DataType::Time32(TimeUnit::Second) => integer!(types::Time32SecondType),
        DataType::Time32(_) => integer!(types::Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => integer!(types::Time64MicrosecondType),
        DataType::Time64(_) => integer!(types::Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => integer!(types::TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            integer!(types::TimestampMillisecondType)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            integer!(types::TimestampMicrosecondType)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integer!(types::TimestampNanosecondType),
        DataType::Duration(TimeUnit::Second) => integer!(types::DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => integer!(types::DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => integer!(types::DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => integer!(types::DurationNanosecondType),
        DataType::Float16 => {
            Value::Float(array.as_primitive::<types::Float16Type>().value(row).into())
        }
        DataType::Float32 => {
            Value::Float(array.as_primitive::<types::Float32Type>().value(row).into())
        }
        DataType::Float64 => Value::Float(array.as_primitive::<types::Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_string()),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).to_string()),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_string()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Value::Bytes(array.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Value::Bytes(array.as_binary_view().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => {
            Value::Bytes(array.as_fixed_size_binary().value(row).to_vec())
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            Value::List(
                (0..values.len())
                    .map(|row| cell(values.as_ref(), row))
                    .collect(),
            )
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_dictionary::<types::Int32Type>();
            let code = dictionary.keys().value(row) as usize;
            cell(dictionary.values().as_ref(), code)
        }
        other => unreachable!("no cells of {other}"),
    }
}
