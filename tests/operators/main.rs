//! Every operator on every backend against the CPU backend, and the CPU backend against a naive
//! oracle: named edge cases first, then properties over random tables and expressions.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod bloom_filter;
mod casts;
mod distinct;
mod filter;
mod functions;
mod gather;
mod group_by;
mod hash_join;
mod nested_loop_join;
mod plans;
mod project;
mod shuffle_partition;
mod sort;
mod strings;
mod top_k;
mod window;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::operators::OperatorSpec;
use pelton::types::{DivisionByZero, EmptySum, Field, Overflow, Schema, Semantics};

use support::backends::{Outcome, compare_backends, run_transform, same_outcome};
use support::equality::ordered;
use support::oracle::Stop;
use support::tables::Table;
use support::values::{Rows, Value};

/// Wraps, null for division by zero, null for the sum of nothing.
const LENIENT: Semantics = Semantics {
    overflow: Overflow::Wrap,
    division_by_zero: DivisionByZero::Null,
    empty_sum: EmptySum::Null,
};

/// Errors wherever there may be errors.
const STRICT: Semantics = Semantics {
    overflow: Overflow::Error,
    division_by_zero: DivisionByZero::Error,
    empty_sum: EmptySum::Null,
};

/// Rows up to which the naive oracle is asked.
const ORACLE_ROWS_MAX: usize = 1100;

/// Compares all backends with the CPU's over a transform that keeps order, and that with the oracle
/// where the table is small enough for it.
fn check_ordered(
    operator: &OperatorSpec,
    table: &Table,
    oracle: impl FnOnce() -> Result<Rows, Stop>,
) -> Outcome {
    let cpu = CpuBackend::new();
    let ran = run_transform(&cpu, operator, None, std::slice::from_ref(&table.whole));
    let expected = Outcome::of("cpu", operator, ran);
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    if table.whole.num_rows() <= ORACLE_ROWS_MAX {
        let oracle = match oracle() {
            Ok(rows) => Some(Outcome::Rows(rows)),
            Err(Stop::Arithmetic) => Some(Outcome::Arithmetic),
            Err(Stop::Unknown) => None,
        };
        if let Some(oracle) = oracle
            && let Err(difference) = same_outcome(&oracle, &expected, equal)
        {
            panic!("cpu differs from the oracle: {difference}");
        }
    }
    let run = |backend: &dyn Backend| run_transform(backend, operator, None, &table.batches);
    compare_backends(operator, &expected, run, equal);
    expected
}

/// A batch of named columns, all nullable.
fn batch_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(schema, columns).expect("columns of equal length")
}

fn integers<const N: usize>(values: [i128; N]) -> Vec<Value> {
    values.into_iter().map(Value::Integer).collect()
}

/// Columns of expected values as rows.
fn rows_of(columns: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let rows = columns.first().map_or(0, Vec::len);
    let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect();
    (0..rows).map(row).collect()
}
