//! `group_by` by kernels; the contract is [`GroupBySpec`].
//!
//! Count distinct takes two levels: for each such aggregate a table of its own holds the different
//! (keys, value) pairs; at the end its rows are counted into the groups.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::{CODE_BITS, Dictionary};
use super::evaluate::physical;
use super::text;
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::kernels::group_by::{Emit, GroupKey, GroupLayout, GroupTable};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use crate::memory::Batch;
use crate::operators::{AggregateSpec, Context, Fold, FoldState, GroupBySpec};
use crate::types::{EmptySum, Field, Overflow, PhysicalType, decimal_parts, is_string};

/// An accumulator and the input column it takes; none counts rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Accumulator {
    kind: u32,
    input: Option<usize>,
}

pub(super) struct GroupBy {
    shared: Arc<Shared>,
    spec: GroupBySpec,
    keys: Vec<GroupKey>,
    accumulators: Vec<Accumulator>,
    emits: Vec<Emit>,
    /// Input column and accumulator of each count distinct.
    distinct: Vec<(usize, u32)>,
}

struct State {
    groups: GroupTable,
    /// One table of (keys, value) per count distinct.
    distinct: Vec<GroupTable>,
    /// Keeps the codes in the tables meaningful.
    dictionary: Option<Arc<Dictionary>>,
}

fn key_of(field: &Field) -> Result<GroupKey> {
    let physical = physical(field.data_type())?;
    let bits = if is_string(field.data_type()) {
        CODE_BITS
    } else {
        physical.bits() as u32
    };
    Ok(GroupKey {
        physical,
        nullable: field.is_nullable(),
        bits,
    })
}

impl GroupBy {
    pub(super) fn new(shared: Arc<Shared>, spec: &GroupBySpec) -> Result<Self> {
        let keys = spec
            .group_keys
            .iter()
            .map(|index| key_of(spec.input.field(*index)))
            .collect::<Result<_>>()?;
        let mut this = GroupBy {
            shared,
            spec: spec.clone(),
            keys,
            accumulators: Vec::new(),
            emits: Vec::new(),
            distinct: Vec::new(),
        };
        let mut known = HashMap::new();
        // Counts first: they also tell whether a group had values.
        for aggregate in &spec.aggregates {
            if matches!(
                aggregate.function,
                AggregateFunction::Count | AggregateFunction::Mean
            ) {
                this.accumulator(&mut known, abi::ACCUMULATE_COUNT, aggregate.input);
            }
        }
        for index in 0..spec.aggregates.len() {
            let emit = this.plan(&mut known, index)?;
            this.emits.push(emit);
        }
        // One table layout must hold it all; refuse now what would fail in the middle.
        this.layout()?;
        Ok(this)
    }

    /// The accumulator of this kind and input, shared by all aggregates that need it.
    fn accumulator(
        &mut self,
        known: &mut HashMap<Accumulator, u32>,
        kind: u32,
        input: Option<usize>,
    ) -> u32 {
        let wanted = self.simplest(Accumulator { kind, input });
        *known.entry(wanted).or_insert_with(|| {
            self.accumulators.push(wanted);
            self.accumulators.len() as u32 - 1
        })
    }

    /// Counting the values of a column that is never null is counting rows, whatever the column.
    fn simplest(&self, accumulator: Accumulator) -> Accumulator {
        let Accumulator { kind, input } = accumulator;
        let counts_rows = kind == abi::ACCUMULATE_COUNT
            && input.is_some_and(|input| !self.spec.input.field(input).is_nullable());
        let input = input.filter(|_| !counts_rows);
        Accumulator { kind, input }
    }

    /// Whether a group had values: the count if there is one, else a flag.
    fn presence(&mut self, known: &mut HashMap<Accumulator, u32>, input: usize) -> u32 {
        let count = self.simplest(Accumulator {
            kind: abi::ACCUMULATE_COUNT,
            input: Some(input),
        });
        match known.get(&count) {
            Some(index) => *index,
            None => self.accumulator(known, abi::ACCUMULATE_ANY, Some(input)),
        }
    }

