//! Build sides narrow the scans of probe sides, and never the result.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt8Array,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::expr::JoinKind;
use pelton::metrics::{BloomChoice, Choice};
use pelton::prelude::*;

use crate::files::{engine, failed, sorted_rows, write};
use crate::random::{Random, for_each_case};

const DROPPED: &str = "key_filter_rows_dropped";

/// 120,000 rows whose keys grow, in 60 row groups.
fn large(folder: &Path) -> Result<LazyFrame> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..120_000));
    let words = (0..120_000).map(|row| format!("w{}", row % 7));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    let batch = RecordBatch::try_from_iter([("k", keys), ("w", words)]).map_err(failed)?;
    let path = folder.join("large.parquet");
    write(&path, &batch, 2000)?;
    scan_parquet(&path)
}

fn small(keys: &[Option<i32>]) -> Result<LazyFrame> {
    let column: ArrayRef = Arc::new(Int32Array::from(keys.to_vec()));
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
        (vec![Some(50_000), None, Some(90_000)], 58),
        (vec![Some(-5), Some(500_000)], 60),
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

/// A file of one column of keys.
fn keyed(
    folder: &Path,
    keys: impl Iterator<Item = i64>,
    properties: WriterProperties,
) -> Result<LazyFrame> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    let batch = RecordBatch::try_from_iter([("k", keys)]).map_err(failed)?;
    let path = folder.join("keyed.parquet");
    let file = std::fs::File::create(&path)?;
    let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties));
    let mut writer = writer.map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    scan_parquet(&path)
}

#[test]
fn few_keys_prune_one_by_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let few = |frame: LazyFrame, keys: &[Option<i32>]| -> Result<LazyFrame> {
        let join = frame.join(small(keys)?, JoinKind::Semi);
        Ok(join.on_pairs([(col("k"), col("id"))]))
    };
    // Even numbers in one row group, odd ones in the other: their ends say nothing.
    let halves = (0..2i64).flat_map(|odd| (0..20_000).map(move |row| row % 400 * 2 + odd));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(20_000))
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_fpp(0.000_001)
        .build();
    let frame = few(
        keyed(folder.path(), halves, properties)?,
        &[Some(3), None, Some(5)],
    )?;
    for (options, pruned) in [
        (
            ["parquet_bloom_filter=on", "parquet_dictionary_pruning=off"],
            "bloom_filter",
        ),
        (
            ["parquet_bloom_filter=off", "parquet_dictionary_pruning=on"],
            "dictionary",
        ),
        (
            ["parquet_bloom_filter=off", "parquet_dictionary_pruning=off"],
            "nothing",
        ),
    ] {
        let result = frame.collect(&engine(&options)?.filtering_all())?;
        assert_eq!(result.rows(), 100, "{pruned}");
        let by = |step: &str| {
            let name = format!("scan_row_groups_pruned_by_{step}");
            result.metrics.get(&name)
        };
        let expected = [
            u64::from(pruned == "bloom_filter"),
            u64::from(pruned == "dictionary"),
        ];
        assert_eq!([by("bloom_filter"), by("dictionary")], expected, "{pruned}");
    }

    // Pages between two keys hold neither.
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100)
        .set_dictionary_enabled(false)
        .build();
    let frame = few(
        keyed(folder.path(), 0..5000, properties)?,
        &[Some(5), Some(4990)],
    )?;
    let result = frame.collect(&engine(&[])?.filtering_all())?;
    assert_eq!(result.rows(), 2);
    assert_eq!(result.metrics.get("scan_rows"), 200);
    Ok(())
}

/// Numbers, each of which is in about every page and row group.
fn scattered(rows: i64) -> Int64Array {
    Int64Array::from_iter_values((0..rows).map(|row| row * 7919 % rows))
}

/// 120,000 rows in three row groups, whose bounds and dictionaries tell nothing.
fn mixed(folder: &Path) -> Result<LazyFrame> {
    let keys: ArrayRef = Arc::new(scattered(120_000));
    let words = (0..120_000).map(|row| format!("w{}", row % 7));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    let batch = RecordBatch::try_from_iter([("k", keys), ("w", words)]).map_err(failed)?;
    let path = folder.join("mixed.parquet");
    write(&path, &batch, 40_000)?;
    scan_parquet(&path)
}

fn bloom_of(result: &pelton::engine::QueryResult) -> Vec<BloomChoice> {
    let decisions = result.metrics.decisions.iter();
    let blooms = decisions.filter_map(|decision| match &decision.choice {
        Choice::KeyFilter(record) => Some(record.bloom.clone()),
        _ => None,
    });
    blooms.collect()
}

