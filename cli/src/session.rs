//! From the command line to an engine, and from the engine's errors to failures.

use pelton::ErrorKind;
use pelton::engine::{Engine, QueryResult};
use pelton::options::EngineOptions;
use pelton::plan::Query;

use crate::args::{Backend, Globals};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

impl From<pelton::Error> for Failure {
    fn from(error: pelton::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::DeviceNotFound { .. } | ErrorKind::KernelsNotBuilt { .. } => Exit::NoDevice,
            _ => Exit::Failed,
        };
        Failure::Told {
            exit,
            message: error.to_string(),
        }
    }
}

/// The options: flags before the environment before defaults.
///
/// # Errors
/// An option that does not exist, or a value that cannot be read: a failure of usage.
pub fn options(globals: &Globals) -> Result<EngineOptions, Failure> {
    let mut options = EngineOptions::from_env().map_err(Failure::usage)?;
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
    let result = engine.execute(query)?;
    for fallback in &result.fallbacks {
        terminal.note(&format!("note: on the CPU: {fallback}"));
    }
    if globals.stats || engine.options().statistics() {
        for (name, value) in &result.metrics.counters {
            terminal.always(&format!("{name} {value}"));
        }
    }
    Ok(result)
}
