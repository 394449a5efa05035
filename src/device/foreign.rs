//! What another engine made and still owns: its streams, its memory, its events.
//!
//! The constructors here are `unsafe`, because nobody can check a raw handle; each says what its
//! caller vouches for. From there on everything is safe: [`Device::adopt_stream`] and
//! [`Device::adopt_memory`] check what can be checked, and answer the same [`StreamHandle`] and
//! [`DeviceBuffer`] that all launchers take. docs/linking.md shows the whole way.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, PoisonError};

use super::{Device, DeviceBuffer, EventHandle, Origin};
use crate::error::{Error, Result};
use crate::memory::StreamHandle;

/// Addresses of adopted memory are multiples of this: kernels load up to 16 bytes at a time.
pub const FOREIGN_ALIGNMENT: u64 = 16;

/// A stream of another engine: a `CUstream` as a number, 0 being the legacy default stream of the
/// context; on the emulator the number of a stream of the same emulated device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignStream(u64);

impl ForeignStream {
    /// The stream of this raw handle.
    ///
    /// # Safety
    /// The handle is that of a live stream, and it stays live until [`Device::release_stream`] has
    /// returned for it, or every `Device` that adopted it is dropped.
    pub unsafe fn new(raw: u64) -> Self {
        ForeignStream(raw)
    }
}

/// An event of another engine: a `CUevent` as a number; on the emulator the number of an event of
/// the same emulated device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignEvent(u64);

impl ForeignEvent {
    /// The event of this raw handle.
    ///
    /// # Safety
    /// The handle is that of a live event of the context that it is used in, and it stays live as
    /// long as this value is used.
    pub unsafe fn new(raw: u64) -> Self {
        ForeignEvent(raw)
    }
}

/// Device memory of another engine: where it is, how long, and what keeps it allocated.
pub struct ForeignMemory {
    address: u64,
    bytes: u64,
    writable: bool,
    owner: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for ForeignMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignMemory")
            .field("address", &format_args!("{:#x}", self.address))
            .field("bytes", &self.bytes)
            .field("writable", &self.writable)
            .field("owned", &self.owner.is_some())
            .finish()
    }
}

impl ForeignMemory {
    /// Memory that is allocated as long as `owner` lives. The owner is dropped after the last
    /// buffer, with the device's context current, when all that was queued on it is ordered before
    /// what the lending stream does next: an owner may free on that stream, or with a function that
    /// waits for the device.
    ///
    /// # Safety
    /// `bytes` bytes from `address` on are memory of the device that adopts them, allocated until
    /// `owner` is dropped, readable up to the next multiple of 64 bytes (as what CUDA's allocators
    /// give is), and nobody writes them while a buffer of them is in use, except in the order of
    /// the lending stream.
    ///
    /// ```compile_fail,E0133
    /// use pelton::device::ForeignMemory;
    /// let memory = ForeignMemory::owned(0x7f00_0000_0000, 4096, ()); // who vouches for it?
    /// ```
    pub unsafe fn owned(address: u64, bytes: u64, owner: impl Any + Send + Sync) -> Self {
        ForeignMemory {
            address,
            bytes,
            writable: true,
            owner: Some(Box::new(owner)),
        }
    }

    /// Memory that the caller keeps allocated.
    ///
    /// # Safety
    /// As [`ForeignMemory::owned`], where the memory stays allocated until the last buffer of it is
    /// dropped and the lending stream has passed that point.
    pub unsafe fn borrowed(address: u64, bytes: u64) -> Self {
        ForeignMemory {
            address,
            bytes,
            writable: true,
            owner: None,
        }
    }

    /// The same, and writes to it are refused.
    #[must_use]
    pub fn read_only(self) -> Self {
        ForeignMemory {
            writable: false,
            ..self
        }
    }
}

