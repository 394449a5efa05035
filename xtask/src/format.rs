//! Formats the hand-written kernels with the pinned clang-format and the `.clang-format` at the root.
//!
//! The headers of the ABI are tables of fields and comments, aligned by hand; they stay as they are.

use std::process::Command;

use crate::cuda;
use crate::repository::{Outcome, capture, kernel_files, root};

/// Formats in place, or reports what would change.
pub fn run(check: bool) -> Outcome {
    let clang_format = cuda::clang_format()?;
    let mut unformatted = Vec::new();
    for (path, text) in kernel_files()? {
        let code = path.ends_with(".cu") || path.ends_with(".cuh");
        if !code || path.starts_with("generated/") {
            continue;
        }
        let file = root().join("kernels").join(&path);
        if capture(Command::new(&clang_format).arg(&file))? != text {
            if !check {
                capture(Command::new(&clang_format).arg("-i").arg(&file))?;
                println!("kernels/{path} formatted");
            }
            unformatted.push(path);
        }
    }
    match unformatted.is_empty() || !check {
        true => Ok(()),
        false => {
            let files = unformatted.join(", ");
            Err(format!("not formatted, run `cargo xtask kernels format`: {files}").into())
        }
    }
}
