//! What goes through one step of a pipeline: batches, rows, bytes, time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::{CacheCounts, CacheRecord, Moment, Progress, locked, nanoseconds};

/// Spans of the device that may wait for their times before somebody asks for these.
const WAITING_MAX: usize = 1024;

/// What a step does for its pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// It makes batches.
    Source,
    /// It makes a batch of a batch.
    Transform,
    /// It takes all batches.
    Fold,
    /// It hands batches to the ranks that they belong to.
    Exchange,
    /// It lets some rows pass.
    Limit,
}

/// What is known of a step before it runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepFacts {
    /// The pipeline's number, from 1.
    pub pipeline: usize,
    /// The step's place in it: the source is 0.
    pub step: usize,
    /// What it does for its pipeline.
    pub kind: StepKind,
    /// The operator's name; of a source `scan`, `table`, `result` or `pipelines`.
    pub operator: &'static str,
    /// The backend that runs it; none for a step that no backend has a part in.
    pub backend: Option<&'static str>,
    /// Why it is not the engine's own backend.
    pub reason: Option<String>,
}

/// A number of rows: exact, or, where only the device knows it, an upper bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RowCount {
    /// The rows.
    pub rows: u64,
    /// Whether there are exactly so many, not perhaps fewer.
    pub exact: bool,
}

impl std::fmt::Display for RowCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.exact {
            f.write_str("≤")?;
        }
        write!(f, "{}", self.rows)
    }
}

/// What went through a step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepRecord {
    /// Which step.
    #[serde(flatten)]
    pub facts: StepFacts,
    /// Batches that it took; of a source, partitions, tables' pieces or batches of other pipelines.
    pub batches_in: u64,
    /// Rows that it took.
    pub rows_in: RowCount,
    /// Bytes that it took; of a scan uncompressed bytes of the files' columns.
    pub bytes_in: u64,
    /// Batches that it gave.
    pub batches_out: u64,
    /// Rows that it gave.
    pub rows_out: RowCount,
    /// Bytes that it gave; of an exchange those that left for other ranks.
    pub bytes_out: u64,
    /// Time of the host in it, added up over workers.
    pub host_nanoseconds: u64,
    /// Time of the device's streams from where the step's work begins to where it ends, added up over
    /// workers; none if nobody kept it.
    pub device_nanoseconds: Option<u64>,
    /// What a scan found in the column cache; all 0 where there is none.
    pub cache: CacheRecord,
}

#[derive(Debug, Default)]
struct Flow {
    batches: AtomicU64,
    rows: AtomicU64,
    /// Batches of which the host knows no more than an upper bound of the rows.
    bounded: AtomicU64,
    bytes: AtomicU64,
}

