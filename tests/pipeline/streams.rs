//! Results as they come, and results that stay.

use arrow::array::RecordBatch;
use pelton::memory::Tier;
use pelton::prelude::*;

use crate::files::{engine, folder_of, orders, rows, sorted_rows};

const SMALL: &[&str] = &["target_partition_size=1", "num_streaming_threads=2"];

fn texts(engine: &Engine, frame: &LazyFrame) -> Result<Vec<String>> {
    let mut stream = frame.collect_iter(engine)?;
    let mut all = Vec::new();
    for batch in &mut stream {
        let rows = batch?;
        for row in 0..rows.num_rows() {
            let values = rows.columns().iter().map(|column| {
                arrow::util::display::array_value_to_string(column, row).unwrap_or_default()
            });
            all.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    assert_eq!(stream.metrics().get("result_rows"), all.len() as u64);
    Ok(all)
}

#[test]
fn a_stream_gives_the_rows_of_the_result() -> Result<()> {
    let folder = folder_of(&orders(500), 20)?;
    for option in ["executor=streaming", "executor=tasks"] {
        let engine = engine(&[SMALL[0], SMALL[1], option])?;
        let scan = scan_parquet(folder.path())?.select([col("day"), col("ratio")]);
        let mut all = texts(&engine, &scan)?;
        all.sort();
        assert_eq!(all, sorted_rows(&scan.collect(&engine)?)?);
        let sorted = scan.sort([col("ratio"), col("day")]);
        assert_eq!(texts(&engine, &sorted)?, rows(&sorted.collect(&engine)?)?);
        assert_eq!(engine.memory().used(Tier::Host), 0);
    }
    Ok(())
}

#[test]
fn a_stream_that_is_dropped_ends_its_query() -> Result<()> {
    let folder = folder_of(&orders(2000), 20)?;
    let engine = engine(SMALL)?;
    let frame = scan_parquet(folder.path())?;
    for taken in [0, 1, 3] {
        let mut stream = frame.collect_iter(&engine)?;
        for _ in 0..taken {
            assert!(matches!(stream.next(), Some(Ok(_))));
        }
        drop(stream);
        assert_eq!(engine.memory().used(Tier::Host), 0);
    }
    assert_eq!(frame.collect(&engine)?.rows(), 2000);
    Ok(())
}

#[test]
fn a_stream_holds_its_query_back() -> Result<()> {
    let folder = folder_of(&orders(2000), 20)?;
    let engine = engine(SMALL)?;
    let mut stream = scan_parquet(folder.path())?.collect_iter(&engine)?;
    let first = stream.next();
    assert!(matches!(first, Some(Ok(_))));
    std::thread::sleep(std::time::Duration::from_millis(300));
    // Two workers with two result batches each, and what each works on: a tenth of the rows at most.
    let held = engine.memory().used(Tier::Host);
    let all = scan_parquet(folder.path())?.collect(&crate::files::engine(&[])?)?;
    let bytes: usize = all
        .batches
        .iter()
        .map(RecordBatch::get_array_memory_size)
        .sum();
    assert!(held < bytes as u64 / 4, "{held} of {bytes}");
    Ok(())
}

#[test]
fn an_error_ends_a_stream_once() -> Result<()> {
    let folder = folder_of(&orders(500), 20)?;
    let engine = engine(SMALL)?;
    let frame = scan_parquet(folder.path())?
        .select([lit(1).divide(col("amount") - col("amount")).alias("x")])
        .semantics(pelton::types::Semantics {
            division_by_zero: pelton::types::DivisionByZero::Error,
            ..pelton::types::Semantics::default()
        });
    let outcomes: Vec<_> = frame.collect_iter(&engine)?.collect();
    let errors: Vec<String> = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.err().map(|error| error.to_string()))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("division by zero"), "{errors:?}");
    Ok(())
}

#[test]
fn a_kept_result_is_read_any_number_of_times() -> Result<()> {
    let folder = folder_of(&orders(500), 20)?;
    let engine = engine(SMALL)?;
    let frame = scan_parquet(folder.path())?
        .group_by([col("customer"), col("city")])
        .agg([col("amount").sum().alias("sum")]);
    let expected = sorted_rows(&frame.collect(&engine)?)?;
    let kept = frame.execute(&engine)?;
    for _ in 0..3 {
        assert_eq!(sorted_rows(&kept.lazy().collect(&engine)?)?, expected);
    }
    let pairs = kept.lazy().join(kept.lazy(), pelton::expr::JoinKind::Inner);
    let pairs = pairs.on([col("customer"), col("city")]).collect(&engine)?;
    let with_keys = expected
        .iter()
        .filter(|row| !row.starts_with('-') && !row.contains("|-|"));
    assert_eq!(pairs.rows(), with_keys.count());
    let ordered = frame.clone().sort([col("sum")]).execute(&engine)?;
    let first = ordered.lazy().limit(5).collect(&engine)?;
    assert_eq!(
        rows(&first)?,
        rows(&frame.sort([col("sum")]).limit(5).collect(&engine)?)?
    );
    assert!(kept.bytes() > 0);
    let lazy = kept.lazy();
    drop(kept);
    let error = lazy.collect(&engine).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("not kept by this engine")));
    drop((ordered, first, pairs));
    assert_eq!(engine.memory().used(Tier::Host), 0);
    Ok(())
}
