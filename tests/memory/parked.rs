//! Batches of a device in their own layout on the host, on disk and back, over the emulator: equal row
//! by row, counted to the byte, whole after failures, and moved by few calls.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::ErrorKind;
use pelton::Result;
use pelton::backend::Backend;
use pelton::backend::cuda::CudaBackend;
use pelton::device::Device;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::expr::{col, resolve};
use pelton::memory::{
    Batch, DiskFiles, MemoryLimits, MemoryManager, ParkedBatch, Parking, SpillClass, SpillManager,
    SpillOptions, StoredBatch, Tier, park_host, unpark_host,
};
use pelton::operators::{
    Context, FilterSpec, Operator, OperatorSpec, Partitioning, ShufflePartitionSpec,
};
use pelton::storage::{Dataset, ReadOptions};
use pelton::types::{DataType, Field, Schema, Semantics};
use pelton_simt::Calls;

use crate::support::equality::ordered;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain};
use crate::support::values::{Rows, rows};

/// Pinned memory for copies alone, so that batches go to pageable memory.
const NOTHING_KEPT: MemoryLimits = MemoryLimits {
    pinned: 32 << 20,
    ..MemoryLimits::UNLIMITED
};

/// The backend's parking, as the engine uses it: each move on a stream of its own.
#[derive(Debug)]
struct DeviceParking(CudaBackend);

impl DeviceParking {
    fn on_stream<T>(&self, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let context = Context {
            stream: self.0.stream_create()?,
            ..Context::detached()
        };
        let done = work(&context).and_then(|done| {
            self.0.synchronize(context.stream)?;
            Ok(done)
        });
        self.0.stream_destroy(context.stream);
        done
    }
}

impl Parking for DeviceParking {
    fn tier(&self) -> Tier {
        Tier::Device
    }
    fn bytes(&self, batch: &Batch) -> u64 {
        batch.bytes()
    }
    fn park(&self, batch: &Batch) -> Result<ParkedBatch> {
        self.on_stream(|context| self.0.park(context, batch))
    }
    fn park_pinned(&self, batch: &Batch) -> Result<Option<ParkedBatch>> {
        self.on_stream(|context| self.0.park_pinned(context, batch))
    }
    fn unpark(&self, parked: &ParkedBatch) -> Result<Batch> {
        self.on_stream(|context| self.0.unpark(context, parked))
    }
}

/// An emulated device with a spill manager.
struct Bed {
    driver: Arc<SimtDriver>,
    memory: Arc<MemoryManager>,
    parking: Arc<DeviceParking>,
    spiller: Arc<SpillManager>,
    _folder: tempfile::TempDir,
}

impl Bed {
    fn new(simt: SimtOptions, limits: MemoryLimits, views: bool) -> Bed {
        let memory = MemoryManager::new(limits);
        let driver = Arc::new(SimtDriver::new(simt));
        let device = Device::new(Arc::clone(&driver) as _, Arc::clone(&memory));
        let backend = match views {
            true => CudaBackend::uploading_views(device),
            false => CudaBackend::new(device),
        };
        let folder = tempfile::tempdir().unwrap();
        let options = SpillOptions {
            folder: Some(folder.path().to_path_buf()),
            check_every: None,
            ..SpillOptions::default()
        };
        Bed {
            driver,
            spiller: SpillManager::new(&memory, options, Arc::new(DiskFiles)),
            memory,
            parking: Arc::new(DeviceParking(backend)),
            _folder: folder,
        }
    }

    fn upload(&self, rows: &RecordBatch) -> Result<Batch> {
        let upload = |context: &Context| self.parking.0.upload(context, rows.clone());
        self.parking.on_stream(upload)
    }

    fn rows(&self, batch: &Batch) -> Result<Rows> {
        let download = |context: &Context| self.parking.0.download(context, batch.clone());
        Ok(rows(&[self.parking.on_stream(download)?]))
    }

    /// The rows whose column `keep` is true.
    fn filter(&self, batch: &Batch) -> Result<Batch> {
        let input = Arc::clone(batch.schema());
        let spec = OperatorSpec::Filter(FilterSpec {
            predicate: resolve(&col("keep"), &input)?,
            projection: (0..input.fields().len()).collect(),
            input,
            semantics: Semantics::default(),
        });
        let Operator::Transform(filter) = self.parking.0.instantiate(&spec)? else {
            panic!("a filter transforms");
        };
        let filtered = self
            .parking
            .on_stream(|context| filter.next(context, None, batch.clone()))?;
        Ok(filtered.expect("a batch, if perhaps without rows"))
    }

