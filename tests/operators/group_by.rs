//! `group_by`: one row per group of equal keys.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::compute::concat_batches;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::expr::{AggregateFunction, Ddof, Interpolation, Probability, aggregate_type};
use pelton::operators::{AggregateSpec, FloatSums, GroupByPhase, GroupBySpec, OperatorSpec};
use pelton::types::{DataType, EmptySum, Field, Schema, SchemaRef, Semantics, decimal_parts};

use AggregateFunction::{
    All, Any, AnyValue, ApproxCountDistinct, Collect, Count, CountDistinct, First, Last, Max, Mean,
    Min, Quantile, StandardDeviation, Sum, Variance,
};

use crate::support::backends::{FoldPlan, Outcome, compare_backends, run_fold, same_outcome};
use crate::support::equality::{Tolerance, multiset};
use crate::support::exprs;
use crate::support::oracle::Stop;
use crate::support::oracle_group_by as oracle;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, STRICT, batch_of, integers};

mod aggregates;
mod exact;
mod ordered;
mod phases;

/// Every function, some more often.
const FUNCTIONS: [AggregateFunction; 20] = [
    Count,
    CountDistinct,
    Max,
    Mean,
    Min,
    Sum,
    Sum,
    First,
    Last,
    AnyValue,
    Any,
    All,
    ApproxCountDistinct,
    Variance(Ddof::Sample),
    Variance(Ddof::Population),
    StandardDeviation(Ddof::Sample),
    StandardDeviation(Ddof::Population),
    Collect,
    Quantile {
        q: Probability::HALF,
        interpolation: Interpolation::Linear,
    },
    Quantile {
        q: Probability::HALF,
        interpolation: Interpolation::Nearest,
    },
];

/// A group-by with the output types that `aggregate_type` gives.
fn spec_of(
    input: &SchemaRef,
    keys: Vec<usize>,
    aggregates: Vec<(AggregateFunction, Option<usize>)>,
    semantics: Semantics,
) -> GroupBySpec {
    let key_fields = keys.iter().map(|&index| input.field(index).clone());
    let mut fields: Vec<Field> = key_fields
        .enumerate()
        .map(|(index, field)| field.with_name(format!("key{index}")))
        .collect();
    for (index, (function, operand)) in aggregates.iter().enumerate() {
        let operand = operand.map(|operand| input.field(operand).data_type());
        let data_type = aggregate_type(*function, operand).expect("an aggregate of this type");
        fields.push(Field::new(format!("aggregate{index}"), data_type, true));
    }
    let aggregates = aggregates.into_iter();
    GroupBySpec {
        input: Arc::clone(input),
        output: Arc::new(Schema::new(fields)),
        group_keys: keys,
        aggregates: aggregates
            .map(|(function, input)| AggregateSpec { function, input })
            .collect(),
        semantics,
        float_sums: FloatSums::default(),
        phase: GroupByPhase::default(),
    }
}

/// Sums, means and variances of floats are added in no stated order; means divide once more.
/// The oracle computes variances approximately even where sums are exact.
fn tolerances(spec: &GroupBySpec, by_oracle: bool) -> Vec<Tolerance> {
    let exact = spec.float_sums == FloatSums::Exact;
    let keys = spec.group_keys.iter().map(|_| Tolerance::Exact);
    let aggregates = spec.aggregates.iter().map(|aggregate| {
        let operand = aggregate.input.map(|index| spec.input.field(index));
        let floats = operand.is_some_and(|field| field.data_type().is_floating());
        match aggregate.function {
            Variance(_) | StandardDeviation(_) if exact && !by_oracle => Tolerance::Exact,
            Variance(_) | StandardDeviation(_) => SPREAD,
            Sum | Mean if floats && exact => Tolerance::Exact,
            Sum | Mean if floats => Tolerance::Approximate {
                relative: 1e-9,
                absolute: 1e-7,
                ulps: 4,
            },
            Mean => Tolerance::Approximate {
                relative: 0.0,
                absolute: 0.0,
                ulps: 4,
            },
            _ => Tolerance::Exact,
        }
    });
    keys.chain(aggregates).collect()
}

/// Of variances and deviations of values below 2^32.
const SPREAD: Tolerance = Tolerance::Approximate {
    relative: 1e-9,
    absolute: 1e-4,
    ulps: 4,
};

/// Compares all backends with the CPU's, and that with the oracle.
fn check(spec: &GroupBySpec, table: &Table, how: &FoldPlan) -> Outcome {
    let operator = OperatorSpec::GroupBy(spec.clone());
    // Which row comes first depends on how the batches are fed.
    let schema = table.schema();
    let in_order = concat_batches(&schema, &how.in_order(&table.batches)).expect("batches");
    let ran = run_fold(
        &CpuBackend::new(),
        &operator,
        std::slice::from_ref(&in_order),
        &FoldPlan::single(1),
    );
    let expected = Outcome::of("cpu", &operator, ran);
    let keys = spec.group_keys.len();
    let equal_as = |tolerances: Vec<Tolerance>| {
        move |expected: &Rows, got: &Rows| multiset(expected, got, keys, &tolerances)
    };
    let oracle = match oracle::group_by(spec, &in_order) {
        Ok(rows) => Some(Outcome::Rows(rows)),
        Err(Stop::Arithmetic) => Some(Outcome::Arithmetic),
        Err(Stop::Unknown) => None,
    };
    if let Some(oracle) = oracle
        && let Err(difference) = same_outcome(&oracle, &expected, equal_as(tolerances(spec, true)))
    {
        panic!("cpu differs from the oracle: {difference}");
    }
    let run = |backend: &dyn Backend| run_fold(backend, &operator, &table.batches, how);
    compare_backends(&operator, &expected, run, equal_as(tolerances(spec, false)));
    expected
}

