//! The `sql` command: text over Parquet files.
//!
//! One statement runs as any other does, wherever it comes from: the command line, a file, or the prompt.

mod complete;
mod copy;
pub mod explain;
mod line_editor;
mod prompt;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::Args;
use pelton::engine::{Engine, LazyFrame, scan_parquet};
use pelton_sql::{Catalog, SqlStatement};

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::{interrupt, output, session};
use complete::Names;
use line_editor::LineEditor;

const EXAMPLES: &str = "\
Every DIR/x.parquet, and every folder DIR/x of Parquet files, is table x; a query may also read files
by read_parquet('FILES'). What SQL is understood, and what it means where databases differ, is in
docs/sql.md. Statements of a text run one after the other, and an error ends it. Without a text there
is a prompt: statements of one or more lines that end with `;`, a history in $XDG_STATE_HOME/pelton or
~/.local/state/pelton, completion by Tab, and the commands that .help lists.

Examples:
  pelton sql --dir data 'SELECT count(*) FROM lineitem'
  pelton sql --dir data -f report.sql --format csv
  pelton sql -t sales='sales/2026-*.parquet' 'SELECT region, sum(amount) FROM sales GROUP BY region'
  pelton sql \"SELECT count(*) FROM read_parquet('sales/*.parquet')\"
  pelton sql --dir data \"COPY (SELECT * FROM orders) TO 'o.parquet' (COMPRESSION zstd)\"
  pelton sql --dir data 'EXPLAIN ANALYZE SELECT max(o_totalprice) FROM orders'
  pelton sql --dir data
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
    /// The text; several statements have semicolons between them [default: standard input; `sql` at a
    /// terminal prompts]
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
            (None, None) if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() => {
                return Ok(None);
            }
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
    let text = args.input.text()?;
    let mut asking = Asking {
        catalog: args.input.catalog()?,
        engine: session::engine(globals, terminal)?,
        globals: globals.clone(),
        terminal,
        timer: false,
    };
    match text {
        Some(text) => asking.run(&text),
        None => asking.prompt(),
    }
}

/// What statements run on.
struct Asking {
    catalog: Catalog,
    engine: Engine,
    globals: Globals,
    terminal: Terminal,
    /// Whether to tell how long statements take.
    timer: bool,
}

impl Asking {
    /// Asks at the terminal for statements.
    fn prompt(&mut self) -> Result<(), Failure> {
        if self.globals.output.is_some() {
            let message = "the prompt has no --output: write files by COPY";
            return Err(Failure::usage(message));
        }
        let terminal = self.terminal;
        let mut lines = LineEditor::new(Names::of(&self.catalog)?, terminal)?;
        let (version, backend) = (env!("CARGO_PKG_VERSION"), self.engine.backend_choice().name);
        terminal.note(&format!(
            "Pelton {version} on the {backend} backend. Statements end with `;`, .help says more."
        ));
        interrupt::stay();
        prompt::converse(&mut lines, terminal, |entry| prompt::answer(self, entry))
    }

    /// Runs the statements of a text in their order.
    fn run(&self, text: &str) -> Result<(), Failure> {
        let statements = self.catalog.statements(text)?;
        if statements.len() > 1 && self.globals.output.is_some() {
            return Err(Failure::usage("one file holds the rows of one query"));
        }
        for statement in statements {
            let started = Instant::now();
            self.answer(&statement?)?;
            if self.timer {
                let seconds = started.elapsed().as_secs_f64();
                self.terminal.always(&format!("{seconds:.3} s"));
            }
        }
        Ok(())
    }

    fn answer(&self, statement: &SqlStatement) -> Result<(), Failure> {
        let (engine, globals, terminal) = (&self.engine, &self.globals, self.terminal);
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

    /// Prints the names of the tables.
    fn tables(&self) -> Result<(), Failure> {
        let names = self.catalog.tables().map(|(name, _)| name);
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
        self.print([("table", names)])
    }

    /// Prints the columns of a table, or of all.
    fn schema(&self, wanted: Option<&str>) -> Result<(), Failure> {
        let lower = wanted.map(str::to_lowercase);
        let is_wanted = |name: &str| {
            wanted.is_none_or(|wanted| wanted == name) || lower.as_deref() == Some(name)
        };
        let mut cells = [const { Vec::new() }; 4];
        for (table, frame) in self.catalog.tables().filter(|(name, _)| is_wanted(name)) {
            for field in frame.query().plan.schema()?.fields() {
                let nulls = if field.is_nullable() { "yes" } else { "no" };
                let row = [table, field.name(), &field.data_type().to_string(), nulls];
                let row = row.map(str::to_string);
                cells
                    .iter_mut()
                    .zip(row)
                    .for_each(|(column, cell)| column.push(cell));
            }
        }
        if let (Some(wanted), true) = (wanted, cells[0].is_empty()) {
            let names = self.catalog.tables().map(|(name, _)| name);
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!("there is no table `{wanted}`; the tables are {names}");
            return Err(Failure::new(message));
        }
        let column = |cells| -> ArrayRef { Arc::new(StringArray::from(cells)) };
        let [tables, columns, types, nulls] = cells.map(column);
        self.print([
            ("table", tables),
            ("column", columns),
            ("type", types),
            ("nulls", nulls),
        ])
    }

    fn print<const N: usize>(&self, columns: [(&str, ArrayRef); N]) -> Result<(), Failure> {
        let batch = RecordBatch::try_from_iter(columns).map_err(Failure::new)?;
        output::write(&batch.schema(), std::slice::from_ref(&batch), &self.globals)
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
