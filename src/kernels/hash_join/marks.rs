//! Which rows of a side were matched.

use std::sync::Arc;

use super::super::column::{check_rows, check_type};
use super::{DeviceColumn, DeviceRows, JoinTuning, Launch, abi, address_of, filled, grid};
use crate::device::DeviceBuffer;
use crate::error::Result;
use crate::types::PhysicalType;

/// A bit per row, set by any number of launches on any streams.
#[derive(Debug)]
pub struct JoinMarks {
    bits: Arc<DeviceBuffer>,
    rows: u64,
}

impl JoinMarks {
    /// No row is marked.
    ///
    /// # Errors
    /// No memory is left.
    pub fn new(launch: &Launch, rows: u64) -> Result<JoinMarks> {
        let bits = filled(launch, rows.div_ceil(64) * 8, 0)?;
        Ok(JoinMarks { bits, rows })
    }

    /// Marks the rows that `indices` (`UInt32`) names, where `keep` (Boolean) is true, if it is
    /// given. A null index names none.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn mark(
        &self,
        launch: &Launch,
        indices: &DeviceColumn,
        keep: Option<&DeviceColumn>,
        rows: &DeviceRows,
    ) -> Result<()> {
        let all = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows.max());
        check_type("hash_join", indices, PhysicalType::UInt32)?;
        check_type("hash_join", keep.unwrap_or(&all), PhysicalType::Boolean)?;
        check_rows("hash_join", &[indices, keep.unwrap_or(&all)], rows.max())?;
        // Bits are set atomically, so that streams need not wait for each other as writers do.
        self.bits.order_read(launch.stream())?;
        let params = abi::HashJoinMarkParams {
            indices: indices.view(launch)?,
            keep: keep.unwrap_or(&all).view(launch)?,
            bits: address_of(&self.bits),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
        };
        let tuning = JoinTuning::default();
        let grid = grid(launch, &tuning, rows.max(), abi::HASH_JOIN_THREADS);
        // SAFETY: the indices are row numbers of the side that the marks were made for.
        unsafe { launch.launch::<abi::HashJoinMark>(grid, abi::HASH_JOIN_THREADS, 0, &params) }
    }

    /// The number of rows that may be marked.
    pub(in crate::kernels) fn rows(&self) -> u64 {
        self.rows
    }

    /// The bits in words, for a kernel to raise atomically.
    pub(in crate::kernels) fn words(&self, launch: &Launch) -> Result<*mut u32> {
        self.bits.order_read(launch.stream())?; // as in `mark`
        Ok(address_of(&self.bits))
    }

    /// Which rows are marked: a Boolean column. What follows on the stream sees the marks of all
    /// streams so far.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn column(&self, launch: &Launch) -> Result<DeviceColumn> {
        self.bits.order_write(launch.stream())?;
        let bits = Arc::clone(&self.bits);
        DeviceColumn::array(PhysicalType::Boolean, bits, None, 0, self.rows)
    }
}
