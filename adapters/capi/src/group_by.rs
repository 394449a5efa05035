//! Group by: which accumulators an aggregate needs, and what is made of them.

use std::sync::Arc;

use pelton::kernels::abi;
use pelton::kernels::group_by::{Emit, GroupKey, GroupLayout, GroupTable, GroupTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Status};
use pelton::types::PhysicalType;
use pelton::{Error, Result};

use crate::device::PeltonStream;
use crate::handle::{OutHandle, shared, slice};
use crate::status::{PeltonStatus, answer};
use crate::table::PeltonTable;

/// What is computed of each group: one of PELTON_AGGREGATE_*.
pub type PeltonAggregateFunction = u32;

/// How many rows there are, as INT64; the column is not looked at.
pub const PELTON_AGGREGATE_COUNT_ROWS: PeltonAggregateFunction = 0;
/// How many values are not null, as INT64.
pub const PELTON_AGGREGATE_COUNT: PeltonAggregateFunction = 1;
/// The sum of the values that are not null, null if there are none: signed integers as INT64, unsigned ones as UINT64,
/// INT128 as itself, floats as FLOAT64. A sum that does not fit is PELTON_ERROR_KERNEL.
pub const PELTON_AGGREGATE_SUM: PeltonAggregateFunction = 2;
/// The smallest value, null if there are none, in the column's type; NaN is greater than all numbers.
pub const PELTON_AGGREGATE_MIN: PeltonAggregateFunction = 3;
/// The greatest value, likewise.
pub const PELTON_AGGREGATE_MAX: PeltonAggregateFunction = 4;

/// An aggregate of a column.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PeltonAggregate {
    /// One of PELTON_AGGREGATE_*.
    pub function: PeltonAggregateFunction,
    /// The column's number.
    pub column: u32,
}

/// An accumulator: its kind, and the column that feeds it; none counts rows.
type Accumulator = (u32, Option<u32>);

/// Accumulators, each once, and what to make of them.
#[derive(Default)]
struct Plan {
    accumulators: Vec<Accumulator>,
    emits: Vec<Emit>,
}

impl Plan {
    fn accumulator(&mut self, wanted: Accumulator) -> u32 {
        let known = self.accumulators.iter().position(|known| *known == wanted);
        let index = known.unwrap_or_else(|| {
            self.accumulators.push(wanted);
            self.accumulators.len() - 1
        });
        index as u32
    }

    fn add(&mut self, table: &PeltonTable, aggregate: PeltonAggregate) -> Result<()> {
        let PeltonAggregate { function, column } = aggregate;
        let mut emit = Emit {
            emit: abi::EMIT_COUNT,
            accumulator: 0,
            count_accumulator: 0,
            physical: PhysicalType::Int64,
            limit: 0,
            factor: 1.0,
            ddof: 0,
            empty_is_zero: false,
            overflow_is_error: true,
        };
        if function == PELTON_AGGREGATE_COUNT_ROWS {
            emit.accumulator = self.accumulator((abi::ACCUMULATE_COUNT, None));
            emit.count_accumulator = emit.accumulator;
            self.emits.push(emit);
            return Ok(());
        }
        let physical = table.column(column)?.physical();
        let kind = match function {
            PELTON_AGGREGATE_COUNT => abi::ACCUMULATE_COUNT,
            PELTON_AGGREGATE_SUM => {
                (emit.emit, emit.physical) = sum_of(physical)?;
                match emit.emit {
                    abi::EMIT_SUM_FLOAT => abi::ACCUMULATE_ADD_FLOAT,
                    _ => abi::ACCUMULATE_ADD_INT128,
                }
            }
            PELTON_AGGREGATE_MIN | PELTON_AGGREGATE_MAX => {
                (emit.emit, emit.physical) = (abi::EMIT_EXTREME, physical);
                match (function, physical) {
                    (PELTON_AGGREGATE_MIN, PhysicalType::Int128) => abi::ACCUMULATE_MIN_INT128,
                    (_, PhysicalType::Int128) => abi::ACCUMULATE_MAX_INT128,
                    (PELTON_AGGREGATE_MIN, _) => abi::ACCUMULATE_MIN,
                    _ => abi::ACCUMULATE_MAX,
                }
            }
            other => {
                let cause = format!("{other} is no aggregate");
                let remedy = "pass one of PELTON_AGGREGATE_*";
                return Err(Error::invalid("function", cause, remedy));
            }
        };
        emit.accumulator = self.accumulator((kind, Some(column)));
        emit.count_accumulator = match function {
            PELTON_AGGREGATE_COUNT => emit.accumulator,
            _ => self.accumulator((abi::ACCUMULATE_COUNT, Some(column))),
        };
        self.emits.push(emit);
        Ok(())
    }
}

