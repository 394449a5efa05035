//! No thread outlives its work: in a process of its own, where every thread is of the one engine.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use pelton::device::simt::SimtOptions;
use pelton::engine::QueryControl;
use pelton::memory::{DiskFiles, FaultyFiles, FileFault, Files};
use pelton::prelude::*;

use crate::plans::{PLANS, Plan};
use crate::run::{LARGE, SUITE, emulated, quick, run, run_streaming};

const CHILD: &str = "PELTON_TEST_THREADS";

/// The names of the library's threads that live, as the system has them.
fn alive() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("this system tells its threads");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let names = tasks.flatten().filter_map(name);
    let mut ours: Vec<String> = names
        .map(|name| name.trim().to_string())
        .filter(|name| name.starts_with("pelton-"))
        .collect();
    ours.sort();
    ours
}

/// Waits a second at most until no thread but these lives.
fn only(what: &str, expected: impl Fn(&str) -> bool) {
    let started = Instant::now();
    while alive().iter().any(|name| !expected(name)) {
        let waited = started.elapsed() > Duration::from_secs(1);
        assert!(!waited, "{what}: {:?} live", alive());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Those that serve the next query.
fn waits_for_work(name: &str) -> bool {
    let stays = [
        "pelton-actor-",
        "pelton-query",
        "pelton-spill",
        "pelton-clock",
    ];
    stays.iter().any(|stays| name.starts_with(stays))
}

fn plan(name: &str) -> &'static Plan {
    let plan = PLANS.iter().find(|plan| plan.name == name);
    plan.expect("a plan of this name")
}

/// What can become of a query, each time with an engine of its own.
fn every_end() -> Result<()> {
    let options = |limit: u64| {
        [
            format!("host_memory_limit={limit}"),
            "num_streaming_threads=3".to_string(),
            "target_partition_size=1".to_string(),
            "max_rows_per_partition=100".to_string(),
            "memory_reserve_timeout=5ms".to_string(),
        ]
    };
    let engine = |limit: u64, simt: SimtOptions, files: Arc<dyn Files>| {
        let options = options(limit);
        let names: Vec<&str> = options.iter().map(String::as_str).collect();
        emulated(&names, simt, files)
    };
    let disk = || Arc::new(DiskFiles) as Arc<dyn Files>;
    let plenty = 1 << 30;

    let whole = engine(LARGE.data.bytes() / 3, quick(1), disk())?;
    run_streaming(plan("inner join"), &LARGE.data, &whole)?;
    only("after a success", waits_for_work);
    let mut begun = (plan("scan").frame)(&LARGE.data)?.collect_iter(&whole)?;
    assert!(begun.next().is_some());
    drop(begun);
    only("after a drop", waits_for_work);
    let control = QueryControl::new().deadline(Duration::from_millis(1));
    let frame = (plan("everything").frame)(&LARGE.data)?;
    assert!(whole.execute_with(frame.query(), &control).is_err());
    only("after a deadline", waits_for_work);
    let control = QueryControl::new();
    control.cancel("interrupted");
    assert!(whole.execute_with(frame.query(), &control).is_err());
    only("after a cancel", waits_for_work);
    drop(whole);
    only("after the engine", |_| false);

    let copies = SimtOptions {
        fail_copy_at: Some(20),
        ..quick(1)
    };
    let copies = engine(plenty, copies, disk())?;
    assert!(run(plan("everything"), &SUITE.data, &copies).is_err());
    only("after a failed copy", waits_for_work);
    drop(copies);
    only("after the engine of a failed copy", |_| false);

    let full = FaultyFiles::scripted(disk(), (0..10_000).map(|at| (FileFault::DiskFull, at)));
    let mut all = EngineOptions::default();
    for option in options(LARGE.data.bytes() / 5) {
        all.set_pair(&option)?;
    }
    let full = Engine::with_driver(all, None, Arc::new(full))?;
    assert!(run_streaming(plan("inner join"), &LARGE.data, &full).is_err());
    only("after a full disk", waits_for_work);
    drop(full);
    only("after the engine of a full disk", |_| false);
    Ok(())
}

/// The child of the test below; as a test of its own it does nothing.
#[test]
fn child_whose_threads_are_counted() -> Result<()> {
    if env::var_os(CHILD).is_none() {
        return Ok(());
    }
    every_end()
}

#[test]
fn no_thread_outlives_its_query_or_its_engine() {
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "threads::child_whose_threads_are_counted"])
        .env(CHILD, "1")
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}
