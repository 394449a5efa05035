//! Pinned memory that holds bytes for long: what the device copied there is copied back from there.
//!
//! Slabs are filled one behind the other, by whoever comes: a slab has bytes of several holders, and
//! goes back to its pool with the last of them. They are counted by whole slabs, as all pinned memory.

use std::sync::{Arc, Mutex, PoisonError};

use super::pinned::{PinnedPool, PinnedSlab, SLAB_BYTES, Slabs};
use crate::memory::Tier;

/// At most this part of the tier's limit holds bytes for long: the rest is for copies.
const KEPT_SHARE: u64 = 2;

/// Slabs that are left to copies in any case, one for each of some threads: without one they fail.
const COPYING_SLABS_MIN: u64 = 8;

/// Where kept bytes begin: as device memory does.
const KEPT_ALIGNMENT: usize = 64;

/// A slab that holds bytes for long.
#[derive(Debug)]
pub(super) struct KeptSlab {
    slab: Option<PinnedSlab>,
    home: Arc<Mutex<Slabs>>,
}

impl Drop for KeptSlab {
    fn drop(&mut self) {
        let mut slabs = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        slabs.kept -= 1;
        slabs.idle.extend(self.slab.take());
    }
}

/// Bytes of pinned memory that are this holder's alone until it is dropped.
#[derive(Debug)]
pub struct KeptBytes {
    slab: Arc<KeptSlab>,
    start: usize,
    bytes: usize,
}

impl KeptBytes {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn pointer(&self) -> *const u8 {
        let slab = self.slab.slab.as_ref();
        slab.map_or(std::ptr::dangling(), |slab| {
            slab.as_ptr().wrapping_add(self.start)
        })
    }
}

impl AsRef<[u8]> for KeptBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: a slab is there until `KeptSlab` is dropped, initialised for `SLAB_BYTES`
        // (`PinnedPool::allocate`), and `PinnedPool::keep` gives each byte of it to one holder.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.bytes) }
    }
}

impl AsMut<[u8]> for KeptBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `as_ref`; `&mut self` is the only way to these bytes, and the slab's pointer is
        // one to write to.
        unsafe { std::slice::from_raw_parts_mut(self.pointer().cast_mut(), self.bytes) }
    }
}

impl PinnedPool {
    /// Whether so many bytes may be kept, as far as the limit goes.
    pub fn may_keep(&self, bytes: u64) -> bool {
        let slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.kept_max().saturating_sub(slabs.kept);
        let open = match &slabs.open {
            Some((open, filled)) if open.strong_count() > 0 => SLAB_BYTES - *filled,
            _ => 0,
        };
        bytes
            <= left
                .saturating_mul(SLAB_BYTES as u64)
                .saturating_add(open as u64)
    }

    /// Slabs that may be kept; none where slabs are pageable, which are no better than other memory.
    fn kept_max(&self) -> u64 {
        if !self.options.pinned {
            return 0;
        }
        let slabs = self.memory.limits().of(Tier::Pinned) / SLAB_BYTES as u64;
        (slabs / KEPT_SHARE).min(slabs.saturating_sub(COPYING_SLABS_MIN))
    }

    /// Pinned memory for so many bytes, in pieces whose sizes but for the last are multiples of 64;
    /// nothing if there is no room for all of them, or the driver refuses. The bytes are anything.
    pub fn keep(&self, bytes: u64) -> Option<Vec<KeptBytes>> {
        let mut left = usize::try_from(bytes).ok()?;
        let mut pieces = Vec::new();
        while left > 0 {
            let piece = match self.keep_in_open(left) {
                Some(piece) => piece,
                None => self.keep_in_new(left)?,
            };
            left -= piece.bytes;
            pieces.push(piece);
        }
        Some(pieces)
    }

