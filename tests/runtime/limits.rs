//! The plans in little memory, on the device and on the host: equal rows, use within the limits, and
//! spilling where it was forced.

use pelton::memory::Tier;
use pelton::metrics::Snapshot;
use pelton::prelude::*;

use crate::plans::Plan;
use crate::run::{LARGE, Run, SUITE, Suite, device, engine, run, run_streaming};

/// Makes an engine with options.
type Make = fn(&[&str]) -> Result<Engine>;

fn options(limits: &[String], executor: &str) -> Vec<String> {
    let mut all = limits.to_vec();
    all.push(format!("executor={executor}"));
    let others = [
        "num_streams=2",
        "num_streaming_threads=2",
        "target_partition_size=1",
        "max_rows_per_partition=200",
        "memory_reserve_timeout=5ms",
    ];
    all.extend(others.map(str::to_string));
    all
}

/// Runs plans in so little memory, checks the peaks, and gives the counters of all.
fn check(
    suite: &Suite,
    (make, run): (Make, Run),
    limits: &[String],
    wanted: fn(&Plan) -> bool,
) -> Result<Vec<Snapshot>> {
    let mut all = Vec::new();
    for executor in ["streaming", "tasks"] {
        let options = options(limits, executor);
        let names: Vec<&str> = options.iter().map(String::as_str).collect();
        let engine = make(&names)?;
        all.extend(suite.check_some(&options.join(" "), &engine, run, wanted));
        let memory = engine.memory();
        for tier in Tier::ALL {
            let (peak, limit) = (memory.peak(tier), memory.limits().of(tier));
            assert!(peak <= limit, "{tier}: {peak} of {limit}");
        }
    }
    Ok(all)
}

fn most(metrics: &[Snapshot], name: &str) -> u64 {
    metrics.iter().map(|m| m.get(name)).max().unwrap_or(0)
}

#[test]
fn every_plan_runs_in_little_device_memory() -> Result<()> {
    for share in [2, 10, 50] {
        let limit = format!("device_memory_limit={}", SUITE.data.bytes() / share);
        check(&SUITE, (device, run), &[limit], |_| true)?;
    }
    Ok(())
}

#[test]
fn every_plan_runs_in_little_host_memory() -> Result<()> {
    for share in [3, 12] {
        let limit = format!("host_memory_limit={}", LARGE.data.bytes() / share);
        let metrics = check(&LARGE, (engine, run_streaming), &[limit], |_| true)?;
        assert!(most(&metrics, "fold_parts") > 1);
        assert!(most(&metrics, "spilled_host_bytes") > LARGE.data.bytes() / 4);
        assert!(most(&metrics, "unspilled_bytes") > LARGE.data.bytes() / 4);
    }
    Ok(())
}

/// Plans that the device works through in parts where a tenth of the data fits.
fn is_in_parts(plan: &Plan) -> bool {
    let names = [
        "inner join",
        "left join",
        "right join",
        "full join",
        "full join with a residual",
        "joins in a row",
        "a self join",
        "a stable sort",
    ];
    names.contains(&plan.name)
}

#[test]
fn joins_and_sorts_are_done_in_parts_on_a_device() -> Result<()> {
    let limit = format!("device_memory_limit={}", LARGE.data.bytes() / 10);
    let metrics = check(&LARGE, (device, run), &[limit], is_in_parts)?;
    let in_parts = metrics.iter().filter(|m| m.get("fold_parts") > 1).count();
    assert!(
        in_parts * 4 >= metrics.len() * 3,
        "{in_parts} of {}",
        metrics.len()
    );
    assert!(most(&metrics, "spilled_device_bytes") > LARGE.data.bytes() / 4);
    Ok(())
}

#[test]
fn little_device_and_host_memory_go_to_disk() -> Result<()> {
    let device_limit = format!("device_memory_limit={}", LARGE.data.bytes() / 8);
    let host_limit = format!("host_memory_limit={}", LARGE.data.bytes() / 4);
    // For copies alone: there would be room for all that is spilled.
    let pinned_limit = "pinned_memory_limit=32MiB".to_string();
    let metrics = check(
        &LARGE,
        (device, run_streaming),
        &[device_limit, host_limit, pinned_limit],
        is_in_parts,
    )?;
    assert!(most(&metrics, "spilled_device_bytes") > 0);
    assert!(most(&metrics, "spilled_host_bytes") > 0);
    Ok(())
}

#[test]
fn memory_that_is_short_is_an_error_where_the_cpu_may_not_help() -> Result<()> {
    let engine = device(&["device_memory_limit=2000", "fallback_mode=raise"])?;
    let sorted = SUITE.data.scan_facts()?.sort([col("id")]);
    let Err(error) = sorted.collect(&engine) else {
        return Err(crate::data::failed("2000 bytes were enough"));
    };
    let kind = error.kind();
    let reservation = matches!(
        kind,
        pelton::ErrorKind::Reservation {
            tier: Tier::Device,
            ..
        }
    );
    assert!(reservation, "{error}");
    Ok(())
}
