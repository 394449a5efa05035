//! Exact sums of floats: the same bits in any order, batches, states and backends.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use pelton::expr::{AggregateFunction, Ddof};
use pelton::operators::{FloatSums, GroupBySpec};
use pelton::types::{DataType, Field, Schema};

use AggregateFunction::{Mean, StandardDeviation, Sum, Variance};

use super::{check, spec_of};
use crate::support::backends::{FoldPlan, Outcome};
use crate::support::random::{Note, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::Value;
use crate::{LENIENT, batch_of};

fn exactly(spec: GroupBySpec) -> GroupBySpec {
    GroupBySpec {
        float_sums: FloatSums::Exact,
        ..spec
    }
}

#[test]
fn nothing_is_lost_between_large_values() {
    let values = vec![1e300, 1.0, -1e300, 1e-300, f64::MIN_POSITIVE, -1.0, 3.5];
    let batch = batch_of(vec![(
        "a",
        Arc::new(Float64Array::from(values)) as ArrayRef,
    )]);
    let spec = exactly(spec_of(
        &batch.schema(),
        vec![],
        vec![(Sum, Some(0))],
        LENIENT,
    ));
    for _ in 0..6 {
        let got = check(&spec, &Table::single(batch.clone()), &FoldPlan::single(1));
        assert_eq!(got, Outcome::Rows(vec![vec![Value::Float(3.5)]]));
    }
}

#[test]
fn infinities_and_nans_are_remembered() {
    let keys = Int64Array::from(vec![0, 0, 1, 1, 2, 2, 3]);
    let infinity = f64::INFINITY;
    let values = vec![infinity, 1.0, infinity, -infinity, f64::NAN, 1.0, -infinity];
    let batch = batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("a", Arc::new(Float64Array::from(values)) as ArrayRef),
    ]);
    let spec = exactly(spec_of(
        &batch.schema(),
        vec![0],
        vec![(Sum, Some(1))],
        LENIENT,
    ));
    let Outcome::Rows(mut rows) = check(&spec, &Table::single(batch), &FoldPlan::single(1)) else {
        panic!("an error");
    };
    rows.sort_by_key(|row| format!("{row:?}"));
    let sums: Vec<String> = rows.iter().map(|row| row[1].to_string()).collect();
    assert_eq!(sums, ["inf", "NaN", "NaN", "-inf"]);
}

#[test]
fn bits_depend_on_the_values_alone() {
    for_each_case("group_by_exact", |random| {
        let float = *random.pick(&[0, 1, 2]);
        let float = [DataType::Float64, DataType::Float32, DataType::Float16][float].clone();
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Int32, true),
            Field::new("a", float, true),
        ]));
        let spread = *random.pick(&[Domain::Any, Domain::Moderate]);
        let rows = tables::row_count(random).min(2000);
        let table = tables::table(random, &schema, rows, &[Domain::Keys, spread]);
        let mut aggregates = vec![(Sum, Some(1)), (Mean, Some(1))];
        if random.once_in(3) {
            aggregates.push((Variance(Ddof::Sample), Some(1)));
            aggregates.push((StandardDeviation(Ddof::Population), Some(1)));
        }
        let _note = Note::new(&schema, format!("{aggregates:?}"));
        let spec = exactly(spec_of(&schema, vec![0], aggregates, LENIENT));
        let how = FoldPlan::random(random, table.batches.len());
        // `check` compares exactly with one batch of the same rows; here in another order, too.
        check(&spec, &table, &how);
        let mut batches = table.batches.clone();
        random.shuffle(&mut batches);
        let whole = arrow::compute::concat_batches(&schema, &batches).expect("batches");
        let shuffled = Table { whole, batches };
        let how = FoldPlan::random(random, shuffled.batches.len());
        let one = check(&spec, &table, &FoldPlan::single(table.batches.len()));
        let other = check(&spec, &shuffled, &how);
        let (Outcome::Rows(one), Outcome::Rows(other)) = (one, other) else {
            panic!("an error");
        };
        let sorted = |mut rows: Vec<Vec<Value>>| {
            rows.sort_by_cached_key(|row| format!("{row:?}"));
            format!("{rows:?}")
        };
        assert_eq!(sorted(one), sorted(other));
    });
}
