//! Every encoding, type and kind of page: what was written is what is decoded.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float16Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray, UInt64Array,
};
use arrow::datatypes::DataType;
use half::f16;
use parquet::basic::Encoding;
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::pages::{decode, write_pages};
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

fn text(random: &mut Random, shape: usize) -> String {
    match shape {
        0 => String::new(),
        1 => format!("value {}", random.between(0..=20)),
        2 => "é".repeat(random.below(40)),
        3 => "x".repeat(random.below(6000)),
        _ => format!("{:x}", random.bits()),
    }
}

/// A random column of a type.
fn column(random: &mut Random, data_type: &DataType, rows: usize) -> ArrayRef {
    let valid = valid(random, rows);
    let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid[row]);
    let shape = random.below(6);
    let numbers: Vec<Option<i64>> = (0..rows)
        .map(|row| is_valid(row).then(|| number(random, shape, row)))
        .collect();
    let of = |random: &mut Random| -> Vec<Option<String>> {
        let text_shape = shape.min(4);
        (0..rows)
            .map(|row| is_valid(row).then(|| text(random, text_shape)))
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
        // With a dictionary, this is the encoding after the dictionary has become too large.
        properties = properties.set_encoding(encoding.unwrap_or(Encoding::PLAIN));
        let pages = write_pages(&array, properties.build());
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
}

#[test]
fn boolean_runs() {
    check(&[DataType::Boolean], Some(Encoding::RLE));
}
