//! What fails: an error that says what and why comes soon, nothing is left behind, and the next query
//! of the same engine is right.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use pelton::device::simt::SimtOptions;
use pelton::engine::QueryControl;
use pelton::memory::{DiskFiles, FaultyFiles, FileFault, Tier};
use pelton::prelude::*;
use pelton::{Error, ErrorKind};

use crate::plans::{PLANS, Plan};
use crate::run::{
    LARGE, Run, SUITE, Suite, assert_idle, emulated, engine, quick, run, run_streaming,
};

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

/// Within which an error must come.
pub const SOON: Duration = Duration::from_secs(1);

/// The names of steps that errors tell.
const STEPS: [&str; 10] = [
    "scan",
    "filter",
    "project",
    "hash_join",
    "nested_loop_join",
    "group_by",
    "sort",
    "window",
    "shuffle_partition",
    "result",
];

/// Whether an error says in which step of which pipeline it happened.
fn is_placed(error: &Error) -> bool {
    let text = error.to_string();
    text.starts_with("pipeline ") && STEPS.iter().any(|step| text.contains(step))
}

/// Runs a plan that may fail: a right result, or an error of these kinds within a second that names
/// its operator.
fn check_once(
    what: &str,
    suite: &Suite,
    index: usize,
    engine: &Engine,
    (run, expected): (Run, fn(&ErrorKind) -> bool),
) -> Option<Error> {
    let (plan, rows): (&Plan, _) = (&PLANS[index], &suite.expected[index]);
    let started = Instant::now();
    let outcome = run(plan, &suite.data, engine);
    let took = started.elapsed();
    match outcome {
        Ok((got, _)) => {
            let same = plan.compare(rows, &got);
            assert!(same.is_ok(), "{what}, {}: {same:?}", plan.name);
            None
        }
        Err(error) => {
            let what = format!("{what}, {}: {error}", plan.name);
            assert!(expected(error.kind()), "{what}");
            assert!(is_placed(&error), "{what}");
            assert!(took < SOON, "{what}: the error took {took:?}");
            Some(error)
        }
    }
}

/// As [`check_once`]; and a right result the next time.
fn check(
    what: &str,
    suite: &Suite,
    index: usize,
    engine: &Engine,
    expected: fn(&ErrorKind) -> bool,
) -> Option<Error> {
    let error = check_once(what, suite, index, engine, (run, expected))?;
    let what = format!("{what}, again");
    let again = check_once(&what, suite, index, engine, (run, |_| false));
    assert!(again.is_none());
    Some(error)
}

fn is_device(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Device { .. })
}

fn is_reservation(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Reservation { .. })
}

/// The first ones one by one, then ever fewer, up to a bound.
fn sweep(most: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0u64), |n| Some(n + 1 + n / 4)).take_while(move |n| *n < most)
}

#[test]
fn a_failed_copy_is_an_error() -> Result<()> {
    for index in plans(&NAMES) {
        let mut failures = 0;
        for at in sweep(100).map(|at| at + 1) {
            let options = SimtOptions {
                fail_copy_at: Some(at),
                ..quick(at)
            };
            let engine = emulated(FEW, options, Arc::new(DiskFiles))?;
            let what = format!("copy {at} fails");
            failures += usize::from(check(&what, &SUITE, index, &engine, is_device).is_some());
        }
        assert!(failures > 3, "{}: {failures} failures", PLANS[index].name);
    }
    Ok(())
}

