//! Runs the built binary, and makes what it reads.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of this; a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary, with none of our variables set.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PELTON_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a prepared command.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `pelton` with these arguments.
pub fn pelton<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Ran {
    let mut command = command();
    command.args(arguments);
    finish(command)
}

/// Runs a command line without spaces in its words.
pub fn line(text: &str) -> Ran {
    pelton(&text.split_whitespace().collect::<Vec<_>>())
}

impl Ran {
    /// Demands success, and nothing but silence if `quiet`.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Demands an exit code, and one line `error: …` that has all these words.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// A small table of orders.
pub fn orders() -> RecordBatch {
    let customer: ArrayRef = Arc::new(StringArray::from(vec!["ann", "bob", "ann", "cy"]));
    let amount: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), Some(20), Some(30), None]));
    RecordBatch::try_from_iter_with_nullable([
        ("customer", customer, false),
        ("amount", amount, true),
    ])
    .unwrap()
}

/// Writes a batch as one Parquet file.
pub fn write_parquet(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Names in a folder, hidden ones too.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
