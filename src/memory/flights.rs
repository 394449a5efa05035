//! Moves to lower tiers that are under way, for those who need what they free.

#![forbid(unsafe_code)]

use std::sync::PoisonError;

use super::reservation::Tier;
use super::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug, Default)]
struct Counts {
    started: [u64; 4],
    landed: [u64; 4],
}

/// Counts moves by the tier that they free.
#[derive(Debug, Default)]
pub(super) struct Flights {
    counts: Mutex<Counts>,
    changed: Condvar,
}

/// One move; it lands when this is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    from: Tier,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(&self, from: Tier) -> Flight<'_> {
        self.lock().started[from as usize] += 1;
        Flight {
            flights: self,
            from,
        }
    }

    /// Moves from a tier that have ended so far.
    pub(super) fn landed(&self, from: Tier) -> u64 {
        self.lock().landed[from as usize]
    }

    /// Waits until more moves than `seen` have ended; false if none is under way that could.
    pub(super) fn wait_landed(&self, from: Tier, seen: u64) -> bool {
        let mut counts = self.lock();
        let from = from as usize;
        while counts.landed[from] == seen {
            if counts.started[from] == seen {
                return false;
            }
            let waited = self.changed.wait(counts);
            counts = waited.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.lock().landed[self.from as usize] += 1;
        self.flights.changed.notify_all();
    }
}
