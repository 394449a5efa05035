//! Files that a text names itself, to read them and to write them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use pelton::prelude::*;
use pelton::storage::SinkOptions;
use pelton_sql::{Catalog, SqlStatement};

fn engine() -> Engine {
    Engine::new(EngineOptions::default().with("backend", "cpu").unwrap()).unwrap()
}

/// Writes a file whose column `n` has these numbers.
fn write(path: &Path, numbers: Vec<i64>) {
    let column = Arc::new(Int64Array::from(numbers));
    let rows = RecordBatch::try_from_iter([("n", column as _)]).unwrap();
    let frame = from_batches(vec![rows]).unwrap();
    frame
        .sink_parquet(&engine(), path, SinkOptions::default())
        .unwrap();
}

/// The only number of a query's answer.
fn number(catalog: &Catalog, text: &str) -> i64 {
    let result = catalog.sql(text).unwrap().collect(&engine()).unwrap();
    let [batch] = result.batches.as_slice() else {
        panic!("{text}: {result:?}");
    };
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

struct Fixture {
    folder: tempfile::TempDir,
    catalog: Catalog,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.parquet"), vec![1, 2]);
        write(&folder.path().join("b.parquet"), vec![3]);
        Fixture {
            folder,
            catalog: Catalog::new(),
        }
    }

    /// The answer to a text in which `{}` is the folder.
    fn number(&self, text: &str) -> i64 {
        let folder = self.folder.path().display().to_string();
        number(&self.catalog, &text.replace("{}", &folder))
    }
}

#[test]
fn files_are_tables() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.number("SELECT sum(n) FROM read_parquet('{}/*.parquet')"),
        6
    );
    assert_eq!(fixture.number("SELECT sum(n) FROM read_parquet('{}')"), 6);
    assert_eq!(fixture.number("SELECT sum(n) FROM '{}/a.parquet'"), 3);
    let both = "read_parquet(['{}/a.parquet', '{}/b.parquet'])";
    assert_eq!(fixture.number(&format!("SELECT sum(n) FROM {both}")), 6);
}

#[test]
fn files_stand_wherever_tables_do() {
    let fixture = Fixture::new();
    let joined =
        "SELECT count(*) FROM '{}/a.parquet' AS a JOIN READ_PARQUET('{}/a.parquet') b ON a.n < b.n";
    assert_eq!(fixture.number(joined), 1);
    let unaliased = "SELECT count(*) FROM '{}/a.parquet', read_parquet('{}/b.parquet')";
    assert_eq!(fixture.number(unaliased), 2);
    let subquery =
        "SELECT max(n) FROM '{}/a.parquet' WHERE n < (SELECT n FROM '{}/b.parquet' LIMIT 1)";
    assert_eq!(fixture.number(subquery), 2);
    let common = "WITH b AS (SELECT * FROM '{}/b.parquet') SELECT sum(n) FROM \
                  (SELECT n FROM b UNION ALL SELECT n FROM '{}/a.parquet' AS a) AS u";
    assert_eq!(fixture.number(common), 6);
}

#[test]
fn a_file_shadows_no_table() {
    let mut fixture = Fixture::new();
    let column = Arc::new(Int64Array::from(vec![100]));
    let rows = RecordBatch::try_from_iter([("n", column as _)]).unwrap();
    fixture
        .catalog
        .register("a", from_batches(vec![rows]).unwrap())
        .unwrap();
    let text = "SELECT a.n + x.n FROM a, '{}/b.parquet' AS x";
    assert_eq!(fixture.number(text), 103);
    assert_eq!(fixture.catalog.tables().count(), 1);
}

#[test]
fn copy_is_a_query_with_a_target() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("a.parquet");
    let text = format!(
        "COPY (SELECT n FROM '{0}' WHERE n > 1) TO 'x.csv';
         COPY '{0}' TO 'y.parquet' WITH (Format parquet, compression 'zstd(3)', row_group_rows 7, bare)",
        file.display()
    );
    let statements = fixture.catalog.statements(&text).unwrap();
    let copies = statements.map(|statement| match statement.unwrap() {
        SqlStatement::Copy(copy) => copy,
        other => panic!("{other:?}"),
    });
    let copies: Vec<_> = copies.collect();
    let rows = |at: usize| copies[at].rows.collect(&engine()).unwrap().rows();
    assert_eq!((rows(0), rows(1)), (1, 2));
    assert_eq!(copies[0].target, Path::new("x.csv"));
    assert!(copies[0].options.is_empty());
    let options: Vec<_> = (copies[1].options.iter())
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("format", "parquet"),
        ("compression", "zstd(3)"),
        ("row_group_rows", "7"),
        ("bare", ""),
    ];
    assert_eq!(options, expected);
}

#[test]
fn a_statement_reads_what_one_before_it_wrote() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    let target = folder.join("new/c.parquet");
    let text = format!("SELECT 1; SELECT sum(n) FROM '{}'", target.display());
    let mut statements = fixture.catalog.statements(&text).unwrap();
    statements.next().unwrap().unwrap();
    std::fs::create_dir(folder.join("new")).unwrap();
    write(&target, vec![42]);
    let Some(Ok(SqlStatement::Query(frame))) = statements.next() else {
        panic!("no query");
    };
    let result = frame.collect(&engine()).unwrap();
    let sum = result.batches[0].column(0).as_primitive::<Int64Type>();
    assert_eq!(sum.value(0), 42);
}
