//! The device as a driver shows it: memory, streams, events, launches.
//!
//! Operations are queued per stream and run only when somebody waits, or asks, or a queue grows too
//! long; which stream goes next is drawn from the seed, so that a missing event wait shows.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Entry;
use crate::arena::SHARED_BYTES_MAX;
use crate::calls::Calls;
use crate::entries::ENTRIES;
use crate::error::{SimtError, SimtErrorKind};
use crate::machine::{Launch, Machine, MachineOptions};
use crate::memory::DeviceMemory;
use crate::options::{DevicePointer, EntryInfo, EventId, SimtOptions, StreamId};
use crate::random::Random;
use crate::schedule;
use crate::work::{HostPointer, Operation, Work};

/// Operations that may wait in all queues together before some are run.
const QUEUED_MAX: usize = 1024;

/// An emulated GPU.
///
/// Operations on a stream are queued and run in a seeded order of streams, on the thread of whoever
/// synchronises. **Failures:** an operation that fails is reported by the next synchronise on its stream,
/// on an event recorded after it, on a stream that waited for such an event, or on the device. Until it is
/// reported, the launches, copies and fills queued behind it, there and on the streams that waited for
/// it, are skipped; allocations, frees and events still take effect, so nothing leaks and nobody waits
/// for ever. What is queued after the report runs as usual.
///
/// ```
/// use pelton_simt::{Device, SimtOptions};
///
/// let device = Device::new(SimtOptions::default());
/// let stream = device.stream_create();
/// let values = device.alloc(stream, 4, "values")?;
/// device.fill(stream, values, 7, 4)?;
/// let mut host = [0u8; 4];
/// // SAFETY: `host` outlives the synchronise below.
/// unsafe { device.copy_to_host(stream, host.as_mut_ptr(), values, 4)? };
/// device.free(stream, values)?;
/// device.stream_synchronize(stream)?;
/// assert_eq!(host, [7; 4]);
/// # Ok::<(), pelton_simt::SimtError>(())
/// ```
pub struct Device {
    state: Mutex<Inner>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Stream {
    queue: VecDeque<Operation>,
    /// Index of the failure that operations behind it are skipped for.
    failed: Option<usize>,
    /// Goes when its queue is empty.
    destroyed: bool,
}

/// Something that failed, and since when everybody could know.
#[derive(Debug)]
struct Failure {
    error: SimtError,
    /// Operations queued from here on run again.
    reported_at: Option<u64>,
}

struct Inner {
    machine: Machine,
    options: SimtOptions,
    random: Random,
    streams: BTreeMap<u64, Stream>,
    /// The last record of each event.
    events: HashMap<u64, Option<u64>>,
    /// Records that their stream has not reached.
    records_pending: HashSet<u64>,
    /// Records that stand behind a failure, and which one until all are forgotten.
    records_failed: HashMap<u64, Option<usize>>,
    failures: Vec<Failure>,
    handles: u64,
    sequence: u64,
    queued: usize,
    allocations: u64,
    copies: u64,
    launches: u64,
    calls: Calls,
}

impl Device {
    /// A device with nothing on it.
    ///
    /// # Panics
    ///
    /// If the process has no address space left to reserve.
    pub fn new(options: SimtOptions) -> Device {
        let memory = DeviceMemory::new(options.memory_bytes, options.checked);
        let memory = memory.unwrap_or_else(|error| {
            #[expect(
                clippy::panic,
                reason = "no address space: nothing can be tested at all"
            )]
            {
                panic!("cannot reserve addresses for an emulated device: {error}")
            }
        });
        let machine_options = MachineOptions {
            checked: options.checked,
            resident_blocks: options.resident_blocks,
            yield_per_1024: options.yield_per_1024,
            max_switches: options.max_switches,
        };
        let random = Random::new(options.seed);
        let state = Mutex::new(Inner {
            machine: Machine::new(memory, machine_options),
            options,
            random,
            streams: BTreeMap::new(),
            events: HashMap::new(),
            records_pending: HashSet::new(),
            records_failed: HashMap::new(),
            failures: Vec::new(),
            handles: 0,
            sequence: 0,
            queued: 0,
            allocations: 0,
            copies: 0,
            launches: 0,
            calls: Calls::default(),
        });
        Device { state }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the orders anew from `seed`, for what runs from here on.
    pub fn set_seed(&self, seed: u64) {
        let mut inner = self.lock();
        inner.options.seed = seed;
        inner.random = Random::new(seed);
        inner.launches = 0;
    }

