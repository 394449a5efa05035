//! Functions of one row in `project`: numbers, lists, dates and times.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float16Array, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::expr::{CalendarUnit, Expr, TypedExpr, col, greatest, least, lit, make_date, resolve};
use pelton::operators::{OperatorSpec, ProjectSpec};
use pelton::types::{DataType, Field, Literal, Schema, SchemaRef, Semantics, TimeUnit};

use crate::support::backends::{Outcome, compare_backends, run_transform, same_outcome};
use crate::support::equality::{Tolerance, ordered};
use crate::support::exprs;
use crate::support::oracle;
use crate::support::random::{Note, Random, case_count, for_each_case};
use crate::support::tables::{self, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, ORACLE_ROWS_MAX, STRICT, batch_of, rows_of};

/// What last bits may differ by between the host's libm and CUDA's: CUDA documents at most 2 ulp for
/// each of these functions of `double`, glibc 1 ulp, and `log` divides two such results.
const LAST_BITS: Tolerance = Tolerance::Approximate {
    relative: 0.0,
    absolute: 0.0,
    ulps: 8,
};

fn spec_of(input: &SchemaRef, exprs: Vec<TypedExpr>, semantics: Semantics) -> ProjectSpec {
    let fields = exprs
        .iter()
        .enumerate()
        .map(|(index, expr)| Field::new(format!("out{index}"), expr.data_type.clone(), true));
    ProjectSpec {
        input: Arc::clone(input),
        output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        exprs,
        semantics,
    }
}

/// All backends against the CPU's, and that against the oracle, within a tolerance per column.
fn check(spec: &ProjectSpec, table: &Table, tolerances: &[Tolerance]) -> Outcome {
    let operator = OperatorSpec::Project(spec.clone());
    let ran = run_transform(
        &CpuBackend::new(),
        &operator,
        None,
        std::slice::from_ref(&table.whole),
    );
    let expected = Outcome::of("cpu", &operator, ran);
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, tolerances);
    if table.whole.num_rows() <= ORACLE_ROWS_MAX {
        let oracle = match oracle::project(spec, &table.whole) {
            Ok(rows) => Some(Outcome::Rows(rows)),
            Err(oracle::Stop::Arithmetic) => Some(Outcome::Arithmetic),
            Err(oracle::Stop::Unknown) => None,
        };
        if let Some(oracle) = oracle
            && let Err(difference) = same_outcome(&oracle, &expected, equal)
        {
            panic!("cpu differs from the oracle: {difference}");
        }
    }
    let run = |backend: &dyn Backend| run_transform(backend, &operator, None, &table.batches);
    compare_backends(&operator, &expected, run, equal);
    expected
}

/// Projects one expression under lenient and strict semantics; `None` is an arithmetic error.
fn gives(expr: &Expr, batch: &RecordBatch, lenient: Vec<Value>, strict: Option<Vec<Value>>) {
    for (semantics, column) in [(LENIENT, Some(lenient)), (STRICT, strict)] {
        let typed = resolve(expr, &batch.schema()).expect("an expression with types");
        let spec = spec_of(&batch.schema(), vec![typed], semantics);
        let got = check(&spec, &Table::single(batch.clone()), &[]);
        let expected = match column {
            Some(column) => Outcome::Rows(rows_of(&[column])),
            None => Outcome::Arithmetic,
        };
        let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
        if let Err(difference) = same_outcome(&expected, &got, equal) {
            panic!("`{expr}` under {semantics:?}: {difference}");
        }
    }
}

fn both(expr: &Expr, batch: &RecordBatch, values: Vec<Value>) {
    gives(expr, batch, values.clone(), Some(values));
}

fn one(array: impl arrow::array::Array + 'static) -> RecordBatch {
    batch_of(vec![("a", Arc::new(array) as ArrayRef)])
}

fn nullable(values: &[Option<i128>]) -> Vec<Value> {
    let value = |value: &Option<i128>| value.map_or(Value::Null, Value::Integer);
    values.iter().map(value).collect()
}

fn integers(values: &[i128]) -> Vec<Value> {
    values.iter().copied().map(Value::Integer).collect()
}

fn floats(values: &[f64]) -> Vec<Value> {
    values.iter().copied().map(Value::Float).collect()
}

fn booleans(values: &[Option<bool>]) -> Vec<Value> {
    let value = |value: &Option<bool>| value.map_or(Value::Null, Value::Boolean);
    values.iter().map(value).collect()
}

fn a() -> Expr {
    col("a")
}

