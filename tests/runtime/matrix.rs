//! The plans under every shape of execution: executors, streams, sizes of batches, channels.

use crate::plans::PLANS;
use crate::run::{SUITE, device, engine};

#[test]
fn the_reference_is_what_plain_loops_give() {
    assert!(PLANS.len() >= 40, "{} plans", PLANS.len());
    let mut known = 0;
    let mut wrong = Vec::new();
    for (plan, got) in PLANS.iter().zip(&SUITE.expected) {
        let Some(oracle) = plan.oracle else {
            continue;
        };
        known += 1;
        if let Err(difference) = plan.compare(&oracle(&SUITE.data), got) {
            wrong.push(format!("{}: {difference}", plan.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(known >= 12, "{known} plans have an oracle");
}

/// Options of execution that must not matter, two by two in turn.
fn shapes() -> Vec<Vec<String>> {
    let mut shapes = Vec::new();
    let mut turn = 0;
    for executor in ["streaming", "tasks"] {
        for streams in [1, 2, 8] {
            for rows in [1, 4, 7, 1_000_000] {
                let partition = ["1", "0"][turn % 2];
                let channel = ["1", "8"][turn / 2 % 2];
                turn += 1;
                shapes.push(vec![
                    format!("executor={executor}"),
                    format!("num_streams={streams}"),
                    format!("num_streaming_threads={streams}"),
                    format!("max_rows_per_partition={rows}"),
                    format!("target_partition_size={partition}"),
                    format!("channel_messages={channel}"),
                ]);
            }
        }
    }
    shapes
}

fn names(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn shapes_of_execution_do_not_matter_on_the_cpu() -> pelton::Result<()> {
    for options in shapes() {
        SUITE.check(&options.join(" "), &engine(&names(&options))?);
    }
    Ok(())
}

#[test]
fn shapes_of_execution_do_not_matter_on_a_device() -> pelton::Result<()> {
    for options in shapes() {
        // Batches of a few rows are slow in the emulator.
        let tiny = options[3].ends_with("=1") || options[3].ends_with("=4");
        if !tiny {
            SUITE.check(&options.join(" "), &device(&names(&options))?);
        }
    }
    Ok(())
}

#[test]
fn time_grows_with_the_partitions_and_no_faster() -> pelton::Result<()> {
    use std::time::{Duration, Instant};

    let time = |count: usize| -> pelton::Result<Duration> {
        let data = crate::data::Data::new(count, 4)?;
        let one = engine(&["target_partition_size=1", "num_streaming_threads=2"])?;
        let mut took = Duration::ZERO;
        for plan in PLANS {
            let names = [
                "groups",
                "inner join",
                "sort",
                "windows with partitions",
                "a union",
            ];
            if names.contains(&plan.name) {
                let frame = (plan.frame)(&data)?;
                let started = Instant::now();
                let rows = frame.collect(&one)?.rows();
                assert!(rows > 0);
                took += started.elapsed();
            }
        }
        Ok(took)
    };
    let (few, many) = (time(2_000)?, time(16_000)?);
    // Eight times the partitions: sixteen times the time, with room for a busy machine.
    assert!(
        many < few * 24 + Duration::from_millis(500),
        "{few:?}, then {many:?}"
    );
    Ok(())
}
