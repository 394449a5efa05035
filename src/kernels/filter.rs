//! Launcher of `filter`.

use std::sync::Arc;

use super::abi::{self, FilterCompact, FilterCompactParams};
use super::column::{check_rows, check_type};
use super::{DeviceColumn, DeviceRows, Launch, OutputColumn, address_of, blocks};
use crate::error::Result;
use crate::types::PhysicalType;

/// Keeps, of every column, the rows for which `predicate` (Boolean) is true and not null, in
/// order. The number of rows kept stays on the device.
///
/// Shape: `predicate[rows]`, `columns[rows]` → columns of at most `rows` rows.
///
/// # Errors
/// `InvalidInput` for another type or too few rows; no memory is left, or the driver refuses.
pub fn filter_compact(
    launch: &Launch,
    predicate: &DeviceColumn,
    columns: &[&DeviceColumn],
    rows: &DeviceRows,
) -> Result<(Vec<DeviceColumn>, DeviceRows)> {
    check_type("filter", predicate, PhysicalType::Boolean)?;
    check_rows("filter", &[predicate], rows.max())?;
    check_rows("filter", columns, rows.max())?;
    let mut kept = Vec::with_capacity(columns.len());
    let mut kept_rows = None;
    let groups: Vec<&[&DeviceColumn]> = if columns.is_empty() {
        vec![columns] // the number of rows is a result, too
    } else {
        columns.chunks(abi::FILTER_COLUMNS_MAX as usize).collect()
    };
    for group in groups {
        let (columns, count) = compact_group(launch, predicate, group, rows)?;
        kept.extend(columns);
        kept_rows = Some(count);
    }
    let rows = kept_rows.unwrap_or_else(|| DeviceRows::known(0));
    Ok((kept, rows))
}

fn compact_group(
    launch: &Launch,
    predicate: &DeviceColumn,
    columns: &[&DeviceColumn],
    rows: &DeviceRows,
) -> Result<(Vec<DeviceColumn>, DeviceRows)> {
    let tiles = blocks(rows.max(), abi::FILTER_TILE_ROWS).max(1);
    // One allocation for everything that starts as zero: ticket, row count, tile states.
    let words = Arc::new(launch.alloc_zeroed(8 * (2 + tiles))?);
    let count = Arc::new(launch.alloc(8)?);
    let ticket = address_of::<u64>(&words);
    let mut params = FilterCompactParams {
        predicate: predicate.view(launch)?,
        columns: [predicate.view(launch)?; abi::FILTER_COLUMNS_MAX as usize],
        outputs: [abi::ColumnOut {
            values: std::ptr::null_mut(),
            validity: std::ptr::null_mut(),
            type_: 0,
            reserved: 0,
        }; abi::FILTER_COLUMNS_MAX as usize],
        tile_states: ticket.wrapping_add(2),
        tile_ticket: ticket,
        out_row_count: address_of(&count),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        column_count: columns.len() as u32,
        reserved: 0,
    };
    let mut outputs = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let output =
            OutputColumn::zeroed_bitmaps(launch, column.physical(), rows.max(), column.nullable())?;
        params.columns[index] = column.view(launch)?;
        params.outputs[index] = output.out();
        outputs.push(output);
    }
    // SAFETY: `view` and `out` give pointers to buffers of at least `rows.max()` rows, ordered on
    // this stream; `words` has a ticket, a spare word and one state per tile, all zero.
    unsafe { launch.launch::<FilterCompact>(tiles, abi::FILTER_THREADS, 0, &params) }?;
    let outputs = outputs.into_iter().zip(columns);
    let columns = outputs
        .map(|(output, column)| output.into_column().keeping(Arc::clone(column.kept())))
        .collect();
    Ok((columns, DeviceRows::pending(rows.max(), count)))
}
