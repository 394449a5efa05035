//! Moves that others cross: a gate holds a move while somebody wants, takes or drops its batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pelton::ErrorKind;
use pelton::memory::{MemoryLimits, SpillClass, Tier};

use crate::bed::{Bed, batch_bytes, limits, numbered, rows_of, until};

/// Waits until the device has been asked to park a first batch.
fn move_begun(bed: &Bed) {
    until("the move", || {
        bed.device.parked.load(Ordering::Relaxed) == 1
    });
}

#[test]
fn who_needs_memory_waits_for_what_others_are_moving() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(bytes, u64::MAX, u64::MAX));
    let _stored = bed.store(1, SpillClass::Build);
    thread::scope(|scope| {
        let gate = bed.device.gate.lock().unwrap();
        let spilling = scope.spawn(|| bed.spiller.spill(Tier::Device, 1));
        move_begun(&bed);
        let needing = scope.spawn(|| bed.memory.reserve_with_spilling(Tier::Device, bytes));
        thread::sleep(Duration::from_millis(10));
        assert!(!needing.is_finished());
        drop(gate);
        assert_eq!(spilling.join().unwrap().unwrap(), bytes);
        assert!(needing.join().unwrap().is_ok());
    });
}

#[test]
fn a_move_stands_in_nobodys_way() {
    for take in [false, true] {
        let bed = Bed::new(MemoryLimits::UNLIMITED);
        let stored = bed.store(1, SpillClass::Build);
        thread::scope(|scope| {
            let gate = bed.device.gate.lock().unwrap();
            let spilling = scope.spawn(|| bed.spiller.spill(Tier::Device, 1));
            move_begun(&bed);
            let batch = match take {
                false => stored.get().unwrap(),
                true => Arc::clone(&stored).take().unwrap(),
            };
            assert_eq!(rows_of(&batch), numbered(1));
            drop(batch);
            drop(gate);
            assert_eq!(spilling.join().unwrap().unwrap(), 0, "it came to nothing");
        });
        let left = if take { 0 } else { batch_bytes(1) };
        assert_eq!((stored.tier(), bed.used()), (Tier::Device, [left, 0, 0]));
    }
}

#[test]
fn a_batch_that_is_dropped_while_it_moves_leaves_nothing() {
    let bed = Bed::new(MemoryLimits::UNLIMITED);
    let stored = bed.store(1, SpillClass::Build);
    thread::scope(|scope| {
        let gate = bed.device.gate.lock().unwrap();
        let spilling = scope.spawn(|| bed.spiller.spill(Tier::Device, 1));
        move_begun(&bed);
        drop(stored);
        drop(gate);
        assert!(spilling.join().unwrap().is_ok());
    });
    assert_eq!(bed.used(), [0, 0, 0]);
}

#[test]
fn memory_for_a_move_is_not_made_by_other_moves() {
    let bytes = batch_bytes(1);
    let bed = Bed::new(limits(2 * bytes, u64::MAX, u64::MAX));
    let _stored = [1, 2].map(|n| bed.store(n, SpillClass::Build));
    bed.device.scratch.store(1, Ordering::Relaxed);
    let error = bed.spiller.spill(Tier::Device, 1).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Device,
            ..
        }
    ));
    assert_eq!(bed.used(), [2 * bytes, 0, 0]);
}
