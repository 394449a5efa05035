//! Device memory that knows its stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Device;
use crate::error::Result;
use crate::memory::{Reservation, StreamHandle};

/// Which streams must be waited for.
#[derive(Debug)]
struct Order {
    /// The stream of the last write, where the memory is valid without waiting.
    home: StreamHandle,
    /// Streams that have read since.
    readers: Vec<StreamHandle>,
}

/// An allocation in device memory. Whoever uses it on a stream says so first
/// ([`DeviceBuffer::order_read`], [`DeviceBuffer::order_write`]); the stream then waits for the
/// writes, and for the reads, that came before on other streams. Dropping it frees the memory
/// after all of them.
///
/// A [`DeviceBuffer::part`] of a buffer is a buffer like others: it has an address and a length of
/// its own, shares the order of the whole, and keeps the whole alive.
#[derive(Debug)]
pub struct DeviceBuffer {
    device: Arc<Device>,
    address: u64,
    bytes: u64,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// Its own, freed with it.
    Own {
        order: Mutex<Order>,
        _reservation: Reservation,
    },
    /// Bytes of another buffer.
    PartOf(Arc<DeviceBuffer>),
}

impl DeviceBuffer {
    pub(super) fn new(
        device: Arc<Device>,
        address: u64,
        bytes: u64,
        stream: StreamHandle,
        reservation: Reservation,
    ) -> Self {
        let order = Mutex::new(Order {
            home: stream,
            readers: Vec::new(),
        });
        let memory = Memory::Own {
            order,
            _reservation: reservation,
        };
        DeviceBuffer {
            device,
            address,
            bytes,
            memory,
        }
    }

    /// `bytes` bytes of a buffer from byte `start` on, without a copy; both are multiples of 64, so
    /// that alignment and padding are as in any buffer. While the part lives, so does the whole.
    ///
    /// # Panics
    /// The bytes are not within the buffer, or no multiples of 64.
    #[must_use]
    pub fn part(whole: &Arc<DeviceBuffer>, start: u64, bytes: u64) -> DeviceBuffer {
        assert!(
            start.is_multiple_of(64) && bytes.is_multiple_of(64) && start + bytes <= whole.bytes,
            "a part is whole lines of its buffer"
        );
        DeviceBuffer {
            device: Arc::clone(&whole.device),
            address: whole.address + start,
            bytes,
            memory: Memory::PartOf(Arc::clone(whole)),
        }
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Where it starts, as the device counts.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How long it is; a multiple of 64.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        match &self.memory {
            Memory::Own { order, .. } => order.lock().unwrap_or_else(PoisonError::into_inner),
            Memory::PartOf(whole) => whole.order(),
        }
    }

    /// Says that what follows on `stream` reads the buffer.
    ///
    /// # Errors
    /// The driver refuses an event.
    pub fn order_read(&self, stream: StreamHandle) -> Result<()> {
        let mut order = self.order();
        if order.home != stream && !order.readers.contains(&stream) {
            self.wait(stream, order.home)?;
            order.readers.push(stream);
        }
        Ok(())
    }

    /// Says that what follows on `stream` writes the buffer.
    ///
    /// # Errors
    /// The driver refuses an event.
    pub fn order_write(&self, stream: StreamHandle) -> Result<()> {
        let mut order = self.order();
        if order.home != stream {
            self.wait(stream, order.home)?;
            order.home = stream;
        }
        for reader in std::mem::take(&mut order.readers) {
            if reader != stream {
                self.wait(stream, reader)?;
            }
        }
        Ok(())
    }

    /// Lets `stream` wait for everything that is on `before` now.
    fn wait(&self, stream: StreamHandle, before: StreamHandle) -> Result<()> {
        let driver = self.device.driver();
        let event = driver.event_create()?;
        let waited = driver
            .event_record(event, before)
            .and_then(|()| driver.stream_wait(stream, event));
        driver.event_destroy(event);
        waited
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        let (home, readers) = match &mut self.memory {
            Memory::Own { order, .. } => {
                let order = order.get_mut().unwrap_or_else(PoisonError::into_inner);
                (order.home, std::mem::take(&mut order.readers))
            }
            Memory::PartOf(_) => return, // the whole knows its readers, and goes after its last part
        };
        // A reader has waited for the writes, so that memory is freed on the stream of the last one
        // and the writer's stream waits for nobody.
        let last = readers.last().copied().unwrap_or(home);
        for reader in readers {
            if reader != last && self.wait(last, reader).is_err() {
                // The device is lost; waiting for the reader on the host is all that is left.
                let _lost = self.device.driver().stream_synchronize(reader);
            }
        }
        self.device.driver().free(last, self.address);
    }
}
