//! Pruning changes what is read and nothing else: each step removes what it can, counted; what a
//! file has wrong besides its rows is passed over; and random queries have the same rows without.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt32Array,
};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, ParquetMetaDataBuilder, ParquetMetaDataReader,
    ParquetMetaDataWriter,
};
use parquet::file::properties::WriterVersion;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use pelton::prelude::*;
use pelton::types::Literal;

use crate::files::{engine, failed, sorted_rows};

const GROUP_ROWS: usize = 100;

/// A thousand rows in ten row groups, of which pages hold ten rows. In each row group `up` grows
/// from 0 to 99 and `down` falls, `even` has numbers from all over the table, and `group` is the
/// row group's.
fn table() -> Result<RecordBatch> {
    let rows = 0..1000i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "up",
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|r| r % 100))),
        ),
        (
            "down",
            Arc::new(Int64Array::from_iter_values(
                rows.clone().map(|r| 99 - r % 100),
            )),
        ),
        (
            "even",
            Arc::new(Int64Array::from_iter_values(
                rows.clone().map(|r| r * 389 % 1000 * 2),
            )),
        ),
        (
            "group",
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|r| r / 100))),
        ),
        (
            "word",
            Arc::new(StringArray::from_iter_values(
                rows.map(|r| format!("word {}", r * 389 % 1000)),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).map_err(failed)
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(10)
}

fn write(path: &Path, batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Result<()> {
    let file = File::create(path)?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.close().map(|_| ()).map_err(failed)
}

/// Rows and counters of a query: whole files, row groups by each of the four steps, pages, and rows
/// that were decoded.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    rows: usize,
    files: u64,
    row_groups: [u64; 4],
    pages: u64,
    decoded: u64,
}

fn outcome(path: &Path, predicate: Expr, options: &[&str]) -> Result<Outcome> {
    let result = scan_parquet(path)?
        .filter(predicate)
        .collect(&engine(options)?)?;
    let steps = ["statistics", "bloom_filter", "dictionary", "page_index"];
    let metrics = &result.metrics;
    let row_groups = steps.map(|step| metrics.get(&format!("scan_row_groups_pruned_by_{step}")));
    assert_eq!(
        metrics.get("scan_row_groups_pruned"),
        row_groups.iter().sum::<u64>()
    );
    let pages = metrics.get("scan_pages_pruned");
    let removed = metrics.get("scan_bytes_pruned");
    assert_eq!(removed > 0, pages + row_groups.iter().sum::<u64>() > 0);
    Ok(Outcome {
        rows: result.rows(),
        files: metrics.get("scan_files_pruned"),
        row_groups,
        pages,
        decoded: metrics.get("scan_rows"),
    })
}

fn expect(rows: usize, row_groups: [u64; 4], decoded: u64) -> Outcome {
    Outcome {
        rows,
        files: 0,
        row_groups,
        pages: 0,
        decoded,
    }
}

#[test]
fn files_go_by_the_statistics_of_all_their_row_groups() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let table = table()?;
    for (name, first) in [("a", 0), ("b", 300), ("c", 600)] {
        let path = folder.path().join(format!("{name}.parquet"));
        write(&path, &table.slice(first, 300), properties())?;
    }
    let out = outcome(folder.path(), col("group").eq(lit(4)), &[])?;
    let expected = Outcome {
        files: 2,
        ..expect(100, [8, 0, 0, 0], 100)
    };
    assert_eq!(out, expected);
    Ok(())
}

