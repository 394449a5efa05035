//! `sort` by kernels; the contract is [`SortSpec`].
//!
//! Batches are kept as they come and put behind one another at the end. Keys are sorted as packed
//! words with row numbers; the other columns are gathered once, by those. Strings and bytes
//! are sorted by their ranks among the dictionary's, which the host finds.

use std::sync::Arc;

use super::Shared;
use super::append;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::order::TextOrder;
use super::text;
use crate::error::Result;
use crate::kernels::gather::gather_rows;
use crate::kernels::sort::{Order, SortInput, sort_rows};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use crate::memory::Batch;
use crate::operators::{
    Context, Fold, FoldState, SORT_ROWS_MAX, SortKey, SortSpec, own_state, state_of,
    too_many_sort_rows,
};
use crate::types::{DataType, SchemaRef, is_text};

pub(super) struct Sort {
    shared: Arc<Shared>,
    spec: SortSpec,
}

/// The batches so far, in the order of their rows.
struct Rows {
    batches: Vec<CudaBatch>,
}

impl Sort {
    pub(super) fn new(shared: Arc<Shared>, spec: &SortSpec) -> Self {
        Sort {
            shared,
            spec: spec.clone(),
        }
    }
}

/// The batch with codes for the strings and bytes that are compared.
pub(super) fn with_codes(
    launch: &Launch,
    batch: &CudaBatch,
    schema: &SchemaRef,
    keys: &[SortKey],
) -> Result<CudaBatch> {
    let mut batch = batch.clone();
    for key in keys {
        if is_text(schema.field(key.column).data_type()) {
            let column = &batch.columns[key.column];
            batch.columns[key.column] =
                text::coded(launch, &batch.dictionary, column, &batch.rows)?;
        }
    }
    Ok(batch)
}

/// What keys of strings and bytes are sorted by.
pub(super) struct Ranks<'a> {
    launch: Launch<'a>,
    /// None where no key is text.
    order: Option<TextOrder>,
}

impl<'a> Ranks<'a> {
    pub(super) fn new(
        launch: Launch<'a>,
        dictionary: &Dictionary,
        schema: &SchemaRef,
        keys: &[SortKey],
    ) -> Result<Ranks<'a>> {
        let mut keys = keys.iter();
        let text = keys.any(|key| is_text(schema.field(key.column).data_type()));
        let order = || dictionary.tables.order(&launch, dictionary);
        let order = text.then(order).transpose()?;
        Ok(Ranks { launch, order })
    }

    /// A column as what is sorted: itself, or, of text, the ranks of its codes.
    pub(super) fn comparable(
        &self,
        column: &DeviceColumn,
        data_type: &DataType,
        rows: u64,
    ) -> Result<DeviceColumn> {
        match self.order.as_ref().filter(|_| is_text(data_type)) {
            Some(order) => order.ranks(&self.launch, column, &DeviceRows::known(rows)),
            None => Ok(column.clone()),
        }
    }
}

/// What sorts some rows: where it runs and by which keys.
pub(super) struct Sorting<'a> {
    pub shared: &'a Shared,
    pub launch: Launch<'a>,
    pub schema: &'a SchemaRef,
    pub keys: &'a [SortKey],
}

