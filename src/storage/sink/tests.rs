//! What is left after failures, how rows are cut, and what is refused.

use std::fs::OpenOptions;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, IntervalUnit, UnionFields, UnionMode};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;
use crate::error::ErrorKind;
use crate::storage::{Dataset, ReadOptions};

fn numbers(rows: i64) -> Result<RecordBatch> {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|n| format!("text {n}")),
    ));
    RecordBatch::try_from_iter([("n", n), ("text", text)])
        .map_err(|cause| Error::invalid("test", cause.to_string(), ""))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn write(path: &Path, batch: &RecordBatch, options: SinkOptions) -> Result<SinkSummary> {
    let mut sink = ParquetSink::create(path, batch.schema(), options)?;
    sink.write(batch)?;
    sink.finish()
}

fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let dataset = Dataset::open(&crate::storage::expand(&[path])?)?;
    let columns: Vec<usize> = (0..dataset.schema().fields().len()).collect();
    let partitions = dataset.prune(&columns, None)?.partitions(u64::MAX);
    let readers = partitions.iter();
    readers
        .flat_map(|p| p.read(ReadOptions::detached(1 << 20)))
        .collect()
}

fn footer(path: &Path) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new()
        .parse_and_finish(&File::open(path)?)
        .map_err(|cause| Error::corrupt(path, "footer", cause))
}

fn message<T>(outcome: Result<T>) -> String {
    outcome.map_or_else(|error| error.to_string(), |_| "no error".to_string())
}

#[test]
fn a_file_appears_when_it_is_finished() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("n.parquet");
    let batch = numbers(1000)?;
    let mut sink = ParquetSink::create(&path, batch.schema(), SinkOptions::default())?;
    sink.write(&batch)?;
    sink.write(&batch.slice(0, 0))?;
    let hidden = names(folder.path())?;
    assert!(matches!(hidden.as_slice(), [name] if name.starts_with(".pelton-sink-")));
    assert_eq!(sink.temporary().and_then(Path::parent), Some(folder.path()));
    let summary = sink.finish()?;
    assert_eq!(names(folder.path())?, ["n.parquet"]);
    assert_eq!(summary.files, std::slice::from_ref(&path));
    assert_eq!((summary.rows, summary.row_groups), (1000, 1));
    assert_eq!(summary.bytes, std::fs::metadata(&path)?.len());
    assert_eq!(summary.metrics.get(names::SINK_BYTES), summary.bytes);
    let columns: Vec<_> = summary.columns.iter().map(|c| c.column.as_str()).collect();
    assert_eq!(columns, ["n", "text"]);
    let sum: u64 = summary.columns.iter().map(|column| column.compressed).sum();
    assert!(sum > 0 && sum < summary.bytes);
    assert_eq!(read(&path)?, [batch]);
    Ok(())
}

#[test]
fn a_dropped_sink_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(1000)?;
    for file_rows in [None, Some(300)] {
        let options = SinkOptions {
            file_rows,
            ..SinkOptions::default()
        };
        let mut sink = ParquetSink::create(folder.path().join("n"), batch.schema(), options)?;
        sink.write(&batch)?;
        assert_eq!(names(folder.path())?.len(), 1);
        drop(sink);
        assert_eq!(names(folder.path())?, [""; 0]);
    }
    Ok(())
}

/// A disk that is full from the first byte, where the system has one.
fn full_disk() -> Option<File> {
    OpenOptions::new().write(true).open("/dev/full").ok()
}

