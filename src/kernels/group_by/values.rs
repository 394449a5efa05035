//! What aggregates need besides `group_by_update`: picked values, distances from means, registers
//! of sketches, sums of 64 bits where 64 are enough.

use super::abi::{self, GroupByLayout};
use super::{GroupTable, address_of, blocks, read_words};
use crate::error::Result;
use crate::kernels::{DeviceColumn, DeviceRows, Launch, OutputColumn};
use crate::types::PhysicalType;

/// How much of a 128-bit sum is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// The low word alone, signed: no sum is beyond this bound.
    Narrow(u128),
    /// Both words.
    Wide,
}

impl GroupTable {
    /// Brings the values of the rows that the last update picked into their groups. `row` is the
    /// accumulator of rows, `accumulator` the one that carries the value.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn carry(
        &mut self,
        launch: &Launch,
        row: u32,
        accumulator: u32,
        column: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<()> {
        self.entries.order_write(launch.stream())?;
        let params = abi::GroupByCarryParams {
            layout: self.layout.abi(),
            table: self.table(),
            column: column.view(launch)?,
            row_start: self.rows - rows.max(),
            row_count: rows.max(),
            row_accumulator: row,
            accumulator,
        };
        let threads = abi::GROUP_BY_TABLE_THREADS;
        let grid = blocks(self.slots(), threads);
        // SAFETY: the table's entries were ordered above; a row that is read is below `row_count`,
        // because it was numbered by an update over these rows.
        unsafe { launch.launch::<abi::GroupByCarry>(grid, threads, 0, &params) }
    }

    /// The distance of each value from the mean of its group, `Float64`, once an update fed the
    /// values to the variance `accumulator`.
    ///
    /// # Errors
    /// No memory is left, or columns that do not fit the layout.
    pub fn distances(
        &self,
        launch: &Launch,
        keys: &[&DeviceColumn],
        accumulator: u32,
        column: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        let output = OutputColumn::new(launch, PhysicalType::Float64, rows.max(), true)?;
        self.entries.order_read(launch.stream())?;
        let params = abi::GroupByDistanceParams {
            layout: self.layout.abi(),
            keys: self.layout.place(launch, keys)?,
            table: self.table(),
            column: column.view(launch)?,
            output: output.out(),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            accumulator: u64::from(accumulator),
        };
        let threads = abi::GROUP_BY_TABLE_THREADS;
        let grid = blocks(rows.max(), threads);
        self.layout
            .launch_by_width::<abi::GroupByDistance, abi::GroupByDistanceWide>(
                launch, grid, threads, 0, &params,
            )?;
        Ok(output.into_column())
    }

