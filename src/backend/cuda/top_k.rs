//! `top_k` by kernels; the contract is [`TopKSpec`].
//!
//! The state keeps rows that may be among the first, in the order in which they came. Of each batch
//! the first key is read; rows that cannot win are left out before anything else is read of them.
//! Once the state holds more rows than are wanted they are sorted, and the worst row kept bounds what
//! later batches may bring.

use std::sync::Arc;

use super::Shared;
use super::append;
use super::batch::CudaBatch;
use super::sort::{Ranks, Sorting, slice, with_codes};
use crate::error::Result;
use crate::kernels::append::append_rows;
use crate::kernels::gather::gather_rows;
use crate::kernels::sort::SortInput;
use crate::kernels::top_k::{TopKBound, TopKRows};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use crate::memory::Batch;
use crate::operators::{Context, Fold, FoldState, TopKSpec, own_state, state_of};

/// Batches that a state keeps before it sorts, whatever their size.
const BATCHES_MAX: usize = 64;

pub(super) struct TopK {
    shared: Arc<Shared>,
    spec: TopKSpec,
}

/// Rows that may be among the first.
#[derive(Default)]
struct Kept {
    batches: Vec<CudaBatch>,
    rows: u64,
    /// Whether the first batch is sorted and has all the rows that are wanted.
    is_full: bool,
}

impl TopK {
    pub(super) fn new(shared: Arc<Shared>, spec: &TopKSpec) -> Self {
        TopK {
            shared,
            spec: spec.clone(),
        }
    }

