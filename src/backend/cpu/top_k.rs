//! `top_k` on host batches; the contract is [`TopKSpec`]. It sorts everything: the definition.

use super::host_batch;
use super::sort::{Rows, key_converter, sorted_rows, take_rows, whole};
use crate::error::Result;
use crate::memory::Batch;
use crate::operators::{Context, Fold, FoldState, TopKSpec, own_state, state_of};

pub(super) struct TopK {
    spec: TopKSpec,
}

impl TopK {
    /// # Errors
    /// `InvalidInput` if the specification contradicts itself, `Unsupported` for a key type
    /// without an order.
    pub(super) fn new(spec: &TopKSpec) -> Result<TopK> {
        spec.check()?;
        key_converter(&spec.keys, &spec.input, "top_k")?;
        Ok(TopK { spec: spec.clone() })
    }
}

impl Fold for TopK {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Rows {
            batches: Vec::new(),
        }))
    }

    fn next(&self, _: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let rows = state_of::<Rows>("top_k", state)?;
        rows.batches.push(host_batch("top_k", &batch)?.clone());
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let rows = state_of::<Rows>("top_k", state)?;
        let other = own_state::<Rows>("top_k", other)?;
        rows.batches.extend(other.batches);
        Ok(())
    }

    fn finish(&self, _: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let rows = own_state::<Rows>("top_k", state)?;
        let all = whole(&self.spec.input, &rows.batches, "top_k")?;
        let numbers = sorted_rows(&self.spec.keys, &all, "top_k")?;
        let count = numbers.len() as u64;
        let (start, end) = (self.spec.offset.min(count), self.spec.kept().min(count));
        let part = &numbers[start as usize..end as usize];
        Ok(vec![Batch::host(take_rows(&all, part, "top_k")?)])
    }
}
