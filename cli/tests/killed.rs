//! A command that is killed or interrupted in its midst: while its query spills, and while its output is
//! written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::engine::{LazyFrame, scan_parquet};
use pelton::expr::{col, lit};
use support::{command, names};

/// Folders of a command: of its input and plan, of its output, of its spill files.
struct Fixture {
    input: tempfile::TempDir,
    output: tempfile::TempDir,
    spill: tempfile::TempDir,
    plan: PathBuf,
}

impl Fixture {
    /// `numbers.parquet` in row groups of 1000 rows, and a plan over it.
    fn new(rows: i64, query: impl Fn(LazyFrame) -> LazyFrame) -> Fixture {
        let [input, output, spill] = [0; 3].map(|_| tempfile::tempdir().unwrap());
        let data = input.path().join("numbers.parquet");
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(1000))
            .build();
        let file = std::fs::File::create(&data).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let frame = query(scan_parquet(&data).unwrap());
        let plan = input.path().join("plan.json");
        std::fs::write(&plan, serde_json::to_string(frame.query()).unwrap()).unwrap();
        Fixture {
            input,
            output,
            spill,
            plan,
        }
    }

    fn command(&self, output: &str, options: &[&str]) -> Command {
        let mut command = command();
        command
            .args(["run", self.plan.to_str().unwrap(), "--backend", "cpu"])
            .args(options.iter().flat_map(|option| ["-o", *option]))
            .arg("--output")
            .arg(self.output.path().join(output))
            .env("TMPDIR", self.spill.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Sorts more rows than fit, and is told when some are on disk.
    fn spilling() -> (Fixture, Command) {
        let fixture = Fixture::new(200_000, |numbers| {
            let sorted = numbers.with_columns([(lit(0) - col("n")).alias("key")]);
            sorted.sort([col("key")]).select([col("n")])
        });
        let options = [
            "log=debug",
            "host_memory_limit=2MiB",
            "target_partition_size=1",
            "num_streaming_threads=2",
        ];
        let command = fixture.command("out.parquet", &options);
        (fixture, command)
    }

    /// Writes two million rows.
    fn writing(output: &str) -> (Fixture, Command) {
        let fixture = Fixture::new(1_500, |numbers| {
            let others = numbers.clone().select([col("n").alias("other")]);
            numbers.cross_join(others)
        });
        let command = fixture.command(output, &[]);
        (fixture, command)
    }

    fn outputs(&self) -> Vec<String> {
        names(self.output.path())
    }

    /// Waits until the output is being written under a name that is not its own.
    fn until_written(&self) {
        let started = Instant::now();
        while !self
            .outputs()
            .iter()
            .any(|name| name.starts_with(".pelton-"))
        {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{:?}",
                self.outputs()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Reads what a command tells until a batch is on disk.
fn until_spilled(child: &mut Child) -> BufReader<std::process::ChildStderr> {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !(line.contains("moved a batch") && line.contains("to=\"disk\"")) {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    errors
}

/// Reads on, so that the command does not wait for its reader, and waits for its end.
fn end(mut child: Child, mut errors: impl Read) -> (ExitStatus, String) {
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap(), rest)
}

fn interrupt(child: &Child) -> Instant {
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    Instant::now()
}

fn nothing(folder: &Path) {
    assert_eq!(names(folder), Vec::<String>::new());
}

#[test]
fn a_query_that_is_killed_while_it_spills_leaves_nothing() {
    let (fixture, mut command) = Fixture::spilling();
    let mut child = command.spawn().unwrap();
    let errors = until_spilled(&mut child);
    child.kill().unwrap(); // SIGKILL
    let (status, _) = end(child, errors);
    assert_eq!(status.code(), None, "it was killed in its midst");
    nothing(fixture.spill.path());
    nothing(fixture.output.path());
    assert_eq!(
        names(fixture.input.path()),
        ["numbers.parquet", "plan.json"]
    );
}

#[test]
fn a_query_that_is_interrupted_while_it_spills_leaves_nothing() {
    let (fixture, mut command) = Fixture::spilling();
    let mut child = command.spawn().unwrap();
    let errors = until_spilled(&mut child);
    let asked = interrupt(&child);
    let (status, rest) = end(child, errors);
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    let error = rest.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap();
    assert!(error.ends_with("cancelled: interrupted"), "{error}");
    assert!(error.contains("pipeline "), "{error}");
    nothing(fixture.spill.path());
    nothing(fixture.output.path());
}

#[test]
fn an_output_that_is_killed_has_no_name_and_is_swept_by_the_next() {
    for output in ["out.parquet", "out.csv"] {
        let (fixture, mut command) = Fixture::writing(output);
        let mut child = command.spawn().unwrap();
        fixture.until_written();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "killed in its midst");
        let left = fixture.outputs();
        assert!(
            matches!(left.as_slice(), [name] if name.starts_with(".pelton-")),
            "{left:?}"
        );
        support::finish(command).ok();
        assert_eq!(fixture.outputs(), [output]);
    }
}

#[test]
fn an_output_that_is_interrupted_leaves_nothing() {
    for output in ["out.parquet", "out.csv"] {
        let (fixture, mut command) = Fixture::writing(output);
        let child = command.spawn().unwrap();
        fixture.until_written();
        let asked = interrupt(&child);
        let output = child.wait_with_output().unwrap();
        let took = asked.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(took < Duration::from_secs(1), "it took {took:?}");
        nothing(fixture.output.path());
    }
}
