//! Plans as text, lowered.

mod joins;
mod lazy;
mod shared;
mod sorts;
mod unions;
mod windows;

use expect_test::{Expect, expect};

use super::LazyFrame;
use crate::expr::{Keep, col, count_rows, lit};
use crate::operators::OperatorSpec;
use crate::pipeline::{Pipeline, Source, describe, lower};
use crate::plan::{LogicalPlan, ParquetFiles, Query};
use crate::types::{DataType, Field, Schema, Semantics};

fn table(name: &str, rows: u64, columns: &[(&str, DataType)]) -> LazyFrame {
    let columns = columns.iter();
    let fields = columns.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    LazyFrame::new(Query {
        plan: LogicalPlan::Scan {
            files: ParquetFiles {
                paths: vec![format!("{name}.parquet").into()],
                schema: Schema::new(fields.collect::<Vec<_>>()),
                rows: Some(rows),
                columns: Vec::new(),
            },
        },
        semantics: Semantics::default(),
    })
}

fn orders() -> LazyFrame {
    table(
        "orders",
        1000,
        &[
            ("comment", DataType::Utf8),
            ("customer", DataType::Int64),
            ("amount", DataType::Decimal128(15, 2)),
            ("day", DataType::Date32),
            ("urgent", DataType::Boolean),
        ],
    )
}

fn customers() -> LazyFrame {
    table(
        "customers",
        100,
        &[
            ("customer", DataType::Int32),
            ("name", DataType::Utf8),
            ("day", DataType::Date32),
        ],
    )
}

