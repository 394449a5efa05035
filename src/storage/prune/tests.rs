//! What is pruned, be it a file, a row group or a range of rows, holds no row for which the predicate
//! is true: random files, random predicates, and an evaluation of every row that shares nothing with
//! the intervals. And each step prunes what it can.

use std::cmp::Ordering;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::error::Result;
use crate::expr::{BinaryOp, Expr, col, lit, resolve};
use crate::storage::Dataset;
use crate::storage::interval::Point;
use crate::types::{Literal, TimeUnit};

/// One row of the test table: small ranges, so that bounds are met often.
type Row = (
    Option<i8>,
    Option<i64>,
    Option<u64>,
    Option<f64>,
    Option<String>,
    Option<i32>,
    Option<bool>,
);

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i32..4).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let null = 0.8;
    (
        prop::option::weighted(null, -3i8..4),
        prop::option::weighted(null, prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN)]),
        prop::option::weighted(null, prop_oneof![0u64..4, Just(u64::MAX)]),
        prop::option::weighted(null, float()),
        prop::option::weighted(null, "[aé\u{10ffff}]{0,4}"),
        prop::option::weighted(null, -3i32..4),
        prop::option::weighted(null, any::<bool>()),
    )
}

fn batch(rows: &[Row]) -> arrow::error::Result<RecordBatch> {
    fn column<T>(rows: &[Row], of: impl Fn(&Row) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(of).collect()
    }
    let decimals = Decimal128Array::from(column(rows, |r| r.5.map(i128::from)));
    let wide = decimals.clone();
    RecordBatch::try_from_iter_with_nullable([
        (
            "tiny",
            Arc::new(Int8Array::from(column(rows, |r| r.0))) as ArrayRef,
            true,
        ),
        (
            "big",
            Arc::new(Int64Array::from(column(rows, |r| r.1))),
            true,
        ),
        (
            "huge",
            Arc::new(UInt64Array::from(column(rows, |r| r.2))),
            true,
        ),
        (
            "ratio",
            Arc::new(Float64Array::from(column(rows, |r| r.3))),
            true,
        ),
        (
            "single",
            Arc::new(Float32Array::from(column(rows, |r| r.3.map(|v| v as f32)))),
            true,
        ),
        (
            "name",
            Arc::new(StringArray::from(column(rows, |r| r.4.clone()))),
            true,
        ),
        (
            "day",
            Arc::new(Date32Array::from(column(rows, |r| r.5))),
            true,
        ),
        (
            "price",
            Arc::new(decimals.with_precision_and_scale(9, 1)?),
            true,
        ),
        (
            "wide",
            Arc::new(wide.with_precision_and_scale(25, 1)?),
            true,
        ),
        (
            "moment",
            Arc::new(TimestampMicrosecondArray::from(column(rows, |r| {
                r.5.map(|day| i64::from(day) * 86_400_000_000)
            }))),
            true,
        ),
        (
            "flag",
            Arc::new(BooleanArray::from(column(rows, |r| r.6))),
            true,
        ),
    ])
}

fn literal() -> impl Strategy<Value = Expr> {
    prop_oneof![
        4 => (-4i64..5).prop_map(lit),
        1 => Just(lit(1000)),
        1 => Just(lit(i64::MAX)),
        2 => (-4i32..5).prop_map(|v| lit(f64::from(v) + 0.5)),
        2 => float().prop_map(lit),
        2 => "[aé\u{10ffff}]{0,3}".prop_map(lit),
        1 => Just(lit(Literal::Null)),
        1 => (-3i32..4).prop_map(|day| Expr::Literal(Literal::Date32(day))),
        1 => (-30i128..40).prop_map(|value| Expr::Literal(Literal::Decimal {
            value, precision: 4, scale: 1,
        })),
        1 => any::<bool>().prop_map(lit),
    ]
}

fn operand() -> impl Strategy<Value = Expr> {
    let names = [
        "tiny", "big", "huge", "ratio", "single", "name", "day", "price", "wide", "moment", "flag",
    ];
    let column = prop::sample::select(names.to_vec()).prop_map(col);
    let types = [
        DataType::Int8,
        DataType::Int64,
        DataType::Float64,
        DataType::Decimal128(20, 2),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Utf8,
    ];
    prop_oneof![
        6 => column.clone(),
        4 => literal(),
        1 => (column, prop::sample::select(types.to_vec())).prop_map(|(c, t)| c.try_cast(t)),
    ]
}

fn predicate() -> impl Strategy<Value = Expr> {
    let compare = prop::sample::select(vec![
        BinaryOp::Equal,
        BinaryOp::NotEqual,
        BinaryOp::Less,
        BinaryOp::LessOrEqual,
        BinaryOp::Greater,
        BinaryOp::GreaterOrEqual,
    ]);
    let leaf = prop_oneof![
        8 => (compare, operand(), operand()).prop_map(|(op, left, right)| Expr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
        }),
        1 => operand().prop_map(Expr::is_null),
        1 => operand().prop_map(Expr::is_not_null),
        1 => Just(col("flag")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            inner.clone().prop_map(|a| !a),
            inner.clone().prop_map(Expr::is_null),
            inner.prop_map(Expr::is_not_null),
        ]
    })
}

