//! `project`: columns computed from columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array,
    UInt64Array,
};
use pelton::backend::cpu::CpuBackend;
use pelton::error::ErrorKind;
use pelton::expr::{Expr, TypedExpr, coalesce, col, lit, resolve, when};
use pelton::limits::EXPR_DEPTH_MAX;
use pelton::operators::{OperatorSpec, ProjectSpec};
use pelton::types::{DataType, Field, Literal, Schema, SchemaRef, Semantics, TimeUnit};

use crate::support::backends::{Outcome, run_transform, same_outcome};
use crate::support::equality::ordered;
use crate::support::exprs;
use crate::support::oracle;
use crate::support::random::{Note, case_count, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, STRICT, batch_of, check_ordered, integers, rows_of};

/// A projection of typed expressions.
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

fn check(spec: &ProjectSpec, table: &Table) -> Outcome {
    let operator = OperatorSpec::Project(spec.clone());
    check_ordered(&operator, table, || oracle::project(spec, &table.whole))
}

/// Projects one expression under lenient and strict semantics; `None` is an arithmetic error.
fn gives(
    expr: &Expr,
    batch: &RecordBatch,
    lenient: Option<Vec<Value>>,
    strict: Option<Vec<Value>>,
) {
    for (semantics, column) in [(LENIENT, lenient), (STRICT, strict)] {
        let typed = resolve(expr, &batch.schema()).expect("an expression with types");
        let spec = spec_of(&batch.schema(), vec![typed], semantics);
        let got = check(&spec, &Table::single(batch.clone()));
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

fn one(array: impl Array + 'static) -> RecordBatch {
    batch_of(vec![("a", Arc::new(array) as ArrayRef)])
}

fn nullable(values: &[Option<i128>]) -> Vec<Value> {
    let value = |value: &Option<i128>| value.map_or(Value::Null, Value::Integer);
    values.iter().map(value).collect()
}

fn booleans(values: &[Option<bool>]) -> Vec<Value> {
    let value = |value: &Option<bool>| value.map_or(Value::Null, Value::Boolean);
    values.iter().map(value).collect()
}

fn floats(values: &[f64]) -> Vec<Value> {
    values.iter().copied().map(Value::Float).collect()
}

#[test]
fn integer_overflow_wraps_or_fails() {
    let batch = one(Int8Array::from(vec![i8::MIN, i8::MAX]));
    let same = |expr: Expr, wrapped: [i128; 2]| gives(&expr, &batch, Some(integers(wrapped)), None);
    same(col("a") + lit(1), [-127, -128]);
    same(col("a") - lit(1), [127, 126]);
    same(col("a") * lit(2), [0, -2]);
    same(col("a") / lit(-1), [-128, -127]);
    same(-col("a"), [-128, -127]);
    let zero = Some(integers([0, 0]));
    gives(&(col("a") % lit(-1)), &batch, zero.clone(), zero);
    let unsigned = one(UInt64Array::from(vec![0]));
    let wrapped = Some(integers([u64::MAX.into()]));
    gives(&(col("a") - lit(1)), &unsigned, wrapped, None);
}

#[test]
fn division_by_zero_is_null_or_fails_and_floats_follow_ieee() {
    let batch = one(Int64Array::from(vec![Some(7), None]));
    for expr in [col("a") / lit(0), col("a") % lit(0)] {
        gives(&expr, &batch, Some(nullable(&[None, None])), None);
    }
    let null = one(Int64Array::from(vec![None]));
    let nothing = Some(nullable(&[None]));
    gives(&(col("a") / lit(0)), &null, nothing.clone(), nothing);
    let batch = one(Float64Array::from(vec![1.0, -1.0, 0.0]));
    let ieee = Some(floats(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]));
    gives(&(col("a") / lit(0.0)), &batch, ieee.clone(), ieee);
    let signs = one(Int64Array::from(vec![-7, 7]));
    for (expr, values) in [(col("a") / lit(2), [-3, 3]), (col("a") % lit(-4), [-3, 3])] {
        let values = Some(integers(values));
        gives(&expr, &signs, values.clone(), values);
    }
}

#[test]
fn decimals_beyond_their_digits_are_null_or_fail() {
    let nines = 10i128.pow(38) - 1;
    let decimals = Decimal128Array::from(vec![Some(nines), Some(1), None]);
    let batch = one(decimals.with_precision_and_scale(38, 0).expect("38 digits"));
    let lenient = Some(nullable(&[None, Some(2), None]));
    gives(&(col("a") + lit(1)), &batch, lenient.clone(), None);
    gives(&(col("a") * lit(2)), &batch, lenient, None);
    let prices = Decimal128Array::from(vec![1999, -1999]);
    let batch = one(prices.with_precision_and_scale(15, 2).expect("15 digits"));
    let products = Some(integers([1999 * -1899, -1999 * 2099]));
    gives(
        &(col("a") * (lit(1) - col("a"))),
        &batch,
        products.clone(),
        products,
    );
}

#[test]
fn kleene_logic_knows_nine_cases() {
    let values = [Some(true), Some(false), None];
    let left: Vec<_> = values.iter().flat_map(|value| [*value; 3]).collect();
    let right: Vec<_> = values.iter().cycle().take(9).copied().collect();
    let batch = batch_of(vec![
        ("a", Arc::new(BooleanArray::from(left)) as ArrayRef),
        ("b", Arc::new(BooleanArray::from(right)) as ArrayRef),
    ]);
    let (t, f, n) = (Some(true), Some(false), None);
    for (expr, table) in [
        (col("a").and(col("b")), [t, f, n, f, f, f, n, f, n]),
        (col("a").or(col("b")), [t, t, t, t, f, n, t, n, n]),
        (!col("a"), [f, f, f, t, t, t, n, n, n]),
        (col("a").is_null(), [f, f, f, f, f, f, t, t, t]),
    ] {
        let table = Some(booleans(&table));
        gives(&expr, &batch, table.clone(), table);
    }
}

#[test]
fn nan_is_greatest_and_zeros_are_equal() {
    let batch = batch_of(vec![
        (
            "a",
            Arc::new(Float64Array::from(vec![-0.0, f64::NAN, f64::NAN, 1.0])) as ArrayRef,
        ),
        (
            "b",
            Arc::new(Float64Array::from(vec![
                0.0,
                -f64::NAN,
                f64::INFINITY,
                f64::NAN,
            ])) as ArrayRef,
        ),
    ]);
    let all = |values: [bool; 4]| Some(booleans(&values.map(Some)));
    let (a, b) = (col("a"), col("b"));
    let equal = all([true, true, false, false]);
    gives(&a.clone().eq(b.clone()), &batch, equal.clone(), equal);
    let greater = all([false, false, true, false]);
    gives(&a.clone().gt(b.clone()), &batch, greater.clone(), greater);
    let at_most = all([true, true, false, true]);
    gives(&a.lt_eq(b), &batch, at_most.clone(), at_most);
}

#[test]
fn branches_that_are_not_taken_raise_no_error() {
    let batch = one(Int64Array::from(vec![
        Some(0),
        Some(2),
        None,
        Some(i64::MAX),
    ]));
    let a = || col("a");
    let guarded = when(a().eq(lit(0))).then(lit(0)).otherwise(lit(10) / a());
    let values = Some(nullable(&[Some(0), Some(5), None, Some(0)]));
    gives(&guarded, &batch, values.clone(), values);
    let divided = when(a().not_eq(lit(0))).then(lit(10) / a()).end();
    let values = Some(nullable(&[None, Some(5), None, Some(0)]));
    gives(&divided, &batch, values.clone(), values);
    let narrowed = when(a().gt(lit(100)))
        .then(lit(100))
        .otherwise(a().cast(DataType::Int8));
    let values = Some(nullable(&[Some(0), Some(2), None, Some(100)]));
    gives(&narrowed, &batch, values.clone(), values);
    // A condition is only asked of rows that no branch before it took.
    let later = when(a().eq(lit(0)))
        .then(lit(1))
        .when((lit(10) / a()).gt(lit(4)))
        .then(lit(2))
        .end();
    let values = Some(nullable(&[Some(1), Some(2), None, None]));
    gives(&later, &batch, values.clone(), values);
    let first = coalesce([a(), a() / lit(0)]);
    let values = nullable(&[Some(0), Some(2), None, Some(i64::MAX.into())]);
    gives(&first, &batch, Some(values.clone()), Some(values));
    let overflowing = coalesce([a() / lit(0), a() + lit(1)]);
    let wrapped = nullable(&[Some(1), Some(3), None, Some(i64::MIN.into())]);
    gives(&overflowing, &batch, Some(wrapped), None);
    // Both sides of `and` are evaluated: it is no guard.
    let unguarded = a().not_eq(lit(0)).and((lit(1) / a()).gt(lit(0)));
    let lenient = booleans(&[Some(false), Some(false), None, Some(false)]);
    gives(&unguarded, &batch, Some(lenient), None);
}

#[test]
fn casts_truncate_round_and_fit_as_the_table_says() {
    let both = |expr: Expr, batch: &RecordBatch, values: Vec<Value>| {
        gives(&expr, batch, Some(values.clone()), Some(values));
    };
    let float = one(Float64Array::from(vec![-1.9, 127.9, 128.0, f64::NAN, -0.5]));
    let bytes = nullable(&[Some(-1), Some(127), None, None, Some(0)]);
    both(col("a").try_cast(DataType::Int8), &float, bytes);
    gives(&col("a").cast(DataType::Int8), &float, None, None);
    let money = nullable(&[Some(-19), Some(1279), Some(1280), None, Some(-5)]);
    both(col("a").try_cast(DataType::Decimal128(4, 1)), &float, money);
    let truth = booleans(&[Some(true); 5]);
    both(col("a").cast(DataType::Boolean), &float, truth);

    let decimals = Decimal128Array::from(vec![150, -150, 149, 99_950]);
    let decimals = decimals.with_precision_and_scale(5, 2).expect("5 digits");
    let batch = one(decimals);
    let rounded = nullable(&[Some(2), Some(-2), Some(1), None]);
    both(
        col("a").try_cast(DataType::Decimal128(3, 0)),
        &batch,
        rounded,
    );
    let truncated = integers([1, -1, 1, 999]);
    both(col("a").cast(DataType::Int32), &batch, truncated);
    both(
        col("a").cast(DataType::Float64),
        &batch,
        floats(&[1.5, -1.5, 1.49, 999.5]),
    );

    let wide = one(Int64Array::from(vec![i64::MAX, 16_777_217, -2049]));
    let single = floats(&[9_223_372_036_854_775_808.0, 16_777_216.0, -2049.0]);
    both(col("a").cast(DataType::Float32), &wide, single);
    // Rounded once: through Float64 it would tie to 2^60.
    let above = one(Int64Array::from(vec![(1 << 60) + (1 << 36) + 1]));
    let next = floats(&[1_152_921_642_045_800_448.0]);
    both(col("a").cast(DataType::Float32), &above, next);
    let half = floats(&[f64::INFINITY, f64::INFINITY, -2048.0]);
    both(col("a").cast(DataType::Float16), &wide, half);

    let times = one(TimestampMillisecondArray::from(vec![
        -1,
        86_400_000,
        i64::MAX,
    ]));
    let days = nullable(&[Some(-1), Some(1), Some(106_751_991_167)]);
    let days = vec![days[0].clone(), days[1].clone(), Value::Null];
    both(col("a").try_cast(DataType::Date32), &times, days);
    let second = DataType::Timestamp(TimeUnit::Second, None);
    let seconds = integers([-1, 86_400, 9_223_372_036_854_775]);
    both(col("a").cast(second), &times, seconds);
    let nano = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let nanos = nullable(&[Some(-1_000_000), Some(86_400_000_000_000), None]);
    both(col("a").try_cast(nano), &times, nanos);
    let dates = one(Date32Array::from(vec![-1, 1]));
    let milli = DataType::Timestamp(TimeUnit::Millisecond, None);
    both(
        col("a").cast(milli),
        &dates,
        integers([-86_400_000, 86_400_000]),
    );
}

#[test]
fn strict_casts_name_the_expression_and_the_value() {
    let batch = one(StringArray::from(vec!["12", "x"]));
    let typed = resolve(&col("a").cast(DataType::Int32), &batch.schema()).expect("types");
    let spec = OperatorSpec::Project(spec_of(&batch.schema(), vec![typed], LENIENT));
    let ran = run_transform(&CpuBackend::new(), &spec, None, &[batch]);
    let error = ran.expect_err("`x` is no number");
    assert!(matches!(error.kind(), ErrorKind::Arithmetic { .. }));
    assert_eq!(
        error.to_string(),
        "project: cast(a as Int32): x does not fit Int32"
    );
}

#[test]
fn strings_cast_both_ways_and_compare_by_bytes() {
    let batch = one(StringArray::from(vec![
        Some("12"),
        Some("-7"),
        Some("é"),
        None,
    ]));
    let numbers = Some(nullable(&[Some(12), Some(-7), None, None]));
    gives(
        &col("a").try_cast(DataType::Int8),
        &batch,
        numbers.clone(),
        numbers,
    );
    let less = Some(booleans(&[Some(true), Some(true), Some(false), None]));
    gives(&col("a").lt(lit("z")), &batch, less.clone(), less);
    let texts = one(UInt32Array::from(vec![0, 42]));
    let shown = |text: &str| Value::Text(text.to_string());
    let words = Some(vec![shown("0"), shown("42")]);
    gives(&col("a").cast(DataType::Utf8), &texts, words.clone(), words);
}

#[test]
fn literals_alone_fill_every_row() {
    let batch = one(Int32Array::from(vec![1, 2, 3]));
    let fives = Some(integers([5, 5, 5]));
    gives(&lit(5), &batch, fives.clone(), fives);
    let sums = Some(integers([3, 3, 3]));
    gives(&(lit(1) + lit(2)), &batch, sums.clone(), sums);
    let empty = one(Int32Array::from(Vec::<i32>::new()));
    let none = Some(Vec::new());
    gives(&(lit(1) / lit(0)), &empty, none.clone(), none);
    let nulls = Some(nullable(&[None, None, None]));
    gives(
        &(col("a") + lit(Literal::Null)),
        &batch,
        nulls.clone(),
        nulls,
    );
}

#[test]
fn the_deepest_expressions_fit_the_stack_of_a_thread() {
    const SMALL: usize = 2 << 20; // what Rust gives a thread, so what a worker has
    let batch = one(Int64Array::from(vec![1]));
    let sums = (1..EXPR_DEPTH_MAX).fold(col("a"), |expr, _| expr + lit(1));
    let cases = (1..EXPR_DEPTH_MAX).fold(col("a"), |expr, _| when(lit(true)).then(expr).end());
    for expr in [sums, cases] {
        let schema = batch.schema();
        let resolved = on_thread(16 << 20, move || resolve(&expr, &schema));
        let typed = resolved.expect("an expression with types");
        let spec = OperatorSpec::Project(spec_of(&batch.schema(), vec![typed], LENIENT));
        let batch = batch.clone();
        let run = move || run_transform(&CpuBackend::new(), &spec, None, &[batch]);
        assert!(on_thread(SMALL, run).is_ok());
    }
}

fn on_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(bytes).spawn(work);
    let thread = thread.expect("a thread");
    thread.join().expect("no panic")
}

#[test]
fn random_expressions_over_random_tables() {
    let mut computed = 0;
    for_each_case("project", |random| {
        let columns = 2 + random.below(5);
        let schema = tables::schema(random, columns);
        let rows = tables::row_count(random);
        let domains: Vec<Domain> = (0..columns)
            .map(|_| *random.pick(&[Domain::Any, Domain::Any, Domain::Keys]))
            .collect();
        let table = tables::table(random, &schema, rows, &domains);
        let semantics = exprs::semantics(random);
        let count = 1 + random.below(3);
        let depth = if rows > 5000 { 2 } else { 4 };
        let exprs = (0..count).map(|_| exprs::any(random, &schema, depth));
        let (texts, exprs): (Vec<_>, Vec<_>) =
            exprs.map(|(expr, typed)| (expr.to_string(), typed)).unzip();
        let case = format!("{} under {semantics:?}", texts.join(";  "));
        let _note = Note::new(&schema, case);
        let spec = spec_of(&schema, exprs, semantics);
        if let Outcome::Rows(_) = check(&spec, &table) {
            computed += 1;
        }
    });
    assert!(
        2 * computed >= case_count().min(300) || case_count() < 20,
        "{computed} cases gave rows"
    );
}
