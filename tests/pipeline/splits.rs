//! However the rows are spread over files, row groups, partitions, batches and threads, a query
//! gives the same multiset.

use pelton::prelude::*;

use crate::files::{batch, engine, orders, sorted_rows, write};

#[test]
fn results_do_not_depend_on_how_the_work_is_split() -> Result<()> {
    let orders = orders(3000);
    let queries = |folder: &std::path::Path| -> Result<Vec<_>> {
        let scan = scan_parquet(folder)?;
        Ok(vec![
            scan.clone(),
            scan.clone()
                .filter(col("amount").gt(lit(150)))
                .select([col("city"), col("day")]),
            scan.clone()
                .filter(col("day").lt(lit("1970-07-01")))
                .group_by([col("city"), col("customer")])
                .agg([
                    count_rows().alias("rows"),
                    col("amount").sum().alias("sum"),
                    col("price").max().alias("price"),
                    col("amount").n_unique().alias("different"),
                    col("ratio").sum().alias("ratio"), // eighths: exact in any order
                ]),
            scan.select([
                col("amount").min().alias("low"),
                col("city").max().alias("last"),
            ]),
        ])
    };
    let mut expected: Option<Vec<Vec<String>>> = None;
    for (rows_per_file, rows_per_group) in [(3000, 3000), (3000, 97), (500, 500), (41, 13)] {
        let folder = tempfile::tempdir()?;
        for (index, rows) in orders.chunks(rows_per_file).enumerate() {
            let path = folder.path().join(format!("part-{index:04}.parquet"));
            write(&path, &batch(rows)?, rows_per_group)?;
        }
        for options in [
            vec!["num_streaming_threads=1"],
            vec!["num_streaming_threads=8", "target_partition_size=1"],
            vec!["num_streaming_threads=3", "max_rows_per_partition=7"],
            vec![
                "num_streaming_threads=2",
                "max_rows_per_partition=100",
                "target_partition_size=20k",
            ],
        ] {
            let engine = engine(&options)?;
            let results = queries(folder.path())?
                .iter()
                .map(|frame| sorted_rows(&frame.collect(&engine)?))
                .collect::<Result<Vec<_>>>()?;
            let expected = expected.get_or_insert_with(|| results.clone());
            assert!(
                results == *expected,
                "{rows_per_file} {rows_per_group} {options:?}"
            );
        }
    }
    assert!(expected.is_some_and(|queries| queries[0].len() == 3000 && queries[2].len() > 50));
    Ok(())
}

#[test]
fn small_row_groups_are_fused_into_full_batches() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (index, rows) in orders(1000).chunks(50).enumerate() {
        write(
            &folder.path().join(format!("{index:02}.parquet")),
            &batch(rows)?,
            10,
        )?;
    }
    let engine = engine(&["max_rows_per_partition=100"])?;
    let out = scan_parquet(folder.path())?.collect(&engine)?;
    let sizes: Vec<usize> = out
        .batches
        .iter()
        .map(arrow::array::RecordBatch::num_rows)
        .collect();
    assert_eq!(sizes, [100; 10]);
    assert_eq!(out.metrics.get("partitions"), 1);
    Ok(())
}

#[test]
fn queries_of_many_threads_do_not_disturb_each_other() -> Result<()> {
    let folder = crate::files::folder_of(&orders(2000), 50)?;
    let engine = engine(&["num_streaming_threads=4", "target_partition_size=4k"])?;
    let frame = scan_parquet(folder.path())?
        .group_by([col("city")])
        .agg([col("amount").sum().alias("sum")]);
    let expected = sorted_rows(&frame.collect(&engine)?)?;
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| frame.collect(&engine).and_then(|out| sorted_rows(&out))))
            .collect();
        for handle in handles {
            let rows = handle
                .join()
                .map_err(|_| crate::files::failed("a query panicked"))??;
            assert_eq!(rows, expected);
        }
        Ok(())
    })
}
