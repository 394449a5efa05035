//! `group_by` on host batches; the contract is [`GroupBySpec`].
//!
//! Keys become row bytes that are equal exactly where the keys are (floats canonical first), and
//! a hash map numbers them; accumulators are indexed by that number.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::row::{RowConverter, SortField};

use super::accumulate::{Accumulator, plain, plain_type, refused};
use super::host_batch;
use crate::error::{Error, Result};
use crate::expr::aggregate_type;
use crate::memory::Batch;
use crate::operators::{AggregateSpec, Context, Fold, FoldState, GroupBySpec, own_state, state_of};
use crate::types::DataType;

/// Bytes of a group's key and its place in the table, about.
const KEY_BYTES: u64 = 64;

/// Bytes of an accumulator, about.
const ACCUMULATOR_BYTES: u64 = 24;

pub(super) struct GroupBy {
    spec: GroupBySpec,
    /// None without keys: then there is one group, 0.
    keys: Option<RowConverter>,
}

/// The groups so far.
struct Groups {
    /// The number of each key.
    numbers: HashMap<Box<[u8]>, usize>,
    accumulators: Vec<Accumulator>,
    /// Whether there was any row.
    has_rows: bool,
}

impl GroupBy {
    /// # Errors
    /// `InvalidInput` if the specification contradicts itself, `Unsupported` for a key type that
    /// cannot be hashed.
    pub(super) fn new(spec: &GroupBySpec) -> Result<GroupBy> {
        let columns = spec.input.fields().len();
        let operands = spec
            .aggregates
            .iter()
            .filter_map(|aggregate| aggregate.input);
        let mut used = spec.group_keys.iter().copied().chain(operands);
        if let Some(index) = used.find(|index| *index >= columns) {
            let cause = format!("column {index} of {columns}");
            return Err(Error::invalid("group_by", cause, ""));
        }
        let operator = GroupBy {
            spec: spec.clone(),
            keys: key_converter(spec)?,
        };
        let mut wanted = spec.group_keys.len();
        for aggregate in &spec.aggregates {
            let operand = spec.operand_type(aggregate);
            aggregate_type(aggregate.function, operand.as_ref())?;
            operator.accumulator(aggregate)?;
            let states = spec.state_columns(aggregate)?;
            let last = aggregate.input.map_or(0, |first| first + states);
            if spec.phase.takes_states() && (last == 0 || last > columns) {
                let cause = format!("the state of {} is not in the input", aggregate.function);
                return Err(Error::invalid("group_by", cause, ""));
            }
            wanted += if spec.phase.gives_states() { states } else { 1 };
        }
        let fields = spec.output.fields().len();
        if fields != wanted {
            let cause = format!("{fields} fields for {wanted} keys and aggregates");
            return Err(Error::invalid("group_by", cause, ""));
        }
        Ok(operator)
    }

    fn accumulator(&self, aggregate: &AggregateSpec) -> Result<Accumulator> {
        let operand = self.spec.operand_type(aggregate);
        let exact = self.exact(aggregate, operand.as_ref());
        Accumulator::new(aggregate.function, operand.as_ref(), exact)
    }

    fn exact(&self, aggregate: &AggregateSpec, operand: Option<&DataType>) -> bool {
        operand.is_some_and(|operand| self.spec.sums_exactly(aggregate.function, operand))
    }

    /// What a batch brings to an aggregate: values, or states.
    fn take(
        &self,
        aggregate: &AggregateSpec,
        accumulator: &mut Accumulator,
        numbers: &[usize],
        batch: &RecordBatch,
    ) -> Result<()> {
        if !self.spec.phase.takes_states() {
            let column = aggregate.input.map(|index| batch.column(index));
            return accumulator.add(numbers, column);
        }
        let operand = self.spec.operand_type(aggregate);
        let first = aggregate.input.unwrap_or_default();
        let columns = first..first + self.spec.state_columns(aggregate)?;
        let states = Accumulator::from_states(
            aggregate.function,
            operand.as_ref(),
            self.exact(aggregate, operand.as_ref()),
            &batch.columns()[columns],
        )?;
        accumulator.merge(states, numbers)
    }

    /// The group of each row; new keys get new groups.
    fn number(&self, groups: &mut Groups, batch: &RecordBatch) -> Result<Vec<usize>> {
        let Some(converter) = &self.keys else {
            return Ok(vec![0; batch.num_rows()]);
        };
        let keys = self.spec.group_keys.iter();
        let keys = keys
            .map(|&index| plain(batch.column(index)))
            .collect::<Result<Vec<_>>>()?;
        let rows = converter
            .convert_columns(&keys)
            .map_err(|cause| refused(&cause))?;
        Ok(rows.iter().map(|row| groups.number(row.data())).collect())
    }

