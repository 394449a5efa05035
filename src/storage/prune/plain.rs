//! Values as a file stores them, and as Arrow has them.
//!
//! Dictionary entries, Bloom filters and page indexes hold values in the format's plain encoding.
//! Only types whose stored form is beyond doubt are known here; columns of others are not pruned
//! by these.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as StoredUnit, Type};
use parquet::schema::types::ColumnDescriptor;

use crate::storage::interval::{Point, Sample};
use crate::types::decimal_parts;

/// Bytes of a decimal's number here; longer ones are not known.
const DECIMAL_BYTES_MAX: usize = 16;

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Boolean,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    /// The number of a decimal in so many bytes, the highest first.
    BigEndian(usize),
    Bytes,
}

/// A column's stored values and the type that they are read in.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    form: Form,
    data_type: DataType,
}

impl Plain {
    /// `None` if the two do not go together in a way that is known here.
    pub(super) fn of(column: &ColumnDescriptor, data_type: &DataType) -> Option<Plain> {
        let scale_fits = |scale: i8| i32::from(scale) == column.type_scale();
        let form = match (column.physical_type(), data_type) {
            (Type::BOOLEAN, DataType::Boolean) => Form::Boolean,
            (Type::INT32, DataType::Int8 | DataType::Int16 | DataType::Int32) => Form::Int32,
            (Type::INT32, DataType::UInt8 | DataType::UInt16 | DataType::UInt32) => Form::UInt32,
            (Type::INT32, DataType::Date32) => Form::Int32,
            (Type::INT64, DataType::Int64) => Form::Int64,
            (Type::INT64, DataType::UInt64) => Form::UInt64,
            (Type::INT32, DataType::Time32(unit)) if unit_of(column) == Some(*unit) => Form::Int32,
            (Type::INT64, DataType::Time64(unit) | DataType::Timestamp(unit, _))
                if unit_of(column) == Some(*unit) =>
            {
                Form::Int64
            }
            (Type::FLOAT, DataType::Float32) => Form::Float,
            (Type::DOUBLE, DataType::Float64) => Form::Double,
            (
                Type::BYTE_ARRAY,
                DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView,
            ) => Form::Bytes,
            (physical, decimal) => {
                let (_, scale) = decimal_parts(decimal).filter(|(_, scale)| scale_fits(*scale))?;
                let length = usize::try_from(column.type_length()).ok();
                match physical {
                    Type::INT32 if scale >= 0 => Form::Int32,
                    Type::INT64 if scale >= 0 => Form::Int64,
                    Type::FIXED_LEN_BYTE_ARRAY => Form::BigEndian(
                        length.filter(|bytes| (1..=DECIMAL_BYTES_MAX).contains(bytes))?,
                    ),
                    _ => return None,
                }
            }
        };
        Some(Plain {
            form,
            data_type: data_type.clone(),
        })
    }