/// What a sum is made of, and its type.
fn sum_of(physical: PhysicalType) -> Result<(u32, PhysicalType)> {
    use PhysicalType as P;
    match physical {
        P::Int8 | P::Int16 | P::Int32 | P::Int64 => Ok((abi::EMIT_SUM, P::Int64)),
        P::UInt8 | P::UInt16 | P::UInt32 | P::UInt64 => Ok((abi::EMIT_SUM, P::UInt64)),
        P::Int128 => Ok((abi::EMIT_SUM, P::Int128)),
        P::Float16 | P::Float32 | P::Float64 => Ok((abi::EMIT_SUM_FLOAT, P::Float64)),
        P::Boolean | P::View => {
            let reason = format!("there is no sum of {physical:?}");
            Err(Error::unsupported("cuda", "group_by", reason))
        }
    }
}

/// Groups the rows by the columns that `keys` numbers, nulls being a group of their own, and computes aggregates: a
/// table of the keys and then the aggregates, a row per group, in no order. Without keys there is one group. Waits
/// for the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_group_by(
    table: *const PeltonTable,
    stream: PeltonStream,
    keys: *const u32,
    key_count: usize,
    aggregates: *const PeltonAggregate,
    aggregate_count: usize,
    out: *mut *mut PeltonTable,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let table = unsafe { shared(table, "table") }?;
        // SAFETY: the caller passes so many numbers, or null.
        let keys = unsafe { slice(keys, key_count, "keys") }?;
        // SAFETY: the caller passes so many structs, or null.
        let aggregates = unsafe { slice(aggregates, aggregate_count, "aggregates") }?;
        out.give(group(table, stream, keys, aggregates)?);
        Ok(())
    })
}

fn group(
    table: &PeltonTable,
    stream: PeltonStream,
    keys: &[u32],
    aggregates: &[PeltonAggregate],
) -> Result<PeltonTable> {
    let launch = &table.launch(stream);
    let keys = table.pick(keys)?;
    let mut plan = Plan::default();
    for aggregate in aggregates {
        plan.add(table, *aggregate)?;
    }
    let key_of = |column: &&DeviceColumn| GroupKey {
        physical: column.physical(),
        nullable: column.nullable(),
        bits: column.physical().bits() as u32,
    };
    let group_keys: Vec<GroupKey> = keys.iter().map(key_of).collect();
    let kinds: Vec<u32> = plan.accumulators.iter().map(|(kind, _)| *kind).collect();
    let tuning = GroupTuning::default();
    let layout = GroupLayout::new(&group_keys, &kinds, &tuning)?;
    let mut groups = GroupTable::new(launch, layout, tuning)?;

    let every_row = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), table.rows.max());
    let mut inputs = Vec::with_capacity(kinds.len());
    for (index, (_, column)) in (0..).zip(&plan.accumulators) {
        let column = column.map_or(Ok(&every_row), |column| table.column(column))?;
        inputs.push((index, column));
    }
    groups.update(launch, &keys, &inputs, &table.rows)?;
    if keys.is_empty() && groups.groups() == 0 {
        // One group, even of nothing: a row that feeds no accumulator.
        groups.update(launch, &[], &[], &DeviceRows::known(1))?;
    }

    let list = groups.list(launch)?;
    let mut columns = Vec::with_capacity(keys.len() + plan.emits.len());
    for (index, key) in keys.iter().enumerate() {
        let column = groups.emit_key(launch, &list, index)?;
        columns.push(column.without_validity_if(!key.nullable()));
    }
    let status = Status::new(launch, "group_by_emit_aggregate")?;
    for emit in plan.emits {
        columns.push(groups.emit_aggregate(launch, &list, emit, &status)?);
    }
    status.check(launch)?;
    Ok(PeltonTable {
        columns,
        rows: DeviceRows::known(list.groups()),
        device: Arc::clone(&table.device),
    })
}
