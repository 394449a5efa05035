//! `gather`: rows of a built batch, picked by index.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::NullBuffer;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::operators::{GatherSpec, OperatorSpec};

use crate::batch_of;
use crate::support::backends::{Outcome, compare_backends, run_transform, same_outcome};
use crate::support::equality::ordered;
use crate::support::random::for_each_case;
use crate::support::tables::{self, Table};
use crate::support::values::{Rows, Value, cell};

/// What `gather` must give, row by row.
fn oracle(built: &RecordBatch, indices: &RecordBatch) -> Outcome {
    let index = |row| cell(indices.column(0).as_ref(), row);
    let pick = |column: &ArrayRef, index: &Value| match index {
        Value::Integer(index) => cell(column.as_ref(), *index as usize),
        _ => Value::Null,
    };
    let mut rows = Vec::new();
    for row in 0..indices.num_rows() {
        let index = index(row);
        if index
            .compare(&Value::Integer(built.num_rows() as i128))
            .is_ge()
        {
            return Outcome::InvalidInput;
        }
        let columns = built.columns().iter();
        rows.push(columns.map(|column| pick(column, &index)).collect());
    }
    Outcome::Rows(rows)
}

/// Compares all backends with the CPU's, and that with the oracle.
fn check(built: &RecordBatch, table: &Table) -> Outcome {
    let spec = GatherSpec {
        built: built.schema(),
    };
    let operator = OperatorSpec::Gather(spec);
    let run = |backend: &dyn Backend, batches: &[RecordBatch]| {
        run_transform(backend, &operator, Some(built), batches)
    };
    let ran = run(&CpuBackend::new(), std::slice::from_ref(&table.whole));
    let expected = Outcome::of("cpu", &operator, ran);
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    if let Err(difference) = same_outcome(&oracle(built, &table.whole), &expected, equal) {
        panic!("cpu differs from the oracle: {difference}");
    }
    compare_backends(
        &operator,
        &expected,
        |backend| run(backend, &table.batches),
        equal,
    );
    expected
}

fn indices(values: Vec<Option<u32>>) -> RecordBatch {
    batch_of(vec![(
        "index",
        Arc::new(UInt32Array::from(values)) as ArrayRef,
    )])
}

fn words() -> RecordBatch {
    let words = StringArray::from(vec![Some("a"), None, Some("日本")]);
    batch_of(vec![("word", Arc::new(words) as ArrayRef)])
}

#[test]
fn rows_repeat_reorder_and_are_null_for_null_indices() {
    let picked = indices(vec![Some(2), None, Some(0), Some(1), Some(2)]);
    let text = |text: &str| vec![Value::Text(text.to_string())];
    let null = || vec![Value::Null];
    assert_eq!(
        check(&words(), &Table::single(picked)),
        Outcome::Rows(vec![text("日本"), null(), text("a"), null(), text("日本")])
    );
}

#[test]
fn an_index_beyond_the_built_rows_is_invalid() {
    let picked = indices(vec![Some(0), Some(3)]);
    assert_eq!(
        check(&words(), &Table::single(picked)),
        Outcome::InvalidInput
    );
    let operator = OperatorSpec::Gather(GatherSpec {
        built: words().schema(),
    });
    let batches = [indices(vec![Some(1), Some(9), Some(3)])];
    let ran = run_transform(&CpuBackend::new(), &operator, Some(&words()), &batches);
    let error = ran.expect_err("9 is beyond");
    assert_eq!(
        error.to_string(),
        "gather: index 9 is not below the 3 built rows"
    );
}

#[test]
fn what_lies_under_a_null_index_does_not_matter() {
    let nulls = NullBuffer::from(vec![false, true]);
    let array = UInt32Array::new(vec![u32::MAX, 0].into(), Some(nulls));
    let picked = batch_of(vec![("index", Arc::new(array) as ArrayRef)]);
    let rows = vec![vec![Value::Null], vec![Value::Text("a".to_string())]];
    assert_eq!(check(&words(), &Table::single(picked)), Outcome::Rows(rows));
    let nothing = words().slice(0, 0);
    let rows = vec![vec![Value::Null]; 2];
    let picked = indices(vec![None, None]);
    assert_eq!(check(&nothing, &Table::single(picked)), Outcome::Rows(rows));
}

#[test]
fn random_indices_into_random_batches() {
    for_each_case("gather", |random| {
        let columns = 1 + random.below(5);
        let schema = tables::schema(random, columns);
        let built_rows = tables::row_count(random);
        let built = tables::batch(random, &schema, built_rows, &[]);
        let rows = tables::row_count(random).min(10_000);
        let beyond = usize::from(random.once_in(10));
        let null_every = *random.pick(&[2, 10, 1_000_000]);
        let bound = built_rows + beyond;
        let picks = (0..rows).map(|_| {
            (bound > 0 && !random.once_in(null_every)).then(|| random.below(bound) as u32)
        });
        let picked = indices(picks.collect());
        let table = Table::split(random, picked);
        check(&built, &table);
    });
}
