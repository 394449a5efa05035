//! Runs one pipeline: worker threads that each hold a stream, fed through a bounded channel.
//!
//! A feeder sends partitions (or batches of the pipeline before), workers read, upload and
//! transform them, and fold them into states of their own or send rows back through a second
//! bounded channel. The states are merged in the order of the workers. The first error wins: it
//! shuts both channels, every thread ends, and the error is returned. A panic in a worker is an
//! error like others. No thread outlives [`run`].

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::threads::{catch, named, not_started};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Batch, Reservation, Tier};
use crate::metrics::{Metrics, names};
use crate::network::Delivery;
use crate::network::channel::{Receiver, Sender, channel};
use crate::operators::{Context, Fold, FoldState, Operator, StreamHandle, Transform};
use crate::pipeline::{Pipeline, Source, TransformSpec};
use crate::storage::{Partition, ReadOptions};

/// Result batches per worker that may wait for the collector.
const RESULTS_PER_WORKER: usize = 2;

/// What a pipeline reads.
pub(super) enum Input {
    Partitions(Vec<Partition>),
    Host(Vec<RecordBatch>),
    /// Batches in the memory of the backend that runs the pipeline.
    Device(Vec<Batch>),
}

/// One run of one pipeline.
pub(super) struct Run<'a> {
    pub(super) backend: &'a Arc<dyn Backend>,
    pub(super) pipeline: &'a Pipeline,
    pub(super) input: Input,
    pub(super) threads: usize,
    pub(super) read: ReadOptions,
}

/// What a pipeline left: rows on the host, or the result of a fold where its backend has it.
#[derive(Default)]
pub(super) struct Materialised {
    host: Vec<RecordBatch>,
    held: Vec<Reservation>,
    device: Vec<Batch>,
    backend: Option<Arc<dyn Backend>>,
}

impl Materialised {
    /// As the input of a pipeline on this backend; copied to the host if another backend has it.
    pub(super) fn as_input(
        &self,
        backend: &Arc<dyn Backend>,
        metrics: &Arc<Metrics>,
    ) -> Result<Input> {
        match &self.backend {
            None => Ok(Input::Host(self.host.clone())),
            Some(owner) if owner.name() == backend.name() => Ok(Input::Device(self.device.clone())),
            Some(owner) => Ok(Input::Host(download_all(
                owner.as_ref(),
                self.device.clone(),
                metrics,
            )?)),
        }
    }

    /// The rows on the host, and the memory that is reserved for them.
    pub(super) fn into_host(
        self,
        metrics: &Arc<Metrics>,
    ) -> Result<(Vec<RecordBatch>, Vec<Reservation>)> {
        match self.backend {
            None => Ok((self.host, self.held)),
            Some(owner) => {
                let batches = download_all(owner.as_ref(), self.device, metrics)?;
                let with_rows = batches.into_iter().filter(|batch| batch.num_rows() > 0);
                Ok((with_rows.collect(), self.held))
            }
        }
    }
}

fn download_all(
    backend: &dyn Backend,
    batches: Vec<Batch>,
    metrics: &Arc<Metrics>,
) -> Result<Vec<RecordBatch>> {
    let stream = Stream::create(backend, metrics)?;
    batches
        .into_iter()
        .map(|batch| backend.download(&stream.context, batch))
        .collect()
}

/// A stream of a backend, given back when dropped.
struct Stream<'a> {
    backend: &'a dyn Backend,
    handle: StreamHandle,
    context: Context,
}

impl<'a> Stream<'a> {
    fn create(backend: &'a dyn Backend, metrics: &Arc<Metrics>) -> Result<Self> {
        let handle = backend.stream_create()?;
        Ok(Stream {
            backend,
            handle,
            context: Context {
                stream: handle,
                metrics: Arc::clone(metrics),
            },
        })
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.backend.stream_destroy(self.handle);
    }
}

/// A pipeline's operators, made by a backend.
pub(super) struct Operators {
    transforms: Vec<Box<dyn Transform>>,
    fold: Option<Box<dyn Fold>>,
}

