//! Actors in orders that a seed draws, over a device whose streams and threads are drawn as well.

use std::sync::Arc;

use pelton::memory::DiskFiles;
use pelton::prelude::*;

use crate::plans::PLANS;
use crate::run::{SUITE, emulated, quick, run};

/// How many schedules are tried: 200 with every change; `PELTON_SEEDS=1000` before a release.
fn seeds() -> u64 {
    let seeds = std::env::var("PELTON_SEEDS").ok();
    seeds.and_then(|text| text.parse().ok()).unwrap_or(200)
}

/// Runs one plan, the next one for each seed, so that each meets several.
fn check(seed: u64, more: &[&str]) -> Result<()> {
    let options = [
        "num_streams=3",
        "num_streaming_threads=3",
        "target_partition_size=1",
        "max_rows_per_partition=100",
        "memory_reserve_timeout=3ms",
        ["channel_messages=1", "channel_messages=8"][seed as usize % 2],
        ["executor=streaming", "executor=tasks"][usize::from(seed % 5 == 4)],
    ];
    let options = [&options, more].concat();
    let engine = emulated(&options, quick(seed), Arc::new(DiskFiles))?.seeded(seed);
    let index = seed as usize % PLANS.len();
    let (plan, expected) = (&PLANS[index], &SUITE.expected[index]);
    let what = format!("{} under seed {seed} with {}", plan.name, options.join(" "));
    let (got, _) = run(plan, &SUITE.data, &engine).map_err(|error| error.context(&what))?;
    if let Err(difference) = plan.compare(expected, &got) {
        panic!("{what}: {difference}");
    }
    Ok(())
}

#[test]
fn no_order_of_actors_changes_a_result() -> Result<()> {
    (0..seeds()).try_for_each(|seed| check(seed, &[]))
}

#[test]
fn no_order_of_actors_changes_a_result_in_little_memory() -> Result<()> {
    let limit = format!("device_memory_limit={}", SUITE.data.bytes() / 2);
    (100_000..100_000 + seeds() / 4).try_for_each(|seed| check(seed, &[&limit]))
}
