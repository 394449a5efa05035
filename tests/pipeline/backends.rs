//! The same plans over the same files on every backend: equal multisets of rows, no fallback.

use pelton::ErrorKind;
use pelton::expr::Keep;
use pelton::prelude::*;

use crate::files::{engine, folder_of, orders, sorted_rows};

fn plans(folder: &std::path::Path) -> Result<Vec<LazyFrame>> {
    let scan = || scan_parquet(folder);
    Ok(vec![
        scan()?.filter(col("amount").gt(lit(100))).select([
            col("customer"),
            (col("amount") * lit(2)).alias("double"),
            col("city"),
        ]),
        scan()?.group_by([col("city"), col("customer")]).agg([
            col("amount").sum().alias("sum"),
            col("amount").mean().alias("mean"),
            col("ratio").sum().alias("ratio"),
            col("day").max().alias("last"),
            count_rows().alias("rows"),
        ]),
        scan()?
            .filter(col("city").eq(lit("Bern")).or(col("ratio").lt(lit(20.0))))
            .group_by([col("customer")])
            .agg([
                col("city").n_unique().alias("cities"),
                col("day").n_unique().alias("days"),
            ])
            .filter(col("cities").gt(lit(1))),
        scan()?
            .with_columns([when(col("amount").is_null())
                .then(lit(0))
                .otherwise(col("amount") / lit(7))
                .alias("seventh")])
            .group_by([(col("seventh") % lit(5)).alias("rest")])
            .agg([(col("amount").sum() - col("seventh").sum()).alias("difference")]),
        scan()?
            .filter(col("day").gt(lit("2100-01-01")))
            .select([col("amount").sum()]),
        scan()?.group_by([col("customer")]).agg([
            col("city").max().alias("city"),
            col("city").approx_n_unique().alias("cities"),
            col("amount").is_null().any().alias("missing"),
            col("ratio").any_value().is_not_null().alias("some"),
        ]),
        scan()?
            .distinct(["city", "customer"], Keep::Any)
            .select([col("customer"), col("city")]),
    ])
}

#[test]
fn every_backend_gives_the_same_rows() -> Result<()> {
    let folder = folder_of(&orders(3000), 170)?;
    let cpu = engine(&[])?;
    for (index, plan) in plans(folder.path())?.into_iter().enumerate() {
        let expected = sorted_rows(&plan.clone().collect(&cpu)?)?;
        for backend in ["simt", "cuda"] {
            for seed in 0..3 {
                let device = engine(&[
                    &format!("backend={backend}"),
                    &format!("simt_seed={seed}"),
                    "simt_checked=true",
                    "fallback_mode=raise",
                    "num_streaming_threads=3",
                    "max_rows_per_partition=400",
                    "target_partition_size=4k",
                ]);
                let device = match device {
                    Err(error) if matches!(error.kind(), ErrorKind::DeviceNotFound { .. }) => {
                        let required = std::env::var_os("PELTON_REQUIRE_GPU").is_some();
                        assert!(!required, "PELTON_REQUIRE_GPU is set: {error}");
                        continue;
                    }
                    other => other?,
                };
                let out = plan.clone().collect(&device)?;
                assert_eq!(out.backend, backend);
                assert_eq!(
                    sorted_rows(&out)?,
                    expected,
                    "plan {index} on {backend}, seed {seed}"
                );
            }
        }
    }
    Ok(())
}
