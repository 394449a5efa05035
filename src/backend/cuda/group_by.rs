//! `group_by` by kernels; the contract is [`GroupBySpec`].
//!
//! What looks at different values takes two levels: a table of its own holds the different (keys,
//! value) pairs, or (keys, register) of a sketch; at the end its rows are counted into the groups.
//! What looks at all values of a group ([`ordered`]) keeps its rows, and sorts them at the end. States
//! that are lists or registers become rows ([`states`]), and pairs and sorted rows become such states.
//! Keys that are strings are codes of the dictionary, or views, as the first batch has them; other
//! batches are made to fit.
//! A variance takes two launches over a batch, for the means and for the distances from them; each
//! batch has a table of its own then, which is merged.

mod ordered;
mod plan;
mod states;

use std::sync::{Arc, OnceLock};

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::nested::{NestedColumn, NestedValues};
use super::order::TextOrder;
use super::text;
use crate::error::{Error, Result};
use crate::kernels::gather::gather_rows;
use crate::kernels::group_by::{
    GroupKey, GroupLayout, GroupList, GroupTable, Moments, registers, write_registers,
};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use crate::memory::Batch;
use crate::operators::{
    Context, Fold, FoldState, GroupBySpec, SKETCH_BITS, SKETCH_RANK_MAX, estimate_distinct,
    hash_bytes, own_state, state_of,
};
use crate::types::{PhysicalType, is_text};
use ordered::{Listed, Ordered, Sorter, Source};
use plan::{After, Output, Pairs, Parts, Use, key_of, value_field, viewed, word};
use states::{StateRows, States};

const _: () = assert!(abi::GROUP_BY_REGISTER_BITS == SKETCH_BITS);
const _: () = assert!(abi::GROUP_BY_RANK_MAX == SKETCH_RANK_MAX);

/// Accumulators of a table of registers: whether there is a weight, and the least one.
const SKETCH_KINDS: [u32; 2] = [abi::ACCUMULATE_ANY, abi::ACCUMULATE_MIN];

pub(super) struct GroupBy {
    shared: Arc<Shared>,
    spec: GroupBySpec,
    parts: Parts,
    /// The keys as all tables have them, once there was a batch.
    keys: OnceLock<Vec<GroupKey>>,
}

struct State {
    tables: Option<Tables>,
    /// Keeps the codes in the tables meaningful.
    dictionary: Option<Arc<Dictionary>>,
    /// Rows of which quantiles and lists are wanted, in their order, for each of the parts' `ordered`.
    kept: Vec<Vec<CudaBatch>>,
    /// The order of strings and bytes, where extremes of them are wanted.
    order: Option<TextOrder>,
}

/// Tables that are made for the first batch.
struct Tables {
    groups: GroupTable,
    /// One table per kind of pairs.
    pairs: Vec<GroupTable>,
}

impl Tables {
    fn bytes(&self) -> u64 {
        self.groups.bytes() + self.pairs.iter().map(GroupTable::bytes).sum::<u64>()
    }
}

impl GroupBy {
    pub(super) fn new(shared: Arc<Shared>, spec: &GroupBySpec) -> Result<Self> {
        let parts = Parts::of(spec)?;
        // One table layout must hold it all; refuse now what would fail in the middle.
        parts.layout(&parts.keys, &shared.tuning)?;
        Ok(GroupBy {
            shared,
            spec: spec.clone(),
            parts,
            keys: OnceLock::new(),
        })
    }

    fn state(state: &mut FoldState) -> Result<&mut State> {
        state_of::<State>("group_by", state)
    }

