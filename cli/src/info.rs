//! The `info` command: what this program can run on this machine.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::Args;
use pelton::engine::Engine;

use crate::args::Globals;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
The exit code is 3 if a GPU is asked for and none is usable.

Examples:
  pelton info
  pelton info --backend cuda || echo no GPU here
  pelton info --format json";

/// Flags of `info`: none of its own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InfoArgs {}

/// A name and a value.
type Fact = (&'static str, String);

/// Runs the command.
///
/// # Errors
/// The backend that was asked for cannot be had.
pub fn run(globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let mut facts: Vec<Fact> = vec![("version", env!("CARGO_PKG_VERSION").to_string())];
    let refusal = match session::engine(globals, terminal) {
        Ok(engine) => {
            facts.extend(device_report(&engine));
            facts.extend(limits(&engine));
            None
        }
        Err(
            failure @ Failure::Told {
                exit: Exit::NoDevice,
                ..
            },
        ) => {
            facts.push(("backend", "none".to_string()));
            Some(failure)
        }
        Err(failure) => return Err(failure),
    };
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        facts.iter().map(|fact| fact.0),
    ));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(
        facts.iter().map(|fact| fact.1.as_str()),
    ));
    let batch =
        RecordBatch::try_from_iter([("fact", names), ("value", values)]).map_err(Failure::new)?;
    output::write(&batch.schema(), &[batch], globals)?;
    refusal.map_or(Ok(()), Err)
}

/// The backend, why it was chosen, and the device.
fn device_report(engine: &Engine) -> Vec<Fact> {
    let choice = engine.backend_choice();
    let device = choice.device.clone().unwrap_or_else(|| "none".to_string());
    let mut facts = vec![
        ("backend", choice.name.to_string()),
        ("backend_reason", choice.reason.clone()),
        ("device", device),
    ];
    facts.extend(choice.facts.iter().cloned());
    facts
}

/// What the engine was told about memory and threads.
fn limits(engine: &Engine) -> Vec<Fact> {
    engine
        .options()
        .list()
        .into_iter()
        .filter(|setting| {
            setting.spec.name.ends_with("_memory_limit") || setting.spec.name.starts_with("num_")
        })
        .map(|setting| (setting.spec.name, setting.value))
        .collect()
}
