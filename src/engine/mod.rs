//! Runs queries: an [`Engine`] holds a backend and memory, and executes plans over Parquet files.
//!
//! A query is lowered to pipelines, and `executor` runs them one after the other with worker
//! threads that each hold a stream of the backend. What the backend does not support runs on the
//! CPU backend, as [`FallbackMode`] says. Start from [`scan_parquet`], or give
//! [`Engine::execute`] a plan. This is the only room that reads options.

#![forbid(unsafe_code)]

mod executor;
mod host;
mod lazy;
#[cfg(test)]
mod lowering_tests;
mod scan;
mod select;
mod threads;

pub use lazy::{
    LazyFrame, LazyGroupBy, LazyJoin, concat_frames, from_batches, scan_parquet, scan_parquet_files,
};
pub use select::BackendChoice;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;

use crate::backend::Backend;
use crate::backend::cpu::CpuBackend;
use crate::comm::{Communicator, Single, share_of_rank};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryLimits, MemoryManager, Reservation, Tier};
use crate::metrics::{Metrics, Snapshot, names};
use crate::options::{EngineOptions, FallbackMode};
use crate::pipeline::{Pipeline, ScanSpec, Source, describe, lower};
use crate::plan::Query;
use crate::storage::{Dataset, Kept, Partition, PruneSteps, ReadOptions};
use crate::types::SchemaRef;
use executor::{Input, Materialised, Run};

/// Partitions per worker that an automatic partition size aims at, so that none waits long.
const PARTITIONS_PER_WORKER: u64 = 4;

/// Device bytes of a worker, as a multiple of a partition's uncompressed bytes: two partitions, one
/// being decoded while the other is computed, each as stored, decompressed, and decoded; and as much
/// again for what operators keep.
const DEVICE_BYTES_FACTOR: u64 = 12;

/// Bounds of an automatic partition size: below, a partition costs more than its rows; above, it
/// takes too much of a device.
const PARTITION_BYTES_AUTO: (u64, u64) = (8 << 20, 512 << 20);

/// Executes queries. Shared by threads at will; queries do not see each other.
pub struct Engine {
    options: EngineOptions,
    memory: Arc<MemoryManager>,
    backend: Arc<dyn Backend>,
    cpu: Arc<dyn Backend>,
    choice: BackendChoice,
    comm: Arc<dyn Communicator>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("choice", &self.choice)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The rows of a query and how they came about.
#[derive(Debug)]
pub struct QueryResult {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows, in no stated order.
    pub batches: Vec<RecordBatch>,
    /// What was read, moved and computed.
    pub metrics: Snapshot,
    /// The engine's backend.
    pub backend: &'static str,
    /// Pipelines that ran on the CPU instead, each with the reason. Empty if the fallback mode is
    /// `silent`; the metrics count them all the same.
    pub fallbacks: Vec<String>,
    _held: Vec<Reservation>,
}

impl QueryResult {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Engine {
    /// An engine with the backend that the options name; `auto` takes CUDA if there is a usable
    /// device, else the CPU.
    ///
    /// CUDA's driver gives a process 8 hardware queues unless `CUDA_DEVICE_MAX_CONNECTIONS` says
    /// otherwise when it starts. With 32 scans are up to three times as fast: set it in the
    /// environment of programs that use the library, as the command line does for itself.
    ///
    /// # Errors
    /// `DeviceNotFound`, `KernelsNotBuilt` or `Unsupported` if the options ask for a backend that
    /// cannot be had.
    pub fn new(options: EngineOptions) -> Result<Engine> {
        Engine::with_communicator(options, Arc::new(Single::default()))
    }

    /// An engine that is one rank of several: it reads its share of a scan's partitions.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_communicator(
        options: EngineOptions,
        comm: Arc<dyn Communicator>,
    ) -> Result<Engine> {
        let host_bytes = host::memory_bytes();
        let opened = select::open(&options)?;
        let memory = MemoryManager::new(MemoryLimits {
            device: options.device_memory_limit().of(opened.device_bytes()),
            pinned: options.pinned_memory_limit().of(host_bytes),
            host: options.host_memory_limit().of(host_bytes),
            disk: u64::MAX,
        });
        let cpu: Arc<dyn Backend> = Arc::new(CpuBackend::new());
        let (backend, choice) = opened.backend(&memory, &cpu);
        Ok(Engine {
            options,
            memory,
            backend,
            cpu,
            choice,
            comm,
        })
    }

    /// An engine over a backend that the caller made: for tests of backends.
    ///
    /// # Errors
    /// As [`Engine::new`].
    #[doc(hidden)]
    pub fn with_backend(options: EngineOptions, backend: Arc<dyn Backend>) -> Result<Engine> {
        let mut engine = Engine::new(options.with("backend", "cpu")?)?;
        engine.choice = BackendChoice {
            name: backend.name(),
            reason: "the caller brought it".to_string(),
            device: None,
            facts: Vec::new(),
        };
        engine.backend = backend;
        Ok(engine)
    }

