//! `pelton gen`: the tables are right, whole, and the same every time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::ParquetMetaData;
use support::{line, names, pelton};

fn metadata(path: &Path) -> ParquetMetaData {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.metadata().as_ref().clone()
}

/// `DIGEST ROWS` of a file.
fn digest(path: &Path) -> String {
    let ran = pelton(&["digest".as_ref(), path.as_os_str()]).ok();
    ran.stdout.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn eight_tables_of_known_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made/by/us");
    let ran = line(&format!(
        "gen tpch --scale 0.001 --out {} --format csv",
        out.display()
    ))
    .ok();
    let rows: Vec<(String, u64)> = ran
        .stdout
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[0].to_string(), cells[4].parse().unwrap())
        })
        .collect();
    let known = [
        ("lineitem", 6005),
        ("orders", 1500),
        ("partsupp", 800),
        ("customer", 150),
        ("part", 200),
        ("supplier", 10),
        ("nation", 25),
        ("region", 5),
    ];
    assert_eq!(rows, known.map(|(name, rows)| (name.to_string(), rows)));
    assert_eq!(names(&out).len(), 8, "{:?}", names(&out));
    for (table, rows) in known {
        let metadata = metadata(&out.join(format!("{table}.parquet")));
        assert_eq!(
            metadata.file_metadata().num_rows().unsigned_abs(),
            rows,
            "{table}"
        );
    }
    // Known since the first version: data does not drift.
    assert_eq!(
        digest(&out.join("lineitem.parquet")),
        "72a9d617a45ea8a9 6005"
    );
    assert_eq!(digest(&out.join("region.parquet")), "c2e75988aa8f614e 5");
}

#[test]
fn types_are_those_of_the_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    line(&format!(
        "gen tpch --scale 0.001 --out {out} --tables lineitem"
    ))
    .ok();
    let path = folder.path().join("lineitem.parquet");
    let metadata = metadata(&path);
    let schema = metadata.file_metadata().schema_descr();
    assert_eq!(schema.column(5).physical_type(), Type::INT64);
    let column = metadata.row_group(0).column(5);
    assert_eq!(column.compression(), Compression::SNAPPY);
    assert!(column.statistics().is_some());
    assert!(column.dictionary_page_offset().is_some());
    let file = std::fs::File::open(&path).unwrap();
    let arrow = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .schema()
        .clone();
    assert_eq!(*arrow.field(5).data_type(), DataType::Decimal128(15, 2));
    assert_eq!(*arrow.field(10).data_type(), DataType::Date32);
    assert_eq!(*arrow.field(8).data_type(), DataType::Utf8);
    assert!(arrow.fields().iter().all(|field| !field.is_nullable()));
}

#[test]
fn cuts_and_codecs_change_the_bytes_not_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("one");
    line(&format!(
        "gen tpch --scale 0.001 --out {} --tables orders",
        one.display()
    ))
    .ok();
    let expected = digest(&one.join("orders.parquet"));
    for (codec, compression) in [
        (
            "zstd",
            Compression::ZSTD(parquet::basic::ZstdLevel::default()),
        ),
        ("lz4", Compression::LZ4_RAW),
        ("none", Compression::UNCOMPRESSED),
    ] {
        let out = folder.path().join(codec);
        line(&format!(
            "gen tpch --scale 0.001 --out {} --tables orders --compression {codec} \
             --row-group-rows 200",
            out.display()
        ))
        .ok();
        let path = out.join("orders.parquet");
        let metadata = metadata(&path);
        assert_eq!(metadata.num_row_groups(), 8);
        assert_eq!(metadata.row_group(3).column(0).compression(), compression);
        assert_eq!(digest(&path), expected);
    }
}

#[test]
fn several_files_are_a_folder_and_cover_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    line(&format!(
        "gen tpch --scale 0.001 --out {out} --tables lineitem,nation --files 3 --row-group-bytes 64KiB"
    ))
    .ok();
    assert_eq!(names(folder.path()), ["lineitem", "nation.parquet"]);
    let files = folder.path().join("lineitem");
    assert_eq!(
        names(&files),
        [
            "part-00000.parquet",
            "part-00001.parquet",
            "part-00002.parquet"
        ]
    );
    let rows: i64 = names(&files)
        .iter()
        .map(|name| metadata(&files.join(name)).file_metadata().num_rows())
        .sum();
    assert_eq!(rows, 6005);
}

#[test]
fn nothing_is_overwritten_unasked_and_nothing_left_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display();
    let again = format!("gen tpch --scale 0.001 --out {out} --tables region");
    line(&again).ok();
    line(&again).fails(1, &["region.parquet exists", "--overwrite"]);
    line(&format!("{again} --overwrite")).ok();
    // Another layout replaces the old one, too.
    line(&format!(
        "gen tpch --scale 0.001 --out {out} --tables supplier --files 2"
    ))
    .ok();
    line(&format!(
        "gen tpch --scale 0.001 --out {out} --tables supplier --overwrite"
    ))
    .ok();
    assert_eq!(names(folder.path()), ["region.parquet", "supplier.parquet"]);
}

#[test]
fn bad_requests_are_usage_errors() {
    line("gen tpch --scale 0 --out x").fails(2, &["scale factor"]);
    line("gen tpch --scale 1 --out x --row-group-bytes many").fails(2, &["128MiB"]);
    line("gen tpch --scale 1 --out x --row-group-rows 0").fails(2, &["row-group-rows"]);
    line("gen tpch --scale 1 --out x --tables lineitems").fails(2, &["lineitem"]);
    line("gen tpch --scale 1").fails(2, &["--out"]);
    line("gen tpch --scale 0.001 --out /dev/null/x").fails(1, &["/dev/null/x"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_and_exits_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = support::command();
    command
        .args([
            "gen", "tpch", "--scale", "50", "--tables", "lineitem", "--out",
        ])
        .arg(folder.path());
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while names(folder.path()).is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!names(folder.path()).is_empty(), "it has not begun");
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        names(folder.path()).is_empty(),
        "{:?}",
        names(folder.path())
    );
}
