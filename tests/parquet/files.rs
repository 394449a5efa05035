//! Whole files on every backend: the rows that were written are the rows that are read, in order,
//! without falling back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;
use pelton::memory::Tier;
use pelton::prelude::*;
use pelton::types::is_text;

use super::support::backends::cuda_is_there;
use super::support::random::{Note, Random, for_each_case};
use super::support::tables::{Domain, batch, schema};

/// Encodings that a type may have, the dictionary aside.
fn encodings(data_type: &DataType) -> &'static [Encoding] {
    use Encoding::{
        BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN,
        RLE,
    };
    match data_type {
        DataType::Boolean => &[PLAIN, RLE],
        DataType::Float16 | DataType::Float32 | DataType::Float64 => &[PLAIN, BYTE_STREAM_SPLIT],
        DataType::FixedSizeBinary(_) => &[PLAIN, DELTA_BYTE_ARRAY, BYTE_STREAM_SPLIT],
        text if is_text(text) => &[PLAIN, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY],
        DataType::Decimal128(precision, _) if *precision > 18 => {
            &[PLAIN, DELTA_BYTE_ARRAY, BYTE_STREAM_SPLIT]
        }
        _ => &[PLAIN, DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT],
    }
}

pub fn codec(random: &mut Random) -> Compression {
    match random.below(8) {
        0 => Compression::UNCOMPRESSED,
        1 | 2 => Compression::SNAPPY,
        3 | 4 => Compression::LZ4_RAW,
        5 => Compression::ZSTD(ZstdLevel::default()),
        6 => Compression::GZIP(GzipLevel::default()),
        _ => Compression::BROTLI(BrotliLevel::default()),
    }
}

/// How a random file is written, whatever its columns.
pub(super) fn file_properties(random: &mut Random) -> WriterPropertiesBuilder {
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    WriterProperties::builder()
        .set_writer_version(*random.pick(&versions))
        .set_compression(codec(random))
        .set_max_row_group_row_count(Some(*random.pick(&[1, 10, 100, 1000])))
        .set_data_page_row_count_limit(*random.pick(&[1, 50, 1000]))
        .set_write_batch_size(*random.pick(&[1, 16, 1024]))
        .set_dictionary_page_size_limit(*random.pick(&[32, 1 << 20]))
        .set_statistics_enabled(EnabledStatistics::Page)
}

/// How a random file of flat columns is written.
pub(super) fn properties(random: &mut Random, schema: &Schema, encoded: bool) -> WriterProperties {
    let mut properties = file_properties(random);
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        let choices = if encoded {
            encodings(field.data_type())
        } else {
            &[Encoding::PLAIN][..]
        };
        properties = properties
            .set_column_dictionary_enabled(path.clone(), random.once_in(2))
            .set_column_encoding(path.clone(), *random.pick(choices));
        if random.once_in(3) {
            properties = properties.set_column_compression(path, codec(random));
        }
    }
    properties.build()
}

/// A random table; strings and bytes come in all their types.
fn table(random: &mut Random) -> RecordBatch {
    let columns = 1 + random.below(4);
    let rows = *random.pick(&[0, 1, 31, 33, 200, 700]);
    let schema = schema(random, columns);
    let domain = *random.pick(&[Domain::Keys, Domain::Any]);
    let domains = vec![domain; columns];
    let drawn = batch(random, &schema, rows, &domains);
    let strings = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Binary,
        DataType::Utf8View,
    ];
    retyped(random, &drawn, |random, data_type| match data_type {
        DataType::Utf8 | DataType::Dictionary(..) => random.pick(&strings).clone(),
        other => other.clone(),
    })
}

