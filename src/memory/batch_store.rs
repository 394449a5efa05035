//! Stored batches in a row: what waits between two operators.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::Sequence;
use super::stored::StoredBatch;

/// Stored batches with their sequences, first in, first out. Shared by threads; every batch may be
/// spilled while it waits here.
///
/// ```
/// # use arrow::array::{Int64Array, RecordBatch};
/// # use pelton::memory::*;
/// # use std::sync::Arc;
/// # fn main() -> pelton::Result<()> {
/// # let memory = MemoryManager::new(MemoryLimits::UNLIMITED);
/// # let spiller = SpillManager::new(&memory, SpillOptions::default(), Arc::new(DiskFiles));
/// # let rows = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as _)]);
/// # let batch = Batch::host(rows.unwrap());
/// let store = BatchStore::default();
/// store.push(Sequence(7), spiller.store(batch, Arc::new(HostParking), SpillClass::Queued)?);
/// assert_eq!((store.len(), store.rows(), store.bytes()), (1, 2, 16));
/// let (sequence, stored) = store.pop().unwrap();
/// assert_eq!((sequence, stored.take()?.rows_max()), (Sequence(7), 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct BatchStore {
    batches: Mutex<VecDeque<(Sequence, Arc<StoredBatch>)>>,
}

impl BatchStore {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Sequence, Arc<StoredBatch>)>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch at the end.
    pub fn push(&self, sequence: Sequence, batch: Arc<StoredBatch>) {
        self.lock().push_back((sequence, batch));
    }

    /// Takes the batch that has waited longest.
    pub fn pop(&self) -> Option<(Sequence, Arc<StoredBatch>)> {
        self.lock().pop_front()
    }

    /// Batches.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Bytes of all batches where their backends can use them, wherever they are now.
    pub fn bytes(&self) -> u64 {
        self.lock().iter().map(|(_, batch)| batch.bytes()).sum()
    }

    /// Upper bound of the rows of all batches.
    pub fn rows(&self) -> u64 {
        self.lock().iter().map(|(_, batch)| batch.rows_max()).sum()
    }

    /// The batches as they are now, in their order; they stay.
    pub fn batches(&self) -> Vec<(Sequence, Arc<StoredBatch>)> {
        self.lock().iter().cloned().collect()
    }
}
