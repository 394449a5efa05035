//! Queries whose translation is not that of a single step.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use pelton::prelude::*;
use pelton_sql::Catalog;

/// The numbers of the first column of a query's rows over a table that has a column `mark` of its own.
fn numbers(text: &str) -> Vec<Option<i64>> {
    let ids = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let marks = Arc::new(BooleanArray::from(vec![false, true, false]));
    let rows = RecordBatch::try_from_iter([("id", ids as _), ("mark", marks as _)]).unwrap();
    let mut catalog = Catalog::new();
    catalog
        .register("t", from_batches(vec![rows]).unwrap())
        .unwrap();
    let options = EngineOptions::default().with("backend", "cpu").unwrap();
    let engine = Engine::new(options).unwrap();
    let result = catalog.sql(text).unwrap().collect(&engine).unwrap();
    let columns = result.batches.iter().map(|batch| batch.column(0));
    let values = columns.flat_map(AsArray::as_primitive::<Int64Type>);
    values.collect()
}

#[test]
fn a_column_called_mark_is_not_that_of_a_subquery() {
    let either = "SELECT id FROM t
        WHERE mark OR id IN (SELECT id FROM t AS u WHERE u.id > 2)
        ORDER BY id";
    assert_eq!(numbers(either), [Some(2), Some(3)]);
}

#[test]
fn not_in_knows_nulls() {
    let rows = "FROM (VALUES (1), (2), (NULL)) AS a(x) WHERE x NOT IN";
    let with = |list: &str| numbers(&format!("SELECT x {rows} (SELECT y FROM {list})"));
    assert_eq!(with("(VALUES (1), (NULL)) AS b(y)"), []);
    assert_eq!(with("(VALUES (1)) AS b(y)"), [Some(2)]);
    assert_eq!(with("(VALUES (1)) AS b(y) WHERE y > 1").len(), 3);
}

#[test]
fn a_scalar_subquery_without_a_row_is_null() {
    let text = "SELECT (SELECT id FROM t WHERE id > 9 LIMIT 1) FROM t";
    assert_eq!(numbers(text), [None; 3]);
}
