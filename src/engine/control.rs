//! What the caller of a query holds on to while it runs: progress, a way to cancel it, and what is
//! kept of its times.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Engine;
use crate::error::{Error, Result};
use crate::memory::{MemoryManager, SpillManager, Tier};
use crate::metrics::{Metrics, Progress, TierRecord, Timing, Trace, names};
use crate::network::{Canceller, Scope};
use crate::storage::temporary_file;

/// A query that is about to run, or runs, seen from outside. Clones are the same; use one for one
/// query at a time.
///
/// ```
/// use pelton::engine::QueryControl;
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let engine = Engine::new(EngineOptions::default())?;
/// let frame = scan_parquet(&orders)?;
/// let control = QueryControl::new();
/// let watcher = control.clone(); // for another thread: `progress`, `cancel`
/// engine.execute_with(frame.query(), &control)?;
/// assert_eq!(watcher.progress().rows, watcher.progress().rows_total);
///
/// watcher.cancel("nobody waits for it");
/// let cancelled = engine.execute_with(frame.query(), &control);
/// assert_eq!(cancelled.unwrap_err().to_string(), "cancelled: nobody waits for it");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct QueryControl {
    shared: Arc<Mutex<Shared>>,
    deadline: Option<Duration>,
    trace: Option<PathBuf>,
    timed: bool,
}

#[derive(Default)]
struct Shared {
    canceller: Option<Canceller>,
    cancelled: Option<String>,
    metrics: Option<Arc<Metrics>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("running", &self.canceller.is_some())
            .field("cancelled", &self.cancelled)
            .finish_non_exhaustive()
    }
}

impl QueryControl {
    /// Of a query that has not begun.
    pub fn new() -> Self {
        QueryControl::default()
    }

    /// How long the query may take; the option `deadline` holds as well.
    #[must_use]
    pub fn deadline(mut self, allowed: Duration) -> Self {
        self.deadline = Some(allowed);
        self
    }

    /// Writes a trace to this file when the query has ended, well or not, in the place of what the option
    /// `trace` says.
    #[must_use]
    pub fn trace(mut self, file: impl Into<PathBuf>) -> Self {
        self.trace = Some(file.into());
        self
    }

    /// Keeps the time that the device spends in each step, too. It costs a little.
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// Ends the query with `Cancelled` and this cause, from any thread: the one that runs, or else the
    /// next one that is run with this.
    pub fn cancel(&self, cause: impl Into<String>) {
        let cause = cause.into();
        let mut shared = self.lock();
        if let Some(canceller) = &shared.canceller {
            canceller.cancel(cause.clone());
        }
        shared.cancelled = Some(cause);
    }

    /// How far the query is.
    pub fn progress(&self) -> Progress {
        let metrics = self.lock().metrics.clone();
        metrics
            .map(|metrics| metrics.progress())
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, scope: &Scope, metrics: &Arc<Metrics>) {
        let canceller = scope.canceller();
        let mut shared = self.lock();
        if let Some(cause) = &shared.cancelled {
            canceller.cancel(cause.clone());
        }
        shared.canceller = Some(canceller);
        shared.metrics = Some(Arc::clone(metrics));
    }

    fn detach(&self) {
        let mut shared = self.lock();
        shared.canceller = None;
        shared.cancelled = None;
    }
}

/// A query that runs, as its caller sees it: all attempts at it together.
pub(super) struct Watched {
    /// For those who listen to events.
    pub(super) span: tracing::Span,
    control: QueryControl,
    started: Instant,
    deadline: Option<Instant>,
    timing: Timing,
    trace_file: Option<PathBuf>,
    memory: Arc<MemoryManager>,
    spiller: Arc<SpillManager>,
    running: Arc<AtomicUsize>,
}

