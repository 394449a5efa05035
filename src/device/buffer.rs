//! Device memory that knows its stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::foreign::Lent;
use super::{Device, Streams};
use crate::error::{Error, Result};
use crate::memory::{Reservation, StreamHandle};

/// Which streams must be waited for.
#[derive(Debug)]
struct Order {
    /// The stream of the last write, where the memory is valid without waiting.
    home: StreamHandle,
    /// It is valid everywhere: the host knows that the writes are done.
    written: bool,
    /// Streams that have read since; the home too, if it has read after another one.
    readers: Vec<StreamHandle>,
}

/// Whose the memory is.
#[derive(Debug)]
enum Memory {
    /// Allocated by the device, and counted.
    Own(#[expect(dead_code, reason = "held until the buffer is dropped")] Reservation),
    /// Another engine's.
    Foreign(Lent),
    /// Bytes of another buffer.
    PartOf(Arc<DeviceBuffer>),
}

/// An allocation in device memory, or memory that another engine lent
/// ([`Device::adopt_memory`]). Whoever uses it on a stream says so first
/// ([`DeviceBuffer::order_read`], [`DeviceBuffer::order_write`]); the stream then waits for the
/// writes, and for the reads, that came before on other streams. Dropping it frees the memory, or
/// gives it back, after all of them. It holds on to its device.
///
/// A [`DeviceBuffer::part`] of a buffer is a buffer like others: it has an address and a length of
/// its own, shares the order of the whole, and keeps the whole alive.
#[derive(Debug)]
pub struct DeviceBuffer {
    device: Arc<Device>,
    address: u64,
    bytes: u64,
    allocated_on: StreamHandle,
    order: Arc<Mutex<Order>>,
    memory: Memory,
}

impl DeviceBuffer {
    pub(super) fn new(
        device: Arc<Device>,
        address: u64,
        bytes: u64,
        stream: StreamHandle,
        reservation: Reservation,
    ) -> Self {
        let memory = Memory::Own(reservation);
        DeviceBuffer::of(device, address, bytes, stream, memory)
    }

    pub(super) fn foreign(device: Arc<Device>, address: u64, bytes: u64, lent: Lent) -> Self {
        let stream = lent.stream;
        DeviceBuffer::of(device, address, bytes, stream, Memory::Foreign(lent))
    }

    fn of(
        device: Arc<Device>,
        address: u64,
        bytes: u64,
        stream: StreamHandle,
        memory: Memory,
    ) -> Self {
        let order = Arc::new(Mutex::new(Order {
            home: stream,
            written: false,
            readers: Vec::new(),
        }));
        DeviceBuffer {
            device,
            address,
            bytes,
            allocated_on: stream,
            order,
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
            allocated_on: whole.allocated_on,
            order: Arc::clone(&whole.order),
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

    /// How long it is; a multiple of 64, unless the memory is another engine's.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_writable(&self) -> bool {
        match &self.memory {
            Memory::Own(_) => true,
            Memory::Foreign(lent) => lent.writable,
            Memory::PartOf(whole) => whole.is_writable(),
        }
    }

    /// Says that what follows on `stream` reads the buffer.
    ///
    /// # Errors
    /// The driver refuses an event.
    pub fn order_read(&self, stream: StreamHandle) -> Result<()> {
        let mut order = self.order();
        let is_home = order.home == stream;
        // What is at home comes before the first reader's work, but not what follows there.
        if is_home && order.readers.is_empty() || order.readers.contains(&stream) {
            return Ok(());
        }
        if !is_home && !order.written {
            self.wait(stream, order.home)?;
        }
        order.readers.push(stream);
        Ok(())
    }

    /// Says that all writes so far are known to be done, as by a [`Marker`](super::Marker) behind them that
    /// was passed: whoever reads then waits for none of them, nor for what else is on their stream.
    pub fn writes_are_done(&self) {
        self.order().written = true;
    }

    /// Says that what follows on `stream` reads the buffers: as [`DeviceBuffer::order_read`] of each,
    /// but a stream that wrote several of them is waited for once.
    ///
    /// # Errors
    /// The driver refuses an event.
    pub(super) fn order_reads<'a>(
        buffers: impl IntoIterator<Item = &'a DeviceBuffer>,
        stream: StreamHandle,
    ) -> Result<()> {
        let mut waited: Vec<StreamHandle> = Vec::new();
        for buffer in buffers {
            let mut order = buffer.order();
            let is_home = order.home == stream;
            if is_home && order.readers.is_empty() || order.readers.contains(&stream) {
                continue;
            }
            if !is_home && !waited.contains(&order.home) {
                buffer.wait(stream, order.home)?;
                waited.push(order.home);
            }
            order.readers.push(stream);
        }
        Ok(())
    }

