//! Launchers of `nested_loop_join`: pairs of rows of two sides.
//!
//! [`Comparisons`] finds the pairs for which columns of both sides compare as they should, without
//! making the others; [`nested_loop_join_pairs`] makes all, a range at a time.

use super::abi::{
    self, NestedLoopJoinCompare, NestedLoopJoinCompareParams, NestedLoopJoinCount,
    NestedLoopJoinPairs, NestedLoopJoinPairsParams,
};
use super::hash_join::JoinMarks;
use super::{DeviceColumn, Launch, OutputColumn, address_of, blocks};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Blocks of a launch over tiles, per multiprocessor.
const BLOCKS_PER_MULTIPROCESSOR: u64 = 8;

/// A comparison of a column of the probe side with one of the build side.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Values of the probe side.
    pub probe: DeviceColumn,
    /// Values of the build side, of the same layout.
    pub build: DeviceColumn,
    /// `abi::NESTED_LOOP_JOIN_BELOW`, `_EQUAL` and `_ABOVE`: how the probe's value may compare.
    pub accepts: u32,
}

/// Comparisons that a pair of rows must all satisfy; a null satisfies none.
#[derive(Debug)]
pub struct Comparisons {
    comparisons: Vec<Comparison>,
    probe_rows: u64,
    build_rows: u64,
}

impl Comparisons {
    /// Most comparisons at a time.
    pub const COUNT_MAX: usize = abi::NESTED_LOOP_JOIN_COMPARISONS_MAX as usize;

    /// Whether values of this layout can be compared here: they have at most 64 bits.
    pub fn takes(physical: PhysicalType) -> bool {
        !matches!(physical, PhysicalType::Int128 | PhysicalType::View)
    }

    /// Comparisons of so many probe rows with so many build rows.
    ///
    /// # Errors
    /// `InvalidInput` for none or too many, for layouts that differ or are not taken, for columns
    /// with too few rows, and for more rows than row numbers can name.
    pub fn new(comparisons: Vec<Comparison>, probe_rows: u64, build_rows: u64) -> Result<Self> {
        let fits = |one: &Comparison| {
            one.probe.physical() == one.build.physical()
                && Comparisons::takes(one.probe.physical())
                && one.probe.rows() >= probe_rows
                && one.build.rows() >= build_rows
        };
        let count = comparisons.len();
        let is_few = (1..=Comparisons::COUNT_MAX).contains(&count);
        let row_numbers = 1 << 32;
        let named = probe_rows <= row_numbers && build_rows <= row_numbers;
        if !is_few || !named || !comparisons.iter().all(fits) {
            let cause = format!("{count} comparisons of {probe_rows} with {build_rows} rows");
            let remedy = "compare columns of one layout of at most 64 bits";
            return Err(Error::invalid("nested_loop_join", cause, remedy));
        }
        Ok(Comparisons {
            comparisons,
            probe_rows,
            build_rows,
        })
    }

    fn params(&self, launch: &Launch) -> Result<NestedLoopJoinCompareParams> {
        let first = self.comparisons[0].probe.view(launch)?;
        let mut params = NestedLoopJoinCompareParams {
            probe: [first; Comparisons::COUNT_MAX],
            build: [first; Comparisons::COUNT_MAX],
            out_row_count: std::ptr::null_mut(),
            out_marks: std::ptr::null_mut(),
            out_probe_rows: std::ptr::null_mut(),
            out_build_rows: std::ptr::null_mut(),
            probe_row_count: self.probe_rows,
            build_row_count: self.build_rows,
            accepts: [0; Comparisons::COUNT_MAX],
            comparison_count: self.comparisons.len() as u32,
            reserved: 0,
        };
        for (index, one) in self.comparisons.iter().enumerate() {
            params.probe[index] = one.probe.view(launch)?;
            params.build[index] = one.build.view(launch)?;
            params.accepts[index] = one.accepts;
        }
        Ok(params)
    }

    fn grid(&self, launch: &Launch) -> u64 {
        let probe_tiles = blocks(self.probe_rows, abi::NESTED_LOOP_JOIN_THREADS);
        let build_tiles = blocks(self.build_rows, abi::NESTED_LOOP_JOIN_BUILD_ROWS);
        let multiprocessors = u64::from(launch.device().properties().multiprocessors);
        (probe_tiles * build_tiles).min(multiprocessors * BLOCKS_PER_MULTIPROCESSOR)
    }

    /// The number of matches. Waits for the stream.
    ///
    /// # Errors
    /// No memory is left, or what failed on the stream.
    pub fn count(&self, launch: &Launch) -> Result<u64> {
        let count = launch.alloc_zeroed(8)?;
        let mut params = self.params(launch)?;
        params.out_row_count = address_of(&count);
        self.launch_count(launch, &params)?;
        let mut bytes = [0; 8];
        launch
            .device()
            .read_at(launch.stream(), &count, 0, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Marks the probe rows that have a match.
    ///
    /// # Errors
    /// `InvalidInput` for marks of fewer rows; the driver refuses.
    pub fn mark(&self, launch: &Launch, marks: &JoinMarks) -> Result<()> {
        if marks.rows() < self.probe_rows {
            let cause = format!("{} marks for {} rows", marks.rows(), self.probe_rows);
            return Err(Error::invalid("nested_loop_join", cause, ""));
        }
        let mut params = self.params(launch)?;
        params.out_marks = marks.words(launch)?;
        self.launch_count(launch, &params)
    }

    fn launch_count(&self, launch: &Launch, params: &NestedLoopJoinCompareParams) -> Result<()> {
        let (grid, threads) = (self.grid(launch), abi::NESTED_LOOP_JOIN_THREADS);
        // SAFETY: `new` checked the columns' rows; what is counted or marked is the caller's word
        // or a bit of each probe row.
        unsafe { launch.launch::<NestedLoopJoinCount>(grid, threads, 0, params) }
    }

    /// Row numbers (`UInt32`) of the probe side and of the build side of all matches, `count` as it
    /// was counted, in no order.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn matches(&self, launch: &Launch, count: u64) -> Result<(DeviceColumn, DeviceColumn)> {
        let output = || OutputColumn::new(launch, PhysicalType::UInt32, count, false);
        let (probe, build) = (output()?, output()?);
        let written = launch.alloc_zeroed(8)?;
        let mut params = self.params(launch)?;
        params.out_row_count = address_of(&written);
        params.out_probe_rows = probe.out().values.cast();
        params.out_build_rows = build.out().values.cast();
        let grid = if count == 0 { 0 } else { self.grid(launch) };
        let threads = abi::NESTED_LOOP_JOIN_THREADS;
        // SAFETY: `new` checked the columns' rows; the outputs have room for all matches, which
        // `count` counted in the same columns.
        unsafe { launch.launch::<NestedLoopJoinCompare>(grid, threads, 0, &params) }?;
        Ok((probe.into_column(), build.into_column()))
    }
}

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
