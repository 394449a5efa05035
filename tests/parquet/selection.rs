//! Pages that page indexes exclude are neither read nor decoded, on no backend, and row groups are
//! split between pages: the rows that a filter lets through are the same, the bytes read are the
//! same on all backends, and files that contradict their indexes are refused by all.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::ColumnPath;
use pelton::memory::Tier;
use pelton::metrics::Snapshot;
use pelton::prelude::*;
use pelton::{Error, ErrorKind};

use super::files::{codec, engine_with, needed, properties};
use super::support::backends::cuda_is_there;
use super::support::random::{Note, Random, for_each_case};
use super::support::tables::{Domain, batch, schema};

fn backends() -> Vec<&'static str> {
    let mut backends = vec!["cpu", "simt"];
    backends.extend(cuda_is_there().then_some("cuda"));
    backends
}

/// A column `key` that grows, with runs of equal values and perhaps a stretch of nulls, in front of
/// random ones.
pub(super) fn table(random: &mut Random) -> RecordBatch {
    let rows = *random.pick(&[1, 33, 200, 700]);
    let columns = 1 + random.below(3);
    let others = schema(random, columns);
    let domain = *random.pick(&[Domain::Keys, Domain::Any]);
    let others = batch(random, &others, rows, &vec![domain; columns]);
    let mut key = 0;
    let nulls = random.below(rows)..random.below(rows + 1);
    let keys: Vec<Option<i64>> = (0..rows)
        .map(|row| {
            key += random.below(3) as i64;
            (!nulls.contains(&row)).then_some(key)
        })
        .collect();
    let keys: ArrayRef = match random.below(3) {
        0 => Arc::new(Int64Array::from(keys)),
        1 => Arc::new(Int32Array::from_iter(
            keys.iter().map(|key| key.map(|key| key as i32)),
        )),
        _ => Arc::new(StringArray::from_iter(keys.iter().map(|key| key.map(text)))),
    };
    let mut fields = vec![Field::new("key", keys.data_type().clone(), true)];
    let mut arrays = vec![keys];
    for (field, array) in others.schema().fields().iter().zip(others.columns()) {
        // Arrow's dictionaries are read as their values.
        let to = match field.data_type() {
            DataType::Dictionary(..) => DataType::Utf8,
            // The parquet crate stores it in 64 bits and then cannot write it.
            DataType::Decimal32(1, scale) => DataType::Decimal32(2, *scale),
            other => other.clone(),
        };
        arrays.push(arrow::compute::cast(array, &to).unwrap());
        fields.push(Field::new(field.name(), to, field.is_nullable()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn text(key: i64) -> String {
    format!("{key:05}")
}

/// A predicate that some stretches of the keys satisfy.
pub(super) fn predicate(random: &mut Random, table: &RecordBatch) -> Expr {
    let is_text = *table.schema().field(0).data_type() == DataType::Utf8;
    let rows = table.num_rows();
    let literal = |key: i64| if is_text { lit(text(key)) } else { lit(key) };
    let stretch = |random: &mut Random| {
        let low = random.below(rows + 1) as i64;
        let wide = *random.pick(&[0, 3, 40, 2000]);
        col("key").between(literal(low), literal(low + wide))
    };
    match random.below(5) {
        0 => stretch(random).or(stretch(random)),
        1 => stretch(random).or(col("key").is_null()),
        2 => stretch(random).and(col(table.schema().field(1).name()).is_not_null()),
        3 => col("key").is_null(),
        _ => stretch(random),
    }
}

pub(super) fn write(table: &RecordBatch, properties: WriterProperties) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new()
        .suffix(".parquet")
        .tempfile()
        .unwrap();
    let file_written = file.reopen().unwrap();
    let mut writer = ArrowWriter::try_new(file_written, table.schema(), Some(properties)).unwrap();
    writer.write(table).unwrap();
    writer.close().unwrap();
    file
}

fn engine(backend: &str, options: &[&str]) -> Engine {
    let backend = format!("backend={backend}");
    let always = [
        backend.as_str(),
        "simt_checked=true",
        "fallback_mode=raise",
        "num_streaming_threads=2",
    ];
    engine_with(&[&always, options].concat())
}

pub(super) fn filtered(
    path: &Path,
    predicate: &Expr,
    engine: &Engine,
) -> Result<(RecordBatch, Snapshot)> {
    let scan = scan_parquet(path)?.filter(predicate.clone());
    let out = scan.collect(engine)?;
    let rows = concat_batches(&out.schema, &out.batches).unwrap();
    Ok((rows, out.metrics))
}

fn assert_same(wanted: &RecordBatch, got: &RecordBatch, place: &str) {
    assert_eq!(wanted.num_rows(), got.num_rows(), "rows on {place}");
    for (index, (wanted, got)) in wanted.columns().iter().zip(got.columns()).enumerate() {
        assert_eq!(wanted.to_data(), got.to_data(), "column {index} on {place}");
    }
}

#[test]
fn filtered_files_have_the_same_rows_with_and_without_page_indexes() {
    for_each_case("files by page indexes", |random| {
        let table = table(random);
        let predicate = predicate(random, &table);
        let about = format!("{} rows, {predicate:?}", table.num_rows());
        let note = Note::new(&table.schema(), about);
        let file = write(&table, properties(random, &table.schema(), true));
        let size = format!(
            "target_partition_size={}",
            random.pick(&["100", "1k", "20k", "10m"])
        );
        let without = ["parquet_page_index=off", size.as_str()];
        let (wanted, _) = filtered(file.path(), &predicate, &engine("cpu", &without)).unwrap();
        let mut read = None;
        for backend in backends() {
            // Without the column cache, which spares reading a page anew for a second partition.
            let none = "column_cache_limit=0";
            let off = engine(backend, &[&size, none, "parquet_late_decoding=off"]);
            let on = engine(backend, &[&size, none, "parquet_late_decoding=on"]);
            let [(rows, metrics), (late, _)] = [off, on].map(|engine| {
                filtered(file.path(), &predicate, &engine)
                    .unwrap_or_else(|error| panic!("{backend}: {error}"))
            });
            assert_same(&wanted, &rows, backend);
            assert_same(&wanted, &late, backend);
            let counted = ["scan_bytes", "scan_rows", "scan_pages_pruned", "partitions"];
            let counted = counted.map(|name| metrics.get(name));
            assert_eq!(
                *read.get_or_insert(counted),
                counted,
                "counters on {backend}"
            );
        }
        drop(note);
    });
}

/// A thousand numbers and their squares and words in one row group, in pages of 100 and 250 rows.
fn plain_file(properties: impl Fn() -> WriterPropertiesBuilder) -> tempfile::NamedTempFile {
    let numbers: Vec<i64> = (0..1000).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "key",
            Arc::new(Int64Array::from_iter_values(numbers.iter().copied())),
        ),
        (
            "square",
            Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| n * n))),
        ),
        (
            "word",
            Arc::new(StringArray::from_iter(
                numbers
                    .iter()
                    .map(|n| (n % 7 > 0).then(|| format!("word {}", n % 50))),
            )),
        ),
    ];
    write(
        &RecordBatch::try_from_iter(columns).unwrap(),
        properties().build(),
    )
}

