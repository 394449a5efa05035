//! Launchers of `ceilings`: the rates that bound every operator, for `benches/ceilings.rs`.
//!
//! Nothing of the engine uses them. Copies between pinned and device memory stand here too, since
//! the engine's own go through slabs of 4 MiB.

use std::sync::Arc;

use super::abi::{
    self, CeilingsAtomic, CeilingsAtomicParams, CeilingsEmpty, CeilingsEmptyParams, CeilingsGather,
    CeilingsGatherParams, CeilingsSharedAtomic, CeilingsSharedAtomicParams,
};
use super::{Launch, address_of, blocks};
use crate::device::{Device, DeviceBuffer};
use crate::error::{Error, Result};
use crate::memory::{Reservation, Tier};

/// Blocks per multiprocessor: all the threads that one can hold.
const BLOCKS_PER_MULTIPROCESSOR: u64 = 8;

/// What is done at each random place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomWrite {
    /// `atomicAdd` of 1, its result unused.
    Add,
    /// `atomicCAS` of 0 for the number of the place plus one.
    CompareAndSwap,
    /// A store of the number of the place plus one.
    Store,
}

/// Blocks for this many operations, `per_block` each in one step.
fn grid(launch: &Launch, operations: u64, per_block: u32) -> u64 {
    let multiprocessors = u64::from(launch.device().properties().multiprocessors);
    blocks(operations, per_block).min(multiprocessors * BLOCKS_PER_MULTIPROCESSOR)
}

fn mask(places: u64) -> Result<u64> {
    if places.is_power_of_two() {
        return Ok(places - 1);
    }
    let cause = format!("{places} places are no power of two");
    Err(Error::invalid("ceilings", cause, "round them up"))
}

fn at_least(buffer: &DeviceBuffer, bytes: u64) -> Result<()> {
    if buffer.bytes() >= bytes {
        return Ok(());
    }
    let cause = format!("{bytes} bytes are needed, {} are given", buffer.bytes());
    Err(Error::invalid("ceilings", cause, "pass a larger buffer"))
}

/// Words that [`gather`] writes to `sums` for this many operations.
pub fn gather_sums(launch: &Launch, operations: u64) -> u64 {
    let per_block = abi::CEILINGS_THREADS * abi::CEILINGS_ITEMS;
    grid(launch, operations, per_block) * u64::from(abi::CEILINGS_THREADS)
}

/// Reads a word (`sectors` false) or a sector of 32 bytes at `operations` random places out of
/// `places`, a power of two. `sums` takes each thread's sum of what it read.
///
/// Shape: `source[places]` words or sectors → `sums[gather_sums(operations)]`.
///
/// # Errors
/// `InvalidInput` if a buffer is too small; the driver refuses.
pub fn gather(
    launch: &Launch,
    source: &DeviceBuffer,
    sums: &DeviceBuffer,
    places: u64,
    operations: u64,
    sectors: bool,
) -> Result<()> {
    let words = if sectors {
        abi::CEILINGS_SECTOR_WORDS
    } else {
        1
    };
    at_least(source, places.saturating_mul(8 * u64::from(words)))?;
    at_least(sums, gather_sums(launch, operations) * 8)?;
    source.order_read(launch.stream())?;
    sums.order_write(launch.stream())?;
    let params = CeilingsGatherParams {
        source: address_of(source),
        sums: address_of(sums),
        place_mask: mask(places)?,
        operation_count: operations,
        words,
        reserved: 0,
    };
    let grid = grid(
        launch,
        operations,
        abi::CEILINGS_THREADS * abi::CEILINGS_ITEMS,
    );
    // SAFETY: `source` has every place and `sums` a word per thread, as checked above; both were
    // ordered on this stream.
    unsafe { launch.launch::<CeilingsGather>(grid, abi::CEILINGS_THREADS, 0, &params) }
}

/// Writes a word at `operations` random places out of `places`, a power of two.
///
/// Shape: `target[places]` → `target[places]`.
///
/// # Errors
/// `InvalidInput` if the buffer is too small; the driver refuses.
pub fn random_write(
    launch: &Launch,
    target: &DeviceBuffer,
    places: u64,
    operations: u64,
    what: RandomWrite,
) -> Result<()> {
    at_least(target, places.saturating_mul(8))?;
    target.order_write(launch.stream())?;
    let params = CeilingsAtomicParams {
        target: address_of(target),
        place_mask: mask(places)?,
        operation_count: operations,
        op: match what {
            RandomWrite::Add => abi::CEILINGS_ADD,
            RandomWrite::CompareAndSwap => abi::CEILINGS_CAS,
            RandomWrite::Store => abi::CEILINGS_STORE,
        },
        reserved: 0,
    };
    let grid = grid(
        launch,
        operations,
        abi::CEILINGS_THREADS * abi::CEILINGS_ITEMS,
    );
    // SAFETY: `target` has every place, as checked above, and was ordered on this stream.
    unsafe { launch.launch::<CeilingsAtomic>(grid, abi::CEILINGS_THREADS, 0, &params) }
}