    fn split(&self, batch: &Batch, partitions: u32) -> Result<Vec<Batch>> {
        let spec = OperatorSpec::ShufflePartition(ShufflePartitionSpec {
            input: Arc::clone(batch.schema()),
            partitions,
            by: Partitioning::RoundRobin { start: 0 },
        });
        let Operator::Partition(split) = self.parking.0.instantiate(&spec)? else {
            panic!("it partitions");
        };
        let split = |context: &Context| split.next(context, batch.clone());
        self.parking.on_stream(split)
    }

    fn store(&self, batch: Batch) -> Arc<StoredBatch> {
        let parking: Arc<DeviceParking> = Arc::clone(&self.parking);
        self.spiller
            .store(batch, parking, SpillClass::Build)
            .unwrap()
    }

    /// Moves all away from a tier.
    fn spill(&self, tier: Tier) -> Result<u64> {
        self.spiller.spill(tier, u64::MAX)
    }

    fn used(&self) -> [u64; 3] {
        [Tier::Device, Tier::Host, Tier::Disk].map(|tier| self.memory.used(tier))
    }

    fn calls(&self) -> Calls {
        self.driver.emulator().calls()
    }
}

/// Random rows, `keep` among them.
fn table(random: &mut Random) -> RecordBatch {
    let columns = random.below(7);
    let mut fields: Vec<Field> = tables::schema(random, columns)
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields.insert(
        random.below(columns + 1),
        Field::new("keep", DataType::Boolean, true),
    );
    let schema = Arc::new(Schema::new(fields));
    let rows = tables::row_count(random).min(5000);
    let domain = *random.pick(&[Domain::Any, Domain::Keys]);
    tables::batch(random, &schema, rows, &vec![domain; columns + 1])
}

fn simt(random: &mut Random) -> SimtOptions {
    SimtOptions {
        seed: random.bits(),
        ..SimtOptions::default()
    }
}

/// Spills stored batches to the host and perhaps to disk, lets others use the memory that came free, and
/// compares what comes back; then what kernels make of it.
fn check_moves(bed: &Bed, batches: Vec<Batch>, random: &mut Random) -> Result<()> {
    let flat = |batch: &Batch| batch.schema().index_of("keep").is_ok();
    let expected = batches.iter().map(|batch| {
        let filtered = match flat(batch) {
            true => bed.rows(&bed.filter(batch)?)?,
            false => Rows::new(),
        };
        Ok((bed.rows(batch)?, filtered))
    });
    let expected: Vec<(Rows, Rows)> = expected.collect::<Result<_>>()?;
    let stored: Vec<_> = batches.into_iter().map(|batch| bed.store(batch)).collect();
    for _ in 0..2 {
        let before = bed.spiller.statistics();
        bed.spill(Tier::Device)?;
        assert_eq!(bed.used()[0], 0, "all is off the device");
        let bytes = |from, to| {
            let moved = |statistics: &pelton::memory::SpillStatistics| {
                statistics.moved.get(&(from, to)).map_or(0, |m| m.bytes)
            };
            moved(&bed.spiller.statistics()) - moved(&before)
        };
        assert_eq!(bed.used()[1], bytes(Tier::Device, Tier::Host));
        if bed.memory.limits() == NOTHING_KEPT {
            assert_eq!(bytes(Tier::Device, Tier::Pinned), 0);
        } else {
            assert_eq!(bed.used()[1], 0, "pinned memory has room for all");
        }
        if random.once_in(2) {
            bed.spill(Tier::Host)?;
            assert_eq!(bed.used()[1], 0, "all is on disk");
        }
        drop(bed.upload(&table(random))?);
        for (stored, (rows, filtered)) in stored.iter().zip(&expected) {
            let batch = stored.get()?;
            let same = ordered(rows, &bed.rows(&batch)?, &[]);
            assert!(same.is_ok(), "{same:?}");
            if flat(&batch) {
                let same = ordered(filtered, &bed.rows(&bed.filter(&batch)?)?, &[]);
                assert!(same.is_ok(), "filtered: {same:?}");
            }
        }
        assert_eq!(bed.used()[1..], [0, 0], "all is on the device again");
    }
    drop(stored);
    assert_eq!(bed.used(), [0, 0, 0]);
    Ok(())
}

