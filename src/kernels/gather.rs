//! Launcher of `gather`.

use std::sync::Arc;

use super::abi::{self, GatherRows, GatherRowsParams};
use super::column::{check_rows, check_type};
use super::{DeviceColumn, DeviceRows, Launch, OutputColumn, Status, blocks};
use crate::error::Result;
use crate::types::PhysicalType;

/// Picks rows of `columns` by `indices` (`UInt32`); a null index gives a row of nulls. An index
/// that is too large is reported by `status`, and its row is null.
///
/// Shape: `indices[rows]`, `columns[built_rows]` → columns of `rows` rows.
///
/// # Errors
/// `InvalidInput` for another type or too few rows; no memory is left, or the driver refuses.
pub fn gather_rows(
    launch: &Launch,
    indices: &DeviceColumn,
    rows: &DeviceRows,
    columns: &[&DeviceColumn],
    built_rows: &DeviceRows,
    status: &Status,
) -> Result<Vec<DeviceColumn>> {
    check_type("gather", indices, PhysicalType::UInt32)?;
    check_rows("gather", &[indices], rows.max())?;
    check_rows("gather", columns, built_rows.max())?;
    let mut picked = Vec::with_capacity(columns.len());
    for group in columns.chunks(abi::GATHER_COLUMNS_MAX as usize) {
        let mut params = GatherRowsParams {
            indices: indices.view(launch)?,
            columns: [indices.view(launch)?; abi::GATHER_COLUMNS_MAX as usize],
            outputs: [abi::ColumnOut {
                values: std::ptr::null_mut(),
                validity: std::ptr::null_mut(),
                type_: 0,
                reserved: 0,
            }; abi::GATHER_COLUMNS_MAX as usize],
            status: status.pointer(),
            row_count_device: rows.pointer(launch)?,
            built_row_count_device: built_rows.pointer(launch)?,
            row_count: rows.max(),
            built_row_count: built_rows.max(),
            column_count: group.len() as u32,
            reserved: 0,
        };
        let mut outputs = Vec::with_capacity(group.len());
        for (index, column) in group.iter().enumerate() {
            let nullable = column.nullable() || indices.nullable();
            let output = OutputColumn::new(launch, column.physical(), rows.max(), nullable)?;
            params.columns[index] = column.view(launch)?;
            params.outputs[index] = output.out();
            outputs.push(output);
        }
        let grid = blocks(rows.max(), abi::GATHER_THREADS);
        // SAFETY: `view` and `out` give pointers to buffers of enough rows, ordered on this
        // stream; the kernel reads `columns` only below `built_rows`.
        unsafe { launch.launch::<GatherRows>(grid, abi::GATHER_THREADS, 0, &params) }?;
        let outputs = outputs.into_iter().zip(group.iter());
        picked.extend(outputs.map(|(output, column)| {
            let picked = output.into_column();
            picked.keeping(Arc::clone(column.kept()))
        }));
    }
    Ok(picked)
}