/// Checks one batch, and gives its rows in the order of their text; `None` is an error.
fn groups(
    batch: &RecordBatch,
    keys: Vec<usize>,
    aggregates: Vec<(AggregateFunction, Option<usize>)>,
    semantics: Semantics,
) -> Option<Rows> {
    let spec = spec_of(&batch.schema(), keys, aggregates, semantics);
    match check(&spec, &Table::single(batch.clone()), &FoldPlan::single(1)) {
        Outcome::Rows(mut rows) => {
            rows.sort_by_cached_key(|row| format!("{row:?}"));
            Some(rows)
        }
        _ => None,
    }
}

fn column(array: impl arrow::array::Array + 'static) -> RecordBatch {
    batch_of(vec![("a", Arc::new(array) as ArrayRef)])
}

fn all_of(index: usize) -> Vec<(AggregateFunction, Option<usize>)> {
    [Sum, Mean, Min, Max, Count, CountDistinct]
        .map(|function| (function, Some(index)))
        .to_vec()
}

#[test]
fn no_keys_give_exactly_one_row_even_of_nothing() {
    let empty = column(Int64Array::from(Vec::<i64>::new()));
    let nulls = column(Int64Array::from(vec![None, None]));
    for batch in [empty, nulls] {
        let mut expected = vec![Value::Null; 4];
        expected.extend(integers([0, 0]));
        let got = groups(&batch, vec![], all_of(0), LENIENT);
        assert_eq!(got, Some(vec![expected]));
        let zero = Semantics {
            empty_sum: EmptySum::Zero,
            ..LENIENT
        };
        let rows = batch.num_rows() as i128;
        let got = groups(&batch, vec![], vec![(Sum, Some(0)), (Count, None)], zero);
        assert_eq!(got, Some(vec![integers([0, rows])]));
    }
}

#[test]
fn keys_of_nothing_give_no_rows() {
    let empty = column(Int64Array::from(Vec::<i64>::new()));
    assert_eq!(groups(&empty, vec![0], all_of(0), LENIENT), Some(vec![]));
}

#[test]
fn nulls_nans_and_zeros_are_one_group_each() {
    let batch = column(Float64Array::from(vec![
        Some(-0.0),
        None,
        Some(f64::NAN),
        Some(0.0),
        Some(-f64::NAN),
        None,
    ]));
    let got = groups(&batch, vec![0], vec![(Count, None)], LENIENT).expect("rows");
    let counts: Vec<String> = got.iter().map(|row| format!("{row:?}")).collect();
    assert_eq!(
        counts,
        [
            "[Float(0.0), Integer(2)]",
            "[Float(NaN), Integer(2)]",
            "[Null, Integer(2)]"
        ]
    );
    let distinct = groups(&batch, vec![], vec![(CountDistinct, Some(0))], LENIENT);
    assert_eq!(distinct, Some(vec![integers([2])]));
}

#[test]
fn nan_is_greatest_in_min_and_max() {
    let batch = column(Float64Array::from(vec![f64::NAN, -1.0, f64::INFINITY]));
    let got = groups(
        &batch,
        vec![],
        vec![(Min, Some(0)), (Max, Some(0))],
        LENIENT,
    );
    assert_eq!(format!("{got:?}"), "Some([[Float(-1.0), Float(NaN)]])");
    let zeros = column(Float64Array::from(vec![-0.0]));
    let got = groups(
        &zeros,
        vec![],
        vec![(Min, Some(0)), (Max, Some(0))],
        LENIENT,
    );
    assert_eq!(format!("{got:?}"), "Some([[Float(0.0), Float(0.0)]])");
}

