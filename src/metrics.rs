//! Counters of one query: what was read, moved and computed, and how long it took.
//!
//! Counters only ever grow and may be added to from any thread; a [`Snapshot`] is what users see
//! under `--stats`. Beside the [`names`] that count for a whole query, each step of a pipeline has a
//! [`Meter`] (`meter`), each decision taken at run time a [`Decision`] (`decision`), each stream and
//! each tier of memory a record. A query that is traced has a [`Trace`] (`trace`), too. Nothing here
//! decides anything.

#![forbid(unsafe_code)]

mod cache;
mod decision;
mod meter;
mod trace;

pub use cache::{CacheCounts, CacheRecord};
pub use decision::{BloomChoice, Choice, Decision, KeyFilterRecord, PrunedRecord, ScanRecord};
pub use meter::{Meter, RowCount, StepFacts, StepKind, StepRecord};
pub use trace::{OnTrack, Trace, Track, TrackSpan, span_here};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Target of the events that say which operators run on the CPU in the place of the engine's backend.
pub const FALLBACK_TARGET: &str = "pelton::fallback";

/// A point of a device's stream.
pub trait Moment: Send + Sync + fmt::Debug {
    /// When the stream passed it; none if it has not, or if nobody knows.
    fn when(&self) -> Option<Instant>;
}

/// Keeps the times of points of a device's streams.
pub trait StreamClock: Send + Sync + fmt::Debug {
    /// Puts a point on a stream, by the stream's handle; none if the device refuses.
    fn mark(&self, stream: u64) -> Option<Arc<dyn Moment>>;
}

/// What keeps the times of a query beside its counters; by default nothing does.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// The times of the device's streams.
    pub clock: Option<Arc<dyn StreamClock>>,
    /// Spans of everything.
    pub trace: Option<Arc<Trace>>,
}

/// What went through one stream of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamRecord {
    /// Its number, from 0, in the order of first use.
    pub stream: u64,
    /// Kernels launched.
    pub kernels: u64,
    /// Copies between host and device.
    pub copies: u64,
    /// Their bytes.
    pub copy_bytes: u64,
}

/// What a tier of memory held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct TierRecord {
    /// `device`, `pinned`, `host` or `disk`.
    pub tier: &'static str,
    /// Bytes in use when the query ended: of all queries of the engine.
    pub used: u64,
    /// Most bytes in use at one time since the query started; since the first one did, of several
    /// that overlap.
    pub peak: u64,
    /// Bytes moved from here to a lower tier.
    pub spilled: u64,
    /// Bytes brought back to here.
    pub unspilled: u64,
}