    /// The keys as all tables have them. Strings are views where the first batch has views, unless
    /// something else needs their codes.
    fn table_keys(&self, first: Option<&CudaBatch>) -> &[GroupKey] {
        let Some(batch) = first else {
            return self.keys.get().unwrap_or(&self.parts.keys);
        };
        self.keys.get_or_init(|| {
            let pairs = self.parts.pairs.iter().map(|pairs| pairs.input);
            let carries = self.parts.carries.iter().map(|carry| carry.input);
            let coded: Vec<usize> = pairs.chain(carries).collect();
            let columns = self.spec.group_keys.iter().zip(&self.parts.keys);
            let keys = columns.map(|(index, key)| match batch.columns[*index].physical() {
                PhysicalType::View if !coded.contains(index) => viewed(*key),
                _ => *key,
            });
            let keys: Vec<GroupKey> = keys.collect();
            let fits = self.parts.layout(&keys, &self.shared.tuning).is_ok();
            match fits && self.parts.ordered.is_empty() {
                true => keys,
                false => self.parts.keys.clone(),
            }
        })
    }

    fn new_table(&self, launch: &Launch) -> Result<GroupTable> {
        let tuning = self.shared.tuning;
        let layout = self.parts.layout(self.table_keys(None), &tuning)?;
        GroupTable::new(launch, layout, tuning)
    }

    fn new_tables(&self, launch: &Launch) -> Result<Tables> {
        let pairs = self.parts.pairs.iter();
        let pairs = pairs.map(|pairs| self.new_pairs(launch, pairs));
        Ok(Tables {
            groups: self.new_table(launch)?,
            pairs: pairs.collect::<Result<_>>()?,
        })
    }