    /// Makes every sum as wide as its accumulator, and digits of exact sums 32 bits again: before
    /// the table is emitted or merged.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn settle(&mut self, launch: &Launch) -> Result<()> {
        let mut narrow = 0;
        for (index, width) in self.widths.iter_mut().enumerate() {
            if let Width::Narrow(1..) = width {
                narrow |= 1 << index;
            }
            *width = Width::Wide;
        }
        self.settle_these(launch, narrow, 0)
    }

    /// Marks in the groups themselves that they have values, where that went without saying: before
    /// groups may come that have none.
    pub(super) fn settle_presence(&mut self, launch: &Launch, ended: u64) -> Result<()> {
        let present = self.present & ended;
        self.present &= !ended;
        if present == 0 || self.groups == 0 {
            return Ok(());
        }
        self.settle_these(launch, 0, present)
    }

    /// The same for the narrow sums and the marks of these masks alone, and for exact sums.
    fn settle_these(&mut self, launch: &Launch, narrow: u64, present: u64) -> Result<()> {
        let layout = self.layout.abi();
        let exact = |index: &usize| u32::from(layout.kinds[*index]) == abi::ACCUMULATE_ADD_EXACT;
        let exact = (0..self.widths.len()).filter(exact);
        let carry = exact.fold(0, |mask, index| mask | 1 << index);
        self.unsettled_rows = 0;
        if narrow | present | carry == 0 {
            return Ok(());
        }
        self.entries.order_write(launch.stream())?;
        let params = abi::GroupBySettleParams {
            layout,
            table: self.table(),
            narrow,
            present,
            carry,
        };
        let threads = abi::GROUP_BY_TABLE_THREADS;
        let grid = blocks(self.slots(), threads);
        // SAFETY: the table's entries were ordered above.
        unsafe { launch.launch::<abi::GroupBySettle>(grid, threads, 0, &params) }
    }

    /// Settles exact sums before their digits could overflow.
    pub(super) fn settle_digits(&mut self, launch: &Launch, rows: u64) -> Result<()> {
        if self.unsettled_rows + rows >= self.tuning.exact_rows_max {
            self.settle_these(launch, 0, 0)?;
        }
        self.unsettled_rows += rows;
        Ok(())
    }

    /// The inputs that have to be looked at: not those that would mark groups as having values where
    /// every row has one, as long as that holds for all rows of the table.
    pub(super) fn without_presence<'c>(
        &mut self,
        launch: &Launch,
        inputs: &[(u32, &'c DeviceColumn)],
    ) -> Result<Vec<(u32, &'c DeviceColumn)>> {
        let sure = inputs.iter().filter(|(_, column)| !column.nullable());
        let sure = sure.fold(0u64, |mask, (accumulator, _)| mask | 1 << accumulator);
        self.settle_presence(launch, !sure)?;
        let fed = inputs.iter().copied();
        Ok(fed
            .filter(|input| self.present >> input.0 & 1 == 0)
            .collect())
    }

    /// The layout for a launch over these inputs: sums of 128 bits add to their low word alone where
    /// rows × greatest absolute value, over all launches, proves that 64 bits hold every sum. Sums
    /// for which that ends are widened. Waits for the stream where a bound is read from a column.
    pub(super) fn narrowed(
        &mut self,
        launch: &Launch,
        inputs: &[(u32, &DeviceColumn)],
        rows: &DeviceRows,
    ) -> Result<GroupByLayout> {
        let mut layout = self.layout.abi();
        let mut widened = 0;
        for (accumulator, column) in inputs {
            let index = *accumulator as usize;
            if u32::from(layout.kinds[index]) != abi::ACCUMULATE_ADD_INT128 {
                continue;
            }
            let Width::Narrow(before) = self.widths[index] else {
                continue;
            };
            let greatest = self.greatest(launch, column, rows)?;
            let bound = greatest
                .map(|greatest| before + u128::from(greatest).max(1) * u128::from(rows.max()));
            match bound.filter(|bound| *bound >> self.tuning.narrow_bits == 0) {
                Some(bound) => {
                    self.widths[index] = Width::Narrow(bound);
                    layout.kinds[index] = abi::ACCUMULATE_ADD as u8;
                }
                None => {
                    widened |= u64::from(before > 0) << index;
                    self.widths[index] = Width::Wide;
                }
            }
        }
        if widened != 0 {
            self.settle_these(launch, widened, 0)?;
        }
        Ok(layout)
    }

    /// The greatest absolute value of an integer column, or a bound of it; none if there is none
    /// that would help.
    fn greatest(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<Option<u64>> {
        match column.physical() {
            PhysicalType::Int64 if self.tuning.narrow_bits > 0 => {}
            PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Int128 => return Ok(None),
            // Beyond 63 bits there is no bound that would help.
            other => return Ok(1u64.checked_shl(other.bits() as u32)),
        }
        let bound = launch.alloc_zeroed(8)?;
        let params = abi::GroupByBoundParams {
            column: column.view(launch)?,
            bound: address_of(&bound),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
        };
        let threads = abi::GROUP_BY_TABLE_THREADS;
        let resident = u64::from(launch.device().properties().multiprocessors) * 8;
        let grid = blocks(rows.max(), threads * 16).min(resident);
        // SAFETY: `view` gives a pointer to a buffer of enough rows, ordered on this stream.
        unsafe { launch.launch::<abi::GroupByBound>(grid, threads, 0, &params) }?;
        let [greatest] = read_words(launch, &bound)?;
        Ok(Some(greatest))
    }

    fn slots(&self) -> u64 {
        self.capacity + u64::from(abi::GROUP_BY_SPECIAL_SLOTS)
    }
}

/// The register of each value in a sketch of different values (`UInt32`, 12 bits), and the weight
/// of its rank (`Int64`, a power of two that is less for a greater rank). `hashed`: the column has
/// hashes, not values.
///
/// Shape: `column[rows]` → two columns of `rows` rows.
///
/// # Errors
/// No memory is left, or the driver refuses.
pub fn registers(
    launch: &Launch,
    column: &DeviceColumn,
    hashed: bool,
    rows: &DeviceRows,
) -> Result<(DeviceColumn, DeviceColumn)> {
    let registers = OutputColumn::new(launch, PhysicalType::UInt32, rows.max(), true)?;
    let weights = OutputColumn::new(launch, PhysicalType::Int64, rows.max(), true)?;
    let params = abi::GroupByRegistersParams {
        column: column.view(launch)?,
        registers: registers.out(),
        weights: weights.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        hashed: u64::from(hashed),
    };
    let threads = abi::GROUP_BY_TABLE_THREADS;
    let grid = blocks(rows.max(), threads);
    // SAFETY: `view` and `out` give pointers to buffers of enough rows, ordered on this stream.
    unsafe { launch.launch::<abi::GroupByRegisters>(grid, threads, 0, &params) }?;
    Ok((registers.into_column(), weights.into_column()))
}
