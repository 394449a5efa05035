//! A query while it runs: an actor per pipeline with its workers, joined by channels.
//!
//! [`start`] makes the operators of all pipelines and joins the pipelines: by channels where batches
//! flow, by gates where a join's built side is awaited. The executor `streaming` runs all pipelines at
//! one time, over channels that hold little, so that a fast one waits for a slow one. The executor
//! `tasks` runs one after the other; what each leaves waits as a whole, and may be spilled, before the
//! next one starts. `pipeline` has the life of one pipeline, `worker` that of a worker, `fold` what
//! happens at a breaker, `join` and `parts` what happens where memory is too short for one table, `swap`
//! what does where estimates chose the wrong side of a join.

mod bounds;
mod build_keys;
mod dynamic_filter;
mod exchange;
mod failure;
mod fold;
mod in_order;
mod join;
mod lane;
mod limit;
mod link;
mod parking;
mod parts;
mod pipeline;
mod ranges;
mod rank_order;
mod room;
mod source;
mod steps;
mod swap;
mod watch;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use tracing::Instrument;

use super::control::Watched;
use super::kept::KeptResults;
use super::planner::Planner;
use super::threads;
use crate::backend::Backend;
use crate::comm::{OperationId, agree};
use crate::error::{Error, Result};
use crate::memory::{
    Batch, BatchStore, MemoryManager, Sequence, SpillClass, SpillManager, StoredBatch, Tier, Wait,
};
use crate::metrics::{Choice, FALLBACK_TARGET, names};
use crate::network::{Capacity, Handle, Receiver, Registration, Scope, Sender};
use crate::operators::{Context, StreamHandle};
use crate::options::{ExecutorOption, FallbackMode};
use crate::pipeline::{Pipeline, ScanSpec, Source, consumers};
use crate::plan::{MemoryTable, StoredRows};
use crate::storage::{KeyFilter, Partition, ReadOptions};
use crate::types::SchemaRef;
use build_keys::BuildKeys;
pub(super) use dynamic_filter::FilterOptions;
use exchange::Exchanger;
pub(super) use in_order::InOrder;
use lane::Lane;
pub(super) use link::Rows;
use link::{Message, Output};
pub(super) use parking::Parkings;
use pipeline::{Actor, Target};
pub(super) use room::Turns;
use source::Units;
pub(super) use steps::Backends;
use steps::Steps;
use watch::OwnTrack;

/// Which backend runs an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The engine's own.
    Own,
    /// The CPU's, since the engine's own refuses.
    Cpu,
}

/// Result batches per worker that may wait for who collects them.
const RESULTS_PER_WORKER: usize = 2;

/// Share of the host's limit that a batch which waits may have.
const HOST_PIECE_SHARE: u64 = 32;

/// The place of a batch: that of its unit, then that within the unit.
fn sequence(unit: u64, number: u32) -> Sequence {
    Sequence((unit & (u64::MAX >> 24)) << 24 | u64::from(number.min((1 << 24) - 1)))
}

/// The unit of a batch's place.
fn unit_of(place: Sequence) -> u64 {
    place.0 >> 24
}

/// The place of a batch that the `input`-th of several pipelines left: behind those of the ones before.
fn place_in_union(input: usize, place: Sequence) -> Sequence {
    match input {
        0 => place,
        input => Sequence(place.0 >> 8 | (input as u64) << 56),
    }
}

