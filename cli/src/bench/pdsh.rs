//! `bench pdsh`: the 22 queries of PDS-H, which are derived from TPC-H's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use pelton::engine::{Engine, LazyFrame, QueryControl, QueryResult};
use pelton::metrics::names;
use pelton_sql::Catalog;
use serde::Serialize;

use super::answers;
use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session, sql};

const EXAMPLES: &str = "\
Derived from TPC-H; not comparable with TPC-H results. DIR holds the eight tables, as `pelton gen tpch`
writes them. For each query: planning and the first and the best run in milliseconds, megabytes read,
gigabytes per second of the best run, most device memory, and megabytes spilled.

Examples:
  pelton gen tpch --scale 10 --out data && pelton bench pdsh --dir data
  pelton bench pdsh --dir data --queries 1,6,9-12 --repeat 5 --json run.json
  pelton bench pdsh --dir data --verify answers       answers/q01.csv and on, columns separated by |";

macro_rules! queries {
    ($($number:literal),*) => {
        [$(include_str!(concat!("../../queries/pdsh/q", $number, ".sql"))),*]
    };
}

/// The text of each query.
const QUERIES: [&str; 22] = queries!(
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22"
);

/// Flags of `bench pdsh`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PdshArgs {
    /// Folder with the eight tables
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Which queries
    #[arg(long, value_name = "1,6,9-12", default_value = "1-22")]
    queries: String,

    /// Runs of each query
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: u32,

    /// Compare the rows with the files q01.csv and on of a folder
    #[arg(long, value_name = "DIR")]
    verify: Option<PathBuf>,

    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a query took.
#[derive(Debug, Serialize)]
struct Figures {
    query: usize,
    plan_ms: f64,
    first_ms: f64,
    best_ms: f64,
    bytes_read: u64,
    peak_device_bytes: u64,
    spilled_bytes: u64,
    rows: usize,
    /// What differs from the answer; none if nothing does, or nobody looked.
    difference: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The tables or answers cannot be read, a query fails, or one has another answer.
pub fn run(args: &PdshArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let chosen = chosen(&args.queries)?;
    let catalog = sql::catalog(Some(&args.dir), &[])?;
    let engine = session::engine(globals, terminal)?;
    output::text(&format!(
        "{:<5} {:>8} {:>10} {:>10} {:>9} {:>7} {:>9} {:>10} {:>8} {}\n",
        "query",
        "plan ms",
        "first ms",
        "best ms",
        "MB read",
        "GB/s",
        "peak MB",
        "spilled MB",
        "rows",
        if args.verify.is_some() { "answer" } else { "" }
    ))?;
    let mut all = Vec::new();
    for number in chosen {
        let figures = measure((&engine, terminal), &catalog, number, args)?;
        output::text(&line(&figures, args.verify.is_some()))?;
        all.push(figures);
    }
    let best = all.iter().map(|figures| figures.best_ms);
    let logs: f64 = best.clone().map(f64::ln).sum();
    let mean = (logs / all.len() as f64).exp();
    let total: f64 = best.sum();
    output::text(&format!(
        "total {total:.1} ms, geometric mean {mean:.1} ms\n"
    ))?;
    if let Some(file) = &args.json {
        output::json_file(file, &all)?;
    }
    let wrong: Vec<String> = all
        .iter()
        .filter(|figures| figures.difference.is_some())
        .map(|figures| figures.query.to_string())
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "other rows than the answers have: queries {}",
        wrong.join(", ")
    )))
}

fn measure(
    (engine, terminal): (&Engine, Terminal),
    catalog: &Catalog,
    number: usize,
    args: &PdshArgs,
) -> Result<Figures, Failure> {
    let text = QUERIES.get(number - 1).copied().unwrap_or_default();
    let context = |failure: Failure| failure.within(format_args!("query {number}"));
    let started = Instant::now();
    let frame = catalog.sql(text).map_err(|error| context(error.into()))?;
    let planned = started.elapsed();
    let one = || timed(engine, &frame, terminal).map_err(context);
    let (first, mut result) = one()?;
    let mut best = first;
    for _ in 1..args.repeat.max(1) {
        let (took, again) = one()?;
        best = best.min(took);
        result = again;
    }
    let difference = match &args.verify {
        Some(folder) => {
            answers::difference(&folder.join(format!("q{number:02}.csv")), &result.batches)?
        }
        None => None,
    };
    let tiers = &result.metrics.tiers;
    let device = tiers.iter().find(|tier| tier.tier == "device");
    Ok(Figures {
        query: number,
        plan_ms: millis(planned),
        first_ms: millis(first),
        best_ms: millis(best),
        bytes_read: result.metrics.get(names::SCAN_BYTES),
        peak_device_bytes: device.map_or(0, |tier| tier.peak),
        spilled_bytes: tiers.iter().map(|tier| tier.spilled).sum(),
        rows: result.rows(),
        difference,
    })
}

fn timed(
    engine: &Engine,
    frame: &LazyFrame,
    terminal: Terminal,
) -> Result<(Duration, QueryResult), Failure> {
    let started = Instant::now();
    let result = session::watch(engine, frame.query(), &QueryControl::new(), terminal)?;
    let took = started.elapsed();
    for fallback in &result.fallbacks {
        terminal.note(&format!("note: on the CPU: {fallback}"));
    }
    Ok((took, result))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn line(figures: &Figures, verified: bool) -> String {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    let answer = match (&figures.difference, verified) {
        (Some(difference), _) => difference.as_str(),
        (None, true) => "equal",
        (None, false) => "",
    };
    format!(
        "{:<5} {:>8.2} {:>10.2} {:>10.2} {:>9.1} {:>7.2} {:>9.1} {:>10.1} {:>8} {answer}\n",
        figures.query,
        figures.plan_ms,
        figures.first_ms,
        figures.best_ms,
        mega(figures.bytes_read),
        mega(figures.bytes_read) / figures.best_ms,
        mega(figures.peak_device_bytes),
        mega(figures.spilled_bytes),
        figures.rows,
    )
}

/// The numbers of a list like `1,6,9-12`.
fn chosen(text: &str) -> Result<Vec<usize>, Failure> {
    let invalid = |part: &str| {
        Failure::usage(format!(
            "`{part}` is no query: they are 1 to {}, as in 1,6,9-12",
            QUERIES.len()
        ))
    };
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number = text.trim().parse::<usize>().ok();
            number.filter(|number| (1..=QUERIES.len()).contains(number))
        };
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(invalid(part));
        };
        numbers.extend(first..=last);
    }
    Ok(numbers)
}
