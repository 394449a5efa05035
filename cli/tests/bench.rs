//! `pelton bench`: a suite over tables that are derived, and runs beside each other.
#![cfg(feature = "sql")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use support::{Ran, names, pelton};

/// The first number that a query over a folder's tables has.
fn number(dir: &str, text: &str) -> String {
    let words = [
        "sql",
        "--backend",
        "cpu",
        "--format",
        "csv",
        "--dir",
        dir,
        text,
    ];
    let ran = pelton(&words).ok();
    ran.stdout.lines().nth(1).unwrap().to_string()
}

/// The text of a query of the suite, behind its comments: an argument does not begin with them.
fn query(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("queries/ssb")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text[text.find("SELECT").unwrap()..].to_string()
}

#[test]
fn the_star_is_what_tpch_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, ssb, run) = (path("data"), path("ssb"), path("run.json"));
    pelton(&["gen", "tpch", "--scale", "0.01", "--out", &data]).ok();
    let derive = [
        "gen",
        "ssb",
        "--backend",
        "cpu",
        "--from",
        &data,
        "--out",
        &ssb,
    ];
    pelton(&derive).ok();
    let tables = ["customer", "dates", "lineorder", "part", "supplier"];
    assert_eq!(
        names(Path::new(&ssb)),
        tables.map(|table| format!("{table}.parquet"))
    );
    pelton(&derive).fails(1, &["lineorder.parquet"]);
    pelton(&[&derive[..], &["--overwrite"]].concat()).ok();

    // What the suite's queries give is what TPC-H's tables say.
    let lines = "SELECT count(*), sum(lo_revenue) FROM lineorder";
    let of_tpch = "SELECT count(*), sum(CAST(l_extendedprice * 100 AS BIGINT) \
                   * (100 - CAST(l_discount * 100 AS BIGINT)) / 100) FROM lineitem";
    assert_eq!(number(&ssb, lines), number(&data, of_tpch));
    let of_tpch = "SELECT sum(CAST(l_extendedprice * l_discount * 10000 AS BIGINT)) \
                   FROM lineitem JOIN orders ON l_orderkey = o_orderkey \
                   WHERE o_orderdate >= DATE '1993-01-01' AND o_orderdate < DATE '1994-01-01' \
                   AND l_discount BETWEEN 0.01 AND 0.03 AND l_quantity < 25";
    assert_eq!(number(&ssb, &query("q11.sql")), number(&data, of_tpch));
    let of_tpch = "SELECT EXTRACT(YEAR FROM o_orderdate), c.n_name, sum(CAST(l_extendedprice * 100 AS BIGINT) \
                   * (100 - CAST(l_discount * 100 AS BIGINT)) / 100 - CAST(ps_supplycost * 100 AS BIGINT)) \
                   FROM lineitem JOIN orders ON l_orderkey = o_orderkey \
                   JOIN customer ON o_custkey = c_custkey JOIN nation c ON c_nationkey = c.n_nationkey \
                   JOIN supplier ON l_suppkey = s_suppkey JOIN nation s ON s_nationkey = s.n_nationkey \
                   JOIN part ON l_partkey = p_partkey \
                   JOIN partsupp ON l_partkey = ps_partkey AND l_suppkey = ps_suppkey \
                   WHERE c.n_regionkey = 1 AND s.n_regionkey = 1 \
                   AND (p_brand LIKE 'Brand#1_' OR p_brand LIKE 'Brand#2_') \
                   GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(number(&ssb, &query("q41.sql")), number(&data, of_tpch));
    let days = "SELECT count(*), min(d_date), max(d_date), sum(d_daynuminyear) FROM dates";
    let sum = 5 * 365 * 366 / 2 + 2 * 366 * 367 / 2;
    assert_eq!(
        number(&ssb, days),
        format!("2557,1992-01-01,1998-12-31,{sum}")
    );

    let words = [
        "bench",
        "ssb",
        "--dir",
        &ssb,
        "--backend",
        "cpu",
        "--repeat",
        "1",
        "--json",
        &run,
    ];
    let ran = pelton(&words).ok();
    assert_eq!(ran.stdout.lines().count(), 1 + 13 + 1, "{}", ran.stdout);
    let few = [&words[..], &["--queries", "11-13,43"]].concat();
    assert_eq!(pelton(&few).ok().stdout.lines().count(), 1 + 4 + 1);
    let wrong = [&words[..], &["--queries", "14"]].concat();
    pelton(&wrong).fails(2, &["`14`", "11, 12, 13, 21"]);
    let written = std::fs::read_to_string(&run).unwrap();
    let itself = pelton(&["bench", "compare", &run, &run, "--format", "csv"]).ok();
    assert!(
        itself.stdout.ends_with("geometric mean,,,1.0\n"),
        "{written}: {itself:?}"
    );
}

/// Compares two files of figures.
fn compare(a: &str, b: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a.json"), a).unwrap();
    std::fs::write(path("b.json"), b).unwrap();
    pelton(&[
        "bench",
        "compare",
        &path("a.json"),
        &path("b.json"),
        "--format",
        "csv",
    ])
}

#[test]
fn runs_are_compared_query_by_query() {
    let a = r#"[{"query": 1, "best_ms": 10, "plan_ms": 3}, {"query": 2, "best_ms": 4.5},
                {"query": 9, "best_ms": 1}, {"query": 12, "best_ms": 7}]"#;
    let b = r#"[{"query": 12, "best_ms": 14}, {"query": 1, "best_ms": 2.5}, {"query": 3, "best_ms": 1}]"#;
    let ran = compare(a, b).ok();
    let expected = "\
query,a_ms,b_ms,a_per_b
1,10.0,2.5,4.0
12,7.0,14.0,0.5
total,17.0,16.5,1.03
geometric mean,,,1.414
";
    assert_eq!(ran.stdout, expected);
    assert!(
        ran.stderr.contains("a.json: queries 2, 9\n"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("b.json: queries 3\n"), "{}", ran.stderr);
}

#[test]
fn what_is_no_run_is_not_compared() {
    let one = r#"[{"query": 1, "best_ms": 10}]"#;
    compare(one, r#"[{"query": 2, "best_ms": 10}]"#).fails(1, &["no query in common"]);
    compare(one, "[]").fails(1, &["no query in common"]);
    compare("{}", one).fails(1, &["a.json", "--json"]);
    compare(r#"[{"query": 1}]"#, one).fails(1, &["a.json", "best_ms"]);
    compare(one, r#"[{"query": 1, "best_ms": 0}]"#).fails(1, &["b.json", "query 1"]);
    pelton(&["bench", "compare", "/none.json", "/none.json"]).fails(1, &["/none.json"]);
}

#[test]
fn runs_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a.json"), r#"[{"query": 1, "best_ms": 10}]"#).unwrap();
    std::fs::write(path("empty.json"), "[]").unwrap();
    let (a, out) = (path("a.json"), path("bars.svg"));
    pelton(&["bench", "plot", &a, &a, "--out", &out]).ok();
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("<svg "), "{text}");
    std::fs::remove_file(&out).unwrap();
    pelton(&["bench", "plot", &path("empty.json"), "--out", &out]).fails(1, &["no query"]);
    pelton(&["bench", "plot", &a]).fails(2, &["--out"]);
    assert_eq!(names(folder.path()), ["a.json", "empty.json"]);
}