#[test]
fn bloom_filters_miss_what_lies_between_the_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    let blooming = properties()
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_fpp(0.000_001)
        .set_dictionary_enabled(false);
    write(&path, &table()?, blooming)?;
    let none = || expect(0, [0, 10, 0, 0], 0);
    let odd = |number: i64| col("even").eq(lit(number));
    assert_eq!(outcome(&path, odd(501), &[])?, none());
    assert_eq!(
        outcome(&path, odd(501).or(odd(503)).or(odd(505)), &[])?,
        none()
    );
    assert_eq!(outcome(&path, !col("even").not_eq(lit(501)), &[])?, none());
    assert_eq!(
        outcome(&path, col("word").eq(lit("word 50x")), &[])?,
        none()
    );
    let cast = col("even").cast(DataType::Decimal128(20, 2)).eq(lit(501));
    assert_eq!(outcome(&path, cast, &[])?, none());
    // Either zero equals the other, though they hash apart.
    let zeros = folder.path().join("zeros.parquet");
    let column: ArrayRef = Arc::new(Float64Array::from(vec![-1.0, -0.0, 1.0]));
    let batch = RecordBatch::try_from_iter([("x", column)]).map_err(failed)?;
    let blooming = properties().set_bloom_filter_enabled(true);
    write(&zeros, &batch, blooming.set_dictionary_enabled(false))?;
    assert_eq!(outcome(&zeros, col("x").eq(lit(0.0)), &[])?.rows, 1);
    // One row group has the number; none is asked where others may match anyway.
    assert_eq!(outcome(&path, odd(500), &[])?, expect(1, [0, 9, 0, 0], 100));
    let either = odd(501).or(col("up").gt_eq(lit(0)));
    assert_eq!(
        outcome(&path, either, &["parquet_page_index=off"])?,
        expect(1000, [0; 4], 1000)
    );
    let off = ["parquet_bloom_filter=off", "parquet_page_index=off"];
    assert_eq!(outcome(&path, odd(501), &off)?, expect(0, [0; 4], 1000));
    Ok(())
}

#[test]
fn dictionaries_have_all_values_and_are_given_up_where_they_do_not_help() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    write(&path, &table()?, properties())?;
    let none = || expect(0, [0, 0, 10, 0], 0);
    assert_eq!(outcome(&path, col("even").eq(lit(501)), &[])?, none());
    assert_eq!(
        outcome(&path, col("word").eq(lit("word 50x")), &[])?,
        none()
    );
    let between = col("word")
        .gt(lit("word 499"))
        .and(col("word").lt(lit("word 499a")));
    let between = outcome(&path, between, &["parquet_page_index=off"])?;
    assert_eq!((between.rows, between.row_groups[2]), (0, 10));
    // The smallest numbers of some row groups are above it.
    let narrow = col("even").try_cast(DataType::Int8).eq(lit(33));
    let [by_statistics, _, by_dictionary, _] = outcome(&path, narrow, &[])?.row_groups;
    assert!(by_statistics + by_dictionary == 10 && by_dictionary > 0);
    let off = ["parquet_dictionary_pruning=off", "parquet_page_index=off"];
    assert_eq!(
        outcome(&path, col("even").eq(lit(501)), &off)?,
        expect(0, [0; 4], 1000)
    );

    // A dictionary has no null, its column may.
    let column: Int64Array = (0..1000).map(|row| (row % 3 > 0).then_some(row)).collect();
    let column: ArrayRef = Arc::new(column);
    let batch = RecordBatch::try_from_iter([("x", column)]).map_err(failed)?;
    write(&path, &batch, properties())?;
    let never_five = !col("x").eq(lit(5)).and(col("x").eq(lit(5)));
    let nulls = col("x").is_null().and(col("x").is_null().or(never_five));
    assert_eq!(outcome(&path, nulls, &[])?.rows, 334);

    // The number 7 is in the first row groups, and between the ends of all.
    for (groups_with, pruned) in [(3, 7), (4, 0)] {
        let number = |row: usize| match (row % GROUP_ROWS, row / GROUP_ROWS < groups_with) {
            (1, true) => 7,
            (2, _) => 1000,
            _ => 0,
        };
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(number)));
        let batch = RecordBatch::try_from_iter([("x", column)]).map_err(failed)?;
        write(&path, &batch, properties())?;
        let out = outcome(&path, col("x").eq(lit(7)), &["parquet_page_index=off"])?;
        assert_eq!(out.row_groups, [0, 0, pruned, 0], "{groups_with}");
        assert_eq!(out.rows, groups_with);
    }
    Ok(())
}

#[test]
fn page_indexes_leave_the_rows_that_may_match() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        write(&path, &table()?, properties().set_writer_version(version))?;
        // Nine pages of ten of each of five columns in each of ten row groups.
        let out = outcome(&path, col("up").between(lit(30), lit(39)), &[])?;
        let expected = Outcome {
            pages: 450,
            ..expect(100, [0; 4], 100)
        };
        assert_eq!(out, expected);
        let low = col("up").lt(lit(10)).and(col("down").lt(lit(10)));
        assert_eq!(
            outcome(&path, low.clone(), &[])?,
            expect(0, [0, 0, 0, 10], 0)
        );
        let off = ["parquet_page_index=off"];
        assert_eq!(outcome(&path, low, &off)?, expect(0, [0; 4], 1000));
        let ends = col("up").lt(lit(10)).or(col("down").lt(lit(10)));
        assert_eq!(outcome(&path, ends, &[])?.decoded, 200);
    }
    Ok(())
}