/// Makes a pipeline's operators.
///
/// # Errors
/// `Unsupported` if the backend cannot run the pipeline.
pub(super) fn instantiate(backend: &dyn Backend, pipeline: &Pipeline) -> Result<Operators> {
    match &pipeline.source {
        Source::Scan(_) => backend.check_scan(&pipeline.input)?,
        Source::Pipelines(_) | Source::Memory { .. } => backend.check_schema(&pipeline.input)?,
    }
    let mut operators = Operators {
        transforms: Vec::with_capacity(pipeline.transforms.len()),
        fold: None,
    };
    let wrong = |name: &str, role: &str| {
        let cause = format!("the {} backend made no {role} of it", backend.name());
        Error::invalid(format!("operator {name}"), cause, "")
    };
    for TransformSpec { spec, .. } in &pipeline.transforms {
        match backend.instantiate(spec)? {
            Operator::Transform(transform) => operators.transforms.push(transform),
            Operator::Fold(_) | Operator::Partition(_) => {
                return Err(wrong(spec.name(), "transform"));
            }
        }
    }
    if let Some(spec) = &pipeline.fold {
        match backend.instantiate(spec)? {
            Operator::Fold(fold) => operators.fold = Some(fold),
            Operator::Transform(_) | Operator::Partition(_) => {
                return Err(wrong(spec.name(), "fold"));
            }
        }
    }
    Ok(operators)
}

/// A piece of work, with its place in the input.
enum Work {
    Partition(Partition),
    Host(RecordBatch),
    Device(Batch),
}

/// Rows that leave a worker: place of their work, place within it.
struct Rows {
    place: (usize, usize),
    batch: RecordBatch,
    held: Reservation,
}

/// The first error of a run.
#[derive(Default)]
struct FirstError(Mutex<Option<Error>>);

impl FirstError {
    fn record(&self, error: Error) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    fn check(self) -> Result<()> {
        let first = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        first.map_or(Ok(()), Err)
    }
}

/// Runs a pipeline to its end.
///
/// # Errors
/// The first error of any thread.
pub(super) fn run(run: Run) -> Result<Materialised> {
    let operators = instantiate(run.backend.as_ref(), run.pipeline)?;
    let works = works_of(run.input);
    let workers = run.threads.min(works.len()).max(1);
    let (work_sender, work) = channel(workers);
    let (result_sender, results) = channel(workers * RESULTS_PER_WORKER);
    let first_error = FirstError::default();
    let mut states = Vec::new();
    let mut rows = Vec::new();
    thread::scope(|scope| {
        // A thread that the system refuses drops its ends of the channels, which ends the others.
        let refused = |cause: &std::io::Error| {
            first_error.record(not_started(cause));
        };
        let feeder = named("pelton-feeder").spawn_scoped(scope, || feed(works, work_sender));
        if let Err(cause) = feeder {
            refused(&cause);
        }
        let handles: Vec<_> = (0..workers)
            .filter_map(|index| {
                let worker = Worker {
                    backend: run.backend.as_ref(),
                    operators: &operators,
                    read: &run.read,
                    work: work.clone(),
                    results: result_sender.clone(),
                };
                let first_error = &first_error;
                named(&format!("pelton-worker-{index}"))
                    .spawn_scoped(scope, move || worker.run(first_error))
                    .map_err(|cause| refused(&cause))
                    .ok()
            })
            .collect();
        result_sender.finish();
        let collected = catch(|| {
            collect(
                &results,
                &work,
                run.pipeline.limit.map(|limit| limit.rows),
                &mut rows,
            )
        });
        if let Err(error) = collected {
            first_error.record(error);
        }
        drop((results, work)); // whoever still waits to send learns that nobody reads
        for handle in handles {
            states.push(handle.join().ok().flatten());
        }
    });
    first_error.check()?;
    let Some(fold) = &operators.fold else {
        let (host, held) = cut(rows, run.pipeline.limit.map(|limit| limit.rows));
        return Ok(Materialised {
            host,
            held,
            ..Materialised::default()
        });
    };
    let states = states.into_iter().flatten().collect();
    let metrics = &run.read.metrics;
    let device = catch(|| finish(run.backend.as_ref(), fold.as_ref(), states, metrics))?;
    Ok(Materialised {
        device,
        backend: Some(Arc::clone(run.backend)),
        ..Materialised::default()
    })
}

