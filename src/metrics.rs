//! Counters of one query: what was read, moved and computed, and how long it took.
//!
//! Counters only ever grow and may be added to from any thread; a [`Snapshot`] is what users see
//! under `--stats`. Nothing here decides anything.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The counters of one running query.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: Mutex<BTreeMap<&'static str, std::sync::Arc<AtomicU64>>>,
}

/// Counter names; the unit is the last word.
pub mod names {
    /// Row groups the scan considered.
    pub const ROW_GROUPS_TOTAL: &str = "scan_row_groups_total";
    /// Row groups that are not read, by any step of pruning or because they are empty.
    pub const ROW_GROUPS_PRUNED: &str = "scan_row_groups_pruned";
    /// Files that the statistics of all their row groups together excluded.
    pub const FILES_PRUNED: &str = "scan_files_pruned";
    /// Row groups that statistics excluded, those of excluded files included.
    pub const ROW_GROUPS_PRUNED_BY_STATISTICS: &str = "scan_row_groups_pruned_by_statistics";
    /// Row groups in which Bloom filters miss a value.
    pub const ROW_GROUPS_PRUNED_BY_BLOOM_FILTER: &str = "scan_row_groups_pruned_by_bloom_filter";
    /// Row groups of whose dictionaries no entry will do.
    pub const ROW_GROUPS_PRUNED_BY_DICTIONARY: &str = "scan_row_groups_pruned_by_dictionary";
    /// Row groups of which no page may hold a row, by their indexes.
    pub const ROW_GROUPS_PRUNED_BY_PAGE_INDEX: &str = "scan_row_groups_pruned_by_page_index";
    /// Pages of row groups that are read, which are not: by their indexes none of their rows may match.
    pub const PAGES_PRUNED: &str = "scan_pages_pruned";
    /// Batches of which a device decoded the columns of the predicate first.
    pub const LATE_BATCHES: &str = "scan_late_batches";
    /// Pages of the other columns of these batches that were not decoded: no row of them was left.
    pub const LATE_PAGES_LEFT_OUT: &str = "scan_late_pages_left_out";
    /// Compressed bytes of such pages that were not even read, for a page index told where they lie.
    pub const LATE_BYTES_LEFT_OUT: &str = "scan_late_bytes_left_out";
    /// Compressed bytes of all row groups and pages that pruning excluded.
    pub const BYTES_PRUNED: &str = "scan_bytes_pruned";
    /// Bytes of Bloom filters, dictionaries and page indexes that were read in order to prune.
    pub const PRUNING_BYTES: &str = "scan_pruning_bytes";
    /// Compressed bytes of column chunks that were read: of all their pages, or of those chosen.
    pub const SCAN_BYTES: &str = "scan_bytes";
    /// Bytes of the columns that were decoded: values, validity, and strings.
    pub const SCAN_DECODED_BYTES: &str = "scan_decoded_bytes";
    /// Rows decoded from files.
    pub const SCAN_ROWS: &str = "scan_rows";
    /// Bytes copied host to device.
    pub const UPLOAD_BYTES: &str = "upload_bytes";
    /// Bytes copied device to host.
    pub const DOWNLOAD_BYTES: &str = "download_bytes";
    /// Kernels launched.
    pub const KERNEL_LAUNCHES: &str = "kernel_launches";
    /// Partitions run.
    pub const PARTITIONS: &str = "partitions";
    /// Rows in the result.
    pub const RESULT_ROWS: &str = "result_rows";
    /// Wall-clock nanoseconds of the whole query.
    pub const QUERY_NANOSECONDS: &str = "query_nanoseconds";
    /// Nanoseconds spent decoding Parquet, summed over workers.
    pub const DECODE_NANOSECONDS: &str = "decode_nanoseconds";
    /// Nanoseconds spent reading files into pinned memory, summed over workers; part of decoding.
    pub const READ_NANOSECONDS: &str = "read_nanoseconds";
    /// Nanoseconds spent waiting for pinned memory that a copy still used; part of decoding.
    pub const PINNED_WAIT_NANOSECONDS: &str = "pinned_wait_nanoseconds";
    /// Nanoseconds spent queueing the decompression and decoding of pages; part of decoding.
    pub const ASSEMBLE_NANOSECONDS: &str = "assemble_nanoseconds";
    /// Nanoseconds spent in operators and copies as the host sees them, summed over workers.
    pub const OPERATOR_NANOSECONDS: &str = "operator_nanoseconds";
    /// Operators that ran on the CPU because the engine's backend does not support them.
    pub const OPERATOR_FALLBACKS: &str = "operator_fallbacks";
    /// Parts into which folds were split because memory was too short for all at one time.
    pub const FOLD_PARTS: &str = "fold_parts";
    /// Bytes moved from the device to the host because memory was short.
    pub const SPILLED_DEVICE_BYTES: &str = "spilled_device_bytes";
    /// Bytes moved from the host to disk because memory was short.
    pub const SPILLED_HOST_BYTES: &str = "spilled_host_bytes";
    /// Bytes brought back from where they were spilled to.
    pub const UNSPILLED_BYTES: &str = "unspilled_bytes";
    /// Peak of host bytes reserved.
    pub const HOST_BYTES_PEAK: &str = "host_bytes_peak";
    /// Peak of bytes in spill files.
    pub const DISK_BYTES_PEAK: &str = "disk_bytes_peak";
    /// Rows written by a sink.
    pub const SINK_ROWS: &str = "sink_rows";
    /// Bytes of the files that a sink wrote.
    pub const SINK_BYTES: &str = "sink_bytes";
    /// Nanoseconds spent encoding and writing Parquet.
    pub const SINK_NANOSECONDS: &str = "sink_nanoseconds";
    /// Peak of device bytes reserved.
    pub const DEVICE_BYTES_PEAK: &str = "device_bytes_peak";
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(&self, name: &'static str, amount: u64) {
        self.counter(name).fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds a duration, in nanoseconds.
    pub fn add_duration(&self, name: &'static str, duration: Duration) {
        self.add(name, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Raises a counter to at least `value`: for peaks.
    pub fn raise(&self, name: &'static str, value: u64) {
        self.counter(name).fetch_max(value, Ordering::Relaxed);
    }

    fn counter(&self, name: &'static str) -> std::sync::Arc<AtomicU64> {
        let mut counters = self
            .counters
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::sync::Arc::clone(counters.entry(name).or_default())
    }

    /// The values now.
    pub fn snapshot(&self) -> Snapshot {
        let counters = self
            .counters
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Snapshot {
            counters: counters
                .iter()
                .map(|(name, value)| ((*name).to_string(), value.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

/// The counters of a query at one moment, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Value by counter name.
    pub counters: BTreeMap<String, u64>,
}

impl Snapshot {
    /// A counter's value, 0 if it was never touched.
    pub fn get(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}