#[test]
fn parked_batches_are_the_same_rows() {
    for_each_case("parked batches", |random| {
        let limits = *random.pick(&[NOTHING_KEPT, MemoryLimits::UNLIMITED]);
        let bed = Bed::new(simt(random), limits, random.once_in(2));
        let table = table(random);
        let note = Note::new(&table.schema(), format!("{} rows", table.num_rows()));
        let mut batches = vec![bed.upload(&table).unwrap()];
        if random.once_in(2) {
            batches[0] = bed.filter(&batches[0]).unwrap();
        }
        if random.once_in(2) {
            let partitions = 2 + random.below(5) as u32;
            batches = bed.split(&batches[0], partitions).unwrap();
        }
        check_moves(&bed, batches, random).unwrap();
        drop(note);
    });
}

/// Makes so many values.
type Values<'a> = &'a dyn Fn(&mut Random, usize) -> ArrayRef;

/// Rows of strings up to 300 bytes, and of lists.
fn pages(random: &mut Random, rows: usize) -> RecordBatch {
    let few = random.once_in(2);
    let strings = |random: &mut Random, rows: usize| -> ArrayRef {
        let string = |random: &mut Random| {
            let length = random.below(if few { 3 } else { 300 });
            "é".repeat(length / 2)
        };
        let strings = (0..rows).map(|_| (!random.once_in(4)).then(|| string(random)));
        Arc::new(strings.collect::<StringArray>())
    };
    let list = |random: &mut Random, rows: usize, values: Values| -> ArrayRef {
        let lengths: Vec<usize> = (0..rows).map(|_| random.below(4)).collect();
        let values = values(random, lengths.iter().sum());
        let valid: NullBuffer = (0..rows).map(|_| !random.once_in(5)).collect();
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Arc::new(ListArray::new(item, offsets, values, Some(valid)))
    };
    let numbers = |_: &mut Random, rows: usize| -> ArrayRef {
        let numbers = (0..rows as i64).map(|n| (n % 7 > 0).then_some(n));
        Arc::new(numbers.collect::<Int64Array>())
    };
    let lists = |random: &mut Random, rows: usize| list(random, rows, &numbers);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", list(random, rows, &strings)),
        ("text", strings(random, rows)),
        ("lists", list(random, rows, &lists)),
        ("number", numbers(random, rows)),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn what_a_scan_left_in_pages_is_the_same_rows() {
    for_each_case("parked pages", |random| {
        let limits = *random.pick(&[NOTHING_KEPT, MemoryLimits::UNLIMITED]);
        let bed = Bed::new(simt(random), limits, random.once_in(2));
        let row_count = *random.pick(&[0, 1, 33, 100, 300]);
        let table = pages(random, row_count);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages.parquet");
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(random.once_in(2))
            .set_max_row_group_row_count(Some(1 + random.below(200)))
            .build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, table.schema(), Some(properties)).unwrap();
        writer.write(&table).unwrap();
        writer.close().unwrap();

        let dataset = Dataset::open(&[path]).unwrap();
        let kept = dataset.prune(&[0, 1, 2, 3], None).unwrap();
        let options = ReadOptions::detached(150);
        let mut batches = Vec::new();
        for partition in kept.partitions(u64::MAX) {
            let read = |context: &Context| {
                let read = bed.parking.0.scan(context, &partition, &options)?;
                read.collect::<Result<Vec<_>>>()
            };
            batches.extend(bed.parking.on_stream(read).unwrap());
        }
        let scanned = batches.iter().flat_map(|batch| bed.rows(batch).unwrap());
        assert_eq!(scanned.collect::<Rows>(), rows(&[table]));
        check_moves(&bed, batches, random).unwrap();
    });
}