    /// Every entry of every kernel source, sorted by name.
    pub fn entries() -> Vec<EntryInfo> {
        ENTRIES
            .iter()
            .map(|entry| EntryInfo {
                name: entry.name,
                params_bytes: (entry.params_bytes)(),
                threads_max: (entry.threads_max)(),
            })
            .collect()
    }

    /// Bytes allocated and not yet freed in stream order.
    pub fn memory_used(&self) -> u64 {
        self.lock().machine.memory.used
    }

    /// The most that [`Device::memory_used`] ever was.
    pub fn memory_used_peak(&self) -> u64 {
        self.lock().machine.memory.used_peak
    }

    /// Accesses checked so far; for measurements.
    pub fn accesses(&self) -> u64 {
        self.lock().machine.accesses
    }

    /// Calls so far; for measurements.
    pub fn calls(&self) -> Calls {
        self.lock().calls
    }

    // ---- streams and events --------------------------------------------------------------------

    /// A new, empty stream.
    pub fn stream_create(&self) -> StreamId {
        let mut inner = self.lock();
        let id = inner.next_handle();
        inner.streams.insert(id, Stream::default());
        StreamId(id)
    }

    /// Ends a stream; what is queued on it still runs.
    pub fn stream_destroy(&self, stream: StreamId) {
        let mut inner = self.lock();
        if let Some(found) = inner.streams.get_mut(&stream.0) {
            found.destroyed = true;
            if found.queue.is_empty() {
                inner.streams.remove(&stream.0);
            }
        }
    }

    /// A new event, which counts as reached until it is recorded.
    pub fn event_create(&self) -> EventId {
        let mut inner = self.lock();
        let id = inner.next_handle();
        inner.events.insert(id, None);
        EventId(id)
    }

    /// Ends an event; streams that wait for its last record still do.
    pub fn event_destroy(&self, event: EventId) {
        self.lock().events.remove(&event.0);
    }

