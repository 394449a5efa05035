//! Memory that is held only because it may be of use again: it goes before anything is spilled, and
//! before a reservation waits or fails.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use super::reservation::{MemoryManager, Tier};
use super::sync::RwLock;

/// Holds memory that nobody needs, such as a cache.
pub trait Reclaim: Send + Sync + fmt::Debug {
    /// Bytes of a tier that it holds.
    fn held(&self, tier: Tier) -> u64;

    /// Gives back bytes of a tier, what is least likely to be of use first, until so many came free or
    /// none is left; says how many came free. Called from within reservations: takes no lock of anybody
    /// who may reserve under it.
    fn reclaim(&self, tier: Tier, bytes: u64) -> u64;
}

/// Everybody who holds such memory.
#[derive(Debug, Default)]
pub(super) struct Holders(RwLock<Vec<Weak<dyn Reclaim>>>);

impl Holders {
    fn all(&self) -> Vec<Arc<dyn Reclaim>> {
        let holders = self.0.read().unwrap_or_else(PoisonError::into_inner);
        holders.iter().filter_map(Weak::upgrade).collect()
    }
}

impl MemoryManager {
    /// Asks this holder, as long as it lives, to give memory back when it is short.
    pub fn add_reclaimable(&self, holder: &Arc<dyn Reclaim>) {
        let mut holders = self
            .holders
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(Arc::downgrade(holder));
    }

    /// Bytes in use of a tier that are held only because they may be of use again.
    pub fn reclaimable(&self, tier: Tier) -> u64 {
        let holders = self.holders.all();
        holders.iter().map(|holder| holder.held(tier)).sum()
    }

    /// Takes back such bytes until so many came free or none is left; says how many came free.
    pub fn reclaim(&self, tier: Tier, bytes: u64) -> u64 {
        let mut freed = 0u64;
        for holder in self.holders.all() {
            if freed < bytes {
                freed += holder.reclaim(tier, bytes - freed);
            }
        }
        freed
    }
}
