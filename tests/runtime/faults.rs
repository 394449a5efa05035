//! What fails: an error that says what and why comes soon, nothing is left behind, and the next query
//! of the same engine is right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pelton::device::simt::SimtOptions;
use pelton::memory::{DiskFiles, FaultyFiles, FileFault};
use pelton::prelude::*;
use pelton::{Error, ErrorKind};

use crate::plans::{PLANS, Plan};
use crate::run::{LARGE, SUITE, Suite, assert_idle, emulated, engine, quick, run};

/// Plans that between them use every operator that allocates.
const NAMES: [&str; 6] = [
    "groups",
    "full join with a residual",
    "joins in a row",
    "a stable sort",
    "windows with partitions",
    "everything",
];

const FEW: &[&str] = &[
    "num_streams=2",
    "num_streaming_threads=2",
    "target_partition_size=1",
    "max_rows_per_partition=100",
    "memory_reserve_timeout=5ms",
];

fn plans(names: &[&str]) -> Vec<usize> {
    let place = |name: &&str| PLANS.iter().position(|plan| plan.name == *name);
    let places: Option<Vec<usize>> = names.iter().map(place).collect();
    places.expect("plans of these names")
}

/// Runs a plan that may fail: a right result, or an error of these kinds within a second, and in
/// either case a right result the next time.
fn check(
    what: &str,
    suite: &Suite,
    index: usize,
    engine: &Engine,
    expected: impl Fn(&ErrorKind) -> bool,
) -> Option<Error> {
    let (plan, rows): (&Plan, _) = (&PLANS[index], &suite.expected[index]);
    let started = Instant::now();
    let outcome = run(plan, &suite.data, engine);
    let took = started.elapsed();
    let error = match outcome {
        Ok((got, _)) => {
            let same = plan.compare(rows, &got);
            assert!(same.is_ok(), "{what}, {}: {same:?}", plan.name);
            None
        }
        Err(error) => {
            assert!(expected(error.kind()), "{what}, {}: {error:?}", plan.name);
            assert!(
                took < Duration::from_secs(1),
                "{what}: the error took {took:?}"
            );
            Some(error)
        }
    };
    error.as_ref()?;
    let again = run(plan, &suite.data, engine);
    let (got, _) = again.unwrap_or_else(|error| panic!("{what}, again {}: {error}", plan.name));
    let same = plan.compare(rows, &got);
    assert!(same.is_ok(), "{what}, again {}: {same:?}", plan.name);
    error
}

#[test]
fn a_failed_copy_is_an_error() -> Result<()> {
    for index in plans(&NAMES) {
        let mut failures = 0;
        for at in [1, 2, 3, 4, 6, 9, 13, 20, 40, 80] {
            let options = SimtOptions {
                fail_copy_at: Some(at),
                ..quick(at)
            };
            let engine = emulated(FEW, options, Arc::new(DiskFiles))?;
            let what = format!("copy {at} fails");
            let is_device = |kind: &ErrorKind| matches!(kind, ErrorKind::Device { .. });
            failures += usize::from(check(&what, &SUITE, index, &engine, is_device).is_some());
        }
        assert!(failures > 3, "{}: {failures} failures", PLANS[index].name);
    }
    Ok(())
}

#[test]
fn a_failed_allocation_is_made_up_for() -> Result<()> {
    for index in plans(&NAMES) {
        for at in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377] {
            let options = SimtOptions {
                fail_alloc_at: Some(at),
                ..quick(at)
            };
            let engine = emulated(FEW, options, Arc::new(DiskFiles))?;
            // It is tried again once all streams have given back what they freed.
            let error = check(
                &format!("allocation {at} fails"),
                &SUITE,
                index,
                &engine,
                |_| false,
            );
            assert!(error.is_none());
        }
    }
    Ok(())
}

#[test]
fn a_device_too_small_for_its_limit_is_an_error() -> Result<()> {
    let options = SimtOptions {
        memory_bytes: 150_000,
        ..quick(1)
    };
    let limit = ["device_memory_limit=1GiB", "fallback_mode=raise"];
    for index in plans(&NAMES) {
        let engine = emulated(
            &[FEW, &limit].concat(),
            options.clone(),
            Arc::new(DiskFiles),
        )?;
        let outcome = run(&PLANS[index], &SUITE.data, &engine);
        match outcome {
            Ok((got, _)) => {
                let same = PLANS[index].compare(&SUITE.expected[index], &got);
                assert!(same.is_ok(), "{same:?}");
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Device { .. }),
                    "{error:?}"
                );
            }
        }
    }
    Ok(())
}