#[test]
fn absolute_values_and_signs() {
    let bytes = one(Int8Array::from(vec![
        Some(i8::MIN),
        Some(-1),
        Some(7),
        None,
    ]));
    let wrapped = nullable(&[Some(-128), Some(1), Some(7), None]);
    gives(&a().abs(), &bytes, wrapped, None);
    let signs = nullable(&[Some(-1), Some(-1), Some(1), None]);
    both(&a().sign(), &bytes, signs);
    let singles = one(Float32Array::from(vec![
        -0.0,
        -2.5,
        f32::NAN,
        f32::NEG_INFINITY,
    ]));
    let expected = floats(&[0.0, 2.5, f64::NAN, f64::INFINITY]);
    both(&a().abs(), &singles, expected);
    both(&a().sign(), &singles, floats(&[-0.0, -1.0, f64::NAN, -1.0]));
}

#[test]
fn decimals_round_and_lose_scale() {
    let cents = Decimal128Array::from(vec![149, 150, -150, -149, 99_999]);
    let batch = one(cents.with_precision_and_scale(5, 2).expect("5 digits"));
    let type_of = |expr: &Expr| resolve(expr, &batch.schema()).expect("types").data_type;
    assert_eq!(type_of(&a().round(0)), DataType::Decimal128(4, 0));
    assert_eq!(type_of(&a().round(1)), DataType::Decimal128(5, 1));
    assert_eq!(type_of(&a().round(2)), DataType::Decimal128(5, 2));
    assert_eq!(type_of(&a().round(-1)), DataType::Decimal128(4, 0));
    both(&a().round(0), &batch, integers(&[1, 2, -2, -1, 1000]));
    both(&a().floor(), &batch, integers(&[1, 1, -2, -2, 999]));
    both(&a().ceil(), &batch, integers(&[2, 2, -1, -1, 1000]));
    both(&a().trunc(0), &batch, integers(&[1, 1, -1, -1, 999]));
    both(&a().round(1), &batch, integers(&[15, 15, -15, -15, 10_000]));
    both(&a().round(-2), &batch, integers(&[0, 0, 0, 0, 1000]));
    both(&a().round(-5), &batch, integers(&[0; 5]));
    let wide = Decimal128Array::from(vec![10i128.pow(38) - 1, 5]);
    let wide = one(wide.with_precision_and_scale(38, 0).expect("38 digits"));
    gives(&a().round(-1), &wide, nullable(&[None, Some(10)]), None);
}

#[test]
fn integers_round_to_tens_and_overflow() {
    let bytes = one(Int8Array::from(vec![Some(125), Some(-125), Some(4), None]));
    let wrapped = nullable(&[Some(-126), Some(126), Some(0), None]);
    gives(&a().round(-1), &bytes, wrapped, None);
    let down = nullable(&[Some(120), Some(-120), Some(0), None]);
    both(&a().trunc(-1), &bytes, down);
    let same = nullable(&[Some(125), Some(-125), Some(4), None]);
    both(&a().floor(), &bytes, same);
    let words = one(Int64Array::from(vec![i64::MAX, i64::MIN, 5]));
    let kept = integers(&[9_223_372_036_854_775_800, -9_223_372_036_854_775_800, 0]);
    both(&a().trunc(-2), &words, kept);
    both(&a().round(-30), &words, integers(&[0, 0, 0]));
}

#[test]
fn floats_round_half_away_from_zero() {
    let values = vec![2.5, -2.5, 0.4, -0.4, f64::NAN, f64::INFINITY, 1e300, 1.005];
    let batch = one(Float64Array::from(values));
    let rounded = [3.0, -3.0, 0.0, -0.0, f64::NAN, f64::INFINITY, 1e300, 1.0];
    both(&a().round(0), &batch, floats(&rounded));
    let floor = [2.0, -3.0, 0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1.0];
    both(&a().floor(), &batch, floats(&floor));
    let ceil = [3.0, -2.0, 1.0, -0.0, f64::NAN, f64::INFINITY, 1e300, 2.0];
    both(&a().ceil(), &batch, floats(&ceil));
    let two = [2.5, -2.5, 0.4, -0.4, f64::NAN, f64::INFINITY, 1e300, 1.0];
    both(&a().round(2), &batch, floats(&two));
}

#[test]
fn domain_errors_of_floats_are_nan_or_infinite() {
    let batch = one(Float64Array::from(vec![-1.0, 0.0, 4.0]));
    both(&a().sqrt(), &batch, floats(&[f64::NAN, 0.0, 2.0]));
    both(&a().is_nan(), &batch, booleans(&[Some(false); 3]));
    let logarithms = a().ln().is_finite();
    both(
        &logarithms,
        &batch,
        booleans(&[Some(false), Some(false), Some(true)]),
    );
    both(
        &a().asin().is_nan(),
        &batch,
        booleans(&[Some(false), Some(false), Some(true)]),
    );
}

