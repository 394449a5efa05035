//! Host memory that copies at full speed, in slabs that go round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::kept::KeptSlab;
use super::{Driver, EventHandle};
use crate::error::Result;
use crate::memory::{MemoryManager, Reservation, StreamHandle, Tier};

/// Bytes of one slab: 4 MiB slices keep the host link full (measured in docs/benchmarks.md).
pub(super) const SLAB_BYTES: usize = 4 << 20;

/// Between two questions whether a copy has passed; a copy of a slab takes about 80 µs.
const WAIT_STEP: Duration = Duration::from_micros(20);

/// How long somebody without pinned memory waits for what others hold; they hold it for a copy.
const HELD_MAX: Duration = Duration::from_secs(1);

/// Slabs that may be on their way to the device at one time; whoever needs another one waits for the
/// oldest. Slabs are kept until the pool goes.
const SLABS_KEPT: usize = 64;

/// What the slabs of a pool are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabOptions {
    /// Whether slabs are pinned. Those that are not are host memory, and counted as such; copies from
    /// and to them are slower, and hold up who asks for them.
    pub pinned: bool,
    /// Bytes of slabs, in whole ones, that are allocated with the pool.
    pub initial_bytes: u64,
}

impl Default for SlabOptions {
    /// Pinned, and allocated as they are needed.
    fn default() -> Self {
        SlabOptions {
            pinned: true,
            initial_bytes: 0,
        }
    }
}

impl SlabOptions {
    /// The tier that slabs are counted in.
    fn tier(self) -> Tier {
        if self.pinned {
            Tier::Pinned
        } else {
            Tier::Host
        }
    }
}

/// A piece of pinned memory, its holder's alone; of pageable memory, where the pool's options say so.
#[derive(Debug)]
pub struct PinnedSlab {
    driver: Arc<dyn Driver>,
    pointer: *mut u8,
    bytes: usize,
    reservation: Reservation,
}

// SAFETY: the slab owns its memory, as `PinnedPool::take` hands each pointer out once.
unsafe impl Send for PinnedSlab {}
// SAFETY: as above, and whoever shares a slab can only read it.
unsafe impl Sync for PinnedSlab {}

impl PinnedSlab {
    /// Its size in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes
    }

    /// Where it starts.
    pub fn as_ptr(&self) -> *const u8 {
        self.pointer
    }

    /// Where it starts, to write.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.pointer
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `pointer` is valid and initialised for `bytes` (`PinnedPool::allocate`).
        unsafe { std::slice::from_raw_parts(self.pointer, self.bytes) }
    }

    /// Its bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `pointer` is valid and initialised for `bytes` (`PinnedPool::allocate`), and
        // `&mut self` is the only holder.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.bytes) }
    }
}

impl Drop for PinnedSlab {
    fn drop(&mut self) {
        if self.reservation.tier() == Tier::Pinned {
            // SAFETY: `pointer` came from `pinned_alloc` of the same size, and `PinnedPool` drops a
            // slab only after the event behind its last copy.
            unsafe { self.driver.pinned_free(self.pointer, self.bytes) };
        } else {
            let slice = std::ptr::slice_from_raw_parts_mut(self.pointer, self.bytes);
            // SAFETY: `PinnedPool::allocate` took the slice out of a box, and `PinnedPool` drops a
            // slab only after the event behind its last copy.
            drop(unsafe { Box::from_raw(slice) });
        }
    }
}

/// Slabs that nobody holds, and how many are kept.
#[derive(Debug, Default)]
pub(super) struct Slabs {
    /// Slabs whose copy was under way when somebody last looked, the oldest first.
    in_flight: VecDeque<(EventHandle, PinnedSlab)>,
    /// Slabs that no copy uses, the last one used at the end: it is the likeliest to be in a cache,
    /// and filling it then is twice as fast.
    pub(super) idle: Vec<PinnedSlab>,
    /// Slabs that hold bytes for long.
    pub(super) kept: u64,
    /// The one of them that has room, and from which byte on.
    pub(super) open: Option<(Weak<KeptSlab>, usize)>,
}

/// A ring of slabs: taken, filled, copied, and taken again once the copy has passed. Others hold bytes
/// for long ([`PinnedPool::keep`]).
#[derive(Debug)]
pub struct PinnedPool {
    driver: Arc<dyn Driver>,
    pub(super) memory: Arc<MemoryManager>,
    pub(super) options: SlabOptions,
    pub(super) slabs: Arc<Mutex<Slabs>>,
}

impl PinnedPool {
    /// A pool without slabs.
    pub(super) fn new(
        driver: Arc<dyn Driver>,
        memory: Arc<MemoryManager>,
        options: SlabOptions,
    ) -> Self {
        PinnedPool {
            driver,
            memory,
            options,
            slabs: Arc::default(),
        }
    }

