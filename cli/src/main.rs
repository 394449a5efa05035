//! The `pelton` binary: commands over Parquet files and this machine's GPUs.
//!
//! `args` says what may be written; each command has a file of its own. Results leave through
//! `output`, everything else through `terminal`, failures through `failure`.

#![forbid(unsafe_code)]

mod args;
mod canonical;
mod checked;
mod digest;
mod failure;
mod generate;
mod interrupt;
mod output;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use terminal::Terminal;

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::install();
    let terminal = Terminal::new(cli.globals.verbosity());
    match run(cli) {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Quiet(exit)) => exit.into(),
        Err(Failure::Told { exit, message }) => {
            terminal.error(&message);
            exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Gen(args) => generate::command::run(args, &cli.globals),
        Command::Digest(args) => digest::run(&args),
    }
}