/// The table with columns of other types, as long as the writer knows them.
pub(super) fn retyped(
    random: &mut Random,
    drawn: &RecordBatch,
    choose: impl Fn(&mut Random, &DataType) -> DataType,
) -> RecordBatch {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in drawn.schema().fields().iter().zip(drawn.columns()) {
        let to = match choose(random, field.data_type()) {
            // The parquet crate stores it in 64 bits and then cannot write it.
            DataType::Decimal32(1, scale) => DataType::Decimal32(2, scale),
            other => other,
        };
        fields.push(Field::new(field.name(), to.clone(), field.is_nullable()));
        arrays.push(cast(array, &to).unwrap());
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub fn engine(backend: &str, random: &mut Random) -> Engine {
    let mut options = EngineOptions::default();
    let seed = random.bits() % 1000;
    for option in [
        format!("backend={backend}"),
        format!("simt_seed={seed}"),
        "simt_checked=true".to_string(),
        "fallback_mode=raise".to_string(),
        "num_streaming_threads=2".to_string(),
        format!(
            "target_partition_size={}",
            random.pick(&["1k", "20k", "10m"])
        ),
    ] {
        options.set_pair(&option).unwrap();
    }
    Engine::new(options).unwrap()
}

fn check(name: &str, encoded: bool) {
    for_each_case(name, |random| {
        let table = table(random);
        let note = Note::new(&table.schema(), format!("{} rows", table.num_rows()));
        let file = tempfile::Builder::new()
            .suffix(".parquet")
            .tempfile()
            .unwrap();
        let properties = properties(random, &table.schema(), encoded);
        let mut writer =
            ArrowWriter::try_new(file.reopen().unwrap(), table.schema(), Some(properties)).unwrap();
        writer.write(&table).unwrap();
        writer.close().unwrap();
        let mut backends = vec!["cpu", "simt"];
        backends.extend(cuda_is_there().then_some("cuda"));
        for backend in backends {
            let engine = engine(backend, random);
            let scan = scan_parquet(file.path()).unwrap();
            let out = scan
                .collect(&engine)
                .unwrap_or_else(|error| panic!("{backend}: {error}"));
            let read = concat_batches(&out.schema, &out.batches).unwrap();
            assert_eq!(read.num_rows(), table.num_rows(), "rows on {backend}");
            for (index, (wanted, got)) in table.columns().iter().zip(read.columns()).enumerate() {
                assert_eq!(
                    wanted.data_type(),
                    got.data_type(),
                    "column {index} on {backend}"
                );
                assert_eq!(
                    wanted.to_data(),
                    got.to_data(),
                    "column {index} on {backend}"
                );
            }
        }
        drop(note);
    });
}

#[test]
fn files_of_plain_values_and_dictionaries() {
    check("files of plain values", false);
}

#[test]
fn files_of_every_encoding() {
    check("files of every encoding", true);
}

/// A file of numbers and strings.
fn file_of(rows: i64, row_group_rows: usize) -> tempfile::NamedTempFile {
    let schema = Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]));
    let numbers = Int64Array::from_iter_values((0..rows).map(|row| row * 7919 % 10_007));
    let texts = (0..rows).map(|row| (row % 5 > 0).then(|| format!("text {}", row % 997)));
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(StringArray::from_iter(texts))];
    let table = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_column_dictionary_enabled(ColumnPath::from("number"), false)
        .build();
    let file = tempfile::Builder::new()
        .suffix(".parquet")
        .tempfile()
        .unwrap();
    let mut writer =
        ArrowWriter::try_new(file.reopen().unwrap(), schema, Some(properties)).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    file
}

/// Bytes in use of a tier but for those that the column cache would give back.
pub fn needed(engine: &Engine, tier: Tier) -> u64 {
    engine.memory().used(tier) - engine.memory().reclaimable(tier)
}

pub fn engine_with(options: &[&str]) -> Engine {
    let mut all = EngineOptions::default();
    for option in options {
        all.set_pair(option).unwrap();
    }
    Engine::new(all).unwrap()
}

/// The device holds a row group or two, and all of the file passes through it.
#[test]
fn files_larger_than_the_device() {
    let file = file_of(200_000, 5_000);
    let scan = scan_parquet(file.path()).unwrap();
    let query = scan.group_by([col("text")]).agg([col("number").sum()]);
    let cpu = query.collect(&engine_with(&["backend=cpu"])).unwrap();
    let limit = 1_500_000;
    let engine = engine_with(&[
        "backend=simt",
        "simt_checked=false",
        "fallback_mode=raise",
        &format!("device_memory_limit={limit}"),
        "target_partition_size=80k",
        "num_streaming_threads=4",
    ]);
    let out = query.collect(&engine).unwrap();
    assert_eq!(out.rows(), cpu.rows());
    let peak = engine.memory().peak(Tier::Device);
    assert!(peak > 0 && peak <= limit, "{peak} bytes of the device");
    assert_eq!(needed(&engine, Tier::Device), 0, "all is given back");

    // A device that holds no row group is an error that says so; the next query works.
    let tiny = ["backend=simt", "simt_checked=false", "fallback_mode=raise"];
    let tiny = engine_with(&[&tiny[..], &["device_memory_limit=20k"]].concat());
    let error = query.collect(&tiny).expect_err("too small").to_string();
    assert!(error.contains("device memory"), "{error}");
    assert_eq!(needed(&tiny, Tier::Device), 0);
    let small_file = file_of(10, 10);
    let small = scan_parquet(small_file.path()).unwrap();
    assert_eq!(small.collect(&tiny).unwrap().rows(), 10);
}

/// A query that needs no more rows ends in the middle of the file and leaves nothing behind.
#[test]
fn scans_that_end_midway() {
    let file = file_of(200_000, 5_000);
    let engine = engine_with(&[
        "backend=simt",
        "simt_checked=false",
        "fallback_mode=raise",
        "target_partition_size=1k",
        "num_streaming_threads=2",
    ]);
    let first = scan_parquet(file.path()).unwrap().limit(10);
    let out = first.collect(&engine).unwrap();
    assert_eq!(out.rows(), 10);
    let read = out.metrics.get("scan_rows");
    assert!(read < 200_000, "{read} rows were read for 10");
    drop(out);
    assert_eq!(needed(&engine, Tier::Device), 0);
    assert_eq!(needed(&engine, Tier::Host), 0);
}