    /// At most `wanted` bytes of the slab that has room.
    fn keep_in_open(&self, wanted: usize) -> Option<KeptBytes> {
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, filled) = slabs.open.as_mut()?;
        let bytes = wanted.min(SLAB_BYTES - *filled);
        if bytes == 0 {
            return None;
        }
        // What is upgraded leaves here: dropping it would take the lock again.
        let slab = open.upgrade()?;
        let start = *filled;
        *filled = (start + bytes).next_multiple_of(KEPT_ALIGNMENT);
        Some(KeptBytes { slab, start, bytes })
    }

    /// At most `wanted` bytes of a slab that nobody else has yet.
    fn keep_in_new(&self, wanted: usize) -> Option<KeptBytes> {
        let idle = {
            let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
            if slabs.kept >= self.kept_max() {
                return None;
            }
            slabs.kept += 1;
            slabs.idle.pop()
        };
        // From here on it is `KeptSlab` that counts one less, if no memory is left, too.
        let mut kept = KeptSlab {
            slab: idle,
            home: Arc::clone(&self.slabs),
        };
        if kept.slab.is_none() {
            kept.slab = Some(self.allocate().ok()?);
        }
        let slab = Arc::new(kept);
        let bytes = wanted.min(SLAB_BYTES);
        let filled = bytes.next_multiple_of(KEPT_ALIGNMENT);
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        let fullest = match &slabs.open {
            Some((open, filled)) if open.strong_count() > 0 => *filled,
            _ => SLAB_BYTES,
        };
        if filled < fullest {
            slabs.open = Some((Arc::downgrade(&slab), filled));
        }
        drop(slabs);
        Some(KeptBytes {
            slab,
            start: 0,
            bytes,
        })
    }
}

#[cfg(all(test, feature = "simt"))]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::device::simt::{SimtDriver, SimtOptions};
    use crate::memory::{MemoryLimits, MemoryManager};

    const SLAB: u64 = SLAB_BYTES as u64;

    fn device(pinned: u64) -> Arc<Device> {
        let limits = MemoryLimits {
            pinned,
            ..MemoryLimits::UNLIMITED
        };
        let driver = Arc::new(SimtDriver::new(SimtOptions::default()));
        Device::new(driver, MemoryManager::new(limits))
    }

    #[test]
    fn slabs_are_shared_and_go_back_with_their_last_holder() {
        let device = device((COPYING_SLABS_MIN + 2) * SLAB);
        let (pool, memory) = (device.pinned(), device.memory());
        let mut first = pool.keep(100).unwrap_or_default();
        let mut second = pool.keep(SLAB).unwrap_or_default();
        assert_eq!((first.len(), second.len()), (1, 2), "the second is cut");
        assert_eq!(memory.used(Tier::Pinned), 2 * SLAB);
        for (piece, byte) in first.iter_mut().chain(&mut second).zip(1..) {
            piece.as_mut().fill(byte);
        }
        for (piece, byte) in first.iter().chain(&second).zip(1u8..) {
            assert!(piece.as_ref().iter().all(|found| *found == byte));
        }
        assert!(!pool.may_keep(SLAB), "but for the end of the last slab");
        assert!(pool.keep(SLAB).is_none());
        drop(second);
        assert!(pool.may_keep(SLAB), "one slab is free again");
        assert!(!pool.may_keep(SLAB + 1));
        drop(first);
        assert!(pool.may_keep(2 * SLAB));
        assert_eq!(memory.used(Tier::Pinned), 2 * SLAB, "idle, for who is next");
        let again = pool.keep(2 * SLAB);
        assert_eq!(again.map(|pieces| pieces.len()), Some(2));
        assert_eq!(memory.used(Tier::Pinned), 2 * SLAB);
    }

    #[test]
    fn what_cannot_be_kept_whole_is_not_kept() {
        let device = device((COPYING_SLABS_MIN + 1) * SLAB);
        let (pool, memory) = (device.pinned(), device.memory());
        assert!(pool.keep(SLAB + 1).is_none());
        assert!(pool.may_keep(SLAB), "the first slab was given back");
        let ring: Vec<_> = (0..=COPYING_SLABS_MIN).map(|_| pool.take()).collect();
        assert!(ring.iter().all(Result::is_ok));
        assert!(pool.keep(1).is_none(), "copies have all there is");
        assert!(pool.may_keep(1), "and nothing is counted as kept");
        let all = memory.limits().of(Tier::Pinned);
        assert_eq!(memory.used(Tier::Pinned), all);
    }

    #[test]
    fn who_finds_all_slabs_held_waits_for_one() {
        let device = device(SLAB);
        let pool = device.pinned();
        let held = pool.take();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.take().is_ok());
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            held.into_iter().for_each(|slab| pool.put_back(slab));
            assert!(waiting.join().is_ok_and(|taken| taken));
        });
        let held = pool.take();
        assert!(
            held.is_ok_and(|_held| pool.take().is_err()),
            "in the end it fails"
        );
    }
}
