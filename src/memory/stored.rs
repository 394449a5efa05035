//! A batch that is moved to lower tiers while nobody uses it.
//!
//! Locks, in the order in which they may be taken: a batch's, the list of batches, that of the thread
//! that looks, the line of those who wait for memory. No thread ever holds two batches' locks, and
//! none is held while bytes are copied, a backend is called or memory is given back.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::batch::Batch;
use super::parking::{ParkedBatch, Parking};
use super::reservation::{Reservation, Tier};
use super::residence::{Access, InFrom, Live, OnDisk, OnHost, Out, OutFrom, Place, Residence};
use super::spill::{Key, SpillManager};
use super::sync::{Condvar, Mutex, MutexGuard, thread_local};
use crate::error::{Error, Result};

/// What a stored batch is for: the order in which batches are spilled, first those that are needed
/// last or cost least to have away. Within a class the one stored last goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpillClass {
    /// A message that waits in a queue.
    Queued,
    /// A partition of a join's build side.
    Build,
    /// A partition of an aggregation.
    Aggregate,
    /// A run of a sort.
    SortRun,
    /// Rows that wait for the user.
    Result,
}

impl SpillClass {
    /// Every class, in the order in which they are spilled.
    pub const ALL: [SpillClass; 5] = [
        SpillClass::Queued,
        SpillClass::Build,
        SpillClass::Aggregate,
        SpillClass::SortRun,
        SpillClass::Result,
    ];
}

