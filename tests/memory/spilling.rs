//! Batches that are spilled and come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use arrow::array::RecordBatch;
use pelton::ErrorKind;
use pelton::memory::{
    Batch, BatchStore, DiskFiles, HostParking, MemoryLimits, Sequence, SpillClass, SpillOptions,
    StoredBatch, Tier, Wait,
};

use crate::bed::{Bed, batch_bytes, block_on, limits, number_of, numbered, rows_of, until};

fn unlimited() -> Bed {
    Bed::new(MemoryLimits::UNLIMITED)
}

#[test]
fn by_class_and_within_it_the_one_stored_last_first() {
    let bed = unlimited();
    let classes = [
        SpillClass::Result,
        SpillClass::SortRun,
        SpillClass::Queued,
        SpillClass::Build,
        SpillClass::Aggregate,
        SpillClass::Queued,
        SpillClass::Build,
    ];
    let stored: Vec<_> = (0..)
        .zip(classes)
        .map(|(n, class)| bed.store(n, class))
        .collect();
    let freed = bed.spiller.spill(Tier::Device, batch_bytes(0) + 1).unwrap();
    assert_eq!(
        freed,
        batch_bytes(5) + batch_bytes(2),
        "two batches for a byte more than one"
    );
    assert_eq!(*bed.device.order.lock().unwrap(), [5, 2]);
    bed.spiller.spill(Tier::Device, u64::MAX).unwrap();
    assert_eq!(*bed.device.order.lock().unwrap(), [5, 2, 6, 3, 4, 1, 0]);
    assert!(stored.iter().all(|stored| stored.tier() == Tier::Host));
}

#[test]
fn down_to_disk_and_back_everything_is_equal_and_counted() {
    let bed = unlimited();
    let bytes = batch_bytes(1);
    let stored = bed.store(1, SpillClass::Build);
    assert_eq!(
        (stored.bytes(), stored.rows_max(), stored.tier()),
        (bytes, 100, Tier::Device)
    );
    assert_eq!(bed.used(), [bytes, 0, 0]);
    bed.spiller.spill(Tier::Device, 1).unwrap();
    assert_eq!((stored.tier(), bed.used()), (Tier::Host, [0, bytes, 0]));
    assert_eq!(rows_of(&stored.get().unwrap()), numbered(1));
    assert_eq!((stored.tier(), bed.used()), (Tier::Device, [bytes, 0, 0]));
    bed.spiller.spill(Tier::Device, 1).unwrap();
    bed.spiller.spill(Tier::Host, 1).unwrap();
    assert_eq!((stored.tier(), bed.used()), (Tier::Disk, [0, 0, bytes]));
    assert_eq!(bed.files_left(), 0, "spill files have no name");
    assert_eq!(stored.bytes(), bytes);
    assert_eq!(rows_of(&Arc::clone(&stored).take().unwrap()), numbered(1));
    assert_eq!(bed.used(), [0, 0, 0]);
    let gone = stored.get().unwrap_err();
    assert_eq!(gone.to_string(), "stored batch: it was taken already");
    let moved = bed.spiller.statistics().moved;
    let pairs = [
        ((Tier::Device, Tier::Host), 2),
        ((Tier::Host, Tier::Device), 1),
        ((Tier::Host, Tier::Disk), 1),
        ((Tier::Disk, Tier::Device), 1),
    ];
    assert_eq!(moved.len(), pairs.len());
    for (pair, batches) in pairs {
        assert_eq!(
            (moved[&pair].batches, moved[&pair].bytes),
            (batches, batches * bytes)
        );
    }
}

#[test]
fn a_batch_in_use_stays() {
    let bed = unlimited();
    let stored = bed.store(3, SpillClass::Queued);
    let used = stored.get().unwrap();
    assert_eq!(bed.spiller.spill(Tier::Device, u64::MAX).unwrap(), 0);
    assert_eq!(stored.tier(), Tier::Device);
    drop(used);
    assert_eq!(bed.spiller.spill(Tier::Device, 1).unwrap(), stored.bytes());
}

fn host(bed: &Bed, rows: &RecordBatch) -> Arc<StoredBatch> {
    let batch = Batch::host(RecordBatch::try_new(rows.schema(), rows.columns().to_vec()).unwrap());
    bed.spiller
        .store(batch, Arc::new(HostParking), SpillClass::Queued)
        .unwrap()
}

#[test]
fn a_batch_on_the_host_is_written_at_once() {
    let bed = unlimited();
    let stored = host(&bed, &numbered(4));
    let bytes = batch_bytes(4);
    assert_eq!(bed.used(), [0, bytes, 0]);
    assert_eq!(bed.spiller.spill(Tier::Host, 1).unwrap(), bytes);
    assert_eq!((stored.tier(), bed.used()), (Tier::Disk, [0, 0, bytes]));
    let used = stored.get().unwrap();
    assert_eq!(rows_of(&used), numbered(4));
    assert_eq!(bed.spiller.spill(Tier::Host, 1).unwrap(), 0, "it is in use");
    drop(used);
    let (batch, held) = stored.take_held().unwrap();
    assert_eq!((held.unwrap().bytes(), number_of(&batch)), (bytes, 4));
}