    fn plan(&mut self, known: &mut HashMap<Accumulator, u32>, index: usize) -> Result<Emit> {
        let AggregateSpec { function, input } = self.spec.aggregates[index];
        let output = self
            .spec
            .output
            .field(self.spec.group_keys.len() + index)
            .data_type()
            .clone();
        let mut emit = Emit {
            emit: abi::EMIT_COUNT,
            accumulator: 0,
            count_accumulator: 0,
            physical: physical(&output)?,
            limit: 0,
            factor: 1.0,
            empty_is_zero: false,
            overflow_is_error: self.spec.semantics.overflow == Overflow::Error,
        };
        let Some(input) = input else {
            emit.accumulator = self.accumulator(known, abi::ACCUMULATE_COUNT, None);
            emit.count_accumulator = emit.accumulator;
            return Ok(emit);
        };
        let input_type = self.spec.input.field(input).data_type().clone();
        let input_physical = physical(&input_type)?;
        let float = matches!(
            input_physical,
            PhysicalType::Float16 | PhysicalType::Float32 | PhysicalType::Float64
        );
        let kind = match function {
            AggregateFunction::Count => abi::ACCUMULATE_COUNT,
            AggregateFunction::CountDistinct => {
                // Fed at the end only: no row of the input reaches it.
                self.accumulators.push(Accumulator {
                    kind: abi::ACCUMULATE_COUNT,
                    input: None,
                });
                let accumulator = self.accumulators.len() as u32 - 1;
                self.distinct.push((input, accumulator));
                return Ok(Emit {
                    accumulator,
                    count_accumulator: accumulator,
                    ..emit
                });
            }
            AggregateFunction::Sum | AggregateFunction::Mean if float => abi::ACCUMULATE_ADD_FLOAT,
            AggregateFunction::Sum
                if decimal_parts(&input_type).is_none() && !emit.overflow_is_error =>
            {
                abi::ACCUMULATE_ADD
            }
            AggregateFunction::Sum | AggregateFunction::Mean => abi::ACCUMULATE_ADD_INT128,
            AggregateFunction::Min if input_physical == PhysicalType::Int128 => {
                abi::ACCUMULATE_MIN_INT128
            }
            AggregateFunction::Max if input_physical == PhysicalType::Int128 => {
                abi::ACCUMULATE_MAX_INT128
            }
            AggregateFunction::Min => abi::ACCUMULATE_MIN,
            AggregateFunction::Max => abi::ACCUMULATE_MAX,
            other => return Err(no_kernel(other)),
        };
        emit.accumulator = self.accumulator(known, kind, Some(input));
        emit.count_accumulator = match function {
            AggregateFunction::Count => emit.accumulator,
            AggregateFunction::Mean => self.accumulator(known, abi::ACCUMULATE_COUNT, Some(input)),
            _ => self.presence(known, input),
        };
        let scale = decimal_parts(&input_type).map_or(0, |(_, scale)| scale);
        match function {
            AggregateFunction::Sum if float => emit.emit = abi::EMIT_SUM_FLOAT,
            AggregateFunction::Sum => emit.emit = abi::EMIT_SUM,
            AggregateFunction::Mean => emit.emit = abi::EMIT_MEAN,
            AggregateFunction::Min | AggregateFunction::Max => emit.emit = abi::EMIT_EXTREME,
            _ => {}
        }
        if function == AggregateFunction::Sum {
            emit.empty_is_zero = self.spec.semantics.empty_sum == EmptySum::Zero;
            if let Some((precision, _)) = decimal_parts(&output) {
                emit.limit = 10i128.pow(u32::from(precision.min(38)));
            }
        }
        if function == AggregateFunction::Mean && scale != 0 {
            emit.factor = format!("1e{scale}").parse().unwrap_or(1.0);
        }
        Ok(emit)
    }

    fn layout(&self) -> Result<GroupLayout> {
        let kinds: Vec<u32> = self.accumulators.iter().map(|a| a.kind).collect();
        GroupLayout::new(&self.keys, &kinds, &self.shared.tuning)
    }

    fn state(state: &mut FoldState) -> Result<&mut State> {
        state.downcast_mut::<State>().ok_or_else(foreign_state)
    }

    /// The batch with codes for the strings that are compared.
    fn with_coded_keys(&self, launch: &Launch, batch: &CudaBatch) -> Result<CudaBatch> {
        let mut coded = batch.clone();
        let distinct = self.distinct.iter().map(|(input, _)| *input);
        for index in self.spec.group_keys.iter().copied().chain(distinct) {
            if is_string(self.spec.input.field(index).data_type()) {
                let column = &coded.columns[index];
                let column = text::coded(launch, &batch.dictionary, column, &batch.rows)?;
                coded.columns[index] = column;
            }
        }
        Ok(coded)
    }

