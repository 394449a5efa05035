//! Suites of queries: `bench pdsh`, 22 that are derived from TPC-H's, and `bench ssb`, 13 over a star.
//!
//! What is measured is the same for all; a suite is its texts, by their numbers.

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

/// Queries by their numbers.
#[derive(Debug)]
pub struct Suite {
    queries: &'static [(usize, &'static str)],
}

pub(super) const PDSH_EXAMPLES: &str = "\
Derived from TPC-H; not comparable with TPC-H results. DIR holds the eight tables, as `pelton gen tpch`
writes them. For each query: planning and the first and the best run in milliseconds, megabytes read,
gigabytes per second of the best run, most device memory, and megabytes spilled.

Examples:
  pelton gen tpch --scale 10 --out data && pelton bench pdsh --dir data
  pelton bench pdsh --dir data --queries 1,6,9-12 --repeat 5 --json run.json
  pelton bench compare before.json run.json
  pelton bench pdsh --dir data --verify answers       answers/q01.csv and on, columns separated by |";

pub(super) const SSB_EXAMPLES: &str = "\
The Star Schema Benchmark: queries 11, 12, 13 are Q1.1, Q1.2 and Q1.3, and so on to 43. DIR holds the five
tables, as `pelton gen ssb` derives them from TPC-H's: the results are comparable with each other, and
not with those over other data. For each query the same figures as of `pelton bench pdsh`.

Examples:
  pelton gen tpch --scale 10 --out data && pelton gen ssb --from data --out ssb
  pelton bench ssb --dir ssb
  pelton bench ssb --dir ssb --queries 11-13,41 --repeat 5 --json run.json";

macro_rules! queries {
    ($folder:literal: $($number:literal $name:literal),*) => {
        Suite {
            queries: &[$((
                $number,
                include_str!(concat!("../../queries/", $folder, "/q", $name, ".sql")),
            )),*],
        }
    };
}

/// The queries of PDS-H.
#[rustfmt::skip]
pub(super) const PDSH: Suite = queries!(
    "pdsh": 1 "01", 2 "02", 3 "03", 4 "04", 5 "05", 6 "06", 7 "07", 8 "08", 9 "09", 10 "10", 11 "11",
    12 "12", 13 "13", 14 "14", 15 "15", 16 "16", 17 "17", 18 "18", 19 "19", 20 "20", 21 "21", 22 "22"
);

/// The queries of the Star Schema Benchmark.
#[rustfmt::skip]
pub(super) const SSB: Suite = queries!(
    "ssb": 11 "11", 12 "12", 13 "13", 21 "21", 22 "22", 23 "23", 31 "31", 32 "32", 33 "33", 34 "34",
    41 "41", 42 "42", 43 "43"
);

/// Flags of a suite.
#[derive(Debug, Args)]
pub struct SuiteArgs {
    /// Folder with the tables
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Which queries [default: all]
    #[arg(long, value_name = "1,6,9-12")]
    queries: Option<String>,

    /// Runs of each query
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: u32,

    /// Compare the rows with those in files of a folder, qNN.csv for query NN
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
pub fn run(
    suite: &Suite,
    args: &SuiteArgs,
    globals: &Globals,
    terminal: Terminal,
) -> Result<(), Failure> {
    let chosen = suite.chosen(args.queries.as_deref())?;
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
    for query in chosen {
        let figures = measure((&engine, terminal), &catalog, query, args)?;
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
    (number, text): (usize, &str),
    args: &SuiteArgs,
) -> Result<Figures, Failure> {
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

impl Suite {
    /// The queries of a list like `1,6,9-12`; all without one.
    fn chosen(&self, list: Option<&str>) -> Result<Vec<(usize, &'static str)>, Failure> {
        let Some(list) = list else {
            return Ok(self.queries.to_vec());
        };
        let known = self.queries.iter().map(|(number, _)| number.to_string());
        let known = known.collect::<Vec<_>>().join(", ");
        let mut chosen = Vec::new();
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let number = text.trim().parse::<usize>().ok();
                number.filter(|number| self.queries.iter().any(|(known, _)| known == number))
            };
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                let message = format!("`{part}` is no query: they are {known}");
                return Err(Failure::usage(message));
            };
            if first > last {
                return Err(Failure::usage(format!(
                    "`{part}` is no stretch: write {last}-{first}"
                )));
            }
            let within = |(number, _): &&(usize, &str)| (first..=last).contains(number);
            chosen.extend(self.queries.iter().filter(within));
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_of_numbers_and_stretches_of_what_there_is() {
        let numbers = |suite: &Suite, list| {
            let chosen = suite.chosen(list).ok();
            chosen.map(|chosen| {
                chosen
                    .into_iter()
                    .map(|(number, _)| number)
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(numbers(&PDSH, None), Some((1..=22).collect()));
        assert_eq!(
            numbers(&PDSH, Some("6, 1,20-22")),
            Some(vec![6, 1, 20, 21, 22])
        );
        assert_eq!(
            numbers(&SSB, Some("12-22,43")),
            Some(vec![12, 13, 21, 22, 43])
        );
        for wrong in ["", "23", "1-", "a", "0"] {
            assert_eq!(numbers(&PDSH, Some(wrong)), None, "{wrong}");
        }
        assert_eq!(SSB.queries.len(), 13);
        assert_eq!(numbers(&SSB, Some("14")), None);
    }

    #[test]
    fn a_stretch_backwards_is_no_query() {
        let chosen = PDSH.chosen(Some("3-1")).ok();
        assert_eq!(chosen, None);
    }
}
