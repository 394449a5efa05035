//! `filter`: the rows for which a predicate is true.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use pelton::expr::{Expr, TypedExpr, col, lit, resolve};
use pelton::operators::{FilterSpec, Operator, OperatorSpec};
use pelton::types::{DataType, Literal, SchemaRef, Semantics};

use crate::support::backends::{Outcome, backends, on_stream};
use crate::support::exprs;
use crate::support::oracle;
use crate::support::random::{Note, for_each_case};
use crate::support::tables::{self, Table};
use crate::support::values::Value;
use crate::{LENIENT, STRICT, batch_of, check_ordered, integers, rows_of};

fn spec_of(
    input: &SchemaRef,
    predicate: TypedExpr,
    projection: Vec<usize>,
    semantics: Semantics,
) -> FilterSpec {
    FilterSpec {
        input: Arc::clone(input),
        predicate,
        projection,
        semantics,
    }
}

fn check(spec: &FilterSpec, table: &Table) -> Outcome {
    let operator = OperatorSpec::Filter(spec.clone());
    check_ordered(&operator, table, || oracle::filter(spec, &table.whole))
}

fn sample() -> RecordBatch {
    batch_of(vec![
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(0), Some(4)])) as ArrayRef,
        ),
        (
            "x",
            Arc::new(Float64Array::from(vec![f64::NAN, -0.0, 0.0, 1.0])) as ArrayRef,
        ),
        (
            "s",
            Arc::new(StringArray::from(vec![
                Some("a"),
                Some(""),
                None,
                Some("é"),
            ])) as ArrayRef,
        ),
        (
            "b",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
            ])) as ArrayRef,
        ),
    ])
}

/// The `n` of the rows that a predicate keeps, under both semantics; `None` is an error.
fn keeps(predicate: &Expr, lenient: Option<Vec<Value>>, strict: Option<Vec<Value>>) {
    let batch = sample();
    for (semantics, kept) in [(LENIENT, lenient), (STRICT, strict)] {
        let typed = resolve(predicate, &batch.schema()).expect("a predicate with types");
        let spec = spec_of(&batch.schema(), typed, vec![0], semantics);
        let expected = match kept {
            Some(kept) => Outcome::Rows(rows_of(&[kept])),
            None => Outcome::Arithmetic,
        };
        let got = check(&spec, &Table::single(batch.clone()));
        assert_eq!(got, expected, "`{predicate}` under {semantics:?}");
    }
}

#[test]
fn null_predicates_drop_rows() {
    let both = |predicate: Expr, kept: Vec<Value>| {
        keeps(&predicate, Some(kept.clone()), Some(kept));
    };
    both(col("b"), integers([1, 4]));
    both(!col("b"), vec![Value::Null]);
    both(col("n").lt(lit(4)), integers([1, 0]));
    both(col("n").is_null(), vec![Value::Null]);
    both(lit(Literal::Null), Vec::new());
    both(lit(false), Vec::new());
    both(
        lit(true),
        vec![
            Value::Integer(1),
            Value::Null,
            Value::Integer(0),
            Value::Integer(4),
        ],
    );
}

#[test]
fn odd_floats_and_strings_compare_as_fixed() {
    let both = |predicate: Expr, kept: Vec<Value>| {
        keeps(&predicate, Some(kept.clone()), Some(kept));
    };
    both(col("x").gt(lit(1e308)), integers([1]));
    both(col("x").eq(lit(0.0)), vec![Value::Null, Value::Integer(0)]);
    both(col("s").gt(lit("z")), integers([4]));
    both(col("s").eq(lit("")), vec![Value::Null]);
    both(col("s").between(lit("b"), lit("z")), Vec::new());
    both(
        col("s").between(lit(""), lit("b")),
        vec![Value::Integer(1), Value::Null],
    );
    both(
        col("s").gt(lit("Z")).and(col("s").lt(lit("z"))),
        integers([1]),
    );
}

#[test]
fn errors_of_the_predicate_follow_the_semantics() {
    keeps(
        &(lit(4) / col("n")).gt(lit(0)),
        Some(integers([1, 4])),
        None,
    );
    let narrow = col("n").cast(DataType::Boolean);
    keeps(&narrow, Some(integers([1, 4])), Some(integers([1, 4])));
}

#[test]
fn columns_leave_in_the_order_asked_for_or_not_at_all() {
    let batch = sample();
    let predicate = resolve(&col("b"), &batch.schema()).expect("types");
    for projection in [vec![3, 0], vec![0, 0], vec![]] {
        let columns = projection.len();
        let spec = spec_of(&batch.schema(), predicate.clone(), projection, LENIENT);
        let Outcome::Rows(rows) = check(&spec, &Table::single(batch.clone())) else {
            panic!("no error expected");
        };
        assert_eq!((rows.len(), rows[0].len()), (2, columns));
    }
}

/// A filter makes room for all rows that it is given; a batch that is to wait gives back what is not needed,
/// with the same rows.
#[test]
fn a_batch_that_waits_has_the_memory_of_its_rows() {
    let rows = 300_000;
    let numbers: Int64Array = (0..rows).collect();
    let names: StringArray = (0..rows).map(|row| Some(format!("{}", row % 7))).collect();
    let table = batch_of(vec![
        ("n", Arc::new(numbers) as ArrayRef),
        ("s", Arc::new(names) as ArrayRef),
    ]);
    let schema = table.schema();
    for (limit, shrinks) in [(10, true), (0, true), (rows - 10, false)] {
        let predicate = resolve(&col("n").lt(lit(limit)), &schema).unwrap();
        let spec = spec_of(&schema, predicate, vec![0, 1], STRICT);
        let spec = OperatorSpec::Filter(spec);
        for backend in backends() {
            let Operator::Transform(filter) = backend.instantiate(&spec).unwrap() else {
                panic!("a filter is a transform");
            };
            on_stream(backend.as_ref(), |context| {
                let batch = backend.upload(context, table.clone())?;
                let kept = filter.next(context, None, batch)?.unwrap();
                let before = (kept.bytes(), kept.rows_exact());
                let trimmed = backend.trimmed(context, kept)?;
                if before.1.is_none() {
                    assert_eq!(trimmed.rows_exact(), Some(limit.unsigned_abs()));
                    assert_eq!(trimmed.bytes() < before.0 / 10, shrinks, "{limit}");
                }
                let rows = backend.download(context, trimmed)?;
                assert_eq!(rows, table.slice(0, limit as usize));
                Ok(())
            })
            .unwrap();
        }
    }
}

#[test]
fn random_predicates_over_random_tables() {
    for_each_case("filter", |random| {
        let columns = 1 + random.below(6);
        let schema = tables::schema(random, columns);
        let rows = tables::row_count(random);
        let table = tables::table(random, &schema, rows, &[]);
        let depth = if rows > 5000 { 2 } else { 4 };
        let (text, predicate) = exprs::predicate(random, &schema, depth);
        let semantics = exprs::semantics(random);
        let _note = Note::new(&schema, format!("{text} under {semantics:?}"));
        let leaving = random.below(columns + 2);
        let projection = (0..leaving).map(|_| random.below(columns));
        let projection = projection.collect();
        let spec = spec_of(&schema, predicate, projection, semantics);
        check(&spec, &table);
    });
}
