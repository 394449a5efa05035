//! The `bench` command: how fast files are read and queries run.

#[cfg(feature = "sql")]
mod answers;
#[cfg(feature = "sql")]
mod pdsh;
mod scan;

use clap::{Args, Subcommand};

use crate::args::Globals;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// What is measured.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads and decodes columns of Parquet files
    Scan(scan::ScanArgs),
    /// Runs the 22 queries of PDS-H over tables like TPC-H's
    #[cfg(feature = "sql")]
    Pdsh(pdsh::PdshArgs),
}

/// Runs the command.
///
/// # Errors
/// The files cannot be read.
pub fn run(args: &BenchArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    match &args.what {
        What::Scan(args) => scan::run(args, globals, terminal),
        #[cfg(feature = "sql")]
        What::Pdsh(args) => pdsh::run(args, globals, terminal),
    }
}
