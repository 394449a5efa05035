//! The CUDA backend: every operator by kernels, over the NVIDIA driver or over the emulator.
//!
//! It follows the CPU backend, which defines the results. Work is queued on the caller's stream;
//! row counts that kernels decide stay on the device. Strings and bytes are codes of one dictionary
//! while they are on the device (`dictionary`), or views (`text`). What it cannot do it refuses when an
//! operator is made, naming operator and reason.

mod append;
mod batch;
mod cast;
mod dictionary;
mod download;
mod evaluate;
mod filter;
mod function;
mod gather;
mod group_by;
mod hash_join;
mod key_filter;
mod nested;
mod nested_loop_join;
mod order;
mod parking;
mod project;
mod rescale;
mod scan;
mod shuffle_partition;
mod sort;
mod supported;
mod tables;
mod text;
mod top_k;
mod upload;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

pub use crate::kernels::group_by::GroupTuning;
pub use crate::kernels::hash_join::JoinTuning;
pub use crate::kernels::sort::SortTuning;

use super::{Backend, Batches, when_there_is_room};
use crate::device::{Device, DeviceClock, PackedRange};
use crate::error::Result;
use crate::kernels::{DeviceRows, Launch, Status};
use crate::memory::{Batch, ParkedBatch, StreamHandle, Tier};
use crate::metrics::{Metrics, StreamClock, names};
use crate::operators::{Context, Operator, OperatorSpec};
use crate::storage::{KeyBits, Partition, ReadOptions};
use crate::types::SchemaRef;
use dictionary::DictionaryPlace;
use scan::{ColumnCache, Places};

/// What every operator of the backend shares.
#[derive(Debug)]
struct Shared {
    device: Arc<Device>,
    dictionary: DictionaryPlace,
    tuning: GroupTuning,
    join_tuning: JoinTuning,
    sort_tuning: SortTuning,
    /// Whether uploaded strings are views, not codes.
    uploads_views: bool,
    /// Words of the device that nobody has waited for yet.
    pending: Mutex<HashMap<StreamHandle, Vec<Watched>>>,
    /// The stream of copies that belongs to a worker's stream.
    copies: Mutex<HashMap<StreamHandle, StreamHandle>>,
    /// Column chunks of files that stay for later scans, if any do.
    column_cache: Option<Arc<ColumnCache>>,
}

/// A word of the device that nobody has read yet.
#[derive(Debug)]
enum Watched {
    /// Whether a launch failed, and what the argument of a page's status means.
    Status(Status, Option<Places>),
    /// How many of so many rows filters of a scan kept.
    Kept(DeviceRows, u64, Arc<Metrics>),
}

impl Watched {
    /// Where the word is; none if the host knows it.
    fn word(&self) -> Option<PackedRange> {
        match self {
            Watched::Status(status, _) => Some(status.word()),
            Watched::Kept(kept, ..) => kept.word(),
        }
    }

    /// Takes note of what the word says.
    fn settle(&self, word: &[u8]) -> Result<()> {
        match self {
            Watched::Status(status, places) => status.say(word).map_err(|error| match places {
                Some(places) => places.explain(error),
                None => error,
            }),
            Watched::Kept(kept, rows, metrics) => {
                let dropped = rows.saturating_sub(kept.said(word));
                metrics.add(names::KEY_FILTER_ROWS_DROPPED, dropped);
                Ok(())
            }
        }
    }
}

impl Shared {
    fn launch<'a>(&'a self, context: &'a Context) -> Launch<'a> {
        Launch::new(&self.device, context.stream).with_metrics(&context.metrics)
    }

