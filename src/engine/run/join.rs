//! Built sides of joins: a table, or parts of which each becomes one in its turn, or rows that become none.

use std::sync::Arc;

use super::QueryRun;
use super::fold::fold_store;
use super::lane::Lane;
use super::steps::FoldStep;
use super::swap::WaitingSide;
use crate::error::{Error, Result};
use crate::memory::{Batch, BatchStore};

/// What a join's probe gets.
#[derive(Clone)]
pub(super) enum Built {
    /// The table of all build rows.
    Whole(Batch),
    /// The build rows, of which nothing is built: they are too many beside the probe rows.
    Waiting(Arc<WaitingSide>),
    /// The build rows do not fit: they lie in parts by their keys, and so must the probe rows.
    Parts(Arc<BuiltParts>),
}

/// The build rows of a join in parts.
pub(super) struct BuiltParts {
    pub(super) step: FoldStep,
    pub(super) stores: Vec<Arc<BatchStore>>,
    /// Whether several joins read them, so that they stay.
    pub(super) shared: bool,
}

impl BuiltParts {
    /// The table of one part's rows.
    ///
    /// # Errors
    /// As the operator's contract says.
    pub(super) fn build(&self, run: &QueryRun, lane: &Lane, store: &BatchStore) -> Result<Batch> {
        let batches = match self.shared {
            false => fold_store(run, lane, &self.step, store)?,
            true => {
                let copy = BatchStore::default();
                for (sequence, stored) in store.batches() {
                    copy.push(sequence, stored);
                }
                fold_store(run, lane, &self.step, &copy)?
            }
        };
        batches
            .into_iter()
            .next()
            .ok_or_else(|| Error::invalid(self.step.spec.name(), "a part gave no batch", ""))
    }
}
