//! From the command line to an engine, and from the engine's errors to failures.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pelton::ErrorKind;
#[cfg(feature = "sql")]
use pelton::engine::LazyFrame;
use pelton::engine::{Engine, QueryControl, QueryResult};
use pelton::metrics::Snapshot;
use pelton::options::EngineOptions;
use pelton::plan::Query;

use crate::args::{Backend, Globals};
use crate::failure::{Exit, Failure};
use crate::interrupt::{self, Interruptible};
#[cfg(feature = "sql")]
use crate::output::Target;
use crate::terminal::{self, Terminal};
use crate::{output, statistics};

/// Between two looks at how far a query is.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

impl From<pelton::Error> for Failure {
    fn from(error: pelton::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::DeviceNotFound { .. } | ErrorKind::KernelsNotBuilt { .. } => Exit::NoDevice,
            ErrorKind::Cancelled { .. } if interrupt::requested() => Exit::Interrupted,
            _ => Exit::Failed,
        };
        Failure::Told {
            exit,
            message: error.to_string(),
            excerpt: error.excerpt().map(str::to_string),
        }
    }
}

/// The options: flags before the environment before a file before defaults.
///
/// # Errors
/// An option that does not exist, or a value that cannot be read: a failure of usage. A file that
/// cannot be read.
pub fn options(globals: &Globals) -> Result<EngineOptions, Failure> {
    let options = match &globals.config {
        Some(file) => EngineOptions::from_env_and_file(file),
        None => EngineOptions::from_env(),
    };
    let mut options = options.map_err(|error| match error.kind() {
        ErrorKind::Io { .. } => Failure::from(error),
        _ => Failure::usage(error),
    })?;
    for pair in &globals.options {
        options.set_pair(pair).map_err(Failure::usage)?;
    }
    if let Some(backend) = globals.backend {
        let name = match backend {
            Backend::Auto => "auto",
            Backend::Cpu => "cpu",
            Backend::Cuda => "cuda",
            Backend::Simt => "simt",
        };
        options.set("backend", name).map_err(Failure::usage)?;
    }
    if let Some(file) = &globals.trace {
        let file = file.to_str().ok_or_else(|| {
            Failure::usage("the name of the trace's file is not Unicode: choose another one")
        })?;
        options.set("trace", file).map_err(Failure::usage)?;
    }
    Ok(options)
}

/// The engine that the command line asks for.
///
/// # Errors
/// As [`options`], and a backend that cannot be had.
pub fn engine(globals: &Globals, terminal: Terminal) -> Result<Engine, Failure> {
    engine_of(options(globals)?, terminal)
}

/// The engine with these options.
///
/// # Errors
/// A backend that cannot be had.
pub fn engine_of(options: EngineOptions, terminal: Terminal) -> Result<Engine, Failure> {
    terminal.listen(options.log());
    let engine = Engine::new(options)?;
    let choice = engine.backend_choice();
    terminal.detail(&format!("backend {}: {}", choice.name, choice.reason));
    Ok(engine)
}

/// Runs a query; tells what fell back to the CPU, and the counters if they were asked for.
///
/// # Errors
/// The query's.
pub fn execute(
    engine: &Engine,
    query: &Query,
    globals: &Globals,
    terminal: Terminal,
) -> Result<QueryResult, Failure> {
    let result = watch(engine, query, &QueryControl::new(), terminal)?;
    tell(
        engine,
        &result.fallbacks,
        &result.metrics,
        globals,
        terminal,
    )?;
    Ok(result)
}

/// Runs a query under the eyes of who waits: with a progress bar, and so that Ctrl-C ends it.
///
/// # Errors
/// The query's.
pub fn watch(
    engine: &Engine,
    query: &Query,
    control: &QueryControl,
    terminal: Terminal,
) -> Result<QueryResult, Failure> {
    watched(control, terminal, || {
        Ok(engine.execute_with(query, control)?)
    })
}

/// Runs a query and writes its rows to a file as they come, whole or not at all; tells how many they
/// were, and what [`tell`] does.
///
/// # Errors
/// The query's, and those of the file.
#[cfg(feature = "sql")]
pub fn write(
    engine: &Engine,
    frame: &LazyFrame,
    target: Target<'_>,
    globals: &Globals,
    terminal: Terminal,
) -> Result<(), Failure> {
    let control = QueryControl::new();
    let path = target.path.display();
    let (rows, result) = watched(&control, terminal, || {
        let mut result = frame.collect_iter_in_order(engine, &control)?;
        let schema = result.schema().clone();
        let mut batches = (&mut result).map(|batch| Ok(batch?));
        let rows = output::file(target, &schema, &mut batches)?;
        Ok((rows, result))
    })?;
    let rows = terminal::grouped(rows);
    terminal.note(&format!("{rows} rows written to {path}"));
    tell(
        engine,
        result.fallbacks(),
        result.metrics(),
        globals,
        terminal,
    )
}

/// Does work whose query has this control, with a progress bar, and so that Ctrl-C ends it.
///
/// # Errors
/// The work's.
pub fn watched<T>(
    control: &QueryControl,
    terminal: Terminal,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let _interruptible = Interruptible::new(control);
    let bar = terminal.progress(0, "querying");
    if bar.is_hidden() {
        return work();
    }
    let outcome = thread::scope(|scope| {
        let (running, ended) = mpsc::channel::<()>();
        let bar = &bar;
        scope.spawn(move || {
            while ended.recv_timeout(PROGRESS_PAUSE) == Err(RecvTimeoutError::Timeout) {
                let progress = control.progress();
                bar.set_length(progress.rows_total);
                bar.set_position(progress.rows);
                bar.set_message(format!("querying, {}", terminal::bytes(progress.bytes)));
            }
        });
        let outcome = work();
        drop(running);
        outcome
    });
    bar.finish_and_clear();
    outcome
}

/// Tells what fell back to the CPU, and the counters if they were asked for.
///
/// # Errors
/// The file of the counters cannot be written.
pub fn tell(
    engine: &Engine,
    fallbacks: &[String],
    metrics: &Snapshot,
    globals: &Globals,
    terminal: Terminal,
) -> Result<(), Failure> {
    for fallback in fallbacks {
        terminal.note(&format!("note: on the CPU: {fallback}"));
    }
    if globals.stats || engine.options().statistics() {
        terminal.always(&statistics::text(metrics));
    }
    match &globals.stats_json {
        Some(file) => output::json_file(file, metrics),
        None => Ok(()),
    }
}
