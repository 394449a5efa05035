//! Runs queries: an [`Engine`] holds a backend and memory, and executes plans over Parquet files.
//!
//! A query is lowered to pipelines, and `run` runs them as a network of actors: workers that each hold
//! streams of the backend, joined by bounded channels. What the backend does not support runs on the
//! CPU backend, operator by operator, as [`FallbackMode`](crate::options::FallbackMode) says. Start from [`scan_parquet`], or give
//! [`Engine::execute`] a plan. This is the only room that reads options.

#![forbid(unsafe_code)]

mod analyze;
mod control;
mod host;
mod kept;
mod lazy;
#[cfg(test)]
mod lowering_tests;
mod planner;
#[cfg(test)]
mod rule_tests;
mod run;
mod scan;
mod select;
mod stream;
mod threads;
mod verdict;

pub use control::QueryControl;
pub use kept::KeptResult;
pub use lazy::{
    LazyFrame, LazyGroupBy, LazyJoin, concat_frames, from_batches, scan_parquet, scan_parquet_files,
};
pub use select::BackendChoice;
pub use stream::ResultStream;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;

use crate::backend::Backend;
use crate::backend::cpu::CpuBackend;
use crate::comm::{Communicator, Single};
#[cfg(any(feature = "cuda", feature = "simt"))]
use crate::device::Driver;
use crate::error::{Error, Result};
use crate::memory::{
    BatchStore, DiskFiles, Files, MemoryLimits, MemoryManager, Reservation, SpillManager,
    SpillOptions, Tier, Wait,
};
use crate::metrics::{Snapshot, names};
use crate::network::{ActorPool, Capacity, Scope};
use crate::options::EngineOptions;
use crate::pipeline::{Pipeline, Source, describe, distribute, lower};
use crate::plan::{Query, optimise};
use crate::storage::{PruneSteps, ReadOptions};
use crate::types::SchemaRef;
use control::Watched;
use kept::{KeptResults, Outcome};
use planner::Planner;
use run::{Backends, FilterOptions, Parkings, Place, Prepared, QueryRun, Refusals, Rows, Turns};
use select::Opened;
use stream::Running;
use threads::DeepThreads;
use verdict::Verdict;

/// Share of device memory that a build side may have which every rank gets, in percent.
const BROADCAST_PERCENT: u64 = 15;

/// Most bytes of such a build side.
const BROADCAST_BYTES_MAX: u64 = 16_000_000_000;

/// Steps of a plan that is copied on whatever stack the caller has left, to be run by a thread that is
/// there already; for a larger one, a thread is started.
const COPIED_STEPS_MAX: usize = 32;