#[test]
fn a_full_disk_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(1000)?;
    for (file_rows, buffer) in [(None, 16), (Some(300), 16), (None, BUFFER_BYTES)] {
        let Some(full) = full_disk() else {
            return Ok(());
        };
        let path = folder.path().join("n");
        let options = SinkOptions {
            file_rows,
            row_group_rows: 100,
            ..SinkOptions::default()
        };
        let mut sink = ParquetSink::create(&path, batch.schema(), options)?;
        let properties = Some(sink.properties.clone());
        let out = BufWriter::with_capacity(buffer, full);
        let writer = ArrowWriter::try_new(out, batch.schema(), properties);
        if let Some(open) = &mut sink.open {
            open.part = Some(Part {
                path: path.clone(),
                writer: writer.map_err(|cause| failed(&path, cause))?,
                rows: 0,
            });
        }
        // More than every buffer on the way holds, or, in the last case, less.
        let mut outcome = Ok(());
        for _ in 0..if buffer == 16 { 100 } else { 1 } {
            outcome = outcome.and_then(|()| sink.write(&batch));
        }
        let outcome = match outcome {
            Ok(()) => sink.finish().map(drop),
            Err(error) => {
                assert_eq!(names(folder.path())?, [""; 0], "before it is dropped");
                assert!(message(sink.write(&batch)).contains("the sink has failed before"));
                assert!(message(sink.finish()).contains("the sink has failed before"));
                Err(error)
            }
        };
        let Err(error) = outcome else {
            return Err(Error::invalid("test", "a full disk took everything", ""));
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Io {
                    operation: "write",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(names(folder.path())?, [""; 0]);
    }
    Ok(())
}

#[test]
fn a_batch_that_does_not_fit_ends_the_sink() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(10)?;
    let column = |name: &str, values: ArrayRef| {
        RecordBatch::try_from_iter_with_nullable([(name, values, true)])
            .map_err(|cause| Error::invalid("test", cause.to_string(), ""))
    };
    let only = batch.project(&[0]);
    let only = only.map_err(|cause| Error::invalid("test", cause.to_string(), ""))?;
    let bad = [
        (batch.clone(), "batch: has 2 columns, its sink 1"),
        (
            column("m", only.column(0).clone())?,
            "column `n`: is `m` in a batch",
        ),
        (
            column("n", Arc::new(BooleanArray::from(vec![true])))?,
            "column `n`: is Boolean in a batch and Int64 in its sink",
        ),
        (
            column("n", new_null_array(&DataType::Int64, 1))?,
            "column `n`: has nulls and may have none; make it nullable in the sink's schema",
        ),
    ];
    for (bad, expected) in bad {
        let path = folder.path().join("n.parquet");
        let mut sink = ParquetSink::create(&path, only.schema(), SinkOptions::default())?;
        sink.write(&only)?;
        assert_eq!(message(sink.write(&bad)), expected);
        assert_eq!(names(folder.path())?, [""; 0]);
        assert!(message(sink.finish()).ends_with("the sink has failed before; make a new one"));
    }
    Ok(())
}

#[test]
fn targets_are_not_replaced_unasked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(10)?;
    let one = SinkOptions::default();
    let several = SinkOptions {
        file_rows: Some(4),
        ..SinkOptions::default()
    };
    let over = |options: &SinkOptions| SinkOptions {
        overwrite: true,
        ..options.clone()
    };
    let file = folder.path().join("file");
    let parts = folder.path().join("parts");
    write(&file, &batch, one.clone())?;
    write(&parts, &batch, several.clone())?;
    assert!(
        message(write(&file, &batch, one.clone()))
            .ends_with("exists already; `overwrite` replaces it")
    );
    assert!(
        message(write(&parts, &batch, several.clone())).contains("is a folder that is not empty")
    );
    assert!(message(write(&parts, &batch, over(&one))).contains("is a folder; name a file in it"));
    assert!(message(write(&file, &batch, over(&several))).contains("is a file, not a folder"));

    // One that appears while rows are written.
    let late = folder.path().join("late");
    let sink = ParquetSink::create(&late, batch.schema(), one.clone())?;
    std::fs::write(&late, "mine")?;
    assert!(message(sink.finish()).contains("exists already"));
    assert_eq!(std::fs::read(&late)?, b"mine");
    std::fs::remove_file(&late)?;

    // Replacing, also of an empty folder, and never of what is no Parquet.
    let fewer = batch.slice(0, 3);
    write(&file, &fewer, over(&one))?;
    write(&parts, &fewer, over(&several))?;
    assert_eq!(names(&parts)?, ["part-00000.parquet"]);
    assert_eq!(
        (read(&file)?, read(&parts)?),
        (vec![fewer.clone()], vec![fewer])
    );
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty)?;
    write(&empty, &batch, several.clone())?;
    std::fs::write(empty.join("thesis.txt"), "mine")?;
    let refused = message(write(&empty, &batch, over(&several)));
    assert!(
        refused.contains("it holds `thesis.txt`, which is no Parquet file"),
        "{refused}"
    );
    assert_eq!(names(folder.path())?, ["empty", "file", "parts"]);
    Ok(())
}

