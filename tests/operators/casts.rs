//! Casts to and from strings and bytes, and between zones, through `project`: whether strings are
//! codes or views on the device, nothing is refused.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::can_cast_types;
use pelton::expr::{Expr, col, lit, when};
use pelton::operators::OperatorSpec;
use pelton::types::{DataType, Field, Schema, TimeUnit};

use crate::batch_of;
use crate::strings::{check, projection};
use crate::support::backends::Outcome;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, BYTES, Domain, TEMPORALS, Table};

/// Compares all backends with the CPU's; the oracle has another rule for zones, and none for strings.
fn check_cast(expr: &Expr, table: &Table) -> Outcome {
    let spec = projection(&table.schema(), std::slice::from_ref(expr));
    check(&[OperatorSpec::Project(spec)], table)
}

/// One column, cast without errors, as text.
fn shown(array: impl Array + 'static, to: DataType) -> Vec<String> {
    let batch = batch_of(vec![("a", Arc::new(array) as ArrayRef)]);
    let outcome = check_cast(&col("a").try_cast(to), &Table::single(batch));
    let Outcome::Rows(rows) = outcome else {
        panic!("an error");
    };
    rows.iter().map(|row| row[0].to_string()).collect()
}

/// Whether a strict cast of all rows, or of those that another column tells, is an error.
fn fails(strings: Vec<Option<&str>>, only: Option<Vec<bool>>) -> bool {
    let cast = col("a").cast(DataType::Int32);
    let mut columns = vec![("a", Arc::new(StringArray::from(strings)) as ArrayRef)];
    let expr = match only {
        None => cast,
        Some(only) => {
            let only = arrow::array::BooleanArray::from(only);
            columns.push(("only", Arc::new(only) as ArrayRef));
            when(col("only")).then(cast).end()
        }
    };
    check_cast(&expr, &Table::single(batch_of(columns))) == Outcome::Arithmetic
}

#[test]
fn strings_become_numbers_dates_and_truth_or_null() {
    let words = |words: &[&'static str]| StringArray::from(words.to_vec());
    let numbers = words(&[
        "12",
        "-7",
        "+3",
        "",
        " 1",
        "9223372036854775808",
        "1.5",
        "0x1",
    ]);
    let as_int = ["12", "-7", "3", "null", "1", "null", "null", "null"];
    assert_eq!(shown(numbers, DataType::Int64), as_int);
    let floats = words(&["1e3", "-0", "inf", "NaN", "one"]);
    assert_eq!(
        shown(floats, DataType::Float64),
        ["1000.0", "-0.0", "inf", "NaN", "null"]
    );
    let decimals = words(&["1.005", "-2", "1000", "x"]);
    assert_eq!(
        shown(decimals, DataType::Decimal128(5, 2))[1..],
        ["-200", "null", "null"]
    );
    let dates = words(&["1970-01-02", "2000-02-30", "1969-12-31"]);
    assert_eq!(shown(dates, DataType::Date32), ["1", "null", "-1"]);
    let truths = words(&["true", "F", "yes", "2"]);
    assert_eq!(
        shown(truths, DataType::Boolean),
        ["true", "false", "true", "null"]
    );
}

#[test]
fn numbers_dates_and_truth_become_strings() {
    let text = |array: ArrayRef| shown(array, DataType::Utf8);
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0)]));
    assert_eq!(
        text(integers),
        ["\"-9223372036854775808\"", "null", "\"0\""]
    );
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.1, -0.0, 1e300, f64::NAN]));
    assert_eq!(
        text(floats),
        ["\"0.1\"", "\"-0.0\"", "\"1e300\"", "\"NaN\""]
    );
    let decimals = Decimal128Array::from(vec![-5, 12345]);
    let decimals = decimals
        .with_precision_and_scale(9, 2)
        .expect("nine digits");
    assert_eq!(text(Arc::new(decimals)), ["\"-0.05\"", "\"123.45\""]);
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![0, -1]));
    assert_eq!(text(dates), ["\"1970-01-01\"", "\"1969-12-31\""]);
}

#[test]
fn texts_of_values_at_the_ends_of_their_types() {
    let text = |array: ArrayRef| shown(array, DataType::LargeUtf8);
    let nines = 10i128.pow(38) - 1;
    let decimals = |values: Vec<i128>, scale| -> ArrayRef {
        let array = Decimal128Array::from(values);
        Arc::new(
            array
                .with_precision_and_scale(38, scale)
                .expect("38 digits"),
        )
    };
    let zeros = "0".repeat(37);
    let shown = [
        format!("\"-0.{}\"", "9".repeat(38)),
        format!("\"0.{zeros}1\""),
    ];
    assert_eq!(text(decimals(vec![-nines, 1], 38)), shown);
    let middle = 10i128.pow(19);
    let shown = [
        format!("\"{nines}\""),
        format!("\"{middle}\""),
        "\"0\"".to_string(),
    ];
    assert_eq!(text(decimals(vec![nines, middle, 0], 0)), shown);
    let days = vec![2_932_897, -719_529, 95_026_236, 95_026_237, -96_465_293];
    let shown = [
        "\"+10000-01-01\"",
        "\"-0001-12-31\"",
        "\"+262142-12-31\"",
        "null",
        "null",
    ];
    assert_eq!(text(Arc::new(Date32Array::from(days.clone()))), shown);
    let batch = batch_of(vec![("a", Arc::new(Date32Array::from(days)) as ArrayRef)]);
    let strict = check_cast(&col("a").cast(DataType::Utf8), &Table::single(batch));
    assert_eq!(strict, Outcome::Arithmetic);
    let millis = TimestampMillisecondArray::from(vec![-1, 0, 1_000, i64::MAX]);
    let shown = [
        "\"1969-12-31T23:59:59.999\"",
        "\"1970-01-01T00:00:00\"",
        "\"1970-01-01T00:00:01\"",
        "null",
    ];
    assert_eq!(text(Arc::new(millis)), shown);
    let nanos = TimestampNanosecondArray::from(vec![1, 1_000, i64::MIN]);
    let shown = [
        "\"1970-01-01T00:00:00.000000001\"",
        "\"1970-01-01T00:00:00.000001\"",
        "\"1677-09-21T00:12:43.145224192\"",
    ];
    assert_eq!(text(Arc::new(nanos)), shown);
}

