//! The plans on several ranks: together, one after the other, they give the rows that one alone gives.

use std::sync::Arc;

use pelton::comm::{LocalRank, LocalWorld};
use pelton::prelude::*;

use crate::data::failed;
use crate::plans::{PLANS, Plan};
use crate::run::{SUITE, device, engine, run};
use crate::support::values::Rows;

/// Makes an engine with options.
type Make = fn(&[&str]) -> Result<Engine>;

/// The rows of a plan on each rank of a world.
fn on_ranks(world: u32, make: Make, options: &[&str], plan: &Plan) -> Vec<Result<Rows>> {
    let ranks = LocalWorld::ranks(world);
    std::thread::scope(|scope| {
        let start = |rank: &Arc<LocalRank>| {
            let rank = Arc::clone(rank);
            scope.spawn(move || {
                let engine = make(options)?.on_rank(rank);
                run(plan, &SUITE.data, &engine).map(|(rows, _)| rows)
            })
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|rows| rows.unwrap_or_else(|_| Err(failed("a rank panicked"))))
            .collect()
    })
}

/// Runs every plan on a world, or the one that `PELTON_PLAN` names, and compares.
fn check(world: u32, make: Make, options: &[&str]) {
    let chosen = std::env::var("PELTON_PLAN").ok();
    let mut wrong = Vec::new();
    for (plan, expected) in PLANS.iter().zip(&SUITE.expected) {
        if chosen.as_ref().is_some_and(|chosen| chosen != plan.name) {
            continue;
        }
        let all: Result<Vec<Rows>> = on_ranks(world, make, options, plan).into_iter().collect();
        let compared = match all {
            Ok(all) => plan.compare(expected, &all.concat()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(difference) = compared {
            wrong.push(format!("{}: {difference}", plan.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{world} ranks, {}:\n{}",
        options.join(" "),
        wrong.join("\n")
    );
}

/// An executor, small batches, and whether build sides go to every rank.
fn options(executor: &'static str, broadcast: &'static str) -> [&'static str; 5] {
    [
        executor,
        broadcast,
        "num_streaming_threads=2",
        "target_partition_size=1",
        "max_rows_per_partition=50",
    ]
}

const EXECUTORS: [&str; 2] = ["executor=streaming", "executor=tasks"];

/// Every build side to every rank, or none that need not.
const BROADCASTS: [&str; 2] = ["broadcast_limit=1GiB", "broadcast_limit=1"];

#[test]
fn ranks_give_together_what_one_gives_on_the_cpu() {
    for world in [1, 2, 3, 5] {
        for executor in EXECUTORS {
            for broadcast in BROADCASTS {
                check(world, engine, &options(executor, broadcast));
            }
        }
    }
}

#[test]
fn ranks_give_together_what_one_gives_on_devices() {
    check(2, device, &options(EXECUTORS[0], BROADCASTS[1]));
    check(3, device, &options(EXECUTORS[1], BROADCASTS[0]));
}

#[test]
fn ranks_give_together_what_one_gives_in_little_device_memory() {
    let limit = format!("device_memory_limit={}", SUITE.data.bytes() / 40);
    let mut options = options(EXECUTORS[0], BROADCASTS[1]).to_vec();
    options.extend([limit.as_str(), "memory_reserve_timeout=5ms"]);
    check(2, device, &options);
}