    /// The values of a plain encoded page without nulls; `None` if the page ends too early.
    pub(super) fn split<'b>(&self, mut page: &'b [u8], count: usize) -> Option<Vec<&'b [u8]>> {
        let mut values = Vec::with_capacity(count.min(page.len()));
        for _ in 0..count {
            let length = match self.width() {
                Some(width) => width,
                None => {
                    let (length, rest) = page.split_first_chunk::<4>()?;
                    page = rest;
                    usize::try_from(u32::from_le_bytes(*length)).ok()?
                }
            };
            let (value, rest) = page.split_at_checked(length)?;
            values.push(value);
            page = rest;
        }
        Some(values)
    }

    /// Values as an array of the column's type; null where one has another length than the type's,
    /// or is no such value.
    pub(super) fn array(&self, values: &[Option<&[u8]>]) -> Option<ArrayRef> {
        fn fixed<const N: usize, T>(
            values: &[Option<&[u8]>],
            of: impl Fn([u8; N]) -> T,
        ) -> Vec<Option<T>> {
            let exact = |value: &Option<&[u8]>| Some(of((*value)?.try_into().ok()?));
            values.iter().map(exact).collect()
        }
        let decimal = decimal_parts(&self.data_type);
        let numbers = match (self.form, decimal) {
            (Form::Int32, Some(_)) => fixed(values, |v| i128::from(i32::from_le_bytes(v))),
            (Form::Int64, Some(_)) => fixed(values, |v| i128::from(i64::from_le_bytes(v))),
            (Form::BigEndian(width), _) => {
                let exact = |value: &Option<&[u8]>| big_endian((*value)?, width);
                values.iter().map(exact).collect()
            }
            _ => Vec::new(),
        };
        let stored: ArrayRef = match (self.form, decimal) {
            (_, Some((precision, scale))) => Arc::new(
                Decimal128Array::from(numbers)
                    .with_precision_and_scale(precision, scale)
                    .ok()?,
            ),
            (Form::Boolean, _) => {
                Arc::new(BooleanArray::from(fixed(values, |[byte]| byte & 1 == 1)))
            }
            (Form::Int32, _) => Arc::new(Int32Array::from(fixed(values, i32::from_le_bytes))),
            (Form::UInt32, _) => Arc::new(UInt32Array::from(fixed(values, u32::from_le_bytes))),
            (Form::Int64, _) => Arc::new(Int64Array::from(fixed(values, i64::from_le_bytes))),
            (Form::UInt64, _) => Arc::new(UInt64Array::from(fixed(values, u64::from_le_bytes))),
            (Form::Float, _) => Arc::new(Float32Array::from(fixed(values, f32::from_le_bytes))),
            (Form::Double, _) => Arc::new(Float64Array::from(fixed(values, f64::from_le_bytes))),
            (Form::Bytes, _) if self.is_text() => {
                let text = |value: &Option<&'_ [u8]>| {
                    let text = std::str::from_utf8((*value)?).ok()?;
                    Some(text.to_string())
                };
                Arc::new(values.iter().map(text).collect::<StringArray>())
            }
            (Form::Bytes, _) => Arc::new(values.iter().copied().collect::<BinaryArray>()),
            (Form::BigEndian(_), None) => return None,
        };
        let options = CastOptions {
            safe: true,
            ..CastOptions::default()
        };
        cast_with_options(&stored, &self.data_type, &options).ok()
    }

    /// Every way in which a value may be stored; `None` if that cannot be said.
    pub(super) fn stored(&self, value: &Sample) -> Option<Vec<Vec<u8>>> {
        let Sample::Value(point) = value else {
            return None; // there are many NaNs, and nulls are not stored
        };
        let one = match (self.form, point) {
            (Form::Int32, Point::Integer(value)) => {
                i32::try_from(*value).ok()?.to_le_bytes().to_vec()
            }
            (Form::UInt32, Point::Integer(value)) => {
                u32::try_from(*value).ok()?.to_le_bytes().to_vec()
            }
            (Form::Int64, Point::Integer(value)) => {
                i64::try_from(*value).ok()?.to_le_bytes().to_vec()
            }
            (Form::UInt64, Point::Integer(value)) => {
                u64::try_from(*value).ok()?.to_le_bytes().to_vec()
            }
            (Form::BigEndian(width), Point::Integer(value)) => {
                let bytes = value.to_be_bytes();
                let start = DECIMAL_BYTES_MAX - width;
                if big_endian(bytes.get(start..)?, width) != Some(*value) {
                    return None;
                }
                bytes.get(start..)?.to_vec()
            }
            (Form::Float, Point::Float(value)) if *value == 0.0 => {
                return Some(
                    [0.0f32, -0.0]
                        .map(|zero| zero.to_le_bytes().to_vec())
                        .into(),
                );
            }
            (Form::Double, Point::Float(value)) if *value == 0.0 => {
                return Some(
                    [0.0f64, -0.0]
                        .map(|zero| zero.to_le_bytes().to_vec())
                        .into(),
                );
            }
            // The point is a float of 32 bits that was widened: the way back is exact.
            (Form::Float, Point::Float(value)) => (*value as f32).to_le_bytes().to_vec(),
            (Form::Double, Point::Float(value)) => value.to_le_bytes().to_vec(),
            (Form::Bytes, Point::Bytes(value)) => value.clone(),
            _ => return None,
        };
        Some(vec![one])
    }

    fn width(&self) -> Option<usize> {
        match self.form {
            Form::Boolean => Some(1),
            Form::Int32 | Form::UInt32 | Form::Float => Some(4),
            Form::Int64 | Form::UInt64 | Form::Double => Some(8),
            Form::BigEndian(width) => Some(width),
            Form::Bytes => None,
        }
    }

    fn is_text(&self) -> bool {
        crate::types::is_string(&self.data_type)
    }
}

/// A number of `width` bytes, the highest first.
fn big_endian(value: &[u8], width: usize) -> Option<i128> {
    if value.len() != width || width > DECIMAL_BYTES_MAX {
        return None;
    }
    let sign = value.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if sign { 0xff } else { 0 }; DECIMAL_BYTES_MAX];
    whole
        .get_mut(DECIMAL_BYTES_MAX - width..)?
        .copy_from_slice(value);
    Some(i128::from_be_bytes(whole))
}