/// What all actors of a query share.
pub(super) struct QueryRun {
    pub(super) scope: Scope,
    pub(super) pipelines: Vec<Pipeline>,
    /// Whether the rows of a scan leave in the order of its files.
    pub(super) ordered: bool,
    /// The query as its caller sees it.
    pub(super) watched: Arc<Watched>,
    /// What the query does, for other ranks to compare with what they do.
    pub(super) plan: String,
    /// The query's number among those that all ranks run.
    pub(super) query: u64,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) cpu: Arc<dyn Backend>,
    pub(super) mode: FallbackMode,
    pub(super) executor: ExecutorOption,
    pub(super) memory: Arc<MemoryManager>,
    pub(super) spiller: Arc<SpillManager>,
    pub(super) read: ReadOptions,
    pub(super) planner: Planner,
    /// Most workers of a pipeline.
    pub(super) workers: usize,
    /// What flows between two pipelines at most.
    pub(super) capacity: Capacity,
    /// How rows of the result wait for memory.
    pub(super) wait: Wait,
    /// Who works just now.
    pub(super) turns: Turns,
    /// Wakes those who wait for memory when the query ends early.
    pub(super) _waking: Registration,
    /// Whether built sides narrow the scans of their probe sides.
    pub(super) filters: FilterOptions,
    /// Whether what is seen of rows changes what was planned by estimates.
    pub(super) dynamic_planning: bool,
    /// Results that the engine keeps.
    pub(super) kept: KeptResults,
    /// Where the result goes, if the engine keeps it.
    pub(super) keeps: Option<Arc<BatchStore>>,
    pub(super) parkings: Parkings,
    pub(super) notes: Mutex<Notes>,
    /// Pipelines that the CPU backend runs whole: an earlier attempt was refused in their midst.
    pub(super) refusals: Refusals,
}

/// Pipelines that the engine's backend refused while they ran, by number, with the reason.
pub(super) type Refusals = BTreeMap<usize, String>;

/// What is said of a query after it ended.
#[derive(Debug, Default)]
pub(super) struct Notes {
    fallbacks: Vec<String>,
    refused: Refusals,
    /// What is known of the keys of built sides, by the pipeline's number.
    keys: BTreeMap<usize, Arc<BuildKeys>>,
    /// Pipelines that have what they need and have not come to their end, by number.
    under_way: BTreeSet<usize>,
    /// Parts of a pipeline's fold, by number and operator.
    parts: BTreeMap<(usize, &'static str), u32>,
}

impl QueryRun {
    fn backends(&self) -> Backends<'_> {
        Backends {
            own: self.backend.as_ref(),
            cpu: self.cpu.as_ref(),
            mode: self.mode,
        }
    }

    fn backend_of(&self, place: Place) -> &dyn Backend {
        match place {
            Place::Own => self.backend.as_ref(),
            Place::Cpu => self.cpu.as_ref(),
        }
    }

    /// A lane for the actor with this track.
    fn lane(&self, track: &OwnTrack) -> Result<Lane> {
        let context = Context {
            stream: StreamHandle::default(),
            metrics: Arc::clone(&self.read.metrics),
            cancelled: Arc::clone(&self.wait.cancelled),
        };
        let timeout = self.read.reserve_timeout;
        Lane::create(&self.backend, &self.cpu, &context, timeout, track.clone())
    }

    /// Checks that all ranks are about to run the same query.
    async fn agree(&self) -> Result<()> {
        let comm = self.planner.comm.as_ref();
        if comm.world() == 1 {
            return Ok(());
        }
        let _outside = self.scope.outside();
        agree(comm, self.operation(0), &self.plan).await
    }

    /// A batch in pieces that the host can hold several of at one time: one that is as large as all
    /// memory could never be brought back. Batches of a device are what its operators made room for.
    fn pieces(&self, batch: Batch) -> Vec<Batch> {
        let Some(rows) = batch.as_host() else {
            return vec![batch];
        };
        let bytes = self.parkings.of(&batch).bytes(&batch);
        let most = (self.memory.limits().host / HOST_PIECE_SHARE).max(1);
        let count = rows.num_rows();
        if bytes <= most || count < 2 {
            return vec![batch];
        }
        let pieces = usize::try_from(bytes.div_ceil(most)).unwrap_or(count);
        let each = count.div_ceil(pieces).max(1);
        let starts = (0..count).step_by(each);
        let piece = |start| Batch::host(rows.slice(start, each.min(count - start)));
        starts.map(piece).collect()
    }

