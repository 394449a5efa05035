//! Freed device memory that its stream takes again without asking the driver.
//!
//! A block returns to the stream that it was allocated on. Where that stream also came to its end, its
//! next use there is behind the last one, and nobody has to wait; where another stream did, an event of
//! that stream tells. The driver's pool knows all that, too, but every call to it takes the one lock of
//! its context, for which the threads of a query queue: 100 us and more a call, where 16 of them scan.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::EventHandle;
use crate::memory::StreamHandle;

/// Larger blocks are left to the driver: they are few.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

/// Blocks are whole multiples of this.
const BLOCK_BYTES_MIN: u64 = 512;

/// Sizes between two powers of two: a block has at most an eighth more than was asked for.
const SIZES_PER_OCTAVE: u64 = 8;

/// Blocks that are asked whether another stream is through with them, before a new one is allocated.
const ASKED_MAX: usize = 3;

/// Memory that is free, once an event of another stream has passed where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) address: u64,
    pub(super) used_until: Option<EventHandle>,
}

/// Blocks of one stream, by their size; the first one to be freed in front.
type Bins = HashMap<u64, VecDeque<Block>>;

/// Blocks that are kept for their streams.
#[derive(Debug)]
pub(super) struct Blocks {
    streams: RwLock<HashMap<StreamHandle, Arc<Mutex<Bins>>>>,
    kept: AtomicU64,
    kept_max: AtomicU64,
}

impl Blocks {
    /// Keeps no more bytes than `kept_max`.
    pub(super) fn new(kept_max: u64) -> Self {
        Blocks {
            streams: RwLock::default(),
            kept: AtomicU64::new(0),
            kept_max: AtomicU64::new(kept_max),
        }
    }

    /// Keeps no more bytes than this from now on.
    pub(super) fn keep_at_most(&self, bytes: u64) {
        self.kept_max.store(bytes, Ordering::Relaxed);
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

    /// A block of the stream, of a size that [`Blocks::size_of`] gave. `passed` says whether an event
    /// has.
    pub(super) fn take(
        &self,
        stream: StreamHandle,
        size: u64,
        passed: impl Fn(EventHandle) -> bool,
    ) -> Option<Block> {
        if size > BLOCK_BYTES_MAX {
            return None;
        }
        let bins = self.bins(stream)?;
        let mut bins = bins.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = bins.get_mut(&size)?;
        let mut asked = 0;
        let is_free = |block: &Block| match block.used_until {
            None => true,
            Some(_) if asked == ASKED_MAX => false,
            Some(event) => {
                asked += 1;
                passed(event)
            }
        };
        let free = blocks.iter().position(is_free)?;
        let block = blocks.remove(free)?;
        self.kept.fetch_sub(size, Ordering::Relaxed);
        Some(block)
    }

    /// Whether a block of the stream may be kept; its bytes are then counted, and [`Blocks::keep`] must
    /// follow.
    pub(super) fn reserve(&self, stream: StreamHandle, size: u64) -> bool {
        if size > BLOCK_BYTES_MAX || self.bins(stream).is_none() {
            return false;
        }
        // A bound on what is kept, which nothing else depends on.
        let room = self.kept.fetch_add(size, Ordering::Relaxed) + size
            <= self.kept_max.load(Ordering::Relaxed);
        if !room {
            self.kept.fetch_sub(size, Ordering::Relaxed);
        }
        room
    }

    /// Keeps a block for the stream that it was allocated on. False if that is gone by now.
    pub(super) fn keep(&self, stream: StreamHandle, block: Block, size: u64) -> bool {
        let Some(bins) = self.bins(stream) else {
            self.kept.fetch_sub(size, Ordering::Relaxed);
            return false;
        };
        let mut bins = bins.lock().unwrap_or_else(PoisonError::into_inner);
        bins.entry(size).or_default().push_back(block);
        true
    }

    /// All blocks of a stream, which are kept no longer.
    pub(super) fn leave(&self, stream: StreamHandle) -> Vec<Block> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let bins = streams.remove(&stream);
        drop(streams);
        bins.map(|bins| self.empty(&bins)).unwrap_or_default()
    }

    /// All blocks of all streams, which are kept no longer.
    pub(super) fn leave_all(&self) -> Vec<(StreamHandle, Block)> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let all = streams.iter().flat_map(|(stream, bins)| {
            let blocks = self.empty(bins).into_iter();
            blocks.map(|block| (*stream, block))
        });
        all.collect()
    }

    fn empty(&self, bins: &Mutex<Bins>) -> Vec<Block> {
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
        let around = (12..27).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for bytes in (0..4096).chain(around) {
            let size = Blocks::size_of(bytes);
            assert!(size >= bytes && size <= (bytes + bytes / 8).max(bytes + BLOCK_BYTES_MIN));
            assert_eq!(Blocks::size_of(size), size);
        }
        assert_eq!(Blocks::size_of(BLOCK_BYTES_MAX + 1), BLOCK_BYTES_MAX + 1);
    }

    fn keep(blocks: &Blocks, stream: StreamHandle, address: u64, event: Option<u64>) -> bool {
        let block = Block {
            address,
            used_until: event.map(EventHandle),
        };
        blocks.reserve(stream, 512) && blocks.keep(stream, block, 512)
    }

    #[test]
    fn a_block_returns_to_its_stream_alone_and_no_more_are_kept_than_may_be() {
        let blocks = Blocks::new(1024);
        let take = |stream, size| {
            let block = blocks.take(stream, size, |_| false);
            block.map(|block| block.address)
        };
        let (one, other) = (StreamHandle(1), StreamHandle(2));
        assert!(!keep(&blocks, one, 7, None));
        blocks.enter(one);
        blocks.enter(other);
        assert!(keep(&blocks, one, 7, None));
        assert_eq!(take(other, 512), None);
        assert_eq!(take(one, 1024), None);
        assert_eq!(take(one, 512), Some(7));
        assert_eq!(take(one, 512), None);
        assert!(keep(&blocks, one, 7, None) && keep(&blocks, other, 8, None));
        assert!(!keep(&blocks, one, 9, None));
        assert_eq!(blocks.leave(one).len(), 1);
        assert!(keep(&blocks, other, 9, None));
        let all = blocks.leave_all();
        let mut all: Vec<_> = all
            .iter()
            .map(|(stream, block)| (*stream, block.address))
            .collect();
        all.sort_unstable_by_key(|(_, address)| *address);
        assert_eq!(all, [(other, 8), (other, 9)]);
        assert!(keep(&blocks, other, 1, None) && keep(&blocks, other, 2, None));
    }

    #[test]
    fn a_block_that_another_stream_uses_is_not_taken() {
        let blocks = Blocks::new(1 << 20);
        let stream = StreamHandle(1);
        blocks.enter(stream);
        assert!(keep(&blocks, stream, 7, Some(70)) && keep(&blocks, stream, 8, Some(80)));
        let take = |passed: u64| {
            let block = blocks.take(stream, 512, |event| event.0 == passed);
            block.map(|block| block.address)
        };
        assert_eq!(
            (take(0), take(80), take(80), take(70)),
            (None, Some(8), None, Some(7))
        );
        for address in 0..=ASKED_MAX as u64 {
            assert!(keep(&blocks, stream, address, Some(address)));
        }
        assert_eq!(take(ASKED_MAX as u64), None); // too many stand in front
        assert!(keep(&blocks, stream, 9, None));
        assert_eq!(take(ASKED_MAX as u64), Some(9));
    }
}