#[test]
fn unwritable_places_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(10)?;
    let file = folder.path().join("file");
    std::fs::write(&file, "")?;
    for path in [folder.path().join("no/such/folder"), file.join("n.parquet")] {
        for file_rows in [None, Some(4)] {
            let options = SinkOptions {
                file_rows,
                ..SinkOptions::default()
            };
            let outcome = ParquetSink::create(&path, batch.schema(), options);
            let Err(error) = outcome else {
                return Err(Error::invalid("test", "wrote nowhere", ""));
            };
            let ErrorKind::Io { path: named, .. } = error.kind() else {
                return Err(error);
            };
            assert_eq!(*named, path);
        }
    }
    assert_eq!(names(folder.path())?, ["file"]);
    Ok(())
}

#[test]
fn rows_are_cut_into_groups_and_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(25_000)?;
    let path = folder.path().join("parts");
    let options = SinkOptions {
        file_rows: Some(10_000),
        row_group_rows: 3_000,
        ..SinkOptions::default()
    };
    let mut sink = ParquetSink::create(&path, batch.schema(), options)?;
    sink.write(&batch.slice(0, 7_001))?;
    sink.write(&batch.slice(7_001, 17_999))?;
    let summary = sink.finish()?;
    let groups = |path: &Path| -> Result<Vec<i64>> {
        Ok(footer(path)?
            .row_groups()
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::num_rows)
            .collect())
    };
    let parts = [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
    ];
    assert_eq!(names(&path)?, parts);
    assert_eq!(summary.files, parts.map(|part| path.join(part)));
    assert_eq!(groups(&summary.files[0])?, [3_000, 3_000, 3_000, 1_000]);
    assert_eq!(groups(&summary.files[2])?, [3_000, 2_000]);
    assert_eq!((summary.rows, summary.row_groups), (25_000, 10));
    assert_eq!(read(&path)?, std::slice::from_ref(&batch));

    // A limit of bytes is about that many.
    let path = folder.path().join("bytes");
    let options = SinkOptions {
        row_group_bytes: Some(64 << 10),
        dictionary: false,
        ..SinkOptions::default()
    };
    write(&path, &batch, options)?;
    let groups = groups(&path)?;
    assert!(
        groups.len() > 3 && groups.iter().all(|rows| *rows <= 8192),
        "{groups:?}"
    );

    // As many row groups as rows take no deep stack.
    let path = folder.path().join("ones");
    let options = SinkOptions {
        row_group_rows: 1,
        ..SinkOptions::default()
    };
    let summary = write(&path, &batch.slice(0, 2_000), options)?;
    assert_eq!(summary.row_groups, 2_000);
    Ok(())
}

#[test]
fn no_rows_are_a_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let batch = numbers(0)?;
    for file_rows in [None, Some(4)] {
        let path = folder.path().join(format!("{file_rows:?}"));
        let options = SinkOptions {
            file_rows,
            ..SinkOptions::default()
        };
        let summary = write(&path, &batch, options)?;
        assert_eq!(
            (summary.rows, summary.row_groups, summary.files.len()),
            (0, 0, 1)
        );
        assert_eq!(*Dataset::open(&summary.files)?.schema(), batch.schema());
    }
    Ok(())
}

