//! `pelton run`: results in every format, and where they go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pelton::engine::{LazyFrame, scan_parquet};
use pelton::expr::{col, lit};
use support::{names, orders, pelton, write_parquet};

struct Fixture {
    folder: tempfile::TempDir,
    plan: PathBuf,
}

/// A file of orders and a plan over it.
fn fixture(query: impl FnOnce(LazyFrame) -> LazyFrame) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("orders.parquet");
    write_parquet(&data, &orders());
    let frame = query(scan_parquet(&data).unwrap());
    let plan = folder.path().join("plan.json");
    std::fs::write(&plan, serde_json::to_string(frame.query()).unwrap()).unwrap();
    Fixture { folder, plan }
}

fn large_orders() -> Fixture {
    fixture(|orders| orders.filter(col("amount").gt(lit(10))))
}

fn run(plan: &Path, rest: &[&str]) -> support::Ran {
    let mut arguments = vec!["run", plan.to_str().unwrap()];
    arguments.extend(rest);
    pelton(&arguments)
}

#[test]
fn every_format_on_standard_output() {
    let fixture = large_orders();
    let text = |format: &str| run(&fixture.plan, &["--format", format]).ok().stdout;
    assert_eq!(text("csv"), "customer,amount\nbob,20\nann,30\n");
    assert_eq!(
        text("json"),
        "[{\"customer\":\"bob\",\"amount\":20},{\"customer\":\"ann\",\"amount\":30}]\n"
    );
    assert_eq!(
        text("ndjson"),
        "{\"customer\":\"bob\",\"amount\":20}\n{\"customer\":\"ann\",\"amount\":30}\n"
    );
    assert_eq!(
        text("canonical"),
        "\"customer\",\"amount\"\n#str,int\n\"bob\",20\n\"ann\",30\n"
    );
    let table = "\
+----------+--------+
| customer | amount |
+----------+--------+
| bob      | 20     |
| ann      | 30     |
+----------+--------+
";
    assert_eq!(text("table"), table);
    assert_eq!(run(&fixture.plan, &[]).ok().stdout, table);
    let parquet = {
        let mut command = support::command();
        command
            .arg("run")
            .arg(&fixture.plan)
            .args(["--format", "parquet"]);
        command.output().unwrap().stdout
    };
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[test]
fn no_rows_still_have_a_schema() {
    let fixture = fixture(|orders| orders.filter(col("amount").gt(lit(1000))));
    let text = |format: &str| run(&fixture.plan, &["--format", format]).ok().stdout;
    assert_eq!(text("csv"), "customer,amount\n");
    assert_eq!(text("json"), "[]\n");
    assert_eq!(text("ndjson"), "");
    assert_eq!(text("canonical"), "\"customer\",\"amount\"\n#str,int\n");
    assert!(text("table").contains("| customer | amount |"));
}

#[test]
fn nulls_are_seen() {
    let fixture = fixture(|orders| orders.filter(col("amount").is_null()));
    let text = |format: &str| run(&fixture.plan, &["--format", format]).ok().stdout;
    assert_eq!(text("csv"), "customer,amount\ncy,\n");
    assert_eq!(text("ndjson"), "{\"customer\":\"cy\",\"amount\":null}\n");
    assert!(text("canonical").ends_with("\"cy\",NULL\n"));
}

#[test]
fn a_file_gets_the_format_of_its_name_and_is_whole() {
    let fixture = large_orders();
    let target = |name: &str| fixture.folder.path().join("out").join(name);
    std::fs::create_dir(fixture.folder.path().join("out")).unwrap();
    for name in ["a.csv", "a.json", "a.ndjson", "a.parquet", "a.txt"] {
        let ran = run(&fixture.plan, &["--output", target(name).to_str().unwrap()]).ok();
        assert_eq!(ran.stdout, "", "{name}");
    }
    assert_eq!(
        std::fs::read_to_string(target("a.csv")).unwrap(),
        "customer,amount\nbob,20\nann,30\n"
    );
    assert!(
        std::fs::read_to_string(target("a.txt"))
            .unwrap()
            .starts_with("+--")
    );
    let file = std::fs::File::open(target("a.parquet")).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(
        rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        2
    );
    assert_eq!(names(&fixture.folder.path().join("out")).len(), 5);

    // --format is stronger than the name.
    let named = target("b.csv");
    run(
        &fixture.plan,
        &["--format", "ndjson", "--output", named.to_str().unwrap()],
    )
    .ok();
    assert!(std::fs::read_to_string(named).unwrap().starts_with('{'));
    run(&fixture.plan, &["--output", "/nowhere/at/all.csv"]).fails(1, &["/nowhere/at/all.csv"]);
}

#[test]
fn the_plan_may_come_from_standard_input() {
    let fixture = large_orders();
    let mut command = support::command();
    command
        .args(["run", "-", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let plan = std::fs::read(&fixture.plan).unwrap();
    child.stdin.take().unwrap().write_all(&plan).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"customer,amount\nbob,20\nann,30\n");
}

#[test]
fn results_are_folders_if_an_option_says_so() {
    let fixture = large_orders();
    let target = fixture.folder.path().join("out");
    let path = target.to_str().unwrap();
    let format = ["--format", "parquet", "--output", path];
    for _replaced in 0..2 {
        let option = ["-o", "sink_to_directory=true"];
        run(&fixture.plan, &[&format[..], &option[..]].concat()).ok();
        assert_eq!(names(&target), ["part-00000.parquet"]);
        let digest = pelton(&[
            "digest".as_ref(),
            target.join("part-00000.parquet").as_os_str(),
        ]);
        let digest = digest.ok().stdout;
        assert_eq!(digest.split(' ').nth(1), Some("2"), "{digest}");
    }
    let source = fixture.folder.path().join("orders.parquet");
    let target = fixture.folder.path().join("rewritten");
    let words = [
        "rewrite",
        source.to_str().unwrap(),
        target.to_str().unwrap(),
    ];
    pelton(&[&words[..], &["-o", "sink_to_directory=true"][..]].concat()).ok();
    assert_eq!(names(&target), ["part-00000.parquet"]);
}

#[test]
fn counters_and_plans_are_not_results() {
    let fixture = large_orders();
    let ran = run(&fixture.plan, &["--stats", "--format", "csv"]).ok();
    assert_eq!(ran.stdout, "customer,amount\nbob,20\nann,30\n");
    assert!(ran.stderr.contains("scan_rows 4"), "{}", ran.stderr);
    assert!(ran.stderr.contains("result_rows 2"), "{}", ran.stderr);
    let ran = run(&fixture.plan, &["--explain"]).ok();
    assert!(ran.stdout.contains("filter"), "{}", ran.stdout);
    assert!(ran.stdout.contains("orders.parquet"), "{}", ran.stdout);
    let ran = run(&fixture.plan, &["--verbose", "--backend", "cpu"]).ok();
    assert!(ran.stderr.contains("backend cpu:"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = support::command();
    command
        .args(["config", "--format", "ndjson"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.current_dir(folder.path());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn broken_queries_are_one_line_with_a_place() {
    let fixture = fixture(|orders| orders.filter(col("amont").gt(lit(10))));
    run(&fixture.plan, &[]).fails(1, &["amont", "amount"]);
    let fixture = self::fixture(|orders| orders.filter(col("amount").plus(lit(1))));
    run(&fixture.plan, &[]).fails(1, &["amount"]);
    let fixture = self::fixture(|orders| orders.filter(col("customer").gt(lit(10))));
    run(&fixture.plan, &[]).fails(1, &["customer"]);

    let fixture = large_orders();
    let data = fixture.folder.path().join("orders.parquet");
    let whole = std::fs::read(&data).unwrap();
    std::fs::write(&data, &whole[..whole.len() - 20]).unwrap();
    run(&fixture.plan, &[]).fails(1, &["orders.parquet"]);
    std::fs::remove_file(&data).unwrap();
    run(&fixture.plan, &[]).fails(1, &["orders.parquet"]);
    let other = orders().project(&[0]).unwrap();
    write_parquet(&data, &other);
    run(&fixture.plan, &[]).fails(1, &["schema"]);

    std::fs::write(&fixture.plan, "{\"plan\": 3}").unwrap();
    run(&fixture.plan, &[]).fails(1, &["plan.json", "line 1"]);
    run(Path::new("/nowhere.json"), &[]).fails(1, &["/nowhere.json"]);
}