    /// Key columns of a batch, and with them the value column of a count distinct.
    fn keys<'b>(&self, batch: &'b CudaBatch, value: Option<usize>) -> Vec<&'b DeviceColumn> {
        let keys = self.spec.group_keys.iter().copied();
        keys.chain(value)
            .map(|index| &batch.columns[index])
            .collect()
    }

    /// Counts the pairs of a count distinct into the groups.
    fn count_pairs(
        &self,
        launch: &Launch,
        groups: &mut GroupTable,
        pairs: &GroupTable,
        accumulator: u32,
    ) -> Result<()> {
        let list = pairs.list(launch)?;
        let mut keys = Vec::with_capacity(self.keys.len());
        for (index, key) in self.keys.iter().enumerate() {
            // An emitted column says that it may be null even where the key may not.
            let column = pairs.emit_key(launch, &list, index)?;
            keys.push(column.without_validity_if(!key.nullable));
        }
        let keys: Vec<&DeviceColumn> = keys.iter().collect();
        let value = &pairs.emit_key(launch, &list, self.keys.len())?;
        let rows = DeviceRows::known(list.groups());
        groups.update(launch, &keys, &[(accumulator, value)], &rows)
    }
}

fn no_kernel(function: AggregateFunction) -> Error {
    Error::unsupported("cuda", "group_by", format!("{function} has no kernel"))
}

fn foreign_state() -> Error {
    Error::invalid("group_by", "the state is another operator's", "")
}

impl Fold for GroupBy {
    fn init(&self, context: &Context) -> Result<FoldState> {
        let launch = self.shared.launch(context);
        let tuning = self.shared.tuning;
        let groups = GroupTable::new(&launch, self.layout()?, tuning)?;
        let mut distinct = Vec::with_capacity(self.distinct.len());
        for (input, _) in &self.distinct {
            let mut keys = self.keys.clone();
            keys.push(key_of(self.spec.input.field(*input))?);
            distinct.push(GroupTable::new(
                &launch,
                GroupLayout::new(&keys, &[], &tuning)?,
                tuning,
            )?);
        }
        Ok(Box::new(State {
            groups,
            distinct,
            dictionary: None,
        }))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = GroupBy::state(state)?;
        let batch = &self.with_coded_keys(&launch, CudaBatch::of(&batch)?)?;
        self.shared.settle(&launch)?;
        state.dictionary = Some(Arc::clone(&batch.dictionary));
        let rows = &batch.rows;
        let every_row = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows.max());
        let fed_at_end = |index: u32| self.distinct.iter().any(|(_, own)| *own == index);
        let inputs: Vec<(u32, &DeviceColumn)> = self
            .accumulators
            .iter()
            .enumerate()
            .map(|(index, accumulator)| (index as u32, accumulator))
            .filter(|(index, _)| !fed_at_end(*index))
            .map(|(index, accumulator)| {
                (
                    index,
                    accumulator
                        .input
                        .map_or(&every_row, |input| &batch.columns[input]),
                )
            })
            .collect();
        state
            .groups
            .update(&launch, &self.keys(batch, None), &inputs, rows)?;
        for (table, (input, _)) in state.distinct.iter_mut().zip(&self.distinct) {
            table.update(&launch, &self.keys(batch, Some(*input)), &[], rows)?;
        }
        Ok(())
    }

    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = GroupBy::state(state)?;
        let other = other.downcast::<State>().map_err(|_| foreign_state())?;
        state.groups.merge(&launch, &other.groups)?;
        for (table, other) in state.distinct.iter_mut().zip(&other.distinct) {
            table.merge(&launch, other)?;
        }
        if state.dictionary.is_none() {
            state.dictionary = other.dictionary;
        }
        Ok(())
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let mut state = state.downcast::<State>().map_err(|_| foreign_state())?;
        if self.keys.is_empty() && state.groups.groups() == 0 {
            // Without keys there is one group, even of nothing: a row that feeds no accumulator.
            state
                .groups
                .update(&launch, &[], &[], &DeviceRows::known(1))?;
        }
        let pairs = std::mem::take(&mut state.distinct);
        for (table, (_, accumulator)) in pairs.iter().zip(&self.distinct) {
            self.count_pairs(&launch, &mut state.groups, table, *accumulator)?;
        }
        let list = state.groups.list(&launch)?;
        let mut columns = (0..self.keys.len())
            .map(|key| state.groups.emit_key(&launch, &list, key))
            .collect::<Result<Vec<_>>>()?;
        let status = Status::new(&launch, "group_by_emit_aggregate")?;
        for emit in &self.emits {
            columns.push(
                state
                    .groups
                    .emit_aggregate(&launch, &list, *emit, &status)?,
            );
        }
        self.shared.watch(context.stream, status);
        let rows = DeviceRows::known(list.groups());
        let dictionary = state
            .dictionary
            .unwrap_or_else(|| self.shared.dictionary.get());
        let finished = CudaBatch::flat(columns, rows, dictionary);
        Ok(vec![finished.into_batch(Arc::clone(&self.spec.output))])
    }
}
