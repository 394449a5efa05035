//! Devices: contexts, streams, events, memory and modules, over the NVIDIA driver or the emulator.
//!
//! [`Driver`] is the seam: [`cuda`] and [`simt`] implement it, everything above goes through
//! [`Device`], which reserves before it allocates and keeps the stream order of buffers. Nothing
//! here knows what a column is; `cudarc` and `pelton-simt` are named here only.

#[cfg(feature = "cuda")]
mod blocks;
mod buffer;
mod driver;
mod foreign;
mod kept;
mod marker;
mod packed;
mod pinned;
mod timers;

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "cust-interop")]
pub mod cust;
#[cfg(feature = "cuda")]
mod embedded;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(feature = "simt")]
pub mod simt;

pub use buffer::DeviceBuffer;
pub use driver::{DeviceProperties, Driver, EventHandle, KernelHandle, LaunchShape};
pub use foreign::{FOREIGN_ALIGNMENT, ForeignEvent, ForeignMemory, ForeignStream};
pub use kept::KeptBytes;
pub use marker::Marker;
pub use packed::PackedRange;
pub use pinned::{PinnedPool, PinnedSlab, SlabOptions};
pub use timers::DeviceClock;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryManager, StreamHandle, Tier};

/// One device and what is shared by all who use it: the driver, the memory accounts, the pinned
/// slabs and the kernels that were looked up.
#[derive(Debug)]
pub struct Device {
    driver: Arc<dyn Driver>,
    memory: Arc<MemoryManager>,
    pinned: PinnedPool,
    kernels: Mutex<HashMap<&'static str, KernelHandle>>,
    /// Every stream that work may be put on, and those of our own that nobody uses now.
    streams: RwLock<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    known: HashMap<StreamHandle, Origin>,
    idle: Vec<StreamHandle>,
}

/// Who made a stream, and ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The device.
    Own,
    /// Another engine; adopted so many times.
    Foreign(u64),
}

/// A driver may keep freed memory beyond the account: one byte in so many of the limit.
const KEPT_PART: u64 = 8;

impl Device {
    /// A device over a driver, its allocations counted by `memory`.
    pub fn new(driver: Arc<dyn Driver>, memory: Arc<MemoryManager>) -> Arc<Self> {
        Device::with_empty_pool(driver, memory, SlabOptions::default())
    }

    /// As [`Device::new`], with slabs that are not what they are by default.
    ///
    /// # Errors
    /// `Reservation` or `Device` if the slabs that are wanted at the start cannot be had.
    pub fn with_slabs(
        driver: Arc<dyn Driver>,
        memory: Arc<MemoryManager>,
        slabs: SlabOptions,
    ) -> Result<Arc<Self>> {
        let device = Device::with_empty_pool(driver, memory, slabs);
        device.pinned.fill()?;
        Ok(device)
    }

    fn with_empty_pool(
        driver: Arc<dyn Driver>,
        memory: Arc<MemoryManager>,
        slabs: SlabOptions,
    ) -> Arc<Self> {
        let pinned = PinnedPool::new(Arc::clone(&driver), Arc::clone(&memory), slabs);
        driver.keep_at_most(memory.limits().device / KEPT_PART);
        Arc::new(Device {
            driver,
            memory,
            pinned,
            kernels: Mutex::default(),
            streams: RwLock::default(),
        })
    }

    /// The driver.
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// The accounts.
    pub fn memory(&self) -> &Arc<MemoryManager> {
        &self.memory
    }

    /// Host memory that copies at full speed.
    pub fn pinned(&self) -> &PinnedPool {
        &self.pinned
    }

    /// What the device is.
    pub fn properties(&self) -> &DeviceProperties {
        self.driver.properties()
    }

