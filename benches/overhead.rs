//! What a query costs beside its rows: plans of many operators over few rows, on the CPU backend.
//!
//! Planning, the network of actors, counters and hand-overs are all that there is to measure here, so
//! that what is added to any of them shows. Rules (`optimise`) and the cut into pipelines (`lower`) are
//! parts of the whole, measured by themselves, too. No GPU is used.
#![allow(missing_docs, reason = "criterion_group! writes the function")]
#![allow(clippy::expect_used, reason = "a bench ends by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use criterion::{Criterion, criterion_group, criterion_main};
use pelton::pipeline::lower;
use pelton::plan::optimise;
use pelton::prelude::*;

/// Rows of the larger table.
const ROWS: i64 = 1000;

/// Rows of the smaller one.
const CUSTOMERS: i64 = 100;

fn table(columns: [(&str, Vec<i64>); 3]) -> LazyFrame {
    let columns = columns.map(|(name, values)| {
        let values: ArrayRef = Arc::new(Int64Array::from(values));
        (name, values)
    });
    let batch = RecordBatch::try_from_iter(columns).expect("the columns are of one length");
    from_batches(vec![batch]).expect("a table")
}

fn orders() -> LazyFrame {
    let id: Vec<i64> = (0..ROWS).collect();
    let customer = id.iter().map(|id| id * 7 % CUSTOMERS).collect();
    let amount = id.iter().map(|id| id * 31 % 500).collect();
    table([("id", id), ("customer", customer), ("amount", amount)])
}

fn customers() -> LazyFrame {
    let key: Vec<i64> = (0..CUSTOMERS).collect();
    let region = key.iter().map(|key| key % 10).collect();
    let rank = key.iter().map(|key| key % 3).collect();
    table([("customer", key), ("region", region), ("rank", rank)])
}

/// Ten operators: filters, projections, both sides of a join, a group-by, a sort and a limit.
fn ten_operators() -> LazyFrame {
    orders()
        .filter(col("amount").gt(lit(10)))
        .with_columns([(col("amount") * lit(2)).alias("double")])
        .join(customers(), JoinKind::Inner)
        .on([col("customer")])
        .filter((col("double") + col("rank")).lt(lit(990)))
        .with_columns([(col("double") - col("rank")).alias("net")])
        .group_by([col("region")])
        .agg([
            col("net").sum().alias("total"),
            count_rows().alias("orders"),
        ])
        .filter(col("total").gt(lit(0)))
        .with_columns([(col("total") / col("orders")).alias("mean")])
        .sort([col("region")])
        .limit(5)
}

fn overhead(criterion: &mut Criterion) {
    let options = EngineOptions::default()
        .with("backend", "cpu")
        .and_then(|options| options.with("num_streaming_threads", "2"))
        .expect("options");
    let engine = Engine::new(options).expect("an engine");
    let mut group = criterion.benchmark_group("overhead");
    let queries = [
        ("ten_operators", ten_operators()),
        ("one_filter", orders().filter(col("amount").gt(lit(10)))),
    ];
    for (name, query) in queries {
        group.bench_function(format!("{name}/optimise"), |bencher| {
            bencher.iter(|| optimise(query.query()));
        });
        let optimised = optimise(query.query());
        group.bench_function(format!("{name}/lower"), |bencher| {
            bencher.iter(|| lower(&optimised).expect("pipelines"));
        });
        let rows = query.collect(&engine).expect("a result").rows();
        assert!(rows > 0);
        group.bench_function(format!("{name}/rows=1000/cpu"), |bencher| {
            bencher.iter(|| query.collect(&engine).expect("a result").rows());
        });
    }
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
