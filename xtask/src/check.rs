//! `check`: what every commit must pass, in a minute or two once things are built.

use std::process::Command;

use crate::repository::{Check, Outcome, cargo, run as run_command, run_checks};
use crate::{header, options};

/// Runs them all.
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
    let checks = checks.into_iter().map(|(name, mut command)| -> Check<'_> {
        (name, Box::new(move || run_command(&mut command)))
    });
    let generated: [Check<'_>; 2] = [
        ("pelton.h", Box::new(|| header::run(true))),
        ("docs/options.md", Box::new(|| options::run(true))),
    ];
    run_checks("check", checks.chain(generated))
}
