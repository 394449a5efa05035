//! Windows, lowered.

use super::{check, orders};
use crate::engine::LazyFrame;
use crate::expr::{col, count_rows, lit};
use crate::plan::{rank, row_number};
use expect_test::expect;

fn ranked() -> LazyFrame {
    orders().with_windows([
        rank()
            .over([col("customer")])
            .order_by([col("amount").desc()])
            .alias("rank"),
        col("amount").sum().over([col("day")]).alias("of_day"),
        row_number()
            .over([col("customer")])
            .order_by([col("amount").desc()])
            .alias("number"),
    ])
}

#[test]
fn functions_of_one_partitioning_and_order_share_a_fold() {
    check(
        ranked(),
        expect![[r#"
            1. scan 1 file(s), 5 of 5 columns: comment, customer, amount, day, urgent
               window rank() as rank, row_number() as number partition by customer order by amount desc
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, rank: Int64, number: Int64
            2. from pipeline 1
               window sum(amount) as of_day partition by day
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, rank: Int64, number: Int64, of_day: Decimal128(38, 2)
            3. from pipeline 2
               project comment, customer, amount, day, urgent, rank, of_day, number
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, rank: Int64, of_day: Decimal128(38, 2), number: Int64
        "#]],
    );
    check(
        ranked().select([col("comment"), col("number"), col("rank")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: comment, customer, amount
               window rank() as rank, row_number() as number partition by customer order by amount desc
               -> comment: Utf8, rank: Int64, number: Int64
            2. from pipeline 1
               project comment, number, rank
               -> comment: Utf8, number: Int64, rank: Int64
        "#]],
    );
    check(
        ranked()
            .filter(col("rank").lt_eq(lit(3)))
            .select([col("day")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: customer, amount, day
               window rank() as rank partition by customer order by amount desc
               -> day: Date32, rank: Int64
            2. from pipeline 1
               filter (rank <= 3), keep day
               -> day: Date32
        "#]],
    );
    check(
        ranked().select([col("of_day")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: amount, day
               window sum(amount) as of_day partition by day
               -> of_day: Decimal128(38, 2)
        "#]],
    );
    check(
        ranked().select([col("urgent")]),
        expect![[r#"
        1. scan 1 file(s), 1 of 5 columns: urgent
           -> urgent: Boolean
    "#]],
    );
    check(
        ranked().select([count_rows().alias("n")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: urgent
               group_by count(*) as n
               -> n: Int64
        "#]],
    );
}

#[test]
fn keys_and_operands_are_computed_below() {
    check(
        orders()
            .with_windows([
                (col("amount") * lit(2))
                    .sum()
                    .over([col("customer") % lit(10)])
                    .order_by([(col("amount") * lit(2)).asc()])
                    .alias("running"),
                count_rows().over([]).alias("all"),
            ])
            .select([col("running"), col("all"), col("day")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: customer, amount, day
               project customer, amount, day, (customer % 10) as __key_3, (amount * 2) as __key_4
               window sum(__key_4) as running partition by __key_3 order by __key_4
               -> day: Date32, running: Decimal128(38, 2)
            2. from pipeline 1
               window count() as all
               -> day: Date32, running: Decimal128(38, 2), all: Int64
            3. from pipeline 2
               project running, all, day
               -> running: Decimal128(38, 2), all: Int64, day: Date32
        "#]],
    );
    check(
        orders()
            .limit(5)
            .with_windows([col("amount").lag(1).over([col("day")])])
            .limit(2),
        expect![[r#"
            1. scan 1 file(s), 5 of 5 columns: comment, customer, amount, day, urgent
               limit 5
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
            2. from pipeline 1
               window lag(amount) as lag(amount, 1, null) partition by day
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, lag(amount, 1, null): Decimal128(15, 2)
            3. from pipeline 2
               limit 2
               -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, lag(amount, 1, null): Decimal128(15, 2)
        "#]],
    );
    check(
        orders().with_windows([col("amount").sum().over([]).alias("day")]),
        expect![[r#"
        column `day`: stands twice in the output; give one of them another name with `.alias(…)`
    "#]],
    );
    check(
        orders().with_windows([(col("amount").sum() + lit(1)).over([])]),
        expect![[r#"
        window: expression `sum(amount)`: an aggregate stands outside of an aggregation; use it under `group_by(…).agg(…)`
    "#]],
    );
}
