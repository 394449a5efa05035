//! Sorts and limits, lowered.

use super::{check, customers, orders};
use crate::expr::{col, count_rows, lit};
use expect_test::expect;

#[test]
fn a_limit_above_a_sort_is_a_top_k_unless_it_is_large() {
    check(
        orders()
            .top_k(3, [col("amount").desc()])
            .select([col("day")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: amount, day
               top_k 3 from 0 by amount desc
               -> amount: Decimal128(15, 2), day: Date32
            2. from pipeline 1
               project day
               -> day: Date32
        "#]],
    );
    check(
        orders()
            .sort([(col("amount") * lit(2)).desc(), col("day").asc()])
            .select([col("day"), (col("amount") + lit(1)).alias("more")])
            .slice(10, Some(3)),
        expect![[r#"
            1. scan 1 file(s), 2 of 5 columns: amount, day
               project amount, day, (amount * 2) as __key_2
               top_k 3 from 10 by __key_2 desc, day
               -> amount: Decimal128(15, 2), day: Date32, __key_2: Decimal128(16, 2)
            2. from pipeline 1
               project day, (amount + 1) as more
               -> day: Date32, more: Decimal128(16, 2)
        "#]],
    );
    check(
        orders()
            .select([col("day")])
            .sort([col("day")])
            .limit(1 << 21),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               sort by day
               -> day: Date32
            2. from pipeline 1
               limit 2097152
               -> day: Date32
        "#]],
    );
    check(
        orders()
            .select([col("day")])
            .sort([col("day")])
            .slice(4, None)
            .limit(9),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               sort by day
               -> day: Date32
            2. from pipeline 1
               limit 9 from 4
               -> day: Date32
        "#]],
    );
    check(
        orders()
            .select([col("day")])
            .top_k(9, [col("day")])
            .slice(4, Some(9)),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               top_k 9 from 0 by day
               -> day: Date32
            2. from pipeline 1
               limit 9 from 4
               -> day: Date32
        "#]],
    );
}

#[test]
fn what_stands_above_a_sort_keeps_its_order() {
    check(
        orders()
            .sort([col("day")])
            .filter(col("urgent"))
            .limit(2)
            .select([col("amount"), col("day").alias("d")]),
        expect![[r#"
            1. scan 1 file(s), 3 of 5 columns: amount, day, urgent
               sort by day
               -> amount: Decimal128(15, 2), day: Date32, urgent: Boolean
            2. from pipeline 1
               filter urgent, keep amount, day
               limit 2
               -> amount: Decimal128(15, 2), day: Date32
            3. from pipeline 2
               project amount, day as d
               -> amount: Decimal128(15, 2), d: Date32
        "#]],
    );
    check(
        customers()
            .sort([col("day")])
            .group_by([col("name")])
            .agg([col("customer").first()]),
        expect![[r#"
            1. scan 1 file(s), 3 of 3 columns: customer, name, day
               sort by day
               -> customer: Int32, name: Utf8, day: Date32
            2. from pipeline 1
               project customer, name
               group_by first(customer) as first(customer) by name
               -> name: Utf8, first(customer): Int32
        "#]],
    );
    check(
        customers()
            .sort([col("name")])
            .select([count_rows().alias("n")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: name
               sort by name
               -> name: Utf8
            2. from pipeline 1
               group_by count(*) as n
               -> n: Int64
        "#]],
    );
    check(
        orders().sort([col("dya")]),
        expect![[r#"
        sort: column `dya`: not in the input; the columns are comment, customer, amount, day, urgent
    "#]],
    );
}

#[test]
fn limits_meet() {
    check(
        orders()
            .select([col("day")])
            .slice(3, Some(10))
            .slice(4, Some(20))
            .slice(1, None),
        expect![[r#"
            1. scan 1 file(s), 1 of 5 columns: day
               limit 5 from 8
               -> day: Date32
        "#]],
    );
    check(
        orders().select([col("day")]).limit(2).slice(5, None),
        expect![[r#"
        1. scan 1 file(s), 1 of 5 columns: day
           limit 0 from 5
           -> day: Date32
    "#]],
    );
}
