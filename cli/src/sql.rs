//! The `sql` command: text over Parquet files.
//!
//! One statement runs as any other does, wherever it comes from: the command line, a file, or the prompt.

mod copy;
pub mod explain;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use pelton::engine::{Engine, LazyFrame, scan_parquet};
use pelton_sql::{Catalog, SqlStatement};

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{output, session};

const EXAMPLES: &str = "\
Every DIR/x.parquet, and every folder DIR/x of Parquet files, is table x; a query may also read files
by read_parquet('FILES'). What SQL is understood, and what it means where databases differ, is in
docs/sql.md. Statements of a text run one after the other, and an error ends it.

Examples:
  pelton sql --dir data 'SELECT count(*) FROM lineitem'
  pelton sql --dir data -f report.sql --format csv
  pelton sql -t sales='sales/2026-*.parquet' 'SELECT region, sum(amount) FROM sales GROUP BY region'
  pelton sql \"SELECT count(*) FROM read_parquet('sales/*.parquet')\"
  pelton sql --dir data \"COPY (SELECT * FROM orders) TO 'o.parquet' (COMPRESSION zstd)\"
  pelton sql --dir data 'EXPLAIN ANALYZE SELECT max(o_totalprice) FROM orders'
  echo 'SELECT 1 + 1' | pelton sql";

/// Flags of `sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SqlArgs {
    #[command(flatten)]
    input: Input,
}

/// A text, and the tables that it may name.
#[derive(Debug, Args)]
pub struct Input {
    /// The text; several statements have semicolons between them [default: standard input]
    #[arg(value_name = "QUERY")]
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

impl Input {
    /// The text; none if somebody sits before a terminal who may be asked.
    fn text(&self) -> Result<Option<String>, Failure> {
        let stdin = Path::new("-");
        let from = match (&self.query, &self.file) {
            (Some(query), _) => return Ok(Some(query.clone())),
            (None, Some(file)) => file,
            (None, None) if std::io::stdin().is_terminal() => return Ok(None),
            (None, None) => stdin,
        };
        let mut text = String::new();
        let read = match from == stdin {
            true => std::io::stdin()
                .lock()
                .read_to_string(&mut text)
                .map(|_| text),
            false => std::fs::read_to_string(from),
        };
        let read = read.map_err(|cause| Failure::path("read", from, cause));
        read.map(Some)
    }

    fn catalog(&self) -> Result<Catalog, Failure> {
        catalog(self.dir.as_deref(), &self.tables)
    }
}

/// Runs the command.
///
/// # Errors
/// A table cannot be read, the text is no SQL over the tables, or a query fails.
pub fn run(args: &SqlArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let Some(text) = args.input.text()? else {
        return Err(Failure::usage("give a query, or a file with one"));
    };
    let catalog = args.input.catalog()?;
    let asking = Asking {
        engine: session::engine(globals, terminal)?,
        catalog,
        globals,
        terminal,
    };
    asking.run(&text)
}

/// What statements run on.
struct Asking<'a> {
    catalog: Catalog,
    engine: Engine,
    globals: &'a Globals,
    terminal: Terminal,
}

impl Asking<'_> {
    /// Runs the statements of a text in their order.
    fn run(&self, text: &str) -> Result<(), Failure> {
        let statements = self.catalog.statements(text)?;
        if statements.len() > 1 && self.globals.output.is_some() {
            return Err(Failure::usage("one file holds the rows of one query"));
        }
        for statement in statements {
            self.answer(&statement?)?;
        }
        Ok(())
    }

    fn answer(&self, statement: &SqlStatement) -> Result<(), Failure> {
        let (engine, globals, terminal) = (&self.engine, self.globals, self.terminal);
        match statement {
            SqlStatement::Query(frame) => {
                let result = session::execute(engine, frame.query(), globals, terminal)?;
                output::write(&result.schema, &result.batches, globals)
            }
            SqlStatement::Explain(frame) => explain::plan(engine, frame),
            SqlStatement::Analyze(frame) => explain::analysis(engine, frame, globals, terminal),
            SqlStatement::Copy(copy) => copy::run(engine, copy, globals, terminal),
        }
    }
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