    /// Adds a batch to a store, whose batches may be spilled.
    ///
    /// # Errors
    /// As [`SpillManager::store`].
    fn store_in(
        &self,
        store: &BatchStore,
        place: Sequence,
        batch: Batch,
        class: SpillClass,
    ) -> Result<()> {
        for piece in self.pieces(batch) {
            store.push(place, self.store(piece, class)?);
        }
        Ok(())
    }

    /// Takes a batch into the spill manager's care.
    ///
    /// # Errors
    /// As [`SpillManager::store`].
    fn store(&self, batch: Batch, class: SpillClass) -> Result<Arc<StoredBatch>> {
        let parking = self.parkings.of(&batch);
        self.spiller.store(batch, parking, class)
    }

    /// An operation of the query in which all ranks take part.
    fn operation(&self, number: u32) -> OperationId {
        OperationId {
            query: self.query,
            number,
        }
    }

    /// Bytes of the tier that operators of a place work in.
    fn limit_of(&self, place: Place) -> u64 {
        let limits = self.memory.limits();
        match place {
            Place::Own => limits.of(self.parkings.own_tier()),
            Place::Cpu => limits.of(Tier::Host),
        }
    }

    /// Keeps why an operator runs on the CPU, and gives it.
    fn note_fallback(&self, number: usize, error: &Error) -> String {
        let reason = error.to_string();
        self.note_reason(number, &reason);
        reason
    }

    fn note_reason(&self, number: usize, reason: &str) {
        self.read.metrics.add(names::OPERATOR_FALLBACKS, 1);
        if self.mode == FallbackMode::Warn {
            tracing::warn!(target: FALLBACK_TARGET, pipeline = number, reason, "runs on the CPU");
            let mut notes = self.notes_mut();
            notes.fallbacks.push(format!("pipeline {number}: {reason}"));
        }
    }

    /// Says of the pipelines that were refused before why they run on the CPU.
    pub(super) fn note_refusals(&self) {
        for (number, reason) in &self.refusals {
            self.note_reason(*number, reason);
        }
    }

    /// True if what leaves the engine must be put in the order of its units, which say when they end.
    pub(super) fn in_order(&self) -> bool {
        let unordered = |pipeline: &Pipeline| {
            let parted = !matches!(pipeline.source, Source::Pipelines(_));
            parted && pipeline.fold.is_none() && pipeline.limit.is_none() && !pipeline.gives_order()
        };
        self.ordered && self.pipelines.last().is_some_and(unordered)
    }

    /// True if the workers of a pipeline say when a unit ends.
    fn tells_ends(&self, number: usize) -> bool {
        number == self.pipelines.len() && self.in_order()
    }

    /// Whether a pipeline's rows are in an order that its fold must keep, among equal keys.
    fn keeps_order(&self, number: usize) -> bool {
        let pipeline = self.pipelines.get(number.saturating_sub(1));
        pipeline.is_some_and(Pipeline::keeps_order)
    }

    /// Why the CPU backend runs a pipeline whole, if it does.
    fn forced(&self, number: usize) -> Option<&String> {
        self.refusals.get(&number)
    }

    /// Remembers who was refused what, or has too little memory for it, if somebody was.
    fn note_refusal(&self, number: usize, error: &Error) {
        if self.backends().gives_up(error) {
            let mut notes = self.notes_mut();
            notes.refused.insert(number, error.to_string());
        }
    }

    /// Pipelines that were refused or short of memory while they ran, and those whose operators share
    /// batches with theirs; none if this attempt has nothing to add. One that the CPU backend ran
    /// already was short of room for what others left on the device: then the CPU backend runs all.
    pub(super) fn refused(&self) -> Option<Refusals> {
        let notes = self.notes_mut();
        let mut all = self.refusals.clone();
        for (number, reason) in &notes.refused {
            if all.insert(*number, reason.clone()).is_some() {
                let numbers = 1..=self.pipelines.len();
                all.extend(numbers.map(|number| (number, reason.clone())));
            }
        }
        if all.len() == self.refusals.len() {
            return None;
        }
        // A built side and its probes lie with one backend.
        loop {
            let before = all.len();
            for (pipeline, number) in self.pipelines.iter().zip(1..) {
                let built = pipeline
                    .transforms
                    .iter()
                    .filter_map(|transform| transform.built);
                for other in built.map(|built| built + 1) {
                    for (one, two) in [(number, other), (other, number)] {
                        if let Some(reason) = all.get(&one).cloned() {
                            all.entry(two).or_insert(reason);
                        }
                    }
                }
            }
            if all.len() == before {
                return Some(all);
            }
        }
    }

