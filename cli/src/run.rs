//! The `run` command: a serialised query.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use pelton::engine::QueryControl;
use pelton::plan::Query;

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
A plan is what the library's `Query` serialises to.

Examples:
  pelton run plan.json
  pelton run plan.json --explain
  pelton run plan.json --analyze
  pelton run plan.json --trace trace.json             open it with Perfetto
  pelton run plan.json --output totals.parquet
  make-plan | pelton run - --format csv --stats";

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// File with the query as JSON; `-` reads standard input
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,

    /// Print how the query would run, instead of running it
    #[arg(long)]
    explain: bool,

    /// Run the query, and print what went through each of its steps in the place of its rows
    #[arg(long, conflicts_with = "explain")]
    analyze: bool,
}

/// Runs the command.
///
/// # Errors
/// The plan cannot be read or run.
pub fn run(args: &RunArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let query = read_query(&args.plan)?;
    let engine = session::engine(globals, terminal)?;
    if args.explain {
        return output::text(&engine.explain(&query)?);
    }
    if args.analyze {
        let control = QueryControl::new().timed();
        let result = session::watch(&engine, &query, &control, terminal)?;
        session::tell(
            &engine,
            &result.fallbacks,
            &result.metrics,
            globals,
            terminal,
        )?;
        return output::text(&engine.analysis(&query, &result)?);
    }
    let result = session::execute(&engine, &query, globals, terminal)?;
    output::write(&result.schema, &result.batches, globals)
}

fn read_query(path: &Path) -> Result<Query, Failure> {
    let name = if path == Path::new("-") {
        "standard input".to_string()
    } else {
        path.display().to_string()
    };
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|cause| Failure::new(format_args!("cannot read {name}: {cause}")))?;
    serde_json::from_str(&text).map_err(|cause| {
        Failure::new(format_args!(
            "{name} is not a query that this version reads: {cause}"
        ))
    })
}