/// Executes queries. Shared by threads at will; queries do not see each other. A clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    options: EngineOptions,
    memory: Arc<MemoryManager>,
    spiller: Arc<SpillManager>,
    pool: Arc<ActorPool>,
    backend: Arc<dyn Backend>,
    cpu: Arc<dyn Backend>,
    choice: BackendChoice,
    comm: Arc<dyn Communicator>,
    /// How many queries were started: all ranks count alike.
    queries: Arc<AtomicU64>,
    kept: KeptResults,
    /// Plans run as they are written.
    as_written: bool,
    /// Fewest rows of a scan that build sides filter.
    filtered_rows_min: u64,
    /// How many run now.
    running: Arc<AtomicUsize>,
    /// Where plans are walked.
    threads: DeepThreads,
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
    /// Operators that ran on the CPU instead, each with its pipeline and the reason. Empty if the
    /// fallback mode is `silent`; the metrics count them all the same.
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
    /// cannot be had; `Reservation` if they ask for more pinned memory at the start than its limit.
    pub fn new(options: EngineOptions) -> Result<Engine> {
        Engine::with_communicator(options, Arc::new(Single))
    }

    /// An engine that is one rank of several: it reads its share of a scan's partitions, and gives its
    /// share of a result: of sorted rows the first ones are rank 0's, the next ones rank 1's, and so on. All
    /// ranks run the same queries in the same order, each on a thread of its own.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_communicator(
        options: EngineOptions,
        comm: Arc<dyn Communicator>,
    ) -> Result<Engine> {
        let opened = select::open(&options)?;
        Engine::over(options, opened, Arc::new(DiskFiles), comm)
    }

    fn over(
        options: EngineOptions,
        opened: Opened,
        files: Arc<dyn Files>,
        comm: Arc<dyn Communicator>,
    ) -> Result<Engine> {
        let host_bytes = host::memory_bytes();
        let memory = MemoryManager::new(MemoryLimits {
            device: options.device_memory_limit().of(opened.device_bytes()),
            pinned: options.pinned_memory_limit().of(host_bytes),
            host: options.host_memory_limit().of(host_bytes),
            disk: options.disk_limit(),
        });
        memory.set_spill_limits(
            options
                .spill_device_limit()
                .of(Some(memory.limits().device)),
            options.spill_host_limit().of(Some(memory.limits().host)),
        );
        let spilling = SpillOptions {
            folder: options.spill_folder(),
            enabled: options.spill(),
            check_every: options.periodic_spill_check(),
        };
        let spiller = SpillManager::new(&memory, spilling, files);
        let pool = ActorPool::threads(options.num_streaming_threads());
        let cpu: Arc<dyn Backend> = Arc::new(CpuBackend::new());
        let (backend, choice) = opened.backend(&options, host_bytes, &memory, &cpu)?;
        Ok(Engine {
            options,
            memory,
            spiller,
            pool,
            backend,
            cpu,
            choice,
            comm,
            queries: Arc::default(),
            kept: KeptResults::default(),
            as_written: false,
            filtered_rows_min: FilterOptions::SCAN_ROWS_MIN,
            running: Arc::default(),
            threads: DeepThreads::default(),
        })
    }

    /// An engine over a device and spill files that the caller made, the CPU backend without a
    /// device: for tests of what fails.
    ///
    /// # Errors
    /// As [`Engine::new`].
    #[doc(hidden)]
    #[cfg(any(feature = "cuda", feature = "simt"))]
    pub fn with_driver(
        options: EngineOptions,
        driver: Option<Arc<dyn Driver>>,
        files: Arc<dyn Files>,
    ) -> Result<Engine> {
        let opened = Opened::brought(driver);
        Engine::over(options, opened, files, Arc::new(Single))
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

    /// The engine as one rank of several: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn on_rank(mut self, comm: Arc<dyn Communicator>) -> Engine {
        self.comm = comm;
        self
    }

    /// The engine with its actors run by one thread, in an order drawn from a seed: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Engine {
        self.pool = ActorPool::seeded(seed);
        self
    }

    /// The engine with no rule applied to plans: for tests of rules.
    #[doc(hidden)]
    #[must_use]
    pub fn as_written(mut self) -> Engine {
        self.as_written = true;
        self
    }

    /// The engine with build sides that filter scans of any size: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn filtering_all(mut self) -> Engine {
        self.filtered_rows_min = 0;
        self
    }

    /// The query that runs for a query.
    fn chosen(&self, query: &Query) -> Query {
        match self.as_written {
            true => query.clone(),
            false => optimise(query),
        }
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
        self.execute_with(query, &QueryControl::new())
    }

    /// As [`Engine::execute`], with something to watch and to cancel the query by.
    ///
    /// # Errors
    /// As [`Engine::execute`]; `Cancelled`, `DeadlinePassed`; `Io` for a trace that cannot be written.
    pub fn execute_with(&self, query: &Query, control: &QueryControl) -> Result<QueryResult> {
        if query.plan.steps() > COPIED_STEPS_MAX {
            return threads::on_own_stack(|| self.execute_here(query, control));
        }
        let (engine, query, control) = (self.clone(), query.clone(), control.clone());
        self.threads
            .run(move || engine.execute_here(&query, &control))
    }

    fn execute_here(&self, query: &Query, control: &QueryControl) -> Result<QueryResult> {
        let (run, schema, mut rows) = self.run_to_end(query, None, control)?;
        rows.sort_by_key(|rows| rows.sequence);
        let (batches, held): (Vec<RecordBatch>, _) =
            rows.into_iter().map(|rows| (rows.batch, rows.held)).unzip();
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        run.read.metrics.add(names::RESULT_ROWS, count as u64);
        Ok(QueryResult {
            schema,
            batches,
            metrics: self.snapshot(&run),
            backend: self.backend.name(),
            fallbacks: run.fallbacks(),
            _held: held,
        })
    }

    /// Runs a query whose rows go to a store.
    fn execute_into(&self, query: &Query, store: &Arc<BatchStore>) -> Result<Outcome> {
        let (run, schema, _) = self.run_to_end(query, Some(store), &QueryControl::new())?;
        run.read.metrics.add(names::RESULT_ROWS, store.rows());
        Ok(Outcome {
            number: run.query,
            schema,
            ordered: run.pipelines.last().is_some_and(Pipeline::gives_order),
            metrics: self.snapshot(&run),
            fallbacks: run.fallbacks(),
        })
    }

    /// Runs a query to its end; its rows are the result, unless a store takes them.
    fn run_to_end(
        &self,
        query: &Query,
        store: Option<&Arc<BatchStore>>,
        control: &QueryControl,
    ) -> Result<(Arc<QueryRun>, SchemaRef, Vec<Rows>)> {
        let watched = self.watch(control)?;
        let _entered = watched.span.enter();
        let outcome = self.attempt(query, store, &watched);
        watched.end(outcome)
    }

    /// Tries a query until no backend refuses anything.
    fn attempt(
        &self,
        query: &Query,
        store: Option<&Arc<BatchStore>>,
        watched: &Arc<Watched>,
    ) -> Result<(Arc<QueryRun>, SchemaRef, Vec<Rows>)> {
        let mut refusals = None;
        loop {
            let number = self.next_query();
            let prepared = self.prepare(number, query, false, store, refusals, watched);
            let prepared = self.ready(number, prepared)?;
            let (run, schema) = (Arc::clone(prepared.query()), prepared.schema()?);
            let rows = prepared.run(Vec::new(), |all: &mut Vec<Rows>, rows| {
                all.push(rows);
                Ok(true)
            });
            let rows = rows.map_err(|error| run.with_pipelines(error));
            self.ended(number, &rows);
            match self.verdict(&run, rows)? {
                Verdict::Done(rows) => return Ok((run, schema, rows)),
                // Nobody has seen a row yet: the CPU backend takes what was refused.
                Verdict::Anew(all) => {
                    refusals = Some(all);
                    while store.is_some_and(|store| store.pop().is_some()) {}
                }
            }
        }
    }

    /// Starts a query on a thread of its own.
    fn start(
        &self,
        query: &Query,
        ordered: bool,
        refusals: Option<Refusals>,
        watched: &Arc<Watched>,
    ) -> Result<(Running, SchemaRef)> {
        let number = self.next_query();
        let prepared = self.prepare(number, query, ordered, None, refusals, watched);
        let prepared = self.ready(number, prepared)?;
        let (run, schema) = (Arc::clone(prepared.query()), prepared.schema()?);
        let canceller = run.scope.canceller();
        let (rows, thread) = prepared.start()?;
        let running = Running {
            run,
            rows,
            canceller,
            thread,
            number,
        };
        Ok((running, schema))
    }

    /// Tells the other ranks how a query ended here.
    fn ended<T>(&self, number: u64, outcome: &Result<T>) {
        if let Err(error) = outcome {
            self.comm.abort(number, &error.to_string());
        }
        self.comm.forget(number);
    }

    /// The counters of a query, with those of the engine's memory.
    fn snapshot(&self, run: &QueryRun) -> Snapshot {
        run.watched.count(&run.read.metrics);
        run.read.metrics.snapshot()
    }

    /// The number of a query that starts, the same on all ranks.
    fn next_query(&self) -> u64 {
        self.queries.fetch_add(1, Ordering::Relaxed)
    }

    /// The network of a query, ready to run; the pipelines that were refused run on the CPU.
    fn prepare(
        &self,
        number: u64,
        query: &Query,
        ordered: bool,
        store: Option<&Arc<BatchStore>>,
        refusals: Option<Refusals>,
        watched: &Arc<Watched>,
    ) -> Result<Prepared> {
        let pipelines = self.pipelines(&self.chosen(query))?;
        let metrics = watched.metrics();
        let scope = Scope::new(&self.pool, watched.deadline());
        let memory = Arc::clone(&self.memory);
        let waking = scope.on_abort(move || memory.wake_all());
        let check = scope.clone();
        let run = QueryRun {
            wait: Wait {
                timeout: self.options.memory_reserve_timeout(),
                overbook: self.options.allow_overbooking_by_default(),
                frees: 0,
                cancelled: Arc::new(move || check.check()),
            },
            turns: Turns::default(),
            _waking: waking,
            watched: Arc::clone(watched),
            scope,
            pipelines,
            ordered,
            query: number,
            plan: match self.comm.world() {
                1 => String::new(), // there is nobody to compare it
                _ => query.to_string(),
            },
            backend: Arc::clone(&self.backend),
            cpu: Arc::clone(&self.cpu),
            mode: self.options.fallback_mode(),
            executor: self.options.executor(),
            memory: Arc::clone(&self.memory),
            spiller: Arc::clone(&self.spiller),
            planner: self.planner(),
            workers: self.workers(),
            capacity: Capacity {
                messages: self.options.channel_messages(),
                bytes: self.options.channel_bytes(),
            },
            filters: FilterOptions {
                on: self.options.join_filter_pushdown(),
                scan_rows_min: self.filtered_rows_min,
                bloom_bytes_max: self.options.join_filter_bloom_max_size(),
                threshold: self.options.join_filter_threshold(),
                sample_batches: self.sample_batches(),
            },
            dynamic_planning: self.options.dynamic_planning(),
            kept: self.kept.clone(),
            keeps: store.cloned(),
            parkings: Parkings::new(&self.backend, &metrics),
            notes: Mutex::default(),
            refusals: refusals.unwrap_or_default(),
            read: ReadOptions {
                batch_rows: self.options.max_rows_per_partition(),
                memory: Arc::clone(&self.memory),
                reserve_timeout: self.options.memory_reserve_timeout(),
                check_crc: self.options.parquet_check_crc(),
                check_crc_device: self.options.parquet_check_crc_device(),
                late: scan::late_mode(&self.options),
                metrics,
            },
        };
        run.note_refusals();
        watched.attach(&run.scope, &run.read.metrics);
        run::prepare(run)
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
        let query = self.chosen(query);
        let pipelines = self.pipelines(&query)?;
        let mut text = self.heading(&query);
        let (backends, planner) = (self.backends(), self.planner());
        for (index, pipeline) in pipelines.iter().enumerate() {
            let about_source = match &pipeline.source {
                Source::Scan(scan) => {
                    let kept = planner.prune(scan)?;
                    let partitions = kept.partitions(planner.partition_bytes(&kept));
                    scan::record(&kept, partitions.len()).to_string()
                }
                Source::Memory { .. } | Source::Stored(_) | Source::Pipelines(_) => String::new(),
            };
            let (_, refused) = backends.source(pipeline)?;
            let mut refusals: Vec<Error> = refused.into_iter().collect();
            let mut names = Vec::new();
            let transforms = pipeline.transforms.iter().map(|transform| &transform.spec);
            for spec in transforms.chain(&pipeline.fold) {
                let (place, _, refusal) = backends.instantiate(spec)?;
                names.push(match place {
                    Place::Own => self.backend.name(),
                    Place::Cpu => self.cpu.name(),
                });
                refusals.extend(refusal);
            }
            let block = describe(index + 1, pipeline, &about_source, &names);
            for line in block.lines() {
                let _ = writeln!(text, "  {line}");
            }
            for refusal in refusals {
                let _ = writeln!(text, "     on the CPU, because {refusal}");
            }
        }
        Ok(text)
    }

    /// The plan, and who runs it.
    fn heading(&self, query: &Query) -> String {
        let mut text = String::from("plan\n");
        for line in query.to_string().lines() {
            let _ = writeln!(text, "  {line}");
        }
        let BackendChoice { name, reason, .. } = &self.choice;
        let executor = self.options.executor();
        let _ = writeln!(
            text,
            "backend {name}: {reason}\nexecutor {executor}\npipelines"
        );
        text
    }

    fn backends(&self) -> Backends<'_> {
        Backends {
            own: self.backend.as_ref(),
            cpu: self.cpu.as_ref(),
            mode: self.options.fallback_mode(),
        }
    }

    fn planner(&self) -> Planner {
        Planner {
            steps: PruneSteps {
                bloom_filter: self.options.parquet_bloom_filter(),
                dictionary: self.options.parquet_dictionary_pruning(),
                page_index: self.options.parquet_page_index(),
            },
            partition_bytes: self.options.target_partition_size(),
            workers: self.readers(),
            device_limit: match self.backend.tier() {
                Tier::Device => self.memory.limits().device,
                _ => u64::MAX,
            },
            comm: Arc::clone(&self.comm),
        }
    }

    /// The pipelines of a query, as every rank runs them.
    fn pipelines(&self, query: &Query) -> Result<Vec<Pipeline>> {
        let pipelines = lower(query)?;
        match self.comm.world() {
            1 => Ok(pipelines),
            _ => distribute(&pipelines, self.broadcast_bytes()),
        }
    }

    /// Most bytes of a build side that every rank gets.
    fn broadcast_bytes(&self) -> u64 {
        self.options.broadcast_limit().unwrap_or_else(|| {
            let share = (self.planner().device_limit / 100).saturating_mul(BROADCAST_PERCENT);
            share.min(BROADCAST_BYTES_MAX)
        })
    }

    /// Batches of an input that are sampled before a decision is final; none: it is final at once.
    fn sample_batches(&self) -> u64 {
        match self.options.dynamic_planning() {
            true => self.options.sample_chunk_count(),
            false => 0,
        }
    }

    /// Worker threads of a pipeline.
    fn workers(&self) -> usize {
        let threads = self.options.num_streaming_threads();
        threads.min(self.options.num_streams())
    }
    /// Worker threads of a pipeline that reads files.
    fn readers(&self) -> usize {
        let most = self.options.max_concurrent_io_tasks();
        most.map_or(self.workers(), |most| most.min(self.workers()))
    }
}