    /// Says that a pipeline has what its joins need.
    fn begins(&self, number: usize) {
        self.notes_mut().under_way.insert(number);
    }

    /// Says that a pipeline came to its end.
    fn ended(&self, number: usize) {
        self.notes_mut().under_way.remove(&number);
    }

    /// Pipelines that began and did not come to their end.
    fn under_way(&self) -> BTreeSet<usize> {
        self.notes_mut().under_way.clone()
    }

    fn notes_mut(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_keys(&self, number: usize, keys: BuildKeys) {
        let mut notes = self.notes_mut();
        notes.keys.insert(number, Arc::new(keys));
    }

    fn keys_of(&self, number: usize) -> Option<Arc<BuildKeys>> {
        let notes = self.notes_mut();
        notes.keys.get(&number).cloned()
    }

    fn note_parts(&self, number: usize, operator: &'static str, parts: u32) {
        let metrics = &self.read.metrics;
        metrics.add(names::FOLD_PARTS, u64::from(parts));
        self.decide(number, Choice::Parts { operator, parts });
        let mut notes = self.notes_mut();
        notes.parts.insert((number, operator), parts);
    }

    fn decide(&self, number: usize, choice: Choice) {
        tracing::debug!(pipeline = number, "{choice}");
        self.read.metrics.decide(number, choice);
    }

    /// Operators that ran on the CPU instead, each with the reason.
    pub(super) fn fallbacks(&self) -> Vec<String> {
        let notes = self.notes_mut();
        notes.fallbacks.clone()
    }

    /// The partitions of a scan that this rank reads.
    fn partitions(
        &self,
        number: usize,
        scan: &ScanSpec,
        filters: &[Arc<KeyFilter>],
    ) -> Result<Vec<Partition>> {
        let metrics = &self.read.metrics;
        let (partitions, record) = self.planner.partitions(scan, filters, metrics)?;
        self.decide(number, Choice::Scan(record));
        self.read
            .metrics
            .add(names::PARTITIONS, partitions.len() as u64);
        Ok(partitions)
    }

    /// The rows of a table, in batches of at most `max_rows_per_partition` rows.
    fn table_rows(&self, table: &MemoryTable, projection: &[usize]) -> Result<Vec<RecordBatch>> {
        let most = usize::try_from(self.read.batch_rows)
            .unwrap_or(usize::MAX)
            .max(1);
        let mut pieces = Vec::new();
        for batch in table.batches() {
            let batch = batch.project(projection);
            let batch = batch.map_err(|cause| Error::invalid("table", cause.to_string(), ""))?;
            let rows = batch.num_rows();
            let starts = (0..rows).step_by(most);
            pieces.extend(starts.map(|start| batch.slice(start, most.min(rows - start))));
        }
        Ok(pieces)
    }

    /// The batches of a result that the engine keeps.
    fn kept_batches(&self, rows: &StoredRows) -> Result<Vec<(Sequence, Arc<StoredBatch>)>> {
        let store = self.kept.get(rows.number).ok_or_else(|| {
            let cause = "is not kept by this engine, or not any more";
            let remedy = "hold on to it as long as its frames run";
            Error::invalid(format!("result {}", rows.number), cause, remedy)
        })?;
        let mut batches = store.batches();
        batches.sort_by_key(|(place, _)| *place);
        Ok(batches)
    }

    /// No more workers than partitions that fit the device at one time, so that none waits for
    /// memory that another one will never free.
    fn scan_workers(&self, units: &Units) -> usize {
        let fitting = self.planner.fitting(units.largest_partition());
        self.planner.workers.min(fitting).max(1)
    }
}

/// How each pipeline is joined to the others.
struct Wiring {
    /// For each pipeline, what the pipelines of its source send.
    links: Vec<Vec<Receiver<Message>>>,
    targets: Vec<Option<Target>>,
    gates: Vec<Option<crate::network::GateReader<join::Built>>>,
    consumers: Vec<usize>,
}

impl Wiring {
    fn new(run: &QueryRun, pipelines: &[Pipeline], result: Sender<Rows>) -> Result<Wiring> {
        let count = pipelines.len();
        let mut wiring = Wiring {
            links: (0..count).map(|_| Vec::new()).collect(),
            targets: (0..count).map(|_| None).collect(),
            gates: (0..count).map(|_| None).collect(),
            consumers: consumers(pipelines),
        };
        let mut senders: Vec<Vec<Sender<Message>>> = (0..count).map(|_| Vec::new()).collect();
        for (index, pipeline) in pipelines.iter().enumerate() {
            if let Source::Pipelines(numbers) = &pipeline.source {
                for &number in numbers {
                    let shared = wiring.consumers[number] > 1;
                    let (sender, receiver) = run.scope.channel(run.capacity(shared));
                    senders[number].push(sender);
                    wiring.links[index].push(receiver);
                }
            }
            for built in pipeline
                .transforms
                .iter()
                .filter_map(|transform| transform.built)
            {
                if wiring.gates[built].is_none() {
                    let gate = run.scope.gate();
                    wiring.gates[built] = Some(gate.reader());
                    wiring.targets[built] = Some(Target::Gate(gate));
                }
            }
        }
        let ends = wiring.targets.iter_mut().zip(senders).zip(pipelines);
        for (((target, senders), pipeline), number) in ends.zip(1..) {
            if senders.is_empty() {
                continue;
            }
            *target = Some(Target::Output(match &pipeline.exchange {
                None => Output::Links(senders),
                Some(exchange) => {
                    Output::Exchange(Exchanger::new(run, number, pipeline, exchange, senders)?)
                }
            }));
        }
        if let Some(last) = wiring.targets.last_mut() {
            *last = Some(Target::Output(match &run.keeps {
                None => Output::Result(result),
                Some(store) => {
                    result.finish();
                    Output::Kept(Arc::clone(store))
                }
            }));
        }
        Ok(wiring)
    }
}

impl QueryRun {
    /// What a channel holds. One of several readers of a pipeline may wait for another one, and
    /// pipelines that run one after the other leave all they have.
    fn capacity(&self, shared: bool) -> Capacity {
        let all = Capacity {
            messages: usize::MAX,
            bytes: u64::MAX,
        };
        match self.executor {
            ExecutorOption::Tasks => all,
            ExecutorOption::Streaming if shared => all,
            ExecutorOption::Streaming => self.capacity,
        }
    }
}

/// A query that has its operators and waits to be run.
pub(super) struct Prepared {
    run: Arc<QueryRun>,
    actors: Vec<Actor>,
    rows: Receiver<Rows>,
}

/// Makes the operators of all pipelines and joins the pipelines.
///
/// # Errors
/// `Unsupported` for what no backend may run.
pub(super) fn prepare(run: QueryRun) -> Result<Prepared> {
    let run = Arc::new(run);
    let pipelines = run.pipelines.clone();
    let (result, rows) = run.scope.channel(Capacity {
        messages: run.workers * RESULTS_PER_WORKER,
        bytes: u64::MAX,
    });
    let mut wiring = Wiring::new(&run, &pipelines, result)?;
    let mut actors = Vec::with_capacity(pipelines.len());
    for (index, pipeline) in pipelines.into_iter().enumerate() {
        let number = index + 1;
        let steps = Steps::new(&run, number, &pipeline)?;
        let gates = pipeline.transforms.iter().map(|transform| {
            let gate = transform
                .built
                .and_then(|built| wiring.gates[built].as_ref());
            gate.cloned()
        });
        let target = wiring.targets[index].take();
        actors.push(Actor {
            run: Arc::clone(&run),
            number,
            steps,
            links: std::mem::take(&mut wiring.links[index]),
            gates: gates.collect(),
            target: target.ok_or_else(|| Error::invalid("plan", "a pipeline has no reader", ""))?,
            consumers: wiring.consumers[index],
            pipeline,
        });
    }
    Ok(Prepared { run, actors, rows })
}

impl Prepared {
    /// Names and types of the columns of the result.
    pub(super) fn schema(&self) -> Result<SchemaRef> {
        let last = self
            .actors
            .last()
            .map(|actor| Arc::clone(&actor.pipeline.output));
        last.ok_or_else(|| Error::invalid("plan", "has no pipelines", ""))
    }

