//! Formats the hand-written kernels with the pinned clang-format and the `.clang-format` at the root.

use std::process::Command;

use crate::cuda;
use crate::repository::{Outcome, kernel_files, run as run_command};

/// Formats in place, or reports what would change.
pub fn run(check: bool) -> Outcome {
    let files = kernel_files()?;
    let written_by_hand = files.keys().filter(|path| !path.starts_with("generated/"));
    let paths = Vec::from_iter(written_by_hand.map(|path| format!("kernels/{path}")));
    if paths.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(cuda::clang_format()?);
    command.args(if check {
        &["--dry-run", "-Werror"][..]
    } else {
        &["-i"]
    });
    run_command(command.args(&paths)).map_err(|error| match check {
        true => "kernels are not formatted, run `cargo xtask kernels format`".into(),
        false => error,
    })
}
