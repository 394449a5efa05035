//! Unions and tables in memory, lowered.

use std::sync::Arc;

use super::{check, customers, orders, table};
use crate::engine::{LazyFrame, concat_frames, from_batches};
use crate::expr::{JoinKind, Keep, col, count_rows, lit};
use crate::types::DataType;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use expect_test::expect;

fn numbers() -> LazyFrame {
    let n: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 2]));
    let word: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), None, Some("b")]));
    let batch = RecordBatch::try_from_iter([("n", n), ("word", word)]);
    match batch.map_err(|cause| cause.to_string()) {
        Ok(batch) => from_batches(vec![batch]).unwrap_or_else(|_| customers()),
        Err(_) => customers(),
    }
}

#[test]
fn tables_are_read_as_far_as_they_are_needed() {
    check(
        numbers().filter(col("n").gt(lit(1))).select([col("word")]),
        expect![[r#"
            1. table of 3 rows: n, word
               filter (n > 1), keep word
               -> word: Utf8
        "#]],
    );
    check(
        numbers().select([count_rows().alias("rows")]),
        expect![[r#"
            1. table of 3 rows: n
               group_by count(*) as rows
               -> rows: Int64
        "#]],
    );
    check(
        numbers(),
        expect![[r#"
        1. table of 3 rows: n, word
           -> n: Int64, word: Utf8
    "#]],
    );
    check(
        orders()
            .join(numbers(), JoinKind::Inner)
            .on_pairs([(col("customer"), col("n"))])
            .select([col("word"), col("day")]),
        expect![[r#"
            1. table of 3 rows: n, word
               hash_join build on n
               -> n: Int64, word: Utf8
            2. scan 1 file(s), 2 of 5 columns: customer, day
               hash_join probe, inner, on customer, built by pipeline 1
               project word, day
               -> word: Utf8, day: Date32
        "#]],
    );
}

#[test]
fn inputs_of_a_union_read_what_is_wanted_by_place() {
    let other = || {
        table(
            "other",
            9,
            &[
                ("id", DataType::Int32),
                ("who", DataType::Utf8),
                ("when", DataType::Date32),
            ],
        )
    };
    check(
        concat_frames([customers(), other()]).select([col("name")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: name
               -> name: Utf8
            2. scan 1 file(s), 1 of 3 columns: who
               project who as name
               -> name: Utf8
            3. from pipelines 1, 2
               -> name: Utf8
        "#]],
    );
    check(
        concat_frames([other(), customers()])
            .filter(col("when").is_null())
            .select([col("id")]),
        expect![[r#"
            1. scan 1 file(s), 2 of 3 columns: id, when
               -> id: Int32, when: Date32
            2. scan 1 file(s), 2 of 3 columns: customer, day
               project customer as id, day as when
               -> id: Int32, when: Date32
            3. from pipelines 1, 2
               filter (when is null), keep id
               -> id: Int32
        "#]],
    );
    check(
        concat_frames([customers(), other()]).select([count_rows().alias("n")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: customer
               -> customer: Int32
            2. scan 1 file(s), 1 of 3 columns: id
               project id as customer
               -> customer: Int32
            3. from pipelines 1, 2
               group_by count(*) as n
               -> n: Int64
        "#]],
    );
}

#[test]
fn inputs_of_a_union_may_end_in_folds_limits_and_unions() {
    let names = || customers().select([col("name")]);
    check(
        concat_frames([
            names().distinct([""; 0], Keep::Any),
            names().limit(3),
            names().sort([col("name")]),
            customers()
                .group_by([col("name")])
                .agg([count_rows().alias("n")])
                .select([col("name")]),
        ])
        .limit(4),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: name
               group_by by name
               -> name: Utf8
            2. scan 1 file(s), 1 of 3 columns: name
               limit 3
               -> name: Utf8
            3. scan 1 file(s), 1 of 3 columns: name
               sort by name
               -> name: Utf8
            4. scan 1 file(s), 1 of 3 columns: name
               group_by by name
               -> name: Utf8
            5. from pipelines 1, 2, 3, 4
               limit 4
               -> name: Utf8
        "#]],
    );
    check(
        concat_frames([concat_frames([names(), names().limit(1)]), names()]).limit(2),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: name
               -> name: Utf8
            2. scan 1 file(s), 1 of 3 columns: name
               limit 1
               -> name: Utf8
            3. from pipelines 1, 2
               -> name: Utf8
            4. scan 1 file(s), 1 of 3 columns: name
               -> name: Utf8
            5. from pipelines 3, 4
               limit 2
               -> name: Utf8
        "#]],
    );
    check(
        concat_frames([names()])
            .join(concat_frames([names(), names().limit(2)]), JoinKind::Semi)
            .on([col("name")]),
        expect![[r#"
            1. scan 1 file(s), 1 of 3 columns: name
               -> name: Utf8
            2. scan 1 file(s), 1 of 3 columns: name
               limit 2
               -> name: Utf8
            3. scan 1 file(s), 1 of 3 columns: name
               -> name: Utf8
            4. from pipelines 1, 2
               hash_join build on name
               -> name: Utf8
            5. from pipeline 3
               hash_join probe, semi, on name, built by pipeline 4
               -> name: Utf8
        "#]],
    );
}
