//! Permission to allocate: no allocation of a tier without a [`Reservation`].
//!
//! How a reservation waits for others is in `waiting`, what is given up for it in `reclaim`, and what is
//! moved away for it in `spill`.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::{Arc, PoisonError, Weak};

use super::clock::{Clock, SystemClock};
use super::reclaim::Holders;
use super::spill::SpillManager;
use super::sync::{AtomicU64, Ordering, RwLock};
pub use super::tier::Tier;
use super::waiting::Waiters;
use crate::error::{Error, ErrorKind, Result};

/// The limit of each tier, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Device memory.
    pub device: u64,
    /// Pinned host memory.
    pub pinned: u64,
    /// Host memory.
    pub host: u64,
    /// Spill files.
    pub disk: u64,
}

impl MemoryLimits {
    /// No limit anywhere.
    pub const UNLIMITED: MemoryLimits = MemoryLimits {
        device: u64::MAX,
        pinned: u64::MAX,
        host: u64::MAX,
        disk: u64::MAX,
    };

    /// The limit of one tier.
    pub fn of(&self, tier: Tier) -> u64 {
        match tier {
            Tier::Device => self.device,
            Tier::Pinned => self.pinned,
            Tier::Host => self.host,
            Tier::Disk => self.disk,
        }
    }
}

#[derive(Debug)]
struct TierUse {
    used: AtomicU64,
    peak: AtomicU64,
    /// The peak since somebody last wanted it to begin anew.
    recent_peak: AtomicU64,
    /// Of `used`, what was granted beyond the spill limit.
    overbooked: AtomicU64,
    spill_limit: AtomicU64,
    refusals: Refusals,
}

/// Reservations that are refused although there is room, by their number: a simulator for tests.
#[derive(Debug, Default)]
struct Refusals {
    from: AtomicU64,
    /// 0: none is.
    until: AtomicU64,
    asked: AtomicU64,
}

impl Refusals {
    fn refuse(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        (self.from.load(Ordering::Relaxed)..until).contains(&number)
    }
}

impl TierUse {
    fn new(limit: u64) -> Self {
        TierUse {
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            recent_peak: AtomicU64::new(0),
            overbooked: AtomicU64::new(0),
            spill_limit: AtomicU64::new(limit),
            refusals: Refusals::default(),
        }
    }
}

/// Counts what each tier holds and refuses what would pass a limit. Shared by all of an engine.
///
/// ```
/// use pelton::memory::{MemoryLimits, MemoryManager, Tier};
/// let memory = MemoryManager::new(MemoryLimits { device: 100, ..MemoryLimits::UNLIMITED });
/// let held = memory.reserve(Tier::Device, 60).unwrap();
/// assert!(memory.reserve(Tier::Device, 60).is_err());
/// drop(held);
/// assert!(memory.reserve(Tier::Device, 60).is_ok());
/// ```
#[derive(Debug)]
pub struct MemoryManager {
    limits: MemoryLimits,
    tiers: [TierUse; 4],
    pub(super) waiters: Waiters,
    pub(super) clock: Arc<dyn Clock>,
    spiller: RwLock<Weak<SpillManager>>,
    pub(super) holders: Holders,
}

impl MemoryManager {
    /// A manager with nothing in use.
    pub fn new(limits: MemoryLimits) -> Arc<Self> {
        MemoryManager::with_clock(limits, Arc::new(SystemClock::new()))
    }

    /// A manager whose waits end by another clock.
    pub fn with_clock(limits: MemoryLimits, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(MemoryManager {
            limits,
            tiers: Tier::ALL.map(|tier| TierUse::new(limits.of(tier))),
            waiters: Waiters::default(),
            clock,
            spiller: RwLock::default(),
            holders: Holders::default(),
        })
    }

    /// Who moves batches away when memory is short; the last one set.
    pub(super) fn set_spiller(&self, spiller: Weak<SpillManager>) {
        *self.spiller.write().unwrap_or_else(PoisonError::into_inner) = spiller;
    }

    pub(super) fn spiller(&self) -> Option<Arc<SpillManager>> {
        let spiller = self.spiller.read().unwrap_or_else(PoisonError::into_inner);
        spiller.upgrade()
    }

    /// From which use on device and host memory are spilled, in bytes; at most the tier's limit,
    /// which is also where they start. [`MemoryManager::reserve_or_wait`] stays below it unless it
    /// overbooks.
    pub fn set_spill_limits(&self, device: u64, host: u64) {
        for (tier, bytes) in [(Tier::Device, device), (Tier::Host, host)] {
            let limit = bytes.min(self.limits.of(tier));
            self.tier(tier).spill_limit.store(limit, Ordering::Relaxed);
        }
        self.serve_waiters(false);
    }

    /// From which use on a tier is spilled, in bytes.
    pub fn spill_limit(&self, tier: Tier) -> u64 {
        self.tier(tier).spill_limit.load(Ordering::Relaxed)
    }

    /// Bytes in use that were granted beyond the spill limit, because nobody made progress.
    pub fn overbooked(&self, tier: Tier) -> u64 {
        self.tier(tier).overbooked.load(Ordering::Relaxed)
    }

