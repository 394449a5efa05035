//! Launcher of `nested_loop_join`: pairs of rows of two sides.

use super::abi::{self, NestedLoopJoinPairs, NestedLoopJoinPairsParams};
use super::{DeviceColumn, Launch, OutputColumn, blocks};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Row numbers (`UInt32`) of the probe side and of the build side of the pairs `first_pair` to
/// `first_pair + pair_count`, counted probe row by probe row.
///
/// # Errors
/// `InvalidInput` if there are no build rows, or more pairs than row numbers can name; no memory is
/// left, or the driver refuses.
pub fn nested_loop_join_pairs(
    launch: &Launch,
    first_pair: u64,
    pair_count: u64,
    build_rows: u64,
) -> Result<(DeviceColumn, DeviceColumn)> {
    let end = first_pair.checked_add(pair_count);
    let probe_rows = end.and_then(|end| end.checked_add(build_rows)?.checked_div(build_rows));
    let row_numbers = 1 << 32;
    let fits = |rows: u64| rows <= row_numbers && build_rows <= row_numbers;
    if pair_count > 0 && !probe_rows.is_some_and(fits) {
        let cause = format!("{pair_count} pairs from {first_pair} on, of {build_rows} build rows");
        return Err(Error::invalid("nested_loop_join", cause, ""));
    }
    let output = || OutputColumn::new(launch, PhysicalType::UInt32, pair_count, false);
    let (probe, build) = (output()?, output()?);
    let params = NestedLoopJoinPairsParams {
        out_probe_rows: probe.out().values.cast(),
        out_build_rows: build.out().values.cast(),
        first_pair,
        pair_count,
        build_row_count: build_rows,
    };
    let threads = abi::NESTED_LOOP_JOIN_THREADS;
    let grid = blocks(pair_count, threads * abi::NESTED_LOOP_JOIN_ITEMS);
    // SAFETY: the outputs have room for `pair_count` rows.
    unsafe { launch.launch::<NestedLoopJoinPairs>(grid, threads, 0, &params) }?;
    Ok((probe.into_column(), build.into_column()))
}
