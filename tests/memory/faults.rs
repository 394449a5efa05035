//! Spill files that fail: every failure is typed, names what to do, and harms nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton::memory::{
    Batch, DiskFiles, FaultyFiles, FileFault, Files, HostParking, MemoryLimits, SpillClass,
    SpillFile, SpillOptions, StoredBatch, Tier,
};
use pelton::{Error, ErrorKind, Result};

use crate::bed::{Bed, batch_bytes, limits, numbered, rows_of};
use crate::support::random::{Random, for_each_case};

/// Of a numbered batch: numbers, and names' validity, offsets and bytes.
const SECTIONS: u64 = 4;

fn quiet() -> SpillOptions {
    SpillOptions {
        check_every: None,
        ..SpillOptions::default()
    }
}

fn faulty(faults: &[(FileFault, u64)]) -> Bed {
    let files = FaultyFiles::scripted(Arc::new(DiskFiles), faults.iter().copied());
    Bed::with(MemoryLimits::UNLIMITED, Arc::new(files), &quiet())
}

fn on_host(bed: &Bed, number: i64) -> Arc<StoredBatch> {
    let stored = bed.store(number, SpillClass::Build);
    bed.spiller.spill(Tier::Device, 1).unwrap();
    assert_eq!(stored.tier(), Tier::Host);
    stored
}

fn names_folder(error: &Error, bed: &Bed) {
    let folder = bed.folder.path().to_str().unwrap();
    let text = error.to_string();
    assert!(
        text.contains(folder) && text.contains("spill_folder"),
        "{text}"
    );
}

#[test]
fn a_full_disk_leaves_the_batch_where_it_was() {
    for write in 0..SECTIONS {
        let bed = faulty(&[(FileFault::DiskFull, write)]);
        let stored = on_host(&bed, 1);
        let error = bed.spiller.spill(Tier::Host, 1).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io { .. }));
        names_folder(&error, &bed);
        assert!(error.to_string().contains("disk_limit"), "{error}");
        assert_eq!(
            (stored.tier(), bed.used()),
            (Tier::Host, [0, batch_bytes(1), 0])
        );
        assert_eq!(rows_of(&stored.get().unwrap()), numbered(1));
        assert_eq!(bed.spiller.statistics().failures, 1);
        bed.spiller.spill(Tier::Device, 1).unwrap();
        bed.spiller.spill(Tier::Host, 1).unwrap();
        assert_eq!(rows_of(&stored.take().unwrap()), numbered(1));
        assert_eq!(bed.used(), [0, 0, 0]);
    }
}

#[test]
fn damaged_bytes_are_found_and_others_are_whole() {
    for fault in [FileFault::FlippedBit, FileFault::ShortWrite] {
        for write in 0..SECTIONS {
            let bed = faulty(&[(fault, write)]);
            let first = on_host(&bed, 1);
            bed.spiller.spill(Tier::Host, 1).unwrap();
            let error = first.get().unwrap_err();
            let ErrorKind::Corrupt { cause, .. } = error.kind() else {
                panic!("{error}");
            };
            assert!(cause.contains("run the query again"), "{cause}");
            names_folder(&error, &bed);
            assert_eq!(
                (first.tier(), bed.used()),
                (Tier::Disk, [0, 0, batch_bytes(1)])
            );
            let second = on_host(&bed, 2);
            bed.spiller.spill(Tier::Host, 1).unwrap();
            assert_eq!(rows_of(&second.get().unwrap()), numbered(2));
        }
    }
}

#[test]
fn a_failed_read_may_be_tried_again() {
    let bed = faulty(&[(FileFault::FailedRead, 0)]);
    let stored = on_host(&bed, 1);
    bed.spiller.spill(Tier::Host, 1).unwrap();
    let error = stored.get().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    assert_eq!(bed.used(), [0, 0, batch_bytes(1)]);
    assert_eq!(rows_of(&stored.get().unwrap()), numbered(1));
}

#[test]
fn a_folder_that_is_gone_and_slow_writes() {
    let bed = faulty(&[
        (FileFault::NoFile, 0),
        (FileFault::Slow(Duration::from_millis(2)), 0),
    ]);
    let stored = on_host(&bed, 1);
    assert!(bed.spiller.spill(Tier::Host, 1).is_err());
    assert_eq!(
        (stored.tier(), bed.memory.used(Tier::Disk)),
        (Tier::Host, 0)
    );
    bed.spiller.spill(Tier::Host, 1).unwrap();
    assert_eq!(rows_of(&stored.get().unwrap()), numbered(1));
    let bed = Bed::new(MemoryLimits::UNLIMITED);
    std::fs::remove_dir(bed.folder.path()).unwrap();
    let _stored = on_host(&bed, 1);
    let error = bed.spiller.spill(Tier::Host, 1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    names_folder(&error, &bed);
}

#[test]
fn the_limit_of_the_disk_is_kept() {
    let bed = Bed::new(limits(u64::MAX, u64::MAX, batch_bytes(1) - 1));
    let stored = on_host(&bed, 1);
    let error = bed.spiller.spill(Tier::Host, 1).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Disk,
            ..
        }
    ));
    assert!(
        error.to_string().contains("raise `disk_limit` by 1 "),
        "{error}"
    );
    assert_eq!(
        (stored.tier(), bed.memory.peak(Tier::Disk)),
        (Tier::Host, 0)
    );
}