#[test]
fn explain_says_what_each_step_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    write(
        &path,
        &table()?,
        properties()
            .set_bloom_filter_enabled(true)
            .set_bloom_filter_fpp(0.000_001),
    )?;
    write(
        &folder.path().join("u.parquet"),
        &table()?.slice(0, 300),
        properties(),
    )?;
    // Row 777 has it.
    let predicate = col("group")
        .gt(lit(4))
        .and(col("even").eq(lit(506)))
        .and(col("up").gt(lit(50)));
    let text = scan_parquet(folder.path())?
        .filter(predicate)
        .select([col("even")])
        .explain(&engine(&[])?)?;
    // Sizes are the writer's affair.
    let number = |word: &str| word.parse::<u64>().is_ok();
    let mut shown = String::new();
    for line in text
        .lines()
        .filter(|line| line.contains("row groups") || line.contains("pruned"))
    {
        let words: Vec<&str> = line.trim_start().split(' ').collect();
        let is_size = |at: usize| matches!(words.get(at + 1), Some(&("compressed" | "bytes,")));
        let words = words.iter().enumerate();
        let words = words.map(|(at, word)| {
            if number(word) && is_size(at) {
                "N"
            } else {
                word
            }
        });
        shown.push_str(&words.collect::<Vec<_>>().join(" "));
        shown.push('\n');
    }
    expect_test::expect![[r#"
        1 of 13 row groups, 100 rows, N bytes, in 1 partitions
        pruned by statistics: 8 row groups of N compressed bytes, 1 whole files among them
        pruned by Bloom filters: 4 row groups of N compressed bytes
        pruned by page indexes: 15 pages of N compressed bytes in the others
    "#]]
    .assert_eq(&shown);
    Ok(())
}

/// Writes the file anew with another footer.
fn with_columns(
    path: &Path,
    edit: &dyn Fn(ColumnChunkMetaDataBuilder, &ColumnChunkMetaData) -> ColumnChunkMetaDataBuilder,
) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let mut reader = ParquetMetaDataReader::new();
    reader
        .try_parse(&bytes::Bytes::from(bytes.clone()))
        .map_err(failed)?;
    let metadata = reader.finish().map_err(failed)?;
    let mut groups = Vec::new();
    for group in metadata.row_groups() {
        let columns = group.columns().iter();
        let columns = columns.map(|column| edit(column.clone().into_builder(), column).build());
        let columns = columns
            .collect::<std::result::Result<_, _>>()
            .map_err(failed)?;
        let group = group.clone().into_builder().set_column_metadata(columns);
        groups.push(group.build().map_err(failed)?);
    }
    let metadata = ParquetMetaDataBuilder::new(metadata.file_metadata().clone())
        .set_row_groups(groups)
        .build();
    ParquetMetaDataWriter::new(&mut bytes, &metadata)
        .finish()
        .map_err(failed)?;
    fs::write(path, bytes)?;
    Ok(())
}

