//! The 22 queries of PDS-H against answers that this project did not compute.
//!
//! The answers lie beside the repository, in `../shared/conformance`. Where they are absent the tests say
//! so and pass, unless `PELTON_REQUIRE_CONFORMANCE=1`.
#![cfg(feature = "sql")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::{Path, PathBuf};

use support::pelton;

/// The answers at a scale, or nothing if they are absent and may be.
fn answers(scale: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join(format!("../shared/conformance/tpch/answers/sf{scale}"));
    if folder.join("q01.csv").is_file() {
        return Some(folder);
    }
    let required = std::env::var("PELTON_REQUIRE_CONFORMANCE").is_ok_and(|value| value == "1");
    assert!(!required, "{} is required and absent", folder.display());
    eprintln!("skipped: no answers at {}", folder.display());
    None
}

/// Runs all queries at a scale, with these flags, and compares.
fn check(scale: &str, flags: &[&str]) {
    let Some(answers) = answers(scale) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    pelton(&["gen", "tpch", "--scale", scale, "--out", data]).ok();
    let mut words = vec!["bench", "pdsh", "--repeat", "1", "--dir", data];
    words.extend(["--verify", answers.to_str().unwrap()]);
    words.extend(["-o", "fallback_mode=raise"]);
    words.extend(flags);
    let ran = pelton(&words);
    eprintln!("{}", ran.stdout);
    let ran = ran.ok();
    let equal = ran.stdout.lines().filter(|line| line.ends_with(" equal"));
    assert_eq!(equal.count(), 22);
}

#[test]
fn the_cpu_has_the_answers_at_a_hundredth() {
    check("0.01", &["--backend", "cpu"]);
}

#[test]
fn the_cpu_has_the_answers_at_a_tenth() {
    check("0.1", &["--backend", "cpu", "-o", "executor=tasks"]);
}

#[test]
fn the_kernels_have_the_answers() {
    check("0.01", &["--backend", "simt"]);
}

#[test]
fn other_rows_than_the_answer_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    pelton(&["gen", "tpch", "--scale", "0.001", "--out", data]).ok();
    std::fs::write(folder.path().join("q06.csv"), "revenue\n1\n").unwrap();
    let words = [
        "bench",
        "pdsh",
        "--queries",
        "6",
        "--repeat",
        "1",
        "--backend",
        "cpu",
    ];
    let words: Vec<&str> = words
        .into_iter()
        .chain(["--dir", data, "--verify", data])
        .collect();
    pelton(&words).fails(1, &["other rows", "queries 6"]);
}