#[test]
fn a_batch_on_the_host_without_room_is_written_when_it_is_stored() {
    let bed = Bed::new(limits(0, 1000, u64::MAX));
    let batch = Batch::host(numbered(4));
    let stored = bed
        .spiller
        .store(batch, Arc::new(HostParking), SpillClass::Queued)
        .unwrap();
    assert_eq!(
        (stored.tier(), bed.used()),
        (Tier::Disk, [0, 0, batch_bytes(4)])
    );
    let error = stored.get().unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Host,
            ..
        }
    ));
    assert_eq!(
        (stored.tier(), bed.memory.peak(Tier::Host)),
        (Tier::Disk, 0)
    );
}

#[test]
fn shared_columns_keep_a_batch_only_if_all_are() {
    let bed = unlimited();
    let rows = numbered(5);
    let all = host(&bed, &rows);
    let twice = rows.project(&[0, 0]).unwrap();
    let one = rows.project(&[1]).unwrap();
    assert_eq!(bed.spiller.spill(Tier::Host, 1).unwrap(), 0);
    drop((rows, one));
    assert!(
        bed.spiller.spill(Tier::Host, 1).unwrap() > 0,
        "its other column is its own"
    );
    drop(all);
    let stored = host(&bed, &twice);
    assert_eq!(bed.spiller.spill(Tier::Host, 1).unwrap(), 0);
    drop(twice);
    assert!(
        bed.spiller.spill(Tier::Host, 1).unwrap() > 0,
        "a column twice is not shared"
    );
    assert_eq!(stored.tier(), Tier::Disk);
}

#[test]
fn who_needs_memory_spills_for_it() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(3 * bytes, 2 * bytes + 1, u64::MAX));
    let stored: Vec<_> = (1..=8).map(|n| bed.store(n, SpillClass::Build)).collect();
    let tiers = |tier| stored.iter().filter(|stored| stored.tier() == tier).count();
    assert_eq!(
        (tiers(Tier::Device), tiers(Tier::Host), tiers(Tier::Disk)),
        (3, 2, 3)
    );
    let held = bed
        .memory
        .reserve_with_spilling(Tier::Device, 3 * bytes)
        .unwrap();
    assert_eq!(
        (tiers(Tier::Device), tiers(Tier::Host), tiers(Tier::Disk)),
        (0, 2, 6)
    );
    let error = stored[0].get().unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Device,
            ..
        }
    ));
    drop(held);
    for (number, stored) in (1..).zip(&stored) {
        assert_eq!(rows_of(&stored.get().unwrap()), numbered(number));
    }
    drop(stored);
    assert_eq!(bed.used(), [0, 0, 0]);
    assert!(bed.memory.peak(Tier::Device) <= 3 * bytes);
    assert!(bed.memory.peak(Tier::Host) <= 2 * bytes + 1);
    let error = bed
        .memory
        .reserve_with_spilling(Tier::Device, 3 * bytes + 1)
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Reservation { .. }));
}

#[test]
fn coming_back_from_disk_needs_no_more_of_the_host_than_one_batch() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(bytes, bytes + bytes / 2, u64::MAX));
    let stored = [1, 2, 3].map(|n| bed.store(n, SpillClass::Build));
    let tiers = stored.each_ref().map(|stored| stored.tier());
    assert_eq!(tiers, [Tier::Disk, Tier::Host, Tier::Device]);
    assert_eq!(rows_of(&stored[0].get().unwrap()), numbered(1));
    let tiers = stored.each_ref().map(|stored| stored.tier());
    assert_eq!(tiers, [Tier::Device, Tier::Disk, Tier::Disk]);
}

#[test]
fn a_wait_spills_before_it_waits() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(4 * bytes, u64::MAX, u64::MAX));
    bed.memory.set_spill_limits(2 * bytes, u64::MAX);
    let stored = [1, 2].map(|n| bed.store(n, SpillClass::Build));
    let wait = Wait {
        timeout: Duration::from_secs(3600),
        ..Wait::default()
    };
    let held = block_on(bed.memory.reserve_or_wait(Tier::Device, bytes, &wait)).unwrap();
    assert!(!held.is_overbooked());
    assert_eq!(
        stored.map(|stored| stored.tier()),
        [Tier::Device, Tier::Host]
    );
}

