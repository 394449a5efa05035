//! Rows of a scan in the order of its files, although several workers read them.

use std::collections::BTreeMap;

use super::link::Rows;
use crate::memory::Sequence;

/// Puts the batches of units in the order of the units. A unit's last message says that it was.
#[derive(Default)]
pub(in crate::engine) struct InOrder {
    waiting: BTreeMap<Sequence, Rows>,
    /// Units from 0 on that are complete.
    complete: BTreeMap<u64, ()>,
    /// The first unit that is not known to be complete.
    frontier: u64,
}

impl InOrder {
    /// Takes a message: rows, or the end of a unit, which has none.
    pub(in crate::engine) fn push(&mut self, rows: Rows) {
        if rows.batch.num_rows() > 0 {
            self.waiting.insert(rows.sequence, rows);
            return;
        }
        self.complete.insert(super::unit_of(rows.sequence), ());
        while self.complete.remove(&self.frontier).is_some() {
            self.frontier += 1;
        }
    }

    /// Says that all messages have come.
    pub(in crate::engine) fn end(&mut self) {
        self.frontier = u64::MAX;
    }

    /// The next batch in order, if it is known to be that.
    pub(in crate::engine) fn next(&mut self) -> Option<Rows> {
        let first = *self.waiting.first_key_value()?.0;
        // Batches of the first incomplete unit come one after the other from one worker.
        let known = super::unit_of(first) <= self.frontier || self.frontier == u64::MAX;
        known.then(|| self.waiting.remove(&first)).flatten()
    }
}