#[test]
fn a_failed_allocation_is_made_up_for() -> Result<()> {
    for index in plans(&NAMES) {
        for at in sweep(400).map(|at| at + 1) {
            let options = SimtOptions {
                fail_alloc_at: Some(at),
                ..quick(at)
            };
            let engine = emulated(FEW, options, Arc::new(DiskFiles))?;
            // It is tried again once all streams have given back what they freed.
            let what = format!("allocation {at} fails");
            check(&what, &SUITE, index, &engine, |_| false);
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
        let what = "a small device";
        check_once(what, &SUITE, index, &engine, (run, is_device));
    }
    Ok(())
}

/// The `n`-th reservation of a tier is refused, or all from there on: in the first case a right result
/// or an error, in the second an error that says so, and whatever came of it, the next query is right.
fn refuse(
    (suite, tier): (&Suite, Tier),
    engine: &Engine,
    (index, run): (usize, Run),
) -> (usize, usize) {
    let memory = engine.memory();
    let (mut refused, mut failed) = (0, 0);
    for at in sweep(u64::MAX) {
        let mut met = false;
        for numbers in [at..at + 1, at..u64::MAX] {
            let what = format!("{tier} reservations {numbers:?} are refused");
            memory.refuse(tier, numbers.clone());
            let error = check_once(&what, suite, index, engine, (run, is_reservation));
            met |= memory.asked(tier) > at;
            memory.refuse(tier, 0..0);
            if error.is_some() {
                failed += 1;
                check_once(&what, suite, index, engine, (run, |_| false));
            }
        }
        if !met {
            break;
        }
        refused += 1;
    }
    (refused, failed)
}

#[test]
fn every_reservation_of_the_device_is_refused_in_turn() -> Result<()> {
    let raise = ["fallback_mode=raise"];
    for index in plans(&NAMES) {
        let engine = emulated(&[FEW, &raise].concat(), quick(2), Arc::new(DiskFiles))?;
        let counts = refuse((&SUITE, Tier::Device), &engine, (index, run));
        assert!(counts.0 > 10 && counts.1 > 0, "{counts:?}");
    }
    Ok(())
}

#[test]
fn every_reservation_of_the_host_is_refused_in_turn() -> Result<()> {
    for index in plans(&NAMES) {
        let counts = refuse((&SUITE, Tier::Host), &engine(FEW)?, (index, run));
        assert!(counts.0 > 1 && counts.1 > 0, "{counts:?}");
    }
    Ok(())
}

#[test]
fn every_reservation_of_the_disk_is_refused_in_turn() -> Result<()> {
    let engine = spilling(Arc::new(FaultyFiles::scripted(Arc::new(DiskFiles), [])))?;
    let index = plans(&["inner join"])[0];
    let counts = refuse((&LARGE, Tier::Disk), &engine, (index, run_streaming));
    assert!(counts.0 > 5 && counts.1 > 0, "{counts:?}");
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

/// Every call of the disk fails in turn in one way, once or from there on.
fn fail_disk(fault: FileFault, lasts: bool) -> Result<()> {
    let index = plans(&["inner join"])[0];
    let (plan, rows) = (&PLANS[index], &LARGE.expected[index]);
    let folder = std::env::temp_dir().display().to_string();
    let mut failures = 0;
    for at in sweep(u64::MAX) {
        let last = if lasts { at + 10_000 } else { at };
        let faults = (at..=last).map(|at| (fault, at));
        let files = Arc::new(FaultyFiles::scripted(Arc::new(DiskFiles), faults));
        let engine = spilling(Arc::clone(&files))?;
        let what = format!("{fault:?} at {at}, lasting {lasts}");
        match run_streaming(plan, &LARGE.data, &engine) {
            Ok((got, _)) => {
                let same = plan.compare(rows, &got);
                assert!(same.is_ok(), "{what}: {same:?}");
            }
            Err(error) => {
                use ErrorKind::{Corrupt, Io, Reservation};
                failures += 1;
                let text = format!("{what}: {error}");
                let kind = error.kind();
                let typed = matches!(kind, Io { .. } | Corrupt { .. } | Reservation { .. });
                assert!(typed && is_placed(&error), "{text}");
                // A reservation may find the disk well again, and nothing left to spill.
                let short = !lasts && is_reservation(kind);
                assert!(short || text.contains(&folder), "{text}");
                let took = files.last().map(|struck| struck.elapsed());
                assert!(took.is_some_and(|took| took < SOON), "{text}: {took:?}");
            }
        }
        if files.happened() == 0 {
            assert!(at > 0, "{what} did not happen");
            break;
        }
        if !lasts {
            let (got, _) = run_streaming(plan, &LARGE.data, &engine)?;
            let same = plan.compare(rows, &got);
            assert!(same.is_ok(), "{what}, again: {same:?}");
        }
    }
    use FileFault::{DiskFull, FailedRead, FlippedBit, NoFile, ShortWrite};
    let must_fail = match fault {
        ShortWrite | FlippedBit | FailedRead => true,
        DiskFull | NoFile => lasts,
        FileFault::Slow(_) => false,
    };
    assert!(!must_fail || failures > 0, "{fault:?} was never noticed");
    Ok(())
}

#[test]
fn every_write_and_read_of_the_disk_fails_in_turn() -> Result<()> {
    use FileFault::{DiskFull, FailedRead, FlippedBit, NoFile, ShortWrite};
    for fault in [NoFile, DiskFull, ShortWrite, FlippedBit, FailedRead] {
        fail_disk(fault, false)?;
    }
    Ok(())
}

#[test]
fn a_disk_that_stays_full_or_away_is_an_error_that_names_the_folder() -> Result<()> {
    for fault in [FileFault::NoFile, FileFault::DiskFull] {
        fail_disk(fault, true)?;
    }
    Ok(())
}

#[test]
fn a_slow_disk_changes_no_result() -> Result<()> {
    let slow = FileFault::Slow(Duration::from_millis(20));
    let files = FaultyFiles::scripted(Arc::new(DiskFiles), (0..20).map(|at| (slow, at)));
    let files = Arc::new(files);
    let engine = spilling(Arc::clone(&files))?;
    let index = plans(&["inner join"])[0];
    check_once("slow", &LARGE, index, &engine, (run_streaming, |_| false));
    assert!(files.happened() > 0);
    Ok(())
}

#[test]
fn a_deadline_ends_a_query() -> Result<()> {
    for executor in ["executor=streaming", "executor=tasks"] {
        let options = [
            FEW,
            &[executor, "deadline=50ms", "max_rows_per_partition=1"],
        ]
        .concat();
        let engine = engine(&options)?;
        let facts = |name: &str| -> Result<LazyFrame> {
            Ok(SUITE.data.scan_facts()?.select([col("id").alias(name)]))
        };
        let triples = facts("a")?.cross_join(facts("b")?).cross_join(facts("c")?);
        let long = triples.select([(col("a") + col("b")).sum().alias("sum")]);
        let started = Instant::now();
        let error = long.collect(&engine).expect_err("it takes longer");
        let took = started.elapsed();
        assert!(
            matches!(error.kind(), ErrorKind::DeadlinePassed { .. }),
            "{error:?}"
        );
        assert!(took < SOON, "{took:?}");
        let text = error.to_string();
        assert!(text.contains("nested_loop_join"), "{text}");
        assert_idle("after the deadline", &engine);
    }
    Ok(())
}

#[test]
fn one_long_call_of_an_operator_ends_with_its_query() -> Result<()> {
    // One batch joins to one batch: one call asks for each of 400 million pairs, and finds none.
    let numbers = |name: &str| -> Result<LazyFrame> {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
        let batch = RecordBatch::try_from_iter([(name, numbers)]);
        from_batches(vec![batch.map_err(crate::data::failed)?])
    };
    let long = |engine: &Engine, control: &QueryControl| {
        let condition = (col("id") * col("other")).eq(lit(-1));
        let joined = numbers("id")?.join_where(numbers("other")?, condition);
        engine.execute_with(joined.query(), control)
    };
    let engine = engine(&["num_streaming_threads=2"])?;
    let started = Instant::now();
    let deadline = QueryControl::new().deadline(Duration::from_millis(100));
    let error = long(&engine, &deadline).expect_err("it takes longer");
    let took = started.elapsed();
    assert!(
        matches!(error.kind(), ErrorKind::DeadlinePassed { .. }),
        "{error}"
    );
    assert!(took < SOON, "the deadline took {took:?}");
    let control = QueryControl::new();
    let canceller = control.clone();
    let cancelling = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        canceller.cancel("interrupted");
        Instant::now()
    });
    let error = long(&engine, &control).expect_err("it is cancelled");
    let took = cancelling.join().map(|asked| asked.elapsed());
    let text = error.to_string();
    assert!(text.ends_with("cancelled: interrupted"), "{text}");
    assert!(text.contains("nested_loop_join"), "{text}");
    assert!(took.is_ok_and(|took| took < SOON), "the cancel took longer");
    assert_idle("after a cancel", &engine);
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
        assert!(started.elapsed() < SOON);
        assert_idle("after a drop", &engine);
    }
    SUITE.check_some("after a drop", &engine, run, |plan| plan.name == "groups");
    Ok(())
}