impl Engine {
    /// Takes a query into its caller's control.
    ///
    /// # Errors
    /// The device keeps no times.
    pub(super) fn watch(&self, control: &QueryControl) -> Result<Arc<Watched>> {
        let named = control.trace.clone().or_else(|| self.options.trace_file());
        let trace_file = named.map(|file| match self.comm.world() {
            1 => file,
            _ => file.with_extension(format!("{}.json", self.comm.rank())),
        });
        let clock = match trace_file.is_some() || control.timed {
            true => self.backend.clock()?,
            false => None,
        };
        let started = Instant::now();
        let allowed = [control.deadline, self.options.deadline()];
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.memory.begin_recent_peaks();
        }
        Ok(Arc::new(Watched {
            span: tracing::info_span!("query", backend = self.backend.name()),
            control: control.clone(),
            started,
            deadline: allowed
                .into_iter()
                .flatten()
                .min()
                .map(|after| started + after),
            timing: Timing {
                clock,
                trace: trace_file.as_ref().map(|_| Arc::default()),
            },
            trace_file,
            memory: Arc::clone(&self.memory),
            spiller: Arc::clone(&self.spiller),
            running: Arc::clone(&self.running),
        }))
    }
}

impl Watched {
    /// Counters for an attempt.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        let metrics = Arc::new(Metrics::new(self.timing.clone()));
        self.spiller.observe(&metrics);
        metrics
    }

    /// When the query must have ended.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Lets the caller cancel an attempt, and see how far it is.
    pub(super) fn attach(&self, scope: &Scope, metrics: &Arc<Metrics>) {
        tracing::info!(parent: &self.span, "query starts");
        self.follow(scope, metrics);
    }

    /// Lets the caller cancel what comes behind an attempt.
    pub(super) fn follow(&self, scope: &Scope, metrics: &Arc<Metrics>) {
        self.control.attach(scope, metrics);
    }

    /// Adds what is known only at the end.
    pub(super) fn count(&self, metrics: &Metrics) {
        let memory = &self.memory;
        let moves = metrics.moves();
        let bytes = |of: &dyn Fn(&'static str, &'static str) -> bool| -> u64 {
            let moves = moves.iter().filter(|((from, to), _)| of(from, to));
            moves.map(|(_, bytes)| bytes).sum()
        };
        let depth = |name: &str| Tier::ALL.iter().position(|tier| tier.name() == name);
        let down = |from: &str, to: &str| depth(from) < depth(to);
        let tiers = Tier::ALL.map(|tier| TierRecord {
            tier: tier.name(),
            used: memory.used(tier),
            peak: memory.recent_peak(tier),
            spilled: bytes(&|from, to| from == tier.name() && down(from, to)),
            unspilled: bytes(&|from, to| to == tier.name() && !down(from, to)),
        });
        for tier in &tiers {
            let (peak, spilled) = match tier.tier {
                "device" => (names::DEVICE_BYTES_PEAK, Some(names::SPILLED_DEVICE_BYTES)),
                "host" => (names::HOST_BYTES_PEAK, Some(names::SPILLED_HOST_BYTES)),
                "disk" => (names::DISK_BYTES_PEAK, None),
                _ => continue,
            };
            metrics.raise(peak, tier.peak);
            metrics.add(names::UNSPILLED_BYTES, tier.unspilled);
            if let Some(spilled) = spilled {
                metrics.add(spilled, tier.spilled);
            }
        }
        metrics.set_tiers(tiers.to_vec());
        metrics.add_duration(names::QUERY_NANOSECONDS, self.started.elapsed());
    }

    /// Writes the trace, if there is one, whatever became of the query.
    ///
    /// # Errors
    /// The query's, or `Io` for the trace.
    pub(super) fn end<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => tracing::info!(parent: &self.span, "query done"),
            Err(error) => tracing::info!(parent: &self.span, %error, "query failed"),
        }
        let traced = self.timing.trace.as_ref().zip(self.trace_file.as_ref());
        let written = traced.map_or(Ok(()), |(trace, file)| write(trace, file));
        outcome.and_then(|value| written.map(|()| value))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.control.detach();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Writes a trace as a file that is there whole or not at all.
fn write(trace: &Trace, path: &std::path::Path) -> Result<()> {
    let failed = |cause: &std::io::Error| Error::io(path, "write the trace", cause);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => std::path::Path::new("."),
    };
    let mut file = temporary_file(folder, "trace", None).map_err(|cause| failed(&cause))?;
    let mut out = std::io::BufWriter::new(file.as_file_mut());
    let written = trace.write(&mut out).and_then(|()| {
        use std::io::Write;
        out.flush()
    });
    written.map_err(|cause| failed(&cause))?;
    drop(out);
    let kept = file.persist(path);
    kept.map(drop).map_err(|cause| failed(&cause.error))
}