    /// Records `event` behind what is queued on `stream`.
    ///
    /// # Errors
    ///
    /// `InvalidHandle` if one of the two does not exist.
    pub fn event_record(&self, event: EventId, stream: StreamId) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.event(event)?;
        inner.stream(stream)?;
        let record = inner.next_handle();
        inner.records_pending.insert(record);
        inner.events.insert(event.0, Some(record));
        inner.enqueue(stream, Work::Record { record })
    }

    /// Lets what is queued on `stream` from here on wait for the last record of `event`.
    ///
    /// # Errors
    ///
    /// `InvalidHandle` if one of the two does not exist.
    pub fn stream_wait_event(&self, stream: StreamId, event: EventId) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.stream(stream)?;
        match inner.event(event)? {
            Some(record) => inner.enqueue(stream, Work::Wait { record }),
            None => Ok(()),
        }
    }

    /// Whether the last record of `event` is reached; true also behind a failure, which
    /// [`Device::event_synchronize`] reports. Each call runs some of what is queued, so polling ends.
    pub fn event_query(&self, event: EventId) -> bool {
        let mut inner = self.lock();
        let Ok(Some(record)) = inner.event(event) else {
            return true;
        };
        for _ in 0..1 + inner.random.below(3) {
            if !inner.records_pending.contains(&record) || !inner.run_one() {
                break;
            }
        }
        !inner.records_pending.contains(&record)
    }

    /// Whether the last record of `event` was reached behind a failure, which this does not report.
    pub fn event_failed(&self, event: EventId) -> bool {
        let inner = self.lock();
        let record = inner.events.get(&event.0).copied().flatten();
        record.is_some_and(|record| inner.records_failed.contains_key(&record))
    }

    /// Runs what is queued, of all streams, until the last record of `event` is reached.
    ///
    /// # Errors
    ///
    /// The failure that the record stands behind.
    pub fn event_synchronize(&self, event: EventId) -> Result<(), SimtError> {
        let mut inner = self.lock();
        let Some(record) = inner.event(event)? else {
            return Ok(());
        };
        inner.calls.waits += 1;
        while inner.records_pending.contains(&record) && inner.run_one() {}
        match inner.records_failed.get(&record).copied().flatten() {
            Some(failure) => Err(inner.report(failure)),
            None => Ok(()),
        }
    }

    /// Runs what is queued, of all streams, until `stream` is empty.
    ///
    /// # Errors
    ///
    /// The failure for which operations of this stream failed or were skipped since its last
    /// synchronise.
    pub fn stream_synchronize(&self, stream: StreamId) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.stream(stream)?;
        inner.calls.waits += 1;
        while inner
            .streams
            .get(&stream.0)
            .is_some_and(|s| !s.queue.is_empty())
            && inner.run_one()
        {}
        match inner
            .streams
            .get_mut(&stream.0)
            .and_then(|stream| stream.failed.take())
        {
            Some(failure) => Err(inner.report(failure)),
            None => Ok(()),
        }
    }

    /// Runs all that is queued, and forgets all failures.
    ///
    /// # Errors
    ///
    /// The first failure that nobody was told of.
    pub fn synchronize(&self) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.calls.waits += 1;
        while inner.run_one() {}
        for stream in inner.streams.values_mut() {
            stream.failed = None;
        }
        let known = inner.records_failed.values_mut();
        known.for_each(|failure| *failure = None);
        let failures = std::mem::take(&mut inner.failures);
        match failures
            .into_iter()
            .find(|failure| failure.reported_at.is_none())
        {
            Some(failure) => Err(failure.error),
            None => Ok(()),
        }
    }

    /// Allocates, in stream order: the memory may be used behind this point of the stream. `name` is for
    /// reports. Zero bytes give a unique address that may not be accessed.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, if it does not fit even after all that is queued has run, or the options say so;
    /// `InvalidHandle`.
    pub fn alloc(
        &self,
        stream: StreamId,
        bytes: u64,
        name: &'static str,
    ) -> Result<DevicePointer, SimtError> {
        let mut inner = self.lock();
        inner.stream(stream)?;
        inner.allocations += 1;
        if inner.options.fail_alloc_at == Some(inner.allocations) {
            let message = format!("{name}: {bytes} bytes: the options fail this allocation");
            return Err(SimtError::new(SimtErrorKind::OutOfMemory, message));
        }
        while !inner.machine.memory.fits(bytes) && inner.run_one() {}
        let Inner {
            machine, random, ..
        } = &mut *inner;
        let (index, pointer) = machine.memory.allocate(bytes, name, random)?;
        inner.enqueue(stream, Work::Allocate { index })?;
        Ok(pointer)
    }

    /// Frees, in stream order.
    ///
    /// # Errors
    ///
    /// `InvalidPointer` if it is not the start of an allocation, or its free is queued already;
    /// `InvalidHandle`.
    pub fn free(&self, stream: StreamId, pointer: DevicePointer) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.stream(stream)?;
        let index = inner.machine.memory.queue_free(pointer)?;
        inner.enqueue(stream, Work::Free { index })
    }

    /// Whether an allocation that is not freed holds the whole range.
    pub fn has_memory(&self, pointer: DevicePointer, bytes: u64) -> bool {
        self.lock().check_range(pointer, bytes).is_ok()
    }

    /// Copies from host to device, in stream order.
    ///
    /// # Safety
    ///
    /// `source` must be readable, and unchanged, for `bytes` until the stream has reached the copy.
    ///
    /// # Errors
    ///
    /// `InvalidPointer` if the target is not inside an allocation; `InvalidHandle`.
    pub unsafe fn copy_to_device(
        &self,
        stream: StreamId,
        target: DevicePointer,
        source: *const u8,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.check_range(target, bytes)?;
        let number = inner.next_copy();
        let source = HostPointer(source.cast_mut());
        inner.enqueue(
            stream,
            Work::CopyIn {
                target,
                source,
                bytes,
                number,
            },
        )
    }

    /// Copies from device to host, in stream order. Unwritten bytes may be copied: padding is.
    ///
    /// # Safety
    ///
    /// `target` must be writable for `bytes`, and otherwise unused, until the stream has reached the copy.
    ///
    /// # Errors
    ///
    /// `InvalidPointer` if the source is not inside an allocation; `InvalidHandle`.
    pub unsafe fn copy_to_host(
        &self,
        stream: StreamId,
        target: *mut u8,
        source: DevicePointer,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.check_range(source, bytes)?;
        let number = inner.next_copy();
        let target = HostPointer(target);
        inner.enqueue(
            stream,
            Work::CopyOut {
                target,
                source,
                bytes,
                number,
            },
        )
    }

    /// Copies on the device, in stream order. The ranges may overlap.
    ///
    /// # Errors
    ///
    /// `InvalidPointer` if a range is not inside an allocation; `InvalidHandle`.
    pub fn copy_device(
        &self,
        stream: StreamId,
        target: DevicePointer,
        source: DevicePointer,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.check_range(target, bytes)?;
        inner.check_range(source, bytes)?;
        let number = inner.next_copy();
        inner.enqueue(
            stream,
            Work::CopyDevice {
                target,
                source,
                bytes,
                number,
            },
        )
    }

    /// Sets bytes, in stream order.
    ///
    /// # Errors
    ///
    /// `InvalidPointer` if the range is not inside an allocation; `InvalidHandle`.
    pub fn fill(
        &self,
        stream: StreamId,
        target: DevicePointer,
        value: u8,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let mut inner = self.lock();
        inner.check_range(target, bytes)?;
        inner.enqueue(
            stream,
            Work::Fill {
                target,
                value,
                bytes,
            },
        )
    }

    /// Launches an entry, in stream order. `params` is the launch struct, byte for byte.
    ///
    /// # Errors
    ///
    /// `UnknownEntry`, `ParamsSize`, `LaunchShape`, `InvalidHandle`. What the kernel does wrong is reported
    /// by the next synchronise.
    pub fn launch(
        &self,
        stream: StreamId,
        entry: &str,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        params: &[u8],
    ) -> Result<(), SimtError> {
        let found = ENTRIES.binary_search_by(|known| known.name.cmp(entry));
        let Some(entry) = found.ok().map(|at| &ENTRIES[at]) else {
            let message = format!("no kernel source has an entry {entry}");
            return Err(SimtError::new(SimtErrorKind::UnknownEntry, message));
        };
        check_shape(entry, grid, block, shared_bytes, params.len())?;
        // 16-byte words, so that any launch struct is aligned.
        let words = params.chunks(16).map(|chunk| {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            u128::from_ne_bytes(word)
        });
        let params = words.collect();
        let launch = Launch {
            entry,
            grid,
            block,
            shared_bytes,
            params,
        };
        self.lock().enqueue(stream, Work::Launch(Box::new(launch)))
    }
}