#[test]
fn what_is_wrong_besides_the_rows_is_passed_over() -> Result<()> {
    let folder = tempfile::tempdir()?;
    type Edit =
        dyn Fn(ColumnChunkMetaDataBuilder, &ColumnChunkMetaData) -> ColumnChunkMetaDataBuilder;
    let edits: [(&str, &Edit); 9] = [
        ("a filter before the file", &|c, _| {
            c.set_bloom_filter_offset(Some(-5))
        }),
        ("a filter behind the file", &|c, _| {
            c.set_bloom_filter_offset(Some(1 << 40))
        }),
        ("a filter in the data", &|c, _| {
            c.set_bloom_filter_offset(Some(4))
        }),
        ("a filter of no bytes", &|c, _| {
            c.set_bloom_filter_length(Some(0))
        }),
        ("a filter that is cut", &|c, was| {
            c.set_bloom_filter_length(was.bloom_filter_length().map(|length| length - 32))
        }),
        ("a filter that goes on", &|c, was| {
            c.set_bloom_filter_length(was.bloom_filter_length().map(|length| length + 32))
        }),
        ("an index behind the file", &|c, _| {
            c.set_column_index_offset(Some(i64::MAX))
        }),
        ("an index of negative length", &|c, _| {
            c.set_offset_index_length(Some(-1))
        }),
        ("an index in the data", &|c, _| {
            c.set_offset_index_offset(Some(4))
                .set_column_index_offset(Some(4))
        }),
    ];
    let blooming = || {
        properties()
            .set_bloom_filter_enabled(true)
            .set_bloom_filter_fpp(0.000_001)
    };
    for (index, (what, edit)) in edits.into_iter().enumerate() {
        let path = folder.path().join(format!("{index}.parquet"));
        write(&path, &table()?, blooming())?;
        with_columns(&path, edit)?;
        let by_filter = outcome(
            &path,
            col("even").eq(lit(500)),
            &["parquet_dictionary_pruning=off"],
        )?;
        let by_index = outcome(
            &path,
            col("up").eq(lit(7)),
            &["parquet_dictionary_pruning=off"],
        )?;
        assert_eq!((by_filter.rows, by_index.rows), (1, 10), "{what}");
        if what.contains("filter") {
            assert_eq!(
                (by_filter.row_groups[1], by_index.decoded),
                (0, 100),
                "{what}"
            );
        } else {
            assert_eq!(
                (by_filter.row_groups[1], by_index.decoded),
                (9, 1000),
                "{what}"
            );
        }
    }
    Ok(())
}

/// A stream of numbers that any run makes alike.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn random_float(numbers: &mut Numbers) -> f64 {
    match numbers.below(8) {
        0 => f64::NAN,
        1 => -0.0,
        2 => 0.0,
        3 => f64::NEG_INFINITY,
        other => other as f64 - 5.5,
    }
}

/// A string that is cut in statistics, with a stem that many share.
fn random_text(numbers: &mut Numbers) -> String {
    const ENDS: [&str; 6] = ["", "a", "é", "\u{10ffff}", "zz", "\u{7f}"];
    let stem = "stem of many letters ".repeat(usize::try_from(numbers.below(3)).unwrap_or(0));
    let end = |numbers: &mut Numbers| ENDS[usize::try_from(numbers.below(6)).unwrap_or(0)];
    format!("{stem}{}{}", end(numbers), end(numbers))
}

fn random_table(numbers: &mut Numbers) -> Result<RecordBatch> {
    let rows = numbers.below(120);
    let spread = 1 + numbers.below(60);
    let sorted = numbers.once_in(2);
    let mut integers: Vec<Option<i32>> = Vec::new();
    let mut floats: Vec<Option<f64>> = Vec::new();
    let mut texts: Vec<Option<String>> = Vec::new();
    for row in 0..rows {
        let nulls = numbers.once_in(6) || (30..40).contains(&row);
        let integer = if sorted { row } else { numbers.below(spread) };
        integers.push((!nulls).then(|| i32::try_from(integer).unwrap_or(0) - 5));
        floats.push((!numbers.once_in(5)).then(|| random_float(numbers)));
        texts.push((!nulls).then(|| random_text(numbers)));
    }
    let wide = |value: &Option<i32>| value.map(|v| i128::from(v) * 100_000_000_000_000_000_007);
    let unsigned = |value: &Option<i32>| value.map(|v| (v * 100).cast_unsigned());
    let moment = |value: &Option<i32>| value.map(|v| i64::from(v) * 86_400_000);
    let decimals: Decimal128Array = integers.iter().map(wide).collect();
    let decimals = decimals.with_precision_and_scale(30, 2).map_err(failed)?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "unsigned",
            Arc::new(integers.iter().map(unsigned).collect::<UInt32Array>()),
        ),
        ("wide", Arc::new(decimals)),
        (
            "moment",
            Arc::new(
                integers
                    .iter()
                    .map(moment)
                    .collect::<TimestampMillisecondArray>(),
            ),
        ),
        ("integer", Arc::new(Int32Array::from(integers))),
        ("float", Arc::new(Float64Array::from(floats))),
        ("text", Arc::new(StringArray::from(texts))),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