    /// As `launch`, with copies to the device on a stream of their own.
    fn launch_with_copies<'a>(&'a self, context: &'a Context) -> Result<Launch<'a>> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match copies.get(&context.stream) {
            Some(own) => *own,
            None => {
                let own = self.device.take_stream()?;
                copies.insert(context.stream, own);
                own
            }
        };
        Ok(self.launch(context).with_copies(own))
    }

    /// The stream of copies that belongs to a stream, if it has one.
    fn copies_of(&self, stream: StreamHandle) -> Option<StreamHandle> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.get(&stream).copied()
    }

    /// Keeps a status word until somebody waits for the stream.
    fn watch(&self, stream: StreamHandle, status: Status) {
        self.watch_all(stream, Watched::Status(status, None));
    }

    /// As `watch`, for launches whose status names a page.
    fn watch_pages(&self, stream: StreamHandle, status: Status, places: Places) {
        self.watch_all(stream, Watched::Status(status, Some(places)));
    }

    /// Counts, once somebody waits for the stream, how many of so many rows were not kept.
    fn watch_kept(
        &self,
        stream: StreamHandle,
        kept: DeviceRows,
        rows: u64,
        metrics: &Arc<Metrics>,
    ) {
        self.watch_all(stream, Watched::Kept(kept, rows, Arc::clone(metrics)));
    }

    fn watch_all(&self, stream: StreamHandle, watched: Watched) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.entry(stream).or_default().push(watched);
    }

    /// Waits once for the words of a stream that are watched; the first failure is the answer.
    fn settle(&self, launch: &Launch) -> Result<()> {
        let watched = self
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&launch.stream())
            .unwrap_or_default();
        let mut at = 0;
        let place = |word: PackedRange| {
            let start = at;
            at += word.bytes;
            PackedRange { at: start, ..word }
        };
        let words = watched.iter().filter_map(Watched::word);
        let words: Vec<PackedRange> = words.map(place).collect();
        let mut bytes = Vec::new();
        self.device
            .read_packed_through(launch.stream(), &words, at, |more| {
                bytes.extend_from_slice(more);
            })?;
        let mut rest = bytes.as_slice();
        watched.iter().try_for_each(|watched| {
            let length = watched.word().map_or(0, |word| word.bytes as usize);
            let (word, behind) = rest.split_at(length);
            rest = behind;
            watched.settle(word)
        })
    }
}

/// The CUDA backend on one device.
#[derive(Debug)]
pub struct CudaBackend {
    shared: Arc<Shared>,
}

impl CudaBackend {
    /// The backend on this device.
    pub fn new(device: Arc<Device>) -> Self {
        let (group, join, sort) = Default::default();
        CudaBackend::with_tuning(device, group, join, sort)
    }

    /// The backend with other choices for its hash tables and sorts: results are the same.
    pub fn with_tuning(
        device: Arc<Device>,
        tuning: GroupTuning,
        join_tuning: JoinTuning,
        sort_tuning: SortTuning,
    ) -> Self {
        let (dictionary, pending, copies) = Default::default();
        CudaBackend {
            shared: Arc::new(Shared {
                device,
                dictionary,
                tuning,
                join_tuning,
                sort_tuning,
                uploads_views: false,
                pending,
                copies,
                column_cache: None,
            }),
        }
    }

    /// The backend on this device, whose uploads leave strings as they are: views instead of codes.
    /// Results are the same.
    pub fn uploading_views(device: Arc<Device>) -> Self {
        let mut backend = CudaBackend::new(device);
        if let Some(shared) = Arc::get_mut(&mut backend.shared) {
            shared.uploads_views = true;
        }
        backend
    }