/// What always holds of lowered plans: a pipeline comes behind those that it reads, batches have the
/// schema that whoever takes them expects, and the last one leaves the plan's columns.
fn sound(frame: &LazyFrame, pipelines: &[Pipeline]) {
    for (index, pipeline) in pipelines.iter().enumerate() {
        assert!(pipeline.inputs().into_iter().all(|input| input < index));
        if let Source::Pipelines(numbers) = &pipeline.source {
            for &number in numbers {
                assert_eq!(pipelines[number].output, pipeline.input);
            }
        }
        for transform in &pipeline.transforms {
            let built = transform.built.map(|number| &pipelines[number]);
            match &transform.spec {
                OperatorSpec::HashJoinProbe(spec) => {
                    assert!(spec.check("a backend").is_ok(), "{:?}", spec.check(""));
                    assert!(built.is_some_and(|built| built.output == spec.build));
                }
                OperatorSpec::NestedLoopJoinProbe(spec) => {
                    assert!(spec.check().is_ok());
                    assert!(built.is_some_and(|built| built.output == spec.build));
                }
                _ => assert!(built.is_none()),
            }
        }
        if let Some(OperatorSpec::Window(spec)) = &pipeline.fold {
            assert!(spec.check("a backend").is_ok());
        }
    }
    let types = |schema: &Schema| {
        let fields = schema.fields().iter();
        let types = fields.map(|field| (field.name().clone(), field.data_type().clone()));
        types.collect::<Vec<_>>()
    };
    let wanted = frame.query().plan.schema();
    let last = pipelines.last().map(|pipeline| types(&pipeline.output));
    assert_eq!(wanted.ok().map(|schema| types(&schema)), last);
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check(frame: LazyFrame, expected: Expect) {
    let text = match lower(frame.query()) {
        Err(error) => format!("{error}\n"),
        Ok(pipelines) => {
            sound(&frame, &pipelines);
            let text = pipelines.iter().enumerate().map(|(index, pipeline)| {
                let text = describe(index + 1, pipeline, "", &[]);
                let fields = pipeline.output.fields().iter();
                let names: Vec<_> = fields
                    .map(|f| format!("{}: {}", f.name(), f.data_type()))
                    .collect();
                format!("{text}   -> {}\n", names.join(", "))
            });
            text.collect()
        }
    };
    expected.assert_eq(&text);
}

#[test]
fn only_what_is_needed_is_read_and_flows() {
    check(
        orders()
            .filter(col("day").gt_eq(lit("1998-01-01")))
            .filter(col("urgent"))
            .select([col("customer"), (col("amount") * lit(2)).alias("double")]),
        expect![[r#"
            1. scan 1 file(s), 4 of 5 columns: customer, amount, day, urgent; prune by ((day >= "1998-01-01") and urgent)
               filter (day >= "1998-01-01"), keep customer, amount, urgent
               filter urgent, keep customer, amount
               project customer, (amount * 2) as double
               -> customer: Int64, double: Decimal128(16, 2)
        "#]],
    );
}

#[test]
fn an_aggregation_without_computed_operands_needs_no_projection() {
    check(
        orders()
            .filter(col("amount").gt(lit(100)))
            .group_by([col("customer")])
            .agg([col("amount").sum().alias("total"), count_rows()]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, amount; prune by (amount > 100)
               filter (amount > 100)
               group_by sum(amount) as total, count(*) as count(*) by customer
               -> customer: Int64, total: Decimal128(38, 2), count(*): Int64
        "#]],
    );
}

#[test]
fn operands_are_projected_once_and_expressions_above_start_a_pipeline() {
    check(
        orders()
            .group_by([(col("customer") % lit(10)).alias("bucket")])
            .agg([
                (col("amount") * lit(2)).sum().alias("a"),
                ((col("amount") * lit(2)).sum() / col("amount").count()).alias("b"),
                (col("customer") % lit(10)).max().alias("c"),
            ])
            .filter(col("b").gt(lit(1.5)))
            .select([col("bucket"), col("a")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, amount
               project (customer % 10) as __operand_0, (amount * 2) as __operand_1, amount as __operand_2
               group_by sum(__operand_1) as __aggregate_0, count(__operand_2) as __aggregate_1 by __operand_0
               -> bucket: Int64, __aggregate_0: Decimal128(38, 2), __aggregate_1: Int64
            2. from pipeline 1
               project bucket, __aggregate_0 as a, (cast(__aggregate_0 as Float64) / cast(__aggregate_1 as Float64)) as b
               filter (b > 1.5), keep bucket, a
               -> bucket: Int64, a: Decimal128(38, 2)
        "#]],
    );
}

#[test]
fn counting_rows_reads_the_narrowest_column() {
    check(
        orders().select([count_rows().alias("rows")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: urgent
               group_by count(*) as rows
               -> rows: Int64
        "#]],
    );
    check(
        orders()
            .filter(col("comment").eq(lit("x")))
            .with_columns([(col("amount") + lit(1)).alias("unused")])
            .select([count_rows().alias("rows")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: comment; prune by (comment = "x")
               filter (comment = "x")
               group_by count(*) as rows
               -> rows: Int64
        "#]],
    );
}

#[test]
fn a_limit_is_seen_by_the_steps_above_it() {
    check(
        orders().limit(10).limit(5).filter(col("urgent")).limit(3),
        expect![[r#"
            1. scan 1 file(s), 5 of 5 columns: comment, customer, amount, day, urgent
               limit 5
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
            2. from pipeline 1
               filter urgent
               limit 3
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
        "#]],
    );
    check(
        orders()
            .limit(10)
            .group_by([col("customer")])
            .agg([col("amount").max()])
            .limit(2),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, amount
               limit 10
               -> customer: Int64, amount: Decimal128(15, 2)
            2. from pipeline 1
               group_by max(amount) as max(amount) by customer
               -> customer: Int64, max(amount): Decimal128(15, 2)
            3. from pipeline 2
               limit 2
               -> customer: Int64, max(amount): Decimal128(15, 2)
        "#]],
    );
}

#[test]
fn groups_without_aggregates_and_aggregates_of_aggregates() {
    check(
        orders()
            .group_by([col("customer")])
            .agg([col("amount").sum().alias("total")])
            .select([
                col("total").max().alias("most"),
                count_rows().alias("customers"),
            ]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, amount
               group_by sum(amount) as __aggregate_0 by customer
               -> customer: Int64, __aggregate_0: Decimal128(38, 2)
            2. from pipeline 1
               project __aggregate_0 as total
               group_by max(total) as most, count(*) as customers
               -> most: Decimal128(38, 2), customers: Int64
        "#]],
    );
    check(
        orders()
            .group_by([col("customer"), col("day")])
            .agg([count_rows().alias("n")])
            .select([col("day")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, day
               group_by by customer, day
               -> customer: Int64, day: Date32
            2. from pipeline 1
               project day
               -> day: Date32
        "#]],
    );
    check(
        orders()
            .select([count_rows().alias("n")])
            .select([count_rows().alias("one")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: urgent
               group_by count(*) as n
               -> n: Int64
            2. from pipeline 1
               group_by count(*) as one
               -> one: Int64
        "#]],
    );
}

#[test]
fn distinct_is_a_group_by_and_a_choice_of_columns() {
    check(
        orders()
            .distinct(["customer"], Keep::Last)
            .select([col("day"), col("customer")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, day
               group_by last(day) as day by customer
               -> customer: Int64, day: Date32
            2. from pipeline 1
               project day, customer
               -> day: Date32, customer: Int64
        "#]],
    );
    check(
        orders().select([col("day")]).distinct([""; 0], Keep::Any),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               group_by by day
               -> day: Date32
        "#]],
    );
    check(
        orders().distinct(["custmer"], Keep::First),
        expect![[r#"
            distinct: column `custmer`: not in the input; the columns are comment, customer, amount, day, urgent
        "#]],
    );
}

#[test]
fn aggregates_of_spread_and_order_lower_like_sums() {
    check(
        orders().group_by([col("customer")]).agg([
            col("amount").var().alias("var"),
            col("amount").median().alias("median"),
            col("comment").first().alias("comment"),
            col("urgent").any().alias("urgent"),
            col("day").approx_n_unique().alias("days"),
        ]),
        expect![[r#"
            1. scan 1 file(s), 5 of 5 columns: comment, customer, amount, day, urgent
               group_by var(amount) as var, median(amount) as median, first(comment) as comment, any(urgent) as urgent, approx_n_unique(day) as days by customer
               -> customer: Int64, var: Float64, median: Float64, comment: Utf8, urgent: Boolean, days: Int64
        "#]],
    );
}

#[test]
fn identical_projections_vanish() {
    check(
        orders()
            .select([col("customer"), col("amount")])
            .select([col("customer"), col("amount")])
            .filter(col("amount").is_not_null()),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: customer, amount; prune by (amount is not null)
               filter (amount is not null)
               -> customer: Int64, amount: Decimal128(15, 2)
        "#]],
    );
}

#[test]
fn a_wrong_plan_is_one_line() {
    check(
        orders().select([col("custmer")]),
        expect![[r#"
        project: column `custmer`: not in the input; the columns are comment, customer, amount, day, urgent
    "#]],
    );
    check(
        orders().filter(col("amount")),
        expect![[r#"
        filter: expression `amount`: a filter needs Boolean, has Decimal128(15, 2); compare it with something
    "#]],
    );
    check(
        orders().select([]),
        expect![[r#"
        plan: a step has no columns; select one, or count the rows
    "#]],
    );
    check(
        orders().select([col("day"), col("amount").alias("day")]),
        expect![[r#"
            column `day`: stands twice in the output; give one of them another name with `.alias(…)`
        "#]],
    );
    check(
        orders().group_by([col("day")]).agg([col("amount")]),
        expect![[r#"
            aggregate: expression `amount`: has no aggregate; add it to the group keys, or aggregate it
        "#]],
    );
}
