//! Files that the sink writes are read back equal: every type, codec, encoding and page version,
//! in row groups and files of odd sizes, and the results of queries.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use pelton::prelude::*;
use pelton::storage::{
    ColumnEncoding, PageVersion, ParquetSink, SinkCodec, SinkOptions, StatisticsLevel,
};
use pelton::types::{DataType, Field, Schema, SchemaRef};
use support::equality::ordered;
use support::random::{Random, for_each_case};
use support::tables::{self, Table};
use support::values::rows;

const CODECS: [SinkCodec; 6] = [
    SinkCodec::Uncompressed,
    SinkCodec::Snappy,
    SinkCodec::Zstd(2),
    SinkCodec::Lz4Raw,
    SinkCodec::Gzip(1),
    SinkCodec::Brotli(1),
];

/// Options of all kinds; each column gets an encoding that holds it, or none.
fn options(random: &mut Random, schema: &SchemaRef) -> SinkOptions {
    let mut options = SinkOptions {
        codec: *random.pick(&CODECS),
        row_group_rows: *random.pick(&[1000, 1 << 20, 77]),
        row_group_bytes: *random.pick(&[None, None, Some(4096)]),
        page_bytes: *random.pick(&[64, 1 << 20]),
        page_rows: *random.pick(&[10, 20_000]),
        dictionary_bytes: *random.pick(&[64, 1 << 20]),
        dictionary: random.once_in(2),
        statistics: *random.pick(StatisticsLevel::ALL),
        page_version: *random.pick(PageVersion::ALL),
        file_rows: *random.pick(&[None, None, Some(50_000), Some(313)]),
        ..SinkOptions::default()
    };
    for field in schema.fields() {
        let encoding = *random.pick(ColumnEncoding::ALL);
        options.encodings.insert(field.name().clone(), encoding);
        if options.check(schema).is_err() {
            options.encodings.remove(field.name());
        }
        if random.once_in(4) && *field.data_type() != DataType::Boolean {
            options.bloom_filters.insert(field.name().clone());
        }
    }
    options
}

fn engine() -> Engine {
    let options = EngineOptions::default().with("backend", "cpu");
    options.and_then(Engine::new).expect("an engine on the CPU")
}

fn round_trip(random: &mut Random, engine: &Engine, path: &Path, table: &Table) {
    let schema = table.schema();
    let options = options(random, &schema);
    let mut sink = ParquetSink::create(path, table.schema(), options.clone()).expect("a sink");
    for batch in &table.batches {
        sink.write(batch).expect("rows that fit");
    }
    let summary = sink.finish().expect("a file");
    assert_eq!(summary.rows, table.whole.num_rows() as u64);
    let got = scan_parquet(path).and_then(|frame| frame.collect(engine));
    let got = got.unwrap_or_else(|error| panic!("{error}: {options:?}"));
    // Dictionaries are read as their values.
    let flat = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    };
    let types: Vec<DataType> = schema.fields().iter().map(flat).collect();
    let read: Vec<DataType> = got.schema.fields().iter().map(flat).collect();
    assert_eq!(types, read, "{options:?}");
    let expected = rows(&table.batches);
    if let Err(difference) = ordered(&expected, &rows(&got.batches), &[]) {
        panic!("{difference}: {options:?}, {:?}", table.schema());
    }
}

/// The schema with what the writer refuses, decimals of 32 bits and one digit, made wider.
fn writable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Decimal32(1, scale) => {
            let wider = DataType::Decimal64(1, *scale);
            field.as_ref().clone().with_data_type(wider)
        }
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[test]
fn random_tables_come_back() {
    let engine = engine();
    for_each_case("random tables come back", |random| {
        let folder = tempfile::tempdir().expect("a folder");
        let columns = 1 + random.below(6);
        let schema = writable(&tables::schema(random, columns));
        let rows = tables::row_count(random);
        let table = tables::table(random, &schema, rows, &[]);
        round_trip(random, &engine, &folder.path().join("table"), &table);
    });
}

#[test]
fn every_type_comes_back() {
    let engine = engine();
    let codes = Box::new(DataType::Int32);
    let mut types = tables::TEMPORALS.to_vec();
    types.extend(tables::NUMBERS);
    types.extend([
        DataType::Boolean,
        DataType::Decimal32(9, 2),
        DataType::Decimal64(18, 2),
        DataType::Decimal128(9, 0),
        DataType::Decimal128(15, 2),
        DataType::Decimal128(38, 10),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Dictionary(codes, Box::new(DataType::Utf8)),
    ]);
    let field = |(index, data_type): (usize, &DataType)| {
        Field::new(format!("c{index}"), data_type.clone(), true)
    };
    let schema: SchemaRef = Arc::new(Schema::new(
        types.iter().enumerate().map(field).collect::<Vec<_>>(),
    ));
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..8 {
        let random = &mut Random::new(seed);
        let table = tables::table(random, &schema, 3000, &[]);
        let path = folder.path().join(seed.to_string());
        round_trip(random, &engine, &path, &table);
    }
}