    fn tier(&self, tier: Tier) -> &TierUse {
        &self.tiers[tier as usize]
    }

    /// The limits.
    pub fn limits(&self) -> MemoryLimits {
        self.limits
    }

    /// Bytes reserved in a tier now.
    pub fn used(&self, tier: Tier) -> u64 {
        self.tier(tier).used.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever reserved in a tier at one time.
    pub fn peak(&self, tier: Tier) -> u64 {
        self.tier(tier).peak.load(Ordering::Relaxed)
    }

    /// Lets recent peaks begin anew, from what is reserved now.
    pub fn begin_recent_peaks(&self) {
        for tier in &self.tiers {
            let used = tier.used.load(Ordering::Relaxed);
            tier.recent_peak.store(used, Ordering::Relaxed);
        }
    }

    /// The most bytes that were reserved in a tier at one time since recent peaks last began anew.
    pub fn recent_peak(&self, tier: Tier) -> u64 {
        self.tier(tier).recent_peak.load(Ordering::Relaxed)
    }

    /// Reserves bytes of a tier until the reservation is dropped. Memory that is held only because it
    /// may be of use again makes room for them.
    ///
    /// # Errors
    /// `Reservation` if the tier's limit would be passed all the same.
    pub fn reserve(self: &Arc<Self>, tier: Tier, bytes: u64) -> Result<Reservation> {
        let limit = self.limits.of(tier);
        match self.count_or_reclaim(tier, bytes, limit) {
            Ok(()) => Ok(self.counted(tier, bytes, false)),
            Err(used) => Err(refused(tier, bytes, used, limit)),
        }
    }

    /// Refuses the reservations of a tier that have these numbers, counted from 0 from now on, as if it
    /// were full: for tests of what fails. An empty range refuses none.
    #[doc(hidden)]
    pub fn refuse(&self, tier: Tier, numbers: Range<u64>) {
        let refusals = &self.tier(tier).refusals;
        refusals.until.store(0, Ordering::Relaxed);
        refusals.asked.store(0, Ordering::Relaxed);
        refusals.from.store(numbers.start, Ordering::Relaxed);
        refusals.until.store(numbers.end, Ordering::Relaxed);
    }

    /// Reservations of a tier that were asked for since [`MemoryManager::refuse`].
    #[doc(hidden)]
    pub fn asked(&self, tier: Tier) -> u64 {
        self.tier(tier).refusals.asked.load(Ordering::Relaxed)
    }

    /// As `count`, after others gave back what they hold for later.
    pub(super) fn count_or_reclaim(&self, tier: Tier, bytes: u64, limit: u64) -> Result<(), u64> {
        loop {
            let counted = self.count(tier, bytes, limit);
            let Err(used) = counted else {
                return counted;
            };
            let missing = used.saturating_add(bytes).saturating_sub(limit);
            if bytes > limit || self.reclaim(tier, missing) == 0 {
                return counted;
            }
        }
    }

    /// Counts bytes as used if that stays within `limit`, else says how many are used.
    pub(super) fn count(&self, tier: Tier, bytes: u64, limit: u64) -> Result<(), u64> {
        if self.tier(tier).refusals.refuse() {
            return Err(self.used(tier));
        }
        // Sequentially consistent together with `give_back`: a release and a wait that begins
        // cannot miss each other.
        let before =
            self.tier(tier)
                .used
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                    used.checked_add(bytes).filter(|after| *after <= limit)
                })?;
        let TierUse {
            peak, recent_peak, ..
        } = self.tier(tier);
        peak.fetch_max(before + bytes, Ordering::Relaxed);
        recent_peak.fetch_max(before + bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The reservation of bytes that are counted already.
    pub(super) fn counted(
        self: &Arc<Self>,
        tier: Tier,
        bytes: u64,
        overbooked: bool,
    ) -> Reservation {
        if overbooked {
            let counter = &self.tier(tier).overbooked;
            counter.fetch_add(bytes, Ordering::Relaxed);
        }
        Reservation {
            manager: Arc::clone(self),
            tier,
            bytes,
            overbooked,
        }
    }

    /// Counts bytes as free again and lets the waiting have them.
    pub(super) fn give_back(&self, tier: Tier, bytes: u64) {
        self.tier(tier).used.fetch_sub(bytes, Ordering::SeqCst);
        if bytes > 0 {
            self.serve_waiters(true);
        }
    }
}

/// The error of a reservation that does not fit.
pub(super) fn refused(tier: Tier, needed: u64, used: u64, limit: u64) -> Error {
    Error::new(ErrorKind::Reservation {
        tier,
        needed,
        used,
        limit,
    })
}

/// Bytes of a tier that are this holder's until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    manager: Arc<MemoryManager>,
    tier: Tier,
    bytes: u64,
    overbooked: bool,
}

impl Reservation {
    /// The tier.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it was granted beyond the spill limit, because nobody made progress.
    pub fn is_overbooked(&self) -> bool {
        self.overbooked
    }

    /// Gives back all but `bytes`, if there are more.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.release(surplus);
    }

    fn release(&self, bytes: u64) {
        if self.overbooked {
            let counter = &self.manager.tier(self.tier).overbooked;
            counter.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.manager.give_back(self.tier, bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}
