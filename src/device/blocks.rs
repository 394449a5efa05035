//! Freed device memory that its stream takes again without asking the driver.
//!
//! Whoever frees memory on a stream and allocates there next gets memory whose last use is in front of
//! the new one, in the order of the stream: nobody has to wait. The driver's pool knows that too, but
//! every call to it takes the one lock of its context, for which the threads of a query queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::memory::StreamHandle;

/// Larger blocks are left to the driver: they are few.
const BLOCK_BYTES_MAX: u64 = 32 << 20;

/// Blocks are whole multiples of this.
const BLOCK_BYTES_MIN: u64 = 512;

/// Sizes between two powers of two: a block has at most an eighth more than was asked for.
const SIZES_PER_OCTAVE: u64 = 8;

/// Blocks of one stream, by their size.
type Bins = HashMap<u64, Vec<u64>>;

/// Blocks that are kept for their streams.
#[derive(Debug)]
pub(super) struct Blocks {
    streams: RwLock<HashMap<StreamHandle, Arc<Mutex<Bins>>>>,
    kept: AtomicU64,
    kept_max: u64,
}

impl Blocks {
    /// Keeps no more bytes than `kept_max`.
    pub(super) fn new(kept_max: u64) -> Self {
        Blocks {
            streams: RwLock::default(),
            kept: AtomicU64::new(0),
            kept_max,
        }
    }

    /// Bytes of the block for so many; these alone where blocks of that size are not kept.
    pub(super) fn size_of(bytes: u64) -> u64 {
        if bytes > BLOCK_BYTES_MAX {
            return bytes;
        }
        let octave = bytes.max(1).ilog2();
        let step = ((1 << octave) / SIZES_PER_OCTAVE).max(BLOCK_BYTES_MIN);
        bytes.max(1).next_multiple_of(step)
    }

    /// Begins to keep blocks of a stream, until [`Blocks::leave`].
    pub(super) fn enter(&self, stream: StreamHandle) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.entry(stream).or_default();
    }

    fn bins(&self, stream: StreamHandle) -> Option<Arc<Mutex<Bins>>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(&stream).map(Arc::clone)
    }

    /// A block of the stream, of a size that [`Blocks::size_of`] gave.
    pub(super) fn take(&self, stream: StreamHandle, size: u64) -> Option<u64> {
        if size > BLOCK_BYTES_MAX {
            return None;
        }
        let bins = self.bins(stream)?;
        let mut bins = bins.lock().unwrap_or_else(PoisonError::into_inner);
        let block = bins.get_mut(&size)?.pop()?;
        self.kept.fetch_sub(size, Ordering::Relaxed);
        Some(block)
    }

    /// Keeps a block that is free once the stream gets here. False if it is not kept.
    pub(super) fn keep(&self, stream: StreamHandle, block: u64, size: u64) -> bool {
        let Some(bins) = self.bins(stream).filter(|_| size <= BLOCK_BYTES_MAX) else {
            return false;
        };
        // A bound on what is kept, which nothing else depends on.
        if self.kept.fetch_add(size, Ordering::Relaxed) + size > self.kept_max {
            self.kept.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        let mut bins = bins.lock().unwrap_or_else(PoisonError::into_inner);
        bins.entry(size).or_default().push(block);
        true
    }

    /// All blocks of a stream, which are kept no longer.
    pub(super) fn leave(&self, stream: StreamHandle) -> Vec<u64> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let bins = streams.remove(&stream);
        drop(streams);
        bins.map(|bins| self.empty(&bins)).unwrap_or_default()
    }

    /// All blocks of all streams, which are kept no longer.
    pub(super) fn leave_all(&self) -> Vec<(StreamHandle, u64)> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let all = streams.iter().flat_map(|(stream, bins)| {
            let blocks = self.empty(bins).into_iter();
            blocks.map(|block| (*stream, block))
        });
        all.collect()
    }

    fn empty(&self, bins: &Mutex<Bins>) -> Vec<u64> {
        let mut bins = bins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (size, blocks) in bins.drain() {
            self.kept
                .fetch_sub(size * blocks.len() as u64, Ordering::Relaxed);
            all.extend(blocks);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_waste_little_and_are_sizes_themselves() {
        for bytes in
            (0..4096).chain((12..25).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]))
        {
            let size = Blocks::size_of(bytes);
            assert!(size >= bytes && size <= (bytes + bytes / 8).max(bytes + BLOCK_BYTES_MIN));
            assert_eq!(Blocks::size_of(size), size);
        }
        assert_eq!(Blocks::size_of(BLOCK_BYTES_MAX + 1), BLOCK_BYTES_MAX + 1);
    }

    #[test]
    fn a_block_returns_to_its_stream_alone_and_no_more_are_kept_than_may_be() {
        let blocks = Blocks::new(1024);
        let (one, other) = (StreamHandle(1), StreamHandle(2));
        assert!(!blocks.keep(one, 7, 512));
        blocks.enter(one);
        blocks.enter(other);
        assert!(blocks.keep(one, 7, 512));
        assert_eq!(blocks.take(other, 512), None);
        assert_eq!(blocks.take(one, 1024), None);
        assert_eq!(blocks.take(one, 512), Some(7));
        assert_eq!(blocks.take(one, 512), None);
        assert!(blocks.keep(one, 7, 512) && blocks.keep(other, 8, 512));
        assert!(!blocks.keep(one, 9, 512));
        assert_eq!(blocks.leave(one), [7]);
        assert!(blocks.keep(other, 9, 512));
        let mut all = blocks.leave_all();
        all.sort_unstable_by_key(|(_, block)| *block);
        assert_eq!(all, [(other, 8), (other, 9)]);
        assert!(blocks.keep(other, 1, 1024));
    }
}
