//! Launcher of `append`: batches put behind one another.

use std::sync::Arc;

use super::abi::{self, AppendRows, AppendRowsParams};
use super::column::check_rows;
use super::{DeviceColumn, Launch, OutputColumn, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};

/// Columns with the rows of some parts, one behind the other; the parts' columns agree in layout.
///
/// # Errors
/// `InvalidInput` if they do not; no memory is left.
pub fn append_rows(launch: &Launch, parts: &[(&[DeviceColumn], u64)]) -> Result<Vec<DeviceColumn>> {
    let width = parts.first().map_or(0, |(columns, _)| columns.len());
    let rows = parts.iter().map(|(_, rows)| rows).sum();
    let mut outputs = Vec::with_capacity(width);
    for index in 0..width {
        let mut columns = parts.iter().map(|(columns, _)| columns.get(index));
        let physical = parts[0].0[index].physical();
        let agree = |column: Option<&DeviceColumn>| {
            column.is_some_and(|column| column.physical() == physical)
        };
        if !columns.all(agree) {
            let cause = format!("column {index} differs in layout between batches");
            return Err(Error::invalid("append", cause, ""));
        }
        let mut sources = parts.iter().map(|(columns, _)| &columns[index]);
        let nullable = sources.any(DeviceColumn::nullable);
        let output = OutputColumn::zeroed_bitmaps(launch, physical, rows, nullable)?;
        outputs.push(output);
    }
    let mut out_start = 0;
    for (columns, row_count) in parts {
        let all: Vec<&DeviceColumn> = columns.iter().collect();
        check_rows("append", &all, *row_count)?;
        append_part(launch, columns, *row_count, out_start, &outputs)?;
        out_start += row_count;
    }
    let columns = outputs.into_iter().enumerate().map(|(index, output)| {
        let kept = parts
            .iter()
            .flat_map(|(columns, _)| columns[index].kept().iter());
        let mut kept: Vec<Arc<DeviceBuffer>> = kept.cloned().collect();
        kept.dedup_by(|a, b| Arc::ptr_eq(a, b));
        output.into_column().keeping(kept.into())
    });
    Ok(columns.collect())
}

fn append_part(
    launch: &Launch,
    columns: &[DeviceColumn],
    row_count: u64,
    out_start: u64,
    outputs: &[OutputColumn],
) -> Result<()> {
    let at_most = abi::APPEND_COLUMNS_MAX as usize;
    for (columns, outputs) in columns.chunks(at_most).zip(outputs.chunks(at_most)) {
        let mut params = AppendRowsParams {
            columns: [columns[0].view(launch)?; abi::APPEND_COLUMNS_MAX as usize],
            outputs: [outputs[0].out(); abi::APPEND_COLUMNS_MAX as usize],
            row_count,
            out_start,
            column_count: columns.len() as u32,
            reserved: 0,
        };
        for (index, (column, output)) in columns.iter().zip(outputs).enumerate() {
            params.columns[index] = column.view(launch)?;
            params.outputs[index] = output.out();
        }
        let grid = blocks(row_count, abi::APPEND_THREADS);
        // SAFETY: the outputs were made for the rows of all parts, their bitmaps zeroed; the
        // columns have `row_count` rows.
        unsafe { launch.launch::<AppendRows>(grid, abi::APPEND_THREADS, 0, &params) }?;
    }
    Ok(())
}