#[test]
fn shifts_by_less_than_the_width() {
    let batch = one(Int8Array::from(vec![-128, 3, -1]));
    both(&a().shift_left(lit(1)), &batch, integers(&[0, 6, -2]));
    both(&a().shift_right(lit(7)), &batch, integers(&[-1, 0, -1]));
    gives(&a().shift_left(lit(8)), &batch, vec![Value::Null; 3], None);
    gives(
        &a().shift_right(lit(-1)),
        &batch,
        vec![Value::Null; 3],
        None,
    );
    both(&a().bit_not(), &batch, integers(&[127, -4, 0]));
    both(&a().bit_xor(lit(5)), &batch, integers(&[-123, 6, -6]));
}

#[test]
fn extremes_ignore_nulls_and_nan_is_greatest() {
    let batch = batch_of(vec![
        (
            "a",
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                None,
                Some(f64::NAN),
                None,
            ])) as ArrayRef,
        ),
        (
            "b",
            Arc::new(Float64Array::from(vec![None, Some(-0.0), Some(2.0), None])) as ArrayRef,
        ),
    ]);
    let operands = || [a(), col("b"), lit(0.0)];
    both(
        &greatest(operands()),
        &batch,
        floats(&[1.0, -0.0, f64::NAN, 0.0]),
    );
    both(&least(operands()), &batch, floats(&[0.0, -0.0, 0.0, 0.0]));
    let two = vec![
        Value::Float(1.0),
        Value::Float(-0.0),
        Value::Float(2.0),
        Value::Null,
    ];
    both(&least([a(), col("b")]), &batch, two);
    let nulled = vec![
        Value::Null,
        Value::Null,
        Value::Float(f64::NAN),
        Value::Null,
    ];
    both(&a().nullif(lit(1.0)), &batch, nulled);
}

#[test]
fn lists_have_the_nulls_of_sql() {
    let batch = one(Int32Array::from(vec![Some(1), Some(2), None]));
    let (t, f, n) = (Some(true), Some(false), None);
    both(&a().is_in([1, 3]), &batch, booleans(&[t, f, n]));
    let with_null = [Literal::Int64(1), Literal::Null];
    both(&a().is_in(with_null), &batch, booleans(&[t, n, n]));
    both(
        &a().is_in(Vec::<Literal>::new()),
        &batch,
        booleans(&[f, f, f]),
    );
    both(&a().is_in([1.5, 2.0]), &batch, booleans(&[f, t, n]));
    both(&a().is_in((2..500).rev()), &batch, booleans(&[f, t, n]));
    let wide = Decimal128Array::from(vec![10i128.pow(30), -1, 7]);
    let wide = one(wide.with_precision_and_scale(38, 0).expect("38 digits"));
    both(&a().is_in((-9..0).chain(5..9)), &wide, booleans(&[f, t, t]));
    let odd = one(Float64Array::from(vec![-0.0, -f64::NAN, 1.0]));
    both(&a().is_in([0.0, f64::NAN]), &odd, booleans(&[t, t, f]));
    let halves = [1.5, -0.0, f32::NAN].map(half::f16::from_f32);
    let halves = one(Float16Array::from_iter_values(halves));
    both(&a().is_in([1.5, 0.0]), &halves, booleans(&[t, t, f]));
    let words = one(StringArray::from(vec![Some("a"), Some("é"), None]));
    both(&a().is_in(["é", "zz"]), &words, booleans(&[f, t, n]));
}

#[test]
fn between_is_one_step_with_the_nulls_of_and() {
    let batch = batch_of(vec![
        (
            "a",
            Arc::new(Int64Array::from(vec![Some(1), Some(5), None, Some(9)])) as ArrayRef,
        ),
        (
            "b",
            Arc::new(Int64Array::from(vec![Some(2), None, Some(1), None])) as ArrayRef,
        ),
    ]);
    let (t, f, n) = (Some(true), Some(false), None);
    both(
        &a().between(lit(1), lit(5)),
        &batch,
        booleans(&[t, t, n, f]),
    );
    both(
        &a().between(col("b"), lit(5)),
        &batch,
        booleans(&[f, n, n, f]),
    );
    let open = a().gt(lit(1)).and(a().lt_eq(lit(9)));
    both(&open, &batch, booleans(&[f, t, n, t]));
}

