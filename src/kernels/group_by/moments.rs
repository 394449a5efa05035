//! Variances from the moments of parts of their values: what a partial aggregation found.
//!
//! They go the way that values go, by what the parts weigh: first counts and sums, then the distances
//! of the parts' means from those of their groups.

use super::abi;
use super::{GroupTable, Input, Part};
use crate::error::Result;
use crate::kernels::project::{Failures, Rescale, arithmetic, cast};
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::types::PhysicalType;

/// Words of `abi::ACCUMULATE_VARIANCE`.
const COUNT: u32 = 0;
const SUM: u32 = 1;
const SQUARES: u32 = 2;
const DISTANCES: u32 = 3;

/// Moments of parts of some values, a part per row, and the variance that takes them.
#[derive(Debug)]
pub struct Moments<'a> {
    /// An accumulator of `abi::ACCUMULATE_VARIANCE`.
    pub accumulator: u32,
    /// Values of each part, `Int64`.
    pub counts: &'a DeviceColumn,
    /// Their mean, `Float64`; 0 for no values.
    pub means: &'a DeviceColumn,
    /// Their squared distances from it, `Float64`, added up.
    pub m2: &'a DeviceColumn,
}

impl GroupTable {
    /// Adds moments to variances of groups, all of which are in the table, and of which no values
    /// were added before. Waits for the stream.
    ///
    /// # Errors
    /// As [`GroupTable::update`].
    pub fn update_moments(
        &mut self,
        launch: &Launch,
        keys: &[&DeviceColumn],
        moments: &Moments,
        rows: &DeviceRows,
    ) -> Result<()> {
        let never = Failures::default();
        let binary = |op, left, right| arithmetic(launch, op, left, right, rows, &never);
        let times = |left, right| binary(abi::PROJECT_MULTIPLY, left, right);
        let accumulator = moments.accumulator;
        self.layout.check_accumulator(accumulator)?;
        let add = |word, column| Input {
            accumulator,
            part: Part::Word(word),
            column,
        };
        let float = PhysicalType::Float64;
        let weights = cast(launch, moments.counts, float, Rescale::NONE, rows, &never)?;
        let sums = times(moments.means, &weights)?;
        let inputs = [add(COUNT, moments.counts), add(SUM, &sums)];
        self.update_known(launch, keys, &inputs, rows)?;
        let distances = self.distances(launch, keys, accumulator, moments.means, rows)?;
        let weighted = times(&distances, &weights)?;
        let squares = times(&weighted, &distances)?;
        let squares = binary(abi::PROJECT_ADD, &squares, moments.m2)?;
        let inputs = [add(SQUARES, &squares), add(DISTANCES, &weighted)];
        self.update_known(launch, keys, &inputs, rows)
    }
}