pub(super) fn uncompressed() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled(ColumnPath::from("word"), true)
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .set_statistics_enabled(EnabledStatistics::Page)
}

#[test]
fn only_pages_that_may_match_are_read() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let file = plain_file(|| uncompressed().set_writer_version(version));
        let all = filtered(file.path(), &col("key").gt_eq(lit(0)), &engine("cpu", &[])).unwrap();
        let all = all.1.get("scan_bytes");
        for backend in backends() {
            let engine = engine(backend, &[]);
            let few = col("key")
                .between(lit(250), lit(260))
                .or(col("key").eq(lit(777)));
            let (rows, metrics) = filtered(file.path(), &few, &engine).unwrap();
            assert_eq!(rows.num_rows(), 12);
            // Two of ten pages of three columns, and a dictionary.
            assert_eq!(metrics.get("scan_pages_pruned"), 24, "{backend}");
            assert_eq!(metrics.get("scan_rows"), 200, "{backend}");
            let (read, left_out) = (metrics.get("scan_bytes"), metrics.get("scan_bytes_pruned"));
            assert!(read * 3 < all, "{read} of {all} bytes on {backend}");
            assert_eq!(read + left_out, all, "{backend}");
            let square = rows
                .column(1)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap();
            assert_eq!(square.value(11), 777 * 777);
        }
    }
}

#[test]
fn an_index_of_one_column_alone_leaves_out_rows_but_reads_all_pages() {
    let file = plain_file(uncompressed);
    edit_index(file.path(), |column, pages| {
        if column == 1 {
            pages.clear();
        }
    });
    let all = filtered(file.path(), &col("key").gt_eq(lit(0)), &engine("cpu", &[])).unwrap();
    for backend in backends() {
        let few = col("key").between(lit(250), lit(260));
        let (rows, metrics) = filtered(file.path(), &few, &engine(backend, &[])).unwrap();
        assert_eq!(rows.num_rows(), 11);
        assert_eq!(metrics.get("scan_rows"), 100, "{backend}");
        assert_eq!(metrics.get("scan_pages_pruned"), 0, "{backend}");
        assert_eq!(
            metrics.get("scan_bytes"),
            all.1.get("scan_bytes"),
            "{backend}"
        );
    }
}

