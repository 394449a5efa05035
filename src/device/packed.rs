//! Bytes of many buffers, packed behind one another on the host and brought back: copies are queued
//! together and waited for once.

use std::ops::Range;
use std::sync::Arc;

use super::{Device, DeviceBuffer, KeptBytes, within};
use crate::error::Result;
use crate::memory::StreamHandle;

/// Bytes of a buffer, and where they go among the packed ones.
#[derive(Debug, Clone)]
pub struct PackedRange {
    /// The buffer.
    pub buffer: Arc<DeviceBuffer>,
    /// Their first byte in the buffer.
    pub start: u64,
    /// How many they are.
    pub bytes: u64,
    /// Their first byte among the packed ones.
    pub at: u64,
}

/// One copy of the device, before it is cut into pieces of host memory.
#[derive(Debug, Clone, Copy)]
struct Copy {
    source: u64,
    at: u64,
    bytes: u64,
}

/// Ranges as copies: those that lie behind one another on both sides are one.
fn copies(ranges: &[PackedRange]) -> Vec<Copy> {
    let mut copies: Vec<Copy> = Vec::with_capacity(ranges.len());
    let mut last: Option<&PackedRange> = None;
    for range in ranges.iter().filter(|range| range.bytes > 0) {
        let source = range.buffer.address() + range.start;
        let is_one = last.is_some_and(|last| last.buffer.is_of_one_with(&range.buffer));
        match copies.last_mut() {
            Some(copy)
                if is_one
                    && copy.source + copy.bytes == source
                    && copy.at + copy.bytes == range.at =>
            {
                copy.bytes += range.bytes;
            }
            _ => copies.push(Copy {
                source,
                at: range.at,
                bytes: range.bytes,
            }),
        }
        last = Some(range);
    }
    copies
}

impl Device {
    /// The copies of ranges, whose buffers may be read on the stream.
    fn order_ranges(&self, stream: StreamHandle, ranges: &[PackedRange]) -> Result<Vec<Copy>> {
        assert!(
            ranges
                .iter()
                .all(|range| within(&range.buffer, range.start, range.bytes)),
            "a copy stays within its buffer"
        );
        self.check_stream(stream)?;
        DeviceBuffer::order_reads(ranges.iter().map(|range| &*range.buffer), stream)?;
        Ok(copies(ranges))
    }

    /// Queues the parts of copies that go to a window of the packed bytes.
    ///
    /// # Safety
    /// `target` is valid for the window's bytes, and nobody else's, until the stream has passed this
    /// point; the copies are of `order_ranges` on this stream, and their buffers live as long.
    unsafe fn queue_window(
        &self,
        stream: StreamHandle,
        copies: &[Copy],
        window: Range<u64>,
        target: *mut u8,
    ) -> Result<()> {
        for copy in copies {
            let first = copy.at.max(window.start);
            let end = (copy.at + copy.bytes).min(window.end);
            if first >= end {
                continue;
            }
            let target = target.wrapping_add((first - window.start) as usize);
            let source = copy.source + (first - copy.at);
            // SAFETY: the range was cut to the window, for which the caller vouches, and lies within
            // a buffer, as `order_ranges` checked.
            unsafe {
                self.driver
                    .copy_to_host(stream, target, source, end - first)
            }?;
        }
        Ok(())
    }

    /// Copies ranges to pinned memory, whose pieces lie behind one another, and waits once for all.
    /// What is no range's is left as it is.
    ///
    /// # Errors
    /// What failed on the stream before, or a copy.
    ///
    /// # Panics
    /// A range is not within its buffer.
    pub fn read_packed(
        &self,
        stream: StreamHandle,
        ranges: &[PackedRange],
        pieces: &mut [KeptBytes],
    ) -> Result<()> {
        let copies = self.order_ranges(stream, ranges)?;
        let mut at = 0;
        let queued = pieces.iter_mut().try_for_each(|piece| {
            let window = at..at + piece.len() as u64;
            at = window.end;
            let target = piece.as_mut().as_mut_ptr();
            // SAFETY: the piece is as long as the window and borrowed until the stream has passed,
            // below; the buffers are held by `ranges`.
            unsafe { self.queue_window(stream, &copies, window, target) }
        });
        // What was queued before a copy that was refused still writes to the pieces.
        let passed = self.driver.stream_synchronize(stream);
        queued.and(passed)
    }

    /// Copies ranges through a slab of pinned memory and shows all `bytes` packed bytes in order,
    /// some at a time: always a multiple of 64, but for the last. What is no range's is anything.
    ///
    /// # Errors
    /// What failed on the stream before, or a copy; `Reservation` if there is no pinned memory.
    ///
    /// # Panics
    /// A range is not within its buffer.
    pub fn read_packed_through(
        &self,
        stream: StreamHandle,
        ranges: &[PackedRange],
        bytes: u64,
        mut show: impl FnMut(&[u8]),
    ) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let copies = self.order_ranges(stream, ranges)?;
        let mut slab = self.pinned.take()?;
        let mut window = 0..0;
        let mut outcome = Ok(());
        while outcome.is_ok() && window.end < bytes {
            window = window.end..bytes.min(window.end + slab.capacity() as u64);
            // SAFETY: the slab has room for the window and is not touched until the stream has
            // passed; the buffers are held by `ranges`.
            let queued =
                unsafe { self.queue_window(stream, &copies, window.clone(), slab.as_mut_ptr()) };
            let passed = self.driver.stream_synchronize(stream);
            outcome = queued.and(passed);
            if outcome.is_ok() {
                show(&slab.as_slice()[..(window.end - window.start) as usize]);
            }
        }
        self.pinned.put_back(slab);
        outcome
    }

    /// Copies host bytes to a buffer from where they are, each to its place, and waits once for all.
    /// Of pinned memory that is as fast as copies get.
    ///
    /// # Errors
    /// What failed on the stream before, or a copy.
    ///
    /// # Panics
    /// The buffer ends before.
    pub fn write_packed(
        &self,
        stream: StreamHandle,
        buffer: &DeviceBuffer,
        pieces: &[(u64, &[u8])],
    ) -> Result<()> {
        assert!(
            pieces
                .iter()
                .all(|(start, bytes)| within(buffer, *start, bytes.len() as u64)),
            "a copy stays within its buffer"
        );
        self.check_stream(stream)?;
        buffer.order_write(stream)?;
        let queued = pieces.iter().try_for_each(|(start, bytes)| {
            let (target, count) = (buffer.address() + start, bytes.len() as u64);
            // SAFETY: the bytes are borrowed until the stream has passed, below, and the target was
            // checked above.
            unsafe {
                self.driver
                    .copy_to_device(stream, target, bytes.as_ptr(), count)
            }
        });
        // What was queued before a copy that was refused still reads the bytes.
        let passed = self.driver.stream_synchronize(stream);
        queued.and(passed)
    }
}
