//! Every encoding, type and kind of page: what was written is what is decoded.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float16Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
use half::f16;
use parquet::basic::Encoding;
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::pages::{decode, pages_of, write_file};
use super::support::backends::devices;
use super::support::random::{Random, for_each_case};

/// Rows of a case: few, around a window of runs, and more than one block of threads.
const ROWS: [usize; 11] = [1, 7, 31, 32, 33, 100, 255, 256, 257, 600, 2500];

/// Which rows are null.
fn valid(random: &mut Random, rows: usize) -> Option<Vec<bool>> {
    let times = *random.pick(&[0, 1, 2, 10, 1000]);
    (times > 0).then(|| (0..rows).map(|_| !random.once_in(times)).collect())
}

/// A number whose size and repetition vary, so that all kinds of runs arise.
fn number(random: &mut Random, shape: usize, row: usize) -> i64 {
    match shape {
        0 => random.bits() as i64,
        1 => row as i64 * 3 - 500,
        2 => (row / 100) as i64,
        3 => random.between(0..=3),
        4 => random.between(-1000..=1000),
        _ => *random.pick(&[i64::MIN, i64::MAX, 0, -1, 1]),
    }
}

fn text(random: &mut Random, shape: usize, row: usize) -> String {
    match shape {
        0 => String::new(),
        1 => format!("value {}", random.between(0..=20)),
        2 => "é".repeat(random.below(40)),
        3 => "x".repeat(random.below(6000)),
        4 => format!("http://example.org/{}/{row:06}", row / 300),
        _ => format!("{:x}", random.bits()),
    }
}

/// A random column of a type.
pub fn column(random: &mut Random, data_type: &DataType, rows: usize) -> ArrayRef {
    let valid = valid(random, rows);
    let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid[row]);
    let shape = random.below(6);
    let numbers: Vec<Option<i64>> = (0..rows)
        .map(|row| is_valid(row).then(|| number(random, shape, row)))
        .collect();
    let of = |random: &mut Random| -> Vec<Option<String>> {
        (0..rows)
            .map(|row| is_valid(row).then(|| text(random, shape, row)))
            .collect()
    };
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            numbers.iter().map(|n| n.map(|n| n % 3 == 0)),
        )),
        DataType::Int8 => Arc::new(Int8Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as i8)),
        )),
        DataType::Int16 => Arc::new(Int16Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as i16)),
        )),
        DataType::Int32 => Arc::new(Int32Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as i32)),
        )),
        DataType::Date32 => Arc::new(Date32Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as i32)),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter(numbers)),
        DataType::UInt64 => Arc::new(UInt64Array::from_iter(
            numbers.iter().map(|n| n.map(|n| n as u64)),
        )),
        DataType::Float16 => Arc::new(Float16Array::from_iter(
            numbers.iter().map(|n| n.map(|n| f16::from_bits(n as u16))),
        )),
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            numbers.iter().map(|n| n.map(|n| f32::from_bits(n as u32))),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            numbers.iter().map(|n| n.map(|n| f64::from_bits(n as u64))),
        )),
        DataType::Decimal128(precision, scale) => {
            let bound = 10_i128.pow(u32::from(*precision));
            let values = numbers
                .iter()
                .map(|n| n.map(|n| i128::from(n) * 7_919 % bound));
            let array = Decimal128Array::from_iter(values);
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(TimestampMicrosecondArray::from_iter(numbers))
        }
        DataType::FixedSizeBinary(width) => {
            let values = numbers.iter().map(|n| {
                n.map(|n| {
                    (n.to_be_bytes().iter().cycle().copied())
                        .take(*width as usize)
                        .collect()
                })
            });
            let values: Vec<Option<Vec<u8>>> = values.collect();
            let array =
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), *width);
            Arc::new(array.unwrap())
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter(of(random))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(
            of(random).iter().map(Option::as_ref),
        )),
        other => panic!("no column of {other}"),
    }
}

/// Writes random columns with an encoding (dictionary if none) and decodes their pages on every
/// device.
fn check(types: &[DataType], encoding: Option<Encoding>) {
    check_with(types, encoding, Encoding::PLAIN);
}

/// The same; `fallback` is the encoding after a dictionary has become too large.
fn check_with(types: &[DataType], encoding: Option<Encoding>, fallback: Encoding) {
    for_each_case("pages", |random| {
        let rows = *random.pick(&ROWS);
        let data_type = random.pick(types).clone();
        let array = column(random, &data_type, rows);
        let version = *random.pick(&[WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0]);
        let mut properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(encoding.is_none())
            .set_data_page_row_count_limit(*random.pick(&[100, 1000, 20_000]))
            .set_write_batch_size(*random.pick(&[1, 64, 1024]))
            .set_dictionary_page_size_limit(*random.pick(&[64, 1 << 20]));
        properties = properties.set_encoding(encoding.unwrap_or(fallback));
        let pages = pages_of(&write_file(&array, properties.build()));
        for device in devices() {
            decode(&device, &pages, &array)
                .expect("good pages")
                .check(&array);
        }
    });
}

const DECIMALS: [DataType; 3] = [
    DataType::Decimal128(9, 2),
    DataType::Decimal128(18, 2),
    DataType::Decimal128(38, 5),
];

#[test]
fn plain_values() {
    use DataType::{Boolean, Date32, Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt64};
    let types = [
        Boolean, Date32, Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt64,
    ];
    check(&types, Some(Encoding::PLAIN));
    check(&DECIMALS, Some(Encoding::PLAIN));
}

#[test]
fn plain_strings() {
    check(&[DataType::Utf8, DataType::Binary], Some(Encoding::PLAIN));
}

#[test]
fn dictionaries() {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, Utf8};
    check(&[Utf8, Int8, Int16, Int32, Int64, Float32, Float64], None);
    check(&DECIMALS, None);
    check_with(&[Int32, Int64], None, Encoding::DELTA_BINARY_PACKED);
    check_with(&[Utf8], None, Encoding::DELTA_BYTE_ARRAY);
}

#[test]
fn boolean_runs() {
    check(&[DataType::Boolean], Some(Encoding::RLE));
}

/// Integers of every width, and what else is stored as an integer.
const INTEGERS: [DataType; 9] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt64,
    DataType::Date32,
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Decimal128(9, 2),
    DataType::Decimal128(18, 2),
];

#[test]
fn deltas() {
    check(&INTEGERS, Some(Encoding::DELTA_BINARY_PACKED));
}

#[test]
fn strings_by_length() {
    let types = [DataType::Utf8, DataType::Binary];
    check(&types, Some(Encoding::DELTA_LENGTH_BYTE_ARRAY));
}

#[test]
fn strings_by_prefix() {
    let types = [
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(1),
        DataType::FixedSizeBinary(11),
        DataType::Float16,
        DataType::Decimal128(38, 5),
    ];
    check(&types, Some(Encoding::DELTA_BYTE_ARRAY));
}

#[test]
fn streams_of_bytes() {
    use DataType::{Float16, Float32, Float64, Int8, Int32, Int64, UInt64};
    let mut types = vec![Float16, Float32, Float64, Int8, Int32, Int64, UInt64];
    types.extend(DECIMALS);
    check(&types, Some(Encoding::BYTE_STREAM_SPLIT));
    let types: Vec<DataType> = (1..=20).map(DataType::FixedSizeBinary).collect();
    check(&types, Some(Encoding::BYTE_STREAM_SPLIT));
}