#[test]
fn large_row_groups_are_split_between_pages() {
    // Dictionaries would be read by each part.
    let plain = || uncompressed().set_column_dictionary_enabled(ColumnPath::from("word"), false);
    let file = plain_file(plain);
    let expected = scan_parquet(file.path()).unwrap();
    let expected = expected.collect(&engine("cpu", &[])).unwrap();
    let expected = concat_batches(&expected.schema, &expected.batches).unwrap();
    for backend in backends() {
        for (size, partitions) in [("10m", 1), ("12k", 2), ("6k", 4), ("1", 10)] {
            let size = format!("target_partition_size={size}");
            let scan = scan_parquet(file.path()).unwrap();
            let out = scan.collect(&engine(backend, &[&size])).unwrap();
            assert_eq!(
                out.metrics.get("partitions"),
                partitions,
                "{backend}, {size}"
            );
            // Each part takes its own rows of the row group.
            let taken = out.metrics.steps.first().unwrap().rows_in.rows;
            assert_eq!(taken, expected.num_rows() as u64, "{backend}, {size}");
            let rows = concat_batches(&out.schema, &out.batches).unwrap();
            assert_same(&expected, &rows, backend);
            // Without an index page headers are walked.
            let engine = engine(backend, &[&size, "parquet_page_index=off"]);
            let out = scan_parquet(file.path()).unwrap().collect(&engine).unwrap();
            assert_eq!(
                out.metrics.get("partitions"),
                partitions,
                "{backend}, {size}"
            );
            let rows = concat_batches(&out.schema, &out.batches).unwrap();
            assert_same(&expected, &rows, backend);
        }
    }
}

#[test]
fn nested_columns_are_read_whole_beside_flat_ones() {
    let lists =
        (0..1000i64).map(|n| Some((0..n % 4).map(move |k| Some(n + k)).collect::<Vec<_>>()));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(Int64Array::from_iter_values(0..1000))),
        ("list", Arc::new(lists)),
    ];
    let table = RecordBatch::try_from_iter(columns).unwrap();
    let file = write(&table, uncompressed().build());
    let few = col("key").between(lit(250), lit(260));
    for backend in backends() {
        // Filters of nested columns are the CPU's.
        let backend = format!("backend={backend}");
        for size in ["target_partition_size=1", "target_partition_size=1m"] {
            let engine = engine_with(&[&backend, "fallback_mode=silent", size]);
            let (rows, metrics) = filtered(file.path(), &few, &engine).unwrap();
            assert_same(&table.slice(250, 11), &rows, &backend);
            assert_eq!(metrics.get("scan_pages_pruned"), 0);
            let whole = scan_parquet(file.path()).unwrap().collect(&engine).unwrap();
            assert_eq!(whole.metrics.get("partitions"), 1);
            let whole = concat_batches(&whole.schema, &whole.batches).unwrap();
            assert_same(&table, &whole, &backend);
        }
    }
}

/// Writes the offset indexes anew: each as the edit, which is told the column, leaves it.
fn edit_index(path: &Path, edit: impl Fn(usize, &mut Vec<PageLocation>)) {
    let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.try_parse(&bytes).unwrap();
    let mut metadata = reader.finish().unwrap().into_builder();
    let mut index = metadata.take_offset_index().unwrap();
    for columns in &mut index {
        for (column, pages) in columns.iter_mut().enumerate() {
            edit(column, &mut pages.page_locations);
        }
    }
    let metadata = metadata.set_offset_index(Some(index)).build();
    // The old footer stays where it was, as bytes that nobody needs.
    let mut file = TrackedWrite::new(File::create(path).unwrap());
    file.write_all(&bytes).unwrap();
    let writer = ParquetMetaDataWriter::new_with_tracked(file, &metadata);
    writer.finish().unwrap();
}

/// Three batches of a sorted key with others beside it, or of keys all over the place.
pub(super) fn late_file(
    sorted: bool,
    properties: impl Fn() -> WriterPropertiesBuilder,
) -> tempfile::NamedTempFile {
    let rows = 3000i64;
    let keys = (0..rows).map(|row| if sorted { row } else { row * 7919 % rows });
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "number",
            Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * row))),
        ),
        ("key", Arc::new(Int64Array::from_iter_values(keys))),
        (
            "word",
            Arc::new(StringArray::from_iter(
                (0..rows).map(|row| (row % 5 > 0).then(|| format!("word {row}"))),
            )),
        ),
    ];
    let properties = properties().set_max_row_group_row_count(Some(1000));
    write(
        &RecordBatch::try_from_iter(columns).unwrap(),
        properties.build(),
    )
}

