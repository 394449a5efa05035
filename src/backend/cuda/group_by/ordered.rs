//! What needs all values of a group beside one another: quantiles and lists, and states that are lists
//! or registers.
//!
//! Their rows are kept as they come, keys and operands alone, and put in the order of the keys at the
//! end: once with the values of each column that quantiles are of, once for all lists. Equal keys are
//! a segment then, and what is found of a segment goes into its group as the value of one row.

use std::sync::Arc;

use super::super::Shared;
use super::super::append;
use super::super::batch::CudaBatch;
use super::super::dictionary::Dictionary;
use super::super::nested::NestedLists;
use super::super::sort::Sorting;
use crate::error::{Error, Result};
use crate::kernels::gather::gather_rows;
use crate::kernels::group_by::{GroupKey, GroupTable};
use crate::kernels::quantile::{Quantile, quantile_pick};
use crate::kernels::window::WindowRows;
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use crate::operators::{GroupBySpec, SORT_ROWS_MAX, SortKey, too_many_sort_rows};
use crate::types::{DataType, Field, PhysicalType, Schema, SchemaRef, is_text};

/// A quantile, and the accumulator that carries it.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuantileOf {
    /// What it is of, by its place among the values of the rows.
    pub(super) value: usize,
    pub(super) quantile: Quantile,
    pub(super) accumulator: u32,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// They are those of the input.
    Rows,
    /// They are the elements of a column of lists.
    Elements(usize),
    /// They are those of a table of pairs.
    Pairs(usize),
}

/// Quantiles and lists of the same rows.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) source: Source,
    /// The accumulator that tells a group's segment.
    pub(super) row: u32,
    /// The values that stand beside the keys.
    pub(super) fields: Vec<Field>,
    /// The columns of the input that they are, if the rows are those of the input.
    pub(super) inputs: Vec<usize>,
    pub(super) quantiles: Vec<QuantileOf>,
    /// Values that are listed.
    pub(super) lists: Vec<usize>,
    /// Carries the number of a group's list, if there are lists.
    pub(super) list: Option<u32>,
}

/// What all lists are made of.
#[derive(Debug)]
pub(super) struct Listed {
    /// The values of each listed column.
    pub(super) values: Vec<DeviceColumn>,
    /// Where each list begins, and where the last one ends.
    pub(super) starts: DeviceColumn,
}

impl Listed {
    /// The lists of one of the columns, a row of `lists` each.
    pub(super) fn column(&self, of: usize, lists: DeviceColumn) -> NestedLists {
        NestedLists {
            values: self.values[of].clone(),
            starts: self.starts.clone(),
            lists,
        }
    }
}

/// Where rows are sorted, and by what.
pub(super) struct Sorter<'a> {
    pub(super) shared: &'a Shared,
    pub(super) launch: Launch<'a>,
    pub(super) spec: &'a GroupBySpec,
    pub(super) keys: &'a [GroupKey],
}

/// Rows in the order of their groups.
struct Segments {
    /// Where each begins, and where the last one ends.
    starts: DeviceColumn,
    count: u64,
}

impl Ordered {
    /// What is kept of a batch: the keys, then what quantiles and lists are of.
    pub(super) fn keep(&self, spec: &GroupBySpec, batch: &CudaBatch) -> CudaBatch {
        let columns = spec.group_keys.iter().chain(&self.inputs);
        let columns = columns.map(|index| batch.columns[*index].clone());
        let (rows, dictionary) = (batch.rows.clone(), Arc::clone(&batch.dictionary));
        CudaBatch::flat(columns.collect(), rows, dictionary)
    }

    /// Brings what is found of each group into the table, which has all groups; answers what lists
    /// are made of. Waits for the stream.
    pub(super) fn feed(
        &self,
        sorter: &Sorter,
        groups: &mut GroupTable,
        batches: Vec<CudaBatch>,
    ) -> Result<Listed> {
        let launch = &sorter.launch;
        let dictionary = append::dictionary(sorter.shared, &batches);
        let sized = append::sized(launch, batches)?;
        let rows = sized.iter().map(|(_, rows)| rows).sum();
        if rows > SORT_ROWS_MAX {
            return Err(too_many_sort_rows(rows));
        }
        let schema = sorter.schema(&self.fields);
        let needed = vec![true; schema.fields().len()];
        let columns = append::whole(launch, &sized, &schema, &needed)?;
        drop(sized);
        let rows = Rows {
            sorter,
            columns,
            schema,
            dictionary,
            rows,
        };
        if rows.rows == 0 {
            let values = self.lists.iter().map(|value| rows.value(*value).clone());
            let starts = DeviceColumn::scalar(PhysicalType::UInt32, Some(0), 1);
            return Ok(Listed {
                values: values.collect(),
                starts,
            });
        }
        let mut found: Vec<(u32, DeviceColumn)> = Vec::new();
        let mut segments: Option<(Segments, Vec<DeviceColumn>)> = None;
        for value in 0..self.fields.len() {
            let of_value = self
                .quantiles
                .iter()
                .filter(|quantile| quantile.value == value);
            if of_value.clone().next().is_none() {
                continue;
            }
            let mut sorted = rows.sorted(&[value], true)?;
            let values = sorted.pop().ok_or_else(nothing_sorted)?;
            let (own, _) = match &mut segments {
                Some(known) => known, // in any order of the values
                None => segments.insert(sorter.segments(&sorted, rows.rows)?),
            };
            for QuantileOf {
                quantile,
                accumulator,
                ..
            } in of_value
            {
                let starts = &own.starts;
                let column = quantile_pick(launch, &values, starts, own.count, quantile)?;
                found.push((*accumulator, column));
            }
        }
        let mut values = Vec::new();
        if !self.lists.is_empty() {
            let mut sorted = rows.sorted(&self.lists, false)?;
            values = sorted.split_off(sorter.keys.len());
            if segments.is_none() {
                segments = Some(sorter.segments(&sorted, rows.rows)?);
            }
        }
        let (segments, keys) = segments.ok_or_else(nothing_sorted)?;
        if let Some(list) = self.list {
            found.push((list, sorter.numbers(segments.count)?));
        }
        sorter.carry(groups, self.row, (&keys, segments.count), &found)?;
        Ok(Listed {
            values,
            starts: segments.starts,
        })
    }
}

