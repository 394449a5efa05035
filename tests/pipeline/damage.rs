//! Damaged files give rows or an error, in finite time, and leave the engine usable.

use std::fs;

use pelton::ErrorKind;
use pelton::prelude::*;

use crate::files::{engine, folder_of, orders};

/// Runs a query over the file; what is not a result must be about the file.
fn outcome(path: &std::path::Path, engine: &Engine) -> Result<bool> {
    let result = scan_parquet(path).and_then(|scan| {
        scan.filter(col("amount").gt(lit(0)))
            .group_by([col("city")])
            .agg([count_rows(), col("ratio").max().alias("ratio")])
            .collect(engine)
    });
    match result {
        Ok(_) => Ok(true),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(text.lines().count(), 1, "{text}");
            let about_the_file = matches!(
                error.kind(),
                ErrorKind::Corrupt { .. }
                    | ErrorKind::Encrypted { .. }
                    | ErrorKind::TooLarge { .. }
                    | ErrorKind::InvalidInput { .. }
                    | ErrorKind::Unsupported { .. }
                    | ErrorKind::Io { .. }
            );
            if about_the_file {
                Ok(false)
            } else {
                Err(error)
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_corrupt() -> Result<()> {
    let folder = folder_of(&orders(300), 100)?;
    let whole = fs::read(folder.path().join("orders.parquet"))?;
    let cut = folder.path().join("cut.parquet");
    let engine = engine(&["num_streaming_threads=2"])?;
    for length in (0..whole.len())
        .step_by(97)
        .chain(whole.len() - 12..whole.len())
    {
        fs::write(&cut, &whole[..length])?;
        assert!(!outcome(&cut, &engine)?, "cut to {length} bytes");
    }
    Ok(())
}

#[test]
fn a_file_with_changed_bytes_gives_rows_or_an_error() -> Result<()> {
    let folder = folder_of(&orders(300), 100)?;
    let whole = fs::read(folder.path().join("orders.parquet"))?;
    let path = folder.path().join("changed.parquet");
    let engine = engine(&["num_streaming_threads=2", "host_memory_limit=1GiB"])?;
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let footer = whole.len() - 8 - 2500.min(whole.len() / 2);
    let mut survived = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        // Every other round in the footer, where one byte changes much.
        let first = if round % 2 == 0 { 0 } else { footer };
        for _ in 0..=next(3) {
            let place = first + next(bytes.len() - first);
            bytes[place] = u8::try_from(next(256)).unwrap_or(0);
        }
        // Another name each time: the cache knows files by size and time, which stay alike.
        let _ = fs::remove_file(&path);
        let path = folder.path().join(format!("changed-{round}.parquet"));
        fs::write(&path, bytes)?;
        survived += usize::from(outcome(&path, &engine)?);
        fs::remove_file(&path)?;
    }
    assert!(survived < 400);
    assert!(outcome(&folder.path().join("orders.parquet"), &engine)?);
    assert_eq!(engine.memory().used(pelton::memory::Tier::Host), 0);
    Ok(())
}