    fn key_columns(&self, groups: &Groups) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.keys else {
            return Ok(Vec::new());
        };
        let mut keys: Vec<(&Box<[u8]>, &usize)> = groups.numbers.iter().collect();
        keys.sort_unstable_by_key(|(_, number)| **number);
        let parser = converter.parser();
        let rows = keys.iter().map(|(key, _)| parser.parse(key));
        let columns = converter
            .convert_rows(rows)
            .map_err(|cause| refused(&cause))?;
        let fields = self.spec.output.fields();
        let shown = columns.into_iter().zip(fields).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(column);
            }
            cast(&column, field.data_type()).map_err(|cause| refused(&cause))
        });
        shown.collect()
    }
}

fn key_converter(spec: &GroupBySpec) -> Result<Option<RowConverter>> {
    if spec.group_keys.is_empty() {
        return Ok(None);
    }
    let fields = spec.group_keys.iter().map(|&index| {
        let data_type = spec.input.field(index).data_type();
        SortField::new(plain_type(data_type))
    });
    RowConverter::new(fields.collect())
        .map(Some)
        .map_err(|cause| refused(&cause))
}

impl Groups {
    fn number(&mut self, key: &[u8]) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(key.into(), number);
        number
    }

    /// Room in the accumulators for every group; without keys there is one.
    fn grow(&mut self, has_keys: bool) {
        let groups = if has_keys { self.numbers.len() } else { 1 };
        for accumulator in &mut self.accumulators {
            accumulator.grow(groups);
        }
    }
}

impl Fold for GroupBy {
    fn init(&self, _: &Context) -> Result<FoldState> {
        let aggregates = self.spec.aggregates.iter();
        let accumulators = aggregates
            .map(|aggregate| self.accumulator(aggregate))
            .collect::<Result<Vec<_>>>()?;
        let mut groups = Groups {
            numbers: HashMap::new(),
            accumulators,
            has_rows: false,
        };
        groups.grow(self.keys.is_some());
        Ok(Box::new(groups))
    }

    fn next(&self, _: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let batch = host_batch("group_by", &batch)?;
        let groups = state_of::<Groups>("group_by", state)?;
        let numbers = self.number(groups, batch)?;
        groups.grow(self.keys.is_some());
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(&mut groups.accumulators) {
            self.take(aggregate, accumulator, &numbers, batch)
                .map_err(|error| error.context("group_by"))?;
        }
        groups.has_rows |= batch.num_rows() > 0;
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let groups = state_of::<Groups>("group_by", state)?;
        let other = own_state::<Groups>("group_by", other)?;
        groups.has_rows |= other.has_rows;
        let mut numbers = vec![0; other.numbers.len().max(1)];
        for (key, number) in other.numbers {
            numbers[number] = groups.number(&key);
        }
        groups.grow(self.keys.is_some());
        for (accumulator, other) in groups.accumulators.iter_mut().zip(other.accumulators) {
            accumulator.merge(other, &numbers)?;
        }
        Ok(())
    }

    fn bytes(&self, state: &FoldState) -> u64 {
        let state: Option<&Groups> = state.downcast_ref();
        state.map_or(0, |groups| {
            let each = KEY_BYTES + groups.accumulators.len() as u64 * ACCUMULATOR_BYTES;
            groups.numbers.len() as u64 * each
        })
    }

    fn finish(&self, _: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let groups = own_state::<Groups>("group_by", state)?;
        let mut columns = self.key_columns(&groups)?;
        if self.keys.is_none() && !groups.has_rows && self.spec.phase.gives_states() {
            return Ok(Vec::new()); // a state of nothing would count as a row
        }
        let rows = if self.keys.is_some() {
            groups.numbers.len()
        } else {
            1
        };
        for (aggregate, accumulator) in self.spec.aggregates.iter().zip(groups.accumulators) {
            let fields = &self.spec.output.fields()[columns.len()..];
            let operand = self.spec.operand_type(aggregate);
            let function = aggregate.function;
            let outputs: Vec<&DataType> = fields.iter().map(|field| field.data_type()).collect();
            let finished = if self.spec.phase.gives_states() {
                accumulator.into_states(function, operand.as_ref(), &outputs)
            } else {
                let semantics = self.spec.semantics;
                let column = accumulator.finish(function, operand.as_ref(), outputs[0], semantics);
                column.map(|column| vec![column])
            };
            let context = |error: Error| error.context(format!("group_by, `{}`", fields[0].name()));
            columns.extend(finished.map_err(context)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)
            .map(|batch| vec![Batch::host(batch)])
            .map_err(|cause| Error::invalid("group_by", cause.to_string(), ""))
    }
}
