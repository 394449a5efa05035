//! Filters of a scan by keys of build sides: rows that no key is in are dropped as soon as the column is
//! decoded. Nothing waits for that, except the first batches, which tell whether it pays.

use super::Scan;
use crate::backend::cuda::batch::CudaBatch;
use crate::backend::cuda::dictionary::Dictionary;
use crate::backend::cuda::key_filter;
use crate::error::Result;
use crate::kernels::filter::filter_compact;
use crate::kernels::project::logic;
use crate::kernels::{DeviceColumn, DeviceRows, Launch, abi};
use crate::storage::Asking;

/// Whether each row may pass all filters that are asked; none if none is. `column` gives a column of the
/// dataset, if it is there.
pub(super) fn passing<'c>(
    scan: &Scan,
    launch: &Launch,
    column: impl Fn(usize) -> Option<&'c DeviceColumn>,
    rows: &DeviceRows,
    dictionary: &Dictionary,
) -> Result<Option<DeviceColumn>> {
    let mut passing: Option<DeviceColumn> = None;
    for filter in scan.partition.filters() {
        let Some(column) = column(filter.column()) else {
            continue;
        };
        let Some(asking) = filter.begin() else {
            continue;
        };
        let found = key_filter::probe(launch, filter.keys(), dictionary, column, rows)?;
        let Some(found) = found else {
            continue;
        };
        if asking == Asking::Sampled {
            let (_, kept) = filter_compact(launch, &found, &[], rows)?;
            filter.note(rows.resolve(launch)?, kept.resolve(launch)?);
        }
        passing = Some(match passing {
            None => found,
            Some(others) => logic(launch, abi::PROJECT_AND, &others, &found, rows)?,
        });
    }
    Ok(passing)
}

/// Counts how many of so many rows were not kept, once that is known.
pub(super) fn count(scan: &Scan, kept: DeviceRows, rows: u64) {
    let (shared, metrics) = (scan.shared, &scan.options.metrics);
    shared.watch_kept(scan.context.stream, kept, rows, metrics);
}

/// The rows of a batch that may pass the filters. With nested columns all are left as they are.
pub(super) fn filtered(scan: &Scan, launch: &Launch, batch: CudaBatch) -> Result<CudaBatch> {
    if !batch.nested.is_empty() || scan.partition.filters().is_empty() {
        return Ok(batch);
    }
    let projection = scan.partition.projection();
    let column = |wanted: usize| {
        let place = projection.iter().position(|column| *column == wanted)?;
        batch.columns.get(place)
    };
    let passing = passing(scan, launch, column, &batch.rows, &batch.dictionary)?;
    let Some(passing) = passing else {
        return Ok(batch);
    };
    let columns: Vec<&DeviceColumn> = batch.columns.iter().collect();
    let (columns, rows) = filter_compact(launch, &passing, &columns, &batch.rows)?;
    count(scan, rows.clone(), batch.rows.max());
    Ok(CudaBatch {
        columns,
        rows,
        ..batch
    })
}