#[test]
fn rows_without_a_key_are_dropped_by_the_scan() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mixed = mixed(folder.path())?;
    // The ends are there, and every hundredth between them.
    let keys: Vec<Option<i32>> = (0..=1199).map(|key| Some(key * 100)).collect();
    let keys = [keys, vec![Some(119_999)]].concat();
    let frame = mixed
        .clone()
        .join(small(&keys)?, JoinKind::Inner)
        .on_pairs([(col("k"), col("id"))]);
    let on = engine(&["num_streaming_threads=1"])?;
    let result = frame.collect(&on)?;
    assert_eq!(result.rows(), 1201);
    let dropped = result.metrics.get(DROPPED);
    assert!(
        (115_000..=118_799).contains(&dropped),
        "{dropped} of 118799"
    );
    assert_eq!(result.metrics.get("scan_rows"), 120_000);
    assert_eq!(bloom_of(&result), [BloomChoice::Made { bytes: 1504 }]);
    // Behind the scan are only those that passed.
    let scan = result
        .metrics
        .steps_of(2)
        .next()
        .ok_or_else(|| failed("no scan"))?;
    assert_eq!(scan.rows_out.rows, 120_000 - dropped);

    for (option, expected) in [
        ("join_filter_bloom_max_size=0", BloomChoice::Off),
        (
            "join_filter_threshold=0.01",
            BloomChoice::Rows {
                build: 1201,
                scan: 120_000,
            },
        ),
        (
            "join_filter_bloom_max_size=1k",
            BloomChoice::Size { bytes: 1504 },
        ),
    ] {
        let result = frame.collect(&engine(&[option])?)?;
        assert_eq!(
            (result.rows(), result.metrics.get(DROPPED)),
            (1201, 0),
            "{option}"
        );
        assert_eq!(bloom_of(&result), [expected], "{option}");
    }
    let result = frame.collect(&engine(&["join_filter_pushdown=off"])?)?;
    assert_eq!((result.rows(), bloom_of(&result)), (1201, vec![]));
    Ok(())
}

#[test]
fn a_filter_that_lets_most_rows_pass_is_given_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mixed = mixed(folder.path())?;
    // Nine of ten.
    let keys: Vec<Option<i32>> = (0..120_000).filter(|key| key % 10 != 5).map(Some).collect();
    let frame = mixed
        .join(small(&keys)?, JoinKind::Semi)
        .on_pairs([(col("k"), col("id"))]);
    let options = |more: &'static str| {
        let fixed = [
            "join_filter_threshold=1",
            "num_streaming_threads=1",
            "max_rows_per_partition=10000",
        ];
        engine(&[&fixed[..], &[more]].concat())
    };
    let sampled = frame.collect(&options("sample_chunk_count=3")?)?;
    let granted = frame.collect(&options("dynamic_planning=off")?)?;
    assert_eq!((sampled.rows(), granted.rows()), (108_000, 108_000));
    let dropped = [&sampled, &granted].map(|result| result.metrics.get(DROPPED));
    assert!((2_500..=3_000).contains(&dropped[0]), "{dropped:?}");
    assert!((10_000..=12_000).contains(&dropped[1]), "{dropped:?}");
    let pays = |result: &pelton::engine::QueryResult| -> Vec<bool> {
        let said = result.metrics.decisions.iter();
        let said = said.filter_map(|decision| match decision.choice {
            Choice::KeyFilterSampled { pays, .. } => Some(pays),
            _ => None,
        });
        said.collect()
    };
    assert_eq!((pays(&sampled), pays(&granted)), (vec![false], vec![]));
    let text = frame.explain_analyze(&options("sample_chunk_count=3")?)?;
    assert!(
        text.contains("`k` by the keys of pipeline 1: min/max, Bloom filter of 135008 bytes"),
        "{text}"
    );
    assert!(
        text.contains("of 30000 sampled rows pass, it is left out then"),
        "{text}"
    );
    Ok(())
}

/// One column of keys and one of numbers, of a type that is drawn alike for both sides.
fn keys(random: &mut Random, kind: usize, rows: usize, values: i64) -> Result<ArrayRef> {
    let drawn: Vec<Option<i64>> = (0..rows)
        .map(|_| (!random.once_in(7)).then(|| random.between(0..=values)))
        .collect();
    let decimals = |precision: u8| {
        let numbers = drawn.iter().map(|n| n.map(|n| i128::from(n) * 5 - 100));
        let numbers: Decimal128Array = numbers.collect();
        numbers
            .with_precision_and_scale(precision, 2)
            .map_err(failed)
    };
    Ok(match kind {
        0 => Arc::new(
            drawn
                .iter()
                .map(|n| n.map(|n| n * 3 - 50))
                .collect::<Int64Array>(),
        ),
        1 => Arc::new(
            drawn
                .iter()
                .map(|n| n.map(|n| n as i32 - 20))
                .collect::<Int32Array>(),
        ),
        2 => Arc::new(
            drawn
                .iter()
                .map(|n| n.map(|n| n as u8))
                .collect::<UInt8Array>(),
        ),
        3 => Arc::new(
            drawn
                .iter()
                .map(|n| n.map(|n| n as i32 * 30))
                .collect::<Date32Array>(),
        ),
        4 => Arc::new(decimals(10)?),
        5 => Arc::new(decimals(25)?),
        _ => {
            let words = drawn
                .iter()
                .map(|n| n.map(|n| format!("{}é{n}", &"xyz"[..n as usize % 4])));
            Arc::new(words.collect::<StringArray>())
        }
    })
}

