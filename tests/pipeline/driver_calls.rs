//! What a batch costs in calls of the driver, whatever its rows: counted on the emulator, and bounded.
//!
//! One lock of the driver orders the calls of all threads, so that a call too many costs every worker
//! (docs/benchmarks.md). A bound that is too high hides the next one: it is what the code needs.

use std::sync::Arc;

use pelton::device::Driver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::memory::DiskFiles;
use pelton::prelude::*;
use pelton_simt::Calls;

use crate::files::{folder_of, orders};

/// Rows of a partition: small ones cost what large ones do.
const ROWS: usize = 100;

/// Calls of a query over so many partitions, by one worker.
fn calls(partitions: usize, query: fn(LazyFrame) -> LazyFrame) -> Result<Calls> {
    let folder = folder_of(&orders(partitions * ROWS), ROWS)?;
    let driver = Arc::new(SimtDriver::new(SimtOptions {
        checked: false,
        ..SimtOptions::default()
    }));
    let shared: Arc<dyn Driver> = Arc::clone(&driver) as _;
    let mut options = EngineOptions::default();
    for option in [
        "num_streaming_threads=1",
        "target_partition_size=1",
        "fallback_mode=raise",
        "column_cache_limit=0",
        "parquet_late_decoding=off",
    ] {
        options.set_pair(option)?;
    }
    let engine = Engine::with_driver(options, Some(shared), Arc::new(DiskFiles))?;
    query(scan_parquet(folder.path())?).collect(&engine)?;
    Ok(driver.emulator().calls())
}

/// Calls of one batch among many.
fn calls_of_a_batch(query: fn(LazyFrame) -> LazyFrame) -> Result<Calls> {
    let (few, many) = (calls(4, query)?, calls(12, query)?);
    let more = many.since(few);
    let of_one = |calls: u64| calls.div_ceil(8);
    Ok(Calls {
        memory: of_one(more.memory),
        copies: of_one(more.copies),
        copied_bytes: of_one(more.copied_bytes),
        kernels: of_one(more.kernels),
        events: of_one(more.events),
        waits: of_one(more.waits),
    })
}

fn assert_at_most(what: &str, calls: Calls, bounds: [(&str, u64); 5]) {
    let counted = [
        calls.memory,
        calls.copies,
        calls.kernels,
        calls.events,
        calls.waits,
    ];
    for (count, (kind, bound)) in counted.into_iter().zip(bounds) {
        assert!(
            count <= bound,
            "{what}: {count} {kind}, {bound} wanted: {calls:?}"
        );
    }
}

#[test]
fn a_batch_of_a_filtered_sum() -> Result<()> {
    let calls = calls_of_a_batch(|orders| {
        orders
            .filter(col("ratio").lt(lit(100.0)).and(col("customer").gt(lit(3))))
            .group_by([])
            .agg([col("amount").sum()])
    })?;
    let bounds = [
        ("allocations and frees", 50),
        ("copies", 4),
        ("launches and fills", 16),
        ("events", 8),
        ("waits", 2),
    ];
    assert_at_most("a filtered sum", calls, bounds);
    Ok(())
}

#[test]
fn a_batch_of_groups_by_a_string() -> Result<()> {
    let calls = calls_of_a_batch(|orders| {
        orders
            .group_by([col("city")])
            .agg([col("amount").sum(), col("ratio").mean()])
    })?;
    let bounds = [
        ("allocations and frees", 30),
        ("copies", 5),
        ("launches and fills", 10),
        ("events", 11),
        ("waits", 2),
    ];
    assert_at_most("groups by a string", calls, bounds);
    Ok(())
}
