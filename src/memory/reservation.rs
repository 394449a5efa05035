//! Permission to allocate: no allocation of a tier without a [`Reservation`].

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Device => "device",
            Tier::Pinned => "pinned",
            Tier::Host => "host",
            Tier::Disk => "disk",
        })
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

#[derive(Debug, Default)]
struct TierUse {
    used: AtomicU64,
    peak: AtomicU64,
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
}

impl MemoryManager {
    /// A manager with nothing in use.
    pub fn new(limits: MemoryLimits) -> Arc<Self> {
        Arc::new(MemoryManager {
            limits,
            tiers: Default::default(),
        })
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

    /// Reserves bytes of a tier until the reservation is dropped.
    ///
    /// # Errors
    /// `Reservation` if the tier's limit would be passed.
    pub fn reserve(self: &Arc<Self>, tier: Tier, bytes: u64) -> Result<Reservation> {
        let limit = self.limits.of(tier);
        let counter = &self.tier(tier).used;
        let before = counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|after| *after <= limit)
            })
            .map_err(|used| {
                Error::new(ErrorKind::Reservation {
                    tier,
                    needed: bytes,
                    used,
                    limit,
                })
            })?;
        self.tier(tier)
            .peak
            .fetch_max(before + bytes, Ordering::Relaxed);
        Ok(Reservation {
            manager: Arc::clone(self),
            tier,
            bytes,
        })
    }
}

/// Bytes of a tier that are this holder's until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    manager: Arc<MemoryManager>,
    tier: Tier,
    bytes: u64,
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
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.manager
            .tier(self.tier)
            .used
            .fetch_sub(self.bytes, Ordering::Relaxed);
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