/// The rows of all batches, unsorted.
struct Rows<'a> {
    sorter: &'a Sorter<'a>,
    /// The keys, then the values.
    columns: Vec<DeviceColumn>,
    schema: SchemaRef,
    dictionary: Arc<Dictionary>,
    rows: u64,
}

impl Rows<'_> {
    fn value(&self, value: usize) -> &DeviceColumn {
        &self.columns[self.sorter.keys.len() + value]
    }

    /// Keys and some values in the order of the keys, and of the first of those values if that is
    /// wanted, nulls last; rows that are equal stay in theirs.
    fn sorted(&self, values: &[usize], by_value: bool) -> Result<Vec<DeviceColumn>> {
        let sorter = self.sorter;
        let keys = sorter.keys.len();
        let places: Vec<usize> = (0..keys)
            .chain(values.iter().map(|value| keys + value))
            .collect();
        let columns: Vec<DeviceColumn> =
            places.iter().map(|at| self.columns[*at].clone()).collect();
        let schema = self
            .schema
            .project(&places)
            .map_err(|cause| Error::invalid("group_by", cause.to_string(), ""))?;
        let schema = Arc::new(schema);
        let compared = keys + usize::from(by_value);
        let sort_keys: Vec<SortKey> = (0..compared).map(SortKey::ascending).collect();
        let sorting = Sorting {
            shared: sorter.shared,
            launch: sorter.launch,
            schema: &schema,
            keys: &sort_keys,
        };
        let (rows, all) = (self.rows, (0, self.rows));
        let parts = sorting.sorted(&columns, &self.dictionary, rows, all, rows)?;
        let whole = parts.into_iter().next();
        whole.map(|(columns, _)| columns).ok_or_else(nothing_sorted)
    }
}

fn nothing_sorted() -> Error {
    Error::invalid("group_by", "nothing was sorted", "")
}

impl Sorter<'_> {
    /// The schema of keys and values. Text among the keys is codes, whatever their order.
    fn schema(&self, values: &[Field]) -> SchemaRef {
        let keys = self.spec.group_keys.iter().map(|index| {
            let field = self.spec.input.field(*index);
            match is_text(field.data_type()) {
                true => Field::new(field.name(), DataType::UInt32, field.is_nullable()),
                false => field.clone(),
            }
        });
        let fields = keys.chain(values.iter().cloned());
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The segments of sorted keys, and the keys of each.
    fn segments(&self, keys: &[DeviceColumn], rows: u64) -> Result<(Segments, Vec<DeviceColumn>)> {
        let launch = &self.launch;
        let all: Vec<&DeviceColumn> = keys.iter().collect();
        let found = WindowRows::new(launch, &all, &[], rows)?;
        let (starts, count) = (found.partition_starts()?, found.partitions());
        let status = Status::new(launch, "gather_rows")?;
        let (wanted, built) = (DeviceRows::known(count), DeviceRows::known(rows));
        let first = gather_rows(launch, &starts, &wanted, &all, &built, &status)?;
        self.shared.watch(launch.stream(), status);
        let first = first.into_iter().zip(self.keys);
        let first = first.map(|(column, key)| column.without_validity_if(!key.nullable));
        Ok((Segments { starts, count }, first.collect()))
    }

    /// Numbers from 0 on.
    fn numbers(&self, count: u64) -> Result<DeviceColumn> {
        let bytes: Vec<u8> = (0..count as u32).flat_map(u32::to_ne_bytes).collect();
        let bytes = self.launch.device().upload(self.launch.stream(), &bytes)?;
        DeviceColumn::array(PhysicalType::UInt32, Arc::new(bytes), None, 0, count)
    }

    /// Brings a row of values per group into the table, in the accumulators of those values.
    fn carry(
        &self,
        groups: &mut GroupTable,
        row: u32,
        (keys, count): (&[DeviceColumn], u64),
        values: &[(u32, DeviceColumn)],
    ) -> Result<()> {
        let (launch, rows) = (&self.launch, DeviceRows::known(count));
        let keys: Vec<&DeviceColumn> = keys.iter().collect();
        let every_row = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), count);
        groups.update(launch, &keys, &[(row, &every_row)], &rows)?;
        for (accumulator, column) in values {
            groups.carry(launch, row, *accumulator, column, &rows)?;
        }
        Ok(())
    }
}