#[test]
fn bytes_are_strings_where_they_are_utf8() {
    let bytes = || BinaryArray::from(vec![Some(b"a\xc3\xa9".as_slice()), Some(b"\xff"), None]);
    assert_eq!(shown(bytes(), DataType::Utf8), ["\"aé\"", "null", "null"]);
    let words = StringArray::from(vec![Some("é"), None]);
    assert_eq!(shown(words, DataType::Binary), ["[c3, a9]", "null"]);
}

#[test]
fn local_time_is_ahead_of_utc_by_the_zone() {
    let zoned = |unit, zone: &str| DataType::Timestamp(unit, Some(zone.into()));
    let local = TimestampMillisecondArray::from(vec![Some(7_200_000), Some(-1), None]);
    let at = shown(local, zoned(TimeUnit::Second, "+02:00"));
    assert_eq!(at, ["0", "-7201", "null"]);
    let at = TimestampMillisecondArray::from(vec![86_399_999]).with_timezone("+00:01");
    assert_eq!(shown(at.clone(), DataType::Date32), ["1"]);
    assert_eq!(
        shown(at, DataType::Utf8),
        ["\"1970-01-02T00:00:59.999+00:01\""]
    );
}

#[test]
fn strict_casts_fail_for_rows_that_are_reached() {
    let strings = || vec![Some("1"), Some("one"), None];
    assert!(fails(strings(), None));
    assert!(!fails(vec![Some("1"), None, Some("3")], None));
    assert!(fails(strings(), Some(vec![false, true, true])));
    assert!(!fails(strings(), Some(vec![true, false, true])));
    assert!(!fails(vec![None, None], None));
}

/// A string that may be a number, a date, a time or a truth value.
fn likely(random: &mut Random) -> String {
    let number = random.between(-100_000..=100_000);
    let (year, month, day) = (1900 + random.below(200), random.below(14), random.below(33));
    let (hour, minute, second) = (random.below(25), random.below(61), random.below(61));
    match random.below(10) {
        0 => number.to_string(),
        1 => format!("{}", number as f64 / 1000.0),
        2 => format!("{}", i128::from(number) << random.below(60)),
        3 => random
            .pick(&[
                "true", "false", "1e5", "-inf", "nan", "", " 1", "+2", "t", "no",
            ])
            .to_string(),
        4..6 => format!("{year:04}-{month:02}-{day:02}"),
        6 => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{number:03}"),
        7 => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}+01:00"),
        8 => format!("{hour:02}:{minute:02}:{second:02}"),
        _ => tables::column(random, &DataType::Utf8, 1, Domain::Any)
            .data_type()
            .to_string(),
    }
}

fn zoned(random: &mut Random) -> DataType {
    let unit = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    let zone = *random.pick(&["UTC", "+02:00", "-11:30"]);
    DataType::Timestamp(*random.pick(&unit), Some(zone.into()))
}

fn any_type(random: &mut Random) -> DataType {
    match random.below(8) {
        0 => zoned(random),
        1 => random.pick(&TEMPORALS).clone(),
        2 => DataType::Boolean,
        3 => random
            .pick(&[DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View])
            .clone(),
        4 => random.pick(&BYTES).clone(),
        _ => tables::number_type(random),
    }
}

#[test]
fn random_casts_of_random_columns() {
    for_each_case("casts", |random| {
        let rows = random.below(60);
        let words: Vec<Option<String>> = (0..rows)
            .map(|_| (!random.once_in(9)).then(|| likely(random)))
            .collect();
        let words: ArrayRef = Arc::new(StringArray::from(words));
        let other = any_type(random);
        let from = if random.once_in(2) { "text" } else { "other" };
        let schema = Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("other", other.clone(), true),
            Field::new("flag", DataType::Boolean, true),
        ]));
        let domain = *random.pick(&[Domain::Any, Domain::Keys]);
        let columns = vec![
            words,
            tables::column(random, &other, rows, domain),
            tables::column(random, &DataType::Boolean, rows, Domain::Any),
        ];
        let whole = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns);
        let table = Table::split(random, whole.expect("columns of equal length"));
        let to = match from {
            "other" if random.once_in(2) => DataType::Utf8,
            _ => any_type(random),
        };
        let source = if from == "text" {
            &DataType::Utf8
        } else {
            &other
        };
        if !can_cast_types(source, &to) {
            return;
        }
        let cast = match random.once_in(3) {
            true => col(from).cast(to.clone()),
            false => col(from).try_cast(to.clone()),
        };
        let expr: Expr = match random.below(3) {
            0 => when(col("flag")).then(cast).end(),
            1 => when(col("text").lt(lit("2"))).then(cast).end(),
            _ => cast,
        };
        let _note = Note::new(&schema, format!("{expr}"));
        check_cast(&expr, &table);
    });
}
