//! The `explain` command: how the queries of a text would run; and `EXPLAIN`, which is the same.

use clap::Args;
use pelton::engine::{Engine, LazyFrame, QueryControl};
use pelton_sql::SqlStatement;

use super::Input;
use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
The same as EXPLAIN before each query, or with --analyze as EXPLAIN ANALYZE. Of COPY it explains the
query, and writes nothing.

Examples:
  pelton explain --dir data 'SELECT count(*) FROM lineitem WHERE l_quantity > 49'
  pelton explain --dir data -f report.sql
  pelton explain --dir data --analyze 'SELECT max(o_totalprice) FROM orders'";

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    #[command(flatten)]
    input: Input,

    /// Run the queries, and print what went through each of their steps
    #[arg(long)]
    analyze: bool,
}

/// Runs the command.
///
/// # Errors
/// A table cannot be read, the text is no SQL over the tables, or a query fails.
pub fn run(args: &ExplainArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let Some(text) = args.input.text()? else {
        return Err(Failure::usage("give a query, or a file with one"));
    };
    let catalog = args.input.catalog()?;
    let engine = session::engine(globals, terminal)?;
    for statement in catalog.statements(&text)? {
        let frame = match statement? {
            SqlStatement::Query(frame)
            | SqlStatement::Explain(frame)
            | SqlStatement::Analyze(frame) => frame,
            SqlStatement::Copy(copy) => copy.rows,
        };
        match args.analyze {
            true => analysis(&engine, &frame, globals, terminal)?,
            false => plan(&engine, &frame)?,
        }
    }
    Ok(())
}

/// Prints how a query would run.
pub(super) fn plan(engine: &Engine, frame: &LazyFrame) -> Result<(), Failure> {
    output::text(&engine.explain(frame.query())?)
}

/// Runs a query, and prints what went through each of its steps.
pub(super) fn analysis(
    engine: &Engine,
    frame: &LazyFrame,
    globals: &Globals,
    terminal: Terminal,
) -> Result<(), Failure> {
    let control = QueryControl::new().timed();
    let result = session::watch(engine, frame.query(), &control, terminal)?;
    session::tell(
        engine,
        &result.fallbacks,
        &result.metrics,
        globals,
        terminal,
    )?;
    output::text(&engine.analysis(frame.query(), &result)?)
}