fn works_of(input: Input) -> Vec<Work> {
    match input {
        Input::Partitions(partitions) => partitions.into_iter().map(Work::Partition).collect(),
        Input::Host(batches) => batches.into_iter().map(Work::Host).collect(),
        Input::Device(batches) => batches.into_iter().map(Work::Device).collect(),
    }
}

fn feed(works: Vec<Work>, sender: Sender<(usize, Work)>) {
    for work in works.into_iter().enumerate() {
        match sender.send(work) {
            Ok(Delivery::Accepted) => {}
            // Nobody wants more, or a worker failed and has said so.
            Ok(Delivery::Unwanted) | Err(_) => break,
        }
    }
    sender.finish();
}

/// Takes rows until the workers have finished, or there are enough.
fn collect(
    results: &Receiver<Rows>,
    work: &Receiver<(usize, Work)>,
    limit: Option<u64>,
    rows: &mut Vec<Rows>,
) -> Result<()> {
    let mut count = 0u64;
    loop {
        if limit.is_some_and(|limit| count >= limit) {
            results.drain();
            work.drain();
            return Ok(());
        }
        match results.receive()? {
            Some(batch) => {
                count += batch.batch.num_rows() as u64;
                rows.push(batch);
            }
            None => return Ok(()),
        }
    }
}

/// The rows in the order of the input, no more than the limit.
fn cut(mut rows: Vec<Rows>, limit: Option<u64>) -> (Vec<RecordBatch>, Vec<Reservation>) {
    rows.sort_by_key(|rows| rows.place);
    let mut wanted = limit.unwrap_or(u64::MAX);
    let mut batches = Vec::with_capacity(rows.len());
    let mut held = Vec::with_capacity(rows.len());
    for Rows {
        batch, held: bytes, ..
    } in rows
    {
        let count = wanted.min(batch.num_rows() as u64);
        if count == 0 {
            continue;
        }
        wanted -= count;
        let whole = count == batch.num_rows() as u64;
        // `count` is at most the batch's rows, which are a `usize`.
        let kept = usize::try_from(count).unwrap_or(usize::MAX);
        batches.push(if whole { batch } else { batch.slice(0, kept) });
        held.push(bytes);
    }
    (batches, held)
}

/// Merges the workers' states, in their order, and finishes the fold.
fn finish(
    backend: &dyn Backend,
    fold: &dyn Fold,
    states: Vec<FoldState>,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Batch>> {
    let started = Instant::now();
    let stream = Stream::create(backend, metrics)?;
    let mut states = states.into_iter();
    let mut merged = match states.next() {
        Some(state) => state,
        None => fold.init(&stream.context)?,
    };
    for state in states {
        fold.merge(&stream.context, &mut merged, state)?;
    }
    let batches = fold.finish(&stream.context, merged)?;
    backend.synchronize(stream.handle)?; // whoever reads them may use another stream
    metrics.add_duration(names::OPERATOR_NANOSECONDS, started.elapsed());
    Ok(batches)
}

/// One thread with one stream.
struct Worker<'a> {
    backend: &'a dyn Backend,
    operators: &'a Operators,
    read: &'a ReadOptions,
    work: Receiver<(usize, Work)>,
    results: Sender<Rows>,
}

/// How far a worker is.
#[derive(Default)]
struct Progress<'a> {
    /// The state of its fold, once there are rows.
    state: Option<FoldState>,
    /// A batch that was read and is not computed yet, its stream and its place.
    waiting: Option<(&'a Stream<'a>, (usize, usize), Batch)>,
    /// Memory does not suffice to read ahead.
    alone: bool,
}

