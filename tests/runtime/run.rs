//! Engines of every kind, and a plan run on one: what came of it, and that all was given back.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use pelton::device::Driver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::memory::{DiskFiles, Files, Tier};
use pelton::metrics::Snapshot;
use pelton::prelude::*;

use crate::data::Data;
use crate::plans::{PLANS, Plan};
use crate::support::values::{Rows, rows};

/// An engine on the CPU with these options.
pub fn engine(options: &[&str]) -> Result<Engine> {
    let mut all = EngineOptions::default().with("backend", "cpu")?;
    for option in options {
        all.set_pair(option)?;
    }
    Engine::new(all)
}

/// An engine over the emulator, without its checks, and over these spill files.
pub fn emulated(options: &[&str], simt: SimtOptions, files: Arc<dyn Files>) -> Result<Engine> {
    let mut all = EngineOptions::default();
    for option in options {
        all.set_pair(option)?;
    }
    let driver: Arc<dyn Driver> = Arc::new(SimtDriver::new(simt));
    Engine::with_driver(all, Some(driver), files)
}

/// The emulator as fast as it gets.
pub fn quick(seed: u64) -> SimtOptions {
    SimtOptions {
        seed,
        checked: false,
        ..SimtOptions::default()
    }
}

/// An engine over the quick emulator.
pub fn device(options: &[&str]) -> Result<Engine> {
    emulated(options, quick(1), Arc::new(DiskFiles))
}

/// How a plan is run: [`run`] or [`run_streaming`].
pub type Run = fn(&Plan, &Data, &Engine) -> Result<(Rows, Snapshot)>;

/// Runs a plan, and asserts that the engine then holds nothing.
pub fn run(plan: &Plan, data: &Data, engine: &Engine) -> Result<(Rows, Snapshot)> {
    let outcome = (plan.frame)(data)?.collect(engine);
    let outcome = outcome.map(|result| (rows(&result.batches), result.metrics.clone()));
    assert_idle(plan.name, engine);
    outcome
}

/// As [`run`], the rows taken as they come, so that the result need not fit.
pub fn run_streaming(plan: &Plan, data: &Data, engine: &Engine) -> Result<(Rows, Snapshot)> {
    let collect = || {
        let mut stream = (plan.frame)(data)?.collect_iter(engine)?;
        let mut all = Rows::new();
        for batch in &mut stream {
            all.extend(rows(&[batch?]));
        }
        Ok((all, stream.metrics().clone()))
    };
    let outcome = collect();
    assert_idle(plan.name, engine);
    outcome
}

/// Asserts that nothing is reserved any more but what a column cache would give back. A batch that is
/// being moved away just now may be a moment late.
pub fn assert_idle(what: &str, engine: &Engine) {
    let started = Instant::now();
    loop {
        let memory = engine.memory();
        let needed = |tier| memory.used(tier).saturating_sub(memory.reclaimable(tier));
        let used = [Tier::Device, Tier::Host, Tier::Disk].map(needed);
        if used == [0; 3] {
            return;
        }
        let waited = started.elapsed() > Duration::from_secs(2);
        assert!(
            !waited,
            "{what}: device, host and disk still hold {used:?} bytes"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The data of most tests, and the rows of every plan as one thread of the CPU backend has them.
pub struct Suite {
    pub data: Data,
    pub expected: Vec<Rows>,
}

impl Suite {
    fn new(count: usize, rows_per_group: usize) -> Result<Suite> {
        let data = Data::new(count, rows_per_group)?;
        let one = engine(&["executor=tasks", "num_streaming_threads=1"])?;
        let run = |plan: &Plan| {
            let ran = run(plan, &data, &one);
            ran.map_err(|error| error.context(plan.name))
        };
        let expected = PLANS.iter().map(|plan| Ok(run(plan)?.0));
        let expected = expected.collect::<Result<_>>()?;
        Ok(Suite { data, expected })
    }

    /// Runs every plan on an engine, or the one that `PELTON_PLAN` names, and compares.
    pub fn check(&self, what: &str, engine: &Engine) -> Vec<Snapshot> {
        self.check_some(what, engine, run, |_| true)
    }

    /// As [`Suite::check`], for some plans, run by `run`.
    pub fn check_some(
        &self,
        what: &str,
        engine: &Engine,
        run: Run,
        wanted: impl Fn(&Plan) -> bool,
    ) -> Vec<Snapshot> {
        let chosen = std::env::var("PELTON_PLAN").ok();
        let chosen = |plan: &Plan| chosen.as_ref().is_none_or(|chosen| chosen == plan.name);
        let (mut all, mut wrong) = (Vec::new(), Vec::new());
        for (plan, expected) in PLANS.iter().zip(&self.expected) {
            if !wanted(plan) || !chosen(plan) {
                continue;
            }
            match run(plan, &self.data, engine) {
                Ok((got, metrics)) => {
                    if let Err(difference) = plan.compare(expected, &got) {
                        wrong.push(format!("{}: {difference}", plan.name));
                    }
                    all.push(metrics);
                }
                Err(error) => wrong.push(format!("{}: {error}", plan.name)),
            }
        }
        assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
        all
    }
}

/// 4000 facts in row groups of 100.
pub static LARGE: LazyLock<Suite> =
    LazyLock::new(|| Suite::new(4_000, 100).expect("the plans run on one thread"));

/// 600 facts in row groups of 40.
pub static SUITE: LazyLock<Suite> =
    LazyLock::new(|| Suite::new(600, 40).expect("the plans run on one thread"));