/// The total order of the semantics: NaN is greatest and equals itself.
fn order(left: &Sample, right: &Sample) -> Option<Ordering> {
    match (left, right) {
        (Sample::Null, _) | (_, Sample::Null) => None,
        (Sample::Nan, Sample::Nan) => Some(Ordering::Equal),
        (Sample::Nan, _) => Some(Ordering::Greater),
        (_, Sample::Nan) => Some(Ordering::Less),
        (Sample::Value(left), Sample::Value(right)) => left.order(right),
    }
}

/// The value of an expression in one row; `Err` where its evaluation fails.
fn evaluate(expr: &TypedExpr, row: &RecordBatch) -> std::result::Result<ArrayRef, ()> {
    let truth = |value: Option<bool>| -> ArrayRef { Arc::new(BooleanArray::from(vec![value])) };
    let of = |expr: &TypedExpr| -> std::result::Result<Option<bool>, ()> {
        let value = evaluate(expr, row)?;
        match sample(value.as_ref(), 0) {
            Some(Sample::Value(Point::Integer(value))) => Ok(Some(value == 1)),
            Some(Sample::Null) => Ok(None),
            _ => Err(()),
        }
    };
    Ok(match &expr.kind {
        TypedKind::Column(index) => Arc::clone(row.column(*index)),
        TypedKind::Literal(value) => literal_array(value, &expr.data_type).map_err(|_| ())?,
        TypedKind::Cast {
            expr: operand,
            strict,
        } => {
            let options = CastOptions {
                safe: !strict,
                ..CastOptions::default()
            };
            cast_with_options(&evaluate(operand, row)?, &expr.data_type, &options)
                .map_err(|_| ())?
        }
        TypedKind::Compare { op, left, right } => {
            let (left, right) = (evaluate(left, row)?, evaluate(right, row)?);
            let (left, right) = (sample(left.as_ref(), 0), sample(right.as_ref(), 0));
            let (Some(left), Some(right)) = (left, right) else {
                return Err(());
            };
            truth(order(&left, &right).map(|order| match op {
                BinaryOp::Equal => order.is_eq(),
                BinaryOp::NotEqual => order.is_ne(),
                BinaryOp::Less => order.is_lt(),
                BinaryOp::LessOrEqual => order.is_le(),
                BinaryOp::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        TypedKind::And(left, right) => truth(match (of(left)?, of(right)?) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }),
        TypedKind::Or(left, right) => truth(match (of(left)?, of(right)?) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }),
        TypedKind::Not(operand) => truth(of(operand)?.map(|value| !value)),
        TypedKind::IsNull(operand) => truth(Some(evaluate(operand, row)?.is_null(0))),
        TypedKind::IsNotNull(operand) => truth(Some(evaluate(operand, row)?.is_valid(0))),
        _ => return Err(()),
    })
}

/// How a file is written.
#[derive(Debug, Clone)]
struct Layout {
    statistics: EnabledStatistics,
    bloom_filter: bool,
    dictionary: bool,
    version: WriterVersion,
    rows_per_group: usize,
    rows_per_page: usize,
}

/// Row groups of four rows in one page each, with statistics and nothing else.
const PLAIN: Layout = Layout {
    statistics: EnabledStatistics::Chunk,
    bloom_filter: false,
    dictionary: true,
    version: WriterVersion::PARQUET_1_0,
    rows_per_group: 4,
    rows_per_page: 4,
};

fn layout() -> impl Strategy<Value = Layout> {
    use EnabledStatistics::{Chunk, None, Page};
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    (
        prop::sample::select(vec![None, Chunk, Page, Page, Page]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(versions.to_vec()),
        1usize..10,
        1usize..4,
    )
        .prop_map(
            |(statistics, bloom_filter, dictionary, version, rows_per_group, rows_per_page)| {
                Layout {
                    statistics,
                    bloom_filter,
                    dictionary,
                    version,
                    rows_per_group,
                    rows_per_page,
                }
            },
        )
}

fn write(path: &PathBuf, batch: &RecordBatch, layout: &Layout) -> parquet::errors::Result<()> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(layout.rows_per_group))
        .set_data_page_row_count_limit(layout.rows_per_page)
        .set_write_batch_size(layout.rows_per_page)
        .set_statistics_truncate_length(Some(2))
        .set_column_index_truncate_length(Some(2))
        .set_statistics_enabled(layout.statistics)
        .set_bloom_filter_enabled(layout.bloom_filter)
        .set_dictionary_enabled(layout.dictionary)
        .set_writer_version(layout.version)
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close().map(|_| ())
}

const NO_STEPS: PruneSteps = PruneSteps {
    bloom_filter: false,
    dictionary: false,
    page_index: false,
};

/// Writes the rows, prunes by the predicate, and checks every row that is left out; `None` if the
/// predicate is none.
fn check(
    rows: &[Row],
    predicate: &Expr,
    layout: &Layout,
    steps: PruneSteps,
) -> Result<Option<Pruned>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    let failed = |cause: String| crate::Error::invalid("test", cause, "");
    let all = batch(rows).map_err(|cause| failed(cause.to_string()))?;
    write(&path, &all, layout).map_err(|cause| failed(cause.to_string()))?;
    let dataset = Dataset::open(&[path])?;
    let Ok(typed) = resolve(predicate, dataset.schema()) else {
        return Ok(None); // no type holds the operands: another plan
    };
    if typed.data_type != DataType::Boolean {
        return Ok(None);
    }
    let kept = dataset.prune_by(&[0, 1], Some(&typed), steps)?;
    let mut read = vec![false; rows.len()];
    for row_group in kept.row_groups() {
        let first = row_group.row_group * layout.rows_per_group;
        let index = |row: u64| first + usize::try_from(row).unwrap_or(usize::MAX);
        match &row_group.ranges {
            None => read[first..index(row_group.rows)].fill(true),
            Some(ranges) => {
                for range in ranges.iter() {
                    read[index(range.start)..index(range.end)].fill(true);
                }
            }
        }
    }
    for (row, values) in rows.iter().enumerate().filter(|(row, _)| !read[*row]) {
        let value = evaluate(&typed, &all.slice(row, 1));
        let value = value.as_ref().map(|value| sample(value.as_ref(), 0));
        if value == Ok(Some(Sample::Value(Point::Integer(1)))) {
            let cause = format!("{predicate} is true in row {row}, {values:?}");
            return Err(failed(cause));
        }
    }
    Ok(Some(*kept.pruned()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_row_that_is_pruned_matches(
        rows in prop::collection::vec(row(), 1..20),
        predicate in predicate(),
        layout in layout(),
    ) {
        let outcome = check(&rows, &predicate, &layout, PruneSteps::default());
        let checked: TestCaseResult = match outcome {
            Ok(_) => Ok(()),
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        };
        checked?;
    }
}

fn rows_of(bigs: &[Option<i64>], ratios: &[Option<f64>], names: &[Option<&str>]) -> Vec<Row> {
    let at = |index: usize| {
        let name = names.get(index).copied().flatten().map(str::to_string);
        let big = bigs.get(index).copied().flatten();
        let ratio = ratios.get(index).copied().flatten();
        (None, big, None, ratio, name, None, None)
    };
    (0..bigs.len().max(ratios.len()).max(names.len()))
        .map(at)
        .collect()
}

/// Two row groups: 1…4 and 5…8, floats likewise (with a NaN in the first), strings a… and z….
fn example() -> Vec<Row> {
    rows_of(
        &(1..9).map(Some).collect::<Vec<_>>(),
        &[1.0, f64::NAN, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(Some),
        &["apple", "axe", "ape", "ant", "zoo", "zebra", "zest", "zinc"].map(Some),
    )
}

#[test]
fn what_can_be_pruned_is() -> Result<()> {
    let rows = example();
    for (predicate, pruned) in [
        (col("big").gt(lit(4)), 1),
        (lit(4).lt(col("big")), 1),
        (col("big").gt_eq(lit(4)), 0),
        (col("big").eq(lit(100)), 2),
        (col("big").gt(lit(4)).and(col("big").lt(lit(5))), 2),
        (col("big").lt(lit(2)).or(col("big").gt(lit(7))), 0),
        (!col("big").gt(lit(4)), 1),
        (col("big").is_null(), 2),
        (col("tiny").is_not_null(), 2), // all null
        (col("tiny").gt(lit(0)), 2),
        (col("big").gt(lit(Literal::Null)), 2),
        (col("big").cast(DataType::Decimal128(20, 0)).gt(lit(4)), 1),
        (col("ratio").lt(lit(5.0)), 1),
        (col("ratio").gt(lit(4.0)), 0), // the NaN of the first is greater
        (col("ratio").eq(lit(100.0)), 2),
        (col("name").lt(lit("b")), 1), // zone maps are cut to two bytes
        (col("name").gt(lit("zoo")), 1), // "zoo" is cut to "zp"
        (col("big").try_cast(DataType::Int8).is_null(), 0), // a value may not fit
        (lit(false), 2),
        ((col("big") + lit(1)).gt(lit(100)), 0), // arithmetic is not judged
    ] {
        let row_groups = |layout: &Layout| -> Result<Option<u64>> {
            let pruned = check(&rows, &predicate, layout, NO_STEPS)?;
            Ok(pruned.map(|pruned| pruned.by_statistics.row_groups))
        };
        assert_eq!(row_groups(&PLAIN)?, Some(pruned), "{predicate}");
        let never = predicate == lit(false) || predicate == col("big").gt(lit(Literal::Null));
        let unknown = Layout {
            statistics: EnabledStatistics::None,
            ..PLAIN
        };
        let expected = if never { 2 } else { 0 };
        assert_eq!(row_groups(&unknown)?, Some(expected), "{predicate}");
    }
    Ok(())
}
