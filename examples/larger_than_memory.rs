//! Joins TPC-H's lineitem to orders, groups and sorts the result, in as much memory as it is given.
//!
//! ```sh
//! pelton gen tpch --scale 1 --tables lineitem,orders --out data
//! cargo run --release --example larger_than_memory -- data
//! cargo run --release --example larger_than_memory -- data device_memory_limit=1GiB host_memory_limit=2GiB
//! ```
//!
//! Without arguments it makes two small tables itself, so that it runs anywhere.

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use pelton::expr::JoinKind;
use pelton::metrics::names;
use pelton::prelude::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, options) = match arguments.split_first() {
        Some((folder, options)) => (Some(PathBuf::from(folder)), options),
        None => (None, &[][..]),
    };
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    for row in run(folder, &options)?.iter().take(5) {
        println!("{row}");
    }
    Ok(())
}

/// Runs the query three times; the rows of the last.
pub fn run(folder: Option<PathBuf>, options: &[&str]) -> Result<Vec<String>> {
    let temporary = tempfile::tempdir()?;
    let folder = match folder {
        Some(folder) => folder,
        None => {
            write_small(temporary.path())?;
            temporary.path().to_path_buf()
        }
    };
    let mut all = EngineOptions::default();
    for pair in options {
        all.set_pair(pair)?;
    }
    let engine = Engine::new(all)?;
    eprintln!("backend {}", engine.backend_choice().name);
    let mut rows = Vec::new();
    for run in 0..3 {
        let started = Instant::now();
        let out = query(&folder)?.collect(&engine)?;
        eprintln!(
            "run {run}: {:?}, {} rows; device peak {} MiB, to the host {} MiB, to disk {} MiB, parts {}",
            started.elapsed(),
            out.rows(),
            out.metrics.get(names::DEVICE_BYTES_PEAK) >> 20,
            out.metrics.get(names::SPILLED_DEVICE_BYTES) >> 20,
            out.metrics.get(names::SPILLED_HOST_BYTES) >> 20,
            out.metrics.get(names::FOLD_PARTS),
        );
        for fallback in &out.fallbacks {
            eprintln!("on the CPU: {fallback}");
        }
        rows = text(&out);
    }
    Ok(rows)
}

fn text(out: &QueryResult) -> Vec<String> {
    let value = |column: &arrow::array::ArrayRef, row| {
        arrow::util::display::array_value_to_string(column, row).unwrap_or_default()
    };
    let batches = out.batches.iter();
    let rows = batches.flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| {
        let values = batch.columns().iter().map(|column| value(column, row));
        values.collect::<Vec<_>>().join(" | ")
    })
    .collect()
}

/// The hundred customers with the largest sums, of each order's lines that were shipped late.
fn query(folder: &Path) -> Result<LazyFrame> {
    let lines = scan_parquet(folder.join("lineitem*.parquet"))?
        .filter(col("l_shipdate").gt(col("l_commitdate")))
        .select([col("l_orderkey"), col("l_extendedprice"), col("l_discount")]);
    let orders =
        scan_parquet(folder.join("orders*.parquet"))?.select([col("o_orderkey"), col("o_custkey")]);
    Ok(lines
        .join(orders, JoinKind::Inner)
        .on_pairs([(col("l_orderkey"), col("o_orderkey"))])
        .group_by([col("o_custkey")])
        .agg([
            (col("l_extendedprice") * (lit(1) - col("l_discount")))
                .sum()
                .alias("revenue"),
            count_rows().alias("lines"),
        ])
        .sort([col("revenue").desc(), col("o_custkey").asc()])
        .limit(100))
}

/// Two tables with the columns that the query reads.
fn write_small(folder: &Path) -> Result<()> {
    use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch};
    use std::sync::Arc;
    let rows = |count: i64| 0..count;
    let int = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let float = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let date = |values: Vec<i32>| -> ArrayRef { Arc::new(Date32Array::from(values)) };
    let lines: Vec<(&str, ArrayRef)> = vec![
        ("l_orderkey", int(rows(6000).map(|row| row / 4).collect())),
        (
            "l_extendedprice",
            float(rows(6000).map(|row| (row % 97) as f64).collect()),
        ),
        (
            "l_discount",
            float(rows(6000).map(|row| (row % 10) as f64 / 100.0).collect()),
        ),
        (
            "l_shipdate",
            date(rows(6000).map(|row| (row % 40) as i32).collect()),
        ),
        (
            "l_commitdate",
            date(rows(6000).map(|row| (row % 30) as i32).collect()),
        ),
    ];
    let orders: Vec<(&str, ArrayRef)> = vec![
        ("o_orderkey", int(rows(1500).collect())),
        ("o_custkey", int(rows(1500).map(|row| row % 150).collect())),
    ];
    for (name, columns) in [("lineitem", lines), ("orders", orders)] {
        let batch = RecordBatch::try_from_iter(columns)
            .map_err(|cause| pelton::Error::invalid("table", cause.to_string(), ""))?;
        let engine = Engine::new(EngineOptions::default().with("backend", "cpu")?)?;
        let path = folder.join(format!("{name}.parquet"));
        from_batches(vec![batch])?.sink_parquet(
            &engine,
            path,
            pelton::storage::SinkOptions::default(),
        )?;
    }
    Ok(())
}
