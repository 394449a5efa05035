//! What launches over pages are told, in one buffer: the structs of all batches travel in one copy.

use std::marker::PhantomData;

use super::super::{Launch, Unpadded, address_of};
use crate::device::DeviceBuffer;
use crate::error::Result;

/// Where structs begin: as the widest field of any of them must.
const ALIGNMENT: usize = 16;

/// Where structs lie in a table that is going to be.
#[derive(Debug)]
pub(super) struct Slot<T> {
    start: usize,
    count: usize,
    of: PhantomData<T>,
}

/// The places of structs in a table.
#[derive(Debug, Default)]
pub(super) struct Layout {
    bytes: usize,
}

impl Layout {
    /// Room for so many structs.
    pub(super) fn add<T: Unpadded>(&mut self, count: usize) -> Slot<T> {
        let start = self.bytes;
        self.bytes = (start + count * size_of::<T>()).next_multiple_of(ALIGNMENT);
        Slot {
            start,
            count,
            of: PhantomData,
        }
    }
}

/// A table whose address is known, while the host writes it.
#[derive(Debug)]
pub(super) struct Table {
    buffer: DeviceBuffer,
    bytes: Vec<u8>,
}

impl Table {
    /// # Errors
    /// No memory is left.
    pub(super) fn new(launch: &Launch, layout: &Layout) -> Result<Table> {
        let buffer = launch.device.alloc(launch.copies, layout.bytes as u64)?;
        Ok(Table {
            buffer,
            bytes: vec![0; layout.bytes],
        })
    }

    /// Where the structs of a slot are going to be on the device.
    pub(super) fn pointer<T>(&self, slot: &Slot<T>) -> *mut T {
        slot.pointer(&self.buffer)
    }

    /// # Panics
    /// There are more or fewer structs than the slot has room for.
    pub(super) fn write<T: Unpadded>(&mut self, slot: &Slot<T>, structs: &[T]) {
        assert_eq!(structs.len(), slot.count, "a slot is filled");
        let bytes = super::super::bytes_of(structs);
        self.bytes[slot.start..slot.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Queues the copy; kernels of the launch may then read and write the table.
    ///
    /// # Errors
    /// What the copy reports.
    pub(super) fn upload(self, launch: &Launch) -> Result<Uploaded> {
        let Table { buffer, bytes } = self;
        launch.write(&buffer, &bytes)?;
        buffer.order_write(launch.stream)?;
        Ok(Uploaded { buffer })
    }
}

/// A table on the device.
#[derive(Debug)]
pub(super) struct Uploaded {
    buffer: DeviceBuffer,
}

impl Uploaded {
    /// The first struct of a slot.
    pub(super) fn pointer<T>(&self, slot: &Slot<T>) -> *mut T {
        slot.pointer(&self.buffer)
    }

    /// Copies the structs of a slot to the host, and waits for them.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    pub(super) fn read(&self, launch: &Launch, slot: &Slot<impl Sized>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; slot.bytes()];
        launch.read(&self.buffer, slot.start as u64, &mut bytes)?;
        Ok(bytes)
    }
}

impl<T> Slot<T> {
    /// Where its first struct is.
    fn pointer(&self, table: &DeviceBuffer) -> *mut T {
        address_of::<u8>(table).wrapping_add(self.start).cast()
    }

    fn bytes(&self) -> usize {
        self.count * size_of::<T>()
    }
}
