//! Moves stored batches to lower tiers when memory is short: device to host, host to disk.
//!
//! On the host a batch lies in pinned memory where its backend has room there, and stays until it is
//! wanted: it is in nobody's way, for what others need of pinned memory is never given to batches.
//!
//! Batches are spilled when a tier is over its spill limit (by a thread that looks every
//! `check_every`, or where batches are stored), and when somebody needs memory now. What is moved
//! and how is in `stored` and `residence`, where bytes go in `segments` and `files`.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::batch::Batch;
use super::files::Files;
use super::flights::{Flight, Flights};
use super::parking::Parking;
use super::reservation::{MemoryManager, Reservation, Tier};
use super::segments::{Segments, Written};
use super::stored::{SpillClass, StoredBatch, thread_parks};
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use super::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Metrics;

/// Batches that may fail to move in one [`SpillManager::spill`] before it gives up: one batch that
/// cannot be moved must not keep the others, a full disk must not be tried for all.
const FAILURES_MAX: usize = 3;

/// The order in which batches are spilled: by class, within it the one stored last first.
pub(super) type Key = (SpillClass, Reverse<u64>);

/// How to spill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillOptions {
    /// Where spill files are made; the system's folder for temporary files if nothing.
    pub folder: Option<PathBuf>,
    /// Whether anything is spilled at all.
    pub enabled: bool,
    /// How often a thread looks whether a tier is over its spill limit (`periodic_spill_check`).
    /// Without it, [`SpillManager::store`] looks.
    pub check_every: Option<Duration>,
}

impl Default for SpillOptions {
    fn default() -> Self {
        SpillOptions {
            folder: None,
            enabled: true,
            check_every: Some(Duration::from_millis(1)),
        }
    }
}

/// What was moved from one tier to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Batches.
    pub batches: u64,
    /// Bytes.
    pub bytes: u64,
    /// Time that the moves took, added up over threads.
    pub time: Duration,
}

/// What a spill manager has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpillStatistics {
    /// By tier from which and tier to which; only pairs with moves.
    pub moved: BTreeMap<(Tier, Tier), Moved>,
    /// Moves to lower tiers that failed.
    pub failures: u64,
}

/// Stored batches by the tier that they are in.
type Lists = [BTreeMap<Key, Weak<StoredBatch>>; 4];

/// Moves stored batches between tiers; one per engine. What it stores holds on to it.
///
/// ```
/// use arrow::array::{Int64Array, RecordBatch};
/// use pelton::memory::{
///     Batch, DiskFiles, HostParking, MemoryLimits, MemoryManager, SpillClass, SpillManager,
///     SpillOptions, Tier,
/// };
/// use std::sync::Arc;
/// # fn main() -> pelton::Result<()> {
/// let memory = MemoryManager::new(MemoryLimits { host: 1 << 20, ..MemoryLimits::UNLIMITED });
/// let options = SpillOptions { check_every: None, ..SpillOptions::default() };
/// let spiller = SpillManager::new(&memory, options, Arc::new(DiskFiles));
/// let column: Vec<i64> = (0..1000).collect();
/// let rows = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(column)) as _)]).unwrap();
/// let stored = spiller.store(Batch::host(rows), Arc::new(HostParking), SpillClass::Build)?;
/// assert_eq!((stored.tier(), memory.used(Tier::Host)), (Tier::Host, 8000));
/// spiller.spill(Tier::Host, 1)?;
/// assert_eq!((stored.tier(), memory.used(Tier::Host)), (Tier::Disk, 0));
/// assert_eq!(stored.get()?.rows_max(), 1000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpillManager {
    memory: Arc<MemoryManager>,
    enabled: bool,
    segments: Segments,
    lists: Mutex<Lists>,
    stored_count: AtomicU64,
    flights: Flights,
    watch: Option<Watch>,
    statistics: Mutex<SpillStatistics>,
    /// Queries that want to know what is moved while they run.
    observers: Mutex<Vec<Weak<Metrics>>>,
}

impl SpillManager {
    /// A spill manager of this memory, which asks it when memory is short.
    pub fn new(
        memory: &Arc<MemoryManager>,
        options: SpillOptions,
        files: Arc<dyn Files>,
    ) -> Arc<SpillManager> {
        let spiller = Arc::new(SpillManager {
            memory: Arc::clone(memory),
            enabled: options.enabled,
            segments: Segments::new(memory, options.folder, files),
            lists: Mutex::default(),
            stored_count: AtomicU64::new(0),
            flights: Flights::default(),
            watch: options
                .check_every
                .filter(|_| options.enabled)
                .map(Watch::new),
            statistics: Mutex::default(),
            observers: Mutex::default(),
        });
        memory.set_spiller(Arc::downgrade(&spiller));
        spiller
    }

