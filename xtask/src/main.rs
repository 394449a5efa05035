//! Tasks of the repository: `cargo xtask --help`.
//!
//! Everything that a generator writes is committed, and each generator has a check that compares.
//! Building and testing Pelton needs none of this: see CONTRIBUTING.md for when each is used.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on standard output"
)]

mod bindings;
mod check;
mod cuda;
mod docs;
mod format;
mod generate;
mod gpu_pack;
mod header;
mod kernel_source;
mod kernels;
mod options;
mod repository;
mod resources;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use repository::Outcome;

/// Tasks of the Pelton repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Installs the pinned CUDA compiler and run-time compiler into .cuda (no GPU needed).
    Cuda,
    /// Writes src/kernels/abi.rs from kernels/abi and the entries of kernels.
    Bindings {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Writes adapters/capi/include/pelton.h from the functions of that crate.
    Header {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/options.md from the library's table of options.
    Options {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Checks, generates and documents the CUDA sources.
    #[command(subcommand)]
    Kernels(Kernels),
    /// Runs the checks that every commit must pass: format, lints, docs, tidy, licences, the C header,
    /// docs/options.md.
    Check,
    /// Packs release tests, benches and the `pelton` binary for a machine with a GPU.
    GpuPack(gpu_pack::Options),
}

#[derive(Subcommand)]
enum Kernels {
    /// Compiles all kernels with nvcc and NVRTC, the headers as C11, and checks what is committed.
    Check {
        /// Rewrites tests/codegen/golden/resources.txt.
        #[arg(long)]
        update: bool,
    },
    /// Writes kernels/generated and its MANIFEST.txt.
    Generate {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Writes docs/kernels.md from the comments of the kernels.
    Docs {
        /// Compares instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Formats the hand-written kernels with the pinned clang-format.
    Format {
        /// Reports instead of writing.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Outcome {
    match task {
        Task::Cuda => cuda::install().map(drop),
        Task::Bindings { check } => bindings::run(check),
        Task::Header { check } => header::run(check),
        Task::Options { check } => options::run(check),
        Task::Kernels(Kernels::Check { update }) => kernels::check(update),
        Task::Kernels(Kernels::Generate { check }) => generate::run(check),
        Task::Kernels(Kernels::Docs { check }) => docs::run(check),
        Task::Kernels(Kernels::Format { check }) => format::run(check),
        Task::Check => check::run(),
        Task::GpuPack(options) => gpu_pack::run(&options),
    }
}