/// The counters of one running query.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
    meters: Mutex<Vec<Arc<Meter>>>,
    decisions: Mutex<Vec<Decision>>,
    streams: Mutex<BTreeMap<u64, StreamRecord>>,
    /// Bytes moved between tiers, by tier from which and tier to which.
    moves: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    tiers: Mutex<Vec<TierRecord>>,
    timing: Timing,
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
    /// Column chunks that a scan found in the column cache.
    pub const COLUMN_CACHE_HITS: &str = "column_cache_hits";
    /// Column chunks that a scan looked for in the column cache and had to read.
    pub const COLUMN_CACHE_MISSES: &str = "column_cache_misses";
    /// Compressed bytes that were not read, because the column cache had them.
    pub const COLUMN_CACHE_BYTES: &str = "column_cache_bytes";
    /// Bytes of the columns that were decoded: values, validity, and strings.
    pub const SCAN_DECODED_BYTES: &str = "scan_decoded_bytes";
    /// Rows of scans that were dropped because no build side of a join has their keys.
    pub const KEY_FILTER_ROWS_DROPPED: &str = "key_filter_rows_dropped";
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counters that start at nothing, with times kept as `timing` says.
    pub fn new(timing: Timing) -> Self {
        Metrics {
            timing,
            ..Metrics::default()
        }
    }

    /// Adds to a counter.
    pub fn add(&self, name: &'static str, amount: u64) {
        self.counter(name).fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds a duration, in nanoseconds.
    pub fn add_duration(&self, name: &'static str, duration: Duration) {
        self.add(name, nanoseconds(duration));
    }

    /// Raises a counter to at least `value`: for peaks.
    pub fn raise(&self, name: &'static str, value: u64) {
        self.counter(name).fetch_max(value, Ordering::Relaxed);
    }

    fn counter(&self, name: &'static str) -> Arc<AtomicU64> {
        Arc::clone(locked(&self.counters).entry(name).or_default())
    }

    /// A meter for a step of a pipeline.
    pub fn meter(&self, facts: StepFacts) -> Arc<Meter> {
        let meter = Arc::new(Meter::new(facts));
        locked(&self.meters).push(Arc::clone(&meter));
        meter
    }

    /// Keeps a decision that was taken while the query ran; `pipeline` is counted from 1.
    pub fn decide(&self, pipeline: usize, choice: Choice) {
        locked(&self.decisions).push(Decision { pipeline, choice });
    }

    /// Counts a kernel of a stream.
    pub fn launched(&self, stream: u64) {
        self.add(names::KERNEL_LAUNCHES, 1);
        self.stream(stream, |record| record.kernels += 1);
    }

    /// Counts a copy of a stream between host and device.
    pub fn copied(&self, stream: u64, bytes: u64) {
        self.stream(stream, |record| {
            record.copies += 1;
            record.copy_bytes += bytes;
        });
    }

    fn stream(&self, stream: u64, change: impl FnOnce(&mut StreamRecord)) {
        let mut streams = locked(&self.streams);
        let number = streams.len() as u64;
        let record = streams.entry(stream).or_insert(StreamRecord {
            stream: number,
            ..StreamRecord::default()
        });
        change(record);
    }

    /// Counts a stored batch that was moved between tiers, which ended just now.
    pub fn moved(&self, from: &'static str, to: &'static str, bytes: u64, took: Duration) {
        *locked(&self.moves).entry((from, to)).or_default() += bytes;
        if let Some(trace) = &self.timing.trace {
            trace.aside(format!("{from} to {to}"), took, bytes);
        }
    }

    /// Bytes moved between tiers, by tier from which and tier to which.
    pub fn moves(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        locked(&self.moves).clone()
    }

    /// What the tiers held, as known when the query ends.
    pub fn set_tiers(&self, tiers: Vec<TierRecord>) {
        *locked(&self.tiers) = tiers;
    }

    /// The device's clock, if times of the device are kept.
    pub fn clock(&self) -> Option<&Arc<dyn StreamClock>> {
        self.timing.clock.as_ref()
    }

    /// The trace, if there is one.
    pub fn trace(&self) -> Option<&Arc<Trace>> {
        self.timing.trace.as_ref()
    }

    /// A span of what is put on a stream from now on until it is dropped; nothing if there is no trace.
    pub fn on_stream(&self, stream: u64, name: &'static str) -> Option<StreamSpan<'_>> {
        let trace = self.timing.trace.as_deref()?;
        let clock = self.timing.clock.as_deref()?;
        Some(StreamSpan {
            from: clock.mark(stream)?,
            trace,
            clock,
            stream,
            name,
        })
    }

    /// How much of what the sources have to read has been read and worked on.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for meter in locked(&self.meters).iter() {
            meter.add_to(&mut progress);
        }
        progress
    }

    /// The values now.
    pub fn snapshot(&self) -> Snapshot {
        let counters = locked(&self.counters);
        let counters = counters
            .iter()
            .map(|(name, value)| ((*name).to_string(), value.load(Ordering::Relaxed)));
        let counters = counters.collect();
        let mut steps: Vec<StepRecord> = locked(&self.meters).iter().map(|m| m.record()).collect();
        steps.sort_by_key(|record| (record.facts.pipeline, record.facts.step));
        let mut decisions = locked(&self.decisions).clone();
        decisions.sort_by_key(|decision| decision.pipeline);
        let mut streams: Vec<StreamRecord> = locked(&self.streams).values().copied().collect();
        streams.sort_by_key(|record| record.stream);
        Snapshot {
            counters,
            steps,
            decisions,
            tiers: locked(&self.tiers).clone(),
            streams,
        }
    }
}

/// A span of a stream, from where it was made to where it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct StreamSpan<'a> {
    trace: &'a Trace,
    clock: &'a dyn StreamClock,
    stream: u64,
    name: &'static str,
    from: Arc<dyn Moment>,
}

impl Drop for StreamSpan<'_> {
    fn drop(&mut self) {
        if let Some(to) = self.clock.mark(self.stream) {
            let ends = (Arc::clone(&self.from), to);
            self.trace.on_device(self.stream, self.name, ends);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How far a query is: rows and bytes of files and tables. What is to be read grows while it runs,
/// because a pipeline opens its source when what its joins need is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Rows read and worked on.
    pub rows: u64,
    /// Rows to read, as far as known.
    pub rows_total: u64,
    /// Uncompressed bytes read and worked on.
    pub bytes: u64,
    /// Uncompressed bytes to read, as far as known.
    pub bytes_total: u64,
}

/// The counters of a query at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Value by counter name.
    pub counters: BTreeMap<String, u64>,
    /// What went through each step, by pipeline and place in it.
    pub steps: Vec<StepRecord>,
    /// What was decided while the query ran, by pipeline.
    pub decisions: Vec<Decision>,
    /// What each tier of memory held.
    pub tiers: Vec<TierRecord>,
    /// What went through each stream of the device.
    pub streams: Vec<StreamRecord>,
}

impl Snapshot {
    /// A counter's value, 0 if it was never touched.
    pub fn get(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// The steps of a pipeline, counted from 1, in the order of its rows' way.
    pub fn steps_of(&self, pipeline: usize) -> impl Iterator<Item = &StepRecord> {
        let of_pipeline = move |step: &&StepRecord| step.facts.pipeline == pipeline;
        self.steps.iter().filter(of_pipeline)
    }

    /// Takes what another snapshot has, and this one does not.
    pub fn absorb(&mut self, other: Snapshot) {
        self.counters.extend(other.counters);
        self.steps.extend(other.steps);
        self.decisions.extend(other.decisions);
        self.tiers.extend(other.tiers);
        self.streams.extend(other.streams);
    }
}
