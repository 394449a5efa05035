//! The `sql` command: text over Parquet files.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use pelton::engine::{LazyFrame, QueryControl, scan_parquet};
use pelton_sql::{Catalog, SqlStatement};

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
Every DIR/x.parquet, and every folder DIR/x of Parquet files, is table x. What SQL is understood, and
what it means where databases differ, is in docs/sql.md.

Examples:
  pelton sql --dir data 'SELECT count(*) FROM lineitem'
  pelton sql --dir data -f report.sql --format csv
  pelton sql -t sales='sales/2026-*.parquet' 'SELECT region, sum(amount) FROM sales GROUP BY region'
  pelton sql --dir data 'EXPLAIN ANALYZE SELECT max(o_totalprice) FROM orders'
  echo 'SELECT 1 + 1' | pelton sql -f -";

/// Flags of `sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SqlArgs {
    /// The text; several statements have semicolons between them
    #[arg(value_name = "QUERY", required_unless_present = "file")]
    query: Option<String>,

    /// File with the text; `-` reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,

    /// Folder whose files and folders are tables
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// A table: its name, and which files it is; may be repeated
    #[arg(short, long = "table", value_name = "NAME=GLOB")]
    tables: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// A table cannot be read, the text is no SQL over the tables, or a query fails.
pub fn run(args: &SqlArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let text = match (&args.query, &args.file) {
        (Some(query), _) => query.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => return Err(Failure::usage("give a query, or a file with one")),
    };
    let catalog = catalog(args.dir.as_deref(), &args.tables)?;
    let statements = catalog.statements(&text)?;
    if statements.len() > 1 && globals.output.is_some() {
        return Err(Failure::usage("one file holds the rows of one query"));
    }
    let engine = session::engine(globals, terminal)?;
    for statement in statements {
        match statement {
            SqlStatement::Query(frame) => {
                let result = session::execute(&engine, frame.query(), globals, terminal)?;
                output::write(&result.schema, &result.batches, globals)?;
            }
            SqlStatement::Explain(frame) => output::text(&engine.explain(frame.query())?)?,
            SqlStatement::Analyze(frame) => {
                let control = QueryControl::new().timed();
                let result = session::watch(&engine, frame.query(), &control, terminal)?;
                session::tell(&engine, &result, globals, terminal)?;
                output::text(&engine.analysis(frame.query(), &result)?)?;
            }
        }
    }
    Ok(())
}

/// The tables of a folder, and those named one by one, which go before them.
///
/// # Errors
/// A folder or file cannot be read, or a table has no name.
pub fn catalog(dir: Option<&Path>, named: &[String]) -> Result<Catalog, Failure> {
    let mut catalog = Catalog::new();
    for (name, pattern) in dir.map(folder).transpose()?.unwrap_or_default() {
        catalog.register(name, scan(&pattern)?)?;
    }
    for pair in named {
        let Some((name, pattern)) = pair.split_once('=') else {
            let message = format!("the table `{pair}` has no files: write NAME=GLOB");
            return Err(Failure::usage(message));
        };
        catalog.register(name.trim(), scan(Path::new(pattern))?)?;
    }
    Ok(catalog)
}

fn scan(pattern: &Path) -> Result<LazyFrame, Failure> {
    Ok(scan_parquet(pattern)?)
}

/// Names and patterns of the tables in a folder, by name.
fn folder(dir: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let unreadable = |cause: std::io::Error| {
        Failure::new(format_args!("cannot read {}: {cause}", dir.display()))
    };
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        let Some(name) = name.and_then(|name| name.to_str()) else {
            continue;
        };
        let is_parquet = |path: &Path| path.extension().is_some_and(|end| end == "parquet");
        if path.is_file() && is_parquet(&path) {
            tables.push((name.to_string(), path));
        } else if path.is_dir() {
            let mut files = std::fs::read_dir(&path).map_err(unreadable)?;
            if files.any(|file| file.is_ok_and(|file| is_parquet(&file.path()))) {
                tables.push((name.to_string(), path.join("*.parquet")));
            }
        }
    }
    tables.sort();
    Ok(tables)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .map(|_| text),
        false => std::fs::read_to_string(path),
    };
    read.map_err(|cause| Failure::new(format_args!("cannot read {}: {cause}", path.display())))
}
