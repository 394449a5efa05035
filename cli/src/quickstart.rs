//! The `quickstart` command: data, a query, its plan and its speed, without a question asked.

use std::path::PathBuf;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use clap::Args;
use pelton::engine::{LazyFrame, QueryResult, scan_parquet};
use pelton::expr::{col, lit};
use pelton::metrics::names;
use pelton::storage::SinkCodec;

use crate::args::Globals;
use crate::failure::Failure;
use crate::generate::{Request, RowGroups, Table, command, generate};
use crate::terminal::{self, Terminal};
use crate::{output, session};

/// Small row groups, so that a small table still keeps every core busy.
const ROW_GROUP_BYTES: u64 = 8 << 20;

/// Part of the folder's name: data of another layout is made anew.
const LAYOUT: &str = "tpch-1";

const EXAMPLES: &str = "\
The data is made once, in $PELTON_CACHE_DIR, else $XDG_CACHE_HOME/pelton, else ~/.cache/pelton.

Examples:
  pelton quickstart
  pelton quickstart --scale 1 --backend cpu
  pelton quickstart --quiet --format json
  pelton quickstart --format parquet --output answer.parquet";

/// Flags of `quickstart`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct QuickstartArgs {
    /// Scale factor of the data: 0.1 gives 600 572 rows of lineitem
    #[arg(long, value_name = "S", default_value = "0.1", value_parser = command::scale)]
    scale: f64,

    /// Folder to keep the data in, instead of the cache
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The data cannot be made or the query cannot be run.
pub fn run(args: &QuickstartArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let engine = session::engine(globals, terminal)?;
    let file = lineitem(args, terminal)?;
    let frame = query(scan_parquet(&file)?);
    let result = session::execute(&engine, frame.query(), globals, terminal)?;

    let table = sorted(&result).map_err(Failure::new)?;
    output::write(&result.schema, &[table], globals)?;
    terminal.note(&format!("\n{}", frame.explain(&engine)?));
    let choice = engine.backend_choice();
    terminal.note(&format!(
        "Ran on the {} backend: {}.",
        choice.name, choice.reason
    ));
    terminal.note(&speed(&result));
    let file = file.display();
    terminal.note(&format!(
        "\nNext:\n  \
         pelton info                               what this machine can run\n  \
         pelton gen tpch --scale 1 --out data      the eight tables, larger\n  \
         pelton config                             what can be tuned\n  \
         pelton digest {file}"
    ));
    Ok(())
}

/// Filter, group and aggregate, as most first questions do.
fn query(lineitem: LazyFrame) -> LazyFrame {
    let price = || col("l_extendedprice");
    lineitem
        .filter(price().gt(lit(1000)))
        .group_by([col("l_returnflag"), col("l_linestatus")])
        .agg([
            price().sum().alias("sum_price"),
            price().count().alias("count"),
            price().mean().alias("mean_price"),
        ])
}

/// The table's file, made if it is not there yet. It appears only when it is complete.
fn lineitem(args: &QuickstartArgs, terminal: Terminal) -> Result<PathBuf, Failure> {
    let root = match &args.dir {
        Some(folder) => folder.clone(),
        None => cache_folder()?,
    };
    let folder = root.join(LAYOUT).join(format!("sf{}", args.scale));
    let file = folder.join("lineitem.parquet");
    if file.is_file() {
        terminal.note(&format!("Reading {} from an earlier run.", file.display()));
        return Ok(file);
    }
    terminal.note(&format!("Making {}, once.", file.display()));
    let request = Request {
        scale: args.scale,
        tables: vec![Table::Lineitem],
        row_groups: RowGroups::Bytes(ROW_GROUP_BYTES),
        codec: SinkCodec::Snappy,
        files: 1,
        overwrite: true,
    };
    generate(&folder, &request, terminal)?;
    Ok(file)
}

fn cache_folder() -> Result<PathBuf, Failure> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("PELTON_CACHE_DIR")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("pelton")))
        .or_else(|| Some(variable("HOME")?.join(".cache/pelton")))
        .ok_or_else(|| {
            Failure::usage("no cache folder: set PELTON_CACHE_DIR or HOME, or use `--dir`")
        })
}

/// Results have no order; people like one.
fn sorted(result: &QueryResult) -> Result<RecordBatch, ArrowError> {
    let table = concat_batches(&result.schema, &result.batches)?;
    let keys = |index: usize| SortColumn {
        values: table.column(index).clone(),
        options: None,
    };
    let order = lexsort_to_indices(&[keys(0), keys(1)], None)?;
    take_record_batch(&table, &order)
}

fn speed(result: &QueryResult) -> String {
    let metrics = &result.metrics;
    let time = Duration::from_nanos(metrics.get(names::QUERY_NANOSECONDS));
    let (rows, bytes) = (
        metrics.get(names::SCAN_ROWS),
        metrics.get(names::SCAN_BYTES),
    );
    format!(
        "{} rows and {} of compressed columns in {:.1} ms: {} rows/s, {}/s.",
        terminal::grouped(rows),
        terminal::bytes(bytes),
        time.as_secs_f64() * 1e3,
        terminal::grouped(terminal::per_second(rows, time)),
        terminal::bytes(terminal::per_second(bytes, time)),
    )
}
