//! Joins, lowered: sides, keys, names, and what leaves.

use super::{check, customers, orders, table};
use crate::engine::LazyFrame;
use crate::expr::{JoinKind, MARK_NAME, col, count_rows, lit};
use crate::types::DataType;
use expect_test::expect;

fn keyed(kind: JoinKind) -> LazyFrame {
    orders()
        .select([col("customer"), col("amount")])
        .join(customers().select([col("customer"), col("name")]), kind)
        .on([col("customer")])
}

#[test]
fn the_smaller_side_is_built_where_the_kind_leaves_a_choice() {
    check(
        keyed(JoinKind::Inner),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, inner, on customer, built by pipeline 1
               -> customer: Int64, amount: Decimal128(15, 2), name: Utf8
        "#]],
    );
    check(
        keyed(JoinKind::Left),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, left, on customer, built by pipeline 1
               -> customer: Int64, amount: Decimal128(15, 2), name: Utf8
        "#]],
    );
    check(
        keyed(JoinKind::Right),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project customer, name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> customer: Int32, name: Utf8, __key_2: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, right, on customer, built by pipeline 1
               -> amount: Decimal128(15, 2), customer: Int32, name: Utf8
        "#]],
    );
    check(
        keyed(JoinKind::Full),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project customer, name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> customer: Int32, name: Utf8, __key_2: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, full, on customer, built by pipeline 1
               project customer, amount, customer as customer_right, name
               -> customer: Int64, amount: Decimal128(15, 2), customer_right: Int32, name: Utf8
        "#]],
    );
    let swapped = |kind| {
        customers()
            .join(orders().select([col("customer"), col("amount")]), kind)
            .on([col("customer")])
    };
    check(
        swapped(JoinKind::Inner),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project customer, name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> customer: Int32, name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, inner, on customer, built by pipeline 1
               -> customer: Int32, name: Utf8, day: Date32, amount: Decimal128(15, 2)
        "#]],
    );
    check(
        swapped(JoinKind::Left),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project customer, name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> customer: Int32, name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, right, on customer, built by pipeline 1
               -> customer: Int32, name: Utf8, day: Date32, amount: Decimal128(15, 2)
        "#]],
    );
    check(
        swapped(JoinKind::Right),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, left, on customer, built by pipeline 1
               -> name: Utf8, day: Date32, customer: Int64, amount: Decimal128(15, 2)
        "#]],
    );
    check(
        swapped(JoinKind::Full),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project customer, name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> customer: Int32, name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, full, on customer, built by pipeline 1
               project customer, name, day, customer as customer_right, amount
               -> customer: Int32, name: Utf8, day: Date32, customer_right: Int64, amount: Decimal128(15, 2)
        "#]],
    );
    check(
        swapped(JoinKind::Semi),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: customer
               hash_join build on customer
               -> customer: Int64
            2. scan 1 file(s), 3 of 3 columns: customer, name, day
               project customer, name, day, cast(customer as Int64) as __key_3
               hash_join probe, semi, on __key_3, built by pipeline 1
               -> customer: Int32, name: Utf8, day: Date32
        "#]],
    );
}