    /// A stream of one's own until it is given back. Streams live as long as the device, because
    /// buffers remember the streams that used them.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn take_stream(&self) -> Result<StreamHandle> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.idle.pop() {
            return Ok(stream);
        }
        let stream = self.driver.stream_create()?;
        streams.known.insert(stream, Origin::Own);
        Ok(stream)
    }

    /// Gives a stream back that `take_stream` gave. Work that is on it goes on.
    pub fn give_back_stream(&self, stream: StreamHandle) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let own = streams.known.get(&stream) == Some(&Origin::Own);
        if own && !streams.idle.contains(&stream) {
            streams.idle.push(stream);
        }
    }

    /// The streams, none of which is released as long as what this answers is held.
    fn known_streams(&self) -> RwLockReadGuard<'_, Streams> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers whether work may be put on a stream: it is the device's own, or adopted.
    ///
    /// # Errors
    /// `InvalidInput` if it is neither, or was released.
    pub fn check_stream(&self, stream: StreamHandle) -> Result<()> {
        if self.known_streams().known.contains_key(&stream) {
            return Ok(());
        }
        let cause = format!("the device knows no stream {:#x}", stream.0);
        let remedy = "take one with `take_stream`, or adopt one of another engine's";
        Err(Error::invalid("stream", cause, remedy))
    }

    /// Allocates device memory, valid once `stream` reaches this point. The contents are
    /// undefined. Where the limit is reached, stored batches are moved away first.
    ///
    /// # Errors
    /// `Reservation` if the limit would be passed all the same, `Device` if the driver has no memory left.
    pub fn alloc(self: &Arc<Self>, stream: StreamHandle, bytes: u64) -> Result<DeviceBuffer> {
        self.check_stream(stream)?;
        // Kernels write bitmaps in words and may read whole words: round up, in the account too.
        let bytes = bytes.max(1).next_multiple_of(64);
        let reservation = self.memory.reserve_with_spilling(Tier::Device, bytes)?;
        let address = match self.driver.alloc(stream, bytes) {
            Ok(address) => address,
            Err(_) => {
                // What is only kept for later goes first. Memory freed on other streams returns to the
                // pool when they get there.
                self.memory.reclaim(Tier::Device, u64::MAX);
                self.driver.synchronize()?;
                self.driver.alloc(stream, bytes)?
            }
        };
        Ok(DeviceBuffer::new(
            Arc::clone(self),
            address,
            bytes,
            stream,
            reservation,
        ))
    }

    /// Allocates device memory full of zeros.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    pub fn alloc_zeroed(
        self: &Arc<Self>,
        stream: StreamHandle,
        bytes: u64,
    ) -> Result<DeviceBuffer> {
        let buffer = self.alloc(stream, bytes)?;
        self.driver
            .fill(stream, buffer.address(), 0, buffer.bytes())?;
        Ok(buffer)
    }

    /// Copies host bytes to a new buffer, through pinned memory.
    ///
    /// # Errors
    /// As [`Device::alloc`], and what the copy reports.
    pub fn upload(self: &Arc<Self>, stream: StreamHandle, bytes: &[u8]) -> Result<DeviceBuffer> {
        let buffer = self.alloc(stream, bytes.len() as u64)?;
        self.write(stream, &buffer, bytes)?;
        Ok(buffer)
    }

    /// Copies host bytes to the start of a buffer, through pinned memory.
    ///
    /// # Errors
    /// What the copy reports.
    ///
    /// # Panics
    /// The buffer is smaller than the bytes.
    pub fn write(
        self: &Arc<Self>,
        stream: StreamHandle,
        buffer: &DeviceBuffer,
        bytes: &[u8],
    ) -> Result<()> {
        self.write_at(stream, buffer, 0, bytes)
    }

    /// Copies host bytes to a buffer, from `start` on, through pinned memory.
    ///
    /// # Errors
    /// What the copy reports.
    ///
    /// # Panics
    /// The buffer ends before.
    pub fn write_at(
        self: &Arc<Self>,
        stream: StreamHandle,
        buffer: &DeviceBuffer,
        start: u64,
        bytes: &[u8],
    ) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.check_stream(stream)?;
        assert!(
            within(buffer, start, bytes.len() as u64),
            "a copy stays within its buffer"
        );
        buffer.order_write(stream)?;
        // SAFETY: the range is within the buffer, as was checked.
        if unsafe {
            self.driver
                .write_few(stream, buffer.address() + start, bytes)
        }? {
            return Ok(());
        }
        let mut offset = 0;
        while offset < bytes.len() {
            let mut slab = self.pinned.take()?;
            let part = (bytes.len() - offset).min(slab.capacity());
            slab.as_mut_slice()[..part].copy_from_slice(&bytes[offset..offset + part]);
            self.write_slab(stream, slab, &[(buffer, start + offset as u64, part)])?;
            offset += part;
        }
        Ok(())
    }

    /// Copies a slab to buffers and gives it back: to each buffer, from a place of it on, so many of the
    /// slab's bytes, those of one behind those of the other.
    ///
    /// # Errors
    /// What the copies report.
    ///
    /// # Panics
    /// The slab or a buffer ends before.
    pub fn write_slab(
        &self,
        stream: StreamHandle,
        slab: PinnedSlab,
        pieces: &[(&DeviceBuffer, u64, usize)],
    ) -> Result<()> {
        self.check_stream(stream)?;
        let mut rest = slab.as_slice();
        let mut queue = || {
            for (buffer, start, bytes) in pieces {
                let (piece, behind) = rest.split_at(*bytes);
                rest = behind;
                assert!(
                    within(buffer, *start, *bytes as u64),
                    "a copy stays within its buffer"
                );
                buffer.order_write(stream)?;
                // SAFETY: `PinnedPool` keeps a slab until the event recorded by `give_back` has
                // passed, and the range was checked against `DeviceBuffer::bytes` above.
                unsafe {
                    self.driver.copy_to_device(
                        stream,
                        buffer.address() + start,
                        piece.as_ptr(),
                        *bytes as u64,
                    )
                }?;
            }
            Ok(())
        };
        let queued = queue();
        // Also after a refusal: copies in front of it may be under way.
        self.pinned.give_back(slab, stream)?;
        queued
    }

    /// Copies bytes within device memory, from one buffer to another.
    ///
    /// # Errors
    /// What the copy reports.
    ///
    /// # Panics
    /// One of the buffers ends before.
    pub fn copy(
        &self,
        stream: StreamHandle,
        target: (&DeviceBuffer, u64),
        source: (&DeviceBuffer, u64),
        bytes: u64,
    ) -> Result<()> {
        assert!(
            within(target.0, target.1, bytes) && within(source.0, source.1, bytes),
            "a copy stays within its buffers"
        );
        self.check_stream(stream)?;
        source.0.order_read(stream)?;
        target.0.order_write(stream)?;
        let (to, from) = (target.0.address() + target.1, source.0.address() + source.1);
        self.driver.copy_device(stream, to, from, bytes)
    }

    /// Copies the first bytes of a buffer to the host and waits for them.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    ///
    /// # Panics
    /// The buffer is smaller than the bytes.
    pub fn read(
        self: &Arc<Self>,
        stream: StreamHandle,
        buffer: &DeviceBuffer,
        bytes: &mut [u8],
    ) -> Result<()> {
        self.read_at(stream, buffer, 0, bytes)
    }

    /// Copies bytes of a buffer, from `start` on, to the host and waits for them.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    ///
    /// # Panics
    /// The buffer ends before.
    pub fn read_at(
        self: &Arc<Self>,
        stream: StreamHandle,
        buffer: &DeviceBuffer,
        start: u64,
        bytes: &mut [u8],
    ) -> Result<()> {
        assert!(
            within(buffer, start, bytes.len() as u64),
            "a copy stays within its buffer"
        );
        self.check_stream(stream)?;
        buffer.order_read(stream)?;
        let mut offset = 0;
        while offset < bytes.len() {
            let mut slab = self.pinned.take()?;
            let part = (bytes.len() - offset).min(slab.capacity());
            // SAFETY: the slab outlives the synchronisation below, and the range was checked
            // against `DeviceBuffer::bytes` above.
            unsafe {
                self.driver.copy_to_host(
                    stream,
                    slab.as_mut_ptr(),
                    buffer.address() + start + offset as u64,
                    part as u64,
                )
            }?;
            self.driver.stream_synchronize(stream)?;
            bytes[offset..offset + part].copy_from_slice(&slab.as_slice()[..part]);
            self.pinned.put_back(slab); // its copy is over
            offset += part;
        }
        Ok(())
    }

    /// Looks a kernel up, once per entry, and checks the size of its launch struct against what
    /// was compiled.
    ///
    /// # Errors
    /// `KernelsNotBuilt` or `Device` if the module cannot be loaded or has no such entry.
    pub fn kernel(
        &self,
        module: &'static str,
        entry: &'static str,
        params_bytes: usize,
    ) -> Result<KernelHandle> {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = kernels.get(entry) {
            return Ok(*handle);
        }
        let handle = self.driver.kernel(module, entry, params_bytes)?;
        kernels.insert(entry, handle);
        Ok(handle)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let streams = self
            .streams
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for (stream, origin) in streams.known.drain() {
            if origin == Origin::Own {
                self.driver.stream_destroy(stream);
            }
        }
    }
}

/// Whether a range of bytes lies within a buffer.
fn within(buffer: &DeviceBuffer, start: u64, bytes: u64) -> bool {
    start
        .checked_add(bytes)
        .is_some_and(|end| end <= buffer.bytes())
}

/// An error of a driver call.
#[expect(
    clippy::needless_pass_by_value,
    reason = "errors are handed over where they end"
)]
fn device_error(operation: impl Into<String>, cause: impl ToString) -> Error {
    Error::new(ErrorKind::Device {
        operation: operation.into(),
        cause: cause.to_string(),
    })
}
