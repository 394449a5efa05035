//! Bytes from files to the device, through pinned slabs.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::device::{DeviceBuffer, PinnedSlab};
use crate::error::Result;
use crate::kernels::Launch;
use crate::metrics::{Metrics, names, span_here};
use crate::storage::OpenedFile;

/// Fills a device buffer from its start on. Small pieces share a slab and a copy.
pub(super) struct Transport<'a> {
    launch: &'a Launch<'a>,
    buffer: &'a Arc<DeviceBuffer>,
    /// Bytes of the buffer whose copy is queued.
    copied: u64,
    slab: Option<PinnedSlab>,
    filled: usize,
    metrics: &'a Metrics,
}

impl<'a> Transport<'a> {
    pub(super) fn new(
        launch: &'a Launch<'a>,
        buffer: &'a Arc<DeviceBuffer>,
        metrics: &'a Metrics,
    ) -> Self {
        Transport {
            launch,
            buffer,
            copied: 0,
            slab: None,
            filled: 0,
            metrics,
        }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.copied + self.filled as u64
    }

    /// Reads ranges of a file, one behind the other, and shows each portion as it passes.
    pub(super) fn read(
        &mut self,
        file: &OpenedFile,
        ranges: &[Range<u64>],
        mut passing: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let portion = self.portion(range.end - at)?;
                let started = Instant::now();
                let span = span_here("read");
                file.read_exact_at(portion, at)?;
                drop(span);
                let elapsed = started.elapsed();
                passing(portion)?;
                let bytes = portion.len();
                at += bytes as u64;
                self.metrics.add_duration(names::READ_NANOSECONDS, elapsed);
                self.advance(bytes)?;
            }
        }
        Ok(())
    }

    /// Copies bytes that the host has.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let portion = self.portion(left.len() as u64)?;
            let (now, later) = left.split_at(portion.len());
            portion.copy_from_slice(now);
            let bytes = now.len();
            left = later;
            self.advance(bytes)?;
        }
        Ok(())
    }

    /// Queues the copy of the last slab.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }

    /// At most `wanted` bytes of the slab, at least one.
    fn portion(&mut self, wanted: u64) -> Result<&mut [u8]> {
        let slab = match self.slab.take() {
            Some(slab) => slab,
            None => {
                let started = Instant::now();
                let _span = span_here("wait for pinned memory");
                let slab = self.launch.device().pinned().take()?;
                let waited = names::PINNED_WAIT_NANOSECONDS;
                self.metrics.add_duration(waited, started.elapsed());
                slab
            }
        };
        let slab = self.slab.insert(slab);
        let left = slab.capacity() - self.filled;
        let bytes = usize::try_from(wanted).unwrap_or(usize::MAX).min(left);
        Ok(&mut slab.as_mut_slice()[self.filled..self.filled + bytes])
    }

    fn advance(&mut self, bytes: usize) -> Result<()> {
        self.filled += bytes;
        let full = self
            .slab
            .as_ref()
            .is_some_and(|slab| slab.capacity() == self.filled);
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let filled = std::mem::take(&mut self.filled);
        let Some(slab) = self.slab.take() else {
            return Ok(());
        };
        let (device, stream) = (self.launch.device(), self.launch.copies());
        let copying = (self.launch).copying(stream, "copy to device", filled as u64);
        device.write_slab(stream, self.buffer, self.copied, slab, filled)?;
        drop(copying);
        self.copied += filled as u64;
        Ok(())
    }
}
