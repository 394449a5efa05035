//! What is seen while a query runs changes how it runs, and never its result.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use pelton::expr::JoinKind;
use pelton::metrics::Choice;
use pelton::prelude::*;

use crate::files::{engine, failed, sorted_rows, write};
use crate::random::{Random, for_each_case};

/// A table of keys, numbers and words whose columns are named after it.
fn table(name: &str, keys: impl Iterator<Item = Option<i64>>) -> Result<RecordBatch> {
    let keys: Vec<Option<i64>> = keys.collect();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
    let words = (0..keys.len()).map(|row| format!("{name} {row}"));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    let keys: ArrayRef = Arc::new(Int64Array::from(keys));
    let columns = [("k", keys), ("n", numbers), ("w", words)];
    let columns = columns.map(|(column, values)| (format!("{name}{column}"), values, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

/// Groups that are guessed to be a tenth of their rows, and are all of them.
fn grouped(rows: i64) -> Result<LazyFrame> {
    let rows = table("a", (0..rows).map(|row| Some(row % (rows - 1))))?;
    let groups = from_batches(vec![rows.slice(0, 3), rows.slice(3, rows.num_rows() - 3)])?
        .group_by([col("ak"), col("aw")])
        .agg([col("an").max().alias("an")]);
    Ok(groups)
}

fn other_side_built(result: &pelton::engine::QueryResult) -> Vec<(usize, u64, u64)> {
    let decisions = result.metrics.decisions.iter();
    let swaps = decisions.filter_map(|decision| match decision.choice {
        Choice::OtherSideBuilt { build, probe } => Some((decision.pipeline, build, probe)),
        _ => None,
    });
    swaps.collect()
}

#[test]
fn a_join_builds_from_the_side_that_turns_out_to_be_the_smaller_one() -> Result<()> {
    let groups = grouped(3000)?;
    let few = |rows: i64| from_batches(vec![table("b", (0..rows).map(|row| Some(row * 7)))?]);
    for (rows, swaps) in [(400, true), (800, false)] {
        let frame = few(rows)?
            .with_columns([(col("bn") + lit(1)).alias("bm")])
            .join(groups.clone(), JoinKind::Inner)
            .coalesce(false)
            .residual(col("an").gt(col("bn") * lit(2)))
            .on_pairs([(col("bk"), col("ak"))])
            .select([
                col("bw"),
                col("ak"),
                col("aw"),
                (col("an") - col("bm")).alias("d"),
            ]);
        for options in [&["executor=streaming"], &["executor=tasks"]] {
            let on = engine(options)?.as_written();
            let off = engine(&[options[0], "dynamic_planning=off"])?.as_written();
            let (with, without) = (frame.collect(&on)?, frame.collect(&off)?);
            assert_eq!(with.schema, without.schema);
            assert_eq!(sorted_rows(&with)?, sorted_rows(&without)?);
            assert!(with.rows() > 300, "{}", with.rows());
            assert_eq!(other_side_built(&without), []);
            let of_probe: Vec<_> = other_side_built(&with)
                .into_iter()
                .map(|(_, build, probe)| (build, probe))
                .collect();
            let expected: &[(u64, u64)] = if swaps { &[(3000, 400)] } else { &[] };
            assert_eq!(of_probe, expected);
        }
    }
    let text = few(400)?
        .join(groups, JoinKind::Inner)
        .on_pairs([(col("bk"), col("ak"))])
        .explain_analyze(&engine(&[])?.as_written())?;
    let said = "hash_join builds from its probe side, of at most 400 rows: the other one has 3000";
    assert!(text.contains(said), "{text}");
    Ok(())
}

/// A join whose build side is far larger than was thought, with steps behind it.
fn drawn(random: &mut Random, folder: &std::path::Path) -> Result<LazyFrame> {
    let values = *random.pick(&[5, 60, 1000]);
    let key = |random: &mut Random| (!random.once_in(9)).then(|| random.between(0..=values));
    let probe_rows = *random.pick(&[0, 1, 26, 40, 55]);
    let probe = table("b", (0..probe_rows).map(|_| key(random)))?;
    let probe = match random.once_in(2) {
        true => from_batches(vec![probe])?,
        false => {
            let path = folder.join("b.parquet");
            write(&path, &probe, 8)?;
            scan_parquet(&path)?
        }
    };
    let keys: Vec<Option<i64>> = (0..250).map(|_| key(random)).collect();
    let build = table("a", keys.into_iter())?;
    let build = from_batches(vec![build.slice(0, 100), build.slice(100, 150)])?
        .group_by([col("ak"), col("aw")])
        .agg([col("an").min().alias("an")]);
    let mut join = probe.join(build, JoinKind::Inner).coalesce(false);
    if random.once_in(3) {
        join = join.null_equals_null();
    }
    if random.once_in(3) {
        join = join.residual((col("an") % lit(7)).gt(col("bn") % lit(5)));
    }
    let mut frame = join.on_pairs([(col("bk"), col("ak"))]);
    if random.once_in(3) {
        let more = table("c", (0..30).map(|_| key(random)))?;
        let kind = *random.pick(&[JoinKind::Inner, JoinKind::Left, JoinKind::Full]);
        frame = frame
            .join(from_batches(vec![more])?, kind)
            .on_pairs([(col("ak"), col("ck"))]);
    }
    if random.once_in(3) {
        frame = frame
            .group_by([col("bk")])
            .agg([col("an").sum().alias("sum"), count_rows().alias("rows")]);
    }
    Ok(frame)
}

#[test]
fn results_do_not_depend_on_what_is_planned_anew() {
    let mut swapped = [0, 0];
    let check = |random: &mut Random, backend: &str| -> Result<usize> {
        let folder = tempfile::tempdir()?;
        let frame = drawn(random, folder.path())?;
        let executor = format!("executor={}", random.pick(&["streaming", "tasks"]));
        let options = [
            backend,
            &executor,
            "num_streaming_threads=3",
            "max_rows_per_partition=40",
        ];
        let on = engine(&options)?.as_written();
        let off = engine(&["dynamic_planning=off"])?.as_written();
        let (with, without) = (frame.collect(&on)?, frame.collect(&off)?);
        assert_eq!(with.schema, without.schema);
        assert_eq!(sorted_rows(&with)?, sorted_rows(&without)?, "{backend}");
        Ok(other_side_built(&with).len())
    };
    for_each_case("planning", |random| {
        let outcome = check(random, "backend=cpu");
        swapped[0] += outcome.unwrap_or_else(|error| panic!("{error}"));
    });
    let mut case = 0;
    for_each_case("planning_on_devices", |random| {
        // Emulated kernels take their time.
        case += 1;
        if case % 8 == 1 {
            let outcome = check(random, "backend=simt");
            swapped[1] += outcome.unwrap_or_else(|error| panic!("{error}"));
        }
    });
    assert!(case < 50 || swapped[0] > 0 && swapped[1] > 0, "{swapped:?}");
}
