//! Random tables over the lattice of shapes that break kernels: row counts around warps, blocks
//! and tiles, null densities, unaligned slices, skew, extremes, odd floats and strings.

use std::ops::Deref;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int32Array,
    LargeStringArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
    StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes as types;
use half::f16;
use pelton::types::{DataType, Field, Schema, SchemaRef, TimeUnit, decimal_parts};

use super::draws::{any_f16, any_f32, any_f64, few_floats, integer, moderate, string};
use super::random::Random;

/// A table as one batch, and the same rows as several (some may be empty).
#[derive(Debug, Clone)]
pub struct Table {
    pub whole: RecordBatch,
    pub batches: Vec<RecordBatch>,
}

impl Table {
    /// The batch alone, unsplit.
    pub fn single(whole: RecordBatch) -> Table {
        Table {
            batches: vec![whole.clone()],
            whole,
        }
    }

    /// Splits a batch at random rows, into up to five batches.
    pub fn split(random: &mut Random, whole: RecordBatch) -> Table {
        let rows = whole.num_rows();
        let mut cuts: Vec<usize> = (0..random.below(5))
            .map(|_| random.below(rows + 1))
            .collect();
        cuts.extend([0, rows]);
        cuts.sort_unstable();
        let batches = cuts
            .windows(2)
            .map(|cut| whole.slice(cut[0], cut[1] - cut[0]));
        Table {
            batches: batches.collect(),
            whole,
        }
    }

    pub fn schema(&self) -> SchemaRef {
        self.whole.schema()
    }
}

/// How the values of a column are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Anything the type holds.
    Any,
    /// Few different values, so that groups form.
    Keys,
    /// Moderate magnitudes, so that float sums in any order are close. NaN and infinity are rare.
    Moderate,
}

/// A number of rows: mostly small, sometimes above one tile, once in 200 above 2^16.
pub fn row_count(random: &mut Random) -> usize {
    match random.below(400) {
        0..2 => 65_536 + random.below(40),
        2..6 => 2 * 4096 + 1,
        6..18 => *random.pick(&[4095, 4096, 4097]),
        18..50 => *random.pick(&[1023, 1024, 1025]),
        50..150 => *random.pick(&[255, 256, 257]),
        150..300 => *random.pick(&[0, 1, 31, 32, 33]),
        _ => random.below(100),
    }
}

/// A type of every kind, decimals of random precision and scale.
pub fn data_type(random: &mut Random) -> DataType {
    match random.below(8) {
        0..4 => number_type(random),
        4 => DataType::Boolean,
        5 if random.once_in(3) => random.pick(&BYTES).clone(),
        5 => random.pick(&*STRINGS).clone(),
        _ => random.pick(&TEMPORALS).clone(),
    }
}

/// A numeric type.
pub fn number_type(random: &mut Random) -> DataType {
    if random.once_in(3) {
        return decimal_type(random);
    }
    random.pick(&NUMBERS).clone()
}

/// A decimal type of any width up to 128 bits.
pub fn decimal_type(random: &mut Random) -> DataType {
    let mut parts = |digits_max: usize| {
        let precision = 1 + random.below(digits_max) as u8;
        (precision, random.below(usize::from(precision) + 1) as i8)
    };
    let (any, narrow, d64, d32) = (parts(38), parts(18), parts(18), parts(9));
    match random.below(6) {
        0 => DataType::Decimal32(d32.0, d32.1),
        1 => DataType::Decimal64(d64.0, d64.1),
        2 => DataType::Decimal128(any.0, any.1),
        3 => DataType::Decimal128(15, 2),
        _ => DataType::Decimal128(narrow.0, narrow.1),
    }
}

/// Types of integers and floats.
pub const NUMBERS: [DataType; 11] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float16,
    DataType::Float32,
    DataType::Float64,
];

/// Types of dates and times.
pub const TEMPORALS: [DataType; 13] = [
    DataType::Date32,
    DataType::Timestamp(TimeUnit::Second, None),
    DataType::Timestamp(TimeUnit::Millisecond, None),
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Timestamp(TimeUnit::Nanosecond, None),
    DataType::Time32(TimeUnit::Second),
    DataType::Time32(TimeUnit::Millisecond),
    DataType::Time64(TimeUnit::Microsecond),
    DataType::Time64(TimeUnit::Nanosecond),
    DataType::Duration(TimeUnit::Second),
    DataType::Duration(TimeUnit::Millisecond),
    DataType::Duration(TimeUnit::Microsecond),
    DataType::Duration(TimeUnit::Nanosecond),
];

/// Types of bytes.
pub const BYTES: [DataType; 4] = [
    DataType::Binary,
    DataType::LargeBinary,
    DataType::BinaryView,
    DataType::FixedSizeBinary(3),
];

static STRINGS: std::sync::LazyLock<[DataType; 3]> = std::sync::LazyLock::new(|| {
    let codes = Box::new(DataType::Int32);
    [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Dictionary(codes, Box::new(DataType::Utf8)),
    ]
});