fn random_properties(numbers: &mut Numbers) -> WriterPropertiesBuilder {
    use EnabledStatistics::{Chunk, None, Page};
    let page_rows = 1 + usize::try_from(numbers.below(12)).unwrap_or(0);
    let statistics = [None, Chunk, Page, Page, Page];
    let cut = usize::try_from(1 + numbers.below(30)).ok();
    let version = match numbers.once_in(2) {
        true => WriterVersion::PARQUET_1_0,
        false => WriterVersion::PARQUET_2_0,
    };
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(1 + usize::try_from(numbers.below(50)).unwrap_or(0)))
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows)
        .set_statistics_truncate_length(cut)
        .set_column_index_truncate_length(cut)
        .set_statistics_enabled(statistics[usize::try_from(numbers.below(5)).unwrap_or(0)])
        .set_bloom_filter_enabled(numbers.once_in(2))
        .set_dictionary_enabled(!numbers.once_in(3))
        .set_dictionary_page_size_limit(if numbers.once_in(4) { 20 } else { 1 << 20 })
        .set_writer_version(version)
}

fn random_predicate(numbers: &mut Numbers, depth: u32) -> Expr {
    if depth > 0 && !numbers.once_in(3) {
        let left = random_predicate(numbers, depth - 1);
        return match numbers.below(5) {
            0 => !left,
            1 | 2 => left.and(random_predicate(numbers, depth - 1)),
            _ => left.or(random_predicate(numbers, depth - 1)),
        };
    }
    let number = i64::try_from(numbers.below(80)).unwrap_or(0) - 10;
    let (column, value) = match numbers.below(8) {
        0 | 1 => (col("integer"), lit(number)),
        2 => (col("integer").try_cast(DataType::Int8), lit(number)),
        3 => (col("unsigned"), lit(number * 100)),
        4 => (col("float"), lit(random_float(numbers))),
        5 => {
            let value = i128::from(number) * 100_000_000_000_000_000_007;
            let decimal = Literal::Decimal {
                value,
                precision: 30,
                scale: 2,
            };
            (col("wide"), Expr::Literal(decimal))
        }
        6 => (
            col("moment"),
            Expr::Literal(Literal::TimestampMicros(number * 86_400_000_000)),
        ),
        _ => (col("text"), lit(random_text(numbers))),
    };
    match numbers.below(10) {
        0 => column.is_null(),
        1 => column.is_not_null(),
        2 => column.not_eq(value),
        3 => column.lt(value),
        4 => column.gt_eq(value),
        _ => column.eq(value),
    }
}

#[test]
fn random_queries_have_the_same_rows_without() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pruning = engine(&["num_streaming_threads=2"])?;
    let plain = engine(&[
        "num_streaming_threads=2",
        "parquet_bloom_filter=off",
        "parquet_dictionary_pruning=off",
        "parquet_page_index=off",
    ])?;
    let mut numbers = Numbers(5);
    let names = ["integer", "unsigned", "wide", "moment", "float", "text"].map(col);
    let mut steps = [0; 6];
    for round in 0..150 {
        let files = 1 + numbers.below(2);
        let place = folder.path().join(format!("{round}"));
        fs::create_dir(&place)?;
        for file in 0..files {
            let table = random_table(&mut numbers)?;
            let properties = random_properties(&mut numbers);
            write(&place.join(format!("{file}.parquet")), &table, properties)?;
        }
        for _ in 0..6 {
            let predicate = random_predicate(&mut numbers, 3);
            let scan = scan_parquet(&place)?;
            let short = scan.clone().filter(predicate.clone()).select(names.clone());
            let short = short.collect(&pruning)?;
            // A filter above a limit prunes nothing.
            let long = scan.limit(1_000_000_000);
            let long = long
                .filter(predicate.clone())
                .select(names.clone())
                .collect(&plain)?;
            assert_eq!(long.metrics.get("scan_bytes_pruned"), 0);
            assert_eq!(
                sorted_rows(&short)?,
                sorted_rows(&long)?,
                "round {round}: {predicate}"
            );
            for (count, name) in steps.iter_mut().zip([
                "scan_files_pruned",
                "scan_row_groups_pruned_by_statistics",
                "scan_row_groups_pruned_by_bloom_filter",
                "scan_row_groups_pruned_by_dictionary",
                "scan_row_groups_pruned_by_page_index",
                "scan_pages_pruned",
            ]) {
                *count += short.metrics.get(name);
            }
        }
        fs::remove_dir_all(&place)?;
    }
    assert!(steps.iter().all(|count| *count > 10), "{steps:?}");
    Ok(())
}
