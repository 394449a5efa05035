//! Launchers that find rows in columns of which only some pages were decoded.

use std::sync::Arc;

use super::super::abi::{
    PAGE_THREADS, PageCountRows, PageCountRowsParams, PageFindRows, PageFindRowsParams,
};
use super::super::column::check_type;
use super::super::{DeviceColumn, DeviceRows, Launch, address_of, blocks};
use super::narrow;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Where the rows of a scan are in a decoded column: in pieces of rows that follow each other in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowPieces {
    rows: Vec<u32>,
    indices: Vec<u32>,
}

impl RowPieces {
    /// Adds a piece behind those so far: from `row` on, which is element `index` of the column. One that
    /// goes on where the piece before leads changes nothing.
    ///
    /// # Errors
    /// `InvalidInput` if the row is not behind those before, or numbers pass 32 bits.
    pub fn add(&mut self, row: u64, index: u64) -> Result<()> {
        let (row, index) = (narrow(row, "rows")?, narrow(index, "elements")?);
        if let (Some(last), Some(at)) = (self.rows.last(), self.indices.last()) {
            if row <= *last {
                let cause = format!("row {row} does not follow row {last}");
                return Err(Error::invalid("pieces of rows", cause, ""));
            }
            if index.checked_sub(*at) == Some(row - last) {
                return Ok(());
            }
        }
        self.rows.push(row);
        self.indices.push(index);
        Ok(())
    }

    /// True if every row is the element of its number.
    pub fn in_place(&self) -> bool {
        self.rows == self.indices && self.rows.len() <= 1
    }
}

/// Finds rows in a column: those listed (`UInt32`, growing), or without a list the first `rows` ones.
///
/// Shape: `listed[rows]` → indices of `rows` rows, for [`gather`](crate::kernels::gather).
///
/// # Errors
/// `InvalidInput` without pieces; no memory is left, or the driver refuses.
pub fn page_find_rows(
    launch: &Launch,
    listed: Option<&DeviceColumn>,
    rows: u64,
    pieces: &RowPieces,
) -> Result<DeviceColumn> {
    if pieces.rows.is_empty() && rows > 0 {
        let cause = format!("there are none, but {rows} rows to find");
        return Err(Error::invalid("pieces of rows", cause, ""));
    }
    let indices = Arc::new(launch.alloc(PhysicalType::UInt32.bytes(rows))?);
    let tables = [
        launch.upload_structs(&pieces.rows)?,
        launch.upload_structs(&pieces.indices)?,
    ];
    let params = PageFindRowsParams {
        rows: listed.map_or(Ok(std::ptr::null()), |listed| list(launch, listed, rows))?,
        piece_rows: address_of(&tables[0]),
        piece_indices: address_of(&tables[1]),
        indices: address_of(&indices),
        row_count: rows,
        piece_count: pieces.rows.len() as u64,
    };
    let grid = blocks(rows, PAGE_THREADS);
    // SAFETY: `list` checked and ordered the rows, the tables have `piece_count` entries, and
    // `indices` was allocated for `rows`.
    unsafe { launch.launch::<PageFindRows>(grid, PAGE_THREADS, 0, &params) }?;
    DeviceColumn::array(PhysicalType::UInt32, indices, None, 0, rows)
}

/// Counts how many of the listed rows (`UInt32`, growing) lie below each of some bounds, and how many
/// there are. Waits for the device.
///
/// Shape: `listed[rows]`, `bounds[n]` → `n + 1` counts.
///
/// # Errors
/// `InvalidInput` for another type or too few rows; no memory is left, or what failed on the stream.
pub fn page_count_rows(
    launch: &Launch,
    listed: &DeviceColumn,
    rows: &DeviceRows,
    bounds: &[u32],
) -> Result<Vec<u32>> {
    let count = bounds.len() as u64 + 1;
    let counts: DeviceBuffer = launch.alloc(PhysicalType::UInt32.bytes(count))?;
    let table = launch.upload_structs(bounds)?;
    let params = PageCountRowsParams {
        rows: list(launch, listed, rows.max())?,
        bounds: address_of(&table),
        counts: address_of(&counts),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        bound_count: bounds.len() as u64,
    };
    let grid = blocks(count, PAGE_THREADS);
    // SAFETY: `list` checked and ordered the rows, of which `row_count_device` are no more than
    // `rows.max()`; `counts` has one more entry than `table`.
    unsafe { launch.launch::<PageCountRows>(grid, PAGE_THREADS, 0, &params) }?;
    let mut bytes = vec![0; size_of::<u32>() * (bounds.len() + 1)];
    launch.device().read(launch.stream(), &counts, &mut bytes)?;
    let words = bytes.as_chunks::<4>().0.iter();
    Ok(words.map(|word| u32::from_ne_bytes(*word)).collect())
}

/// The pointer to a list of at least `rows` rows, which may be read on the stream.
fn list(launch: &Launch, listed: &DeviceColumn, rows: u64) -> Result<*const u32> {
    check_type("page rows", listed, PhysicalType::UInt32)?;
    super::super::column::check_rows("page rows", &[listed], rows)?;
    let view = listed.view(launch)?;
    if view.kind != super::super::abi::COLUMN_ARRAY || view.offset != 0 {
        let cause = "a list of rows must be an array from its buffer's start on";
        return Err(Error::invalid("page rows", cause, ""));
    }
    Ok(view.values.cast())
}
