//! Aggregates one by one: order, truth, spread, registers, quantiles.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use pelton::expr::{AggregateFunction, Ddof, Interpolation, Probability};

use AggregateFunction::{
    All, Any, AnyValue, ApproxCountDistinct, Collect, Count, First, Last, Max, Min, Quantile,
    StandardDeviation, Sum, Variance,
};

use super::{check, column, groups, spec_of};
use crate::support::backends::{FoldPlan, Outcome};
use crate::support::tables::Table;
use crate::support::values::Value;
use crate::{LENIENT, STRICT, batch_of, integers};

fn text(text: &str) -> Value {
    Value::Text(text.to_string())
}

/// Three keys; the first row of key 1 has nulls, the last row of key 2 too.
fn letters() -> RecordBatch {
    let keys = Int64Array::from(vec![1, 2, 1, 2, 3, 1]);
    let words = StringArray::from(vec![None, Some("b"), Some("c"), None, Some(""), Some("a")]);
    let numbers = Int64Array::from(vec![None, Some(2), Some(3), None, Some(5), Some(6)]);
    batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("word", Arc::new(words) as ArrayRef),
        ("number", Arc::new(numbers) as ArrayRef),
    ])
}

#[test]
fn first_and_last_are_of_one_row_nulls_included() {
    let of = |function| {
        let both = vec![(function, Some(1)), (function, Some(2))];
        groups(&letters(), vec![0], both, LENIENT).expect("rows")
    };
    let row = |key, word: Option<&str>, number: Option<i128>| {
        let word = word.map_or(Value::Null, text);
        vec![
            Value::Integer(key),
            word,
            number.map_or(Value::Null, Value::Integer),
        ]
    };
    let first = [
        row(1, None, None),
        row(2, Some("b"), Some(2)),
        row(3, Some(""), Some(5)),
    ];
    assert_eq!(of(First), first);
    let last = [
        row(1, Some("a"), Some(6)),
        row(2, None, None),
        row(3, Some(""), Some(5)),
    ];
    assert_eq!(of(Last), last);
    let any = [
        row(1, Some("c"), Some(3)),
        row(2, Some("b"), Some(2)),
        row(3, Some(""), Some(5)),
    ];
    assert_eq!(of(AnyValue), any);
}

#[test]
fn order_is_that_of_batches_states_and_merges() {
    let batch = letters();
    let table = Table {
        batches: (0..6).map(|row| batch.slice(row, 1)).collect(),
        whole: batch.clone(),
    };
    let aggregates = vec![
        (First, Some(2)),
        (Last, Some(2)),
        (AnyValue, Some(1)),
        (Count, None),
    ];
    let spec = spec_of(&batch.schema(), vec![], aggregates, LENIENT);
    // The second state has rows 0, 2, 4 and is merged first: row 4 comes before row 1.
    let how = FoldPlan {
        states: 2,
        state_of_batch: vec![1, 0, 1, 0, 1, 0],
        merge_order: vec![1, 0],
    };
    let Outcome::Rows(rows) = check(&spec, &table, &how) else {
        panic!("an error");
    };
    assert_eq!(
        rows,
        [[Value::Null, Value::Integer(6), text("c"), Value::Integer(6)]]
    );
}

/// Batches without a null, then groups that have nothing but nulls, in one state and in two.
#[test]
fn groups_without_a_value_come_after_groups_with_values() {
    let keys = Int64Array::from(vec![1, 2, 1, 1, 3, 2, 4, 4, 2]);
    let values = Int64Array::from(vec![
        Some(5),
        Some(6),
        Some(7),
        None,
        None,
        Some(8),
        Some(9),
        Some(1),
        Some(2),
    ]);
    let batch = batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("value", Arc::new(values) as ArrayRef),
    ]);
    let table = Table {
        batches: (0..3).map(|part| batch.slice(part * 3, 3)).collect(),
        whole: batch.clone(),
    };
    let aggregates = vec![(Sum, Some(1)), (Min, Some(1)), (Max, Some(1))];
    let spec = spec_of(&batch.schema(), vec![0], aggregates, LENIENT);
    let in_two = |state_of_batch| FoldPlan {
        states: 2,
        state_of_batch,
        merge_order: vec![0, 1],
    };
    let plans = [
        FoldPlan::single(3),
        in_two(vec![0, 1, 0]),
        in_two(vec![1, 0, 0]),
    ];
    for how in plans.iter().cycle().take(12) {
        let Outcome::Rows(mut rows) = check(&spec, &table, how) else {
            panic!("an error");
        };
        rows.sort_by_cached_key(|row| format!("{row:?}"));
        let row = |numbers: [i128; 4]| numbers.map(Value::Integer).to_vec();
        let nothing = [Value::Integer(3), Value::Null, Value::Null, Value::Null];
        let expected = [
            row([1, 12, 5, 7]),
            row([2, 16, 2, 8]),
            nothing.to_vec(),
            row([4, 10, 1, 9]),
        ];
        assert_eq!(rows, expected);
    }
}

