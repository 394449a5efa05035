//! What the workers of a pipeline take, one unit after the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::link::Message;
use super::parts::Part;
use super::{place_in_union, unit_of};
use crate::error::Result;
use crate::memory::{Sequence, StoredBatch};
use crate::network::Receiver;
use crate::storage::Partition;

/// A piece of a pipeline's input, with its place in it.
pub(super) enum Unit {
    /// Row groups to read.
    Partition(u64, Partition),
    /// Rows of a table in memory.
    Rows(Sequence, RecordBatch),
    /// What another pipeline left.
    Stored(Sequence, Arc<StoredBatch>),
    /// What waited to be the build side of a join.
    Waiting(Sequence, Arc<StoredBatch>),
    /// Both sides of a part of a join.
    Part(u64, Part),
}

impl Unit {
    /// Its place among the units.
    pub(super) fn index(&self) -> u64 {
        match self {
            Unit::Partition(index, _) | Unit::Part(index, _) => *index,
            Unit::Rows(place, _) | Unit::Stored(place, _) | Unit::Waiting(place, _) => {
                unit_of(*place)
            }
        }
    }
}

/// The input of a pipeline, shared by its workers.
pub(super) struct Units {
    ready: Mutex<VecDeque<Unit>>,
    links: Vec<Receiver<Message>>,
    stopped: AtomicBool,
}

impl Units {
    /// Units that are there already.
    pub(super) fn ready(units: impl IntoIterator<Item = Unit>) -> Units {
        Units {
            ready: Mutex::new(units.into_iter().collect()),
            links: Vec::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// What other pipelines leave, the first one's first.
    pub(super) fn links(links: Vec<Receiver<Message>>) -> Units {
        Units {
            ready: Mutex::default(),
            links,
            stopped: AtomicBool::new(false),
        }
    }

    /// The number of units, where that is known: no more workers are needed.
    pub(super) fn count(&self) -> Option<usize> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        self.links.is_empty().then(|| ready.len())
    }

    /// Uncompressed bytes of the largest partition among them.
    pub(super) fn largest_partition(&self) -> u64 {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = ready.iter().map(|unit| match unit {
            Unit::Partition(_, partition) => partition.bytes(),
            _ => 0,
        });
        bytes.max().unwrap_or(0)
    }

    /// The next unit, or none.
    ///
    /// # Errors
    /// `Cancelled` if the query has ended.
    pub(super) async fn next(&self) -> Result<Option<Unit>> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let unit = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        if unit.is_some() {
            return Ok(unit);
        }
        for (index, link) in self.links.iter().enumerate() {
            if let Some(Message { sequence, stored }) = link.receive().await? {
                let sequence = place_in_union(index, sequence);
                return Ok(Some(Unit::Stored(sequence, stored)));
            }
        }
        Ok(None)
    }

    /// Says that no more is wanted.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for link in &self.links {
            link.drain();
        }
    }
}
