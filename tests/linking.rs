//! Another engine's streams, memory and events under Pelton's kernels: what that engine queued is
//! seen, what it owns is given back in order, and what does not fit is refused.
//!
//! Engine and guest are two devices over one emulated driver, in several seeds, so that a missing
//! wait shows; or, where there is a GPU, two drivers in its primary context.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pelton::device::cuda::CudaDriver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::device::{
    Device, DeviceBuffer, Driver, EventHandle, ForeignEvent, ForeignMemory, ForeignStream,
};
use pelton::error::{Error, ErrorKind};
use pelton::kernels::filter::filter_compact;
use pelton::kernels::gather::gather_rows;
use pelton::kernels::group_by::{GroupKey, GroupLayout, GroupTable, GroupTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use pelton::memory::{MemoryLimits, MemoryManager, StreamHandle, Tier};
use pelton::types::PhysicalType;

const ROWS: u64 = 300;
const SEEDS: u64 = 12;

fn device(driver: Arc<dyn Driver>) -> Arc<Device> {
    Device::new(driver, MemoryManager::new(MemoryLimits::UNLIMITED))
}

/// An engine and its guest on the emulator.
fn emulated(seed: u64) -> [Arc<Device>; 2] {
    let options = SimtOptions {
        seed,
        ..SimtOptions::default()
    };
    let driver: Arc<SimtDriver> = Arc::new(SimtDriver::new(options));
    [device(driver.clone()), device(driver)]
}

/// Every engine and guest under test.
fn pairs() -> Vec<[Arc<Device>; 2]> {
    let mut pairs: Vec<_> = (0..SEEDS).map(emulated).collect();
    let required = std::env::var_os("PELTON_REQUIRE_GPU").is_some_and(|value| value == "1");
    match CudaDriver::new(0, None) {
        Ok(engine) => {
            let guest = CudaDriver::guest(0, None).expect("a guest beside an engine");
            pairs.push([device(Arc::new(engine)), device(Arc::new(guest))]);
        }
        Err(error) if required => panic!("PELTON_REQUIRE_GPU is set: {error}"),
        Err(error) => eprintln!("skipped: no CUDA device ({error})"),
    }
    pairs
}

fn adopt(guest: &Device, stream: StreamHandle) -> StreamHandle {
    // SAFETY: the engine's streams live as long as its device, which the tests keep.
    let stream = unsafe { ForeignStream::new(stream.0) };
    guest.adopt_stream(stream).expect("a stream of the engine")
}

/// The engine's buffer as the guest sees it; it keeps the engine's alive.
fn lend(guest: &Arc<Device>, stream: StreamHandle, buffer: &Arc<DeviceBuffer>) -> DeviceBuffer {
    let (address, bytes) = (buffer.address(), buffer.bytes());
    // SAFETY: the buffer is the owner, and allocations are multiples of 64 bytes.
    let memory = unsafe { ForeignMemory::owned(address, bytes, Arc::clone(buffer)) };
    guest.adopt_memory(stream, memory).expect("device memory")
}

fn upload(engine: &Arc<Device>, stream: StreamHandle, values: &[i64]) -> Arc<DeviceBuffer> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    Arc::new(engine.upload(stream, &bytes).expect("an upload"))
}

fn column(physical: PhysicalType, buffer: DeviceBuffer, rows: u64) -> DeviceColumn {
    DeviceColumn::array(physical, Arc::new(buffer), None, 0, rows).expect("a column")
}

/// Values 0, 1, 2 … of the engine's, of which every third one is kept, as the guest's columns.
fn inputs(
    [engine, guest]: &[Arc<Device>; 2],
    queued_on: StreamHandle,
    lent_on: StreamHandle,
) -> (DeviceColumn, DeviceColumn) {
    let values: Vec<i64> = (0..ROWS as i64).collect();
    let mut keep = vec![0u8; ROWS.div_ceil(8) as usize];
    for row in (0..ROWS as usize).step_by(3) {
        keep[row / 8] |= 1 << (row % 8);
    }
    let values = upload(engine, queued_on, &values);
    let keep = Arc::new(engine.upload(queued_on, &keep).expect("an upload"));
    (
        column(PhysicalType::Int64, lend(guest, lent_on, &values), ROWS),
        column(PhysicalType::Boolean, lend(guest, lent_on, &keep), ROWS),
    )
}