    /// The tables of a state, made if there are none.
    fn tables<'s>(&self, launch: &Launch, state: &'s mut Option<Tables>) -> Result<&'s mut Tables> {
        let tables = match state.take() {
            Some(tables) => tables,
            None => self.new_tables(launch)?,
        };
        Ok(state.insert(tables))
    }

    fn new_pairs(&self, launch: &Launch, pairs: &Pairs) -> Result<GroupTable> {
        let tuning = self.shared.tuning;
        let mut keys = self.table_keys(None).to_vec();
        let mut kinds: &[u32] = &[];
        if pairs.sketch {
            kinds = &SKETCH_KINDS;
            keys.push(GroupKey {
                physical: PhysicalType::UInt32,
                nullable: true,
                bits: SKETCH_BITS,
            });
        } else {
            keys.push(key_of(value_field(&self.spec, pairs.input))?);
        }
        GroupTable::new(launch, GroupLayout::new(&keys, kinds, &tuning)?, tuning)
    }

    /// The batch with its keys as tables have them, and codes for other strings that are compared or
    /// kept.
    fn fitted(&self, launch: &Launch, batch: &CudaBatch) -> Result<CudaBatch> {
        let mut coded = batch.clone();
        let keys = self
            .spec
            .group_keys
            .iter()
            .zip(self.table_keys(Some(batch)));
        let (views, keys): (Vec<_>, Vec<_>) =
            keys.partition(|(_, key)| key.physical == PhysicalType::View);
        for (index, _) in views {
            let column = &batch.columns[*index];
            coded.columns[*index] = text::viewed(launch, &batch.dictionary, column, &batch.rows)?;
        }
        let keys = keys.into_iter().map(|(index, _)| *index);
        let states = self.spec.phase.takes_states();
        let pairs = self.parts.pairs.iter();
        let pairs = pairs.filter(|pairs| !(states && pairs.sketch));
        let pairs = pairs.map(|pairs| pairs.input);
        let carries = self.parts.carries.iter().map(|carry| carry.input);
        for index in keys.chain(pairs).chain(carries) {
            if is_text(self.spec.input.field(index).data_type()) {
                let column = &coded.columns[index];
                let column = text::coded(launch, &batch.dictionary, column, &batch.rows)?;
                coded.columns[index] = column;
            }
        }
        Ok(coded)
    }

    /// Key columns of a batch.
    fn keys<'b>(&self, batch: &'b CudaBatch) -> Vec<&'b DeviceColumn> {
        let keys = self.spec.group_keys.iter();
        keys.map(|index| &batch.columns[*index]).collect()
    }

    /// Aggregates a batch into a table.
    fn feed(&self, launch: &Launch, table: &mut GroupTable, batch: &CudaBatch) -> Result<()> {
        let (keys, rows) = (self.keys(batch), &batch.rows);
        let every_row = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows.max());
        let accumulators = self.parts.accumulators.iter().zip(0..);
        let fed = accumulators.filter(|(accumulator, _)| !accumulator.late);
        let inputs: Vec<(u32, &DeviceColumn)> = fed
            .map(|(accumulator, index)| {
                let column = accumulator.input.map(|input| &batch.columns[input]);
                (index, column.unwrap_or(&every_row))
            })
            .collect();
        table.update(launch, &keys, &inputs, rows)?;
        for carry in &self.parts.carries {
            let column = &batch.columns[carry.input];
            table.carry(launch, carry.row, carry.accumulator, column, rows)?;
        }
        if self.spec.phase.takes_states() {
            for (accumulator, first) in &self.parts.variances {
                let moments = Moments {
                    accumulator: *accumulator,
                    counts: &batch.columns[*first],
                    means: &batch.columns[first + 1],
                    m2: &batch.columns[first + 2],
                };
                table.update_moments(launch, &keys, &moments, rows)?;
            }
            return Ok(());
        }
        let mut distances = Vec::with_capacity(self.parts.variances.len());
        for (accumulator, input) in &self.parts.variances {
            let column = &batch.columns[*input];
            let column = table.distances(launch, &keys, *accumulator, column, rows)?;
            distances.push((*accumulator, column));
        }
        let inputs: Vec<_> = distances
            .iter()
            .map(|(index, column)| (*index, column))
            .collect();
        table.update_distances(launch, &keys, &inputs, rows)
    }

    /// Adds a batch to a table of pairs.
    fn pair(
        &self,
        context: &Context,
        table: &mut GroupTable,
        pairs: &Pairs,
        states: &States,
    ) -> Result<()> {
        let launch = &self.shared.launch(context);
        let batch = &states.batch;
        if self.takes_rows_of_states(pairs) {
            let found = self.state_rows(launch, pairs, states)?;
            let keys: Vec<&DeviceColumn> = found.keys.iter().chain(&found.values[..1]).collect();
            let weights = found.values[1..]
                .iter()
                .flat_map(|weights| [(0, weights), (1, weights)]);
            return table.update(launch, &keys, &weights.collect::<Vec<_>>(), &found.rows);
        }
        let (mut keys, rows) = (self.keys(batch), &batch.rows);
        let values = &batch.columns[pairs.input];
        if !pairs.sketch {
            keys.push(values);
            return table.update(launch, &keys, &[], rows);
        }
        let text = is_text(self.spec.input.field(pairs.input).data_type());
        let hashes = text.then(|| self.hashes(context, &batch.dictionary, values, rows));
        let hashes = hashes.transpose()?;
        let (registers, weights) =
            registers(launch, hashes.as_ref().unwrap_or(values), text, rows)?;
        keys.push(&registers);
        table.update(launch, &keys, &[(0, &weights), (1, &weights)], rows)
    }

    /// True if pairs are of states that are not one value each.
    fn takes_rows_of_states(&self, pairs: &Pairs) -> bool {
        let data_type = self.spec.input.field(pairs.input).data_type();
        let several = pairs.sketch || data_type.is_nested();
        self.spec.phase.takes_states() && several
    }

    /// What a table of pairs takes of states: keys, and values as codes or registers with weights.
    fn state_rows(&self, launch: &Launch, pairs: &Pairs, states: &States) -> Result<StateRows> {
        let (place, keys) = ((&*self.shared, launch), self.keys(&states.batch));
        if pairs.sketch {
            return states.registers(place, &keys, pairs.input);
        }
        let mut found = states.elements(place, &keys, pairs.input)?;
        if is_text(value_field(&self.spec, pairs.input).data_type()) {
            let dictionary = &states.batch.dictionary;
            for values in &mut found.values {
                *values = text::coded(launch, dictionary, values, &found.rows)?;
            }
        }
        Ok(found)
    }

    /// The hash of each code of a column.
    fn hashes(
        &self,
        context: &Context,
        dictionary: &Dictionary,
        codes: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        let launch = &self.shared.launch(context);
        let hashes = dictionary.map(hash_bytes);
        let bytes = hashes.iter().flat_map(|hash| hash.to_ne_bytes());
        let mut bytes: Vec<u8> = bytes.collect();
        bytes.resize(bytes.len().max(8), 0); // a buffer is never empty
        let count = (bytes.len() / 8) as u64;
        let bytes = Arc::new(launch.device().upload(launch.stream(), &bytes)?);
        let table = DeviceColumn::array(PhysicalType::UInt64, bytes, None, 0, count)?;
        let status = Status::new(launch, "gather_rows")?;
        let built = DeviceRows::known(count);
        let picked = gather_rows(launch, codes, rows, &[&table], &built, &status)?;
        self.shared.watch(context.stream, status);
        let nothing = || Error::invalid("group_by", "nothing was looked up", "");
        picked.into_iter().next().ok_or_else(nothing)
    }

    /// Counts pairs into the groups.
    fn count_pairs(
        &self,
        context: &Context,
        (groups, order): (&mut GroupTable, Option<&TextOrder>),
        table: &mut GroupTable,
        pairs: &Pairs,
    ) -> Result<()> {
        let launch = &self.shared.launch(context);
        let list = table.list(launch)?;
        let rows = DeviceRows::known(list.groups());
        let (keys, value) = self.emit_pairs(launch, table, &list)?;
        let keys: Vec<&DeviceColumn> = keys.iter().collect();
        for used in &pairs.uses {
            match *used {
                Use::Count(count) => {
                    groups.update(launch, &keys, &[(count, &value)], &rows)?;
                }
                Use::Rank { extreme, presence } => {
                    let order = order.ok_or_else(no_order)?;
                    let ranks = order.ranks(launch, &value, &rows)?;
                    let inputs = [(presence, &ranks), (extreme, &ranks)];
                    groups.update(launch, &keys, &inputs, &rows)?;
                }
                Use::Sketch { raised, weights } => {
                    let least = self.emit_weights(launch, table, &list)?;
                    let inputs = [(raised, &value), (weights, &least)];
                    groups.update(launch, &keys, &inputs, &rows)?;
                }
            }
        }
        Ok(())
    }

    /// The keys of a table of pairs, and what they are pairs with.
    fn emit_pairs(
        &self,
        launch: &Launch,
        table: &GroupTable,
        list: &GroupList,
    ) -> Result<(Vec<DeviceColumn>, DeviceColumn)> {
        let mut keys = Vec::with_capacity(self.parts.keys.len());
        for (index, key) in self.parts.keys.iter().enumerate() {
            // An emitted column says that it may be null even where the key may not.
            let column = table.emit_key(launch, list, index)?;
            keys.push(column.without_validity_if(!key.nullable));
        }
        Ok((keys, table.emit_key(launch, list, self.parts.keys.len())?))
    }

    /// The weights of a table of registers.
    fn emit_weights(
        &self,
        launch: &Launch,
        table: &GroupTable,
        list: &GroupList,
    ) -> Result<DeviceColumn> {
        let status = Status::new(launch, "group_by_emit_aggregate")?;
        let least = word(abi::EMIT_EXTREME, 1, 0);
        let least = table.emit_aggregate(launch, list, least, &status)?;
        self.shared.watch(launch.stream(), status);
        Ok(least)
    }

    /// The rows of a table of pairs. A null value stands among them, and counts for nothing.
    fn pair_rows(
        &self,
        launch: &Launch,
        table: &mut GroupTable,
        pairs: &Pairs,
        dictionary: Arc<Dictionary>,
    ) -> Result<CudaBatch> {
        let list = table.list(launch)?;
        let (mut columns, value) = self.emit_pairs(launch, table, &list)?;
        columns.push(value);
        if pairs.sketch {
            columns.push(self.emit_weights(launch, table, &list)?);
        }
        let rows = DeviceRows::known(list.groups());
        Ok(CudaBatch::flat(columns, rows, dictionary))
    }

    /// What is kept of a batch, for something that looks at all values of a group.
    fn keep(
        &self,
        launch: &Launch,
        ordered: &Ordered,
        states: &States,
    ) -> Result<Option<CudaBatch>> {
        Ok(match ordered.source {
            Source::Rows => Some(ordered.keep(&self.spec, &states.batch)),
            Source::Elements(input) => {
                let keys = self.keys(&states.batch);
                let found = states.elements((&self.shared, launch), &keys, input)?;
                let columns = found.keys.into_iter().chain(found.values).collect();
                let dictionary = Arc::clone(&states.batch.dictionary);
                Some(CudaBatch::flat(columns, found.rows, dictionary))
            }
            Source::Pairs(_) => None,
        })
    }

    /// Brings quantiles into the groups; answers what lists are made of, for each of the parts'
    /// `ordered`.
    fn feed_ordered(
        &self,
        context: &Context,
        groups: &mut GroupTable,
        kept: Vec<Vec<CudaBatch>>,
    ) -> Result<Vec<Listed>> {
        let sorter = Sorter {
            shared: &self.shared,
            launch: self.shared.launch(context),
            spec: &self.spec,
            keys: &self.parts.keys,
        };
        let each = self.parts.ordered.iter().zip(kept);
        each.map(|(ordered, kept)| ordered.feed(&sorter, groups, kept))
            .collect()
    }

    fn dictionary(&self, state: &State) -> Arc<Dictionary> {
        let dictionary = state.dictionary.clone();
        dictionary.unwrap_or_else(|| self.shared.dictionary.get())
    }

    /// One column of the result.
    fn emit(
        &self,
        context: &Context,
        (groups, order): (&GroupTable, Option<&TextOrder>),
        list: &GroupList,
        (output, listed): (Output, &[Listed]),
        status: &Status,
    ) -> Result<DeviceColumn> {
        let launch = &self.shared.launch(context);
        let column = groups.emit_aggregate(launch, list, output.emit, status)?;
        match output.after {
            After::Nothing | After::Listed { .. } => Ok(column),
            After::Sketched { ordered } => {
                let [registers, weights] = &listed[ordered].values[..] else {
                    return Err(Error::invalid("group_by", "registers have no weights", ""));
                };
                let starts = &listed[ordered].starts;
                write_registers(launch, (registers, weights), starts, &column)
            }
            After::Coded => {
                let order = order.ok_or_else(no_order)?;
                order.codes(launch, &column, &DeviceRows::known(list.groups()))
            }
            After::Estimated { weights } => {
                let weights = word(abi::EMIT_COUNT, weights, weights);
                let weights = groups.emit_aggregate(launch, list, weights, status)?;
                let raised = read_words(launch, &column, list.groups())?;
                let weights = read_words(launch, &weights, list.groups())?;
                let both = raised.into_iter().zip(weights);
                let estimates = both.map(|(raised, weights)| estimate_distinct(raised, weights));
                let bytes: Vec<u8> = estimates.flat_map(i64::to_le_bytes).collect();
                let bytes = Arc::new(launch.device().upload(launch.stream(), &bytes)?);
                DeviceColumn::array(PhysicalType::Int64, bytes, None, 0, list.groups())
            }
        }
    }
}