/// Adds 1 at `operations` random places out of `places` in shared memory; `counters` takes the
/// totals on top of what it holds.
///
/// Shape: → `counters[places]`.
///
/// # Errors
/// `InvalidInput` if the buffer is too small or there are too many places; the driver refuses.
pub fn shared_atomic(
    launch: &Launch,
    counters: &DeviceBuffer,
    places: u32,
    operations: u64,
) -> Result<()> {
    if places > abi::CEILINGS_SHARED_WORDS_MAX {
        let cause = format!("{places} places are more than a block has");
        return Err(Error::invalid("ceilings", cause, "ask for fewer"));
    }
    at_least(counters, u64::from(places) * 8)?;
    counters.order_write(launch.stream())?;
    let params = CeilingsSharedAtomicParams {
        counters: address_of(counters),
        operation_count: operations,
        place_mask: mask(u64::from(places))? as u32,
        reserved: 0,
    };
    let grid = grid(launch, operations, abi::CEILINGS_THREADS);
    // SAFETY: `counters` has every place, as checked above, and was ordered on this stream.
    unsafe { launch.launch::<CeilingsSharedAtomic>(grid, abi::CEILINGS_THREADS, 0, &params) }
}

/// Launches a kernel that does nothing.
///
/// # Errors
/// The driver refuses.
pub fn empty(launch: &Launch) -> Result<()> {
    let params = CeilingsEmptyParams { reserved: 0 };
    // SAFETY: the entry reads nothing.
    unsafe { launch.launch::<CeilingsEmpty>(1, abi::CEILINGS_THREADS, 0, &params) }
}

/// Pinned memory of any size, of which only copies see the contents.
#[derive(Debug)]
pub struct PinnedBytes {
    device: Arc<Device>,
    pointer: *mut u8,
    bytes: usize,
    _reservation: Reservation,
}

impl PinnedBytes {
    /// Pinned memory full of zeros.
    ///
    /// # Errors
    /// No memory is left.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self> {
        let reservation = device.memory().reserve(Tier::Pinned, bytes as u64)?;
        let pointer = device.driver().pinned_alloc(bytes)?;
        // SAFETY: `pinned_alloc` returned `bytes` writable bytes.
        unsafe { std::ptr::write_bytes(pointer, 0, bytes) };
        Ok(PinnedBytes {
            device: Arc::clone(device),
            pointer,
            bytes,
            _reservation: reservation,
        })
    }

    /// Queues one copy of all of it to the start of a buffer.
    ///
    /// # Errors
    /// `InvalidInput` if the buffer is too small; the driver refuses.
    pub fn copy_to_device(&self, launch: &Launch, target: &DeviceBuffer) -> Result<()> {
        at_least(target, self.bytes as u64)?;
        target.order_write(launch.stream())?;
        let driver = self.device.driver();
        // SAFETY: the memory lives until all streams have passed their copies (`drop`), and the
        // target has enough bytes.
        unsafe {
            driver.copy_to_device(
                launch.stream(),
                target.address(),
                self.pointer,
                self.bytes as u64,
            )
        }
    }

    /// Queues one copy of the start of a buffer over all of it.
    ///
    /// # Errors
    /// `InvalidInput` if the buffer is too small; the driver refuses.
    pub fn copy_to_host(&mut self, launch: &Launch, source: &DeviceBuffer) -> Result<()> {
        at_least(source, self.bytes as u64)?;
        source.order_read(launch.stream())?;
        let driver = self.device.driver();
        // SAFETY: as in `copy_to_device`; only copies see the contents.
        unsafe {
            driver.copy_to_host(
                launch.stream(),
                self.pointer,
                source.address(),
                self.bytes as u64,
            )
        }
    }
}

impl Drop for PinnedBytes {
    fn drop(&mut self) {
        // If the device is lost, no copy runs any more.
        let _lost = self.device.driver().synchronize();
        // SAFETY: `pointer` came from `pinned_alloc` of the same size, and no copy uses it.
        unsafe { self.device.driver().pinned_free(self.pointer, self.bytes) };
    }
}