fn fetch(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<Vec<i64>, Error> {
    let mut bytes = vec![0; rows as usize * 8];
    let buffer = column.values().expect("an array");
    launch.device().read(launch.stream(), buffer, &mut bytes)?;
    let words = bytes.chunks_exact(8);
    Ok(words
        .map(|word| i64::from_ne_bytes(word.try_into().expect("eight bytes")))
        .collect())
}

/// What `filter_compact` keeps of the inputs.
fn kept(launch: &Launch, (values, keep): &(DeviceColumn, DeviceColumn)) -> Result<Vec<i64>, Error> {
    let (columns, rows) = filter_compact(launch, keep, &[values], &DeviceRows::known(ROWS))?;
    let rows = rows.resolve(launch)?;
    fetch(launch, &columns[0], rows)
}

fn expected() -> Vec<i64> {
    (0..ROWS as i64).step_by(3).collect()
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, words: &str) {
    let Err(error) = result else {
        panic!("not refused: {words}")
    };
    let invalid = matches!(error.kind(), ErrorKind::InvalidInput { .. });
    assert!(invalid && error.to_string().contains(words), "{error}");
}

#[test]
fn what_the_engine_queued_is_seen_on_its_stream_and_on_others() {
    for pair in pairs() {
        let [engine, guest] = &pair;
        let engines = engine.take_stream().expect("a stream");
        let adopted = adopt(guest, engines);
        let own = guest.take_stream().expect("a stream");
        for stream in [adopted, own] {
            let inputs = inputs(&pair, engines, adopted);
            let launch = Launch::new(guest, stream);
            assert_eq!(kept(&launch, &inputs).expect("a filter"), expected());
        }
        assert_eq!(
            guest.memory().used(Tier::Device),
            0,
            "lent memory is not counted"
        );
    }
}

#[test]
fn results_are_seen_by_what_the_engine_queues_next() {
    for pair in pairs() {
        let [engine, guest] = &pair;
        let stream = engine.take_stream().expect("a stream");
        let launch = Launch::new(guest, adopt(guest, stream));
        let (values, keep) = inputs(&pair, stream, launch.stream());
        let all = DeviceRows::known(ROWS);
        let (columns, _) = filter_compact(&launch, &keep, &[&values], &all).expect("a filter");
        // The engine copies the result on its own stream, and waits for nothing in between.
        let result = columns[0].values().expect("an array");
        let copy = engine.alloc(stream, result.bytes()).expect("memory");
        let driver = engine.driver();
        let bytes = 8 * expected().len() as u64;
        driver
            .copy_device(stream, copy.address(), result.address(), bytes)
            .expect("a copy");
        let mut read = vec![0; bytes as usize];
        engine.read(stream, &copy, &mut read).expect("a read");
        let words = read.chunks_exact(8);
        let words = words.map(|word| i64::from_ne_bytes(word.try_into().expect("eight bytes")));
        assert_eq!(words.collect::<Vec<_>>(), expected());
    }
}

/// The filter on one stream of the engine's, of values queued on another, with or without an event
/// between them.
fn across_streams(pair: &[Arc<Device>; 2], with_event: bool) -> Result<Vec<i64>, Error> {
    let [engine, guest] = pair;
    let [writes, reads] = [(); 2].map(|()| engine.take_stream().expect("a stream"));
    let reads = adopt(guest, reads);
    let inputs = inputs(pair, writes, reads);
    let driver = engine.driver();
    let EventHandle(raw) = driver.event_create()?;
    driver.event_record(EventHandle(raw), writes)?;
    // SAFETY: the event lives until it is destroyed below.
    let event = unsafe { ForeignEvent::new(raw) };
    if with_event {
        guest.wait_for(reads, event)?;
    }
    let result = kept(&Launch::new(guest, reads), &inputs);
    guest.signal(reads, event)?;
    driver.stream_wait(writes, EventHandle(raw))?;
    driver.event_destroy(EventHandle(raw));
    engine.synchronize(writes)?;
    result
}

#[test]
fn an_event_orders_streams_of_the_engine() {
    for pair in pairs() {
        assert_eq!(across_streams(&pair, true).expect("a filter"), expected());
    }
}

#[test]
fn without_the_event_the_emulator_shows_the_missing_order() {
    let wrong = (0..SEEDS).map(emulated).filter(|pair| {
        let result = across_streams(pair, false);
        result.map_or(true, |kept| kept != expected())
    });
    assert!(
        wrong.count() > 0,
        "no seed ran the filter before the writes"
    );
}

/// Frees the engine's memory on its stream at once, as an engine with a pool does.
struct FreedInOrder {
    engine: Arc<Device>,
    stream: StreamHandle,
    address: u64,
    freed: Arc<AtomicBool>,
}

impl Drop for FreedInOrder {
    fn drop(&mut self) {
        let bytes = ROWS * 8;
        self.engine
            .driver()
            .free(self.stream, self.address, bytes, self.stream);
        self.freed.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_owner_is_dropped_in_order_after_the_kernels() {
    for [engine, guest] in pairs() {
        let stream = engine.take_stream().expect("a stream");
        let adopted = adopt(&guest, stream);
        let freed = Arc::new(AtomicBool::new(false));
        let bytes = ROWS * 8;
        let address = engine.driver().alloc(stream, bytes).expect("memory");
        let fill = engine.driver().fill(stream, address, 1, bytes);
        fill.expect("a fill");
        let owner = FreedInOrder {
            engine: Arc::clone(&engine),
            stream,
            address,
            freed: Arc::clone(&freed),
        };
        // SAFETY: the owner frees the memory when it is dropped.
        let memory = unsafe { ForeignMemory::owned(address, bytes, owner) };
        let values = guest.adopt_memory(adopted, memory).expect("device memory");
        let values = column(PhysicalType::Int64, values, ROWS);
        let all = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), ROWS);
        let launch = Launch::new(&guest, guest.take_stream().expect("a stream"));
        let rows = DeviceRows::known(ROWS);
        let (columns, _) = filter_compact(&launch, &all, &[&values], &rows).expect("a filter");
        assert!(!freed.load(Ordering::Relaxed));
        drop(values);
        assert!(freed.load(Ordering::Relaxed));
        // The memory is used again, on the engine's stream, before anybody waited for the filter.
        let again = engine.driver().alloc(stream, bytes).expect("memory");
        let fill = engine.driver().fill(stream, again, 9, bytes);
        fill.expect("a fill");
        let ones = i64::from_ne_bytes([1; 8]);
        let got = fetch(&launch, &columns[0], ROWS).expect("a read");
        assert_eq!(got, vec![ones; ROWS as usize]);
        engine.driver().free(stream, again, bytes, stream);
        engine.synchronize(stream).expect("the engine's stream");
    }
}

#[test]
fn buffers_outlive_a_released_stream() {
    for pair in pairs() {
        let [engine, guest] = &pair;
        let theirs = engine.driver().stream_create().expect("a stream");
        let adopted = adopt(guest, theirs);
        let launch = Launch::new(guest, adopted);
        let queued_on = engine.take_stream().expect("a stream");
        let inputs = inputs(&pair, queued_on, adopt(guest, queued_on));
        let all = DeviceRows::known(ROWS);
        let (columns, rows) =
            filter_compact(&launch, &inputs.1, &[&inputs.0], &all).expect("a filter");
        let unread = guest.upload(adopted, &[7; 64]).expect("an upload");
        guest.release_stream(adopted).expect("nothing failed on it");
        engine.driver().stream_destroy(theirs);

        refused(guest.alloc(adopted, 8), "knows no stream");
        refused(kept(&launch, &inputs), "knows no stream");
        refused(guest.release_stream(adopted), "knows no stream");
        let own = Launch::new(guest, guest.take_stream().expect("a stream"));
        let count = rows.resolve(&own).expect("a count");
        assert_eq!(fetch(&own, &columns[0], count).expect("a read"), expected());
        drop(unread); // freed without the stream that it was used on
        drop((columns, rows));
        guest.synchronize(own.stream()).expect("nothing failed");
        assert_eq!(guest.memory().used(Tier::Device), 0);
    }
}

#[test]
fn adopting_twice_needs_two_releases() {
    let [engine, guest] = emulated(1);
    let stream = engine.take_stream().expect("a stream");
    let (first, second) = (adopt(&guest, stream), adopt(&guest, stream));
    assert_eq!(first, second);
    guest.release_stream(first).expect("adopted");
    guest.check_stream(second).expect("adopted once more");
    guest.release_stream(second).expect("adopted");
    refused(guest.check_stream(second), "knows no stream");
    let own = guest.take_stream().expect("a stream");
    refused(guest.release_stream(own), "no stream of another engine");
    guest.check_stream(own).expect("the device's own");
}

#[test]
fn what_is_no_memory_or_stream_of_the_device_is_refused() {
    for [engine, guest] in pairs() {
        let stream = guest.take_stream().expect("a stream");
        let buffer = engine.alloc(engine.take_stream().expect("a stream"), 256);
        let buffer = buffer.expect("memory");
        let adopt = |address, bytes| {
            // SAFETY: what is adopted here is never used; the buffer lives to the end of the loop.
            let memory = unsafe { ForeignMemory::borrowed(address, bytes) };
            guest.adopt_memory(stream, memory)
        };
        adopt(buffer.address(), 256).expect("the engine's memory");
        adopt(buffer.address() + 64, 192).expect("a part of it");
        adopt(buffer.address(), 0).expect("nothing");
        refused(adopt(buffer.address() + 8, 8), "no multiple of 16");
        let host = Box::new([0u64; 8]);
        let host_address = std::ptr::from_ref(&*host).expose_provenance() as u64;
        refused(adopt(host_address & !15, 16), "emory of");
        refused(adopt(buffer.address(), u64::MAX), "no address range");
        refused(adopt(buffer.address(), 1 << 50), "emory of");

        refused(guest.alloc(StreamHandle(0xdead_0000), 8), "knows no stream");
        let unknown = Launch::new(&guest, StreamHandle(0xdead_0000));
        refused(Status::new(&unknown, "x").map(drop), "knows no stream");
    }
    let [_, guest] = emulated(1);
    // SAFETY: the emulator looks numbers up.
    let nobodys = unsafe { ForeignStream::new(12_345) };
    refused(guest.adopt_stream(nobodys), "no stream 12345");
}

#[test]
fn memory_lent_for_reading_is_not_written() {
    for pair in pairs() {
        let [engine, guest] = &pair;
        let stream = engine.take_stream().expect("a stream");
        let adopted = adopt(guest, stream);
        let values = upload(engine, stream, &[1, 2, 3]);
        // SAFETY: `values` lives to the end of the loop, and is a multiple of 64 bytes.
        let memory = unsafe { ForeignMemory::borrowed(values.address(), values.bytes()) };
        let buffer = guest.adopt_memory(adopted, memory.read_only());
        let buffer = buffer.expect("device memory");
        refused(guest.write(adopted, &buffer, &[0; 8]), "reading alone");
        let launch = Launch::new(guest, adopted);
        let column = column(PhysicalType::Int64, buffer, 3);
        assert_eq!(fetch(&launch, &column, 3).expect("a read"), [1, 2, 3]);
        drop(column);
        let writable = lend(guest, adopted, &values);
        let written = guest.write(adopted, &writable, &9i64.to_ne_bytes());
        written.expect("memory lent for writing, too");
        let mut read = [0; 8];
        engine.read(stream, &values, &mut read).expect("a read");
        assert_eq!(read, 9i64.to_ne_bytes());
    }
}

#[test]
fn launchers_refuse_what_would_leave_a_buffer() {
    let [engine, guest] = emulated(3);
    let stream = engine.take_stream().expect("a stream");
    let launch = Launch::new(&guest, adopt(&guest, stream));
    let words = |rows: u64| {
        let values = vec![0; rows as usize];
        let buffer = lend(&guest, launch.stream(), &upload(&engine, stream, &values));
        column(PhysicalType::Int64, buffer, rows)
    };
    let (short, long) = (words(3), words(9));
    let rows = DeviceRows::known(9);
    let keep = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), 9);
    refused(
        filter_compact(&launch, &keep, &[&short], &rows),
        "a column has 3 rows, 9 are read",
    );
    refused(
        filter_compact(&launch, &long, &[&long], &rows),
        "a column of Int64 stands where Boolean is taken",
    );
    let status = Status::new(&launch, "gather_rows").expect("memory");
    refused(
        gather_rows(&launch, &long, &rows, &[&long], &rows, &status),
        "where UInt32 is taken",
    );
    let indices = DeviceColumn::scalar(PhysicalType::UInt32, Some(0), 9);
    refused(
        gather_rows(&launch, &indices, &rows, &[&short], &rows, &status),
        "a column has 3 rows",
    );
    let key = GroupKey {
        physical: PhysicalType::Int64,
        nullable: false,
        bits: 64,
    };
    let tuning = GroupTuning::default();
    let layout = GroupLayout::new(&[key], &[abi::ACCUMULATE_COUNT], &tuning);
    let layout = layout.expect("a layout");
    let mut table = GroupTable::new(&launch, layout, tuning).expect("a table");
    refused(table.update(&launch, &[&short], &[], &rows), "has 3 rows");
    refused(
        table.update(&launch, &[&long], &[(1, &long)], &rows),
        "accumulator 1 of 1",
    );
    let values = guest.upload(launch.stream(), &[0; 64]).expect("an upload");
    let values = Arc::new(values);
    let array = |offset, rows| {
        DeviceColumn::array(PhysicalType::Int64, Arc::clone(&values), None, offset, rows)
    };
    array(0, 8).expect("as many as there are");
    refused(array(1, 8), "bytes of values");
    refused(array(u64::MAX, 2), "no size in bytes");
    refused(array(1, u64::MAX / 8), "no size in bytes");

    let [_, other] = emulated(4);
    let elsewhere = Launch::new(&other, other.take_stream().expect("a stream"));
    refused(
        filter_compact(&elsewhere, &keep, &[&long], &rows),
        "another device",
    );
}
