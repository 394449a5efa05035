//! The `pelton` binary.

mod canonical;
mod checked;
mod digest;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut failed = false;
    let mut out = std::io::stdout().lock();
    for path in std::env::args_os().skip(2) {
        let path = std::path::PathBuf::from(path);
        let line = match digest::file(&path) {
            Ok(rows) => format!("{rows} {}", path.display()),
            Err(problem) => {
                failed = true;
                format!(
                    "ERROR {} {}: {}",
                    problem.kind,
                    path.display(),
                    problem.message
                )
            }
        };
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