impl Sorting<'_> {
    /// The columns in the order of the keys, of the rows from `start` to `end` of that order, in
    /// parts of at most `part_rows`. Waits for the stream.
    pub(super) fn sorted(
        &self,
        columns: &[DeviceColumn],
        dictionary: &Dictionary,
        rows: u64,
        (start, end): (u64, u64),
        part_rows: u64,
    ) -> Result<Vec<(Vec<DeviceColumn>, u64)>> {
        let ranks = Ranks::new(self.launch, dictionary, self.schema, self.keys)?;
        let mut comparables = Vec::with_capacity(self.keys.len());
        let mut is_key = vec![false; columns.len()];
        for key in self.keys {
            let data_type = self.schema.field(key.column).data_type();
            let text = is_text(data_type);
            let column = ranks.comparable(&columns[key.column], data_type, rows)?;
            // A column is read off once, by its first key, and text never: those are ranks.
            let wanted = !text && !is_key[key.column];
            is_key[key.column] |= !text;
            comparables.push((key, column, wanted));
        }
        let inputs = comparables.iter().map(|(key, column, wanted)| SortInput {
            column,
            descending: key.descending,
            nulls_first: key.nulls_first,
            wanted: *wanted,
        });
        let inputs: Vec<SortInput> = inputs.collect();
        let others = is_key.contains(&false);
        let sorted = sort_rows(
            &self.launch,
            &inputs,
            rows,
            others,
            &self.shared.sort_tuning,
        )?;
        let mut shown: Vec<Option<DeviceColumn>> = vec![None; columns.len()];
        for (key, column) in self.keys.iter().zip(sorted.keys) {
            if column.is_some() {
                shown[key.column] = column;
            }
        }
        let mut parts = Vec::new();
        let mut first = start;
        while first < end {
            let count = part_rows.min(end - first);
            let own = (first, count);
            parts.push((self.part(columns, &shown, &sorted.order, rows, own)?, count));
            first += count;
        }
        Ok(parts)
    }

    /// Some rows of the order: `count` from `first` on.
    fn part(
        &self,
        columns: &[DeviceColumn],
        shown: &[Option<DeviceColumn>],
        order: &Order,
        rows: u64,
        (first, count): (u64, u64),
    ) -> Result<Vec<DeviceColumn>> {
        let numbers = match order {
            Order::Rows(numbers) => slice(numbers, first, count)?,
            Order::Kept | Order::KeysAlone => {
                let in_order = columns.iter().zip(shown);
                let in_order = in_order.map(|(column, shown)| shown.as_ref().unwrap_or(column));
                return in_order.map(|column| slice(column, first, count)).collect();
            }
        };
        let gathered = columns
            .iter()
            .zip(shown)
            .filter(|(_, shown)| shown.is_none());
        let gathered: Vec<&DeviceColumn> = gathered.map(|(column, _)| column).collect();
        let status = Status::new(&self.launch, "gather_rows")?;
        let (wanted, built) = (DeviceRows::known(count), DeviceRows::known(rows));
        let gathered = gather_rows(&self.launch, &numbers, &wanted, &gathered, &built, &status)?;
        self.shared.watch(self.launch.stream(), status);
        let mut gathered = gathered.into_iter();
        let mut all = Vec::with_capacity(columns.len());
        for shown in shown {
            all.extend(match shown {
                Some(shown) => Some(slice(shown, first, count)?),
                None => gathered.next(),
            });
        }
        Ok(all)
    }
}

/// Some rows of a column, in place: `count` from `first` on.
pub(super) fn slice(column: &DeviceColumn, first: u64, count: u64) -> Result<DeviceColumn> {
    let Some(values) = column.values() else {
        return Ok(DeviceColumn::scalar(
            column.physical(),
            column.scalar_bits(),
            count,
        ));
    };
    let (values, validity) = (Arc::clone(values), column.validity().cloned());
    let offset = column.offset() + first;
    let slice = DeviceColumn::array(column.physical(), values, validity, offset, count)?;
    Ok(slice.keeping(Arc::clone(column.kept())))
}

impl Fold for Sort {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Rows {
            batches: Vec::new(),
        }))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = state_of::<Rows>("sort", state)?;
        let batch = CudaBatch::of(&batch)?;
        let batch = with_codes(&launch, batch, &self.spec.input, &self.spec.keys)?;
        state.batches.push(batch);
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let state = state_of::<Rows>("sort", state)?;
        let other = own_state::<Rows>("sort", other)?;
        state.batches.extend(other.batches);
        Ok(())
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let state = own_state::<Rows>("sort", state)?;
        self.shared.settle(&launch)?;
        let dictionary = append::dictionary(&self.shared, &state.batches);
        let sized = append::sized(&launch, state.batches)?;
        let rows = sized.iter().map(|(_, rows)| rows).sum();
        if rows > SORT_ROWS_MAX {
            return Err(too_many_sort_rows(rows));
        }
        let schema = &self.spec.input;
        let needed = vec![true; schema.fields().len()];
        let columns = append::whole(&launch, &sized, schema, &needed)?;
        drop(sized);
        let sorting = Sorting {
            shared: &self.shared,
            launch,
            schema,
            keys: &self.spec.keys,
        };
        let part_rows = self.shared.sort_tuning.batch_rows;
        let mut parts = match rows {
            0 => vec![(columns, 0)],
            _ => sorting.sorted(&columns, &dictionary, rows, (0, rows), part_rows)?,
        };
        let batch = |(columns, rows)| {
            let rows = DeviceRows::known(rows);
            let batch = CudaBatch::flat(columns, rows, Arc::clone(&dictionary));
            batch.into_batch(Arc::clone(schema))
        };
        Ok(parts.drain(..).map(batch).collect())
    }
}