fn spilling(files: Arc<FaultyFiles>) -> Result<Engine> {
    let limit = format!("host_memory_limit={}", LARGE.data.bytes() / 5);
    let mut options = EngineOptions::default();
    for option in FEW.iter().copied().chain([limit.as_str()]) {
        options.set_pair(option)?;
    }
    Engine::with_driver(options, None, files)
}

#[test]
fn a_failing_disk_is_an_error_that_names_the_folder() -> Result<()> {
    let faults = [
        FileFault::NoFile,
        FileFault::DiskFull,
        FileFault::ShortWrite,
        FileFault::FlippedBit,
        FileFault::FailedRead,
        FileFault::Slow(Duration::from_millis(20)),
    ];
    let index = plans(&["inner join"])[0];
    for fault in faults {
        let mut failures = 0;
        for at in [0, 1, 5, 20] {
            let files = FaultyFiles::scripted(Arc::new(DiskFiles), [(fault, at)]);
            let files = Arc::new(files);
            let engine = spilling(Arc::clone(&files))?;
            let of_files = |kind: &ErrorKind| {
                use ErrorKind::{Corrupt, Io, Reservation};
                matches!(kind, Io { .. } | Corrupt { .. } | Reservation { .. })
            };
            let plan = &PLANS[index];
            let started = Instant::now();
            let outcome = crate::run::run_streaming(plan, &LARGE.data, &engine);
            match outcome {
                Ok((got, _)) => {
                    let same = plan.compare(&LARGE.expected[index], &got);
                    assert!(same.is_ok(), "{fault:?} at {at}: {same:?}");
                }
                Err(error) => {
                    failures += 1;
                    assert!(of_files(error.kind()), "{fault:?} at {at}: {error:?}");
                    assert!(started.elapsed() < Duration::from_secs(3));
                }
            }
            let (got, _) = crate::run::run_streaming(plan, &LARGE.data, &engine)?;
            let same = plan.compare(&LARGE.expected[index], &got);
            assert!(same.is_ok(), "{fault:?} at {at}, again: {same:?}");
            if at == 0 {
                assert!(files.happened() > 0, "{fault:?} did not happen");
            }
        }
        let must_fail = matches!(
            fault,
            FileFault::ShortWrite | FileFault::FlippedBit | FileFault::FailedRead
        );
        assert!(!must_fail || failures > 0, "{fault:?} was never noticed");
    }
    Ok(())
}

#[test]
fn a_deadline_ends_a_query() -> Result<()> {
    for executor in ["executor=streaming", "executor=tasks"] {
        let options = [
            FEW,
            &[executor, "deadline=20ms", "max_rows_per_partition=1"],
        ]
        .concat();
        let engine = engine(&options)?;
        let facts = |name: &str| -> Result<LazyFrame> {
            Ok(SUITE.data.scan_facts()?.select([col("id").alias(name)]))
        };
        let pairs = facts("a")?.cross_join(facts("b")?);
        let long = pairs.select([(col("a") + col("b")).sum().alias("sum")]);
        let started = Instant::now();
        let error = long.collect(&engine).expect_err("it takes longer");
        let took = started.elapsed();
        assert!(
            matches!(error.kind(), ErrorKind::DeadlinePassed { .. }),
            "{error:?}"
        );
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_idle("after the deadline", &engine);
    }
    Ok(())
}

#[test]
fn a_dropped_result_cancels_its_query() -> Result<()> {
    let engine = engine(FEW)?;
    let facts = || SUITE.data.scan_facts();
    let pairs = facts()?
        .cross_join(facts()?)
        .select([col("id"), col("amount_right")]);
    for wanted in [0, 1, 3] {
        let started = Instant::now();
        let mut stream = pairs.collect_iter(&engine)?;
        for _ in 0..wanted {
            assert!(stream.next().is_some_and(|batch| batch.is_ok()));
        }
        drop(stream);
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_idle("after a drop", &engine);
    }
    SUITE.check_some("after a drop", &engine, run, |plan| plan.name == "groups");
    Ok(())
}