/// What CUDA refuses to launch.
fn check_shape(
    entry: &Entry,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    params_bytes: usize,
) -> Result<(), SimtError> {
    let error = |kind, message| {
        Err(SimtError {
            kind,
            message,
            entry: Some(entry.name.to_owned()),
        })
    };
    let expected = (entry.params_bytes)();
    if params_bytes as u64 != expected {
        let message = format!("{params_bytes} bytes passed, the launch struct has {expected}");
        return error(SimtErrorKind::ParamsSize, message);
    }
    let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
    let blocks = grid
        .iter()
        .fold(1u64, |product, &n| product.saturating_mul(u64::from(n)));
    let threads_max = u64::from((entry.threads_max)()).min(1024);
    if threads == 0 || threads > threads_max || block[2] > 64 {
        let message = format!("block {block:?}: the entry allows 1 to {threads_max} threads");
        return error(SimtErrorKind::LaunchShape, message);
    }
    // Block numbers are 32 bits wide here: beyond, nothing would end anyway.
    if blocks == 0 || grid[1] > 65535 || grid[2] > 65535 || blocks > u64::from(u32::MAX) {
        return error(SimtErrorKind::LaunchShape, format!("grid {grid:?}"));
    }
    if shared_bytes as usize > SHARED_BYTES_MAX {
        let message = format!("{shared_bytes} bytes of shared memory, at most {SHARED_BYTES_MAX}");
        return error(SimtErrorKind::LaunchShape, message);
    }
    Ok(())
}