    /// What the query's actors share.
    pub(super) fn query(&self) -> &Arc<QueryRun> {
        &self.run
    }

    /// Runs the query to its end; `take` gets the rows as they come, and says whether it wants more.
    ///
    /// # Errors
    /// The first error of any actor, or of `take`.
    pub(super) fn run<T: Send + 'static>(
        self,
        state: T,
        take: impl FnMut(&mut T, Rows) -> Result<bool> + Send + 'static,
    ) -> Result<T> {
        let Prepared { run, actors, rows } = self;
        let scope = run.scope.clone();
        // One actor does both: to collect rows is not worth a thread's waking up.
        scope.run(async move {
            let (mut collecting, mut driving) =
                (pin!(collect(rows, state, take)), pin!(drive(run, actors)));
            let (mut collected, mut driven) = (None, false);
            poll_fn(|cx| {
                if !driven && let Poll::Ready(done) = driving.as_mut().poll(cx) {
                    done?;
                    driven = true;
                }
                if collected.is_none()
                    && let Poll::Ready(all) = collecting.as_mut().poll(cx)
                {
                    collected = Some(all?);
                }
                match collected.take_if(|_| driven) {
                    Some(all) => Poll::Ready(Ok(all)),
                    None => Poll::Pending,
                }
            })
            .await
        })
    }