/// A schema of so many columns of random types, named `c0`, `c1` and so on.
pub fn schema(random: &mut Random, columns: usize) -> SchemaRef {
    let fields = (0..columns).map(|index| {
        let data_type = data_type(random);
        Field::new(format!("c{index}"), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Random rows of a schema; the domain of each column is `domains[column]`, or `Any`.
pub fn batch(
    random: &mut Random,
    schema: &SchemaRef,
    rows: usize,
    domains: &[Domain],
) -> RecordBatch {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let domain = domains.get(index).copied().unwrap_or(Domain::Any);
        column(random, field.data_type(), rows, domain)
    });
    let columns = columns.collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .expect("columns of the schema's types")
}

/// A random table: rows of a schema, split at random.
pub fn table(random: &mut Random, schema: &SchemaRef, rows: usize, domains: &[Domain]) -> Table {
    let whole = batch(random, schema, rows, domains);
    Table::split(random, whole)
}

/// A random column, often a slice of a longer one at an offset that is no multiple of 8.
pub fn column(random: &mut Random, data_type: &DataType, rows: usize, domain: Domain) -> ArrayRef {
    let offset = *random.pick(&[0, 0, 1, 3, 7, 8, 13, 33]);
    let padded = offset + rows + random.below(5);
    let array = dense_column(random, data_type, padded, domain);
    array.slice(offset, rows)
}

fn nulls(random: &mut Random, rows: usize) -> Option<NullBuffer> {
    let once_in = match random.below(8) {
        0..3 => return None,
        3 => 100,
        4 => 1,
        _ => *random.pick(&[2, 5, 10]),
    };
    Some((0..rows).map(|_| !random.once_in(once_in)).collect())
}

/// How one column's values follow each other.
#[derive(Debug, Clone, Copy)]
enum Order {
    Free,
    AllEqual,
    Sequential,
    Skewed,
}

/// Draws the values of one column.
fn draw<T: Clone>(
    random: &mut Random,
    rows: usize,
    mut value: impl FnMut(&mut Random) -> T,
    at: impl Fn(usize) -> T,
) -> Vec<T> {
    let order = *random.pick(&[
        Order::Free,
        Order::Free,
        Order::Free,
        Order::Free,
        Order::AllEqual,
        Order::Sequential,
        Order::Skewed,
    ]);
    let favourite = value(random);
    let draw = |row: usize| match order {
        Order::Free => value(random),
        Order::AllEqual => favourite.clone(),
        Order::Sequential => at(row),
        Order::Skewed if random.below(20) > 0 => favourite.clone(),
        Order::Skewed => value(random),
    };
    (0..rows).map(draw).collect()
}

fn dense_column(
    random: &mut Random,
    data_type: &DataType,
    rows: usize,
    domain: Domain,
) -> ArrayRef {
    let validity = nulls(random, rows);
    macro_rules! integers {
        ($type:ty, $native:ty) => {{
            let values = draw(
                random,
                rows,
                |random| {
                    let (min, max) = (i128::from(<$native>::MIN), i128::from(<$native>::MAX));
                    integer(random, min, max, domain) as $native
                },
                |row| row as $native,
            );
            let array = PrimitiveArray::<$type>::new(values.into(), validity);
            Arc::new(array.with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    macro_rules! decimals {
        ($type:ty, $native:ty) => {{
            let (precision, _) = decimal_parts(data_type).expect("a decimal");
            let bound = 10i128.pow(u32::from(precision)) - 1;
            let values = draw(
                random,
                rows,
                |random| integer(random, -bound, bound, domain) as $native,
                |row| (row as i128).min(bound) as $native,
            );
            let array = PrimitiveArray::<$type>::new(values.into(), validity);
            Arc::new(array.with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    macro_rules! floats {
        ($type:ty, $any:ident, $to:expr) => {{
            let to = $to;
            let values = draw(
                random,
                rows,
                |random| match domain {
                    Domain::Any => $any(random),
                    Domain::Keys => to(few_floats(random)),
                    Domain::Moderate => to(moderate(random)),
                },
                |row| to(row as f64 / 4.0),
            );
            Arc::new(PrimitiveArray::<$type>::new(values.into(), validity)) as ArrayRef
        }};
    }
    match data_type {
        DataType::Boolean => {
            let values = draw(random, rows, |random| random.once_in(2), |row| row % 2 == 1);
            Arc::new(BooleanArray::new(values.into(), validity))
        }
        DataType::Int8 => integers!(types::Int8Type, i8),
        DataType::Int16 => integers!(types::Int16Type, i16),
        DataType::Int32 => integers!(types::Int32Type, i32),
        DataType::Int64 => integers!(types::Int64Type, i64),
        DataType::UInt8 => integers!(types::UInt8Type, u8),
        DataType::UInt16 => integers!(types::UInt16Type, u16),
        DataType::UInt32 => integers!(types::UInt32Type, u32),
        DataType::UInt64 => integers!(types::UInt64Type, u64),
        DataType::Float16 => {
            floats!(types::Float16Type, any_f16, |value: f64| f16::from_f32(
                value as f32
            ))
        }
        DataType::Float32 => floats!(types::Float32Type, any_f32, |value: f64| value as f32),
        DataType::Float64 => floats!(types::Float64Type, any_f64, |value: f64| value),
        DataType::Decimal32(..) => decimals!(types::Decimal32Type, i32),
        DataType::Decimal64(..) => decimals!(types::Decimal64Type, i64),
        DataType::Decimal128(..) => decimals!(types::Decimal128Type, i128),
        DataType::Date32 => integers!(types::Date32Type, i32),
        DataType::Date64 => integers!(types::Date64Type, i64),
        DataType::Time32(TimeUnit::Second) => integers!(types::Time32SecondType, i32),
        DataType::Time32(_) => integers!(types::Time32MillisecondType, i32),
        DataType::Time64(TimeUnit::Microsecond) => integers!(types::Time64MicrosecondType, i64),
        DataType::Time64(_) => integers!(types::Time64NanosecondType, i64),
        DataType::Timestamp(TimeUnit::Second, _) => integers!(types::TimestampSecondType, i64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            integers!(types::TimestampMillisecondType, i64)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            integers!(types::TimestampMicrosecondType, i64)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            integers!(types::TimestampNanosecondType, i64)
        }
        DataType::Duration(TimeUnit::Second) => integers!(types::DurationSecondType, i64),
        DataType::Duration(TimeUnit::Millisecond) => {
            integers!(types::DurationMillisecondType, i64)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            integers!(types::DurationMicrosecondType, i64)
        }
        DataType::Duration(TimeUnit::Nanosecond) => integers!(types::DurationNanosecondType, i64),
        DataType::Utf8 => {
            let values = strings(random, rows, domain);
            Arc::new(StringArray::from_iter(masked(&values, validity.as_ref())))
        }
        DataType::LargeUtf8 => {
            let values = strings(random, rows, domain);
            Arc::new(LargeStringArray::from_iter(masked(
                &values,
                validity.as_ref(),
            )))
        }
        DataType::Utf8View => {
            let values = strings(random, rows, domain);
            Arc::new(StringViewArray::from_iter(masked(
                &values,
                validity.as_ref(),
            )))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let values = bytes(random, rows, domain);
            let values = BinaryArray::from_iter(masked(&values, validity.as_ref()));
            cast(&values, data_type).expect("bytes of another layout")
        }
        DataType::FixedSizeBinary(size) => {
            let mut values = bytes(random, rows, domain);
            for value in &mut values {
                value.resize(*size as usize, 0);
            }
            let values = masked(&values, validity.as_ref());
            let values = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *size);
            Arc::new(values.expect("values of one size"))
        }
        DataType::Dictionary(..) => dictionary(random, rows, domain, validity),
        other => unreachable!("no random columns of {other}"),
    }
}

fn masked<'a, T: Deref>(
    values: &'a [T],
    validity: Option<&'a NullBuffer>,
) -> impl Iterator<Item = Option<&'a T::Target>> {
    values.iter().enumerate().map(move |(row, value)| {
        let valid = validity.is_none_or(|validity| validity.is_valid(row));
        valid.then_some(&**value)
    })
}

/// Bytes that are mostly text.
fn bytes(random: &mut Random, rows: usize, domain: Domain) -> Vec<Vec<u8>> {
    let value = |random: &mut Random| {
        let mut value = string(random, domain).into_bytes();
        if random.once_in(4) {
            value.push(0xff);
        }
        value
    };
    draw(random, rows, value, |row| row.to_be_bytes().to_vec())
}

/// Codes into a dictionary with values that repeat, that no row uses, and, rarely, that are null.
fn dictionary(
    random: &mut Random,
    rows: usize,
    domain: Domain,
    validity: Option<NullBuffer>,
) -> ArrayRef {
    let entries = 1 + random.below(20);
    let mut values: Vec<Option<String>> =
        (0..entries).map(|_| Some(string(random, domain))).collect();
    if random.once_in(10) {
        *values.last_mut().expect("an entry") = None;
    }
    let codes = draw(
        random,
        rows,
        |random| random.below(entries) as i32,
        |row| (row % entries) as i32,
    );
    let codes = Int32Array::new(codes.into(), validity);
    let values = Arc::new(StringArray::from(values));
    Arc::new(DictionaryArray::try_new(codes, values).expect("codes within the dictionary"))
}

fn strings(random: &mut Random, rows: usize, domain: Domain) -> Vec<String> {
    draw(
        random,
        rows,
        |random| string(random, domain),
        |row| row.to_string(),
    )
}