    /// The backend, before it is shared, with so many bytes of column chunks of files kept on the device
    /// for later scans; 0 keeps none. They are given back when device memory is short.
    #[must_use]
    pub fn with_column_cache(mut self, bytes: u64) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            let memory = shared.device.memory();
            shared.column_cache = (bytes > 0).then(|| ColumnCache::new(bytes, memory));
        }
        self
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.shared.device
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> &'static str {
        self.shared.device.driver().name()
    }

    fn instantiate(&self, spec: &OperatorSpec) -> Result<Operator> {
        let shared = Arc::clone(&self.shared);
        supported::check(self.name(), spec)?;
        Ok(match spec {
            OperatorSpec::Filter(spec) => {
                Operator::Transform(Box::new(filter::Filter::new(shared, spec.clone())))
            }
            OperatorSpec::Project(spec) => {
                Operator::Transform(Box::new(project::Project::new(shared, spec.clone())))
            }
            OperatorSpec::Gather(spec) => {
                Operator::Transform(Box::new(gather::Gather::new(shared, spec.clone())))
            }
            OperatorSpec::GroupBy(spec) => {
                Operator::Fold(Box::new(group_by::GroupBy::new(shared, spec)?))
            }
            OperatorSpec::HashJoinBuild(spec) => {
                Operator::Fold(Box::new(hash_join::HashJoinBuild::new(shared, spec)?))
            }
            OperatorSpec::HashJoinProbe(spec) => {
                Operator::Transform(Box::new(hash_join::HashJoinProbe::new(shared, spec)))
            }
            OperatorSpec::ShufflePartition(spec) => Operator::Partition(Box::new(
                shuffle_partition::ShufflePartition::new(shared, spec)?,
            )),
            OperatorSpec::NestedLoopJoinBuild(spec) => {
                let spec = spec.without_keys();
                Operator::Fold(Box::new(hash_join::HashJoinBuild::new(shared, &spec)?))
            }
            OperatorSpec::NestedLoopJoinProbe(spec) => Operator::Transform(Box::new(
                nested_loop_join::NestedLoopJoinProbe::new(shared, spec),
            )),
            OperatorSpec::Sort(spec) => Operator::Fold(Box::new(sort::Sort::new(shared, spec))),
            OperatorSpec::TopK(spec) => Operator::Fold(Box::new(top_k::TopK::new(shared, spec))),
            OperatorSpec::Window(spec) => {
                Operator::Fold(Box::new(window::Window::new(shared, spec)?))
            }
        })
    }

    fn check_schema(&self, schema: &SchemaRef) -> Result<()> {
        supported::check_schema(self.name(), "batch", schema)
    }

    fn check_scan(&self, schema: &SchemaRef) -> Result<()> {
        supported::check_scan(self.name(), schema)
    }

    fn stream_create(&self) -> Result<StreamHandle> {
        self.shared.device.take_stream()
    }

    fn stream_destroy(&self, stream: StreamHandle) {
        let mut pending = self
            .shared
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pending.remove(&stream);
        drop(pending);
        let mut copies = self
            .shared
            .copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = copies.remove(&stream);
        drop(copies);
        for stream in own.into_iter().chain([stream]) {
            // Whoever takes the stream next must not hear of what failed before.
            let _told_or_unwanted = self.shared.device.driver().stream_synchronize(stream);
            self.shared.device.give_back_stream(stream);
        }
    }

    fn synchronize(&self, stream: StreamHandle) -> Result<()> {
        let settled = self
            .shared
            .settle(&Launch::new(&self.shared.device, stream));
        self.shared.device.driver().stream_synchronize(stream)?;
        // What a copy on the stream's own stream of copies failed of is told nowhere else.
        if let Some(copies) = self.shared.copies_of(stream) {
            self.shared.device.driver().stream_synchronize(copies)?;
        }
        settled
    }

    fn scan<'a>(
        &'a self,
        context: &'a Context,
        partition: &Partition,
        options: &'a ReadOptions,
    ) -> Result<Batches<'a>> {
        let scan = scan::Scan::new(&self.shared, context, partition, options)?;
        Ok(Box::new(scan))
    }

    fn trimmed(&self, context: &Context, batch: Batch) -> Result<Batch> {
        append::trimmed(&self.shared.launch(context), batch)
    }

    fn key_bits(
        &self,
        context: &Context,
        column: usize,
        bits: KeyBits,
        batches: Batches<'_>,
    ) -> Result<KeyBits> {
        key_filter::collect(&self.shared, context, column, bits, batches)
    }

    fn tier(&self) -> Tier {
        Tier::Device
    }

    fn clock(&self) -> Result<Option<Arc<dyn StreamClock>>> {
        Ok(Some(Arc::new(DeviceClock::new(&self.shared.device)?)))
    }

    fn memory_bytes_per_second(&self) -> Option<u64> {
        self.shared.device.properties().memory_bytes_per_second
    }

    fn upload(&self, context: &Context, batch: RecordBatch) -> Result<Batch> {
        upload::upload(&self.shared, context, &batch)
    }

    fn park(&self, context: &Context, batch: &Batch) -> Result<ParkedBatch> {
        parking::park(&self.shared, context, batch)
    }

    fn park_pinned(&self, context: &Context, batch: &Batch) -> Result<Option<ParkedBatch>> {
        parking::park_pinned(&self.shared, context, batch)
    }

    fn unpark(&self, context: &Context, parked: &ParkedBatch) -> Result<Batch> {
        parking::unpark(&self.shared, context, parked)
    }

    fn download(&self, context: &Context, batch: Batch) -> Result<RecordBatch> {
        download::download(&self.shared, context, &batch)
    }
}
