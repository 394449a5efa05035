//! States that are lists, or registers of sketches, as rows: the keys of each state beside each of its
//! values.
//!
//! Rows come in the order of the lists, not of the states: a batch that this backend made has each group
//! once, and one that was uploaded has its lists in the order of its rows.

use super::super::Shared;
use super::super::append::absent;
use super::super::batch::CudaBatch;
use super::super::nested::{NestedLists, NestedValues};
use super::super::text;
use crate::error::{Error, Result};
use crate::kernels::gather::gather_rows;
use crate::kernels::group_by::{Raised, element_rows, read_registers};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use crate::types::PhysicalType;

/// A batch whose columns stand at their places in its schema, with lists beside them.
pub(super) struct States {
    /// Nothing reads a column in the place of lists.
    pub(super) batch: CudaBatch,
    lists: Vec<(usize, NestedLists)>,
}

/// Keys, and values beside them.
pub(super) struct StateRows {
    pub(super) keys: Vec<DeviceColumn>,
    pub(super) values: Vec<DeviceColumn>,
    pub(super) rows: DeviceRows,
}

impl States {
    /// # Errors
    /// `InvalidInput` for nested columns that are no lists which an operator made.
    pub(super) fn of(batch: &CudaBatch) -> Result<States> {
        let mut batch = batch.clone();
        let mut lists = Vec::new();
        for column in std::mem::take(&mut batch.nested) {
            let NestedValues::Lists(values) = column.values else {
                return Err(Error::invalid(
                    "group_by",
                    "a nested column is no state",
                    "",
                ));
            };
            let nothing = DeviceColumn::scalar(PhysicalType::Boolean, None, batch.rows.max());
            batch
                .columns
                .insert(column.place, absent(&nothing, batch.rows.max()));
            lists.push((column.place, values));
        }
        Ok(States { batch, lists })
    }

    /// A row for each element of a column of lists.
    pub(super) fn elements(
        &self,
        (shared, launch): (&Shared, &Launch),
        keys: &[&DeviceColumn],
        input: usize,
    ) -> Result<StateRows> {
        let lists = self.lists.iter().find(|(place, _)| *place == input);
        let (_, lists) = lists.ok_or_else(|| Error::invalid("group_by", "no lists", ""))?;
        let elements = lists.values.rows();
        if elements == 0 {
            return Ok(StateRows::none(keys, vec![lists.values.clone()]));
        }
        let rows = self.batch.rows.resolve(launch)?;
        let of = element_rows(launch, &lists.lists, rows, &lists.starts, elements)?;
        let values = vec![lists.values.clone()];
        StateRows::beside(
            (shared, launch),
            keys,
            &self.batch.rows,
            (&of, elements),
            values,
        )
    }

    /// A row for each register that is raised, with its weight.
    pub(super) fn registers(
        &self,
        (shared, launch): (&Shared, &Launch),
        keys: &[&DeviceColumn],
        input: usize,
    ) -> Result<StateRows> {
        let (column, rows) = (&self.batch.columns[input], &self.batch.rows);
        let sketches = text::viewed(launch, &self.batch.dictionary, column, rows)?;
        let raised = read_registers(launch, &sketches, rows.resolve(launch)?)?;
        let Raised {
            rows: of,
            registers,
            weights,
            count,
        } = raised;
        let values = vec![registers, weights];
        match count {
            0 => Ok(StateRows::none(keys, values)),
            _ => StateRows::beside((shared, launch), keys, rows, (&of, count), values),
        }
    }
}

impl StateRows {
    fn none(keys: &[&DeviceColumn], values: Vec<DeviceColumn>) -> StateRows {
        StateRows {
            keys: keys.iter().map(|key| (*key).clone()).collect(),
            values,
            rows: DeviceRows::known(0),
        }
    }

    /// Values with the keys of the rows `of` which they are.
    fn beside(
        (shared, launch): (&Shared, &Launch),
        keys: &[&DeviceColumn],
        key_rows: &DeviceRows,
        (of, count): (&DeviceColumn, u64),
        values: Vec<DeviceColumn>,
    ) -> Result<StateRows> {
        let rows = DeviceRows::known(count);
        let status = Status::new(launch, "gather_rows")?;
        let keys = gather_rows(launch, of, &rows, keys, key_rows, &status)?;
        shared.watch(launch.stream(), status);
        Ok(StateRows { keys, values, rows })
    }
}