    /// Takes a batch into care. A batch in host memory is counted from here on; if there is no room
    /// for it even when others are spilled, it is itself written to disk. A batch that is wanted in
    /// several places is stored once and the [`StoredBatch`] shared: while somebody else holds a
    /// clone of the batch, to move it would free nothing, and it stays.
    ///
    /// # Errors
    /// `Reservation` if there is no room in host memory and none on disk either, or if nothing may be
    /// spilled.
    pub fn store(
        self: &Arc<Self>,
        batch: Batch,
        parking: Arc<dyn Parking>,
        class: SpillClass,
    ) -> Result<Arc<StoredBatch>> {
        let uncounted = parking.tier() == Tier::Host;
        let held = uncounted.then(|| {
            let bytes = parking.bytes(&batch);
            self.memory.reserve_with_spilling(Tier::Host, bytes)
        });
        match held.transpose() {
            Ok(held) => Ok(self.store_held(batch, held, parking, class)),
            Err(full) if !self.enabled => Err(full),
            Err(full) => {
                let stored = self.store_held(batch, None, parking, class);
                match self.move_out(&stored) {
                    Ok(_) => Ok(stored),
                    Err(cause) => {
                        Err(full.context(format!("the rows cannot be spilled either ({cause})")))
                    }
                }
            }
        }
    }

    /// Takes a batch into care, with the reservation of one that does not hold its own. That is
    /// given back when the batch leaves its tier.
    pub fn store_held(
        self: &Arc<Self>,
        batch: Batch,
        held: Option<Reservation>,
        parking: Arc<dyn Parking>,
        class: SpillClass,
    ) -> Arc<StoredBatch> {
        let number = self.stored_count.fetch_add(1, Ordering::Relaxed);
        let (key, tier) = ((class, Reverse(number)), parking.tier());
        let stored = Arc::new(StoredBatch::new(self, batch, held, parking, key));
        self.lock()[tier as usize].insert(key, Arc::downgrade(&stored));
        match &self.watch {
            Some(watch) => watch.batch_stored(self),
            // What cannot be spilled stays; the failure is counted.
            None => drop(self.balance()),
        }
        stored
    }

    /// Frees memory of a tier (`Device` or `Host`) until so many bytes came free there, or nothing is left
    /// that can be freed: first what is held only for later goes, then batches are moved away. Says how
    /// many bytes came free.
    ///
    /// # Errors
    /// The first failure, if nothing came free.
    pub fn spill(&self, tier: Tier, bytes: u64) -> Result<u64> {
        let reclaimed = self.memory.reclaim(tier, bytes);
        if reclaimed >= bytes {
            return Ok(reclaimed);
        }
        let freed = self.move_down(tier, bytes - reclaimed);
        let excess = self.memory.shortfall(Tier::Host);
        if tier == Tier::Device && excess > 0 && freed.as_ref().is_ok_and(|freed| *freed > 0) {
            // The device has its memory; what the host cannot hand on is counted as a failure.
            let _ = self.move_down(Tier::Host, excess);
        }
        match freed {
            Err(_) if reclaimed > 0 => Ok(reclaimed),
            freed => freed.map(|freed| freed + reclaimed),
        }
    }

    fn move_down(&self, tier: Tier, bytes: u64) -> Result<u64> {
        let (mut freed, mut after, mut failures) = (0u64, None, Vec::new());
        let has_lower = matches!(tier, Tier::Device | Tier::Host);
        let wanted = if self.enabled && has_lower { bytes } else { 0 };
        while freed < wanted && failures.len() < FAILURES_MAX {
            let Some((key, stored)) = self.candidate(tier, after) else {
                break;
            };
            after = Some(key);
            match self.move_out(&stored) {
                Ok(bytes) => freed += bytes,
                Err(error) => failures.push(error),
            }
        }
        match failures.into_iter().next() {
            Some(error) if freed == 0 => Err(error),
            _ => Ok(freed),
        }
    }

    fn move_out(&self, stored: &StoredBatch) -> Result<u64> {
        let moved = stored.move_out();
        if moved.is_err() {
            self.statistics_mut().failures += 1;
        }
        moved
    }

    /// Spills what is over the spill limits, or stands in the way of those who wait.
    ///
    /// # Errors
    /// As [`SpillManager::spill`].
    pub(super) fn balance(&self) -> Result<u64> {
        let mut freed = 0;
        for tier in [Tier::Device, Tier::Host] {
            let shortfall = self.memory.shortfall(tier);
            if shortfall > 0 {
                freed += self.spill(tier, shortfall)?;
            }
        }
        Ok(freed)
    }

