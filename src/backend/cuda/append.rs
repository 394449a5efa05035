//! Batches of a fold, put behind one another.

use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::evaluate::physical;
use super::text;
use crate::error::Result;
use crate::kernels::append::append_rows;
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::memory::{Batch, BatchData};
use crate::types::{Field, SchemaRef};

/// Stands for a column that nothing reads.
pub(super) fn absent(column: &DeviceColumn, rows: u64) -> DeviceColumn {
    DeviceColumn::scalar(column.physical(), None, rows)
}

/// What the codes of all batches mean.
pub(super) fn dictionary(shared: &Shared, batches: &[CudaBatch]) -> Arc<Dictionary> {
    match batches.first() {
        Some(batch) => Arc::clone(&batch.dictionary),
        None => shared.dictionary.get(),
    }
}

/// The batches that have rows, and how many. Waits for the stream where the device knows alone.
pub(super) fn sized(launch: &Launch, batches: Vec<CudaBatch>) -> Result<Vec<(CudaBatch, u64)>> {
    let mut sized = Vec::with_capacity(batches.len());
    for batch in batches {
        match batch.rows.resolve(launch)? {
            0 => {}
            rows => sized.push((batch, rows)),
        }
    }
    Ok(sized)
}

/// A batch of fewer bytes keeps what it has: to ask for its rows takes longer.
const TRIMMED_BYTES_MIN: u64 = 1 << 20;

/// The batch in memory for its own rows, where it has more than twice as much: operators that drop rows
/// make room for all of them. Waits for the stream to hear how many rows there are.
pub(super) fn trimmed(launch: &Launch, batch: Batch) -> Result<Batch> {
    let BatchData::Device(columns) = batch.data() else {
        return Ok(batch);
    };
    let Some(own) = columns.as_any().downcast_ref::<CudaBatch>() else {
        return Ok(batch);
    };
    let known = own.rows.exact().is_some() || !own.nested.is_empty();
    if known || own.columns.is_empty() || batch.bytes() < TRIMMED_BYTES_MIN {
        return Ok(batch);
    }
    let rows = own.rows.resolve(launch)?;
    let columns = match rows > own.rows.max() / 2 {
        true => own.columns.clone(),
        false => append_rows(launch, &[(own.columns.as_slice(), rows)])?,
    };
    let trimmed = CudaBatch::flat(
        columns,
        DeviceRows::known(rows),
        Arc::clone(&own.dictionary),
    );
    Ok(trimmed.into_batch(Arc::clone(batch.schema())))
}

/// The columns of all batches behind one another; those that are not `needed` are absent. Strings
/// that are views in some batches and codes in others become codes, which waits for the stream.
pub(super) fn whole(
    launch: &Launch,
    sized: &[(CudaBatch, u64)],
    schema: &SchemaRef,
    needed: &[bool],
) -> Result<Vec<DeviceColumn>> {
    let [(first, _), others @ ..] = sized else {
        let nothing = |field: &Arc<Field>| {
            let bits = (!field.is_nullable()).then_some(0); // a required column has no nulls
            Ok(DeviceColumn::scalar(physical(field.data_type())?, bits, 0))
        };
        return schema.fields().iter().map(nothing).collect();
    };
    if others.is_empty() {
        return Ok(first.columns.clone());
    }
    let needed_columns = || needed.iter().enumerate().filter(|(_, needed)| **needed);
    let mut parts: Vec<(Vec<DeviceColumn>, u64)> = Vec::with_capacity(sized.len());
    for (batch, rows) in sized {
        let columns = needed_columns().map(|(index, _)| batch.columns[index].clone());
        parts.push((columns.collect(), *rows));
    }
    for place in 0..needed_columns().count() {
        let mut layouts = parts.iter().map(|(columns, _)| columns[place].physical());
        let first = layouts.next();
        if layouts.any(|layout| Some(layout) != first) {
            for ((columns, rows), (batch, _)) in parts.iter_mut().zip(sized) {
                let known = DeviceRows::known(*rows);
                columns[place] = text::coded(launch, &batch.dictionary, &columns[place], &known)?;
            }
        }
    }
    let parts: Vec<_> = parts
        .iter()
        .map(|(columns, rows)| (columns.as_slice(), *rows))
        .collect();
    let rows = parts.iter().map(|(_, rows)| rows).sum();
    let mut appended = append_rows(launch, &parts)?.into_iter();
    let columns = first.columns.iter().zip(needed).map(|(column, needed)| {
        let own = if *needed { appended.next() } else { None };
        own.unwrap_or_else(|| absent(column, rows))
    });
    Ok(columns.collect())
}
