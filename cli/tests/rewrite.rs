//! `pelton rewrite`: the same rows, other bytes, or nothing at all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringBuilder};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use support::{names, orders, pelton, write_parquet};

fn footer(path: &Path) -> ParquetMetaData {
    let file = std::fs::File::open(path).unwrap();
    ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .unwrap()
}

/// `DIGEST ROWS` of a file.
fn digest(path: &Path) -> String {
    let ran = pelton(&["digest".as_ref(), path.as_os_str()]).ok();
    ran.stdout.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Tables of TPC-H, and a folder to write to.
fn tpch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let out = data.to_str().unwrap();
    pelton(&[
        "gen", "tpch", "--scale", "0.01", "--out", out, "--codec", "zstd(2)",
    ])
    .ok();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    (folder, data)
}

fn rewrite(source: &Path, target: &Path, rest: &[&str]) -> support::Ran {
    let mut arguments = vec![
        "rewrite",
        source.to_str().unwrap(),
        target.to_str().unwrap(),
    ];
    arguments.extend(rest);
    pelton(&arguments)
}

#[test]
fn digests_stay_and_encodings_change() {
    let (folder, data) = tpch();
    for name in names(&data) {
        let (source, target) = (data.join(&name), folder.path().join("out").join(&name));
        let ran = rewrite(&source, &target, &["--format", "csv"]).ok();
        assert_eq!(digest(&source), digest(&target), "{name}");
        assert!(
            ran.stdout
                .starts_with("column,type,encoding,reason,bytes_before,bytes_after,")
        );
        assert!(ran.stderr.contains(" rows in "), "{}", ran.stderr);
    }
    let written = footer(&folder.path().join("out/lineitem.parquet"));
    assert_eq!(written.num_row_groups(), 1);
    let expected = [
        ("l_orderkey", Encoding::DELTA_BINARY_PACKED),
        ("l_suppkey", Encoding::RLE_DICTIONARY),
        ("l_quantity", Encoding::RLE_DICTIONARY),
        ("l_extendedprice", Encoding::DELTA_BINARY_PACKED),
        ("l_returnflag", Encoding::RLE_DICTIONARY),
        ("l_shipdate", Encoding::DELTA_BINARY_PACKED),
        ("l_shipmode", Encoding::RLE_DICTIONARY),
        ("l_comment", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ];
    for (name, encoding) in expected {
        let columns = written.row_group(0).columns().iter();
        let column = columns
            .into_iter()
            .find(|c| c.column_path().string() == name)
            .unwrap();
        assert!(
            column.encodings().any(|e| e == encoding),
            "{name}: {:?}",
            column.encodings().collect::<Vec<_>>()
        );
        assert_eq!(column.compression(), Compression::UNCOMPRESSED);
        assert!(column.statistics().is_some());
    }
}

#[test]
fn flags_reach_the_files() {
    let (folder, data) = tpch();
    let source = data.join("lineitem.parquet");
    let target = folder.path().join("out/parts");
    let flags = "--file-rows 40000 --row-group-rows 15000 --codec gzip(1) --page-version 2 \
         --encoding l_comment=delta_byte_array --bloom-filter l_orderkey --quiet --format csv";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let ran = rewrite(&source, &target, &flags).ok();
    assert_eq!(ran.stderr, "");
    assert!(
        ran.stdout
            .contains("\nl_comment,Utf8,delta_byte_array,asked for,"),
        "{}",
        ran.stdout
    );
    assert_eq!(names(&target), ["part-00000.parquet", "part-00001.parquet"]);
    let first = footer(&target.join("part-00000.parquet"));
    assert_eq!(first.file_metadata().num_rows(), 40_000);
    assert_eq!(first.num_row_groups(), 3);
    assert!(matches!(
        first.row_group(0).column(0).compression(),
        Compression::GZIP(_)
    ));
    assert!(first.row_group(0).column(0).bloom_filter_offset().is_some());

    // Back to one file, from a folder and by a pattern: the rows keep their order.
    let whole = folder.path().join("out/whole.parquet");
    rewrite(&target, &whole, &["--row-group-bytes", "1MiB"]).ok();
    assert_eq!(digest(&source), digest(&whole));
    assert!(footer(&whole).num_row_groups() > 1);
    rewrite(&target.join("*.parquet"), &whole, &["--overwrite"]).ok();
    assert_eq!(digest(&source), digest(&whole));
    // Onto itself.
    rewrite(&whole, &whole, &["--overwrite", "--codec", "snappy"]).ok();
    assert_eq!(digest(&source), digest(&whole));
    assert_eq!(
        names(&folder.path().join("out")),
        ["parts", "whole.parquet"]
    );
}

#[test]
fn nested_columns_and_no_rows_pass_through() {
    let folder = tempfile::tempdir().unwrap();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..100 {
        lists.append_value((0..row % 3).map(|n| Some(format!("{row}.{n}"))));
        lists.append_null();
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let whether: ArrayRef = Arc::new((0..200).map(|n| Some(n % 3 == 0)).collect::<BooleanArray>());
    let nested = RecordBatch::try_from_iter([("lists", lists), ("whether", whether)]).unwrap();
    for (name, batch) in [("nested", nested), ("empty", orders().slice(0, 0))] {
        let source = folder.path().join(name);
        let target = folder.path().join(format!("{name} anew"));
        write_parquet(&source, &batch);
        let ran = rewrite(&source, &target, &["--format", "csv"]).ok();
        assert_eq!(digest(&source), digest(&target), "{}", ran.stdout);
        let nested = ran.stdout.contains(",default,nested: left to the writer,");
        assert_eq!(nested, name == "nested", "{}", ran.stdout);
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let (folder, data) = tpch();
    let target = folder.path().join("out/orders.parquet");
    let source = data.join("orders.parquet");
    let flags = ["--dry-run", "--format", "csv"];
    let ran = rewrite(&source, &target, &flags).ok();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{}", ran.stdout);
    assert_eq!(lines[0], "column,type,encoding,reason,bytes_before");
    assert!(lines[1].starts_with("o_orderkey,Int64,delta_binary_packed,15000 numbers in 15000,"));
    assert_eq!(ran.stdout, rewrite(&source, &target, &flags).ok().stdout);
    assert_eq!(names(&folder.path().join("out")), [""; 0]);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("orders.parquet");
    write_parquet(&source, &orders());
    let target = folder.path().join("out.parquet");
    let fails =
        |rest: &[&str], code, words: &[&str]| rewrite(&source, &target, rest).fails(code, words);
    fails(
        &["--codec", "lzo"],
        2,
        &["no such codec", "zstd (zstd(1) to zstd(22))"],
    );
    fails(
        &["--encoding", "amount=rle"],
        2,
        &["the choices are plain, dictionary"],
    );
    fails(
        &["--encoding", "x=plain"],
        2,
        &["column `x`", "the columns are customer, amount"],
    );
    fails(
        &["--encoding", "customer=byte_stream_split"],
        2,
        &["does not hold BYTE_ARRAY"],
    );
    fails(&["--page-version", "3"], 2, &["the choices are 1, 2"]);
    let nowhere = folder.path().join("no/such/out.parquet");
    rewrite(&source, &nowhere, &[]).fails(1, &["cannot write", "no/such/out.parquet"]);
    rewrite(&nowhere, &target, &[]).fails(1, &["no/such/out.parquet"]);
    assert_eq!(names(folder.path()), ["orders.parquet"]);
    rewrite(&source, &target, &[]).ok();
    fails(&[], 1, &["exists already", "overwrite"]);
    rewrite(&source, &target, &["--overwrite"]).ok();
    assert_eq!(digest(&source), digest(&target));
}

/// A file that may not grow beyond so many blocks stands for a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing() {
    let (folder, data) = tpch();
    let out = folder.path().join("out");
    for flags in ["", "--file-rows 10000 --row-group-rows 5000"] {
        let mut shell = std::process::Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" rewrite \"$1\" \"$2\" $3";
        shell.args(["-c", script, env!("CARGO_BIN_EXE_pelton")]);
        shell
            .arg(data.join("lineitem.parquet"))
            .arg(out.join("target"))
            .arg(flags);
        support::finish(shell).fails(1, &["cannot write", "target", "File too large"]);
        assert_eq!(names(&out), [""; 0]);
    }
}
