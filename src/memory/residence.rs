//! Where one stored batch is, and who may move it: the states of [`StoredBatch`], without its lock.
//!
//! A move has a start and an end under the lock, and copies in between without it. Moves to lower
//! tiers never stand in anybody's way: whoever wants the batch gets it from where it is and raises
//! the version, so that the move finds at its end that it came to nothing. One thread at a time
//! brings a batch back; others wait for it.
//!
//! [`StoredBatch`]: super::StoredBatch

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::batch::{Batch, BatchData};
use super::parking::ParkedBatch;
use super::reservation::{Reservation, Tier};
use super::segments::Written;

/// A batch as bytes on the host, in pinned memory or not.
#[derive(Debug)]
pub(super) struct OnHost {
    pub(super) parked: ParkedBatch,
    pub(super) _held: Vec<Reservation>,
}

/// A batch as bytes on disk.
#[derive(Debug)]
pub(super) struct OnDisk {
    /// Without its sections.
    pub(super) parked: ParkedBatch,
    pub(super) written: Written,
}

/// A batch in its backend's memory.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) batch: Batch,
    /// Memory that the batch does not hold itself.
    pub(super) held: Option<Reservation>,
}

impl Live {
    /// Whether somebody else has all of the batch: to move it away would free nothing.
    fn is_shared(&self) -> bool {
        match self.batch.data() {
            BatchData::Device(columns) => Arc::strong_count(columns) > 1,
            BatchData::Host(batch) => {
                // A batch may have a column more than once.
                let address = |column: &ArrayRef| Arc::as_ptr(column).cast::<()>();
                let mut owned: HashMap<*const (), usize> = HashMap::new();
                for column in batch.columns() {
                    *owned.entry(address(column)).or_default() += 1;
                }
                let shared = |column: &ArrayRef| {
                    let owned = owned.get(&address(column));
                    owned.is_some_and(|owned| Arc::strong_count(column) > *owned)
                };
                batch.columns().iter().all(shared)
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Place {
    Live(Live),
    Host(Arc<OnHost>),
    Disk(Arc<OnDisk>),
    Taken,
}

/// What a move to a lower tier starts from.
#[derive(Debug)]
pub(super) enum OutFrom {
    Live(Batch),
    Host(Arc<OnHost>),
}

/// A move to a lower tier that is under way.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) from: OutFrom,
    version: u64,
}

/// What bringing a batch back starts from.
#[derive(Debug)]
pub(super) enum InFrom {
    Host(Arc<OnHost>),
    Disk(Arc<OnDisk>),
}

/// What somebody who wants the batch is to do.
#[derive(Debug)]
pub(super) enum Access {
    /// Use it; with `held` if it was taken.
    Ready(Live),
    /// Bring it back, then say so.
    Bring(InFrom),
    /// Wait for who brings it back.
    Wait,
    /// Somebody took it.
    Gone,
}

#[derive(Debug)]
pub(super) struct Residence {
    place: Place,
    /// Raised by all that makes a move to a lower tier pointless.
    version: u64,
    outward: bool,
    inward: bool,
}

impl Residence {
    pub(super) fn new(live: Live) -> Self {
        Residence {
            place: Place::Live(live),
            version: 0,
            outward: false,
            inward: false,
        }
    }

    /// The tier, if live batches are in `live`; nothing once taken.
    pub(super) fn tier(&self, live: Tier) -> Option<Tier> {
        match &self.place {
            Place::Live(_) => Some(live),
            Place::Host(on_host) => Some(on_host.parked.tier),
            Place::Disk(_) => Some(Tier::Disk),
            Place::Taken => None,
        }
    }

    /// Starts a move to a lower tier, unless the batch is in use, on disk or moving.
    pub(super) fn start_out(&mut self) -> Option<Out> {
        if self.outward || self.inward {
            return None;
        }
        let from = match &self.place {
            Place::Live(live) if !live.is_shared() => OutFrom::Live(live.batch.clone()),
            Place::Host(on_host) => OutFrom::Host(Arc::clone(on_host)),
            Place::Live(_) | Place::Disk(_) | Place::Taken => return None,
        };
        self.outward = true;
        Some(Out {
            from,
            version: self.version,
        })
    }

    /// Ends a move to a lower tier, with its new place if the copy was made. Gives back what is to
    /// be dropped, without the lock: the old place if the batch has moved, else the new one.
    pub(super) fn finish_out(
        &mut self,
        version: u64,
        place: Option<Place>,
    ) -> (bool, Option<Place>) {
        self.outward = false;
        match place {
            Some(place) if self.version == version => {
                (true, Some(std::mem::replace(&mut self.place, place)))
            }
            unused => (false, unused),
        }
    }

    /// Somebody wants the batch, or (`take`) wants it for good.
    pub(super) fn access(&mut self, take: bool) -> Access {
        let from = match &self.place {
            Place::Taken => return Access::Gone,
            Place::Live(live) if !take => {
                self.version += 1;
                let batch = live.batch.clone();
                return Access::Ready(Live { batch, held: None });
            }
            Place::Live(_) => {
                self.version += 1;
                return match std::mem::replace(&mut self.place, Place::Taken) {
                    Place::Live(live) => Access::Ready(live),
                    _ => Access::Gone,
                };
            }
            _ if self.inward => return Access::Wait,
            Place::Host(on_host) => InFrom::Host(Arc::clone(on_host)),
            Place::Disk(on_disk) => InFrom::Disk(Arc::clone(on_disk)),
        };
        self.version += 1;
        self.inward = true;
        Access::Bring(from)
    }

    /// The batch is back, or (`live` is nothing) could not be brought back. Gives it out, and what
    /// is to be dropped without the lock.
    pub(super) fn finish_in(
        &mut self,
        live: Option<Live>,
        take: bool,
    ) -> (Option<Live>, Option<Place>) {
        self.inward = false;
        let Some(live) = live else {
            return (None, None);
        };
        if take {
            let former = std::mem::replace(&mut self.place, Place::Taken);
            return (Some(live), Some(former));
        }
        let batch = live.batch.clone();
        let former = std::mem::replace(&mut self.place, Place::Live(live));
        (Some(Live { batch, held: None }), Some(former))
    }
}

impl Out {
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}