#[test]
fn floats_are_kept_bit_by_bit_by_first_and_canonical_by_extremes() {
    let batch = column(Float64Array::from(vec![-0.0, 1.0]));
    let got = groups(
        &batch,
        vec![],
        vec![(First, Some(0)), (Min, Some(0))],
        LENIENT,
    );
    assert_eq!(format!("{got:?}"), "Some([[Float(-0.0), Float(0.0)]])");
}

#[test]
fn any_and_all_are_kleene() {
    let of = |values: &[Option<bool>]| {
        let batch = column(BooleanArray::from(values.to_vec()));
        let both = vec![(Any, Some(0)), (All, Some(0))];
        let rows = groups(&batch, vec![], both, LENIENT).expect("rows");
        rows.into_iter().next().expect("one row")
    };
    let (yes, no) = (Value::Boolean(true), Value::Boolean(false));
    assert_eq!(of(&[]), [no.clone(), yes.clone()]);
    assert_eq!(of(&[None]), [Value::Null, Value::Null]);
    assert_eq!(of(&[Some(false), None]), [Value::Null, no.clone()]);
    assert_eq!(of(&[Some(true), None]), [yes.clone(), Value::Null]);
    assert_eq!(of(&[Some(true), Some(false)]), [yes, no]);
}

#[test]
fn variances_do_not_cancel() {
    let spreads = || {
        vec![
            (Variance(Ddof::Sample), Some(0)),
            (Variance(Ddof::Population), Some(0)),
            (StandardDeviation(Ddof::Population), Some(0)),
        ]
    };
    let batch = column(Float64Array::from(vec![
        1e9 + 4.0,
        1e9 + 7.0,
        1e9 + 13.0,
        1e9 + 16.0,
    ]));
    let got = groups(&batch, vec![], spreads(), LENIENT).expect("rows");
    assert_eq!(got, [[30.0, 22.5, 22.5f64.sqrt()].map(Value::Float)]);
    let one = column(Int64Array::from(vec![Some(7), None]));
    let got = groups(&one, vec![], spreads(), LENIENT).expect("rows");
    assert_eq!(got, [[Value::Null, Value::Float(0.0), Value::Float(0.0)]]);
    let decimals = Decimal128Array::from(vec![150, 250]);
    let decimals = decimals
        .with_precision_and_scale(9, 2)
        .expect("nine digits");
    let got = groups(&column(decimals), vec![], spreads(), LENIENT).expect("rows");
    assert_eq!(got, [[0.5, 0.25, 0.5].map(Value::Float)]);
    let infinite = column(Float64Array::from(vec![f64::INFINITY]));
    let got = groups(&infinite, vec![], spreads(), LENIENT).expect("rows");
    assert_eq!(format!("{got:?}"), "[[Null, Float(NaN), Float(NaN)]]");
}

#[test]
fn estimates_are_equal_everywhere_and_near() {
    let keys = Int64Array::from_iter_values((0..3000).map(|row| row % 3));
    let words = StringArray::from_iter_values((0..3000).map(|row| format!("word {}", row % 900)));
    let batch = batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("word", Arc::new(words) as ArrayRef),
    ]);
    let aggregates = vec![
        (ApproxCountDistinct, Some(1)),
        (ApproxCountDistinct, Some(0)),
    ];
    let rows = groups(&batch, vec![0], aggregates, LENIENT).expect("rows");
    for row in rows {
        let Value::Integer(estimate) = row[1] else {
            panic!("no estimate in {row:?}");
        };
        assert!((280..=320).contains(&estimate), "{estimate} of 300");
        assert_eq!(row[2], Value::Integer(1));
    }
}