    /// Whether both are of one allocation.
    pub(super) fn is_of_one_with(&self, other: &DeviceBuffer) -> bool {
        Arc::ptr_eq(&self.order, &other.order)
    }

    /// Says that what follows on `stream` writes the buffer.
    ///
    /// # Errors
    /// `InvalidInput` if another engine lent it for reading alone; the driver refuses an event.
    pub fn order_write(&self, stream: StreamHandle) -> Result<()> {
        if !self.is_writable() {
            let remedy = "lend it for writing, too, or write to a buffer of the device's own";
            let cause = "the memory was lent for reading alone";
            return Err(Error::invalid("buffer", cause, remedy));
        }
        let mut order = self.order();
        order.written = false;
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
        self.wait_among(&self.device.known_streams(), stream, before)
    }

    /// As `wait`; while `streams` is held none is released.
    fn wait_among(
        &self,
        streams: &Streams,
        stream: StreamHandle,
        before: StreamHandle,
    ) -> Result<()> {
        if !streams.known.contains_key(&before) {
            return Ok(()); // released, which waited for all that was on it
        }
        let driver = self.device.driver();
        let event = driver.event_create()?;
        let waited = driver
            .event_record(event, before)
            .and_then(|()| driver.stream_wait(stream, event));
        driver.event_destroy(event);
        waited
    }

    /// Lets `last` wait for what other streams do with the buffer.
    fn settle(&self, streams: &Streams, last: StreamHandle, others: &[StreamHandle]) {
        for other in others {
            if *other != last && self.wait_among(streams, last, *other).is_err() {
                // The device is lost; waiting on the host is all that is left.
                let _lost = self.device.driver().stream_synchronize(*other);
            }
        }
    }

    /// Frees memory of the device's own, on a stream that comes after every use.
    fn free(&self, home: StreamHandle, readers: &[StreamHandle]) {
        let streams = self.device.known_streams();
        // A reader has waited for the writes, so that memory is freed on the stream of the last one
        // and the writer's stream waits for nobody.
        let mut users = readers.iter().rev().chain([&home]);
        if let Some(last) = users.find(|stream| streams.known.contains_key(stream)) {
            self.settle(&streams, *last, readers);
            self.device
                .driver()
                .free(*last, self.address, self.bytes, self.allocated_on);
            return;
        }
        drop(streams);
        // Every stream that used it was released, and is done. Without any stream, which a lost
        // device refuses, the memory goes with its context.
        if let Ok(stream) = self.device.take_stream() {
            self.device
                .driver()
                .free(stream, self.address, self.bytes, stream);
            self.device.give_back_stream(stream);
        }
    }

    /// Gives memory of another engine back, in the order of the stream that lent it.
    fn give_back(&self, lent: StreamHandle, home: StreamHandle, mut users: Vec<StreamHandle>) {
        users.push(home);
        let streams = self.device.known_streams();
        if streams.known.contains_key(&lent) {
            return self.settle(&streams, lent, &users);
        }
        // The lending stream is gone: whoever frees the memory next must find it unused.
        for user in users.iter().filter(|user| streams.known.contains_key(user)) {
            let _lost = self.device.driver().stream_synchronize(*user);
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if let Memory::PartOf(_) = self.memory {
            return; // the whole knows its readers, and goes after its last part
        }
        let (home, readers) = {
            let mut order = self.order();
            (order.home, std::mem::take(&mut order.readers))
        };
        let Memory::Foreign(Lent { stream, owner, .. }) = &mut self.memory else {
            return self.free(home, &readers);
        };
        let (stream, mut owner) = (*stream, owner.take());
        self.give_back(stream, home, readers);
        let driver = self.device.driver();
        driver.in_context(&mut || drop(owner.take()));
    }
}
