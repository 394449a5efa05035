//! `pelton quickstart`, against sums computed from the file by other means.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Decimal128Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use support::{command, finish, names};

/// Sum and count of prices above 1000 by flag and status, in cents.
fn expected(file: &Path) -> BTreeMap<(String, String), (i128, u64)> {
    let mut groups = BTreeMap::new();
    let file = std::fs::File::open(file).unwrap();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
    {
        let batch = batch.unwrap();
        let text = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_string::<i32>()
                .clone()
        };
        let (flags, statuses) = (text("l_returnflag"), text("l_linestatus"));
        let prices = batch.column_by_name("l_extendedprice").unwrap();
        let prices = prices.as_primitive::<Decimal128Type>();
        for row in 0..batch.num_rows() {
            let cents = prices.value(row);
            if cents > 1000 * 100 {
                let key = (
                    flags.value(row).to_string(),
                    statuses.value(row).to_string(),
                );
                let group: &mut (i128, u64) = groups.entry(key).or_default();
                group.0 += cents;
                group.1 += 1;
            }
        }
    }
    groups
}

#[test]
fn the_answer_is_right_and_the_data_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let quickstart = |rest: &[&str]| {
        let mut command = command();
        command.env("PELTON_CACHE_DIR", folder.path());
        command
            .args(["quickstart", "--scale", "0.01", "--format", "csv"])
            .args(rest);
        finish(command).ok()
    };
    let first = quickstart(&[]);
    let data = folder.path().join("tpch-1/sf0.01");
    assert_eq!(names(&data), ["lineitem.parquet"]);
    let file = data.join("lineitem.parquet");
    let made = std::fs::metadata(&file).unwrap().modified().unwrap();

    let rows: Vec<Vec<&str>> = first
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    let expected = expected(&file);
    assert_eq!(rows.len(), expected.len());
    for (row, ((flag, status), (cents, count))) in rows.iter().zip(&expected) {
        assert_eq!(row[..2], [flag, status]);
        assert_eq!(row[2], format!("{}.{:02}", cents / 100, cents % 100));
        assert_eq!(row[3], count.to_string());
        let mean: f64 = row[4].parse().unwrap();
        let exact = *cents as f64 / 100.0 / *count as f64;
        assert!((mean - exact).abs() <= 1e-9 * exact, "{mean} and {exact}");
    }
    for words in ["rows/s", "backend", "filter", "pelton gen tpch", "Making"] {
        assert!(
            first.stderr.contains(words),
            "no `{words}` in {}",
            first.stderr
        );
    }

    let second = quickstart(&[]);
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("earlier run"), "{}", second.stderr);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), made);
    assert_eq!(quickstart(&["--quiet"]).stderr, "");
}

#[test]
fn the_data_may_live_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    command
        .args(["quickstart", "--scale", "0.001", "--quiet", "--dir"])
        .arg(folder.path());
    finish(command).ok();
    assert_eq!(names(folder.path()), ["tpch-1"]);

    let mut nowhere = support::command();
    nowhere.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    nowhere.args(["quickstart", "--scale", "0.001"]);
    finish(nowhere).fails(2, &["PELTON_CACHE_DIR"]);
}