fn second(days: i64, seconds: i64) -> i64 {
    days * 86_400 + seconds
}

#[test]
fn parts_of_the_extremes_of_dates() {
    let days = vec![i32::MIN, -719_528, -719_529, -1, 0, 11_016, i32::MAX];
    let batch = one(Date32Array::from(days));
    both(
        &a().year(),
        &batch,
        integers(&[-5_877_641, 0, -1, 1969, 1970, 2000, 5_881_580]),
    );
    both(&a().month(), &batch, integers(&[6, 1, 12, 12, 1, 2, 7]));
    both(&a().day(), &batch, integers(&[23, 1, 31, 31, 1, 29, 11]));
    both(
        &a().day_of_year(),
        &batch,
        integers(&[174, 1, 365, 365, 1, 60, 193]),
    );
    both(&a().day_of_week(), &batch, integers(&[2, 6, 5, 3, 4, 2, 5]));
    let first = a().truncate(CalendarUnit::Year);
    let starts = [
        None,
        Some(-719_528),
        Some(-719_893),
        Some(-365),
        Some(0),
        Some(10_957),
    ];
    let starts = [&starts[..], &[Some(i128::from(i32::MAX) - 192)]].concat();
    gives(&first, &batch, nullable(&starts), None);
}

#[test]
fn seconds_reach_years_beyond_int32() {
    let batch = one(TimestampSecondArray::from(vec![
        i64::MIN,
        i64::MAX,
        -1,
        second(1, 3_661),
    ]));
    gives(
        &a().year(),
        &batch,
        nullable(&[None, None, Some(1969), Some(1970)]),
        None,
    );
    both(&a().month(), &batch, integers(&[1, 12, 12, 1]));
    both(&a().hour(), &batch, integers(&[8, 15, 23, 1]));
    both(&a().minute(), &batch, integers(&[29, 30, 59, 1]));
    both(&a().second(), &batch, integers(&[52, 7, 59, 1]));
    both(
        &a().epoch(),
        &batch,
        integers(&[i64::MIN.into(), i64::MAX.into(), -1, 90_061]),
    );
    let nanos = one(TimestampNanosecondArray::from(vec![
        i64::MIN,
        -1,
        1_234_567_891,
    ]));
    both(&a().year(), &nanos, integers(&[1677, 1969, 1970]));
    both(
        &a().nanosecond(),
        &nanos,
        integers(&[145_224_192, 999_999_999, 234_567_891]),
    );
    both(&a().millisecond(), &nanos, integers(&[145, 999, 234]));
    both(&a().epoch(), &nanos, integers(&[-9_223_372_037, -1, 1]));
    let seconds = a().truncate(CalendarUnit::Second);
    let cut = nullable(&[None, Some(-1_000_000_000), Some(1_000_000_000)]);
    gives(&seconds, &nanos, cut, None);
}

#[test]
fn zones_of_a_fixed_offset_are_local_time() {
    let times = TimestampSecondArray::from(vec![0, -1]).with_timezone("-03:30");
    let batch = one(times);
    both(&a().hour(), &batch, integers(&[20, 20]));
    both(&a().minute(), &batch, integers(&[30, 29]));
    both(&a().day(), &batch, integers(&[31, 31]));
    both(&a().epoch(), &batch, integers(&[0, -1]));
    let midnight = i128::from(second(-1, 3 * 3600 + 1800));
    both(
        &a().truncate(CalendarUnit::Day),
        &batch,
        integers(&[midnight, midnight]),
    );
    let named = TimestampSecondArray::from(vec![0]).with_timezone("Europe/Paris");
    let error = resolve(&a().hour(), &one(named).schema()).expect_err("a named zone");
    assert!(error.to_string().contains("no fixed offset"), "{error}");
}

fn interval(months: i32, days: i32, nanos: i64) -> Expr {
    lit(Literal::Interval {
        months,
        days,
        nanos,
    })
}

#[test]
fn intervals_clamp_to_the_end_of_the_month() {
    let days = Date32Array::from(vec![Some(19_753), Some(19_782), Some(i32::MAX), None]);
    let batch = one(days); // 2024-01-31, 2024-02-29
    let later = nullable(&[Some(19_782), Some(19_811), None, None]);
    gives(&(a() + interval(1, 0, 0)), &batch, later, None);
    let earlier = nullable(&[Some(19_388), Some(19_416), Some(2_147_483_281), None]);
    both(&(a() - interval(12, 0, 0)), &batch, earlier);
    let week = nullable(&[Some(19_760), Some(19_789), None, None]);
    gives(&(a() + lit(7)), &batch, week, None);
    both(
        &a().last_day(),
        &one(Date32Array::from(vec![19_753, 19_755])),
        integers(&[19_753, 19_782]),
    );
    let difference = nullable(&[Some(0), Some(29), Some(2_147_463_894), None]);
    both(&(a() - lit(Literal::Date32(19_753))), &batch, difference);
    let hours = a() + interval(0, 0, 3_600_000_000_000);
    let error = resolve(&hours, &batch.schema()).expect_err("hours of a date");
    assert!(
        error.to_string().contains("cast it to a finer timestamp"),
        "{error}"
    );
}

