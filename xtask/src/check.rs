//! `check`: what every commit must pass, in a minute or two once things are built.

use std::process::Command;
use std::time::Instant;

use crate::repository::{Outcome, cargo, run as run_command};

/// Runs every check, also after one failed; the error names those that did.
pub fn run() -> Outcome {
    let mut docs = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let clippy = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    let mut checks = vec![
        ("fmt", cargo(&["fmt", "--all", "--check"])),
        ("clippy", cargo(&clippy)),
        ("doc", docs),
        (
            "tidy",
            cargo(&["test", "--quiet", "--package", "pelton", "--test", "tidy"]),
        ),
        (
            "tests of xtask",
            cargo(&["test", "--quiet", "--package", "xtask"]),
        ),
    ];
    if Command::new("cargo-deny").arg("--version").output().is_ok() {
        checks.push((
            "deny",
            cargo(&["deny", "check", "licenses", "bans", "sources"]),
        ));
    } else {
        println!("check: deny: skipped, cargo-deny is not installed");
    }
    let mut failed = Vec::new();
    for (name, mut command) in checks {
        let start = Instant::now();
        let verdict = match run_command(&mut command) {
            Ok(()) => "ok",
            Err(error) => {
                eprintln!("{error}");
                failed.push(name);
                "FAILED"
            }
        };
        println!(
            "check: {name}: {verdict} ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("check failed: {}", failed.join(", ")).into()),
    }
}