fn no_order() -> Error {
    Error::invalid("group_by", "the order of strings is missing", "")
}

/// The first `rows` 64-bit values of a column. Waits for the stream.
fn read_words(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<Vec<u64>> {
    let mut bytes = vec![0; rows as usize * 8];
    if let Some(values) = column.values() {
        launch.device().read(launch.stream(), values, &mut bytes)?;
    }
    let words = bytes.chunks_exact(8);
    Ok(words
        .map(|word| word.try_into().map_or(0, u64::from_le_bytes))
        .collect())
}

impl Fold for GroupBy {
    fn init(&self, _context: &Context) -> Result<FoldState> {
        Ok(Box::new(State {
            tables: None,
            dictionary: None,
            kept: vec![Vec::new(); self.parts.ordered.len()],
            order: None,
        }))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = GroupBy::state(state)?;
        let mut states = States::of(CudaBatch::of(&batch)?)?;
        states.batch = self.fitted(&launch, &states.batch)?;
        let batch = &states.batch;
        self.shared.settle(&launch)?;
        state.dictionary = Some(Arc::clone(&batch.dictionary));
        let tables = self.tables(&launch, &mut state.tables)?;
        if self.parts.variances.is_empty() {
            self.feed(&launch, &mut tables.groups, batch)?;
        } else {
            let mut table = self.new_table(&launch)?;
            self.feed(&launch, &mut table, batch)?;
            tables.groups.merge(&launch, &mut table)?;
        }
        for (table, pairs) in tables.pairs.iter_mut().zip(&self.parts.pairs) {
            self.pair(context, table, pairs, &states)?;
        }
        for (kept, ordered) in state.kept.iter_mut().zip(&self.parts.ordered) {
            kept.extend(self.keep(&launch, ordered, &states)?);
        }
        Ok(())
    }

    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = GroupBy::state(state)?;
        let mut other = own_state::<State>("group_by", other)?;
        if let Some(other) = &mut other.tables {
            let tables = self.tables(&launch, &mut state.tables)?;
            tables.groups.merge(&launch, &mut other.groups)?;
            for (table, other) in tables.pairs.iter_mut().zip(&mut other.pairs) {
                table.merge(&launch, other)?;
            }
        }
        for (kept, other) in state.kept.iter_mut().zip(other.kept) {
            kept.extend(other);
        }
        if state.dictionary.is_none() {
            state.dictionary = other.dictionary;
        }
        Ok(())
    }

    fn bytes(&self, state: &FoldState) -> u64 {
        let state: Option<&State> = state.downcast_ref();
        let tables = state.and_then(|state| state.tables.as_ref());
        tables.map_or(0, Tables::bytes)
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let mut state = own_state::<State>("group_by", state)?;
        let Tables { mut groups, pairs } = match state.tables.take() {
            Some(tables) => tables,
            None => self.new_tables(&launch)?,
        };
        if self.parts.keys.is_empty() && groups.groups() == 0 {
            if self.spec.phase.gives_states() {
                return Ok(Vec::new()); // a state of nothing would count as a row
            }
            // Without keys there is one group, even of nothing: a row that feeds no accumulator.
            groups.update(&launch, &[], &[], &DeviceRows::known(1))?;
        }
        if self
            .parts
            .outputs
            .iter()
            .any(|output| matches!(output.after, After::Coded))
        {
            let dictionary = self.dictionary(&state);
            state.order = Some(dictionary.tables.order(&launch, &dictionary)?);
        }
        let order = state.order.as_ref();
        let mut kept = std::mem::take(&mut state.kept);
        for (index, mut table) in pairs.into_iter().enumerate() {
            let pairs = &self.parts.pairs[index];
            self.count_pairs(context, (&mut groups, order), &mut table, pairs)?;
            for (kept, ordered) in kept.iter_mut().zip(&self.parts.ordered) {
                if ordered.source == Source::Pairs(index) {
                    let dictionary = self.dictionary(&state);
                    kept.push(self.pair_rows(&launch, &mut table, pairs, dictionary)?);
                }
            }
        }
        let listed = self.feed_ordered(context, &mut groups, kept)?;
        let list = groups.list(&launch)?;
        let mut columns = (0..self.parts.keys.len())
            .map(|key| groups.emit_key(&launch, &list, key))
            .collect::<Result<Vec<_>>>()?;
        let status = Status::new(&launch, "group_by_emit_aggregate")?;
        let mut nested = Vec::new();
        for (output, place) in self.parts.outputs.iter().zip(self.parts.keys.len()..) {
            let output = (*output, &listed[..]);
            let column = self.emit(context, (&groups, order), &list, output, &status)?;
            match output.0.after {
                After::Listed { ordered, of } => {
                    let values = NestedValues::Lists(listed[ordered].column(of, column));
                    nested.push(NestedColumn { place, values });
                }
                _ => columns.push(column),
            }
        }
        self.shared.watch(context.stream, status);
        let rows = DeviceRows::known(list.groups());
        let mut finished = CudaBatch::flat(columns, rows, self.dictionary(&state));
        finished.nested = nested;
        Ok(vec![finished.into_batch(Arc::clone(&self.spec.output))])
    }
}
