//! Results against values that plain loops compute.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{Field, Int32Type};
use pelton::prelude::*;
use pelton::types::{EmptySum, Overflow, Semantics};

use crate::files::{batch, engine, failed, folder_of, orders, rows, sorted_rows, text, write};

#[test]
fn filter_and_project() -> Result<()> {
    let orders = orders(1000);
    let folder = folder_of(&orders, 100)?;
    let out = scan_parquet(folder.path())?
        .filter(col("amount").gt(lit(100)))
        .filter(col("city").not_eq(lit("Oslo")))
        .select([
            col("customer"),
            (col("amount") * lit(2)).alias("double"),
            when(col("amount").gt(lit(200)))
                .then(lit("much"))
                .otherwise(col("city"))
                .alias("what"),
        ])
        .collect(&engine(&[])?)?;
    let expected: Vec<String> = orders
        .iter()
        .filter(|o| o.amount.is_some_and(|amount| amount > 100))
        .filter(|o| o.city.as_ref().is_some_and(|city| city != "Oslo"))
        .map(|o| {
            let much = o.amount.is_some_and(|amount| amount > 200);
            let what = if much {
                Some("much".to_string())
            } else {
                o.city.clone()
            };
            format!(
                "{}|{}|{}",
                text(o.customer),
                text(o.amount.map(|a| a * 2)),
                text(what)
            )
        })
        .collect();
    assert!(expected.len() > 100);
    assert_eq!(rows(&out)?, expected); // without a fold, the order of the files is kept
    assert_eq!(out.rows(), expected.len());
    assert_eq!(out.backend, "cpu");
    Ok(())
}

#[test]
fn groups_with_every_aggregate() -> Result<()> {
    let orders = orders(2000);
    let folder = folder_of(&orders, 130)?;
    let out = scan_parquet(folder.path())?
        .filter(col("day").lt(lit("1970-05-01")))
        .group_by([col("city"), (col("customer") % lit(3)).alias("third")])
        .agg([
            count_rows().alias("rows"),
            col("amount").count().alias("values"),
            col("amount").sum().alias("sum"),
            col("amount").min().alias("min"),
            col("amount").max().alias("max"),
            col("amount").n_unique().alias("different"),
            (col("amount").max() - col("amount").min()).alias("spread"),
            col("price").sum().alias("price"),
        ])
        .collect(&engine(&[])?)?;
    let mut groups: BTreeMap<_, Vec<Option<i64>>> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.day < 120) {
        let key = (
            order.city.clone(),
            order.customer.map(|customer| customer % 3),
        );
        groups.entry(key).or_default().push(order.amount);
    }
    let mut expected: Vec<String> = groups
        .into_iter()
        .map(|((city, third), amounts)| {
            let values: Vec<i64> = amounts.iter().copied().flatten().collect();
            let sum: i64 = values.iter().sum();
            let (min, max) = (values.iter().min().copied(), values.iter().max().copied());
            let different: std::collections::BTreeSet<_> = values.iter().collect();
            let price = format!(
                "{}{}.{:02}",
                if sum < 0 { "-" } else { "" },
                sum.abs() / 100,
                sum.abs() % 100
            );
            [
                text(city),
                text(third),
                amounts.len().to_string(),
                values.len().to_string(),
                sum.to_string(),
                text(min),
                text(max),
                different.len().to_string(),
                text(max.zip(min).map(|(max, min)| max - min)),
                price,
            ]
            .join("|")
        })
        .collect();
    expected.sort();
    assert!(expected.len() > 15);
    assert_eq!(sorted_rows(&out)?, expected);
    Ok(())
}

