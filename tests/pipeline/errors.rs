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
    check(
        at,
        scan_parquet(at.join("no.parquet")),
        expect!["cannot open X/no.parquet: No such file or directory (os error 2)"],
    );
    check(
        at,
        scan_parquet(at.join("empty")),
        expect![
            "folder X/empty: holds no *.parquet file; name the files by a pattern if they end in something else"
        ],
    );
    check(
        at,
        scan_parquet(at.join("*.parquet")),
        expect!["pattern X/*.parquet: matches no file; `**` stands for any number of folders"],
    );
    check(
        at,
        scan_parquet_files::<&str>(&[]),
        expect![
            "scan: no file is named; name a file, a folder or a pattern such as `data/*.parquet`"
        ],
    );
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
    check(
        at,
        scan_parquet(at.join("text.parquet")),
        expect!["X/text.parquet: is no Parquet file: it neither begins nor ends with `PAR1`"],
    );
    check(
        at,
        scan_parquet(at.join("nothing.parquet")),
        expect!["X/nothing.parquet: is empty: no Parquet file"],
    );
    check(
        at,
        scan_parquet(at.join("cut.parquet")),
        expect!["X/cut.parquet: begins as a Parquet file and does not end as one: it is cut off"],
    );
    // The footer is whole, the first half of the pages is gone.
    let mut shorter = whole.clone();
    shorter.drain(4..whole.len() / 2);
    fs::write(at.join("half.parquet"), shorter)?;
    check(
        at,
        scan_parquet(at.join("half.parquet"))?.collect(&engine(&["num_streaming_threads=1"])?),
        expect!["X/half.parquet: row group 0, column `customer`, page 0: its header says no type"],
    );
    let mut broken = whole;
    broken[4..400].fill(0xff);
    fs::write(at.join("broken.parquet"), broken)?;
    check(
        at,
        scan_parquet(at.join("broken.parquet"))?.collect(&engine(&["num_streaming_threads=1"])?),
        expect![
            "X/broken.parquet: row group 0, column `customer`, page 0: has no header that can be read"
        ],
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
    check(
        at,
        both("2.parquet"),
        expect![
            "column `b`: is Int64 in X/1.parquet and is Int32 in X/2.parquet; files of one scan need one schema"
        ],
    );
    check(
        at,
        both("3.parquet"),
        expect![
            "column `b`: is Int64 in X/1.parquet and is missing in X/3.parquet; files of one scan need one schema"
        ],
    );
    check(
        at,
        both("4.parquet"),
        expect![
            "column `c`: is missing in X/1.parquet and is Int64 in X/4.parquet; files of one scan need one schema"
        ],
    );
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
    check(
        at,
        frame.collect(&engine),
        expect![
            "scan: the files have another schema than when the query was made; make the query anew"
        ],
    );
    fs::remove_file(at.join("orders.parquet"))?;
    check(
        at,
        frame.collect(&engine),
        expect!["cannot open X/orders.parquet: No such file or directory (os error 2)"],
    );
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
        expect![
            "filter: column `amuont`: not in the input; the columns are customer, amount, ratio, city, day, price"
        ],
    );
    check(
        at,
        scan()?.filter(col("city").gt(lit(1))).collect(&engine),
        expect!["filter: expression `(city > 1)`: no type holds Utf8 and Int64; cast an operand"],
    );
    check(
        at,
        scan()?.filter(col("amount")).collect(&engine),
        expect![
            "filter: expression `amount`: a filter needs Boolean, has Int64; compare it with something"
        ],
    );
    check(
        at,
        scan()?.select([col("city") + lit(1)]).collect(&engine),
        expect!["project: expression `(city + 1)`: no type holds Utf8 and Int64; cast an operand"],
    );
    check(
        at,
        scan()?
            .select([col("day"), col("city").alias("day")])
            .collect(&engine),
        expect![
            "column `day`: stands twice in the output; give one of them another name with `.alias(…)`"
        ],
    );
    check(
        at,
        scan()?
            .select([col("amount").sum(), col("day")])
            .collect(&engine),
        expect![
            "project: expression `sum(amount)`: an aggregate stands outside of an aggregation; use it under `group_by(…).agg(…)`"
        ],
    );
    check(
        at,
        scan()?
            .group_by([col("day")])
            .agg([col("amount")])
            .collect(&engine),
        expect![
            "aggregate: expression `amount`: has no aggregate; add it to the group keys, or aggregate it"
        ],
    );
    check(
        at,
        scan()?
            .group_by([col("day")])
            .agg([col("city").sum()])
            .collect(&engine),
        expect!["aggregate: aggregate sum: undefined for Utf8"],
    );
    check(
        at,
        scan()?.filter(col("day").lt(lit("soon"))).collect(&engine),
        expect![[
            r#"filter: literal "soon": Cast error: Cannot cast string 'soon' to value of Date32 type"#
        ]],
    );
    check(
        at,
        scan()?
            .with_columns([col("no").alias("x")])
            .explain(&engine),
        expect![
            "project: column `no`: not in the input; the columns are customer, amount, ratio, city, day, price"
        ],
    );
    Ok(())
}