#[test]
fn constant_dates_are_known_before_anything_runs() {
    let schema = one(Date32Array::from(vec![0])).schema();
    let cutoff = lit(Literal::Date32(10_561)) - interval(0, 90, 0);
    let typed = resolve(&a().lt_eq(cutoff), &schema).expect("types");
    let literal = typed.children()[1].clone();
    let known = lit(Literal::Date32(10_471));
    assert_eq!(literal, resolve(&known, &schema).expect("types"));
}

#[test]
fn timestamps_and_durations_add_up() {
    let batch = one(TimestampSecondArray::from(vec![
        Some(10),
        Some(i64::MAX),
        None,
    ]));
    let schema = batch.schema();
    let difference = resolve(&(a() - a()), &schema).expect("types");
    assert_eq!(difference.data_type, DataType::Duration(TimeUnit::Second));
    both(&(a() - a()), &batch, nullable(&[Some(0), Some(0), None]));
    let span = lit(3).cast(DataType::Duration(TimeUnit::Second));
    gives(
        &(a() + span.clone()),
        &batch,
        nullable(&[Some(13), None, None]),
        None,
    );
    gives(
        &(span + a()),
        &batch,
        nullable(&[Some(13), None, None]),
        None,
    );
}

#[test]
fn dates_are_made_of_parts_that_exist() {
    let column = |values: [i32; 5]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
    let batch = batch_of(vec![
        ("y", column([2024, 2023, 2024, i32::MAX, -1])),
        ("m", column([2, 2, 13, 1, 12])),
        ("d", column([29, 29, 1, 1, 31])),
    ]);
    let made = nullable(&[Some(19_782), None, None, None, Some(-719_529)]);
    gives(&make_date(col("y"), col("m"), col("d")), &batch, made, None);
}

/// Types that functions read, more of dates and times than tables usually have.
fn data_type(random: &mut Random) -> DataType {
    let units = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    match random.below(6) {
        0 => DataType::Date64,
        1 => DataType::Date32,
        2 => {
            let zone = *random.pick(&["UTC", "+05:30", "-11:00", "+00:01", "-00:30"]);
            DataType::Timestamp(*random.pick(&units), Some(zone.into()))
        }
        3 => DataType::Timestamp(*random.pick(&units), None),
        _ => tables::data_type(random),
    }
}

fn random_case(random: &mut Random, exact: bool) -> bool {
    let columns = 2 + random.below(4);
    let fields = (0..columns).map(|index| Field::new(format!("c{index}"), data_type(random), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = tables::row_count(random).min(4097);
    let table = tables::table(random, &schema, rows, &[]);
    let semantics = exprs::semantics(random);
    let exprs = (0..1 + random.below(3)).map(|_| {
        if exact {
            exprs::functions::exact(random, &schema, 2)
        } else {
            exprs::functions::inexact(random, &schema, 1)
        }
    });
    let (texts, exprs): (Vec<_>, Vec<_>) =
        exprs.map(|(expr, typed)| (expr.to_string(), typed)).unzip();
    let case = format!("{} under {semantics:?}", texts.join(";  "));
    let _note = Note::new(&schema, case);
    let tolerance = if exact { Tolerance::Exact } else { LAST_BITS };
    let tolerances = vec![tolerance; exprs.len()];
    let spec = spec_of(&schema, exprs, semantics);
    matches!(check(&spec, &table, &tolerances), Outcome::Rows(_))
}

#[test]
fn random_functions_over_random_tables() {
    let mut computed = 0;
    for_each_case("functions", |random| {
        computed += usize::from(random_case(random, true));
    });
    assert!(
        2 * computed >= case_count() || case_count() < 20,
        "{computed} gave rows"
    );
}

#[test]
fn random_functions_of_floats_agree_to_the_last_bits() {
    let mut computed = 0;
    for_each_case("inexact functions", |random| {
        computed += usize::from(random_case(random, false));
    });
    assert!(
        2 * computed >= case_count() || case_count() < 20,
        "{computed} gave rows"
    );
}
