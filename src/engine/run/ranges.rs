//! Rows that wait for their ranges: only samples of all ranks tell where these are.

use std::sync::Arc;

use super::QueryRun;
use super::bounds::{ranges, sample};
use super::exchange::{decode, encode, unreadable};
use super::lane::Lane;
use crate::comm::{Communicator, OperationId, all_gather};
use crate::error::Result;
use crate::memory::{Batch, BatchStore, Sequence, SpillClass, StoredBatch};
use crate::operators::{Partitioning, SortKey, SortSpec};
use crate::types::SchemaRef;

/// The rows of a rank, until it is known where they go.
pub(super) struct Ranges {
    spec: SortSpec,
    /// In which the ranks tell each other their samples.
    operation: OperationId,
    waiting: BatchStore,
}

impl Ranges {
    /// For batches of this schema, by these keys.
    pub(super) fn new(input: &SchemaRef, keys: &[SortKey], operation: OperationId) -> Ranges {
        Ranges {
            spec: SortSpec {
                input: Arc::clone(input),
                keys: keys.to_vec(),
            },
            operation,
            waiting: BatchStore::default(),
        }
    }

    /// Takes a batch, which may be spilled while it waits.
    ///
    /// # Errors
    /// As storing a batch.
    pub(super) fn push(&self, run: &QueryRun, sequence: Sequence, batch: Batch) -> Result<()> {
        run.store_in(&self.waiting, sequence, batch, SpillClass::SortRun)
    }

    /// The ranges of the ranks, the same on all of them; none if no rank has rows. `number` is the
    /// pipeline's, from 1.
    ///
    /// # Errors
    /// `PeerLost` if a rank is gone, `Cancelled`; as bringing batches back and as sorting.
    pub(super) async fn bounds(
        &self,
        run: &QueryRun,
        (number, lane): (usize, &Lane),
        comm: &dyn Communicator,
    ) -> Result<Option<Partitioning>> {
        let own = sample(run, (number, lane), &self.spec, &self.waiting, comm.world())?;
        let own = encode(Sequence(0), &own)?;
        let all = {
            let _outside = run.scope.outside();
            all_gather(comm, self.operation, own).await?
        };
        let mut samples = Vec::with_capacity(all.len());
        for (message, from) in all.iter().zip(0..) {
            let sample = decode(message).map_err(|cause| unreadable(from, &cause))?;
            samples.extend(sample.map(|(_, rows)| rows));
        }
        ranges(run, &self.spec, &samples, comm.world())
    }

    /// All batches, in their order; none waits then.
    pub(super) fn take(&self) -> Vec<(Sequence, Arc<StoredBatch>)> {
        let mut all = Vec::with_capacity(self.waiting.len());
        while let Some(entry) = self.waiting.pop() {
            all.push(entry);
        }
        all.sort_by_key(|(sequence, _)| *sequence);
        all
    }
}
