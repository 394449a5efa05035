//! The table that the tests query, and rows as text.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::engine::QueryResult;
use pelton::prelude::*;

/// One row of the table `orders`.
#[derive(Debug, Clone)]
pub struct Order {
    pub customer: Option<i64>,
    pub amount: Option<i64>,
    pub ratio: f64,
    pub city: Option<String>,
    pub day: i32,
}

/// Rows that any run makes alike; `customer` and `amount` have nulls, `day` grows.
pub fn orders(count: usize) -> Vec<Order> {
    let mut state = 42u64;
    let mut next = |below: i64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        i64::try_from(state >> 33).unwrap_or(0) % below
    };
    let cities = ["Bern", "Köln", "Lima", "Oslo", ""];
    (0..count)
        .map(|row| Order {
            customer: Some(next(13)).filter(|customer| *customer != 0),
            amount: Some(next(400) - 100).filter(|amount| amount % 11 != 0),
            ratio: next(1000) as f64 / 8.0,
            city: usize::try_from(next(6))
                .ok()
                .and_then(|city| cities.get(city))
                .map(|c| (*c).to_string()),
            day: i32::try_from(row / 10).unwrap_or(0),
        })
        .collect()
}

pub fn batch(orders: &[Order]) -> Result<RecordBatch> {
    let price = orders.iter().map(|o| o.amount.map(i128::from));
    let price = price
        .collect::<Decimal128Array>()
        .with_precision_and_scale(12, 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "customer",
            Arc::new(orders.iter().map(|o| o.customer).collect::<Int64Array>()),
        ),
        (
            "amount",
            Arc::new(orders.iter().map(|o| o.amount).collect::<Int64Array>()),
        ),
        (
            "ratio",
            Arc::new(Float64Array::from_iter_values(
                orders.iter().map(|o| o.ratio),
            )),
        ),
        (
            "city",
            Arc::new(
                orders
                    .iter()
                    .map(|o| o.city.clone())
                    .collect::<StringArray>(),
            ),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(orders.iter().map(|o| o.day))),
        ),
        ("price", Arc::new(price.map_err(failed)?)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true)))
        .map_err(failed)
}

pub fn failed(cause: impl std::fmt::Display) -> pelton::Error {
    pelton::Error::invalid("test", cause.to_string(), "")
}

/// Writes a batch as a file with row groups of so many rows.
pub fn write(path: &Path, batch: &RecordBatch, rows_per_group: usize) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let file = File::create(path)?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(())
}

/// A folder with the orders in one file.
pub fn folder_of(orders: &[Order], rows_per_group: usize) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    write(
        &folder.path().join("orders.parquet"),
        &batch(orders)?,
        rows_per_group,
    )?;
    Ok(folder)
}

/// An engine on the CPU with these options.
pub fn engine(options: &[&str]) -> Result<Engine> {
    let mut all = EngineOptions::default().with("backend", "cpu")?;
    for option in options {
        all.set_pair(option)?;
    }
    Engine::new(all)
}

/// The rows as text, in the order they came: values joined by `|`, nulls as `-`.
pub fn rows(result: &QueryResult) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    let options = FormatOptions::new().with_null("-");
    for batch in &result.batches {
        if batch.schema().fields() != result.schema.fields() {
            return Err(failed(format!(
                "{} is not {}",
                batch.schema(),
                result.schema
            )));
        }
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<std::result::Result<_, _>>()
            .map_err(failed)?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            rows.push(values.join("|"));
        }
    }
    Ok(rows)
}

/// The rows as text, sorted: a multiset.
pub fn sorted_rows(result: &QueryResult) -> Result<Vec<String>> {
    let mut rows = rows(result)?;
    rows.sort();
    Ok(rows)
}

/// A value as [`rows`] prints it.
pub fn text<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_string(), |value| value.to_string())
}