#[test]
fn options_reach_the_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("n");
    let mut options = SinkOptions {
        codec: SinkCodec::Zstd(3),
        page_version: PageVersion::V2,
        page_rows: 100,
        bloom_filters: ["text".to_string()].into(),
        ..SinkOptions::default()
    };
    options.set_encoding("n=delta_binary_packed")?;
    options.set_encoding("text=dictionary")?;
    write(&path, &numbers(1000)?, options.clone())?;
    let written = footer(&path)?;
    let [n, text] = written.row_group(0).columns() else {
        return Err(Error::corrupt(&path, "", "has other columns"));
    };
    assert!(matches!(n.compression(), Compression::ZSTD(_)));
    assert!(
        n.encodings()
            .any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED)
    );
    assert!(n.dictionary_page_offset().is_none());
    assert!(
        text.encodings()
            .any(|encoding| encoding == Encoding::RLE_DICTIONARY)
    );
    assert!(text.bloom_filter_offset().is_some() && n.bloom_filter_offset().is_none());
    assert!(n.statistics().is_some() && n.column_index_offset().is_some());

    options.statistics = StatisticsLevel::RowGroup;
    options.overwrite = true;
    write(&path, &numbers(1000)?, options.clone())?;
    let n = footer(&path)?.row_group(0).column(0).clone();
    assert!(n.statistics().is_some() && n.column_index_offset().is_none());
    options.statistics = StatisticsLevel::None;
    write(&path, &numbers(1000)?, options)?;
    assert!(footer(&path)?.row_group(0).column(0).statistics().is_none());
    Ok(())
}

#[test]
fn options_that_do_not_fit_are_refused_before_anything_is_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let schema = Schema::new(vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("n", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(38, 2), true),
        Field::new("l", DataType::new_list(DataType::Utf8, true), true),
    ]);
    let encoding = |pair: &str| {
        let mut options = SinkOptions::default();
        options.set_encoding(pair).map(|()| options)
    };
    let cases = [
        (
            encoding("n=delta_byte_array")?,
            "column `n`: delta_byte_array does not hold INT64 in pages of version 1; the choices \
             are plain, dictionary, delta_binary_packed, byte_stream_split",
        ),
        (encoding("b=dictionary")?, "the choices are plain"),
        (
            encoding("f=delta_binary_packed")?,
            "plain, dictionary, byte_stream_split",
        ),
        (
            encoding("d=dictionary")?,
            "plain, delta_byte_array, byte_stream_split",
        ),
        (encoding("l=delta_binary_packed")?, "column `l.list.item`: "),
        (
            encoding("x=plain")?,
            "the columns are b, n, f, d, l.list.item",
        ),
        (
            SinkOptions {
                row_group_rows: 0,
                ..SinkOptions::default()
            },
            "row group rows: 0 is out",
        ),
        (
            SinkOptions {
                page_bytes: 1 << 31,
                ..SinkOptions::default()
            },
            "from 1 to 2147483647",
        ),
        (
            SinkOptions {
                file_rows: Some(0),
                ..SinkOptions::default()
            },
            "file rows: 0 is out",
        ),
        (
            SinkOptions {
                codec: SinkCodec::Zstd(99),
                ..SinkOptions::default()
            },
            "codec `zstd(99)`",
        ),
        (
            SinkOptions {
                bloom_filters: ["b".to_string()].into(),
                ..SinkOptions::default()
            },
            "Booleans have no Bloom filters",
        ),
    ];
    for (options, expected) in cases {
        let schema = Arc::new(schema.clone());
        let refused = message(ParquetSink::create(
            folder.path().join("x"),
            schema,
            options,
        ));
        assert!(refused.contains(expected), "{refused}");
    }
    encoding("l=delta_byte_array")?.check(&schema)?;
    encoding("l.list.item=delta_byte_array")?.check(&schema)?;
    assert_eq!(names(folder.path())?, [""; 0]);
    Ok(())
}

#[test]
fn types_without_a_place_are_named() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let union = DataType::Union(UnionFields::empty(), UnionMode::Sparse);
    for (data_type, cause) in [
        (interval.clone(), "its intervals have no nanoseconds"),
        (
            DataType::new_list(interval, true),
            "its intervals have no nanoseconds",
        ),
        (union, "it has no unions"),
        (
            DataType::Decimal32(1, 0),
            "its writer wants wider decimals of one digit",
        ),
        (
            DataType::Struct(arrow::datatypes::Fields::empty()),
            "empty structs",
        ),
    ] {
        let schema = Schema::new(vec![Field::new("odd", data_type, true)]);
        let refused = message(SinkOptions::default().check(&schema));
        assert!(
            refused.starts_with("column `odd`: Parquet does not hold "),
            "{refused}"
        );
        assert!(refused.contains(cause), "{refused}");
    }
}
