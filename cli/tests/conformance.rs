//! `pelton digest` against the verdicts of files that this project did not write.
//!
//! The files and their manifest lie beside the repository, in `../shared/conformance`. Where they
//! are absent the test says so and passes, unless `PELTON_REQUIRE_CONFORMANCE=1`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// No file may take longer, not even in a build without optimisation.
const SECONDS_MAX: u64 = 60;

/// The material, or nothing if it is absent and may be.
fn material() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("../shared/conformance/parquet");
    if folder.join("manifest.csv").is_file() {
        return Some(folder);
    }
    let required = std::env::var("PELTON_REQUIRE_CONFORMANCE").is_ok_and(|value| value == "1");
    assert!(!required, "{} is required and absent", folder.display());
    eprintln!("skipped: no conformance material at {}", folder.display());
    None
}

/// The manifest's rows: column by name.
fn manifest(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder.join("manifest.csv")).unwrap();
    let mut records = csv_records(&text).into_iter();
    let names = records.next().unwrap();
    records
        .map(|record| names.iter().cloned().zip(record).collect())
        .collect()
}

/// Splits CSV with quoted cells.
fn csv_records(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut quoted = false;
    for c in text.chars() {
        let record = records.last_mut().unwrap();
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\n' if !quoted => records.push(vec![String::new()]),
            c => record.last_mut().unwrap().push(c),
        }
    }
    records.retain(|record| record.len() > 1);
    records
}

/// Every file below a folder that is data rather than documentation.
fn data_files(folder: &Path, found: &mut Vec<PathBuf>) {
    const OTHERS: [&str; 11] = [
        "md",
        "csv",
        "json",
        "txt",
        "test",
        "slt",
        "sql",
        "bin",
        "py",
        "tbl",
        "test_slow",
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        if path.is_dir() {
            data_files(&path, found);
        } else if !OTHERS.contains(&extension) {
            found.push(path);
        }
    }
}

/// What `pelton digest` with some flags says about one file, and how it ended.
fn digest(path: &Path, flags: &[&str]) -> Result<String, String> {
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_pelton"))
        .arg("digest")
        .args(flags)
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_string();
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0 | 1) => {}
        code => return Err(format!("ended with {code:?}: {complaint}")),
    }
    if !complaint.is_empty() {
        return Err(format!("wrote to standard error: {complaint}"));
    }
    if started.elapsed() > Duration::from_secs(SECONDS_MAX) {
        return Err(format!("took {:?}", started.elapsed()));
    }
    let as_error = text.starts_with("ERROR ");
    if text.lines().count() != 1 || as_error != (output.status.code() == Some(1)) {
        return Err(format!("{:?} with: {text}", output.status.code()));
    }
    Ok(text)
}

/// Whether an answer is the manifest's digest and number of rows.
fn has_digest(row: &BTreeMap<String, String>, answer: &str) -> bool {
    answer.starts_with(&format!("{} {} ", row["digest"], row["rows"]))
}

/// Why an answer is not the manifest's, if it is not.
fn objection(row: &BTreeMap<String, String>, answer: &str) -> Option<String> {
    let is_error = answer.starts_with("ERROR ");
    let digest_equal = has_digest(row, answer);
    let fulfilled = match row["expect"].as_str() {
        "decode" => digest_equal,
        "error" | "error with CRC checks on, else decode" => is_error,
        "error: encrypted" => answer.starts_with("ERROR encrypted "),
        "error or decode" => is_error || digest_equal,
        "bounded" | "no-crash" => true,
        other => return Some(format!("the manifest asks for `{other}`, unknown here")),
    };
    (!fulfilled).then(|| {
        format!(
            "expected {} {}, got: {answer}",
            row["expect"], row["digest"]
        )
    })
}

#[test]
fn every_file_gets_the_manifests_verdict() {
    let Some(folder) = material() else { return };
    let mut files = Vec::new();
    data_files(&folder, &mut files);
    let rows = manifest(&folder);
    let mut objections = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
        if !rows.iter().any(|row| row["file"] == name) {
            objections.push(format!("{name}: no row of the manifest names it"));
        }
    }
    for row in &rows {
        let objection = match digest(&folder.join(&row["file"]), &[]) {
            Ok(answer) => objection(row, &answer),
            Err(crash) => Some(crash),
        };
        objections.extend(objection.map(|text| format!("{}: {text}", row["file"])));
    }
    assert!(rows.len() > 80, "the manifest has only {} rows", rows.len());
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

#[test]
fn a_wrong_checksum_is_passed_over_on_request() {
    let Some(folder) = material() else { return };
    let rows = manifest(&folder);
    let decodes = |row: &&BTreeMap<_, _>| row["expect"] == "error with CRC checks on, else decode";
    let mut count = 0;
    for row in rows.iter().filter(decodes) {
        let flags = ["-o", "parquet_check_crc=false"];
        let answer = digest(&folder.join(&row["file"]), &flags).unwrap();
        assert!(has_digest(row, &answer), "{}: {answer}", row["file"]);
        count += 1;
    }
    assert!(count > 0);
}

/// Every file gets the manifest's verdict by kernels, too, and nested columns are among those read.
fn check_kernels(backend: &str) {
    let Some(folder) = material() else { return };
    let flags = ["--backend", backend, "-o", "parquet_check_crc_device=true"];
    let (mut objections, mut nested) = (Vec::new(), 0);
    for row in manifest(&folder) {
        let found = match digest(&folder.join(&row["file"]), &flags) {
            Ok(answer) => {
                nested += usize::from(row["nested"] == "1" && has_digest(&row, &answer));
                objection(&row, &answer)
            }
            Err(crash) => Some(crash),
        };
        objections.extend(found.map(|text| format!("{}: {text}", row["file"])));
    }
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
    assert!(nested > 10, "only {nested} files with nested columns");
}

#[test]
fn every_file_gets_the_manifests_verdict_by_emulated_kernels() {
    check_kernels("simt");
}

#[test]
fn every_file_gets_the_manifests_verdict_on_a_gpu() {
    let info = Command::new(env!("CARGO_BIN_EXE_pelton"))
        .args(["info", "--backend", "cuda"])
        .output()
        .unwrap();
    if info.status.success() {
        return check_kernels("cuda");
    }
    let required = std::env::var_os("PELTON_REQUIRE_GPU").is_some_and(|value| value == "1");
    assert!(!required, "PELTON_REQUIRE_GPU is set, and there is none");
    eprintln!("skipped: no CUDA device");
}