/// What a buffer of foreign memory keeps.
pub(super) struct Lent {
    /// The stream in whose order the memory was lent, and is given back.
    pub(super) stream: StreamHandle,
    pub(super) writable: bool,
    /// Dropped when the memory is given back.
    pub(super) owner: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("stream", &self.stream)
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Takes work on a stream of another engine's from here on. What that engine queued on it
    /// before is done before what launchers queue, and what it queues later comes after: streams
    /// keep their order. Adopting a stream twice gives the same handle; each needs its release.
    ///
    /// # Errors
    /// `InvalidInput` if it belongs to another context, or is the default stream of each thread.
    pub fn adopt_stream(&self, stream: ForeignStream) -> Result<StreamHandle> {
        // SAFETY: `ForeignStream::new` made its caller vouch for the stream.
        let handle = unsafe { self.driver().adopt_stream(stream.0) }?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        match streams.known.get_mut(&handle) {
            None => {
                streams.known.insert(handle, Origin::Foreign(1));
            }
            Some(Origin::Foreign(count)) => *count += 1,
            Some(Origin::Own) => {
                let cause = "it is one of the device's own";
                let remedy = "use its handle as it is";
                return Err(Error::invalid("stream", cause, remedy));
            }
        }
        Ok(handle)
    }

    /// Gives an adopted stream back, after waiting for all work on it. The other engine may end it
    /// then: buffers remember it, and know that all its work is done. Using the handle again is an
    /// error.
    ///
    /// # Errors
    /// `InvalidInput` if it is not adopted; what failed on the stream, which is given back even so.
    pub fn release_stream(&self, stream: StreamHandle) -> Result<()> {
        self.check_stream(stream)?;
        let waited = self.driver().stream_synchronize(stream);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        match streams.known.get_mut(&stream) {
            Some(Origin::Foreign(count)) if *count > 1 => *count -= 1,
            Some(Origin::Foreign(_)) => {
                streams.known.remove(&stream);
            }
            Some(Origin::Own) | None => {
                let cause = "it is no stream of another engine";
                let remedy = "give a stream of the device's own back with `give_back_stream`";
                return Err(Error::invalid("stream", cause, remedy));
            }
        }
        waited
    }

    /// A buffer over memory of another engine, which stays that engine's. It may be read, and, if
    /// the memory allows it, written, once `stream` reaches this point. It counts towards no
    /// limit. When the buffer is dropped, `stream` waits for all that used it.
    ///
    /// # Errors
    /// `InvalidInput` if the address is no multiple of [`FOREIGN_ALIGNMENT`], or is not memory of
    /// this device.
    pub fn adopt_memory(
        self: &Arc<Self>,
        stream: StreamHandle,
        memory: ForeignMemory,
    ) -> Result<DeviceBuffer> {
        const PLACE: &str = "memory of another engine";
        self.check_stream(stream)?;
        let (address, bytes) = (memory.address, memory.bytes);
        if address % FOREIGN_ALIGNMENT != 0 {
            let cause = format!("{address:#x} is no multiple of {FOREIGN_ALIGNMENT}");
            let remedy = "pass the start of the allocation, and skip rows by a column's offset";
            return Err(Error::invalid(PLACE, cause, remedy));
        }
        if bytes > 0 {
            if address.checked_add(bytes).is_none() {
                let cause = format!("{bytes} bytes from {address:#x} on are no address range");
                return Err(Error::invalid(PLACE, cause, "pass its size in bytes"));
            }
            self.driver().check_memory(address, bytes)?;
        }
        let lent = Lent {
            stream,
            writable: memory.writable,
            owner: memory.owner,
        };
        Ok(DeviceBuffer::foreign(
            Arc::clone(self),
            address,
            bytes,
            lent,
        ))
    }

    /// Lets what follows on `stream` wait until the event, as it was last recorded, has passed.
    ///
    /// # Errors
    /// The stream is not of this device, or the driver refuses.
    pub fn wait_for(&self, stream: StreamHandle, event: ForeignEvent) -> Result<()> {
        self.check_stream(stream)?;
        self.driver().stream_wait(stream, EventHandle(event.0))
    }

    /// Records the event behind what is queued on `stream`, for the other engine to wait for.
    ///
    /// # Errors
    /// The stream is not of this device, or the driver refuses.
    pub fn signal(&self, stream: StreamHandle, event: ForeignEvent) -> Result<()> {
        self.check_stream(stream)?;
        self.driver().event_record(EventHandle(event.0), stream)
    }

    /// Waits on the host for all work on a stream.
    ///
    /// # Errors
    /// The stream is not of this device, or what failed on it.
    pub fn synchronize(&self, stream: StreamHandle) -> Result<()> {
        self.check_stream(stream)?;
        self.driver().stream_synchronize(stream)
    }
}
