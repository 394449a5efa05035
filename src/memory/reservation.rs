//! Permission to allocate: no allocation of a tier without a [`Reservation`].
//!
//! How a reservation waits for others is in `waiting`, what is given up for it in `reclaim`, and what is
//! moved away for it in `spill`.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use super::clock::{Clock, SystemClock};
use super::reclaim::Holders;
use super::spill::SpillManager;
use super::waiting::Waiters;
use crate::error::{Error, ErrorKind, Result};

/// Where bytes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Device memory.
    Device,
    /// Host memory that the device can copy from at full speed.
    Pinned,
    /// Ordinary host memory.
    Host,
    /// Spill files.
    Disk,
}

impl Tier {
    /// Every tier, fastest first.
    pub const ALL: [Tier; 4] = [Tier::Device, Tier::Pinned, Tier::Host, Tier::Disk];

    /// The option that sets the tier's limit.
    pub fn limit_option(self) -> &'static str {
        match self {
            Tier::Device => "device_memory_limit",
            Tier::Pinned => "pinned_memory_limit",
            Tier::Host => "host_memory_limit",
            Tier::Disk => "disk_limit",
        }
    }
}

impl Tier {
    /// Its name, as options and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Device => "device",
            Tier::Pinned => "pinned",
            Tier::Host => "host",
            Tier::Disk => "disk",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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
}

impl TierUse {
    fn new(limit: u64) -> Self {
        TierUse {
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            recent_peak: AtomicU64::new(0),
            overbooked: AtomicU64::new(0),
            spill_limit: AtomicU64::new(limit),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_the_limit_and_remembers_the_peak() -> Result<()> {
        let memory = MemoryManager::new(MemoryLimits {
            host: 10,
            ..MemoryLimits::UNLIMITED
        });
        let first = memory.reserve(Tier::Host, 6)?;
        let Err(error) = memory.reserve(Tier::Host, 5) else {
            return Err(Error::invalid("test", "the limit was passed", ""));
        };
        assert_eq!(
            *error.kind(),
            ErrorKind::Reservation {
                tier: Tier::Host,
                needed: 5,
                used: 6,
                limit: 10
            }
        );
        drop(first);
        assert_eq!((memory.used(Tier::Host), memory.peak(Tier::Host)), (0, 6));
        Ok(())
    }
}