impl Flow {
    fn add(&self, rows: RowCount, bytes: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows.rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !rows.exact {
            self.bounded.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn resolve(&self, bound: u64, exact: u64) {
        self.rows.fetch_sub(bound - exact, Ordering::Relaxed);
        self.bounded.fetch_sub(1, Ordering::Relaxed);
    }

    fn rows(&self) -> RowCount {
        RowCount {
            rows: self.rows.load(Ordering::Relaxed),
            exact: self.bounded.load(Ordering::Relaxed) == 0,
        }
    }
}

/// Where a span of a stream begins and ends.
type Ends = (Arc<dyn Moment>, Arc<dyn Moment>);

/// Time of the device: what is known, and spans whose ends the device may not have passed yet.
#[derive(Debug, Default)]
struct DeviceTime {
    known: Option<Duration>,
    waiting: Vec<Ends>,
}

impl DeviceTime {
    fn settle(&mut self) {
        let known = &mut self.known;
        self.waiting.retain(|(from, to)| {
            let (Some(from), Some(to)) = (from.when(), to.when()) else {
                return true;
            };
            *known.get_or_insert_default() += to.saturating_duration_since(from);
            false
        });
    }
}

/// Counts what goes through one step, from any thread.
///
/// ```
/// use pelton::metrics::{Metrics, RowCount, StepFacts, StepKind};
/// let metrics = Metrics::default();
/// let meter = metrics.meter(StepFacts {
///     pipeline: 1,
///     step: 1,
///     kind: StepKind::Transform,
///     operator: "filter",
///     backend: Some("cpu"),
///     reason: None,
/// });
/// meter.took(RowCount { rows: 100, exact: true }, 800);
/// meter.gave(RowCount { rows: 100, exact: false }, 800); // the device knows how many
/// meter.resolve_given(100, 7); // somebody had to ask the device
/// let record = &metrics.snapshot().steps[0];
/// assert_eq!(record.rows_out, RowCount { rows: 7, exact: true });
/// ```
#[derive(Debug)]
pub struct Meter {
    facts: StepFacts,
    taken: Flow,
    given: Flow,
    host: AtomicU64,
    /// What a source is going to take.
    rows_total: AtomicU64,
    bytes_total: AtomicU64,
    device: Mutex<DeviceTime>,
    cache: OnceLock<Arc<CacheCounts>>,
}

impl Meter {
    pub(super) fn new(facts: StepFacts) -> Self {
        Meter {
            facts,
            taken: Flow::default(),
            given: Flow::default(),
            host: AtomicU64::new(0),
            rows_total: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            device: Mutex::default(),
            cache: OnceLock::new(),
        }
    }

    /// Which step it counts for.
    pub fn facts(&self) -> &StepFacts {
        &self.facts
    }

    /// Counts a batch that the step took.
    pub fn took(&self, rows: RowCount, bytes: u64) {
        self.taken.add(rows, bytes);
    }

    /// Counts a batch that the step gave.
    pub fn gave(&self, rows: RowCount, bytes: u64) {
        self.given.add(rows, bytes);
    }

    /// Puts the exact rows of a batch that the step took in the place of their bound.
    pub fn resolve_taken(&self, bound: u64, exact: u64) {
        self.taken.resolve(bound, exact.min(bound));
    }

    /// Puts the exact rows of a batch that the step gave in the place of their bound.
    pub fn resolve_given(&self, bound: u64, exact: u64) {
        self.given.resolve(bound, exact.min(bound));
    }

    /// Adds time of the host.
    pub fn spent(&self, time: Duration) {
        self.host.fetch_add(nanoseconds(time), Ordering::Relaxed);
    }

    /// Adds a span of a stream, whose time may not be known yet.
    pub fn on_device(&self, from: Arc<dyn Moment>, to: Arc<dyn Moment>) {
        let mut device = locked(&self.device);
        device.waiting.push((from, to));
        if device.waiting.len().is_multiple_of(WAITING_MAX) {
            device.settle();
        }
    }

    /// Says what a source is going to take.
    pub fn expect(&self, rows: u64, bytes: u64) {
        self.rows_total.fetch_add(rows, Ordering::Relaxed);
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says where it is counted what a source finds in the column cache: at most once.
    pub fn count_cached(&self, counts: &Arc<CacheCounts>) {
        self.cache.get_or_init(|| Arc::clone(counts));
    }

    pub(super) fn add_to(&self, progress: &mut Progress) {
        let total = self.rows_total.load(Ordering::Relaxed);
        if total > 0 {
            progress.rows_total += total;
            progress.bytes_total += self.bytes_total.load(Ordering::Relaxed);
            progress.rows += self.taken.rows.load(Ordering::Relaxed);
            progress.bytes += self.taken.bytes.load(Ordering::Relaxed);
        }
    }

    /// What went through the step so far.
    pub fn record(&self) -> StepRecord {
        let mut device = locked(&self.device);
        device.settle();
        StepRecord {
            facts: self.facts.clone(),
            batches_in: self.taken.batches.load(Ordering::Relaxed),
            rows_in: self.taken.rows(),
            bytes_in: self.taken.bytes.load(Ordering::Relaxed),
            batches_out: self.given.batches.load(Ordering::Relaxed),
            rows_out: self.given.rows(),
            bytes_out: self.given.bytes.load(Ordering::Relaxed),
            host_nanoseconds: self.host.load(Ordering::Relaxed),
            device_nanoseconds: device.known.map(nanoseconds),
            cache: self
                .cache
                .get()
                .map(|counts| counts.record())
                .unwrap_or_default(),
        }
    }
}