impl Inner {
    fn next_handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }

    fn next_copy(&mut self) -> u64 {
        self.copies += 1;
        self.copies
    }

    fn stream(&self, stream: StreamId) -> Result<(), SimtError> {
        match self.streams.get(&stream.0) {
            Some(found) if !found.destroyed => Ok(()),
            _ => {
                let message = format!("stream {} does not exist", stream.0);
                Err(SimtError::new(SimtErrorKind::InvalidHandle, message))
            }
        }
    }

    fn event(&self, event: EventId) -> Result<Option<u64>, SimtError> {
        self.events.get(&event.0).copied().ok_or_else(|| {
            let message = format!("event {} does not exist", event.0);
            SimtError::new(SimtErrorKind::InvalidHandle, message)
        })
    }

    fn check_range(&self, pointer: DevicePointer, bytes: u64) -> Result<(), SimtError> {
        self.machine.memory.range(pointer, bytes).map(|_| ())
    }

    fn enqueue(&mut self, stream: StreamId, work: Work) -> Result<(), SimtError> {
        self.stream(stream)?;
        self.calls.count(&work);
        self.sequence += 1;
        let sequence = self.sequence;
        if let Some(found) = self.streams.get_mut(&stream.0) {
            found.queue.push_back(Operation { sequence, work });
            self.queued += 1;
        }
        while self.queued > QUEUED_MAX && self.run_one() {}
        Ok(())
    }

    /// Tells somebody of a failure.
    fn report(&mut self, failure: usize) -> SimtError {
        let sequence = self.sequence + 1;
        let failure = &mut self.failures[failure];
        failure.reported_at.get_or_insert(sequence);
        failure.error.clone()
    }

    /// Whether a failure still stands for an operation.
    fn stands(&self, failure: usize, sequence: u64) -> bool {
        self.failures[failure]
            .reported_at
            .is_none_or(|reported_at| sequence < reported_at)
    }

    /// Runs the first operation of a random stream that can go on; false if there is none.
    fn run_one(&mut self) -> bool {
        let can_run = |stream: &Stream| match stream.queue.front().map(|first| &first.work) {
            None => false,
            Some(Work::Wait { record }) => !self.records_pending.contains(record),
            Some(_) => true,
        };
        let ready: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| can_run(stream))
            .map(|(&id, _)| id)
            .collect();
        if ready.is_empty() {
            return false;
        }
        let id = ready[self.random.index(ready.len())];
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let Some(Operation { sequence, work }) = stream.queue.pop_front() else {
            return false;
        };
        let mut failed = stream.failed;
        self.queued -= 1;
        if failed.is_some_and(|failure| !self.stands(failure, sequence)) {
            failed = None;
        }
        failed = self.run_work(work, sequence, failed);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.failed = failed;
            if stream.destroyed && stream.queue.is_empty() {
                self.streams.remove(&id);
            }
        }
        true
    }

    /// Runs one operation of a stream that stands behind `failed`, and says what it stands behind then.
    fn run_work(&mut self, work: Work, sequence: u64, failed: Option<usize>) -> Option<usize> {
        match work {
            Work::Allocate { index } => self.machine.memory.begin_life(index),
            Work::Free { index } => self.machine.memory.end_life(index),
            Work::Record { record } => {
                self.records_pending.remove(&record);
                if let Some(failure) = failed {
                    self.records_failed.insert(record, Some(failure));
                }
            }
            Work::Wait { record } => {
                let theirs = self.records_failed.get(&record).copied().flatten();
                return failed.or(theirs.filter(|&failure| self.stands(failure, sequence)));
            }
            _ if failed.is_some() => {}
            work => {
                if let Err(error) = self.run_data(work) {
                    self.failures.push(Failure {
                        error,
                        reported_at: None,
                    });
                    return Some(self.failures.len() - 1);
                }
            }
        }
        failed
    }

    /// Runs an operation that touches data.
    fn run_data(&mut self, work: Work) -> Result<(), SimtError> {
        match work {
            Work::CopyIn {
                target,
                source,
                bytes,
                number,
            } => {
                self.check_copy(number)?;
                // SAFETY: the caller of `copy_to_device` vouched for the source until now.
                unsafe { self.machine.memory.copy_in(target, source.0, bytes) }
            }
            Work::CopyOut {
                target,
                source,
                bytes,
                number,
            } => {
                self.check_copy(number)?;
                // SAFETY: the caller of `copy_to_host` vouched for the target until now.
                unsafe { self.machine.memory.copy_out(target.0, source, bytes) }
            }
            Work::CopyDevice {
                target,
                source,
                bytes,
                number,
            } => {
                self.check_copy(number)?;
                self.machine.memory.copy_within(target, source, bytes)
            }
            Work::Fill {
                target,
                value,
                bytes,
            } => self.machine.memory.fill(target, value, bytes),
            Work::Launch(launch) => {
                self.launches += 1;
                schedule::run(&mut self.machine, &launch, self.options.seed, self.launches)
            }
            Work::Allocate { .. } | Work::Free { .. } | Work::Record { .. } | Work::Wait { .. } => {
                Ok(())
            }
        }
    }

    fn check_copy(&self, number: u64) -> Result<(), SimtError> {
        if self.options.fail_copy_at == Some(number) {
            let message = format!("the options fail copy {number}");
            return Err(SimtError::new(SimtErrorKind::CopyFailed, message));
        }
        Ok(())
    }
}
