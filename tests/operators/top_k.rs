//! `top_k`: the first rows of a sort.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array};
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::limits::ROWS_PER_BATCH_MAX;
use pelton::operators::{OperatorSpec, SortKey, TopKSpec};

use crate::batch_of;
use crate::sort::{oracle, random_case};
use crate::support::backends::{FoldPlan, Outcome, compare_backends, run_fold, same_outcome};
use crate::support::equality::ordered;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::Table;
use crate::support::values::Rows;

/// Compares all backends with the CPU's, and that with the oracle: equal row by row, bit by bit.
fn check(spec: &TopKSpec, table: &Table, how: &FoldPlan) {
    let operator = OperatorSpec::TopK(spec.clone());
    let run = |backend: &dyn Backend| run_fold(backend, &operator, &table.batches, how);
    let expected = Outcome::of("cpu", &operator, run(&CpuBackend::new()));
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    let sorted = oracle(&spec.keys, &table.batches, how).into_iter();
    let first = sorted.skip(spec.offset as usize).take(spec.k as usize);
    let oracle = Outcome::Rows(first.collect());
    if let Err(difference) = same_outcome(&oracle, &expected, equal) {
        panic!("cpu differs from the oracle: {difference}");
    }
    compare_backends(&operator, &expected, run, equal);
}

/// Checks some keys in several batches, with as many k, for every tuning.
fn check_keys(column: ArrayRef, batches: usize) {
    let rows = column.len();
    let numbers = Int64Array::from_iter_values(0..rows as i64);
    let whole = batch_of(vec![
        ("key", column),
        ("row", Arc::new(numbers) as ArrayRef),
    ]);
    let each = rows.div_ceil(batches);
    let parts = (0..batches).map(|at| {
        let start = (at * each).min(rows);
        whole.slice(start, each.min(rows - start))
    });
    let table = Table {
        batches: parts.collect(),
        whole: whole.clone(),
    };
    for (k, offset) in [
        (1, 0),
        (10, 0),
        (7, 3),
        (100, 0),
        (3, 5000),
        (0, 1),
        (1, 1 << 30),
    ] {
        let spec = TopKSpec {
            input: whole.schema(),
            keys: vec![SortKey {
                column: 0,
                descending: k % 2 == 0,
                nulls_first: k % 3 == 0,
            }],
            k,
            offset,
        };
        check(&spec, &table, &FoldPlan::single(batches));
    }
}

#[test]
fn random_descending_and_equal_keys_in_several_batches() {
    let mut random = Random::new(11);
    for batches in [1, 3] {
        let random = (0..3000).map(|_| random.bits() as i64);
        check_keys(Arc::new(Int64Array::from_iter_values(random)), batches);
        let down = (0..3000).rev();
        check_keys(Arc::new(Int64Array::from_iter_values(down)), batches);
        check_keys(Arc::new(Int64Array::from(vec![5; 3000])), batches);
        let few = (0..3000).map(|row| (row % 7 != 0).then_some(row % 3));
        check_keys(Arc::new(few.collect::<Int64Array>()), batches);
    }
}

#[test]
fn wide_keys_that_agree_in_their_high_bits() {
    let mut random = Random::new(13);
    let values = (0..2500).map(|_| i128::from(random.bits() % 40));
    let column = Decimal128Array::from_iter_values(values);
    let column = column.with_precision_and_scale(38, 2).expect("38 digits");
    check_keys(Arc::new(column), 2);
}

#[test]
fn more_rows_than_a_batch_may_have_are_refused() {
    let batch = batch_of(vec![("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let operator = OperatorSpec::TopK(TopKSpec {
        input: batch.schema(),
        keys: vec![SortKey::ascending(0)],
        k: ROWS_PER_BATCH_MAX,
        offset: 1,
    });
    let run = |backend: &dyn Backend| {
        run_fold(
            backend,
            &operator,
            std::slice::from_ref(&batch),
            &FoldPlan::single(1),
        )
    };
    compare_backends(&operator, &Outcome::InvalidInput, run, |_, _| Ok(()));
}

#[test]
fn random_first_rows_of_random_tables() {
    for_each_case("top_k", |random| {
        let (schema, table, keys, how) = random_case(random);
        let rows = table.whole.num_rows() as u64;
        let k = *random.pick(&[0, 1, 2, 10, 100, rows / 2, rows, rows + 1]);
        let offset = *random.pick(&[0, 0, 1, 5, rows / 3, rows + 7]);
        let _note = Note::new(&schema, format!("{k} from {offset} by {keys:?}, {how:?}"));
        let spec = TopKSpec {
            input: schema,
            keys,
            k,
            offset,
        };
        check(&spec, &table, &how);
    });
}