thread_local! {
    /// Whether this thread is inside of a backend's `park`.
    static PARKS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is moving a batch away just now. Memory that it needs for that must not be
/// made free by moving more away.
pub(super) fn thread_parks() -> bool {
    PARKS.with(Cell::get)
}

struct ParksGuard(bool);

impl ParksGuard {
    fn enter() -> Self {
        ParksGuard(PARKS.with(|parks| parks.replace(true)))
    }
}

impl Drop for ParksGuard {
    fn drop(&mut self) {
        PARKS.with(|parks| parks.set(self.0));
    }
}

/// A batch in the care of a [`SpillManager`], made by [`SpillManager::store`].
#[derive(Debug)]
pub struct StoredBatch {
    spiller: Arc<SpillManager>,
    parking: Arc<dyn Parking>,
    key: Key,
    rows_max: u64,
    bytes: u64,
    residence: Mutex<Residence>,
    came_back: Condvar,
}

impl StoredBatch {
    pub(super) fn new(
        spiller: &Arc<SpillManager>,
        batch: Batch,
        held: Option<Reservation>,
        parking: Arc<dyn Parking>,
        key: Key,
    ) -> Self {
        StoredBatch {
            spiller: Arc::clone(spiller),
            key,
            rows_max: batch.rows_max(),
            bytes: parking.bytes(&batch),
            parking,
            residence: Mutex::new(Residence::new(Live { batch, held })),
            came_back: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Residence> {
        // No code of others runs under this lock, and the state is whole at every step.
        let residence = self.residence.lock();
        residence.unwrap_or_else(PoisonError::into_inner)
    }

    /// Upper bound of the rows.
    pub fn rows_max(&self) -> u64 {
        self.rows_max
    }

    /// Bytes that it holds on to where its backend can use it, wherever it is now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it is for.
    pub fn class(&self) -> SpillClass {
        self.key.0
    }

    /// The tier that it is in now; of one that was taken, that where it was last used.
    pub fn tier(&self) -> Tier {
        let live = self.parking.tier();
        self.lock().tier(live).unwrap_or(live)
    }

    /// The batch, brought back if need be. It stays stored, and may be spilled again once what this
    /// returns and all its clones are dropped. The thread copies, or waits for who does.
    ///
    /// # Errors
    /// `Reservation` if there is no room for it even when others are spilled, `Io` and `Corrupt`
    /// of the spill file, and those of the backend; it then stays where it is. `InvalidInput` if
    /// it was taken.
    pub fn get(&self) -> Result<Batch> {
        Ok(self.access(false)?.batch)
    }

    /// The batch, brought back if need be, and no longer stored.
    ///
    /// # Errors
    /// As [`StoredBatch::get`].
    pub fn take(self: Arc<Self>) -> Result<Batch> {
        Ok(self.access(true)?.batch)
    }

    /// [`StoredBatch::take`], with the reservation of a batch that does not hold its own.
    ///
    /// # Errors
    /// As [`StoredBatch::get`].
    pub fn take_held(self: Arc<Self>) -> Result<(Batch, Option<Reservation>)> {
        let live = self.access(true)?;
        Ok((live.batch, live.held))
    }

    fn access(&self, take: bool) -> Result<Live> {
        let mut residence = self.lock();
        let from = loop {
            match residence.access(take) {
                Access::Ready(live) => {
                    if take {
                        self.list(None);
                    }
                    return Ok(live);
                }
                Access::Bring(from) => break from,
                Access::Wait => {
                    let waited = self.came_back.wait(residence);
                    residence = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Access::Gone => {
                    return Err(Error::invalid("stored batch", "it was taken already", ""));
                }
            }
        };
        drop(residence);
        let mut bringing = Bringing {
            stored: self,
            take,
            live: None,
            done: false,
        };
        bringing.live = Some(self.bring(from)?);
        let live = bringing.finish();
        live.ok_or_else(|| Error::invalid("stored batch", "it was not brought back", ""))
    }

    /// Copies the batch to where its backend can use it.
    fn bring(&self, from: InFrom) -> Result<Live> {
        let started = Instant::now();
        let (tier, memory) = (self.parking.tier(), self.spiller.memory());
        let (source, bytes, live) = match from {
            InFrom::Host(on_host) => {
                let batch = self.parking.unpark(&on_host.parked)?;
                let live = Live { batch, held: None };
                (on_host.parked.tier, on_host.parked.bytes(), live)
            }
            InFrom::Disk(on_disk) => {
                let bytes = on_disk.written.bytes();
                // Room on the device first: what is moved away for it needs the host, too.
                let room = memory.reserve_with_spilling(tier, self.bytes)?;
                let staged = match tier {
                    Tier::Host => None,
                    _ => Some(memory.reserve_with_spilling(Tier::Host, bytes)?),
                };
                let parked = ParkedBatch {
                    sections: on_disk.written.read()?,
                    tier: Tier::Host,
                    ..on_disk.parked.clone()
                };
                // A batch on the host stays counted by `room`; a device reserves for itself.
                let held = Some(room).filter(|_| staged.is_none());
                let batch = self.parking.unpark(&parked)?;
                (Tier::Disk, bytes, Live { batch, held })
            }
        };
        self.spiller.record(source, tier, bytes, started.elapsed());
        Ok(live)
    }

    /// Moves the batch one tier down, unless it is in use or moving already. Gives the bytes that
    /// came free in the tier where it was.
    ///
    /// # Errors
    /// `Reservation` if the lower tiers have no room, `Io`, and those of the backend; the batch
    /// stays where it is.
    pub(super) fn move_out(&self) -> Result<u64> {
        let Some(out) = self.lock().start_out() else {
            return Ok(0);
        };
        let source = match &out.from {
            OutFrom::Live(_) => self.parking.tier(),
            OutFrom::Host(on_host) => on_host.parked.tier,
        };
        let _flight = self.spiller.flight(source);
        let started = Instant::now();
        let mut moving = Moving {
            stored: self,
            version: out.version(),
            place: None,
            done: false,
        };
        let (place, target, bytes) = self.copy_out(&out)?;
        moving.place = Some(place);
        let freed = match &out.from {
            OutFrom::Live(_) => self.bytes,
            OutFrom::Host(_) => bytes,
        };
        drop(out);
        if !moving.finish() {
            return Ok(0);
        }
        self.spiller
            .record(source, target, bytes, started.elapsed());
        Ok(freed)
    }

    /// The batch's new place, its tier, and how many bytes went there.
    fn copy_out(&self, out: &Out) -> Result<(Place, Tier, u64)> {
        let on_disk = |parked: &ParkedBatch| {
            let written = self.spiller.write(&parked.sections, self.class())?;
            let bytes = written.bytes();
            let parked = ParkedBatch {
                sections: Vec::new(),
                ..parked.clone()
            };
            let place = Place::Disk(Arc::new(OnDisk { parked, written }));
            Ok((place, Tier::Disk, bytes))
        };
        let batch = match &out.from {
            OutFrom::Host(on_host) => return on_disk(&on_host.parked),
            OutFrom::Live(batch) => batch,
        };
        if self.parking.tier() == Tier::Host {
            return on_disk(&self.park(batch)?);
        }
        if let Some(parked) = self.park_pinned(batch)? {
            let bytes = parked.bytes();
            let on_host = OnHost {
                parked,
                _held: Vec::new(),
            };
            return Ok((Place::Host(Arc::new(on_host)), Tier::Pinned, bytes));
        }
        let memory = self.spiller.memory();
        let mut held = memory.reserve_with_spilling(Tier::Host, self.bytes)?;
        let parked = self.park(batch)?;
        let bytes = parked.bytes();
        held.shrink_to(bytes);
        let mut held = vec![held];
        if bytes > self.bytes {
            held.push(memory.reserve_with_spilling(Tier::Host, bytes - self.bytes)?);
        }
        let on_host = OnHost {
            parked,
            _held: held,
        };
        Ok((Place::Host(Arc::new(on_host)), Tier::Host, bytes))
    }

    fn park(&self, batch: &Batch) -> Result<ParkedBatch> {
        let _guard = ParksGuard::enter();
        self.parking.park(batch)
    }

    fn park_pinned(&self, batch: &Batch) -> Result<Option<ParkedBatch>> {
        let _guard = ParksGuard::enter();
        self.parking.park_pinned(batch)
    }

    /// Puts the batch into the list of a tier; called under the batch's lock, so that list and
    /// batch agree.
    fn list(&self, tier: Option<Tier>) {
        self.spiller.list(self.key, tier);
    }
}

impl Drop for StoredBatch {
    fn drop(&mut self) {
        self.list(None);
    }
}

/// A move to a lower tier that ends however the copy ends.
struct Moving<'a> {
    stored: &'a StoredBatch,
    version: u64,
    place: Option<Place>,
    done: bool,
}

impl Moving<'_> {
    fn finish(&mut self) -> bool {
        if std::mem::replace(&mut self.done, true) {
            return false;
        }
        let mut residence = self.stored.lock();
        let (moved, dropped) = residence.finish_out(self.version, self.place.take());
        if moved {
            let tier = residence.tier(self.stored.parking.tier());
            self.stored.list(tier);
        }
        drop(residence);
        drop(dropped);
        moved
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A batch that is being brought back, which ends however the copy ends.
struct Bringing<'a> {
    stored: &'a StoredBatch,
    take: bool,
    live: Option<Live>,
    done: bool,
}

impl Bringing<'_> {
    fn finish(&mut self) -> Option<Live> {
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        let mut residence = self.stored.lock();
        let (live, dropped) = residence.finish_in(self.live.take(), self.take);
        if live.is_some() {
            let tier = residence.tier(self.stored.parking.tier());
            self.stored.list(tier);
        }
        drop(residence);
        self.stored.came_back.notify_all();
        drop(dropped);
        live
    }
}

impl Drop for Bringing<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
