//! `pelton sql` and `pelton explain`: where texts come from, where rows go, and what is said of what is
//! wrong.
#![cfg(feature = "sql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use support::{Ran, finish, names, orders, write_parquet};

/// A folder with the table `orders`, in which commands run.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        write_parquet(&folder.path().join("data/orders.parquet"), &orders());
        Fixture(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = support::command();
        command
            .args(words)
            .args(["--backend", "cpu"])
            .current_dir(self.0.path());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        finish(self.command(words))
    }

    /// Runs a text over the table.
    fn sql(&self, text: &str) -> Ran {
        self.run(&["sql", "--dir", "data", "--format", "csv", text])
    }

    /// Runs a text that comes from standard input.
    fn piped(&self, words: &[&str], text: &str) -> Ran {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn statements_of_a_file_run_in_their_order() {
    let fixture = Fixture::new();
    let text = "-- two; of them\nSELECT 1 AS one;\nSELECT ';' AS semicolon;;\n";
    std::fs::write(fixture.path("two.sql"), text).unwrap();
    let both = "one\n1\nsemicolon\n;\n";
    let words = ["sql", "--format", "csv"];
    let from_file = fixture.run(&[&words[..], &["-f", "two.sql"]].concat());
    assert_eq!(from_file.ok().stdout, both);
    assert_eq!(fixture.piped(&words, text).ok().stdout, both);
    let dash = [&words[..], &["-f", "-"]].concat();
    assert_eq!(fixture.piped(&dash, text).ok().stdout, both);
    assert_eq!(fixture.piped(&words, "").ok().stdout, "");
    fixture
        .run(&["sql", "-f", "none.sql"])
        .fails(1, &["none.sql"]);
    let output = fixture.run(&["sql", "-f", "two.sql", "--output", "x.csv"]);
    output.fails(2, &["one query"]);
}

#[test]
fn an_error_ends_a_text_behind_the_statements_before_it() {
    let fixture = Fixture::new();
    let ran = fixture.sql("SELECT 1 AS one; SELECT amont FROM orders; SELECT 3 AS three");
    assert_eq!(ran.stdout, "one\n1\n");
    ran.fails(1, &["did you mean `amount`?"]);
    let ran = fixture.sql("SELECT 1 AS one; SELECT (2 FROM orders");
    assert_eq!(ran.stdout, "");
    ran.fails(1, &["line 1"]);
}

#[test]
fn errors_show_the_line_and_the_place() {
    let fixture = Fixture::new();
    let ran = fixture.sql("SELECT customer\nFROM orders\n\tWHERE amont > 10");
    let shown = "\
error: SQL, line 3, column 8: there is no column `amont`; did you mean `amount`?
 3 |  WHERE amont > 10
   |        ^^^^^
";
    assert_eq!(ran.stderr, shown);
    ran.fails(1, &[]);
    let ran = fixture.sql("SELECT * FROM read_parquet('data/absent.parquet')");
    let shown = "\
error: SQL, line 1, column 28: cannot open data/absent.parquet: No such file or directory (os error 2)
 1 | SELECT * FROM read_parquet('data/absent.parquet')
   |                            ^^^^^^^^^^^^^^^^^^^^^
";
    assert_eq!(ran.stderr, shown);
    ran.fails(1, &[]);
    fixture
        .sql("SELECT customer FROM order")
        .fails(1, &["did you mean", " | ", "^"]);
    fixture
        .sql("SELECT uper(customer) FROM orders")
        .fails(1, &["did you mean `upper`?", "^^^^"]);
    fixture
        .sql("SELECT customer FROM orders, orders AS o")
        .fails(1, &["`customer`", "o.customer"]);
    fixture
        .sql("SELECT customer + 1 FROM orders")
        .fails(1, &["Utf8 + Int64", "^^^^^^^^"]);
    fixture
        .sql("DROP TABLE orders")
        .fails(1, &["`DROP`", "^^^^"]);
}

#[test]
fn arithmetic_that_fails_names_its_operator() {
    let fixture = Fixture::new();
    let by_zero = fixture.sql("SELECT amount / (amount - 20) FROM orders");
    by_zero.fails(
        1,
        &["project", "amount / (amount - 20)", "division by zero"],
    );
    let filter = fixture.sql("SELECT customer FROM orders WHERE 9223372036854775807 + amount > 0");
    filter.fails(1, &["9223372036854775807", "overflow"]);
    let sum = fixture.sql("SELECT sum(amount * 300000000000000000) FROM orders");
    sum.fails(1, &["sum", "overflow"]);
    fixture
        .sql("SELECT 9223372036854775807 + 1")
        .fails(1, &["overflow of Int64", "^^^"]);
}

#[test]
fn files_are_read_from_the_working_directory() {
    let fixture = Fixture::new();
    let count = |from: &str| {
        let text = format!("SELECT count(*) AS n FROM {from}");
        fixture.run(&["sql", "--format", "csv", &text]).ok().stdout
    };
    assert_eq!(count("read_parquet('data/*.parquet')"), "n\n4\n");
    assert_eq!(
        count("read_parquet(['data/orders.parquet', 'data'])"),
        "n\n8\n"
    );
    assert_eq!(count("'data/orders.parquet'"), "n\n4\n");
}

#[test]
fn copies_have_the_format_of_their_name_or_the_one_asked_for() {
    let fixture = Fixture::new();
    let copied = |text: &str, name: &str| {
        let ran = fixture.sql(text).ok();
        assert_eq!(ran.stdout, "");
        assert!(
            ran.stderr.contains(&format!("rows written to {name}")),
            "{}",
            ran.stderr
        );
        fixture.read(name)
    };
    let large = "(SELECT * FROM orders WHERE amount > 10 ORDER BY amount)";
    let csv = "customer,amount\nbob,20\nann,30\n";
    assert_eq!(copied(&format!("COPY {large} TO 'a.csv'"), "a.csv"), csv);
    assert_eq!(
        copied(&format!("COPY {large} TO 'a.txt' (FORMAT csv)"), "a.txt"),
        csv
    );
    let lines = copied(&format!("COPY {large} TO 'a.csv' (FORMAT ndjson)"), "a.csv");
    assert!(lines.starts_with("{\"customer\":\"bob\""), "{lines}");
    let json = copied(
        "COPY (SELECT 1 AS n WHERE 1 > 2) TO 'none.json'",
        "none.json",
    );
    assert_eq!(json, "[]\n");

    let text = "COPY orders TO 'o.parquet' (COMPRESSION 'zstd(7)', ROW_GROUP_ROWS 3); \
                SELECT sum(amount) AS total FROM 'o.parquet'";
    let ran = fixture.sql(text).ok();
    assert_eq!(ran.stdout, "total\n60\n");
    assert!(
        ran.stderr.contains("4 rows written to o.parquet"),
        "{}",
        ran.stderr
    );
    let file = std::fs::File::open(fixture.path("o.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.num_row_groups(), 2);
    let codec = metadata.row_group(0).column(0).compression();
    assert!(format!("{codec:?}").starts_with("ZSTD"), "{codec:?}");
}

#[test]
fn copies_that_fail_leave_nothing() {
    let fixture = Fixture::new();
    for name in ["x.csv", "x.parquet", "x.json"] {
        std::fs::write(fixture.path("kept.txt"), name).unwrap();
        let text = format!("COPY (SELECT 1 / (amount - 20) FROM orders) TO '{name}'");
        fixture.sql(&text).fails(1, &["division by zero"]);
        assert_eq!(names(fixture.0.path()), ["data", "kept.txt"]);
    }
    fixture
        .sql("COPY orders TO 'x.xml'")
        .fails(1, &["x.xml", "FORMAT", "ndjson"]);
    fixture
        .sql("COPY orders TO 'x.csv' (FORMAT xml)")
        .fails(1, &["`xml`", "ndjson"]);
    let csv = fixture.sql("COPY orders TO 'x.csv' (COMPRESSION zstd)");
    csv.fails(1, &["compression", "Parquet"]);
    let codec = fixture.sql("COPY orders TO 'x.parquet' (COMPRESSION best)");
    codec.fails(1, &["`best`", "snappy"]);
    fixture
        .sql("COPY orders TO 'x.parquet' (LEVEL 3)")
        .fails(1, &["`level`", "compression"]);
    fixture
        .sql("COPY orders TO 'x.parquet' (ROW_GROUP_ROWS 0)")
        .fails(1, &["row_group_rows"]);
    fixture
        .sql("COPY orders TO 'no/x.parquet'")
        .fails(1, &["no"]);
    fixture
        .sql("COPY nothing TO 'x.csv'")
        .fails(1, &["`nothing`", "^^^^^^^"]);
    let words = [
        "sql",
        "--dir",
        "data",
        "--output",
        "y.csv",
        "COPY orders TO 'x.csv'",
    ];
    fixture.run(&words).fails(2, &["--output"]);
    assert_eq!(names(fixture.0.path()), ["data", "kept.txt"]);
}

/// Waits until rows are being written under a name that is not the file's own.
fn until_written(folder: &Path) {
    let started = Instant::now();
    let has_rows = |name: &String| {
        let found = folder.join(name).metadata();
        name.starts_with(".pelton-") && found.is_ok_and(|found| found.len() > 0)
    };
    while !names(folder).iter().any(has_rows) {
        assert!(started.elapsed() < Duration::from_secs(60), "no rows came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Copies a file of many row groups, and does something meanwhile, for which nothing is to be left.
#[track_caller]
fn copying(meanwhile: impl FnOnce(&Path, &Child)) -> Ran {
    let fixture = Fixture::new();
    let file = fixture.path("data/orders.parquet");
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(2000); 4]));
    let batch = RecordBatch::try_from_iter([("long", long)]).unwrap();
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(4));
    let target = std::fs::File::create(&file).unwrap();
    let mut writer = ArrowWriter::try_new(target, batch.schema(), Some(groups.build())).unwrap();
    (0..4000).for_each(|_| writer.write(&batch).unwrap());
    writer.close().unwrap();
    std::fs::create_dir(fixture.path("out")).unwrap();
    let copy = "COPY orders TO 'out/x.csv'";
    let small = [
        "-o",
        "target_partition_size=1",
        "-o",
        "num_streaming_threads=1",
    ];
    let mut command = fixture.command(&[&["sql", "--dir", "data", copy], &small[..]].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until_written(&fixture.path("out"));
    meanwhile(&file, &child);
    let output = child.wait_with_output().unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(names(&fixture.path("out")).is_empty(), "{ran:?}");
    ran
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    let interrupted = copying(|_, child| {
        let process = Pid::from_raw(child.id().try_into().unwrap());
        kill(process, Signal::SIGINT).unwrap();
    });
    interrupted.fails(130, &["interrupted"]);
}

#[test]
fn a_file_that_becomes_shorter_ends_its_query() {
    let cut = copying(|file, _| {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_len(100).unwrap();
    });
    cut.fails(1, &["orders.parquet", "while"]);
}

#[test]
fn a_file_that_another_one_replaces_ends_its_query() {
    let replaced = copying(|file, _| {
        let other = file.with_extension("other");
        write_parquet(&other, &orders());
        std::fs::rename(other, file).unwrap();
    });
    replaced.fails(1, &["orders.parquet", "changed while the query ran"]);
}

#[test]
fn explain_is_a_command_too() {
    let fixture = Fixture::new();
    let query = "SELECT customer FROM orders WHERE amount > 10";
    let explained = fixture
        .run(&["explain", "--dir", "data", query])
        .ok()
        .stdout;
    assert!(explained.contains("orders.parquet"), "{explained}");
    let stated = fixture.sql(&format!("EXPLAIN {query}")).ok().stdout;
    assert_eq!(explained, stated);
    let copy = format!("COPY ({query}) TO 'x.csv'");
    let of_copy = fixture
        .run(&["explain", "--dir", "data", &copy])
        .ok()
        .stdout;
    assert_eq!(explained, of_copy);
    let analysed = fixture
        .run(&["explain", "--dir", "data", "--analyze", query])
        .ok()
        .stdout;
    assert!(analysed.contains("4 rows in"), "{analysed}");
    let wrong = fixture.run(&["explain", "SELECT x"]);
    wrong.fails(1, &["`x`", "^"]);
    assert_eq!(names(fixture.0.path()), ["data"]);
}
