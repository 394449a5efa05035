//! What scans find in the column cache.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a scan found in the column cache so far; shared by all who read its partitions.
#[derive(Debug, Default)]
pub struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    bytes: AtomicU64,
}

/// What a scan found in the column cache. A column chunk that is read in several partitions, or at
/// several times, counts as often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheRecord {
    /// Column chunks that were there.
    pub hits: u64,
    /// Column chunks that had to be read.
    pub misses: u64,
    /// Bytes, as they lie in the files, that were not read because they were there.
    pub bytes: u64,
}

impl CacheCounts {
    /// Counts a column chunk of so many bytes.
    pub fn count(&self, hit: bool, bytes: u64) {
        if hit {
            self.hits.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The values now.
    pub fn record(&self) -> CacheRecord {
        CacheRecord {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
