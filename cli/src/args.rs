//! The command line: what may be written, and the help that says so.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;
use crate::terminal::Verbosity;

const EXIT_CODES: &str = "\
Exit codes:
  0    the command did what it was asked
  1    a query, a file or the machine failed
  2    the command line is wrong: an unknown flag or option, a bad value
  3    a GPU was asked for (--backend cuda) and none is usable
  130  interrupted

Results go to standard output, everything else to standard error. A value comes from a flag, else
from the environment (PELTON_<OPTION>), else from the file of --config or PELTON_CONFIG, else it is
the default: `pelton config` shows which.
NO_COLOR switches colours off.

Examples:
  pelton quickstart                       data, a query and its plan in a minute
  pelton gen tpch --scale 1 --out data    the eight tables as Parquet
  pelton sql --dir data 'SELECT count(*) FROM lineitem'
                                          SQL over the files of a folder
  pelton sql --dir data                   the same at a prompt
  pelton run plan.json --format csv       a serialised query
  pelton rewrite data/*.parquet out.parquet
                                          the same rows, encoded for GPUs
  pelton bench scan data/lineitem.parquet how fast files are read
  pelton info                             what this machine can run";

/// Queries Parquet files on GPUs; without one, the same on the CPU
#[derive(Debug, Parser)]
#[command(name = "pelton", version, after_long_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of every command")]
pub struct Globals {
    /// Who runs queries; `auto` is CUDA if there is a usable GPU, else the CPU
    #[arg(long, global = true, value_enum, value_name = "BACKEND")]
    pub backend: Option<Backend>,

    /// How results are written [default: by the extension of --output, else table]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Write the result to a file, all of it or nothing
    #[arg(long, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Print what went through each step of a query, and its counters, to standard error
    #[arg(long, global = true)]
    pub stats: bool,

    /// Write the same as JSON
    #[arg(long, global = true, value_name = "FILE")]
    pub stats_json: Option<PathBuf>,

    /// Write when everything happened, for Perfetto or Chrome; the same as the option `trace`
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Set an engine option; may be repeated (`pelton config` lists them)
    #[arg(short = 'o', long = "option", global = true, value_name = "NAME=VALUE")]
    pub options: Vec<String>,

    /// Read engine options from a TOML file [default: the file that PELTON_CONFIG names, if any]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Only errors on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Decisions, too, on standard error
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub verbose: bool,
}

impl Globals {
    /// How much to tell.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

/// Who runs queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// CUDA if there is a usable GPU, else the CPU
    Auto,
    /// The CPU reference
    Cpu,
    /// The kernels on a GPU; an error if there is none
    Cuda,
    /// The kernels, emulated on the CPU: slow, for tests
    Simt,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a little data, query it, and show result, plan and speed
    Quickstart(crate::quickstart::QuickstartArgs),
    /// Run a serialised query
    Run(crate::run::RunArgs),
    /// Run SQL over Parquet files
    #[cfg(feature = "sql")]
    Sql(crate::sql::SqlArgs),
    /// Show how SQL would run
    #[cfg(feature = "sql")]
    Explain(crate::sql::explain::ExplainArgs),
    /// Make TPC-H-like Parquet data
    Gen(crate::generate::command::GenArgs),
    /// Write Parquet files anew, encoded for GPUs
    Rewrite(crate::rewrite::RewriteArgs),
    /// Fingerprint the rows of Parquet files
    Digest(crate::digest::DigestArgs),
    /// Measure how fast files are read
    Bench(crate::bench::BenchArgs),
    /// Show what this program can run on this machine
    Info(crate::info::InfoArgs),
    /// Show every engine option, its value and where that came from
    Config(crate::config::ConfigArgs),
}
