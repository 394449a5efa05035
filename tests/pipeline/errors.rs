//! What goes wrong is one line with cause and place.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use expect_test::{Expect, expect};
use pelton::prelude::*;

use crate::files::{batch, engine, failed, folder_of, orders, write};

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check<T>(folder: &Path, result: Result<T>, expected: Expect) {
    let text = match result {
        Ok(_) => "no error".to_string(),
        Err(error) => error
            .to_string()
            .replace(&folder.display().to_string(), "X"),
    };
    assert_eq!(text.lines().count(), 1, "{text}");
    expected.assert_eq(&text);
}

#[test]
fn files_that_are_not_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    fs::create_dir(at.join("empty"))?;
    check(at, scan_parquet(at.join("no.parquet")), expect![[""]]);
    check(at, scan_parquet(at.join("empty")), expect![[""]]);
    check(at, scan_parquet(at.join("*.parquet")), expect![[""]]);
    check(at, scan_parquet_files::<&str>(&[]), expect![[""]]);
    Ok(())
}

#[test]
fn files_that_are_no_parquet() -> Result<()> {
    let folder = folder_of(&orders(500), 100)?;
    let at = folder.path();
    let whole = fs::read(at.join("orders.parquet"))?;
    fs::write(at.join("text.parquet"), "customer,amount\n1,2\n3,4\n")?;
    fs::write(at.join("nothing.parquet"), "")?;
    fs::write(at.join("cut.parquet"), &whole[..whole.len() - 100])?;
    check(at, scan_parquet(at.join("text.parquet")), expect![[""]]);
    check(at, scan_parquet(at.join("nothing.parquet")), expect![[""]]);
    check(at, scan_parquet(at.join("cut.parquet")), expect![[""]]);
    // The footer is whole, the first half of the pages is gone.
    let mut shorter = whole.clone();
    shorter.drain(4..whole.len() / 2);
    fs::write(at.join("half.parquet"), shorter)?;
    check(
        at,
        scan_parquet(at.join("half.parquet"))?.collect(&engine(&["num_streaming_threads=1"])?),
        expect![[""]],
    );
    let mut broken = whole;
    broken[4..400].fill(0xff);
    fs::write(at.join("broken.parquet"), broken)?;
    check(
        at,
        scan_parquet(at.join("broken.parquet"))?.collect(&engine(&["num_streaming_threads=1"])?),
        expect![[""]],
    );
    Ok(())
}

#[test]
fn files_of_different_schemas() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let table =
        |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).map_err(failed);
    let long: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let short: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    for (name, batch) in [
        (
            "1.parquet",
            table(vec![("a", Arc::clone(&long)), ("b", Arc::clone(&long))])?,
        ),
        (
            "2.parquet",
            table(vec![("a", Arc::clone(&long)), ("b", short)])?,
        ),
        ("3.parquet", table(vec![("a", Arc::clone(&long))])?),
        (
            "4.parquet",
            table(vec![
                ("a", Arc::clone(&long)),
                ("b", Arc::clone(&long)),
                ("c", long),
            ])?,
        ),
    ] {
        write(&at.join(name), &batch, 10)?;
    }
    let both = |other: &str| scan_parquet_files(&[at.join("1.parquet"), at.join(other)]);
    check(at, both("2.parquet"), expect![[""]]);
    check(at, both("3.parquet"), expect![[""]]);
    check(at, both("4.parquet"), expect![[""]]);
    Ok(())
}

#[test]
fn files_that_change_after_planning() -> Result<()> {
    let folder = folder_of(&orders(10), 10)?;
    let at = folder.path();
    let frame = scan_parquet(at)?;
    let other: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("other", other)]).map_err(failed)?;
    write(&at.join("orders.parquet"), &other, 10)?;
    let engine = engine(&[])?;
    check(at, frame.collect(&engine), expect![[""]]);
    fs::remove_file(at.join("orders.parquet"))?;
    check(at, frame.collect(&engine), expect![[""]]);
    Ok(())
}

#[test]
fn plans_that_are_wrong() -> Result<()> {
    let folder = folder_of(&orders(10), 10)?;
    let at = folder.path();
    let engine = engine(&[])?;
    let scan = || scan_parquet(at);
    check(
        at,
        scan()?.filter(col("amuont").gt(lit(1))).collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?.filter(col("city").gt(lit(1))).collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?.filter(col("amount")).collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?.select([col("city") + lit(1)]).collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?
            .select([col("day"), col("city").alias("day")])
            .collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?
            .select([col("amount").sum(), col("day")])
            .collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?
            .group_by([col("day")])
            .agg([col("amount")])
            .collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?
            .group_by([col("day")])
            .agg([col("city").sum()])
            .collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?.filter(col("day").lt(lit("soon"))).collect(&engine),
        expect![[""]],
    );
    check(
        at,
        scan()?
            .with_columns([col("no").alias("x")])
            .explain(&engine),
        expect![[""]],
    );
    Ok(())
}

#[test]
fn options_that_are_wrong() {
    let at = Path::new("/nowhere");
    let set = |pair: &str| EngineOptions::default().set_pair(pair);
    check(at, set("target_partition_sise=1MiB"), expect![[""]]);
    check(at, set("colour=blue"), expect![[""]]);
    check(at, set("backend=gpu"), expect![[""]]);
    check(at, set("target_partition_size=big"), expect![[""]]);
    check(at, set("memory_reserve_timeout=100"), expect![[""]]);
    check(at, set("statistics"), expect![[""]]);
}

#[test]
fn memory_that_does_not_suffice() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    write(&at.join("orders.parquet"), &batch(&orders(1000))?, 1000)?;
    let engine = engine(&["host_memory_limit=1k", "memory_reserve_timeout=1ms"])?;
    let outcome = scan_parquet(at)?.collect(&engine);
    assert!(
        outcome
            .as_ref()
            .err()
            .is_some_and(|error| error.to_string().starts_with("scan: host memory: ")),
        "{outcome:?}"
    );
    assert_eq!(engine.memory().used(pelton::memory::Tier::Host), 0);
    Ok(())
}