impl Worker<'_> {
    /// The state of its fold, if it has one and got any rows.
    fn run(self, first_error: &FirstError) -> Option<FoldState> {
        match catch(|| self.work_all()) {
            Ok(state) => {
                self.results.finish();
                state
            }
            Err(error) => {
                first_error.record(error); // before the others can learn of it
                self.work.shutdown("another worker failed");
                self.results.shutdown("another worker failed");
                None
            }
        }
    }

    fn work_all(&self) -> Result<Option<FoldState>> {
        // While a batch is computed on one stream, the next one is read and decoded on the other.
        let metrics = &self.read.metrics;
        let streams = [
            Stream::create(self.backend, metrics)?,
            Stream::create(self.backend, metrics)?,
        ];
        let mut progress = Progress::default();
        for stream in streams.iter().cycle() {
            let Some((place, work)) = self.work.receive()? else {
                let _last = self.catch_up(&mut progress)?;
                break;
            };
            let wanted = match work {
                Work::Partition(partition) => {
                    self.partition(stream, place, &partition, &mut progress)?
                }
                Work::Host(batch) => self.host(stream, (place, 0), &batch, &mut progress.state)?,
                Work::Device(batch) => {
                    self.batch(stream, (place, 0), batch, &mut progress.state)?
                }
            };
            if wanted == Delivery::Unwanted {
                break;
            }
        }
        for stream in &streams {
            self.backend.synchronize(stream.handle)?;
        }
        Ok(progress.state)
    }

    /// Reads a partition, then computes what was read before it: one batch of a worker is under way
    /// to the device while another one is computed.
    fn partition<'a>(
        &self,
        stream: &'a Stream<'a>,
        place: usize,
        partition: &Partition,
        progress: &mut Progress<'a>,
    ) -> Result<Delivery> {
        let scan = || self.backend.scan(&stream.context, partition, self.read);
        if progress.alone && self.catch_up(progress)? == Delivery::Unwanted {
            return Ok(Delivery::Unwanted);
        }
        let mut batches = scan()?;
        let mut next = batches.next();
        let short = matches!(&next, Some(Err(error))
            if matches!(error.kind(), ErrorKind::Reservation { .. }));
        if short && progress.waiting.is_some() {
            // There is no room for two batches of a worker: from now on one after the other.
            progress.alone = true;
            if self.catch_up(progress)? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
            batches = scan()?;
            next = batches.next();
        }
        let mut index = 0;
        while let Some(batch) = next {
            let batch = batch?;
            if self.catch_up(progress)? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
            progress.waiting = Some((stream, (place, index), batch));
            index += 1;
            if batches.size_hint().1 == Some(0) {
                break;
            }
            if self.catch_up(progress)? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
            next = batches.next();
        }
        Ok(Delivery::Accepted)
    }

    /// Computes the batch that waits, if there is one.
    fn catch_up(&self, progress: &mut Progress) -> Result<Delivery> {
        match progress.waiting.take() {
            None => Ok(Delivery::Accepted),
            Some((stream, place, batch)) => self.batch(stream, place, batch, &mut progress.state),
        }
    }

    fn host(
        &self,
        stream: &Stream,
        place: (usize, usize),
        batch: &RecordBatch,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let started = Instant::now();
        let timeout = self.read.reserve_timeout;
        let batch = self
            .backend
            .upload_or_wait(&stream.context, batch, timeout)?;
        let metrics = &self.read.metrics;
        metrics.add_duration(names::OPERATOR_NANOSECONDS, started.elapsed());
        self.batch(stream, place, batch, state)
    }

    fn batch(
        &self,
        stream: &Stream,
        place: (usize, usize),
        batch: Batch,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let started = Instant::now();
        let rows = self.operate(stream, batch, state)?;
        let metrics = &self.read.metrics;
        metrics.add_duration(names::OPERATOR_NANOSECONDS, started.elapsed());
        match rows {
            Some(batch) if batch.num_rows() > 0 => {
                let bytes = batch.get_array_memory_size() as u64;
                let held = self.read.memory.reserve(Tier::Host, bytes);
                self.results.send(Rows {
                    place,
                    batch,
                    held: held.map_err(|error| error.context("result"))?,
                })
            }
            _ => Ok(Delivery::Accepted),
        }
    }

    /// Transforms a batch, then folds it or brings it to the host.
    fn operate(
        &self,
        stream: &Stream,
        batch: Batch,
        state: &mut Option<FoldState>,
    ) -> Result<Option<RecordBatch>> {
        let mut flowing = Some(batch);
        for transform in &self.operators.transforms {
            let Some(batch) = flowing else {
                return Ok(None);
            };
            flowing = transform.next(&stream.context, None, batch)?;
        }
        let Some(batch) = flowing else {
            return Ok(None);
        };
        let Some(fold) = &self.operators.fold else {
            return self.backend.download(&stream.context, batch).map(Some);
        };
        let state = match state {
            Some(state) => state,
            None => state.insert(fold.init(&stream.context)?),
        };
        fold.next(&stream.context, state, batch)?;
        Ok(None)
    }
}
