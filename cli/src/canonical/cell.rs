//! From an Arrow array to a function that appends a row's canonical text.
//!
//! The function is chosen once per array; per row it only formats.

use std::fmt::{self, Display, Write};

use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, GenericListArray, GenericListViewArray, OffsetSizeTrait,
    PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Field, FieldRef, Fields, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::{Unprintable, is_uuid, text};

/// Appends the text of one row.
pub(super) type Cell<'a> = Box<dyn Fn(usize, &mut String) -> fmt::Result + 'a>;

/// The cell function of an array.
pub(super) fn cell<'a>(array: &'a dyn Array, field: &Field) -> Result<Cell<'a>, Unprintable> {
    let values = value_cell(array, field)?;
    // A dictionary's or run's values know their own nulls; `NULL` is the only text of type null.
    Ok(match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => or_null(nulls, values),
        _ => values,
    })
}

fn or_null<'a>(nulls: &'a NullBuffer, values: Cell<'a>) -> Cell<'a> {
    Box::new(move |row, out| {
        if nulls.is_null(row) {
            out.push_str("NULL");
            Ok(())
        } else {
            values(row, out)
        }
    })
}

fn value_cell<'a>(array: &'a dyn Array, field: &Field) -> Result<Cell<'a>, Unprintable> {
    let cell: Cell<'a> = match array.data_type() {
        DataType::Null => Box::new(|_, out| {
            out.push_str("NULL");
            Ok(())
        }),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| {
                out.push_str(if array.value(row) { "true" } else { "false" });
                Ok(())
            })
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Float16 => primitive::<Float16Type>(array, |v, out| text::float(v.to_f64(), out)),
        DataType::Float32 => primitive::<Float32Type>(array, |v, out| text::float(v.into(), out)),
        DataType::Float64 => primitive::<Float64Type>(array, text::float),
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| text::string(array.value(row), out))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |row, out| text::string(array.value(row), out))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |row, out| text::string(array.value(row), out))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            bytes(move |row| array.value(row))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            bytes(move |row| array.value(row))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            bytes(move |row| array.value(row))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            if is_uuid(field) {
                Box::new(move |row, out| {
                    text::uuid(array.value(row), out);
                    Ok(())
                })
            } else {
                bytes(move |row| array.value(row))
            }
        }
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_)
        | DataType::Interval(_) => temporal(array)?,
        _ => nested(array, field)?,
    };
    Ok(cell)
}

fn bytes<'a>(value: impl Fn(usize) -> &'a [u8] + 'a) -> Cell<'a> {
    Box::new(move |row, out| {
        text::binary(value(row), out);
        Ok(())
    })
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut String) -> fmt::Result + 'a,
) -> Cell<'a> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| write(array.value(row), out))
}

fn integer<T: ArrowPrimitiveType<Native: Display>>(array: &dyn Array) -> Cell<'_> {
    primitive::<T>(array, |value, out| write!(out, "{value}"))
}

fn decimal<T: ArrowPrimitiveType<Native: Display>>(array: &dyn Array, scale: i8) -> Cell<'_> {
    primitive::<T>(array, move |value, out| {
        text::decimal(&value.to_string(), scale, out);
        Ok(())
    })
}

/// The nanoseconds of one unit.
fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn scaled<'a, T: ArrowPrimitiveType<Native: Into<i128>>>(
    array: &'a dyn Array,
    unit: TimeUnit,
    write: impl Fn(i128, &mut String) -> fmt::Result + 'a,
) -> Cell<'a> {
    let factor = nanoseconds(unit);
    primitive::<T>(array, move |value, out| write(value.into() * factor, out))
}

fn temporal(array: &dyn Array) -> Result<Cell<'_>, Unprintable> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let duration = |value: i128, out: &mut String| write!(out, "ns:{value}");
    Ok(match array.data_type() {
        DataType::Date32 => primitive::<Date32Type>(array, |v, out| text::date(v.into(), out)),
        DataType::Date64 => {
            primitive::<Date64Type>(array, |v, out| text::date(v.div_euclid(86_400_000), out))
        }
        DataType::Time32(Second) => scaled::<Time32SecondType>(array, Second, text::time),
        DataType::Time32(Millisecond) => {
            scaled::<Time32MillisecondType>(array, Millisecond, text::time)
        }
        DataType::Time64(Microsecond) => {
            scaled::<Time64MicrosecondType>(array, Microsecond, text::time)
        }
        DataType::Time64(Nanosecond) => {
            scaled::<Time64NanosecondType>(array, Nanosecond, text::time)
        }
        DataType::Timestamp(Second, _) => {
            scaled::<TimestampSecondType>(array, Second, text::timestamp)
        }
        DataType::Timestamp(Millisecond, _) => {
            scaled::<TimestampMillisecondType>(array, Millisecond, text::timestamp)
        }
        DataType::Timestamp(Microsecond, _) => {
            scaled::<TimestampMicrosecondType>(array, Microsecond, text::timestamp)
        }
        DataType::Timestamp(Nanosecond, _) => {
            scaled::<TimestampNanosecondType>(array, Nanosecond, text::timestamp)
        }
        DataType::Duration(Second) => scaled::<DurationSecondType>(array, Second, duration),
        DataType::Duration(Millisecond) => {
            scaled::<DurationMillisecondType>(array, Millisecond, duration)
        }
        DataType::Duration(Microsecond) => {
            scaled::<DurationMicrosecondType>(array, Microsecond, duration)
        }
        DataType::Duration(Nanosecond) => {
            scaled::<DurationNanosecondType>(array, Nanosecond, duration)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>(array, |v, out| write!(out, "m:{v} d:0 ns:0"))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            primitive::<IntervalDayTimeType>(array, |v, out| {
                let nanoseconds = i64::from(v.milliseconds) * 1_000_000;
                write!(out, "m:0 d:{} ns:{nanoseconds}", v.days)
            })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(array, |v, out| {
                write!(out, "m:{} d:{} ns:{}", v.months, v.days, v.nanoseconds)
            })
        }
        other => return Err(Unprintable(format!("type {other}"))),
    })
}