    /// What was moved so far.
    pub fn statistics(&self) -> SpillStatistics {
        self.statistics_mut().clone()
    }

    fn statistics_mut(&self) -> MutexGuard<'_, SpillStatistics> {
        let statistics = self.statistics.lock();
        statistics.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch of a tier in the order of spilling.
    fn candidate(&self, tier: Tier, after: Option<Key>) -> Option<(Key, Arc<StoredBatch>)> {
        let lists = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = lists[tier as usize].range((from, Bound::Unbounded));
        // At most one is upgraded, and outlives the lock: dropping it may take the lock.
        entries.find_map(|(key, stored)| Some((*key, stored.upgrade()?)))
    }

    /// Whether there is no batch that could be spilled.
    pub(super) fn is_idle(&self) -> bool {
        let lists = self.lock();
        lists[Tier::Device as usize].is_empty() && lists[Tier::Host as usize].is_empty()
    }

    /// Puts a batch into the list of a tier, or of none.
    pub(super) fn list(&self, key: Key, tier: Option<Tier>) {
        let mut lists = self.lock();
        let entry = lists.iter_mut().find_map(|list| list.remove(&key));
        if let (Some(tier), Some(entry)) = (tier, entry) {
            lists[tier as usize].insert(key, entry);
        }
        drop(lists);
        if let (Some(watch), Some(_)) = (&self.watch, tier) {
            watch.batch_moved();
        }
    }

    /// The error of a tier that is full, with why nothing was moved away from it if nothing may be.
    pub(super) fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Reservation {
                tier: Tier::Device | Tier::Host,
                ..
            } if !self.enabled => error.context("spilling is off, and `spill=true` makes room"),
            _ => error,
        }
    }

    pub(super) fn memory(&self) -> &Arc<MemoryManager> {
        &self.memory
    }

    pub(super) fn write(&self, sections: &[Bytes], class: SpillClass) -> Result<Written> {
        self.segments.write(sections, class)
    }

    /// Tells a query of every batch that is moved while it runs, whichever query it is of.
    pub fn observe(&self, metrics: &Arc<Metrics>) {
        let mut observers = self.observers_mut();
        observers.retain(|known| known.strong_count() > 0);
        observers.push(Arc::downgrade(metrics));
    }

    fn observers_mut(&self) -> MutexGuard<'_, Vec<Weak<Metrics>>> {
        let observers = self.observers.lock();
        observers.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, from: Tier, to: Tier, bytes: u64, time: Duration) {
        tracing::debug!(
            from = from.name(),
            to = to.name(),
            bytes,
            ?time,
            "moved a batch"
        );
        for metrics in self.observers_mut().iter().filter_map(Weak::upgrade) {
            metrics.moved(from.name(), to.name(), bytes, time);
        }
        let mut statistics = self.statistics_mut();
        let moved = statistics.moved.entry((from, to)).or_default();
        moved.batches += 1;
        moved.bytes += bytes;
        moved.time += time;
    }

    pub(super) fn flight(&self, from: Tier) -> Flight<'_> {
        self.flights.start(from)
    }
}

impl MemoryManager {
    /// Reserves bytes of a tier within its limit; if they do not fit, moves stored batches away
    /// and tries again. For those who allocate and cannot wait: it waits for copies, never for
    /// others to finish their work.
    ///
    /// To be called without any lock that a backend's [`Parking`] takes. Within
    /// [`Parking::park`] it is [`MemoryManager::reserve`]: to move one batch away, no other is.
    ///
    /// # Errors
    /// `Reservation` if the bytes do not fit after all, with what kept batches from being moved.
    pub fn reserve_with_spilling(self: &Arc<Self>, tier: Tier, bytes: u64) -> Result<Reservation> {
        loop {
            let spiller = self.spiller();
            let landed = spiller.as_ref().map(|spiller| spiller.flights.landed(tier));
            let error = match self.reserve(tier, bytes) {
                Ok(reservation) => return Ok(reservation),
                Err(error) => error,
            };
            let limit = self.limits().of(tier);
            let (Some(spiller), Some(landed)) = (spiller, landed) else {
                return Err(error);
            };
            if !spiller.enabled {
                return Err(spiller.explain(error));
            }
            if bytes > limit || thread_parks() {
                return Err(error);
            }
            let wanted = self.used(tier).saturating_add(bytes);
            match spiller.spill(tier, wanted.saturating_sub(limit).max(1)) {
                Ok(1..) => {}
                // Others may be moving the very batches that stand in the way.
                Ok(0) if spiller.flights.wait_landed(tier, landed) => {}
                Ok(0) => return Err(error),
                Err(cause) => {
                    return Err(error.context(format!("nothing could be spilled ({cause})")));
                }
            }
        }
    }
}