#[test]
fn filters_and_aggregations_above_an_aggregation() -> Result<()> {
    let orders = orders(1000);
    let folder = folder_of(&orders, 100)?;
    let totals = scan_parquet(folder.path())?
        .group_by([col("customer")])
        .agg([col("amount").sum().alias("total")]);
    let engine = engine(&[])?;
    let mut by_customer: BTreeMap<Option<i64>, i64> = BTreeMap::new();
    for order in &orders {
        *by_customer.entry(order.customer).or_default() += order.amount.unwrap_or(0);
    }
    let large: Vec<(&Option<i64>, &i64)> = by_customer
        .iter()
        .filter(|(_, total)| **total > 7000)
        .collect();
    assert!(!large.is_empty() && large.len() < by_customer.len());

    let filtered = totals
        .clone()
        .filter(col("total").gt(lit(7000)))
        .select([col("total"), col("customer")])
        .collect(&engine)?;
    let mut expected: Vec<String> = large
        .iter()
        .map(|(customer, total)| format!("{total}|{}", text(**customer)))
        .collect();
    expected.sort();
    assert_eq!(sorted_rows(&filtered)?, expected);

    let most = totals
        .select([
            col("total").max().alias("most"),
            count_rows().alias("customers"),
        ])
        .collect(&engine)?;
    let expected = format!("{}|{}", text(by_customer.values().max()), by_customer.len());
    assert_eq!(rows(&most)?, [expected]);
    Ok(())
}

#[test]
fn counting_rows_reads_one_column() -> Result<()> {
    let folder = folder_of(&orders(1234), 100)?;
    let frame = scan_parquet(folder.path())?.select([count_rows().alias("n")]);
    let out = frame.collect(&engine(&[])?)?;
    assert_eq!(rows(&out)?, ["1234"]);
    let whole = std::fs::metadata(folder.path().join("orders.parquet"))?.len();
    assert!(out.metrics.get("scan_bytes") < whole / 2);
    assert_eq!(out.metrics.get("scan_rows"), 1234);
    Ok(())
}

#[test]
fn limits_cut_and_stop_early() -> Result<()> {
    let folder = folder_of(&orders(5000), 50)?;
    let engine = engine(&["target_partition_size=1", "num_streaming_threads=2"])?;
    let scan = scan_parquet(folder.path())?;
    for wanted in [0, 1, 49, 51, 5000, 9000] {
        let out = scan.clone().limit(wanted).collect(&engine)?;
        assert_eq!(out.rows() as u64, wanted.min(5000));
        if wanted < 100 {
            assert!(out.metrics.get("scan_rows") < 4000);
        }
    }
    let counted = scan
        .limit(777)
        .select([count_rows()])
        .limit(10)
        .collect(&engine)?;
    assert_eq!(rows(&counted)?, ["777"]);
    Ok(())
}

#[test]
fn nothing_to_read_is_a_result_too() -> Result<()> {
    let orders = orders(100);
    let folder = folder_of(&orders, 10)?;
    let engine = engine(&[])?;
    let none = scan_parquet(folder.path())?.filter(col("day").gt(lit("2020-01-01")));
    let out = none.clone().collect(&engine)?;
    assert_eq!((out.rows(), out.schema.fields().len()), (0, 6));
    assert_eq!(out.metrics.get("scan_row_groups_pruned"), 10);
    assert_eq!(out.metrics.get("scan_bytes"), 0);

    let sums = [
        col("amount").sum(),
        count_rows().alias("n"),
        col("ratio").mean().alias("mean"),
    ];
    let total = none.clone().select(sums.clone()).collect(&engine)?;
    assert_eq!(rows(&total)?, ["-|0|-"]);
    let zero = Semantics {
        empty_sum: EmptySum::Zero,
        ..Semantics::default()
    };
    let total = none
        .clone()
        .select(sums.clone())
        .semantics(zero)
        .collect(&engine)?;
    assert_eq!(rows(&total)?, ["0|0|-"]);
    let grouped = none.group_by([col("city")]).agg(sums).collect(&engine)?;
    assert_eq!(grouped.rows(), 0);

    let empty = tempfile::tempdir()?;
    write(&empty.path().join("empty.parquet"), &batch(&[])?, 10)?;
    let out = scan_parquet(empty.path())?
        .select([count_rows()])
        .collect(&engine)?;
    assert_eq!(rows(&out)?, ["0"]);
    assert_eq!(scan_parquet(empty.path())?.collect(&engine)?.rows(), 0);
    Ok(())
}