    /// Allocates the slabs that the options want at the start.
    ///
    /// # Errors
    /// `Reservation` if they pass the limit of their tier; `Device` if the driver refuses.
    pub(super) fn fill(&self) -> Result<()> {
        let count = self.options.initial_bytes.div_ceil(SLAB_BYTES as u64);
        for _ in 0..count {
            let slab = self.allocate()?;
            let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
            slabs.idle.push(slab);
        }
        Ok(())
    }

    /// A slab that no copy uses. Waits for one in flight when the limit of pinned memory, or the
    /// number of slabs kept, is reached, and for some time for what others hold. A failure before a
    /// slab's last copy is not told here: it belongs to the stream of that copy, and whoever waits for
    /// that stream hears of it.
    ///
    /// # Errors
    /// `Reservation` if not one slab fits the limit.
    pub fn take(&self) -> Result<PinnedSlab> {
        let started = Instant::now();
        loop {
            if let Some(slab) = self.take_passed() {
                return Ok(slab);
            }
            let error = match self.allocate() {
                Ok(slab) => return Ok(slab),
                Err(error) => error,
            };
            // Those who hold slabs give them back when they have queued a copy, or waited for it.
            let is_held = self.memory.used(Tier::Pinned) >= SLAB_BYTES as u64;
            if !is_held || started.elapsed() > HELD_MAX {
                let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
                let oldest = slabs.in_flight.pop_front();
                drop(slabs);
                let (event, slab) = oldest.ok_or(error)?;
                return Ok(self.wait_for(event, slab));
            }
            std::thread::sleep(WAIT_STEP);
        }
    }

    /// A slab whose copy has passed; the oldest, once it has, where there are many.
    fn take_passed(&self) -> Option<PinnedSlab> {
        let (event, slab) = {
            let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((event, _)) = slabs.in_flight.front()
                && self.driver.event_query(*event).unwrap_or(true)
                && let Some((event, slab)) = slabs.in_flight.pop_front()
            {
                self.driver.event_destroy(event);
                slabs.idle.push(slab);
            }
            if let Some(slab) = slabs.idle.pop() {
                return Some(slab);
            }
            if slabs.in_flight.len() < SLABS_KEPT {
                return None;
            }
            slabs.in_flight.pop_front()?
        };
        Some(self.wait_for(event, slab))
    }

    /// Waits by asking: synchronising would take the report of a failure from its stream.
    fn wait_for(&self, event: EventHandle, slab: PinnedSlab) -> PinnedSlab {
        while !self.driver.event_query(event).unwrap_or(true) {
            std::thread::sleep(WAIT_STEP);
        }
        self.driver.event_destroy(event);
        slab
    }

    pub(super) fn allocate(&self) -> Result<PinnedSlab> {
        let reservation = self
            .memory
            .reserve(self.options.tier(), SLAB_BYTES as u64)?;
        let pointer = if self.options.pinned {
            let pointer = self.driver.pinned_alloc(SLAB_BYTES)?;
            // SAFETY: `pinned_alloc` returned `SLAB_BYTES` writable bytes. Touching them now maps the
            // pages here instead of in the first copy, and makes them initialised.
            unsafe { std::ptr::write_bytes(pointer, 0, SLAB_BYTES) };
            pointer
        } else {
            Box::into_raw(vec![0u8; SLAB_BYTES].into_boxed_slice()).cast()
        };
        Ok(PinnedSlab {
            driver: Arc::clone(&self.driver),
            pointer,
            bytes: SLAB_BYTES,
            reservation,
        })
    }

    /// Returns a slab that no copy uses.
    pub(super) fn put_back(&self, slab: PinnedSlab) {
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        slabs.idle.push(slab);
    }

    /// Returns a slab whose last copy is on `stream`.
    ///
    /// # Errors
    /// The driver refuses an event; the slab is then given up after waiting for the stream.
    pub fn give_back(&self, slab: PinnedSlab, stream: StreamHandle) -> Result<()> {
        let event = match self.driver.event_create() {
            Ok(event) => event,
            Err(error) => {
                self.driver.stream_synchronize(stream)?;
                return Err(error);
            }
        };
        if let Err(error) = self.driver.event_record(event, stream) {
            let _also_lost = self.driver.stream_synchronize(stream);
            self.driver.event_destroy(event);
            return Err(error);
        }
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        slabs.in_flight.push_back((event, slab));
        Ok(())
    }
}

impl Drop for PinnedPool {
    fn drop(&mut self) {
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        for (event, slab) in slabs.in_flight.drain(..) {
            let _lost = self.driver.event_synchronize(event);
            self.driver.event_destroy(event);
            drop(slab);
        }
    }
}
