//! The `bench` command: how fast files are read and queries run, and what became faster.

#[cfg(feature = "sql")]
mod answers;
#[cfg(feature = "sql")]
mod compare;
#[cfg(feature = "sql")]
mod figures;
#[cfg(feature = "sql")]
mod plot;
mod scan;
#[cfg(feature = "sql")]
mod suite;

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
    #[command(after_help = suite::PDSH_EXAMPLES)]
    Pdsh(suite::SuiteArgs),
    /// Runs the 13 queries of the Star Schema Benchmark
    #[cfg(feature = "sql")]
    #[command(after_help = suite::SSB_EXAMPLES)]
    Ssb(suite::SuiteArgs),
    /// Compares two runs of a suite
    #[cfg(feature = "sql")]
    Compare(compare::CompareArgs),
    /// Draws runs of a suite as bars
    #[cfg(feature = "sql")]
    Plot(plot::PlotArgs),
}

/// Runs the command.
///
/// # Errors
/// The files cannot be read.
pub fn run(args: &BenchArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    match &args.what {
        What::Scan(args) => scan::run(args, globals, terminal),
        #[cfg(feature = "sql")]
        What::Pdsh(args) => suite::run(&suite::PDSH, args, globals, terminal),
        #[cfg(feature = "sql")]
        What::Ssb(args) => suite::run(&suite::SSB, args, globals, terminal),
        #[cfg(feature = "sql")]
        What::Compare(args) => compare::run(args, globals, terminal),
        #[cfg(feature = "sql")]
        What::Plot(args) => plot::run(args, terminal),
    }
}