fn strings(rows: usize) -> RecordBatch {
    let text: StringArray = (0..rows)
        .map(|row| (row % 9 > 0).then(|| format!("{row:-^100}")))
        .collect();
    let keep: BooleanArray = (0..rows).map(|row| Some(row % 50 == 1)).collect();
    let columns: [(&str, ArrayRef); 2] = [("text", Arc::new(text)), ("keep", Arc::new(keep))];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn what_no_row_needs_stays_behind() -> Result<()> {
    let bed = Bed::new(SimtOptions::default(), NOTHING_KEPT, true);
    let batch = bed.upload(&strings(2000))?;
    let all = bed.parking.park(&batch)?.bytes();
    let filtered = bed.filter(&batch)?;
    assert!(filtered.bytes() > 200_000, "it holds on to all of the text");
    let parked = bed.parking.park(&filtered)?;
    assert_eq!(parked.rows, 40);
    let (views, text) = (40 * 16, 36 * 100);
    assert!(parked.bytes() < views + text + 4 * 64, "{parked:?}");
    assert!(all < 2000 * (16 + 100) + 5 * 64, "{all}");
    let back = bed.parking.unpark(&parked)?;
    assert!(back.bytes() <= parked.bytes().next_multiple_of(64));
    assert_eq!(bed.rows(&back)?, bed.rows(&filtered)?);
    Ok(())
}

/// Without room to put strings together on the device they go with what lies between them.
#[test]
fn a_full_device_can_still_be_spilled() -> Result<()> {
    let limits = MemoryLimits {
        device: 400_000,
        ..NOTHING_KEPT
    };
    let bed = Bed::new(SimtOptions::default(), limits, true);
    let batch = bed.filter(&bed.upload(&strings(2000))?)?;
    let expected = bed.rows(&batch)?;
    let stored = bed.store(batch);
    let rest = limits.device - bed.used()[0];
    let full = bed.memory.reserve(Tier::Device, rest)?;
    assert!(bed.spill(Tier::Device)? > 0);
    assert_eq!((bed.used()[0], stored.tier()), (rest, Tier::Host));
    // Nor can it come back before there is room, and it is not lost for that.
    let more = bed.memory.reserve(Tier::Device, limits.device - rest)?;
    let error = stored.get().expect_err("the device is full");
    assert!(
        matches!(error.kind(), ErrorKind::Reservation { tier, .. } if *tier == Tier::Device),
        "{error}"
    );
    assert_eq!(stored.tier(), Tier::Host);
    drop((full, more));
    assert_eq!(bed.rows(&stored.get()?)?, expected);
    assert_eq!(bed.used()[1..], [0, 0]);
    Ok(())
}

/// A batch of every kind of column, through all tiers, with one thing that fails: it is told, nothing is
/// lost or left counted, and what failed works the next time.
fn fails_once(simt: SimtOptions, limits: MemoryLimits) -> usize {
    let bed = Bed::new(simt, limits, true);
    let mut failures = 0;
    let mut again = |outcome: Result<()>| {
        failures += usize::from(outcome.is_err());
        outcome.is_err()
    };
    let mut batch = None;
    let table = strings(200);
    while again(bed.upload(&table).map(|made| batch = Some(made))) {}
    let mut filtered = None;
    let batch = batch.unwrap();
    while again(bed.filter(&batch).map(|made| filtered = Some(made))) {}
    let expected: Rows = rows(&[table])
        .into_iter()
        .enumerate()
        .filter_map(|(row, values)| (row % 50 == 1).then_some(values))
        .collect();
    drop(batch);
    let device = bed.used()[0];
    let stored = bed.store(filtered.unwrap());
    while again(bed.spill(Tier::Device).map(drop)) {
        assert_eq!(bed.used(), [device, 0, 0]);
        assert_eq!(stored.tier(), Tier::Device);
    }
    assert_eq!(bed.used()[0], 0);
    let host = bed.used()[1];
    while again(bed.spill(Tier::Host).map(drop)) {
        assert_eq!(bed.used(), [0, host, 0]);
    }
    let mut back = None;
    let tier = stored.tier();
    let parked = bed.used();
    while again(stored.get().map(|batch| back = Some(batch))) {
        assert_eq!((stored.tier(), bed.used()), (tier, parked));
    }
    let back = back.unwrap();
    let mut got = None;
    while again(bed.rows(&back).map(|rows| got = Some(rows))) {}
    assert_eq!(got.unwrap(), expected);
    drop((back, stored));
    assert_eq!(bed.used(), [0, 0, 0]);
    failures
}

#[test]
fn a_copy_that_fails_leaves_the_batch_whole() {
    for limits in [NOTHING_KEPT, MemoryLimits::UNLIMITED] {
        let failures = (1..40).map(|at| {
            let simt = SimtOptions {
                fail_copy_at: Some(at),
                ..SimtOptions::default()
            };
            fails_once(simt, limits)
        });
        let failures: Vec<usize> = failures.collect();
        assert!(
            failures.iter().all(|failures| *failures <= 1),
            "{failures:?}"
        );
        assert!(failures.iter().sum::<usize>() > 8, "{failures:?}");
        assert_eq!(failures.last(), Some(&0), "every copy has failed once");
    }
}

/// The driver's memory may be on its way back: it is asked again.
#[test]
fn an_allocation_that_fails_leaves_the_batch_whole() {
    for limits in [NOTHING_KEPT, MemoryLimits::UNLIMITED] {
        for at in 1..40 {
            let simt = SimtOptions {
                fail_alloc_at: Some(at),
                ..SimtOptions::default()
            };
            assert_eq!(fails_once(simt, limits), 0, "allocation {at}");
        }
    }
}

/// Calls of the driver, and bytes copied, to park a batch and to bring it back: as Arrow arrays, and
/// as it is.
fn moves_of(bed: &Bed, batch: &Batch) -> Result<[[Calls; 2]; 2]> {
    let parking = &bed.parking;
    let mut last = bed.calls();
    let mut lap = || {
        let now = bed.calls();
        let calls = now.since(last);
        last = now;
        calls
    };
    let download = |context: &Context| parking.0.download(context, batch.clone());
    let parked = park_host(&parking.on_stream(download)?);
    let arrow_down = lap();
    let upload = |context: &Context| parking.0.upload(context, unpark_host(&parked)?);
    drop(parking.on_stream(upload)?);
    let arrow_up = lap();
    let parked = parking.park_pinned(batch)?.expect("pinned memory has room");
    let down = lap();
    let back = parking.unpark(&parked)?;
    let up = lap();
    assert_eq!(bed.rows(&back)?, bed.rows(batch)?);
    Ok([[arrow_down, arrow_up], [down, up]])
}

/// Ten columns that may be null, decimals and strings among them.
fn ten_columns(rows: usize) -> RecordBatch {
    let valid = |row: &usize| !row.is_multiple_of(11);
    let column = |index: usize| -> ArrayRef {
        let places = 0..rows;
        match index % 3 {
            0 => Arc::new(
                places
                    .map(|row| valid(&row).then_some((row * index) as i64))
                    .collect::<Int64Array>(),
            ),
            1 => Arc::new(
                places
                    .map(|row| valid(&row).then(|| format!("name {}", row % 100)))
                    .collect::<StringArray>(),
            ),
            _ => Arc::new(
                places
                    .map(|row| valid(&row).then_some(row as i64))
                    .collect::<Decimal64Array>()
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        }
    };
    let columns = (0..10).map(|index| (format!("c{index}"), column(index)));
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn a_batch_is_moved_by_few_calls() -> Result<()> {
    let bed = Bed::new(SimtOptions::default(), MemoryLimits::UNLIMITED, false);
    let uploaded = bed.upload(&ten_columns(4000))?;
    let part = bed.split(&uploaded, 4)?.remove(0);
    for (what, batch, copies) in [("uploaded", &uploaded, 20), ("a part", &part, 1)] {
        let [[arrow_down, arrow_up], [down, up]] = moves_of(&bed, batch)?;
        println!("{what}: Arrow down {arrow_down:?}, up {arrow_up:?}; down {down:?}, up {up:?}");
        assert!(down.copies <= copies, "{what}: {down:?}");
        assert!(up.copies <= 2, "{what}: {up:?}");
        assert!(
            down.waits <= 4 && up.waits <= 4,
            "a few, whatever its columns"
        );
        assert!(down.copied_bytes <= arrow_down.copied_bytes + 20 * 64);
        assert!(down.total() < arrow_down.total(), "{what}");
        assert!(2 * up.total() < arrow_up.total(), "{what}");
    }
    Ok(())
}