#[test]
fn integer_sums_wrap_or_fail_in_64_bits() {
    let batch = column(Int64Array::from(vec![i64::MAX, 1]));
    let wrapped = groups(&batch, vec![], vec![(Sum, Some(0))], LENIENT);
    assert_eq!(wrapped, Some(vec![integers([i64::MIN.into()])]));
    assert_eq!(groups(&batch, vec![], vec![(Sum, Some(0))], STRICT), None);
    // Only the final sum counts.
    let batch = column(Int64Array::from(vec![i64::MAX, 1, -1]));
    let exact = groups(&batch, vec![], vec![(Sum, Some(0))], STRICT);
    assert_eq!(exact, Some(vec![integers([i64::MAX.into()])]));
    let batch = column(UInt64Array::from(vec![u64::MAX, 2]));
    let wrapped = groups(&batch, vec![], vec![(Sum, Some(0))], LENIENT);
    assert_eq!(wrapped, Some(vec![integers([1])]));
    // Narrow integers sum to 64 bits, and a mean never overflows.
    let batch = column(Int8Array::from(vec![127, 127]));
    let got = groups(
        &batch,
        vec![],
        vec![(Sum, Some(0)), (Mean, Some(0))],
        STRICT,
    );
    assert_eq!(
        got,
        Some(vec![vec![Value::Integer(254), Value::Float(127.0)]])
    );
    let batch = column(Int64Array::from(vec![i64::MAX, i64::MAX]));
    let mean = groups(&batch, vec![], vec![(Mean, Some(0))], STRICT);
    assert_eq!(
        mean,
        Some(vec![vec![Value::Float(9_223_372_036_854_775_807.0)]])
    );
}

#[test]
fn decimal_sums_beyond_38_digits_are_null_or_fail() {
    let nines = 10i128.pow(38) - 1;
    let decimals = |values: Vec<i128>| {
        let array = Decimal128Array::from(values);
        column(array.with_precision_and_scale(38, 2).expect("38 digits"))
    };
    let sum = || vec![(Sum, Some(0))];
    let batch = decimals(vec![nines, 1]);
    assert_eq!(
        groups(&batch, vec![], sum(), LENIENT),
        Some(vec![vec![Value::Null]])
    );
    assert_eq!(groups(&batch, vec![], sum(), STRICT), None);
    let batch = decimals(vec![nines, 1, -1]);
    assert_eq!(
        groups(&batch, vec![], sum(), STRICT),
        Some(vec![integers([nines])])
    );
    let batch = decimals(vec![150, 250, 300]);
    let mean = groups(&batch, vec![], vec![(Mean, Some(0))], LENIENT);
    assert_eq!(mean, Some(vec![vec![Value::Float(7.0 / 3.0)]]));
}

#[test]
fn strings_group_and_order_by_bytes() {
    let words = StringArray::from(vec![Some("é"), Some(""), None, Some("z"), Some("")]);
    let batch = batch_of(vec![
        ("word", Arc::new(words) as ArrayRef),
        (
            "n",
            Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])) as ArrayRef,
        ),
    ]);
    let text = |text: &str| Value::Text(text.to_string());
    let got = groups(&batch, vec![0], vec![(Sum, Some(1))], LENIENT);
    let mut expected = vec![
        vec![text("é"), Value::Integer(1)],
        vec![text(""), Value::Integer(7)],
        vec![Value::Null, Value::Integer(3)],
        vec![text("z"), Value::Integer(4)],
    ];
    expected.sort_by_cached_key(|row| format!("{row:?}"));
    assert_eq!(got, Some(expected));
    let got = groups(
        &batch,
        vec![],
        vec![(Min, Some(0)), (Max, Some(0))],
        LENIENT,
    );
    assert_eq!(got, Some(vec![vec![text(""), text("é")]]));
}

/// Aggregates that are defined for the columns' types.
fn aggregates(
    random: &mut Random,
    schema: &SchemaRef,
    first: usize,
) -> Vec<(AggregateFunction, Option<usize>)> {
    let columns = schema.fields().len();
    let mut aggregates = Vec::new();
    for _ in 0..random.below(6) {
        if first == columns || random.once_in(8) {
            aggregates.push((Count, None));
            continue;
        }
        let operand = first + random.below(columns - first);
        let function = *random.pick(&FUNCTIONS);
        let data_type = schema.field(operand).data_type();
        if matches!(function, Variance(_) | StandardDeviation(_)) && !is_moderate(data_type) {
            continue;
        }
        if aggregate_type(function, Some(data_type)).is_ok() {
            aggregates.push((function, Some(operand)));
        }
    }
    aggregates
}

/// True for numbers whose squares leave a binary64 some digits.
fn is_moderate(data_type: &DataType) -> bool {
    match decimal_parts(data_type) {
        Some((precision, _)) => precision <= 9,
        None => !matches!(data_type, DataType::Int64 | DataType::UInt64),
    }
}

#[test]
fn random_groups_of_random_tables() {
    for_each_case("group_by", |random| {
        let keys = random.below(4);
        let columns = keys + random.below(4);
        let schema = tables::schema(random, columns);
        let rows = tables::row_count(random);
        let spread = *random.pick(&[Domain::Keys, Domain::Keys, Domain::Any]);
        let mut domains = vec![spread; keys];
        domains.resize(columns, Domain::Moderate);
        let table = tables::table(random, &schema, rows, &domains);
        let mut group_keys: Vec<usize> = (0..keys).collect();
        random.shuffle(&mut group_keys);
        let aggregates = aggregates(random, &schema, keys);
        let semantics = exprs::semantics(random);
        let case = format!("{aggregates:?} by {group_keys:?} under {semantics:?}");
        let _note = Note::new(&schema, case);
        let spec = spec_of(&schema, group_keys, aggregates, semantics);
        let how = FoldPlan::random(random, table.batches.len());
        check(&spec, &table, &how);
    });
}