    /// Which backend runs queries, and why.
    pub fn backend_choice(&self) -> &BackendChoice {
        &self.choice
    }

    /// The options that the engine was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Who counts the engine's memory.
    pub fn memory(&self) -> &Arc<MemoryManager> {
        &self.memory
    }

    /// Runs a query to its end.
    ///
    /// # Errors
    /// `InvalidInput` for a plan that is wrong or files that changed since; `Io` and `Corrupt`
    /// for files that cannot be read; whatever the operators' contracts say. The engine stays
    /// usable.
    pub fn execute(&self, query: &Query) -> Result<QueryResult> {
        threads::on_own_stack(|| self.execute_here(query))
    }

    fn execute_here(&self, query: &Query) -> Result<QueryResult> {
        let started = Instant::now();
        let pipelines = lower(query)?;
        self.check_world(&pipelines)?;
        self.check_linear(&pipelines)?;
        let metrics = Arc::new(Metrics::default());
        let mut fallbacks = Vec::new();
        let mut previous = Materialised::default();
        for (index, pipeline) in pipelines.iter().enumerate() {
            let kept = self.prune(pipeline)?;
            previous = match self.run(&self.backend, pipeline, kept.as_ref(), &previous, &metrics) {
                Err(error) if self.falls_back(&error) => {
                    metrics.add(names::PIPELINE_FALLBACKS, 1);
                    if self.options.fallback_mode() == FallbackMode::Warn {
                        fallbacks.push(format!("pipeline {}: {error}", index + 1));
                    }
                    self.run(&self.cpu, pipeline, kept.as_ref(), &previous, &metrics)?
                }
                other => other?,
            };
        }
        let (batches, held) = previous.into_host(&metrics)?;
        let schema = match pipelines.last() {
            Some(pipeline) => Arc::clone(&pipeline.output),
            None => query.plan.schema()?,
        };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        metrics.add(names::RESULT_ROWS, rows as u64);
        metrics.raise(names::DEVICE_BYTES_PEAK, self.memory.peak(Tier::Device));
        metrics.add_duration(names::QUERY_NANOSECONDS, started.elapsed());
        Ok(QueryResult {
            schema,
            batches,
            metrics: metrics.snapshot(),
            backend: self.backend.name(),
            fallbacks,
            _held: held,
        })
    }

    /// The plan, its pipelines, what is not read, and which backend runs what. Reads of files what
    /// execution reads to decide the same: footers, and Bloom filters, dictionaries and page
    /// indexes where these may exclude something.
    ///
    /// # Errors
    /// As [`Engine::execute`], for what can be known without reading rows.
    pub fn explain(&self, query: &Query) -> Result<String> {
        threads::on_own_stack(|| self.explain_here(query))
    }

    fn explain_here(&self, query: &Query) -> Result<String> {
        let pipelines = lower(query)?;
        let mut text = String::from("plan\n");
        for line in query.to_string().lines() {
            let _ = writeln!(text, "  {line}");
        }
        let BackendChoice { name, reason, .. } = &self.choice;
        let _ = writeln!(text, "backend {name}: {reason}\npipelines");
        for (index, pipeline) in pipelines.iter().enumerate() {
            let about_source = match self.prune(pipeline)? {
                Some(kept) => scan::about(&kept, self.partition_bytes(&kept)),
                None => String::new(),
            };
            let (backend, refusal) = self.backend_of(pipeline)?;
            let about = |_: &_| backend.name().to_string();
            let block = describe(index + 1, pipeline, &about_source, &about);
            for line in block.lines() {
                let _ = writeln!(text, "  {line}");
            }
            if let Some(refusal) = refusal {
                let _ = writeln!(text, "     on the CPU, because {refusal}");
            }
        }
        Ok(text)
    }

    /// The backend that is going to run a pipeline, and why it is not the engine's own.
    fn backend_of(&self, pipeline: &Pipeline) -> Result<(&Arc<dyn Backend>, Option<Error>)> {
        match executor::instantiate(self.backend.as_ref(), pipeline) {
            Err(error) if self.falls_back(&error) => Ok((&self.cpu, Some(error))),
            Err(error) => Err(error),
            Ok(_) => Ok((&self.backend, None)),
        }
    }

    fn falls_back(&self, error: &Error) -> bool {
        matches!(error.kind(), ErrorKind::Unsupported { .. })
            && self.backend.name() != self.cpu.name()
            && self.options.fallback_mode() != FallbackMode::Raise
    }

