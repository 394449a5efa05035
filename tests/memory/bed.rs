//! What these tests stand on: a device that is none, an executor of one future, numbered batches.

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use pelton::memory::{
    Batch, BatchData, DeviceBatch, DiskFiles, Files, MemoryLimits, MemoryManager, ParkedBatch,
    Parking, Reservation, SpillClass, SpillManager, SpillOptions, StoredBatch, Tier, park_host,
    unpark_host,
};
use pelton::{Error, Result};

pub const ROWS: i64 = 100;

/// Rows that tell which batch they are of.
pub fn numbered(number: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values((0..ROWS).map(|row| number * 1000 + row));
    let names = StringArray::from_iter(
        (0..ROWS).map(|row| (row % 7 != 0).then(|| format!("{number}/{row}"))),
    );
    RecordBatch::try_from_iter([
        ("number", Arc::new(numbers) as _),
        ("name", Arc::new(names) as _),
    ])
    .unwrap()
}

/// A batch "on the device", which reserves its memory as the device does.
#[derive(Debug)]
pub struct DeviceRows {
    rows: RecordBatch,
    held: Reservation,
}

impl DeviceBatch for DeviceRows {
    fn rows_max(&self) -> u64 {
        self.rows.num_rows() as u64
    }
    fn bytes(&self) -> u64 {
        self.held.bytes()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A device that is none: copies between its batches and sections, and fails when told to.
#[derive(Debug)]
pub struct TestDevice {
    memory: Arc<MemoryManager>,
    pub parked: AtomicU64,
    pub unparked: AtomicU64,
    pub fail: AtomicBool,
    /// Parking waits while somebody holds this.
    pub gate: Mutex<()>,
    /// Device memory that parking needs.
    pub scratch: AtomicU64,
    /// The numbers of batches in the order in which they were parked.
    pub order: Mutex<Vec<i64>>,
}

impl TestDevice {
    pub fn new(memory: &Arc<MemoryManager>) -> Arc<TestDevice> {
        Arc::new(TestDevice {
            memory: Arc::clone(memory),
            parked: AtomicU64::new(0),
            unparked: AtomicU64::new(0),
            fail: AtomicBool::new(false),
            gate: Mutex::new(()),
            scratch: AtomicU64::new(0),
            order: Mutex::default(),
        })
    }

    pub fn upload(&self, rows: RecordBatch) -> Result<Batch> {
        let bytes = park_host(&rows).bytes();
        let held = self.memory.reserve_with_spilling(Tier::Device, bytes)?;
        Ok(Batch::device(
            rows.schema(),
            Arc::new(DeviceRows { rows, held }),
        ))
    }

    fn check(&self) -> Result<()> {
        if self.fail.load(Ordering::Relaxed) {
            return Err(Error::invalid("test device", "told to fail", ""));
        }
        Ok(())
    }
}

/// The rows of a batch of either kind.
pub fn rows_of(batch: &Batch) -> RecordBatch {
    match batch.data() {
        BatchData::Host(rows) => rows.clone(),
        BatchData::Device(columns) => {
            let columns: &DeviceRows = columns.as_any().downcast_ref().unwrap();
            columns.rows.clone()
        }
    }
}

pub fn number_of(batch: &Batch) -> i64 {
    let rows = rows_of(batch);
    let numbers: &Int64Array = rows.column(0).as_any().downcast_ref().unwrap();
    numbers.value(0) / 1000
}

impl Parking for TestDevice {
    fn tier(&self) -> Tier {
        Tier::Device
    }
    fn bytes(&self, batch: &Batch) -> u64 {
        match batch.data() {
            BatchData::Host(_) => 0,
            BatchData::Device(columns) => columns.bytes(),
        }
    }
    fn park(&self, batch: &Batch) -> Result<ParkedBatch> {
        self.check()?;
        self.parked.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.lock().unwrap());
        let scratch = self.scratch.load(Ordering::Relaxed);
        let _scratch = self.memory.reserve_with_spilling(Tier::Device, scratch)?;
        self.order.lock().unwrap().push(number_of(batch));
        let mut parked = park_host(&rows_of(batch));
        for section in &mut parked.sections {
            *section = Bytes::copy_from_slice(section);
        }
        Ok(parked)
    }
    fn unpark(&self, parked: &ParkedBatch) -> Result<Batch> {
        self.check()?;
        self.unparked.fetch_add(1, Ordering::Relaxed);
        self.upload(unpark_host(parked)?)
    }
}

/// Memory, a device and a spill manager without a thread.
pub struct Bed {
    pub memory: Arc<MemoryManager>,
    pub device: Arc<TestDevice>,
    pub spiller: Arc<SpillManager>,
    pub folder: tempfile::TempDir,
}

pub fn limits(device: u64, host: u64, disk: u64) -> MemoryLimits {
    MemoryLimits {
        device,
        host,
        disk,
        ..MemoryLimits::UNLIMITED
    }
}

impl Bed {
    pub fn new(limits: MemoryLimits) -> Bed {
        Bed::with(
            limits,
            Arc::new(DiskFiles),
            &SpillOptions {
                check_every: None,
                ..SpillOptions::default()
            },
        )
    }

    pub fn with(limits: MemoryLimits, files: Arc<dyn Files>, options: &SpillOptions) -> Bed {
        let memory = MemoryManager::new(limits);
        let folder = tempfile::tempdir().unwrap();
        let options = SpillOptions {
            folder: Some(folder.path().to_path_buf()),
            ..options.clone()
        };
        Bed {
            device: TestDevice::new(&memory),
            spiller: SpillManager::new(&memory, options, files),
            memory,
            folder,
        }
    }

    pub fn store(&self, number: i64, class: SpillClass) -> Arc<StoredBatch> {
        let batch = self.device.upload(numbered(number)).unwrap();
        self.spiller
            .store(batch, Arc::clone(&self.device) as _, class)
            .unwrap()
    }

    pub fn used(&self) -> [u64; 3] {
        [Tier::Device, Tier::Host, Tier::Disk].map(|tier| self.memory.used(tier))
    }

    pub fn files_left(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

/// Bytes of a numbered batch, live and parked.
pub fn batch_bytes(number: i64) -> u64 {
    park_host(&numbered(number)).bytes()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for what another thread does.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{what} did not come"
        );
        thread::sleep(Duration::from_millis(1));
    }
}