/// The key as something that neither statistics nor page indexes know the ends of.
pub(super) fn unseen() -> Expr {
    col("key").try_cast(DataType::Float32)
}

#[test]
fn late_decoding_leaves_out_pages_without_surviving_rows() {
    let odd = unseen().eq(lit(1234.0)).or(unseen().eq(lit(2777.0)));
    for (indexed, codec) in [
        (true, Compression::SNAPPY),
        (false, Compression::SNAPPY),
        (true, Compression::UNCOMPRESSED),
        (false, Compression::ZSTD(Default::default())),
    ] {
        let file = late_file(true, || uncompressed().set_compression(codec));
        if !indexed {
            edit_index(file.path(), |_, pages| pages.clear());
        }
        let (wanted, on_cpu) = filtered(file.path(), &odd, &engine("cpu", &[])).unwrap();
        assert_eq!((wanted.num_rows(), on_cpu.get("scan_late_batches")), (2, 0));
        for backend in &backends()[1..] {
            let size = "target_partition_size=10m";
            let [off, auto, on] = ["off", "auto", "on"].map(|mode| {
                let mode = format!("parquet_late_decoding={mode}");
                let engine = engine(backend, &[&mode, size]);
                filtered(file.path(), &odd, &engine).unwrap()
            });
            for (rows, _) in [&off, &auto, &on] {
                assert_same(&wanted, rows, backend);
            }
            assert_eq!(off.1.get("scan_late_batches"), 0);
            // Headers are walked where that is known to pay.
            for (located, (_, metrics)) in [(indexed, &auto), (true, &on)] {
                assert_eq!(metrics.get("scan_late_batches"), 1);
                // One page of ten in two of three row groups is left, of two columns.
                assert_eq!(metrics.get("scan_late_pages_left_out"), 56);
                let left_out = metrics.get("scan_late_bytes_left_out");
                assert_eq!(left_out > 0, located);
                assert_eq!(
                    metrics.get("scan_bytes") + left_out,
                    off.1.get("scan_bytes")
                );
            }
        }
    }
}

#[test]
fn late_decoding_ends_where_it_does_not_pay() {
    let plain = || uncompressed().set_column_dictionary_enabled(ColumnPath::from("word"), false);
    let file = late_file(false, plain);
    // Survivors are in every page.
    let odd = unseen().gt(lit(1000.0));
    for backend in &backends()[1..] {
        // Thirty partitions.
        let batches = |mode: &str| {
            let engine = engine(backend, &[mode, "target_partition_size=1"]);
            let (_, metrics) = filtered(file.path(), &odd, &engine).unwrap();
            metrics.get("scan_late_batches")
        };
        let sampled = batches("parquet_late_decoding=auto");
        assert_eq!(sampled, 4);
        assert_eq!(batches("parquet_late_decoding=on"), 30);
    }
}

#[test]
fn late_decoding_of_no_row_and_of_all() {
    let file = late_file(true, uncompressed);
    let none = unseen().eq(lit(0.5));
    let all = unseen().not_eq(lit(0.5));
    for backend in &backends()[1..] {
        let engine = engine(backend, &["parquet_late_decoding=on"]);
        let (rows, metrics) = filtered(file.path(), &none, &engine).unwrap();
        assert_eq!(rows.num_rows(), 0);
        assert_eq!(metrics.get("scan_late_pages_left_out"), 60);
        let (rows, metrics) = filtered(file.path(), &all, &engine).unwrap();
        assert_eq!(rows.num_rows(), 3000);
        assert_eq!(metrics.get("scan_late_pages_left_out"), 0);
        // What can fail is left to the filter, and so is what names all columns.
        let failing = col("key").cast(DataType::Int8).eq(lit(3));
        let failed = filtered(file.path(), &failing, &engine).map(|_| ());
        assert!(failed.is_err());
    }
}