/// A table with two columns of keys, the row's number and a string.
fn table(random: &mut Random, kinds: [usize; 2], name: &str, rows: usize) -> Result<RecordBatch> {
    let values = *random.pick(&[3, 40, 200]);
    let [a, b] = kinds;
    let (a, b) = (
        keys(random, a, rows, values)?,
        keys(random, b, rows, values)?,
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let words = (0..rows).map(|row| format!("{name} {row}"));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    let columns = [("a", a), ("b", b), ("n", numbers), ("w", words)];
    let columns = columns.map(|(column, values)| (format!("{name}{column}"), values, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

/// Writes a table with what may prune: Bloom filters, dictionaries and page indexes, or without.
fn write_any(random: &mut Random, path: &Path, batch: &RecordBatch) -> Result<LazyFrame> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(*random.pick(&[11, 60, 1000])))
        .set_data_page_row_count_limit(*random.pick(&[5, 40]))
        .set_write_batch_size(5)
        .set_dictionary_enabled(random.once_in(2))
        .set_bloom_filter_enabled(random.once_in(2))
        .build();
    let file = std::fs::File::create(path)?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    scan_parquet(path)
}

/// A join of files, in which filters may do something, with steps before and behind it.
fn drawn(random: &mut Random, folder: &Path) -> Result<LazyFrame> {
    let kinds = [random.below(7), random.below(7)];
    let probe_rows = *random.pick(&[1, 40, 300]);
    let build_rows = *random.pick(&[0, 1, 5, 30]);
    let probe = table(random, kinds, "p", probe_rows)?;
    let mut frame = write_any(random, &folder.join("p.parquet"), &probe)?;
    if random.once_in(2) {
        frame = frame.filter(col("pn").lt(lit(random.between(0..=300))));
    }
    for name in ["q", "r"].into_iter().take(1 + random.below(2)) {
        let build = table(random, kinds, name, build_rows)?;
        let build = match random.once_in(2) {
            true => from_batches(vec![build])?,
            false => write_any(random, &folder.join(format!("{name}.parquet")), &build)?,
        };
        let kind = *random.pick(&[
            JoinKind::Inner,
            JoinKind::Inner,
            JoinKind::Semi,
            JoinKind::Right,
            JoinKind::Left,
            JoinKind::Anti,
            JoinKind::Full,
        ]);
        let mut join = frame.join(build, kind).coalesce(false);
        if random.once_in(4) {
            join = join.null_equals_null();
        }
        let pair = |column: &str| (col(format!("p{column}")), col(format!("{name}{column}")));
        frame = match random.once_in(2) {
            true => join.on_pairs([pair("a")]),
            false => join.on_pairs([pair("a"), pair("b")]),
        };
    }
    Ok(frame)
}

#[test]
fn results_do_not_depend_on_filters() {
    let check = |random: &mut Random, backends: &[&str]| -> Result<u64> {
        let folder = tempfile::tempdir()?;
        let frame = drawn(random, folder.path())?;
        let expected = frame.collect(&engine(&["join_filter_pushdown=off"])?)?;
        assert_eq!(expected.metrics.get(DROPPED), 0);
        let mut dropped = 0;
        for backend in backends {
            let threshold = random.pick(&["0.5", "100"]);
            let late = random.pick(&["auto", "on", "off"]);
            let samples = random.between(1..=3);
            let on = engine(&[
                backend,
                &format!("join_filter_threshold={threshold}"),
                &format!("parquet_late_decoding={late}"),
                &format!("sample_chunk_count={samples}"),
                &format!("dynamic_planning={}", random.once_in(2)),
                "max_rows_per_partition=50",
                "target_partition_size=1k",
                "num_streaming_threads=2",
            ]);
            let result = frame.collect(&on?.filtering_all())?;
            assert_eq!(sorted_rows(&result)?, sorted_rows(&expected)?, "{backend}");
            dropped += result.metrics.get(DROPPED);
        }
        Ok(dropped)
    };
    let mut dropped = [0, 0];
    for_each_case("dynamic_filters", |random| {
        let outcome = check(random, &["backend=cpu"]);
        dropped[0] += outcome.unwrap_or_else(|error| panic!("{error}"));
    });
    let mut case = 0;
    for_each_case("dynamic_filters_on_devices", |random| {
        // Emulated kernels take their time.
        case += 1;
        if case % 4 == 1 {
            let outcome = check(random, &["backend=simt"]);
            dropped[1] += outcome.unwrap_or_else(|error| panic!("{error}"));
        }
    });
    assert!(case < 50 || dropped[0] > 0 && dropped[1] > 0, "{dropped:?}");
}