fn nested<'a>(array: &'a dyn Array, field: &Field) -> Result<Cell<'a>, Unprintable> {
    // Children are as the field has them: it may tell more of them than the array.
    match field.data_type() {
        DataType::List(item) => list(array.as_list::<i32>(), item),
        DataType::LargeList(item) => list(array.as_list::<i64>(), item),
        DataType::ListView(item) => list_view(array.as_list_view::<i32>(), item),
        DataType::LargeListView(item) => list_view(array.as_list_view::<i64>(), item),
        DataType::FixedSizeList(item, length) => {
            let items = cell(array.as_fixed_size_list().values().as_ref(), item)?;
            let length = usize::try_from(*length).unwrap_or(0);
            Ok(Box::new(move |row, out| {
                let first = row * length;
                sequence(&items, first..first + length, out)
            }))
        }
        DataType::Struct(fields) => structure(array, fields),
        DataType::Map(entries, _) => map(array, entries),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let values = cell(
                dictionary.values().as_ref(),
                &same_type(field, dictionary.values()),
            )?;
            if dictionary.values().is_empty() {
                return Ok(values);
            }
            let keys = dictionary.normalized_keys();
            Ok(Box::new(move |row, out| values(keys[row], out)))
        }
        DataType::RunEndEncoded(ends, values) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(array, values),
            DataType::Int32 => runs::<Int32Type>(array, values),
            _ => runs::<Int64Type>(array, values),
        },
        DataType::Union(fields, _) => {
            let union = array.as_union();
            let mut children: Vec<Option<Cell<'a>>> = Vec::new();
            children.resize_with(128, || None);
            for (id, child) in fields.iter() {
                if let Some(slot) = usize::try_from(id).ok().and_then(|id| children.get_mut(id)) {
                    *slot = Some(cell(union.child(id).as_ref(), child)?);
                }
            }
            Ok(Box::new(move |row, out| {
                let id = usize::try_from(union.type_id(row)).unwrap_or(usize::MAX);
                match children.get(id) {
                    Some(Some(child)) => child(union.value_offset(row), out),
                    _ => Err(fmt::Error),
                }
            }))
        }
        other => Err(Unprintable(format!("type {other}"))),
    }
}

/// A dictionary's values have the field's metadata but their own type.
fn same_type(field: &Field, values: &dyn Array) -> Field {
    field.clone().with_data_type(values.data_type().clone())
}

fn sequence(items: &Cell<'_>, rows: std::ops::Range<usize>, out: &mut String) -> fmt::Result {
    out.push('[');
    for (index, row) in rows.enumerate() {
        if index > 0 {
            out.push(',');
        }
        items(row, out)?;
    }
    out.push(']');
    Ok(())
}

fn list<'a, O: OffsetSizeTrait>(
    array: &'a GenericListArray<O>,
    item: &FieldRef,
) -> Result<Cell<'a>, Unprintable> {
    let items = cell(array.values().as_ref(), item)?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        sequence(
            &items,
            offsets[row].as_usize()..offsets[row + 1].as_usize(),
            out,
        )
    }))
}

fn list_view<'a, O: OffsetSizeTrait>(
    array: &'a GenericListViewArray<O>,
    item: &FieldRef,
) -> Result<Cell<'a>, Unprintable> {
    let items = cell(array.values().as_ref(), item)?;
    Ok(Box::new(move |row, out| {
        let first = array.value_offset(row).as_usize();
        sequence(&items, first..first + array.value_size(row).as_usize(), out)
    }))
}

fn structure<'a>(array: &'a dyn Array, fields: &Fields) -> Result<Cell<'a>, Unprintable> {
    let array = array.as_struct();
    let mut children = Vec::with_capacity(fields.len());
    for (field, child) in fields.iter().zip(array.columns()) {
        children.push((format!("{}:", field.name()), cell(child.as_ref(), field)?));
    }
    Ok(Box::new(move |row, out| {
        out.push('{');
        for (index, (name, child)) in children.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            child(row, out)?;
        }
        out.push('}');
        Ok(())
    }))
}

fn map<'a>(array: &'a dyn Array, entries: &FieldRef) -> Result<Cell<'a>, Unprintable> {
    let array = array.as_map();
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Unprintable(format!("type {}", array.data_type())));
    };
    let keys = cell(array.keys().as_ref(), &fields[0])?;
    let values = cell(array.values().as_ref(), &fields[1])?;
    let offsets = array.value_offsets();
    Ok(Box::new(move |row, out| {
        out.push('<');
        for (index, entry) in (offsets[row].as_usize()..offsets[row + 1].as_usize()).enumerate() {
            if index > 0 {
                out.push(',');
            }
            keys(entry, out)?;
            out.push('=');
            values(entry, out)?;
        }
        out.push('>');
        Ok(())
    }))
}

fn runs<'a, T: arrow::datatypes::RunEndIndexType>(
    array: &'a dyn Array,
    values: &FieldRef,
) -> Result<Cell<'a>, Unprintable> {
    let Some(runs) = array.as_run_opt::<T>() else {
        return Err(Unprintable(format!("type {}", array.data_type())));
    };
    let cells = cell(runs.values().as_ref(), values)?;
    Ok(Box::new(move |row, out| {
        cells(runs.get_physical_index(row), out)
    }))
}
