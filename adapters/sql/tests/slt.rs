//! The queries of `slt/`, in the format of sqllogictest, over Parquet files of a few rows each.
//!
//! Expected values are another engine's, DuckDB's, except in `differences.slt`, where `docs/sql.md` says that
//! Pelton means something else, and in `refused.slt`. Tables are made by the files themselves:
//! `CREATE TABLE name AS query` runs the query and writes its rows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;

use sqllogictest::{ColumnType, DBOutput, DefaultColumnType, Normalizer, Runner};

use support::{Database, cells};

/// Pelton as sqllogictest sees it.
struct Connection(Database);

impl sqllogictest::DB for Connection {
    type Error = pelton::error::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> pelton::error::Result<DBOutput<DefaultColumnType>> {
        if self.0.create(sql)? {
            return Ok(DBOutput::StatementComplete(0));
        }
        let result = self.0.query(sql)?;
        let columns = result.schema.fields().len();
        let any = DefaultColumnType::from_char('?').unwrap_or(DefaultColumnType::Any);
        Ok(DBOutput::Rows {
            types: vec![any; columns],
            rows: cells(&result),
        })
    }

    fn engine_name(&self) -> &'static str {
        "pelton"
    }
}

/// Rows are equal cell by cell; floats up to the last digits, which depend on the order of additions.
fn equal(_normalizer: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    let expected = expected
        .iter()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let expected: Vec<Vec<&str>> = expected.collect();
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|(actual, expected)| {
            actual.len() == expected.len()
                && actual
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| equal_cells(one, other))
        })
}

fn equal_cells(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let is_fraction = |text: &str| text.contains(['.', 'e', 'i', 'n']);
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) if is_fraction(&format!("{one:?}{other:?}")) => {
            one == other
                || (one.is_nan() && other.is_nan())
                || (one - other).abs() <= 1e-12 * one.abs().max(other.abs())
        }
        _ => false,
    }
}

/// Runs a file on a backend.
fn run(name: &str, backend: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut runner = Runner::new(|| async { Ok(Connection(Database::new(backend))) });
    runner.with_validator(equal);
    let file = folder.join(name).with_extension("slt");
    if let Err(error) = runner.run_file(file) {
        panic!("{}", error.display(false));
    }
}

/// A test for each file, and one that there is no other file.
macro_rules! files {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), "cpu");
            }
        )*

        #[test]
        fn no_file_is_forgotten() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            let names = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_string());
            let mut names: Vec<String> = names.filter(|name| name != "tables").collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

files! {
    aggregates case_cast cte dates decimals differences errors grouping_sets joins lists mixed nulls numbers patterns
    refused select set_operations strings subqueries windows
}

#[test]
fn the_kernels_have_the_same_nulls() {
    run("nulls", "simt");
}

#[test]
fn the_kernels_have_the_same_sets() {
    run("set_operations", "simt");
}

#[test]
fn the_kernels_have_the_same_subqueries() {
    run("subqueries", "simt");
}