#[test]
fn selected_pages_pass_through_a_small_device() {
    let file = late_file(true, || uncompressed().set_data_page_row_count_limit(50));
    let odd = unseen().lt(lit(2000.0)).and(unseen().gt(lit(900.0)));
    let few = col("key").between(lit(950), lit(1950)).and(odd);
    let (wanted, _) = filtered(file.path(), &few, &engine("cpu", &[])).unwrap();
    assert_eq!(wanted.num_rows(), 1001);
    let limit = 100_000;
    for late in ["parquet_late_decoding=on", "parquet_late_decoding=off"] {
        let engine = engine_with(&[
            "backend=simt",
            "fallback_mode=raise",
            "target_partition_size=3k",
            "num_streaming_threads=4",
            &format!("device_memory_limit={limit}"),
            late,
        ]);
        let (rows, _) = filtered(file.path(), &few, &engine).unwrap();
        assert_same(&wanted, &rows, late);
        let peak = engine.memory().peak(Tier::Device);
        assert!(peak > 0 && peak <= limit, "{peak} bytes of the device");
        assert_eq!(needed(&engine, Tier::Device), 0, "all is given back");
    }
}

/// What an index may say that its file does not.
#[derive(Debug, Clone, Copy)]
enum Lie {
    RowsEarlier,
    RowsLater,
    StartsEarlier,
    StartsLater,
    Shorter,
    Longer,
    OnePageLess,
    TwoAsOne,
    PlacesSwapped,
    OfAnotherColumn,
}

const LIES: [Lie; 10] = [
    Lie::RowsEarlier,
    Lie::RowsLater,
    Lie::StartsEarlier,
    Lie::StartsLater,
    Lie::Shorter,
    Lie::Longer,
    Lie::OnePageLess,
    Lie::TwoAsOne,
    Lie::PlacesSwapped,
    Lie::OfAnotherColumn,
];

fn tell(lie: Lie, pages: &mut Vec<PageLocation>, at: usize) {
    match lie {
        Lie::RowsEarlier => pages[at].first_row_index -= 1,
        Lie::RowsLater => pages[at].first_row_index += 1,
        Lie::StartsEarlier => pages[at].offset -= 1,
        Lie::StartsLater => {
            pages[at].offset += 1;
            pages[at].compressed_page_size -= 1;
        }
        Lie::Shorter => pages[at].compressed_page_size -= 1,
        Lie::Longer => pages[at].compressed_page_size += 1,
        Lie::OnePageLess => drop(pages.remove(at)),
        Lie::TwoAsOne => {
            let second = pages.remove(at + 1);
            pages[at].compressed_page_size += second.compressed_page_size;
        }
        Lie::PlacesSwapped => {
            let (one, other) = (pages[at].clone(), pages[at + 1].clone());
            (pages[at].offset, pages[at].compressed_page_size) =
                (other.offset, other.compressed_page_size);
            (pages[at + 1].offset, pages[at + 1].compressed_page_size) =
                (one.offset, one.compressed_page_size);
        }
        Lie::OfAnotherColumn => pages[at].offset = 4,
    }
}

#[test]
fn indexes_that_contradict_the_pages_are_refused_or_passed_over_by_all() {
    let (mut refused, mut passed_over) = (0, 0);
    for_each_case("lying indexes", |random| {
        let lie = *random.pick(&LIES);
        let compression = codec(random);
        let version = *random.pick(&[WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0]);
        let encoding = *random.pick(&[Encoding::PLAIN, Encoding::DELTA_BINARY_PACKED]);
        let file = plain_file(|| {
            uncompressed()
                .set_compression(compression)
                .set_writer_version(version)
                .set_column_encoding(ColumnPath::from("square"), encoding)
        });
        let (column, at) = (random.below(3), 1 + random.below(8));
        edit_index(file.path(), |edited, pages| {
            if edited == column {
                tell(lie, pages, at);
            }
        });
        let low = random.below(1000) as i64;
        let wide = *random.pick(&[0, 30, 300]);
        let few = col("key").between(lit(low), lit(low + wide));
        let size = format!("target_partition_size={}", random.pick(&["1", "3k", "10m"]));
        let verdicts = backends().into_iter().map(|backend| {
            let got = filtered(file.path(), &few, &engine(backend, &[&size]));
            let is_corrupt = |error: &Error| matches!(error.kind(), ErrorKind::Corrupt { .. });
            if let Err(error) = &got {
                assert!(is_corrupt(error), "{lie:?} on {backend}: {error}");
            }
            (backend, got.ok().map(|(rows, _)| rows))
        });
        let verdicts: Vec<_> = verdicts.collect();
        for (backend, rows) in &verdicts[1..] {
            match (&verdicts[0].1, rows) {
                (Some(wanted), Some(rows)) => assert_same(wanted, rows, backend),
                (None, None) => {}
                (wanted, got) => panic!("{lie:?}: {wanted:?}, and {got:?} on {backend}"),
            }
        }
        match verdicts[0].1 {
            Some(_) => passed_over += 1,
            None => refused += 1,
        }
    });
    eprintln!("{refused} refused, {passed_over} passed over");
    assert!(refused > 0 && passed_over > 0);
}
