//! What the methods of a lazy frame make of it.

use super::{customers, orders, table};
use crate::engine::{LazyFrame, concat_frames};
use crate::expr::{Frame, JoinKind, col, lit};
use crate::plan::{rank, row_number};
use crate::types::DataType;
use expect_test::{Expect, expect};

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check(frame: LazyFrame, expected: Expect) {
    let schema = match frame.query().plan.schema() {
        Err(error) => format!("{error}"),
        Ok(schema) => {
            let fields = schema.fields().iter();
            let fields = fields.map(|f| format!("{}: {}", f.name(), f.data_type()));
            fields.collect::<Vec<_>>().join(", ")
        }
    };
    expected.assert_eq(&format!("{}\n-> {schema}\n", frame.query()));
}

#[test]
fn equal_keys_leave_once() {
    for kind in [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
    ] {
        let joined = orders().select([col("customer"), col("day")]);
        let joined = joined.join(customers(), kind).on([col("customer")]);
        let schema = joined.query().plan.schema();
        let names: Vec<String> = match schema {
            Err(error) => vec![error.to_string()],
            Ok(schema) => schema.fields().iter().map(|f| f.name().clone()).collect(),
        };
        let expected: &[&str] = match kind {
            JoinKind::Right => &["day", "customer", "name", "day_right"],
            JoinKind::Full => &["customer", "day", "customer_right", "name", "day_right"],
            _ => &["customer", "day", "name", "day_right"],
        };
        assert_eq!(names, expected, "{kind}");
    }
    check(
        orders()
            .select([col("customer")])
            .join(customers(), JoinKind::Full)
            .suffix("_c")
            .null_equals_null()
            .coalesce(true)
            .on([col("customer")]),
        expect![[r#"
            project coalesce(customer, customer_c) as customer, name, day
              full join on customer = customer
                project customer
                  scan 1 file(s), first orders.parquet
                scan 1 file(s), first customers.parquet
            -> customer: Int64, name: Utf8, day: Date32
        "#]],
    );
    check(
        orders()
            .select([col("customer")])
            .join(customers(), JoinKind::Left)
            .residual(col("name").not_eq(lit("x")))
            .coalesce(false)
            .on_pairs([(col("customer") + lit(1), col("customer"))]),
        expect![[r#"
            left join on (customer + 1) = customer where (name <> "x")
              project customer
                scan 1 file(s), first orders.parquet
              scan 1 file(s), first customers.parquet
            -> customer: Int64, customer_right: Int32, name: Utf8, day: Date32
        "#]],
    );
    check(
        orders()
            .join(customers(), JoinKind::Anti)
            .on([col("customer")]),
        expect![[r#"
            anti join on customer = customer
              scan 1 file(s), first orders.parquet
              scan 1 file(s), first customers.parquet
            -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
        "#]],
    );
    check(
        orders().join_where(customers(), col("day").lt(col("day_right"))),
        expect![[r#"
            inner join where (day < day_right)
              scan 1 file(s), first orders.parquet
              scan 1 file(s), first customers.parquet
            -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean, customer_right: Int32, name: Utf8, day_right: Date32
        "#]],
    );
}

#[test]
fn columns_are_dropped_renamed_and_filled() {
    check(
        orders().drop(["comment", "urgent"]),
        expect![[r#"
        project customer, amount, day
          scan 1 file(s), first orders.parquet
        -> customer: Int64, amount: Decimal128(15, 2), day: Date32
    "#]],
    );
    check(
        orders().drop(["coment"]),
        expect![[r#"
        project comment, customer, amount, day, urgent, coment
          scan 1 file(s), first orders.parquet
        -> project: column `coment`: not in the input; the columns are comment, customer, amount, day, urgent
    "#]],
    );
    check(
        orders().rename([("day", "date")]).select([col("date")]),
        expect![[r#"
        project date
          project comment, customer, amount, day as date, urgent
            scan 1 file(s), first orders.parquet
        -> date: Date32
    "#]],
    );
    check(
        orders().rename([("dya", "date")]),
        expect![[r#"
        project comment, customer, amount, day, urgent, dya as date
          scan 1 file(s), first orders.parquet
        -> project: column `dya`: not in the input; the columns are comment, customer, amount, day, urgent
    "#]],
    );
    check(
        orders().fill_null(0),
        expect![[r#"
        project comment, coalesce(customer, 0) as customer, coalesce(amount, 0) as amount, day, urgent
          scan 1 file(s), first orders.parquet
        -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
    "#]],
    );
    check(
        orders().with_columns([col("amount").is_null().alias("day")]),
        expect![[r#"
            project comment, customer, amount, (amount is null) as day, urgent
              scan 1 file(s), first orders.parquet
            -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Boolean, urgent: Boolean
        "#]],
    );
}

#[test]
fn rows_are_ordered_cut_and_stacked() {
    check(
        orders().sort([col("amount").desc().nulls_first(), col("day").asc()]),
        expect![[r#"
            sort by amount desc nulls first, day
              scan 1 file(s), first orders.parquet
            -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
        "#]],
    );
    check(
        orders().top_k(3, [col("amount").desc()]),
        expect![[r#"
        limit 3
          sort by amount desc
            scan 1 file(s), first orders.parquet
        -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
    "#]],
    );
    check(
        orders().sort([col("day")]).slice(5, None),
        expect![[r#"
        limit from 5
          sort by day
            scan 1 file(s), first orders.parquet
        -> comment: Utf8, customer: Int64, amount: Decimal128(15, 2), day: Date32, urgent: Boolean
    "#]],
    );
    check(
        concat_frames([customers(), customers().filter(col("name").eq(lit("x")))]),
        expect![[r#"
            union of 2
              scan 1 file(s), first customers.parquet
              filter (name = "x")
                scan 1 file(s), first customers.parquet
            -> customer: Int32, name: Utf8, day: Date32
        "#]],
    );
    check(
        concat_frames([customers(), table("other", 1, &[("a", DataType::Int64)])]),
        expect![[r#"
            union of 2
              scan 1 file(s), first customers.parquet
              scan 1 file(s), first other.parquet
            -> union: input 2: (Int64), not (Int32, Utf8, Date32); cast the columns to equal types
        "#]],
    );
    check(
        concat_frames([]),
        expect![[r#"
        union of 0
        -> union: plan: a union of nothing; give an input
    "#]],
    );
}

#[test]
fn windows_read_like_sentences() {
    let by = || [col("customer")];
    check(
        orders()
            .select([col("customer"), col("amount"), col("day")])
            .with_windows([
                row_number().over(by()).order_by([col("day")]),
                rank()
                    .over([])
                    .order_by([col("amount").desc()])
                    .alias("place"),
                col("amount")
                    .lag(2)
                    .or(0)
                    .over(by())
                    .order_by([col("day")])
                    .alias("before"),
                col("amount").sum().alias("total").over(by()),
                col("amount")
                    .sum()
                    .over(by())
                    .order_by([col("day")])
                    .running()
                    .alias("so_far"),
                col("amount")
                    .first()
                    .over(by())
                    .order_by([col("day")])
                    .alias("first"),
                col("amount")
                    .nth_value(2)
                    .over(by())
                    .frame(Frame::Partition)
                    .alias("second"),
                col("amount").over(by()).alias("own"),
            ]),
        expect![[r#"
            window row_number() over (partition by customer order by day range to current row) as row_number(), rank() over (order by amount desc range to current row) as place, lag(amount, 2, 0) over (partition by customer order by day range to current row) as before, sum(amount) over (partition by customer whole partition) as total, sum(amount) over (partition by customer order by day rows from unbounded preceding to current row) as so_far, first_value(amount) over (partition by customer order by day range to current row) as first, nth_value(amount, 2) over (partition by customer whole partition) as second, first_value(amount) over (partition by customer rows from current row to current row) as own
              project customer, amount, day
                scan 1 file(s), first orders.parquet
            -> customer: Int64, amount: Decimal128(15, 2), day: Date32, row_number(): Int64, place: Int64, before: Decimal128(15, 2), total: Decimal128(38, 2), so_far: Decimal128(38, 2), first: Decimal128(15, 2), second: Decimal128(15, 2), own: Decimal128(15, 2)
        "#]],
    );
}
