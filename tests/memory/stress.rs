//! Many threads store, use, take, drop and spill the same batches within tight limits.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pelton::ErrorKind;
use pelton::memory::{DiskFiles, SpillClass, SpillOptions, StoredBatch, Tier, Wait};

use crate::bed::{Bed, batch_bytes, block_on, limits, numbered, rows_of, until};
use crate::support::random::{Random, for_each_case};

type Shared = Mutex<Vec<(i64, Arc<StoredBatch>)>>;

/// Whether an error is one that tight limits and others' takes explain.
fn expected(error: &pelton::Error) -> bool {
    matches!(error.kind(), ErrorKind::Reservation { .. })
        || error.to_string().contains("taken already")
}

fn one_step(bed: &Bed, shared: &Shared, random: &mut Random) {
    let pick = |random: &mut Random| {
        let shared = shared.lock().unwrap();
        (!shared.is_empty()).then(|| random.pick(&shared).clone())
    };
    match random.below(8) {
        0 | 1 => {
            let number = random.below(10) as i64;
            if let Ok(batch) = bed.device.upload(numbered(number)) {
                let class = *random.pick(&SpillClass::ALL);
                let parking = Arc::clone(&bed.device) as _;
                let stored = bed.spiller.store(batch, parking, class).unwrap();
                shared.lock().unwrap().push((number, stored));
            }
        }
        2 | 3 => {
            if let Some((number, stored)) = pick(random) {
                match stored.get() {
                    Ok(batch) => assert_eq!(rows_of(&batch), numbered(number)),
                    Err(error) => assert!(expected(&error), "{error}"),
                }
            }
        }
        4 => {
            // Others may get, spill or take it at the same time.
            if let Some((number, stored)) = pick(random) {
                match stored.take() {
                    Ok(batch) => assert_eq!(rows_of(&batch), numbered(number)),
                    Err(error) => assert!(expected(&error), "{error}"),
                }
            }
        }
        5 => {
            let mut shared = shared.lock().unwrap();
            if !shared.is_empty() {
                let at = random.below(shared.len());
                drop(shared.swap_remove(at));
            }
        }
        6 => {
            let tier = *random.pick(&[Tier::Device, Tier::Host]);
            let spilled = bed.spiller.spill(tier, random.below(8000) as u64);
            assert!(spilled.as_ref().err().is_none_or(expected), "{spilled:?}");
        }
        _ => {
            let wait = Wait {
                timeout: Duration::from_millis(random.below(3) as u64),
                overbook: random.once_in(2),
                ..Wait::default()
            };
            let bytes = random.below(8000) as u64;
            let held = block_on(bed.memory.reserve_or_wait(Tier::Device, bytes, &wait));
            assert!(held.as_ref().err().is_none_or(expected), "{held:?}");
        }
    }
}

fn stress(random: &mut Random) {
    let bytes = batch_bytes(1);
    let (device, host, disk) = (5 * bytes, 3 * bytes, 40 * bytes);
    let options = SpillOptions {
        check_every: random.once_in(2).then(|| Duration::from_micros(100)),
        ..SpillOptions::default()
    };
    let bed = Bed::with(limits(device, host, disk), Arc::new(DiskFiles), &options);
    bed.memory.set_spill_limits(4 * bytes, 2 * bytes);
    let shared = Shared::default();
    let seeds: Vec<u64> = (0..4).map(|_| random.bits()).collect();
    thread::scope(|scope| {
        for seed in seeds {
            let (bed, shared) = (&bed, &shared);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..40 {
                    one_step(bed, shared, &mut random);
                    assert!(bed.memory.used(Tier::Device) <= device);
                }
            });
        }
    });
    for (number, stored) in shared.into_inner().unwrap() {
        match stored.take() {
            Ok(batch) => assert_eq!(rows_of(&batch), numbered(number)),
            Err(error) => assert!(expected(&error), "{error}"),
        }
    }
    let peaks = [Tier::Device, Tier::Host, Tier::Disk].map(|tier| bed.memory.peak(tier));
    assert!(
        peaks[0] <= device && peaks[1] <= host && peaks[2] <= disk,
        "{peaks:?}"
    );
    assert_eq!(bed.files_left(), 0);
    let memory = Arc::clone(&bed.memory);
    drop(bed); // ends the thread, which may hold a batch for a moment more
    until("everything is given back", || {
        let tiers = [Tier::Device, Tier::Host, Tier::Disk].into_iter();
        tiers.map(|tier| memory.used(tier)).sum::<u64>() == 0
    });
}

#[test]
fn many_threads_at_the_same_batches() {
    for_each_case("many_threads_at_the_same_batches", stress);
}
