//! Bytes from files to the device, through pinned slabs.

use std::ops::Range;
use std::time::Instant;

use super::fetch::Body;
use crate::device::PinnedSlab;
use crate::error::Result;
use crate::kernels::Launch;
use crate::metrics::{Metrics, names, span_here};
use crate::storage::OpenedFile;

/// Fills device buffers, one after the other. Small pieces share a slab.
pub(super) struct Transport<'a> {
    launch: &'a Launch<'a>,
    /// Where the next byte goes.
    target: Option<Body>,
    /// Where the bytes of the slab go, and how many to each place.
    pieces: Vec<(Body, usize)>,
    slab: Option<PinnedSlab>,
    filled: usize,
    metrics: &'a Metrics,
}

impl<'a> Transport<'a> {
    pub(super) fn new(launch: &'a Launch<'a>, metrics: &'a Metrics) -> Self {
        Transport {
            launch,
            target: None,
            pieces: Vec::new(),
            slab: None,
            filled: 0,
            metrics,
        }
    }

    /// Says where the bytes go that follow.
    pub(super) fn begin(&mut self, target: &Body) {
        self.target = Some(target.clone());
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
        file.check_unchanged()
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
        if let Some(target) = &mut self.target {
            match self.pieces.last_mut() {
                Some((last, length)) if last.is_before(*length, target) => *length += bytes,
                _ => self.pieces.push((target.clone(), bytes)),
            }
            target.start += bytes as u64;
        }
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
        let pieces = std::mem::take(&mut self.pieces);
        let pieces = pieces.iter();
        let pieces = pieces.map(|(target, bytes)| (target.buffer.as_ref(), target.start, *bytes));
        device.write_slab(stream, slab, &pieces.collect::<Vec<_>>())?;
        drop(copying);
        Ok(())
    }
}
