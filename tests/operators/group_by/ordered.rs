//! Quantiles and lists: what needs all values of a group beside one another.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use pelton::expr::{AggregateFunction, Interpolation, Probability, aggregate_type};
use pelton::types::{DataType, Field, Schema};

use AggregateFunction::{AnyValue, Collect, Count, CountDistinct, Last, Max, Min, Quantile, Sum};

use super::{check, column, groups, spec_of};
use crate::support::backends::{FoldPlan, Outcome};
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::Value;
use crate::{LENIENT, batch_of, integers};

const INTERPOLATIONS: [Interpolation; 5] = [
    Interpolation::Linear,
    Interpolation::Lower,
    Interpolation::Higher,
    Interpolation::Nearest,
    Interpolation::Midpoint,
];

fn quantile(q: f64, interpolation: Interpolation) -> AggregateFunction {
    let q = Probability::new(q).expect("a probability");
    Quantile { q, interpolation }
}

/// The quantile of a batch's first column under every interpolation, as text.
fn every(batch: &RecordBatch, q: f64) -> Vec<String> {
    let aggregates = INTERPOLATIONS.map(|interpolation| (quantile(q, interpolation), Some(0)));
    let rows = groups(batch, vec![], aggregates.to_vec(), LENIENT).expect("rows");
    rows[0].iter().map(Value::to_string).collect()
}

#[test]
fn zeros_infinities_and_nans_have_places() {
    let floats = |values: Vec<Option<f64>>| column(Float64Array::from(values));
    let zero = floats(vec![Some(-0.0), None, Some(-0.0)]);
    assert_eq!(every(&zero, 0.5), ["0.0"; 5]);
    let infinite = floats(vec![Some(f64::INFINITY), Some(f64::INFINITY), Some(1.0)]);
    assert_eq!(every(&infinite, 0.75), ["inf"; 5]);
    let to_infinity = floats(vec![Some(f64::INFINITY), Some(1.0)]);
    assert_eq!(
        every(&to_infinity, 0.25),
        ["inf", "1.0", "inf", "1.0", "inf"]
    );
    let nan = floats(vec![Some(-f64::NAN), Some(f64::INFINITY), Some(2.0)]);
    assert_eq!(every(&nan, 1.0), ["NaN"; 5]);
    assert_eq!(every(&nan, 0.0), ["2.0"; 5]);
    let nothing = floats(vec![None, None]);
    assert_eq!(every(&nothing, 0.5), ["null"; 5]);
    assert_eq!(every(&floats(vec![]), 0.5), ["null"; 5]);
    let narrow = column(Float32Array::from(vec![0.1, 0.3]));
    assert_eq!(
        every(&narrow, 0.5)[1..4],
        [
            "0.10000000149011612",
            "0.30000001192092896",
            "0.30000001192092896"
        ]
    );
}

#[test]
fn wide_decimals_are_picked_whole_and_scaled_between() {
    let nines = 10i128.pow(38) - 1;
    let decimals = |values: Vec<i128>, scale| {
        let array = Decimal128Array::from(values);
        column(
            array
                .with_precision_and_scale(38, scale)
                .expect("38 digits"),
        )
    };
    let batch = decimals(vec![nines, -nines, 1 << 64], 0);
    let middle = (1i128 << 64).to_string();
    assert_eq!(every(&batch, 0.5)[1..4], [middle.as_str(); 3]);
    assert_eq!(every(&batch, 1.0)[2], nines.to_string());
    let batch = decimals(vec![125, 250], 2);
    assert_eq!(every(&batch, 0.5), ["1.875", "125", "250", "250", "1.875"]);
    let batch = decimals(vec![1, 2], -2);
    assert_eq!(every(&batch, 0.25), ["125.0", "1", "2", "1", "150.0"]);
}