#[test]
fn semi_anti_and_mark_joins_read_the_keys_of_the_right_side_alone() {
    check(
        keyed(JoinKind::Semi).select([col("amount")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, semi, on customer, built by pipeline 1
               -> amount: Decimal128(15, 2)
        "#]],
    );
    check(
        keyed(JoinKind::Anti).select([count_rows()]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 1 of 5 columns: customer
               hash_join probe, anti, on customer, built by pipeline 1
               group_by count(*) as count(*)
               -> count(*): Int64
        "#]],
    );
    check(
        keyed(JoinKind::Mark),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, mark, on customer, built by pipeline 1
               -> customer: Int64, amount: Decimal128(15, 2), mark: Boolean
        "#]],
    );
    check(
        keyed(JoinKind::Mark).select([col(MARK_NAME)]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 1 of 5 columns: customer
               hash_join probe, mark, on customer, built by pipeline 1
               -> mark: Boolean
        "#]],
    );
    check(
        keyed(JoinKind::Mark)
            .filter(!col(MARK_NAME))
            .select([col("amount")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, amount
               hash_join probe, mark, on customer, built by pipeline 1
               filter not mark, keep amount
               -> amount: Decimal128(15, 2)
        "#]],
    );
    check(
        keyed(JoinKind::Mark).select([count_rows().alias("n")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 1 of 5 columns: customer
               hash_join probe, mark, on customer, built by pipeline 1
               group_by count(*) as n
               -> n: Int64
        "#]],
    );
}

#[test]
fn a_residual_sees_both_sides_under_the_names_that_leave() {
    let late = col("day")
        .lt(col("day_right"))
        .and(col("name").not_eq(col("comment")));
    let joined = |kind| {
        orders()
            .join(customers(), kind)
            .residual(late.clone())
            .on([col("customer")])
            .select([col("amount")])
    };
    check(
        joined(JoinKind::Inner),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 4 of 5 columns: comment, customer, amount, day
               hash_join probe, inner, on customer, built by pipeline 1
               -> amount: Decimal128(15, 2)
        "#]],
    );
    check(
        joined(JoinKind::Semi),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 4 of 5 columns: comment, customer, amount, day
               hash_join probe, semi, on customer, built by pipeline 1
               -> amount: Decimal128(15, 2)
        "#]],
    );
    check(
        customers()
            .join(orders(), JoinKind::Left)
            .residual(col("day").lt(col("day_right")))
            .on([col("customer")])
            .select([col("day_right"), col("name")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3
               -> name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 2 of 5 columns: customer, day
               hash_join probe, right, on customer, built by pipeline 1
               project day as day_right, name
               -> day_right: Date32, name: Utf8
        "#]],
    );
    check(
        orders()
            .join(customers(), JoinKind::Inner)
            .residual(col("day"))
            .on([col("customer")]),
        expect![[r#"
            join: residual: expression `day`: a residual needs Boolean, has Date32; compare it with something
        "#]],
    );
}

#[test]
fn joins_without_keys_are_nested_loops() {
    check(
        orders()
            .cross_join(customers().select([col("name")]))
            .select([count_rows().alias("n")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               nested_loop_join build
               -> customer: Int32
            2. scan 1 file(s), 1 of 5 columns: urgent
               nested_loop_join probe, inner, built by pipeline 1
               group_by count(*) as n
               -> n: Int64
        "#]],
    );
    check(
        customers()
            .join(orders(), JoinKind::Full)
            .residual(col("day").gt(col("day_right")))
            .on([])
            .select([col("customer"), col("customer_right")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, day
               nested_loop_join build
               -> customer: Int32, day: Date32
            2. scan 1 file(s), 2 of 5 columns: customer, day
               nested_loop_join probe, full, where (day > day), built by pipeline 1
               project customer, customer as customer_right
               -> customer: Int32, customer_right: Int64
        "#]],
    );
    check(
        customers()
            .join(orders(), JoinKind::Mark)
            .residual(col("day").gt(col("day_right")))
            .on([])
            .select([col("name"), col(MARK_NAME)]),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               nested_loop_join build
               -> day: Date32
            2. scan 1 file(s), 2 of 3 columns: name, day
               nested_loop_join probe, mark, where (day > day), built by pipeline 1
               -> name: Utf8, mark: Boolean
        "#]],
    );
}

#[test]
fn keys_are_computed_below_and_meet_in_one_type() {
    check(
        orders()
            .join(customers(), JoinKind::Inner)
            .on_pairs([
                (col("customer") + lit(1), col("customer")),
                (col("day"), col("day")),
            ])
            .select([col("amount"), col("name")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               project name, day, cast(customer as Int64) as __key_3
               hash_join build on __key_3, day
               -> name: Utf8, day: Date32, __key_3: Int64
            2. scan 1 file(s), 3 of 5 columns: customer, amount, day
               project amount, day, (customer + 1) as __key_3
               hash_join probe, inner, on __key_3, day, built by pipeline 1
               -> amount: Decimal128(15, 2), name: Utf8
        "#]],
    );
    check(
        orders()
            .join(
                table("t", 10, &[("price", DataType::Decimal128(9, 4))]),
                JoinKind::Inner,
            )
            .on_pairs([(col("amount"), col("price"))])
            .select([col("amount"), col("urgent")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 1 columns: price
               project cast(price as Decimal128(17, 4)) as __key_1
               hash_join build on __key_1
               -> __key_1: Decimal128(17, 4)
            2. scan 1 file(s), 2 of 5 columns: amount, urgent
               project amount, urgent, cast(amount as Decimal128(17, 4)) as __key_2
               hash_join probe, inner, on __key_2, built by pipeline 1
               -> amount: Decimal128(15, 2), urgent: Boolean
        "#]],
    );
    check(
        orders()
            .join(customers(), JoinKind::Inner)
            .on_pairs([(col("day"), col("name"))]),
        expect![[r#"
            join: keys `day` and `name`: no type holds Date32 and Utf8; cast one of them
        "#]],
    );
    check(
        orders()
            .join(customers(), JoinKind::Semi)
            .on_pairs([
                (col("customer"), col("customer")),
                (col("customer"), col("customer")),
            ])
            .select([col("customer")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1, __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 1 of 5 columns: customer
               hash_join probe, semi, on customer, customer, built by pipeline 1
               -> customer: Int64
        "#]],
    );
}

#[test]
fn names_that_clash_get_the_suffix() {
    let twice = || {
        orders()
            .select([col("day"), col("day").alias("day_right")])
            .join(customers(), JoinKind::Inner)
    };
    check(
        twice().on([]),
        expect![[r#"
        join: column `day_right`: stands twice in the output; give one of them another name with `.alias(…)`
    "#]],
    );
    check(
        twice()
            .suffix("_c")
            .on([])
            .select([col("day_c"), col("day_right")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: day
               nested_loop_join build
               -> day: Date32
            2. scan 1 file(s), 1 of 5 columns: day
               project day as day_right
               nested_loop_join probe, inner, built by pipeline 1
               project day as day_c, day_right
               -> day_c: Date32, day_right: Date32
        "#]],
    );
    // Of a semi join no right column leaves, so that none can clash.
    check(
        orders()
            .select([col("day"), col("day").alias("day_right")])
            .join(customers(), JoinKind::Semi)
            .on([col("day")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: day
               hash_join build on day
               -> day: Date32
            2. scan 1 file(s), 1 of 5 columns: day
               project day, day as day_right
               hash_join probe, semi, on day, built by pipeline 1
               -> day: Date32, day_right: Date32
        "#]],
    );
    check(
        orders()
            .select([col("urgent").alias(MARK_NAME)])
            .join(customers(), JoinKind::Mark)
            .on([]),
        expect![[r#"
            join: column `mark`: stands twice in the output; give one of them another name with `.alias(…)`
        "#]],
    );
}

#[test]
fn sides_may_end_in_folds_and_limits_and_joins() {
    check(
        orders()
            .group_by([col("customer")])
            .agg([col("amount").sum().alias("total")])
            .join(customers().limit(5), JoinKind::Inner)
            .on([col("customer")])
            .select([col("total"), col("name")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               limit 5
               -> customer: Int32, name: Utf8
            2. from pipeline 1
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            3. scan 1 file(s), 2 of 5 columns: customer, amount
               group_by sum(amount) as total by customer
               -> customer: Int64, total: Decimal128(38, 2)
            4. from pipeline 3
               hash_join probe, inner, on customer, built by pipeline 2
               -> total: Decimal128(38, 2), name: Utf8
        "#]],
    );
    check(
        orders()
            .limit(7)
            .join(customers().limit(5), JoinKind::Left)
            .on([col("customer")])
            .limit(3)
            .select([col("amount"), col("name")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               limit 5
               -> customer: Int32, name: Utf8
            2. from pipeline 1
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            3. scan 1 file(s), 2 of 5 columns: customer, amount
               limit 7
               -> customer: Int64, amount: Decimal128(15, 2)
            4. from pipeline 3
               hash_join probe, left, on customer, built by pipeline 2
               limit 3
               -> amount: Decimal128(15, 2), name: Utf8
        "#]],
    );
    let names = || {
        table(
            "names",
            10,
            &[("name", DataType::Utf8), ("rank", DataType::Int8)],
        )
    };
    check(
        orders()
            .join(
                customers().join(names(), JoinKind::Inner).on([col("name")]),
                JoinKind::Inner,
            )
            .on([col("customer")])
            .join(names(), JoinKind::Anti)
            .on_pairs([(col("comment"), col("name"))])
            .select([col("rank").sum().alias("ranks")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 2 columns: name, rank
               hash_join build on name
               -> name: Utf8, rank: Int8
            2. scan 1 file(s), 2 of 3 columns: customer, name
               hash_join probe, inner, on name, built by pipeline 1
               project rank, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> rank: Int8, __key_2: Int64
            3. scan 1 file(s), 1 of 2 columns: name
               hash_join build on name
               -> name: Utf8
            4. scan 1 file(s), 2 of 5 columns: comment, customer
               hash_join probe, inner, on customer, built by pipeline 2
               hash_join probe, anti, on comment, built by pipeline 3
               group_by sum(rank) as ranks
               -> ranks: Int64
        "#]],
    );
}
