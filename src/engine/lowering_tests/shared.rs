//! What a plan has twice is lowered once.

use super::{check, customers, orders};
use crate::engine::{LazyFrame, concat_frames};
use crate::expr::{JoinKind, col, lit};
use crate::pipeline::{consumers, lower};
use expect_test::expect;

fn totals() -> LazyFrame {
    orders().group_by([col("customer")]).agg([
        col("amount").sum().alias("total"),
        col("day").max().alias("last"),
    ])
}

#[test]
fn an_aggregate_that_is_read_twice_is_one_pipeline_with_what_either_wants() {
    let most = totals().select([col("total").max().alias("most")]);
    let frame = totals()
        .join(most, JoinKind::Inner)
        .on_pairs([(col("total"), col("most"))])
        .select([col("customer"), col("last")]);
    check(
        frame.clone(),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: customer, amount, day
               group_by sum(amount) as total, max(day) as last by customer
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
            2. from pipeline 1
               project total
               group_by max(total) as most
               -> most: Decimal128(38, 2)
            3. from pipeline 2
               hash_join build on most
               -> most: Decimal128(38, 2)
            4. from pipeline 1
               hash_join probe, inner, on total, built by pipeline 3
               -> customer: Int64, last: Date32
        "#]],
    );
    let counts = lower(frame.query()).map(|pipelines| consumers(&pipelines));
    assert_eq!(counts.ok(), Some(vec![2, 1, 1, 0]));
}

#[test]
fn the_largest_of_equal_subplans_is_shared_and_what_is_below_it_is_not() {
    let large = || {
        totals()
            .filter(col("total").gt(lit(10)))
            .sort([col("last")])
    };
    check(
        concat_frames([
            large().limit(3),
            large().select([col("customer"), col("total"), col("last")]),
        ]),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: customer, amount, day
               group_by sum(amount) as total, max(day) as last by customer
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
            2. from pipeline 1
               filter (total > 10)
               sort by last
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
            3. from pipeline 2
               limit 3
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
            4. from pipeline 2
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
            5. from pipelines 3, 4
               -> customer: Int64, total: Decimal128(38, 2), last: Date32
        "#]],
    );
    let few = || customers().limit(3);
    check(
        few().join(few(), JoinKind::Semi).on([col("name")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               limit 3
               -> customer: Int32, name: Utf8, day: Date32
            2. from pipeline 1
               project name
               hash_join build on name
               -> name: Utf8
            3. from pipeline 1
               hash_join probe, semi, on name, built by pipeline 2
               -> customer: Int32, name: Utf8, day: Date32
        "#]],
    );
}

#[test]
fn equal_build_sides_are_built_once() {
    let names = || customers().select([col("customer"), col("name")]);
    check(
        orders()
            .with_columns([(col("customer") + lit(1)).alias("next")])
            .join(names(), JoinKind::Left)
            .on_pairs([(col("customer"), col("customer"))])
            .join(names(), JoinKind::Left)
            .suffix("_of_next")
            .on_pairs([(col("next"), col("customer"))])
            .select([col("name"), col("name_of_next")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            2. scan 1 file(s), 1 of 5 columns: customer
               project customer, (customer + 1) as next
               hash_join probe, left, on customer, built by pipeline 1
               hash_join probe, left, on next, built by pipeline 1
               project name, name as name_of_next
               -> name: Utf8, name_of_next: Utf8
        "#]],
    );
    // Other columns, marks, or other keys are another build.
    check(
        orders()
            .join(customers(), JoinKind::Semi)
            .on([col("customer")])
            .join(customers(), JoinKind::Semi)
            .on([col("day")])
            .select([col("amount")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               project cast(customer as Int64) as __key_1
               hash_join build on __key_1
               -> __key_1: Int64
            2. scan 1 file(s), 1 of 3 columns: day
               hash_join build on day
               -> day: Date32
            3. scan 1 file(s), 3 of 5 columns: customer, amount, day
               hash_join probe, semi, on customer, built by pipeline 1
               hash_join probe, semi, on day, built by pipeline 2
               -> amount: Decimal128(15, 2)
        "#]],
    );
    check(
        orders()
            .join(names(), JoinKind::Full)
            .on([col("customer")])
            .join(names(), JoinKind::Full)
            .suffix("_2")
            .on([col("customer")])
            .select([col("name"), col("name_2")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: customer, name
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            2. scan 1 file(s), 2 of 3 columns: customer, name
               project name, cast(customer as Int64) as __key_2
               hash_join build on __key_2
               -> name: Utf8, __key_2: Int64
            3. scan 1 file(s), 1 of 5 columns: customer
               hash_join probe, full, on customer, built by pipeline 1
               hash_join probe, full, on customer, built by pipeline 2
               project name, name as name_2
               -> name: Utf8, name_2: Utf8
        "#]],
    );
}