#[test]
fn lists_stand_among_other_columns() {
    let keys = StringArray::from(vec![Some("b"), None, Some("b"), Some("a"), None, Some("b")]);
    let words = StringArray::from(vec![Some("x"), Some(""), None, Some("é"), None, Some("x")]);
    let numbers = Int64Array::from(vec![Some(6), Some(1), Some(4), None, Some(2), Some(5)]);
    let batch = batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("word", Arc::new(words) as ArrayRef),
        ("number", Arc::new(numbers) as ArrayRef),
    ]);
    let aggregates = vec![
        (Collect, Some(1)),
        (quantile(0.5, Interpolation::Lower), Some(2)),
        (Collect, Some(2)),
        (Count, None),
        (Collect, Some(1)),
        (Max, Some(1)),
    ];
    for _ in 0..3 {
        let rows = groups(&batch, vec![0], aggregates.clone(), LENIENT).expect("rows");
        let shown: Vec<String> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(Value::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"null ["", null] 1 [1, 2] 2 ["", null] """#,
                r#""a" ["é"] null [null] 1 ["é"] "é""#,
                r#""b" ["x", null, "x"] 5 [6, 4, 5] 3 ["x", null, "x"] "x""#,
            ]
        );
    }
    let empty = batch.slice(0, 0);
    let rows = groups(
        &empty,
        vec![],
        vec![(Collect, Some(1)), (Collect, Some(2))],
        LENIENT,
    );
    assert_eq!(
        rows,
        Some(vec![vec![Value::List(vec![]), Value::List(vec![])]])
    );
    assert_eq!(
        groups(&empty, vec![0], vec![(Collect, Some(1))], LENIENT),
        Some(vec![])
    );
}

/// Rows of several states come in the order in which the states are merged.
#[test]
fn lists_keep_the_order_of_states() {
    let batch = column(Int64Array::from_iter_values(0..6));
    let table = Table {
        batches: (0..6).map(|row| batch.slice(row, 1)).collect(),
        whole: batch.clone(),
    };
    let spec = spec_of(&batch.schema(), vec![], vec![(Collect, Some(0))], LENIENT);
    let how = FoldPlan {
        states: 2,
        state_of_batch: vec![1, 0, 1, 0, 1, 0],
        merge_order: vec![1, 0],
    };
    let got = check(&spec, &table, &how);
    let expected = Value::List(integers([0, 2, 4, 1, 3, 5]));
    assert_eq!(got, Outcome::Rows(vec![vec![expected]]));
}

/// A probability, often one at which places are whole.
fn probability(random: &mut Random) -> f64 {
    match random.below(4) {
        0 => *random.pick(&[0.0, 0.25, 0.5, 0.75, 1.0]),
        1 => *random.pick(&[0.1, 0.9, 0.99, 1.0 / 3.0]),
        _ => random.below(1 << 20) as f64 / f64::from(1 << 20),
    }
}

#[test]
fn random_quantiles_and_lists() {
    for_each_case("group_by_ordered", |random| {
        let keys = random.below(3);
        let columns = keys + 1 + random.below(3);
        let types = (0..columns).map(|column| match column < keys || random.once_in(3) {
            true => tables::data_type(random),
            false => tables::number_type(random),
        });
        let types: Vec<DataType> = types.collect();
        let fields = types.iter().enumerate();
        let fields = fields
            .map(|(index, data_type)| Field::new(format!("c{index}"), data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = tables::row_count(random).min(10_000);
        let mut domains = vec![Domain::Keys; keys];
        domains.resize(
            columns,
            *random.pick(&[Domain::Any, Domain::Keys, Domain::Moderate]),
        );
        let table = tables::table(random, &schema, rows, &domains);
        let mut aggregates = Vec::new();
        for _ in 0..1 + random.below(5) {
            let operand = keys + random.below(columns - keys);
            let interpolation = *random.pick(&INTERPOLATIONS);
            let function = match random.below(8) {
                0..5 => quantile(probability(random), interpolation),
                5 => Collect,
                _ => *random.pick(&[Sum, Min, Last, AnyValue, CountDistinct]),
            };
            if aggregate_type(function, Some(&types[operand])).is_ok() {
                aggregates.push((function, Some(operand)));
            }
        }
        // Sums of anything have no last bits that are equal.
        aggregates.retain(|(function, operand)| {
            let operand = operand.map(|operand| &types[operand]);
            *function != Sum || operand.is_none_or(|operand| !operand.is_floating())
        });
        let _note = Note::new(&schema, format!("{aggregates:?} by {keys} keys"));
        let spec = spec_of(&schema, (0..keys).collect(), aggregates, LENIENT);
        let how = FoldPlan::random(random, table.batches.len());
        check(&spec, &table, &how);
    });
}
