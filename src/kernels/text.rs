//! Launchers of `text`: strings that lie elsewhere, brought together.

use super::abi::{self, TextCopy, TextCopyParams, TextOffsets, TextOffsetsParams};
use super::column::check_rows;
use super::{DeviceColumn, DeviceRows, Launch, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

fn check(column: &DeviceColumn) -> Result<()> {
    if column.physical() == PhysicalType::View {
        return Ok(());
    }
    Err(Error::invalid("text", "the column has no views", ""))
}

/// The strings of a column behind one another: 64-bit offsets `[rows + 1]`, the bytes, and how many
/// bytes there are. Nulls are empty. Waits for the stream, because the host must know the size.
///
/// # Errors
/// No memory is left, or what failed on the stream.
pub fn text_collect(
    launch: &Launch,
    column: &DeviceColumn,
    rows: u64,
) -> Result<(DeviceBuffer, DeviceBuffer, u64)> {
    let offsets = text_offsets(launch, column, &DeviceRows::known(rows))?;
    let mut end = [0u8; 8];
    launch
        .device()
        .read_at(launch.stream(), &offsets, 8 * rows, &mut end)?;
    let bytes = u64::from_ne_bytes(end);
    let copied = text_copy(launch, column, &offsets, rows, bytes)?;
    Ok((offsets, copied, bytes))
}

/// Where each string begins when all are put behind one another, and where the last one ends: 64-bit
/// offsets. A null is empty.
///
/// Shape: `column[rows]` → offsets `[rows + 1]`.
///
/// # Errors
/// No memory is left, or the driver refuses.
pub(super) fn text_offsets(
    launch: &Launch,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceBuffer> {
    check(column)?;
    check_rows("text", &[column], rows.max())?;
    let tiles = blocks(rows.max(), abi::TEXT_TILE_ROWS).max(1);
    let offsets = launch.alloc(8 * (rows.max() + 1))?;
    let words = launch.alloc_zeroed(8 * (1 + tiles))?;
    let ticket = address_of::<u64>(&words);
    let params = TextOffsetsParams {
        column: column.view(launch)?,
        out_offsets: address_of(&offsets),
        tile_states: ticket.wrapping_add(1),
        tile_ticket: ticket,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
    };
    // SAFETY: `view` gives a buffer of `rows.max()` views; `offsets` and `words` were allocated for
    // as many rows and tiles.
    unsafe { launch.launch::<TextOffsets>(tiles, abi::TEXT_THREADS, 0, &params) }?;
    Ok(offsets)
}

/// The strings of a column behind one another, `bytes` in all, as `offsets` says.
///
/// # Errors
/// No memory is left, or the driver refuses.
fn text_copy(
    launch: &Launch,
    column: &DeviceColumn,
    offsets: &DeviceBuffer,
    rows: u64,
    bytes: u64,
) -> Result<DeviceBuffer> {
    check(column)?;
    let copied = launch.alloc(bytes)?;
    let params = TextCopyParams {
        column: column.view(launch)?,
        offsets: address_of(offsets),
        out_bytes: address_of(&copied),
        row_count: rows,
    };
    let grid = blocks(rows, abi::TEXT_THREADS);
    // SAFETY: the caller's `offsets` are `text_offsets` of the same column, whose last one is
    // `bytes`; both buffers are of this stream.
    unsafe { launch.launch::<TextCopy>(grid, abi::TEXT_THREADS, 0, &params) }?;
    Ok(copied)
}