#[test]
fn without_a_thread_storing_keeps_the_spill_limits() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(9 * bytes, 9 * bytes, u64::MAX));
    bed.memory.set_spill_limits(2 * bytes, bytes);
    let stored: Vec<_> = (1..=5).map(|n| bed.store(n, SpillClass::Build)).collect();
    let tiers: Vec<_> = stored.iter().map(|stored| stored.tier()).collect();
    let count = |tier| tiers.iter().filter(|other| **other == tier).count();
    assert_eq!(
        (count(Tier::Device), count(Tier::Host), count(Tier::Disk)),
        (2, 1, 2)
    );
}

#[test]
fn a_thread_keeps_the_spill_limits_and_serves_who_waits() {
    let bytes = batch_bytes(1);
    let options = SpillOptions::default();
    let limits = limits(9 * bytes, 9 * bytes, u64::MAX);
    let bed = Bed::with(limits, Arc::new(DiskFiles), &options);
    bed.memory.set_spill_limits(2 * bytes, bytes);
    let stored: Vec<_> = (1..=5).map(|n| bed.store(n, SpillClass::Build)).collect();
    until("balance", || {
        bed.memory.used(Tier::Device) <= 2 * bytes && bed.memory.used(Tier::Host) <= bytes
    });
    let used: Vec<_> = stored[..2]
        .iter()
        .map(|stored| stored.get().unwrap())
        .collect();
    let wait = Wait {
        timeout: Duration::from_secs(3600),
        ..Wait::default()
    };
    let memory = Arc::clone(&bed.memory);
    let waiting =
        thread::spawn(move || block_on(memory.reserve_or_wait(Tier::Device, bytes, &wait)));
    thread::sleep(Duration::from_millis(5));
    drop(used); // nobody is told; the thread sees that somebody waits
    assert!(waiting.join().unwrap().is_ok());
    drop(stored);
    let weak = Arc::downgrade(&bed.spiller);
    drop(bed);
    until("end", || weak.strong_count() == 0);
}

#[test]
fn spilling_can_be_switched_off() {
    let options = SpillOptions {
        enabled: false,
        ..SpillOptions::default()
    };
    let bed = Bed::with(MemoryLimits::UNLIMITED, Arc::new(DiskFiles), &options);
    let _stored = bed.store(1, SpillClass::Queued);
    assert_eq!(bed.spiller.spill(Tier::Device, 1).unwrap(), 0);
}

#[test]
fn without_spilling_what_has_no_room_is_refused_and_nothing_is_written() {
    let options = SpillOptions {
        enabled: false,
        check_every: None,
        ..SpillOptions::default()
    };
    let bytes = batch_bytes(1);
    let bed = Bed::with(
        limits(0, bytes + 1, u64::MAX),
        Arc::new(DiskFiles),
        &options,
    );
    let store = |number| {
        let batch = Batch::host(numbered(number));
        let parking = Arc::new(HostParking);
        bed.spiller.store(batch, parking, SpillClass::Build)
    };
    let stored = store(1).unwrap();
    let error = store(1).unwrap_err();
    let by = bytes - 1;
    assert_eq!(
        error.to_string(),
        format!(
            "spilling is off, and `spill=true` makes room: host memory: {bytes} bytes needed, \
             {bytes} of {} in use; raise `host_memory_limit` by {by} or lower \
             `target_partition_size`",
            bytes + 1
        )
    );
    assert_eq!(bed.memory.peak(Tier::Disk), 0);
    drop(stored);
    assert!(store(1).is_ok());
}

#[test]
fn a_file_is_gone_with_the_last_of_its_batches() {
    let bed = unlimited();
    let bytes = batch_bytes(1);
    let [first, second] = [1, 2].map(|n| bed.store(n, SpillClass::Build));
    bed.spiller.spill(Tier::Device, u64::MAX).unwrap();
    bed.spiller.spill(Tier::Host, u64::MAX).unwrap();
    drop(first);
    assert_eq!(
        bed.used(),
        [0, 0, 2 * bytes],
        "the disk has both until both are gone"
    );
    drop(second);
    assert_eq!(bed.used(), [0, 0, 0]);
}

#[test]
fn a_store_gives_its_batches_in_their_order() {
    let bed = unlimited();
    let store = BatchStore::default();
    for number in 0..3 {
        store.push(
            Sequence(10 + number),
            bed.store(number as i64, SpillClass::Queued),
        );
    }
    bed.spiller.spill(Tier::Device, u64::MAX).unwrap();
    assert_eq!(
        (store.len(), store.rows(), store.bytes()),
        (3, 300, (0..3).map(batch_bytes).sum())
    );
    assert_eq!(store.batches().len(), 3);
    for number in 0..3 {
        let (sequence, stored) = store.pop().unwrap();
        assert_eq!(
            (sequence.0, number_of(&stored.take().unwrap())),
            (10 + number, number as i64)
        );
    }
    assert!(store.pop().is_none() && store.is_empty());
    assert_eq!(bed.device.unparked.load(Ordering::Relaxed), 3);
}