    /// Each pipeline reads files or the one before it, so far.
    fn check_linear(&self, pipelines: &[Pipeline]) -> Result<()> {
        let linear = |(index, pipeline): (usize, &Pipeline)| {
            let inputs = match &pipeline.source {
                Source::Scan(_) => Vec::new(),
                _ => vec![index.wrapping_sub(1)],
            };
            let skips = pipeline.limit.is_some_and(|limit| limit.skip > 0);
            pipeline.inputs() == inputs && !skips
        };
        if pipelines.iter().enumerate().all(linear) {
            return Ok(());
        }
        let reason = "pipelines of several inputs are not run yet";
        Err(Error::unsupported(
            self.backend.name(),
            "joins and unions",
            reason,
        ))
    }

    /// Breakers and limits need what all ranks have; only scans are shared out so far.
    fn check_world(&self, pipelines: &[Pipeline]) -> Result<()> {
        let alone = self.comm.world() == 1;
        let simple = pipelines
            .iter()
            .all(|pipeline| pipeline.fold.is_none() && pipeline.limit.is_none());
        if alone || simple {
            return Ok(());
        }
        Err(Error::unsupported(
            self.backend.name(),
            "aggregations and limits over several ranks",
            format!("there are {} ranks and no exchange yet", self.comm.world()),
        ))
    }

    /// The row groups that a pipeline's scan reads, if it has a scan.
    fn prune(&self, pipeline: &Pipeline) -> Result<Option<Kept>> {
        let Source::Scan(ScanSpec {
            files,
            file_schema,
            projection,
            predicate,
        }) = &pipeline.source
        else {
            return Ok(None);
        };
        let dataset = Dataset::open(files)?;
        if dataset.schema() != file_schema {
            return Err(Error::invalid(
                "scan",
                "the files have another schema than when the query was made",
                "make the query anew",
            ));
        }
        let steps = PruneSteps {
            bloom_filter: self.options.parquet_bloom_filter(),
            dictionary: self.options.parquet_dictionary_pruning(),
            page_index: self.options.parquet_page_index(),
        };
        let kept = dataset.prune_by(projection, predicate.as_ref(), steps)?;
        Ok(Some(kept))
    }

    fn partition_bytes(&self, kept: &Kept) -> u64 {
        self.options.target_partition_size().unwrap_or_else(|| {
            let workers = (self.workers() as u64).max(1);
            let even = kept.bytes() / (workers * PARTITIONS_PER_WORKER);
            let fitting = self.device_limit() / (workers * DEVICE_BYTES_FACTOR);
            let (min, max) = PARTITION_BYTES_AUTO;
            even.clamp(min, max.min(fitting).max(min))
        })
    }

    /// Worker threads of a pipeline.
    fn workers(&self) -> usize {
        let threads = self.options.num_streaming_threads();
        threads.min(self.options.num_streams())
    }

    /// Device bytes that the engine's backend may use; no limit where it has no device.
    fn device_limit(&self) -> u64 {
        if self.backend.name() == self.cpu.name() {
            return u64::MAX;
        }
        self.memory.limits().device
    }

    /// No more workers than partitions that fit the device at one time, so that none waits for
    /// memory that another one will never free.
    fn workers_for(&self, partitions: &[Partition]) -> usize {
        let largest = partitions.iter().map(Partition::bytes).max().unwrap_or(0);
        let each = largest.saturating_mul(DEVICE_BYTES_FACTOR).max(1);
        let fitting = usize::try_from(self.device_limit() / each).unwrap_or(usize::MAX);
        self.workers().min(fitting).max(1)
    }

    fn run(
        &self,
        backend: &Arc<dyn Backend>,
        pipeline: &Pipeline,
        kept: Option<&Kept>,
        previous: &Materialised,
        metrics: &Arc<Metrics>,
    ) -> Result<Materialised> {
        let mut threads = self.workers();
        let input = match kept {
            Some(kept) => {
                let partitions = kept.partitions(self.partition_bytes(kept));
                let partitions = share_of_rank(self.comm.as_ref(), partitions);
                scan::count(kept, metrics);
                metrics.add(names::PARTITIONS, partitions.len() as u64);
                threads = self.workers_for(&partitions);
                Input::Partitions(partitions)
            }
            None => previous.as_input(backend, metrics)?,
        };
        executor::run(Run {
            backend,
            pipeline,
            input,
            threads,
            read: ReadOptions {
                batch_rows: self.options.max_rows_per_partition(),
                memory: Arc::clone(&self.memory),
                reserve_timeout: self.options.memory_reserve_timeout(),
                check_crc: self.options.parquet_check_crc(),
                check_crc_device: self.options.parquet_check_crc_device(),
                metrics: Arc::clone(metrics),
            },
        })
    }
}
