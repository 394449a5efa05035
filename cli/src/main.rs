//! The `pelton` binary: commands over Parquet files and this machine's GPUs.
//!
//! `args` says what may be written; each command has a file of its own. Results leave through
//! `output`, everything else through `terminal`, failures through `failure`.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod canonical;
mod config;
mod connections;
mod digest;
mod failure;
mod generate;
mod info;
mod interrupt;
mod output;
mod problem;
mod quickstart;
mod rewrite;
mod run;
mod session;
#[cfg(feature = "sql")]
mod sql;
mod statistics;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use terminal::Terminal;

fn main() -> ExitCode {
    let cli = Cli::parse();
    connections::raise();
    interrupt::install();
    problem::silence_caught_panics();
    let terminal = Terminal::new(cli.globals.verbosity());
    match dispatch(cli, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(terminal),
    }
}

fn dispatch(cli: Cli, terminal: Terminal) -> Result<(), Failure> {
    let globals = &cli.globals;
    match cli.command {
        Command::Quickstart(args) => quickstart::run(&args, globals, terminal),
        Command::Run(args) => run::run(&args, globals, terminal),
        #[cfg(feature = "sql")]
        Command::Sql(args) => sql::run(&args, globals, terminal),
        #[cfg(feature = "sql")]
        Command::Explain(args) => sql::explain::run(&args, globals, terminal),
        Command::Gen(args) => generate::command::run(args, globals, terminal),
        Command::Digest(args) => digest::run(&args, globals, terminal),
        Command::Rewrite(args) => rewrite::run(&args, globals, terminal),
        Command::Bench(args) => bench::run(&args, globals, terminal),
        Command::Info(_) => info::run(globals, terminal),
        Command::Config(_) => config::run(globals),
    }
}
