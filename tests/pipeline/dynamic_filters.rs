//! Build sides narrow the scans of probe sides, and never the result.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use pelton::expr::JoinKind;
use pelton::prelude::*;

use crate::files::{engine, failed, sorted_rows, write};

/// 120,000 rows whose keys grow, in 60 row groups.
fn large(folder: &std::path::Path) -> Result<LazyFrame> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..120_000));
    let words = (0..120_000).map(|row| format!("w{}", row % 7));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    let batch = RecordBatch::try_from_iter([("k", keys), ("w", words)]).map_err(failed)?;
    let path = folder.join("large.parquet");
    write(&path, &batch, 2000)?;
    scan_parquet(&path)
}

fn small(keys: &[Option<i32>]) -> Result<LazyFrame> {
    let column: ArrayRef = Arc::new(arrow::array::Int32Array::from(keys.to_vec()));
    let batch = RecordBatch::try_from_iter_with_nullable([("id", column, true)]);
    from_batches(vec![batch.map_err(failed)?])
}

#[test]
fn scans_are_pruned_by_the_keys_of_the_build_side() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let large = large(folder.path())?;
    let (on, off) = (engine(&[])?, engine(&["join_filter_pushdown=false"])?);
    let sides = [
        (vec![Some(50_000), None, Some(50_900)], 59),
        (vec![Some(-5), Some(500_000)], 0),
        (vec![None, None], 60),
        (vec![], 60),
    ];
    for (keys, pruned) in sides {
        for (kind, prunes) in [
            (JoinKind::Inner, true),
            (JoinKind::Semi, true),
            (JoinKind::Left, false),
            (JoinKind::Anti, false),
            (JoinKind::Full, false),
        ] {
            let frame = large
                .clone()
                .with_columns([(col("k") + lit(0)).alias("same")])
                .filter(col("w").not_eq(lit("w3")))
                .join(small(&keys)?, kind)
                .on_pairs([(col("k"), col("id"))]);
            let (with, without) = (frame.collect(&on)?, frame.collect(&off)?);
            assert_eq!(
                sorted_rows(&with)?,
                sorted_rows(&without)?,
                "{kind} {keys:?}"
            );
            assert_eq!(without.metrics.get("scan_row_groups_pruned"), 0);
            let expected = if prunes { pruned } else { 0 };
            let got = with.metrics.get("scan_row_groups_pruned");
            assert_eq!(got, expected, "{kind} {keys:?}");
        }
    }
    Ok(())
}
