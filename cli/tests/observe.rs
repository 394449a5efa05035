//! What the command line tells of queries, and how Ctrl-C ends them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::engine::{LazyFrame, scan_parquet};
use pelton::expr::{col, count_rows, lit};
use serde_json::Value;
use support::{command, names, pelton};

/// A folder with `numbers.parquet`, of row groups of 100 rows, and a plan over it.
fn fixture(rows: i64, query: impl Fn(LazyFrame) -> LazyFrame) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("numbers.parquet");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let nested: ArrayRef = Arc::new(StructArray::from(batch.clone()));
    let columns = [("n", batch.column(0).clone()), ("nested", nested)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .build();
    let file = std::fs::File::create(&data).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let frame = query(scan_parquet(&data).unwrap());
    let plan = folder.path().join("plan.json");
    std::fs::write(&plan, serde_json::to_string(frame.query()).unwrap()).unwrap();
    (folder, plan)
}

fn small() -> (tempfile::TempDir, PathBuf) {
    fixture(1000, |numbers| {
        numbers
            .filter(col("n").gt_eq(lit(250)))
            .select([count_rows().alias("rows")])
    })
}

fn run(plan: &Path, rest: &[&str]) -> support::Ran {
    let mut arguments = vec!["run", plan.to_str().unwrap(), "--backend", "cpu"];
    arguments.extend(rest);
    pelton(&arguments)
}

#[test]
fn statistics_for_people_and_for_programs() {
    let (folder, plan) = small();
    let json = folder.path().join("stats.json");
    let ran = run(&plan, &["--stats", "--stats-json", json.to_str().unwrap()]).ok();
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let table: Vec<Vec<String>> = ran.stderr.lines().map(words).collect();
    assert_eq!(table[0][..3], ["step", "operator", "runs"]);
    let filter = table
        .iter()
        .find(|row| row.get(1).is_some_and(|name| name == "filter"));
    let filter = filter.unwrap();
    assert_eq!(filter[..3], ["1.1", "filter", "cpu"]);
    assert_eq!(filter[4..6], ["800", "750"], "{}", ran.stderr); // two row groups are pruned
    assert!(
        ran.stderr.contains("pruned by statistics: 2 row groups"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\nresult_rows 1"), "{}", ran.stderr);

    let stats: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(stats["counters"]["result_rows"], 1);
    let steps = stats["steps"].as_array().unwrap();
    let filter = steps
        .iter()
        .find(|step| step["operator"] == "filter")
        .unwrap();
    assert_eq!(filter["kind"], "transform");
    assert_eq!(filter["rows_out"]["rows"], 750);
    assert_eq!(filter["rows_out"]["exact"], true);
    let scan = &stats["decisions"][0]["choice"]["scan"];
    assert_eq!(scan["row_groups"], 8);
    assert_eq!(stats["tiers"].as_array().unwrap().len(), 4);
}

#[test]
fn analyze_prints_figures_and_no_rows() {
    let (_folder, plan) = small();
    let ran = run(&plan, &["--analyze"]).ok();
    assert!(
        ran.stdout.contains("[cpu: 800 rows in, 750 out, "),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("+--"), "{}", ran.stdout);
    run(&plan, &["--analyze", "--explain"]).fails(2, &["--explain"]);
}

#[test]
fn a_trace_is_written_where_it_is_asked_for() {
    let (folder, plan) = small();
    let file = folder.path().join("trace.json");
    run(&plan, &["--trace", file.to_str().unwrap()]).ok();
    let trace: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 3);
    run(&plan, &["--trace", "/no/such/folder/trace.json"]).fails(1, &["trace.json"]);
}

#[test]
fn events_are_told_as_the_option_says() {
    let (_folder, plan) = small();
    assert_eq!(run(&plan, &[]).ok().stderr, "");
    let ran = run(&plan, &["-o", "log=info"]).ok();
    assert!(
        ran.stderr
            .contains("INFO query{backend=\"cpu\"}: query starts"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("DEBUG"), "{}", ran.stderr);
    assert_eq!(run(&plan, &["-o", "log=info", "--quiet"]).ok().stderr, "");
    assert_eq!(run(&plan, &["-o", "log=none"]).ok().stderr, "");

    // Fallbacks are told once, by default in words, else as events, too.
    let nested = fixture(1000, |numbers| numbers.filter(col("n").lt(lit(3))));
    let simt = |log: &str| {
        let plan = nested.1.to_str().unwrap();
        pelton(&["run", plan, "--backend", "simt", "-o", log])
            .ok()
            .stderr
    };
    let told = simt("log=warn");
    assert!(told.contains("note: on the CPU: pipeline 1: "), "{told}");
    assert!(!told.contains("WARN"), "{told}");
    assert!(simt("log=info").contains("WARN"));
}

#[test]
fn an_interrupt_cancels_the_query_and_leaves_nothing() {
    let (folder, plan) = fixture(20_000, |numbers| {
        let others = numbers.clone().select([col("n").alias("other")]);
        numbers
            .join_where(others, (col("n") * col("other")).eq(lit(-1)))
            .select([count_rows().alias("rows")])
    });
    let scratch = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.csv");
    let trace = folder.path().join("trace.json");
    let mut command = command();
    command
        .arg("run")
        .arg(&plan)
        .args([
            "--backend",
            "cpu",
            "-o",
            "log=info",
            "-o",
            "target_partition_size=1",
        ])
        .args(["-o", "num_streaming_threads=2"])
        .arg("--output")
        .arg(&output)
        .arg("--trace")
        .arg(&trace)
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("query starts") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    let asked = Instant::now();
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("cancelled: interrupted"), "{rest}");
    let took = asked.elapsed();
    assert!(took.as_secs() < 1, "it took {took:?}");
    assert_eq!(names(scratch.path()), Vec::<String>::new());
    // The trace is there: it was asked for, and shows how far the query came.
    assert_eq!(
        names(folder.path()),
        ["numbers.parquet", "plan.json", "trace.json"]
    );
    let trace: Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    assert!(trace["traceEvents"].is_array());
}
