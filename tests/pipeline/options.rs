//! Options that change how a query runs, not what it gives: memory on the way to a device, and who
//! reads a scan.

use pelton::ErrorKind;
use pelton::memory::Tier;
use pelton::metrics::Choice;
use pelton::prelude::*;

use crate::files::{engine, folder_of, orders, sorted_rows};

/// Bytes of a slab, in which memory on the way to a device is allocated.
const SLAB: u64 = 4 << 20;

fn simt(options: &[&str]) -> Result<Engine> {
    let mut all = EngineOptions::default().with("backend", "simt")?;
    for option in options {
        all.set_pair(option)?;
    }
    Engine::new(all)
}

#[test]
fn bytes_pass_pinned_memory_or_the_host_s() -> Result<()> {
    let folder = folder_of(&orders(300), 100)?;
    let query = scan_parquet(folder.path())?
        .filter(col("amount").gt(lit(100)))
        .select([col("customer"), col("amount")]);
    let expected = sorted_rows(&query.collect(&engine(&[])?)?)?;
    for (option, tier, other) in [
        ("pinned_memory=true", Tier::Pinned, Tier::Host),
        ("pinned_memory=false", Tier::Host, Tier::Pinned),
    ] {
        let engine = simt(&[option, "fallback_mode=raise"])?;
        let got = sorted_rows(&query.collect(&engine)?)?;
        assert_eq!(got, expected, "{option}");
        // The result is gone; slabs stay for the next query.
        let memory = engine.memory();
        let needed = |tier| memory.used(tier) - memory.reclaimable(tier);
        let used = needed(tier);
        assert!(used > 0 && used % SLAB == 0, "{option}: {used}");
        assert_eq!(needed(other), 0, "{option}");
    }
    Ok(())
}

#[test]
fn memory_that_is_not_pinned_keeps_the_limit_of_the_host() -> Result<()> {
    let folder = folder_of(&orders(300), 100)?;
    let engine = simt(&[
        "pinned_memory=false",
        "host_memory_limit=1MiB",
        "fallback_mode=raise",
        "memory_reserve_timeout=5ms",
    ])?;
    let error = scan_parquet(folder.path())?.collect(&engine).err();
    let short = error.as_ref().is_some_and(|error| {
        let tier = Tier::Host;
        matches!(error.kind(), ErrorKind::Reservation { tier: found, .. } if *found == tier)
    });
    assert!(short, "{error:?}");
    assert_eq!(engine.memory().used(Tier::Pinned), 0);
    Ok(())
}

#[test]
fn a_pool_may_be_allocated_at_the_start() -> Result<()> {
    for (option, slabs) in [
        ("pinned_initial_pool_size=0", 0),
        ("pinned_initial_pool_size=1", 1),
        ("pinned_initial_pool_size=8MiB", 2),
        ("pinned_initial_pool_size=9MiB", 3),
    ] {
        let engine = simt(&[option])?;
        assert_eq!(engine.memory().used(Tier::Pinned), slabs * SLAB, "{option}");
        let memory = std::sync::Arc::clone(engine.memory());
        drop(engine);
        assert_eq!(memory.used(Tier::Pinned), 0, "{option}");
    }
    let pageable = simt(&["pinned_initial_pool_size=1", "pinned_memory=false"])?;
    assert_eq!(pageable.memory().used(Tier::Host), SLAB);

    // Slabs that are there are used before there are more.
    let folder = folder_of(&orders(300), 100)?;
    let engine = simt(&["pinned_initial_pool_size=128MiB"])?;
    let before = engine.memory().used(Tier::Pinned);
    scan_parquet(folder.path())?.collect(&engine)?;
    assert_eq!(engine.memory().peak(Tier::Pinned), before);

    let more = simt(&["pinned_initial_pool_size=9MiB", "pinned_memory_limit=8MiB"]);
    let error = more.map_or_else(|error| error.to_string(), |_| String::new());
    for words in ["pinned_initial_pool_size", "pinned_memory_limit"] {
        assert!(error.contains(words), "{error}");
    }
    Ok(())
}

#[test]
fn a_scan_is_read_by_no_more_workers_than_may_read() -> Result<()> {
    let folder = folder_of(&orders(1000), 50)?;
    let sums = |frame: LazyFrame, key: &str| {
        frame
            .group_by([col(key)])
            .agg([col("amount").sum().alias("amount")])
    };
    let query = scan_parquet(folder.path())?.group_by([col("customer"), col("city")]);
    let query = query.agg([col("amount").sum().alias("amount")]);
    let query = sums(query, "customer");
    let mut expected = None;
    for (option, readers) in [
        ("max_concurrent_io_tasks=0", 4),
        ("max_concurrent_io_tasks=1", 1),
        ("max_concurrent_io_tasks=3", 3),
        ("max_concurrent_io_tasks=9", 4),
    ] {
        let engine = engine(&[option, "num_streaming_threads=4", "target_partition_size=1"])?;
        let out = query.collect(&engine)?;
        let workers = |number: usize| {
            let decisions = out.metrics.decisions.iter();
            let mut of = decisions.filter(|decision| decision.pipeline == number);
            of.find_map(|decision| match decision.choice {
                Choice::Workers(workers) => Some(workers),
                _ => None,
            })
        };
        assert_eq!(workers(1), Some(readers), "{option}");
        // Who reads no file is not concerned.
        assert_eq!(workers(2), Some(4), "{option}");
        let rows = sorted_rows(&out)?;
        assert_eq!(expected.get_or_insert_with(|| rows.clone()), &rows);
    }
    Ok(())
}