#[test]
fn pruning_changes_what_is_read_and_nothing_else() -> Result<()> {
    let orders = orders(1000); // `day` grows: ten row groups of ten days each
    let folder = folder_of(&orders, 100)?;
    let out = scan_parquet(folder.path())?
        .filter(col("day").between(lit("1970-01-11"), lit("1970-01-12")))
        .collect(&engine(&[])?)?;
    assert_eq!(
        out.rows(),
        orders.iter().filter(|o| (10..=11).contains(&o.day)).count()
    );
    assert_eq!(out.metrics.get("scan_row_groups_total"), 10);
    assert_eq!(out.metrics.get("scan_row_groups_pruned"), 9);
    Ok(())
}

#[test]
fn overflow_follows_the_semantics() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let batch = RecordBatch::try_from_iter([("x", column)]).map_err(failed)?;
    write(&folder.path().join("x.parquet"), &batch, 10)?;
    let frame = scan_parquet(folder.path())?.select([(col("x") + lit(1)).alias("y")]);
    let engine = engine(&[])?;
    assert_eq!(
        rows(&frame.collect(&engine)?)?,
        [i64::MIN.to_string(), "2".to_string()]
    );
    let strict = Semantics {
        overflow: Overflow::Error,
        ..Semantics::default()
    };
    assert!(frame.semantics(strict).collect(&engine).is_err());
    Ok(())
}

#[test]
fn dictionaries_are_read_as_values_and_nested_columns_pass_through() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let coded: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let inner: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let nested = StructArray::from(vec![(
        Arc::new(Field::new("inner", DataType::Int64, false)),
        inner,
    )]);
    let batch = RecordBatch::try_from_iter([
        ("coded", Arc::new(coded) as ArrayRef),
        ("nested", Arc::new(nested)),
    ])
    .map_err(failed)?;
    write(&folder.path().join("x.parquet"), &batch, 2)?;
    let frame = scan_parquet(folder.path())?;
    let engine = engine(&[])?;
    let out = frame
        .clone()
        .filter(col("coded").eq(lit("a")))
        .collect(&engine)?;
    assert_eq!(*out.schema.field(0).data_type(), DataType::Utf8);
    assert_eq!(rows(&out)?, ["a|{inner: 1}", "a|{inner: 3}"]);
    let grouped = frame
        .group_by([col("coded")])
        .agg([count_rows()])
        .collect(&engine)?;
    assert_eq!(sorted_rows(&grouped)?, ["a|2", "b|1"]);
    Ok(())
}

#[test]
fn columns_are_matched_by_name_across_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let word: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let one = RecordBatch::try_from_iter([("n", Arc::clone(&number)), ("w", Arc::clone(&word))]);
    let two = RecordBatch::try_from_iter([("w", word), ("n", number)]);
    write(&folder.path().join("1.parquet"), &one.map_err(failed)?, 10)?;
    write(&folder.path().join("2.parquet"), &two.map_err(failed)?, 10)?;
    let frame = scan_parquet(folder.path())?;
    let engine = engine(&[])?;
    assert_eq!(rows(&frame.collect(&engine)?)?, ["1|a", "1|a"]);
    assert_eq!(
        rows(&frame.select([col("w"), col("n")]).collect(&engine)?)?,
        ["a|1", "a|1"]
    );
    Ok(())
}

#[test]
fn the_deepest_plans_fit_the_stack_of_a_thread() -> Result<()> {
    let folder = folder_of(&orders(10), 10)?;
    let engine = engine(&[])?;
    let mut deep = col("day").gt_eq(lit("1970-01-01"));
    while deep.depth() < pelton::limits::EXPR_DEPTH_MAX - 1 {
        deep = !deep;
    }
    let mut frame = scan_parquet(folder.path())?.filter(deep.is_not_null());
    for _ in 0..250 {
        frame = frame.filter(col("day").gt_eq(lit("1970-01-01")));
    }
    assert_eq!(frame.collect(&engine)?.rows(), 10);
    assert!(frame.query().to_string().lines().count() > 250);
    for _ in 0..10 {
        frame = frame.limit(1);
    }
    let error = frame.collect(&engine).err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some(
            "plan: has 262 steps, of 256 at most; join filters by `and`, and projections into one"
        )
    );
    Ok(())
}