#[test]
fn quantiles_interpolate_as_they_say() {
    let batch = column(Int64Array::from(vec![
        Some(40),
        Some(10),
        None,
        Some(30),
        Some(20),
    ]));
    let of = |q: f64, interpolation| {
        let q = Probability::new(q).expect("a probability");
        let aggregates = vec![(Quantile { q, interpolation }, Some(0))];
        let rows = groups(&batch, vec![], aggregates, LENIENT).expect("rows");
        rows[0][0].clone()
    };
    assert_eq!(of(0.5, Interpolation::Linear), Value::Float(25.0));
    assert_eq!(of(0.25, Interpolation::Linear), Value::Float(17.5));
    assert_eq!(of(0.25, Interpolation::Midpoint), Value::Float(15.0));
    assert_eq!(of(0.25, Interpolation::Lower), Value::Integer(10));
    assert_eq!(of(0.25, Interpolation::Higher), Value::Integer(20));
    assert_eq!(of(0.25, Interpolation::Nearest), Value::Integer(20));
    assert_eq!(of(0.5, Interpolation::Nearest), Value::Integer(30));
    assert_eq!(of(1.0, Interpolation::Linear), Value::Float(40.0));
    assert!(Probability::new(f64::NAN).is_err());
}

#[test]
fn collect_keeps_order_and_nulls() {
    let rows = groups(&letters(), vec![0], vec![(Collect, Some(2))], LENIENT).expect("rows");
    let lists: Vec<String> = rows.iter().map(|row| row[1].to_string()).collect();
    assert_eq!(lists, ["[null, 3, 6]", "[2, null]", "[5]"]);
}

#[test]
fn extremes_of_strings_are_by_bytes() {
    let words = StringArray::from(vec![Some("é"), Some("z"), None, Some("Z"), Some(""), None]);
    let keys = Int64Array::from(vec![1, 1, 1, 2, 2, 3]);
    let batch = batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("word", Arc::new(words) as ArrayRef),
    ]);
    let both = vec![(Min, Some(1)), (Max, Some(1)), (Count, Some(1))];
    let rows = groups(&batch, vec![0], both, LENIENT).expect("rows");
    let shown: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    assert_eq!(
        shown,
        [
            "[Integer(1), Text(\"z\"), Text(\"é\"), Integer(2)]",
            "[Integer(2), Text(\"\"), Text(\"Z\"), Integer(2)]",
            "[Integer(3), Null, Null, Integer(0)]"
        ]
    );
}

/// Sums start in 64 bits and are widened when a batch could break them: negative sums, then values
/// of 17 digits, then small ones again.
#[test]
fn decimal_sums_widen_when_they_must() {
    let batches = [
        vec![-1, -2, -3],
        vec![-99_999_999_999_999_999; 300],
        vec![5, 6, -7],
    ];
    let batches: Vec<RecordBatch> = batches
        .into_iter()
        .map(|values| {
            let keys = Int64Array::from_iter_values((0..values.len() as i64).map(|row| row % 2));
            let values = Decimal128Array::from(values);
            let values = values.with_precision_and_scale(17, 3).expect("17 digits");
            batch_of(vec![
                ("key", Arc::new(keys) as ArrayRef),
                ("value", Arc::new(values) as ArrayRef),
            ])
        })
        .collect();
    let schema = batches[0].schema();
    let whole = arrow::compute::concat_batches(&schema, &batches).expect("batches");
    let table = Table { whole, batches };
    let spec = spec_of(&schema, vec![0], vec![(Sum, Some(1))], STRICT);
    for how in [
        FoldPlan::single(3),
        FoldPlan {
            states: 3,
            state_of_batch: vec![0, 1, 2],
            merge_order: vec![2, 0, 1],
        },
    ] {
        for _ in 0..6 {
            let Outcome::Rows(mut rows) = check(&spec, &table, &how) else {
                panic!("an error");
            };
            rows.sort_by_key(|row| format!("{row:?}"));
            let big = -99_999_999_999_999_999i128 * 150;
            assert_eq!(
                rows,
                [
                    integers([0, big - 1 - 3 + 5 - 7]),
                    integers([1, big - 2 + 6])
                ]
            );
        }
    }
}