    fn inputs<'a>(&self, columns: &'a [DeviceColumn]) -> Vec<SortInput<'a>> {
        let inputs = self.spec.keys.iter().zip(columns);
        let inputs = inputs.map(|(key, column)| SortInput {
            column,
            descending: key.descending,
            nulls_first: key.nulls_first,
            wanted: false,
        });
        inputs.collect()
    }

    /// The first word of the worst row that is kept, if there are as many as are wanted.
    fn bound(&self, launch: &Launch, kept: &Kept, ranks: &Ranks) -> Result<Option<TopKBound>> {
        let full = kept.batches.first().filter(|_| kept.is_full);
        let (Some(full), Some(key)) = (full, self.spec.keys.first()) else {
            return Ok(None);
        };
        let last = slice(&full.columns[key.column], self.spec.kept() - 1, 1)?;
        let data_type = self.spec.input.field(key.column).data_type();
        let columns = [ranks.comparable(&last, data_type, 1)?];
        let rows = TopKRows {
            launch: *launch,
            keys: &self.inputs(&columns),
            rows: 1,
            tuning: &self.shared.sort_tuning,
        };
        rows.bound().map(Some)
    }

    /// The rows of a batch that may be among the first.
    fn candidates(
        &self,
        launch: &Launch,
        kept: &Kept,
        batch: &CudaBatch,
        rows: u64,
    ) -> Result<(Vec<DeviceColumn>, u64)> {
        if self.spec.keys.is_empty() {
            let count = self.spec.kept().saturating_sub(kept.rows).min(rows);
            return Ok((first_rows(launch, &batch.columns, rows, count)?, count));
        }
        let (schema, keys) = (&self.spec.input, &self.spec.keys);
        let ranks = Ranks::new(*launch, &batch.dictionary, schema, keys)?;
        let bound = self.bound(launch, kept, &ranks)?;
        let columns = keys.iter().map(|key| {
            let data_type = schema.field(key.column).data_type();
            ranks.comparable(&batch.columns[key.column], data_type, rows)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let all = TopKRows {
            launch: *launch,
            keys: &self.inputs(&columns),
            rows,
            tuning: &self.shared.sort_tuning,
        };
        let Some(list) = all.list(self.spec.kept(), bound.as_ref())? else {
            return Ok((batch.columns.clone(), rows));
        };
        let status = Status::new(launch, "gather_rows")?;
        let columns: Vec<&DeviceColumn> = batch.columns.iter().collect();
        let (count, all) = (DeviceRows::known(list.count), DeviceRows::known(rows));
        let picked = gather_rows(launch, &list.numbers, &count, &columns, &all, &status)?;
        self.shared.watch(launch.stream(), status);
        Ok((picked, list.count))
    }

    /// Sorts what is kept and drops what is too much.
    fn settle(&self, launch: &Launch, kept: &mut Kept) -> Result<()> {
        let Some(dictionary) = kept
            .batches
            .first()
            .map(|batch| Arc::clone(&batch.dictionary))
        else {
            return Ok(());
        };
        let schema = &self.spec.input;
        let sized = append::sized(launch, std::mem::take(&mut kept.batches))?;
        let columns = append::whole(launch, &sized, schema, &vec![true; schema.fields().len()])?;
        drop(sized);
        let sorting = Sorting {
            shared: &self.shared,
            launch: *launch,
            schema,
            keys: &self.spec.keys,
        };
        let (rows, count) = (kept.rows, self.spec.kept().min(kept.rows));
        if count > 0 {
            let parts = sorting.sorted(&columns, &dictionary, rows, (0, count), count)?;
            for (columns, count) in parts {
                let columns = match rows > count {
                    true => append_rows(launch, &[(&columns, count)])?, // the rest goes
                    false => columns,
                };
                let known = DeviceRows::known(count);
                let sorted = CudaBatch::flat(columns, known, Arc::clone(&dictionary));
                kept.batches.push(sorted);
            }
        }
        kept.rows = count;
        kept.is_full = count == self.spec.kept();
        Ok(())
    }
}

/// The first `count` of the rows of some columns, without holding on to the others.
fn first_rows(
    launch: &Launch,
    columns: &[DeviceColumn],
    rows: u64,
    count: u64,
) -> Result<Vec<DeviceColumn>> {
    let slices = columns.iter().map(|column| slice(column, 0, count));
    let slices = slices.collect::<Result<Vec<_>>>()?;
    if count == rows || slices.is_empty() {
        return Ok(slices);
    }
    append_rows(launch, &[(&slices, count)])
}

impl Fold for TopK {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Kept::default()))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let kept = state_of::<Kept>("top_k", state)?;
        let batch = CudaBatch::of(&batch)?;
        let rows = batch.rows.resolve(&launch)?;
        if rows == 0 || self.spec.kept() == 0 {
            return Ok(());
        }
        let batch = with_codes(&launch, batch, &self.spec.input, &self.spec.keys)?;
        let many = kept.batches.len() >= BATCHES_MAX || kept.rows / 4 > self.spec.kept();
        if many || (!kept.is_full && kept.rows >= self.spec.kept()) {
            self.settle(&launch, kept)?;
        }
        let (columns, count) = self.candidates(&launch, kept, &batch, rows)?;
        if count > 0 {
            let dictionary = Arc::clone(&batch.dictionary);
            let picked = CudaBatch::flat(columns, DeviceRows::known(count), dictionary);
            kept.batches.push(picked);
            kept.rows += count;
        }
        Ok(())
    }

    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let launch = self.shared.launch(context);
        let kept = state_of::<Kept>("top_k", state)?;
        let other = own_state::<Kept>("top_k", other)?;
        kept.batches.extend(other.batches);
        kept.rows += other.rows;
        match kept.rows / 4 > self.spec.kept() {
            true => self.settle(&launch, kept),
            false => Ok(()),
        }
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let mut kept = own_state::<Kept>("top_k", state)?;
        self.shared.settle(&launch)?;
        self.settle(&launch, &mut kept)?;
        let batch = match kept.batches.pop() {
            Some(sorted) => {
                let start = self.spec.offset.min(kept.rows);
                let count = kept.rows - start;
                let columns = sorted.columns.iter();
                let columns = columns.map(|column| slice(column, start, count));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                CudaBatch::flat(columns, DeviceRows::known(count), sorted.dictionary)
            }
            None => {
                let dictionary = self.shared.dictionary.get();
                let columns = append::whole(&launch, &[], &self.spec.input, &[])?;
                CudaBatch::flat(columns, DeviceRows::known(0), dictionary)
            }
        };
        Ok(vec![batch.into_batch(Arc::clone(&self.spec.input))])
    }
}
