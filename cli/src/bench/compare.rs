//! `bench compare`: two runs of a suite beside each other.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use clap::Args;

use super::figures::{Run, geometric_mean};
use crate::args::Globals;
use crate::failure::Failure;
use crate::output;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
A.json and B.json are what --json of `pelton bench pdsh` or `pelton bench ssb` wrote. For each query the
best run of either in milliseconds, and how many times as fast B is; then the totals and the geometric
mean of the ratios, both over the queries that the two have in common. Others are named.

Examples:
  pelton bench compare before.json after.json
  pelton bench compare cpu.json cuda.json --format csv";

/// Flags of `bench compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// Figures of a run
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// Figures of another one
    #[arg(value_name = "B.json")]
    b: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, or the two have no query in common.
pub fn run(args: &CompareArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let (a, b) = (Run::read(&args.a)?, Run::read(&args.b)?);
    let common = (a.best.iter())
        .filter_map(|(query, a)| Some((*query, *a, *b.best.get(query)?)))
        .collect::<Vec<_>>();
    let ratios = common.iter().map(|&(_, a, b)| a / b);
    let Some(mean) = geometric_mean(ratios) else {
        let (a, b) = (a.path.display(), b.path.display());
        return Err(Failure::new(format_args!(
            "{a} and {b} have no query in common"
        )));
    };
    let (total_a, total_b) = (common.iter()).fold((0.0, 0.0), |(all_a, all_b), (_, a, b)| {
        (all_a + a, all_b + b)
    });
    let mut queries: Vec<String> = common.iter().map(|(query, ..)| query.to_string()).collect();
    queries.extend(["total".to_string(), "geometric mean".to_string()]);
    let queries: ArrayRef = Arc::new(StringArray::from(queries));
    let column = |of: fn(f64, f64) -> f64, last: Option<f64>| -> ArrayRef {
        let cells = common.iter().map(|&(_, a, b)| (a, b));
        let cells = cells
            .chain([(total_a, total_b)])
            .map(|(a, b)| Some(of(a, b)));
        let rounded = |cell: f64| (cell * 1000.0).round() / 1000.0;
        let cells = cells.chain([last]).map(|cell| cell.map(rounded));
        Arc::new(cells.collect::<Float64Array>())
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("query", queries, false),
        ("a_ms", column(|a, _| a, None), true),
        ("b_ms", column(|_, b| b, None), true),
        ("a_per_b", column(|a, b| a / b, Some(mean)), true),
    ]);
    let batch = batch.map_err(Failure::new)?;
    output::write(&batch.schema(), std::slice::from_ref(&batch), globals)?;
    for (one, other) in [(&a, &b), (&b, &a)] {
        let only = one
            .best
            .keys()
            .filter(|query| !other.best.contains_key(query));
        let only: Vec<String> = only.map(ToString::to_string).collect();
        if !only.is_empty() {
            let path = one.path.display();
            terminal.note(&format!("only in {path}: queries {}", only.join(", ")));
        }
    }
    Ok(())
}
