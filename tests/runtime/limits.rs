//! The plans in little memory, on the device and on the host: equal rows, use within the limits, and
//! spilling where it was forced.

use pelton::ErrorKind;
use pelton::memory::Tier;
use pelton::metrics::Snapshot;
use pelton::prelude::*;

use crate::plans::{PLANS, Plan};
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
        let metrics = check(&SUITE, (device, run), &[limit], |_| true)?;
        let spilled = metrics.iter().filter(|m| m.get("spilled_device_bytes") > 0);
        assert!(spilled.count() > 0, "a share of 1/{share} forced nothing");
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

/// The number behind some words.
fn number_behind(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Does what errors say until the plan runs: gives the limit that it then has.
fn do_as_told(make: Make, option: &str, limit: u64, more: &[&str]) -> Result<u64> {
    let mut limit = limit;
    let join = PLANS.iter().position(|plan| plan.name == "inner join");
    let index = join.expect("a plan of this name");
    let (plan, expected) = (&PLANS[index], &SUITE.expected[index]);
    for _ in 0..200 {
        let option = format!("{option}={limit}");
        let engine = make(&[&[option.as_str()][..], more].concat())?;
        let error = match run(plan, &SUITE.data, &engine) {
            Err(error) => error,
            Ok((got, _)) => {
                let same = plan.compare(expected, &got);
                assert!(same.is_ok(), "{same:?}");
                return Ok(limit);
            }
        };
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::Reservation { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("spilling is off, and `spill=true` makes room"),
            "{text}"
        );
        let option = option.split('=').next().unwrap_or_default();
        let by = number_behind(&text, &format!("raise `{option}` by "));
        assert!(by.is_some_and(|by| by > 0), "{text}");
        limit += by.unwrap_or(0);
    }
    Err(crate::data::failed(format!("{limit} bytes do not suffice")))
}

#[test]
fn without_spilling_an_error_says_what_to_raise_and_by_how_much() -> Result<()> {
    let off = [
        "spill=false",
        "fallback_mode=raise",
        "num_streaming_threads=1",
        "num_streams=1",
        "target_partition_size=1",
        "memory_reserve_timeout=0s",
    ];
    let bytes = SUITE.data.bytes();
    for (make, option) in [
        (engine as Make, "host_memory_limit"),
        (device as Make, "device_memory_limit"),
    ] {
        let little = bytes / 20;
        let enough = do_as_told(make, option, little, &off)?;
        assert!(enough > little, "it was not short at first");
        assert!(enough < 20 * bytes, "{option}: {enough} of {bytes}");
    }
    Ok(())
}