#[test]
fn a_need_that_spilling_could_not_meet_says_why() {
    let bytes = batch_bytes(1);
    let files = FaultyFiles::scripted(Arc::new(DiskFiles), [(FileFault::DiskFull, 0)]);
    let bed = Bed::with(limits(u64::MAX, bytes, u64::MAX), Arc::new(files), &quiet());
    let _stored = on_host(&bed, 1);
    let error = bed.memory.reserve_with_spilling(Tier::Host, 1).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Host,
            ..
        }
    ));
    names_folder(&error, &bed);
}

#[test]
fn rows_that_neither_memory_nor_disk_have_room_for_are_refused() {
    let files = FaultyFiles::scripted(
        Arc::new(DiskFiles),
        (0..9).map(|at| (FileFault::DiskFull, at)),
    );
    let bed = Bed::with(limits(0, 10, u64::MAX), Arc::new(files), &quiet());
    let batch = Batch::host(numbered(1));
    let stored = bed
        .spiller
        .store(batch, Arc::new(HostParking), SpillClass::Build);
    let error = stored.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Reservation {
                tier: Tier::Host,
                ..
            }
        ),
        "{error}"
    );
    names_folder(&error, &bed);
    assert_eq!(bed.memory.used(Tier::Host), 0);
}

#[test]
fn a_backend_that_fails_keeps_its_batch() {
    let bed = Bed::new(MemoryLimits::UNLIMITED);
    let stored = bed.store(1, SpillClass::Build);
    bed.device.fail.store(true, Ordering::Relaxed);
    assert!(bed.spiller.spill(Tier::Device, 1).is_err());
    assert_eq!(
        (stored.tier(), bed.used()),
        (Tier::Device, [batch_bytes(1), 0, 0])
    );
    bed.device.fail.store(false, Ordering::Relaxed);
    bed.spiller.spill(Tier::Device, 1).unwrap();
    bed.device.fail.store(true, Ordering::Relaxed);
    assert!(stored.get().is_err());
    assert_eq!(
        (stored.tier(), bed.used()),
        (Tier::Host, [0, batch_bytes(1), 0])
    );
    bed.device.fail.store(false, Ordering::Relaxed);
    assert_eq!(rows_of(&stored.take().unwrap()), numbered(1));
}

fn is_typed(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io { .. } | ErrorKind::Corrupt { .. } | ErrorKind::Reservation { .. }
    )
}

fn one_step(bed: &Bed, stored: &mut Vec<(i64, Arc<StoredBatch>)>, random: &mut Random) {
    let check = |number: i64, got: Result<_>| match got {
        Ok(batch) => assert_eq!(rows_of(&batch), numbered(number)),
        Err(error) => assert!(is_typed(&error), "{error}"),
    };
    match random.below(6) {
        0 => {
            let number = random.below(10) as i64;
            match bed.device.upload(numbered(number)) {
                Ok(batch) => {
                    let parking = Arc::clone(&bed.device) as _;
                    let class = *random.pick(&SpillClass::ALL);
                    stored.push((number, bed.spiller.store(batch, parking, class).unwrap()));
                }
                Err(error) => assert!(is_typed(&error), "{error}"),
            }
        }
        1 | 2 => {
            let tier = *random.pick(&[Tier::Device, Tier::Host]);
            let spilled = bed.spiller.spill(tier, random.below(5000) as u64);
            assert!(spilled.as_ref().err().is_none_or(is_typed), "{spilled:?}");
        }
        3 | 4 if !stored.is_empty() => {
            let (number, stored) = random.pick(stored);
            check(*number, stored.get());
        }
        5 if !stored.is_empty() => {
            let (number, stored) = stored.swap_remove(random.below(stored.len()));
            check(number, stored.take());
        }
        _ => {}
    }
}

#[test]
fn random_faults_do_no_harm() {
    let mut happened = 0;
    for_each_case("random_faults_do_no_harm", |random| {
        let files = Arc::new(FaultyFiles::random(Arc::new(DiskFiles), random.bits(), 20));
        let bytes = batch_bytes(1);
        let bed = Bed::with(
            limits(4 * bytes, 3 * bytes, 12 * bytes),
            Arc::clone(&files) as Arc<dyn Files>,
            &quiet(),
        );
        let mut stored = Vec::new();
        for _ in 0..100 {
            one_step(&bed, &mut stored, random);
        }
        drop(stored);
        assert_eq!((bed.used(), bed.files_left()), ([0, 0, 0], 0));
        happened += files.happened();
    });
    assert!(happened > 0);
}

#[test]
fn a_file_that_is_read_past_its_end_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file: Box<dyn SpillFile> = DiskFiles.create(Path::new(folder.path())).unwrap();
    assert_eq!(file.append(b"abc").unwrap(), 0);
    assert_eq!(file.append(b"de").unwrap(), 3);
    let mut bytes = [0; 3];
    file.read_at(1, &mut bytes).unwrap();
    assert_eq!(&bytes, b"bcd");
    let error = file.read_at(4, &mut bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt { .. }));
}