    /// Starts the query on a thread of its own. Result: the rows as they come, and how it ended.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(super) fn start(self) -> Result<(Receiver<Rows>, JoinHandle<Result<()>>)> {
        let Prepared { run, actors, rows } = self;
        let scope = run.scope.clone();
        let thread = threads::named("pelton-query").spawn(move || scope.run(drive(run, actors)));
        let thread = thread.map_err(|cause| threads::not_started(&cause))?;
        Ok((rows, thread))
    }
}

/// Runs all pipelines to their end.
async fn drive(run: Arc<QueryRun>, actors: Vec<Actor>) -> Result<()> {
    run.agree().await?;
    match run.executor {
        ExecutorOption::Tasks => {
            for actor in actors {
                start(&run, actor).await?;
            }
        }
        ExecutorOption::Streaming => {
            let start = |actor| start(&run, actor);
            let handles: Vec<_> = actors.into_iter().map(start).collect();
            for handle in handles {
                handle.await?;
            }
        }
    }
    Ok(())
}

fn start(run: &Arc<QueryRun>, actor: Actor) -> Handle<()> {
    let name = format!("pipeline {}", actor.number);
    let span = tracing::info_span!(parent: &run.watched.span, "pipeline", number = actor.number);
    run.scope.spawn_part(name, actor.drive().instrument(span))
}

async fn collect<T>(
    rows: Receiver<Rows>,
    mut state: T,
    mut take: impl FnMut(&mut T, Rows) -> Result<bool>,
) -> Result<T> {
    while let Some(batch) = rows.receive().await? {
        if !take(&mut state, batch)? {
            rows.drain();
        }
    }
    Ok(state)
}
