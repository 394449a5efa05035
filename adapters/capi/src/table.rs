//! Tables: columns of equal length, whose number of rows a kernel may have decided.

use std::sync::Arc;

use pelton::device::Device;
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::{Error, Result};

use crate::column::PeltonColumn;
use crate::device::PeltonStream;
use crate::handle::{OutHandle, end, out, shared, slice};
use crate::status::{PeltonStatus, answer};

/// Columns of equal length.
pub struct PeltonTable {
    pub(crate) columns: Vec<DeviceColumn>,
    pub(crate) rows: DeviceRows,
    pub(crate) device: Arc<Device>,
}

impl PeltonTable {
    pub(crate) fn launch(&self, stream: PeltonStream) -> Launch<'_> {
        Launch::new(&self.device, stream.handle())
    }

    /// The column of this number.
    pub(crate) fn column(&self, index: u32) -> Result<&DeviceColumn> {
        self.columns.get(index as usize).ok_or_else(|| {
            let cause = format!("there are {} columns, numbered from 0", self.columns.len());
            Error::invalid(format!("column {index}"), cause, "pass a smaller number")
        })
    }

    /// The columns of these numbers.
    pub(crate) fn pick(&self, indices: &[u32]) -> Result<Vec<&DeviceColumn>> {
        indices.iter().map(|index| self.column(*index)).collect()
    }
}

/// A table of columns of equal length and of one device, which it shares. There is at least one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_table_create(
    columns: *const *const PeltonColumn,
    column_count: usize,
    out: *mut *mut PeltonTable,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes so many handles, or null.
        let handles = unsafe { slice(columns, column_count, "columns") }?;
        let mut columns = Vec::with_capacity(handles.len());
        for handle in handles {
            // SAFETY: the caller passes live handles, or null.
            columns.push(unsafe { shared(*handle, "columns") }?);
        }
        let Some(first) = columns.first() else {
            let remedy = "pass at least one";
            return Err(Error::invalid("columns", "a table has some", remedy));
        };
        let (rows, device) = (first.column.rows(), &first.device);
        if columns.iter().any(|column| column.column.rows() != rows) {
            let counts: Vec<u64> = columns.iter().map(|column| column.column.rows()).collect();
            let cause = format!("they have {counts:?} rows");
            return Err(Error::invalid(
                "columns",
                cause,
                "pass columns of equal length",
            ));
        }
        if columns
            .iter()
            .any(|column| !Arc::ptr_eq(&column.device, device))
        {
            let remedy = "pass columns of one device";
            return Err(Error::invalid(
                "columns",
                "they are of several devices",
                remedy,
            ));
        }
        out.give(PeltonTable {
            columns: columns.iter().map(|column| column.column.clone()).collect(),
            rows: DeviceRows::known(rows),
            device: Arc::clone(device),
        });
        Ok(())
    })
}

/// How many columns a table has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_table_column_count(
    table: *const PeltonTable,
    out_count: *mut usize,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a number, or null.
        let out_count = unsafe { out(out_count, "out_count") }?;
        // SAFETY: the caller passes a live handle, or null.
        *out_count = unsafe { shared(table, "table") }?.columns.len();
        Ok(())
    })
}

/// How many rows a table has. Waits for the stream if a kernel decides it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_table_row_count(
    table: *const PeltonTable,
    stream: PeltonStream,
    out_rows: *mut u64,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a number, or null.
        let out_rows = unsafe { out(out_rows, "out_rows") }?;
        // SAFETY: the caller passes a live handle, or null.
        let table = unsafe { shared(table, "table") }?;
        *out_rows = table.rows.resolve(&table.launch(stream))?;
        Ok(())
    })
}

/// A column of the table, numbered from 0, sharing its memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_table_column(
    table: *const PeltonTable,
    index: u32,
    out: *mut *mut PeltonColumn,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let table = unsafe { shared(table, "table") }?;
        out.give(PeltonColumn {
            column: table.column(index)?.clone(),
            device: Arc::clone(&table.device),
        });
        Ok(())
    })
}

/// Ends the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_table_free(table: *mut PeltonTable) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a handle that it ends once, or null.
        unsafe { end(table) };
        Ok(())
    })
}