#[test]
fn a_query_is_written_in_the_order_of_its_result() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = engine();
    let random = &mut Random::new(7);
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        field("k", DataType::Utf8),
        field("v", DataType::Decimal128(15, 2)),
    ]));
    let domains = [tables::Domain::Keys, tables::Domain::Keys];
    let table = tables::table(random, &schema, 5000, &domains);
    let source = folder.path().join("source.parquet");
    let mut sink = ParquetSink::create(&source, schema, SinkOptions::default())?;
    sink.write(&table.whole)?;
    sink.finish()?;
    let frames = [
        scan_parquet(&source)?.filter(col("k").is_not_null()),
        scan_parquet(&source)?.group_by([col("k")]).agg([
            col("v").sum().alias("sum"),
            count_rows().alias("n"),
            col("v").mean().alias("mean"),
        ]),
        scan_parquet(&source)?.select([col("v").max().alias("most")]),
        scan_parquet(&source)?.filter(col("k").eq(lit("no such key"))),
    ];
    for (index, frame) in frames.iter().enumerate() {
        let path = folder.path().join(format!("{index}.parquet"));
        let summary = frame.sink_parquet(&engine, &path, SinkOptions::default())?;
        let result = frame.collect(&engine)?;
        assert_eq!(summary.rows, result.rows() as u64);
        assert_eq!(summary.files, std::slice::from_ref(&path));
        assert_eq!(summary.metrics.get("result_rows"), summary.rows);
        assert_eq!(summary.metrics.get("sink_rows"), summary.rows);
        let again = scan_parquet(&path)?.collect(&engine)?;
        ordered(&rows(&result.batches), &rows(&again.batches), &[])
            .unwrap_or_else(|e| panic!("{e}"));
    }
    // Whoever runs the query: the emulated kernels' batches have the plan's types, too.
    let emulated = Engine::new(EngineOptions::default().with("backend", "simt")?)?;
    let strings = scan_parquet(&source)?
        .limit(300)
        .group_by([col("k")])
        .agg([col("v").sum().alias("sum"), count_rows().alias("n")]);
    for (index, frame) in [strings, scan_parquet(&source)?.limit(300)]
        .iter()
        .enumerate()
    {
        let path = folder.path().join(format!("emulated {index}.parquet"));
        let summary = frame.sink_parquet(&emulated, &path, SinkOptions::default())?;
        assert!(summary.rows > 0);
        assert_eq!(
            summary.rows,
            scan_parquet(&path)?.collect(&engine)?.rows() as u64
        );
    }
    // A query that fails leaves nothing, and a target that may not be replaced ends it before.
    let target = folder.path().join("0.parquet");
    let refused = frames[0].sink_parquet(&engine, &target, SinkOptions::default());
    let refused = refused
        .map(drop)
        .expect_err("the target exists")
        .to_string();
    assert!(refused.contains("`overwrite` replaces it"), "{refused}");
    let before = std::fs::read_dir(folder.path())?.count();
    std::fs::write(&source, "no Parquet any more")?;
    let target = folder.path().join("9.parquet");
    assert!(
        frames[0]
            .sink_parquet(&engine, &target, SinkOptions::default())
            .is_err()
    );
    assert_eq!(std::fs::read_dir(folder.path())?.count(), before);
    Ok(())
}

#[test]
fn results_are_folders_where_the_engine_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = EngineOptions::default().with("backend", "cpu")?;
    let engine = Engine::new(options.with("sink_to_directory", "true")?)?;
    let random = &mut Random::new(11);
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
    let table = tables::table(random, &schema, 2500, &[]);
    let source = folder.path().join("source.parquet");
    let mut sink = ParquetSink::create(&source, schema, SinkOptions::default())?;
    sink.write(&table.whole)?;
    sink.finish()?;
    let frame = scan_parquet(&source)?;
    // A file for the rows of a row group, unless the rows of a file are given.
    for (file_rows, files) in [(None, 3), (Some(2000), 2)] {
        let target = folder.path().join(format!("{files} files"));
        let options = SinkOptions {
            row_group_rows: 1000,
            file_rows,
            ..SinkOptions::default()
        };
        let summary = frame.sink_parquet(&engine, &target, options)?;
        let name = |file: usize| target.join(format!("part-{file:05}.parquet"));
        assert_eq!(summary.files, (0..files).map(name).collect::<Vec<_>>());
        let again = scan_parquet(&target)?.collect(&engine)?;
        ordered(&rows(&table.batches), &rows(&again.batches), &[])
            .unwrap_or_else(|e| panic!("{e}"));
    }
    Ok(())
}
