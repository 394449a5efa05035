//! `distinct`: one row of each group of equal rows, all its values from one row.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use pelton::backend::Backend;
use pelton::expr::Keep;
use pelton::operators::{DistinctSpec, OperatorSpec};

use crate::batch_of;
use crate::support::backends::{FoldPlan, Outcome, compare_backends, run_fold};
use crate::support::equality::multiset;
use crate::support::random::{Note, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value, rows};

/// What `distinct` must give, row by row, keys first.
fn oracle(spec: &DistinctSpec, batch: &RecordBatch) -> Rows {
    let keys: Vec<usize> = if spec.on.is_empty() {
        (0..batch.num_columns()).collect()
    } else {
        spec.on.clone()
    };
    let rest = (0..batch.num_columns()).filter(|column| !keys.contains(column));
    let order: Vec<usize> = keys.iter().copied().chain(rest).collect();
    let mut kept: Rows = Vec::new();
    for row in rows(std::slice::from_ref(batch)) {
        let shown = order.iter().enumerate().map(|(place, &column)| {
            let value = row[column].clone();
            if place < keys.len() {
                value.canonical()
            } else {
                value
            }
        });
        let shown: Vec<Value> = shown.collect();
        let text = |row: &[Value]| format!("{:?}", &row[..keys.len()]);
        match kept.iter_mut().find(|known| text(known) == text(&shown)) {
            Some(known) if spec.keep == Keep::Last => *known = shown,
            Some(_) => {}
            None => kept.push(shown),
        }
    }
    kept
}

/// Compares every backend with the oracle.
fn check(spec: &DistinctSpec, table: &Table, how: &FoldPlan) -> Rows {
    let group_by = spec.group_by().expect("columns of the input");
    let keys = group_by.group_keys.len();
    let whole = concat_batches(&table.schema(), &how.in_order(&table.batches)).expect("batches");
    let expected = oracle(spec, &whole);
    let operator = OperatorSpec::GroupBy(group_by);
    let run = |backend: &dyn Backend| run_fold(backend, &operator, &table.batches, how);
    let equal = |expected: &Rows, got: &Rows| multiset(expected, got, keys, &[]);
    compare_backends(&operator, &Outcome::Rows(expected.clone()), run, equal);
    let projection = spec.projection().expect("columns of the input");
    let project = |row: Vec<Value>| {
        projection
            .iter()
            .map(|&column| row[column].clone())
            .collect()
    };
    expected.into_iter().map(project).collect()
}

#[test]
fn rows_are_whole_and_first_or_last() {
    let batch = batch_of(vec![
        (
            "word",
            Arc::new(StringArray::from(vec![
                Some("a"),
                None,
                Some("b"),
                Some("c"),
            ])) as ArrayRef,
        ),
        (
            "key",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(1), None])) as ArrayRef,
        ),
        (
            "n",
            Arc::new(Int64Array::from(vec![None, Some(2), Some(3), Some(4)])) as ArrayRef,
        ),
    ]);
    let of = |keep| {
        let spec = DistinctSpec {
            input: batch.schema(),
            on: vec![1],
            keep,
        };
        let rows = check(&spec, &Table::single(batch.clone()), &FoldPlan::single(1));
        rows.iter()
            .map(|row| format!("{row:?}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(Keep::First),
        [
            "[Text(\"a\"), Integer(1), Null]",
            "[Null, Null, Integer(2)]"
        ]
    );
    assert_eq!(
        of(Keep::Last),
        [
            "[Text(\"b\"), Integer(1), Integer(3)]",
            "[Text(\"c\"), Null, Integer(4)]"
        ]
    );
}

#[test]
fn columns_that_are_not_there_or_stand_twice_are_refused() {
    let batch = batch_of(vec![("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    for on in [vec![1], vec![0, 0]] {
        let spec = DistinctSpec {
            input: batch.schema(),
            on,
            keep: Keep::Any,
        };
        assert!(spec.group_by().is_err());
    }
}

#[test]
fn random_rows_of_random_tables() {
    for_each_case("distinct", |random| {
        let columns = 1 + random.below(5);
        let schema = tables::schema(random, columns);
        let rows = tables::row_count(random).min(300);
        let keys = random.below(columns + 1);
        let mut domains = vec![Domain::Keys; keys];
        domains.resize(columns, Domain::Any);
        let table = tables::table(random, &schema, rows, &domains);
        let spec = DistinctSpec {
            input: Arc::clone(&schema),
            on: (0..keys).collect(),
            keep: *random.pick(&[Keep::Any, Keep::First, Keep::Last]),
        };
        let _note = Note::new(&schema, format!("{:?} on {keys}", spec.keep));
        let how = FoldPlan::random(random, table.batches.len());
        check(&spec, &table, &how);
    });
}
