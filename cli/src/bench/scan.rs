//! `bench scan`: the time from files to decoded columns, for sets of columns.
//!
//! A query counts the values of each column, so that all pages are decoded and next to nothing is
//! computed. The first run of a set reads footers and warms up; it is not counted.

use std::fmt::Write;
use std::time::Instant;

use clap::Args;
use pelton::engine::{Engine, QueryControl, scan_parquet_files};
use pelton::metrics::names;
use pelton::options::{EngineOptions, OptionSetting, OptionSource};
use pelton::prelude::{Expr, LazyFrame, col, lit};

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
Prints one line per set of columns: compressed and decoded gigabytes, the fastest run in milliseconds,
gigabytes per second of both, and row groups. Decoded bytes are those of the columns in memory: values,
validity, and the bytes of strings. Without --columns the sets are all columns, and of TPC-H's lineitem
and orders those that queries 1 and 6 read and the comments.

Examples:
  pelton bench scan data/lineitem.parquet
  pelton bench scan data/*.parquet --columns l_shipdate,l_discount --columns l_comment --repeat 9
  pelton bench scan data/lineitem.parquet --backend cpu
  pelton bench scan data/lineitem.parquet -o column_cache_limit=30%    from the device's memory
  pelton bench scan data/lineitem.parquet --between l_shipdate,1994-01-01,1994-12-31 --stats
  pelton bench scan data/lineitem.parquet --stats     with the counters of the fastest run";

/// Sets of columns of TPC-H's tables that are measured if the files have them.
const SETS: [(&str, &[&str]); 4] = [
    (
        "Q1",
        &[
            "l_returnflag",
            "l_linestatus",
            "l_quantity",
            "l_extendedprice",
            "l_discount",
            "l_tax",
            "l_shipdate",
        ],
    ),
    (
        "Q6",
        &["l_shipdate", "l_discount", "l_quantity", "l_extendedprice"],
    ),
    ("l_comment", &["l_comment"]),
    ("o_comment", &["o_comment"]),
];

/// Flags of `bench scan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ScanArgs {
    /// Parquet files, patterns or folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// A set of columns, separated by commas; may be repeated
    #[arg(long, value_name = "A,B")]
    columns: Vec<String>,

    /// Read rows in which a column is between two values; may be repeated, all must hold
    #[arg(long, value_name = "COLUMN,LOW,HIGH")]
    between: Vec<String>,

    /// Runs that are counted, per set
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: u32,
}

/// Runs the command.
///
/// # Errors
/// The files cannot be read.
pub fn run(args: &ScanArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let engine = session::engine_of(options(globals)?, terminal)?;
    let mut scan = scan_parquet_files(&args.files)?;
    let schema = scan.query().plan.schema()?;
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    for stretch in &args.between {
        scan = scan.filter(between(stretch, &names)?);
    }
    output::text(&format!(
        "{:<12} {:>13} {:>10} {:>9} {:>13} {:>13} {:>10}\n",
        "columns", "compressed GB", "decoded GB", "ms", "compressed/s", "decoded/s", "row groups"
    ))?;
    let runs = (args.repeat, globals.stats);
    for (name, columns) in sets(args, &names)? {
        output::text(&measure((&engine, terminal), &scan, &name, &columns, runs)?)?;
    }
    Ok(())
}

/// The options of the command line, without the column cache where nobody asked for it: a run begins at
/// the files.
fn options(globals: &Globals) -> Result<EngineOptions, Failure> {
    let mut options = session::options(globals)?;
    let chosen = |setting: &OptionSetting| {
        setting.spec.name == "column_cache_limit" && setting.source != OptionSource::Default
    };
    if !options.list().iter().any(chosen) {
        let off = options.set("column_cache_limit", "0");
        off.map_err(Failure::usage)?;
    }
    Ok(options)
}

/// The predicate of `--between`.
fn between(stretch: &str, all: &[String]) -> Result<Expr, Failure> {
    let parts: Vec<&str> = stretch.split(',').map(str::trim).collect();
    let [column, low, high] = parts.as_slice() else {
        let message = format!("`{stretch}` is not COLUMN,LOW,HIGH");
        return Err(Failure::new(message));
    };
    check_column(column, all)?;
    Ok(col(*column).between(value(low), value(high)))
}

/// A number if it is one, else a string: that is compared with a date as one.
fn value(text: &str) -> Expr {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(number), _) => lit(number),
        (_, Ok(number)) => lit(number),
        _ => lit(text),
    }
}

fn check_column(column: &str, all: &[String]) -> Result<(), Failure> {
    if all.iter().any(|known| known == column) {
        return Ok(());
    }
    let known = all.join(", ");
    let message = format!("no column `{column}`; the files have {known}");
    Err(Failure::new(message))
}

/// The sets of columns, by name.
fn sets(args: &ScanArgs, all: &[String]) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let has = |column: &str| all.iter().any(|known| known == column);
    if args.columns.is_empty() {
        let mut sets = vec![("all".to_string(), all.to_vec())];
        for (name, columns) in SETS {
            if columns.iter().all(|column| has(column)) {
                let columns = columns.iter().map(ToString::to_string);
                sets.push((name.to_string(), columns.collect()));
            }
        }
        return Ok(sets);
    }
    let mut sets = Vec::with_capacity(args.columns.len());
    for list in &args.columns {
        let columns: Vec<String> = list
            .split(',')
            .map(|name| name.trim().to_string())
            .collect();
        columns
            .iter()
            .try_for_each(|column| check_column(column, all))?;
        sets.push((list.clone(), columns));
    }
    Ok(sets)
}

fn measure(
    (engine, terminal): (&Engine, Terminal),
    scan: &LazyFrame,
    name: &str,
    columns: &[String],
    (repeat, stats): (u32, bool),
) -> Result<String, Failure> {
    let counts = columns
        .iter()
        .map(|column| col(column).count().alias(column));
    let query = scan.clone().group_by([]).agg(counts);
    let mut best = f64::INFINITY;
    let mut line = String::new();
    for run in 0..=repeat {
        let started = Instant::now();
        let result = session::watch(engine, query.query(), &QueryControl::new(), terminal)?;
        let seconds = started.elapsed().as_secs_f64();
        if let Some(fallback) = result.fallbacks.first() {
            return Err(Failure::new(format!("not measured, because {fallback}")));
        }
        let counter = |name: &str| result.metrics.get(name) as f64 / 1e9;
        if run == 0 || seconds >= best {
            continue; // the first run reads footers
        }
        best = seconds;
        let stored = counter(names::SCAN_BYTES) + counter(names::COLUMN_CACHE_BYTES);
        let decoded = counter(names::SCAN_DECODED_BYTES);
        line.clear();
        let _ = writeln!(
            line,
            "{name:<12} {stored:>13.3} {decoded:>10.3} {:>9.1} {:>8.1} GB/s {:>8.1} GB/s {:>10}",
            best * 1e3,
            stored / best,
            decoded / best,
            result.metrics.get(names::ROW_GROUPS_TOTAL),
        );
        if stats {
            for (name, value) in &result.metrics.counters {
                let _ = writeln!(line, "  {name} {value}");
            }
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_of_numbers_and_of_what_is_none() {
        let all = ["a".to_string(), "b".to_string()];
        let predicate = |stretch| between(stretch, &all).ok();
        let numbers = col("a").between(lit(1), lit(2.5));
        assert_eq!(predicate("a, 1,2.5"), Some(numbers));
        let days = col("b").between(lit("1994-01-01"), lit("1994-12-31"));
        assert_eq!(predicate("b,1994-01-01,1994-12-31"), Some(days));
        assert_eq!(predicate("b,1"), None, "no upper end");
        assert_eq!(predicate("c,1,2"), None, "no such column");
    }
}
