//! Filter.

use std::sync::Arc;

use pelton::kernels::filter::filter_compact;

use crate::device::PeltonStream;
use crate::handle::{OutHandle, shared, slice};
use crate::status::{PeltonStatus, answer};
use crate::table::PeltonTable;

/// The rows for which the Boolean column `predicate` is true and not null, in order: of each column that `columns`
/// numbers. How many there are stays on the device until somebody asks; nothing waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_filter(
    table: *const PeltonTable,
    stream: PeltonStream,
    predicate: u32,
    columns: *const u32,
    column_count: usize,
    out: *mut *mut PeltonTable,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let table = unsafe { shared(table, "table") }?;
        // SAFETY: the caller passes so many numbers, or null.
        let columns = table.pick(unsafe { slice(columns, column_count, "columns") }?)?;
        let (launch, predicate) = (table.launch(stream), table.column(predicate)?);
        let (columns, rows) = filter_compact(&launch, predicate, &columns, &table.rows)?;
        out.give(PeltonTable {
            columns,
            rows,
            device: Arc::clone(&table.device),
        });
        Ok(())
    })
}
