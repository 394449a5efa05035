//! Sorts over several ranks: each has a range of the keys, and rank after rank they are the sorted rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pelton::plan::SortExpr;
use pelton::prelude::*;

use crate::files::{engine, failed, rows};
use crate::random::Random;
use crate::ranks::on_ranks;

/// So many rows in batches of ten: `id` counts them, `key` and `name` have nulls and repeat, `ratio` has
/// NaN and both zeros.
fn table(count: usize) -> Result<LazyFrame> {
    let mut random = Random::new(7);
    let mut batches = Vec::new();
    for start in (0..count.max(1)).step_by(10) {
        let ids = start..count.min(start + 10);
        let keys = ids.clone().map(|_| Some(random.between(-9..=9)));
        let keys: Int64Array = keys.map(|key| key.filter(|key| *key != 4)).collect();
        let ratios = [
            f64::NAN,
            -0.0,
            0.0,
            1.5,
            -2.5,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let ratio = ids.clone().map(|_| ratios[random.below(ratios.len())]);
        let ratio: Float64Array = ratio.map(Some).collect();
        let names = [
            "",
            "a",
            "ab",
            "Köln",
            "köln",
            "a longer name than twelve bytes",
        ];
        let names = ids
            .clone()
            .map(|_| names.get(random.below(names.len() + 1)));
        let names: StringArray = names.map(Option::<&&str>::copied).collect();
        let ids: Int64Array = ids.map(|id| Some(id as i64)).collect();
        let columns: [(&str, ArrayRef, bool); 4] = [
            ("id", Arc::new(ids), true),
            ("key", Arc::new(keys), true),
            ("ratio", Arc::new(ratio), true),
            ("name", Arc::new(names), true),
        ];
        batches.push(RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)?);
    }
    from_batches(batches)
}

/// Keys of every kind, alone and together; where rows are equal in them, the table's order counts.
fn sorts() -> Vec<Vec<SortExpr>> {
    let one = || (col("id") * lit(0)).asc();
    vec![
        vec![col("id").desc()],
        vec![col("key").asc()],
        vec![col("key").desc().nulls_first()],
        vec![col("ratio").asc()],
        vec![col("ratio").desc()],
        vec![col("name").desc().nulls_last()],
        vec![col("name").asc(), col("key").desc(), col("ratio").asc()],
        vec![one()],
        vec![one(), col("name").asc()],
    ]
}

#[test]
fn ranks_one_after_the_other_are_the_sorted_rows() -> Result<()> {
    for count in [0, 1, 2, 40, 333] {
        for keys in sorts() {
            let frame = table(count)?.sort(keys.clone());
            let expected = rows(&frame.collect(&engine(&[])?)?)?;
            assert_eq!(expected.len(), count);
            for (world, options) in [
                (2, &[][..]),
                (3, &["executor=tasks"]),
                (5, &["num_streaming_threads=1"]),
                (3, &["host_memory_limit=40000"]),
            ] {
                let got = on_ranks(world, options, &frame);
                let got = got.into_iter().collect::<Result<Vec<_>>>()?.concat();
                assert_eq!(
                    got, expected,
                    "{count} rows by {keys:?}, {world} ranks, {options:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn ranks_have_about_as_many_rows_each() -> Result<()> {
    // Batches of all sizes: a row of a small one counts as much as one of a large one.
    let large = table(2_000)?.filter(col("id").lt(lit(1_500)));
    let small = table(2_000)?.filter(
        col("id")
            .gt_eq(lit(1_500))
            .and((col("id") % lit(10)).eq(lit(0))),
    );
    let frame = concat_frames([large, small]).sort([col("id").desc()]);
    for world in [2, 4] {
        let got = on_ranks(world, &["max_rows_per_partition=1000"], &frame);
        let got = got.into_iter().collect::<Result<Vec<_>>>()?;
        let counts: Vec<usize> = got.iter().map(Vec::len).collect();
        let even = 1_550 / world as usize;
        assert_eq!(counts.iter().sum::<usize>(), 1_550);
        assert!(
            counts.iter().all(|count| count.abs_diff(even) < even / 3),
            "{counts:?}"
        );
    }
    Ok(())
}

#[test]
fn what_needs_one_stream_of_sorted_rows_has_it_on_rank_0() -> Result<()> {
    let sorted = || Ok::<_, pelton::Error>(table(200)?.sort([col("name").asc(), col("id").desc()]));
    for frame in [
        sorted()?.slice(30, None).filter(col("key").gt(lit(0))),
        sorted()?.limit(150),
        sorted()?.filter(col("key").gt(lit(0))).limit(20),
    ] {
        let expected = rows(&frame.collect(&engine(&[])?)?)?;
        let got = on_ranks(3, &[], &frame);
        let got = got.into_iter().collect::<Result<Vec<_>>>()?;
        assert_eq!(got, [expected, Vec::new(), Vec::new()]);
    }
    Ok(())
}

#[test]
fn the_first_and_the_last_rows_of_groups_are_those_of_the_sort() -> Result<()> {
    let frame = table(200)?
        .sort([col("ratio").asc(), col("key").desc()])
        .group_by([col("name")])
        .agg([
            col("id").first().alias("first"),
            col("id").last().alias("last"),
        ]);
    let mut expected = rows(&frame.collect(&engine(&[])?)?)?;
    expected.sort();
    for options in [&[][..], &["executor=tasks"]] {
        let got = on_ranks(4, options, &frame);
        let mut got = got.into_iter().collect::<Result<Vec<_>>>()?.concat();
        got.sort();
        assert_eq!(got, expected);
    }
    Ok(())
}