/// The unit of a column of times, if the file says one.
fn unit_of(column: &ColumnDescriptor) -> Option<TimeUnit> {
    let stored = match column.logical_type_ref() {
        Some(LogicalType::Timestamp(time) | LogicalType::Time(time)) => time.unit,
        Some(_) => return None,
        None => match column.converted_type() {
            ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIME_MILLIS => StoredUnit::MILLIS,
            ConvertedType::TIMESTAMP_MICROS | ConvertedType::TIME_MICROS => StoredUnit::MICROS,
            _ => return None,
        },
    };
    Some(match stored {
        StoredUnit::MILLIS => TimeUnit::Millisecond,
        StoredUnit::MICROS => TimeUnit::Microsecond,
        StoredUnit::NANOS => TimeUnit::Nanosecond,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;
    use crate::storage::interval::sample;

    fn plain(column: &str, data_type: &DataType) -> Option<Plain> {
        let message = format!("message m {{ optional {column}; }}");
        let schema = Arc::new(parse_message_type(&message).unwrap());
        Plain::of(&SchemaDescriptor::new(schema).column(0), data_type)
    }

    #[test]
    fn values_come_back_as_they_were_stored() {
        for (column, data_type, value) in [
            ("int32 x (INTEGER(8,true))", DataType::Int8, -5),
            ("int32 x (INTEGER(32,false))", DataType::UInt32, 1 << 31),
            ("int32 x (DATE)", DataType::Date32, -3),
            ("int64 x", DataType::Int64, i128::from(i64::MIN)),
            (
                "int64 x (INTEGER(64,false))",
                DataType::UInt64,
                u64::MAX.into(),
            ),
            (
                "int64 x (TIMESTAMP(MILLIS,true))",
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                -7,
            ),
            (
                "int32 x (DECIMAL(9,2))",
                DataType::Decimal128(9, 2),
                -12_345,
            ),
            (
                "fixed_len_byte_array(9) x (DECIMAL(20,2))",
                DataType::Decimal128(20, 2),
                -12_345_678_901_234_567_890,
            ),
        ] {
            let plain = plain(column, &data_type).unwrap();
            let value = Sample::Value(Point::Integer(value));
            let stored = plain.stored(&value).unwrap();
            let array = plain.array(&[Some(stored[0].as_slice()), Some(&[1, 2, 3])]);
            let array = array.unwrap();
            assert_eq!(*array.data_type(), data_type);
            assert_eq!(sample(array.as_ref(), 0), Some(value), "{column}");
            assert!(array.is_null(1), "{column}");
        }
        let text = plain("binary x (UTF8)", &DataType::Utf8View).unwrap();
        let page = [1, 0, 0, 0, b'a', 0, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff];
        let values = text.split(&page, 3).unwrap();
        assert_eq!(values, [b"a".as_slice(), b"", b"\xff\xff"]);
        assert_eq!(text.split(&page, 4), None);
        let values: Vec<_> = values.into_iter().map(Some).collect();
        let array = text.array(&values).unwrap();
        let a = Sample::Value(Point::Bytes(b"a".to_vec()));
        assert_eq!(sample(array.as_ref(), 0), Some(a));
        assert!(array.is_null(2));
    }

    #[test]
    fn what_has_many_forms_has_them_all_and_what_is_doubtful_none() {
        let double = plain("double x", &DataType::Float64).unwrap();
        let zero = double.stored(&Sample::Value(Point::Float(0.0))).unwrap();
        assert_eq!(zero, [0.0f64, -0.0].map(|zero| zero.to_le_bytes().to_vec()));
        assert_eq!(double.stored(&Sample::Nan), None);
        let small = plain("int32 x (INTEGER(8,true))", &DataType::Int8).unwrap();
        assert_eq!(small.stored(&Sample::Value(Point::Integer(1 << 40))), None);
        let seconds = DataType::Timestamp(TimeUnit::Second, None);
        for (column, data_type) in [
            ("int64 x", &seconds),
            ("int64 x (TIMESTAMP(MICROS,true))", &seconds),
            ("int96 x", &DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("int32 x (DECIMAL(9,2))", &DataType::Decimal128(9, 1)),
            ("binary x (DECIMAL(9,2))", &DataType::Decimal128(9, 2)),
            ("int64 x", &DataType::Date64),
        ] {
            assert!(plain(column, data_type).is_none(), "{column}");
        }
    }
}