#[test]
fn options_that_are_wrong() {
    let at = Path::new("/nowhere");
    let set = |pair: &str| EngineOptions::default().set_pair(pair);
    check(
        at,
        set("target_partition_sise=1MiB"),
        expect![
            "option `target_partition_sise`: no such option; did you mean `target_partition_size`?"
        ],
    );
    check(
        at,
        set("colour=blue"),
        expect![
            "option `colour`: no such option; the names are backend, device, executor, num_streaming_threads, num_streams, target_partition_size, max_rows_per_partition, max_concurrent_io_tasks, device_memory_limit, column_cache_limit, pinned_memory_limit, pinned_memory, pinned_initial_pool_size, host_memory_limit, disk_limit, spill, spill_device_limit, spill_host_limit, spill_folder, periodic_spill_check, memory_reserve_timeout, deadline, channel_messages, channel_bytes, join_filter_pushdown, join_filter_bloom_max_size, join_filter_threshold, dynamic_planning, sample_chunk_count, broadcast_limit, allow_overbooking_by_default, parquet_check_crc, parquet_check_crc_device, parquet_bloom_filter, parquet_dictionary_pruning, parquet_page_index, parquet_late_decoding, sink_to_directory, fallback_mode, log, trace, statistics, kernel_cache_dir, simt_seed, simt_checked"
        ],
    );
    check(
        at,
        set("backend=gpu"),
        expect![
            "option `backend`: `gpu` is not a value of it; expected is auto, cpu, cuda or simt"
        ],
    );
    check(
        at,
        set("target_partition_size=big"),
        expect![
            "option `target_partition_size`: `big` is not a value of it; expected is a size such as 512MiB, 1.5GB or 64k"
        ],
    );
    check(
        at,
        set("memory_reserve_timeout=100"),
        expect![
            "option `memory_reserve_timeout`: `100` is not a value of it; expected is a duration such as 100ms, 2s or 1.5m"
        ],
    );
    check(
        at,
        set("statistics"),
        expect!["option `statistics`: has no value; write `name=value`"],
    );
}

#[test]
fn memory_that_does_not_suffice() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    write(&at.join("orders.parquet"), &batch(&orders(1000))?, 1000)?;
    let engine = engine(&["host_memory_limit=1k", "memory_reserve_timeout=1ms"])?;
    let outcome = scan_parquet(at)?.collect(&engine);
    assert!(
        outcome.as_ref().err().is_some_and(|error| error
            .to_string()
            .starts_with("pipeline 1: scan: host memory: ")),
        "{outcome:?}"
    );
    assert_eq!(engine.memory().used(pelton::memory::Tier::Host), 0);
    Ok(())
}
