//! Batches in parts by their keys, for folds and joins that do not fit at one time.

use std::sync::Arc;

use super::failure::bringing_back;
use super::lane::Lane;
use super::steps::{partition, partition_on_cpu};
use super::{Place, QueryRun};
use crate::error::Result;
use crate::memory::{Batch, BatchStore, Sequence, SpillClass};
use crate::metrics::StepFacts;
use crate::operators::{OperatorSpec, PARTITIONS, Partition, Partitioning, ShufflePartitionSpec};
use crate::types::SchemaRef;

/// How many times a part's bytes what works on it may need: the rows, a copy of them side by side, and
/// a table or sort words.
const WORK_FACTOR: u64 = 3;

/// Share of a tier's limit that one fold may work in.
const WORK_SHARE: u64 = 2;

/// Share of a tier's limit that a part of a fold may work in: several are under way at one time.
const PART_SHARE: u64 = 8;

/// How many parts the rows of a fold are split into so that each can be worked on in a tier of this
/// limit; one if they fit as they are.
pub(super) fn parts_for(bytes: u64, limit: u64) -> u32 {
    let need = bytes.saturating_mul(WORK_FACTOR);
    if need <= limit / WORK_SHARE {
        return 1;
    }
    let parts = need
        .div_ceil((limit / PART_SHARE).max(1))
        .next_power_of_two();
    let (min, max) = (u64::from(*PARTITIONS.start()), u64::from(*PARTITIONS.end()));
    u32::try_from(parts.clamp(min, max)).unwrap_or(*PARTITIONS.end())
}

fn split(input: &SchemaRef, by: Partitioning, partitions: u32) -> OperatorSpec {
    OperatorSpec::ShufflePartition(ShufflePartitionSpec {
        input: Arc::clone(input),
        partitions,
        by,
    })
}

/// Both sides of one part of a join.
pub(super) struct Part {
    pub(super) build: Arc<BatchStore>,
    pub(super) probe: Arc<BatchStore>,
}

/// Splits batches by their keys into stores, whose batches may be spilled.
pub(super) struct Splitter {
    place: Place,
    partition: Box<dyn Partition>,
    class: SpillClass,
    pub(super) stores: Vec<Arc<BatchStore>>,
}

impl Splitter {
    /// Splits into so many parts.
    ///
    /// # Errors
    /// `Unsupported` if no backend may split such batches.
    pub(super) fn new(
        run: &QueryRun,
        number: usize,
        input: &SchemaRef,
        by: Partitioning,
        parts: u32,
        class: SpillClass,
    ) -> Result<Splitter> {
        let (place, partition) = partition(run, number, &split(input, by, parts))?;
        Ok(Splitter::of(place, partition, class, parts))
    }

    /// Splits into so many parts, in which rows keep the order that they came in. That is the CPU
    /// backend's way alone; the rows are on the way to the host anyway.
    ///
    /// # Errors
    /// `Unsupported` if the CPU backend cannot split such batches.
    pub(super) fn keeping_order(
        run: &QueryRun,
        input: &SchemaRef,
        by: Partitioning,
        parts: u32,
        class: SpillClass,
    ) -> Result<Splitter> {
        let partition = partition_on_cpu(run, &split(input, by, parts))?;
        Ok(Splitter::of(Place::Cpu, partition, class, parts))
    }

    fn of(place: Place, partition: Box<dyn Partition>, class: SpillClass, parts: u32) -> Splitter {
        Splitter {
            place,
            partition,
            class,
            stores: (0..parts).map(|_| Arc::default()).collect(),
        }
    }

    /// Adds the rows of a batch to their parts.
    ///
    /// # Errors
    /// As the operator `shuffle_partition`.
    pub(super) fn split(
        &self,
        run: &QueryRun,
        lane: &Lane,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<()> {
        let batch = lane.bring(batch, self.place)?;
        let pieces = self.partition.next(lane.context(self.place), batch)?;
        for (store, piece) in self.stores.iter().zip(pieces) {
            if piece.rows_max() > 0 {
                run.store_in(store, sequence, piece, self.class)?;
            }
        }
        Ok(())
    }

    /// Splits all batches of a store, for a step; it is empty then.
    ///
    /// # Errors
    /// As [`Splitter::split`].
    pub(super) fn split_all(
        &self,
        run: &QueryRun,
        lane: &Lane,
        of: &StepFacts,
        store: &BatchStore,
    ) -> Result<()> {
        while let Some((sequence, stored)) = store.pop() {
            run.scope.check()?;
            let batch = bringing_back(of.operator, of.pipeline, || stored.get())?;
            drop(stored);
            self.split(run, lane, sequence, batch)?;
        }
        lane.synchronize()
    }
}
