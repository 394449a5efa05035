//! Memory that is held for later goes first.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::reclaim::*;
use super::reservation::{MemoryManager, Tier};
use crate::memory::{
    Batch, DiskFiles, HostParking, MemoryLimits, Reservation, SpillClass, SpillManager,
    SpillOptions, Wait,
};

/// Holds reservations and lets go of the last one first.
#[derive(Debug, Default)]
struct Hoard(Mutex<Vec<Reservation>>);

impl Reclaim for Hoard {
    fn held(&self, tier: Tier) -> u64 {
        let held = self.0.lock().unwrap();
        let of_tier = held.iter().filter(|held| held.tier() == tier);
        of_tier.map(Reservation::bytes).sum()
    }

    fn reclaim(&self, tier: Tier, bytes: u64) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            let last = self.0.lock().unwrap().pop_if(|held| held.tier() == tier);
            let Some(last) = last else { break };
            freed += last.bytes();
        }
        freed
    }
}

/// Memory of 100 bytes of which ten times 8 are hoarded.
fn hoarding(tier: Tier) -> (Arc<MemoryManager>, Arc<Hoard>) {
    let memory = MemoryManager::new(MemoryLimits {
        device: 100,
        host: 100,
        ..MemoryLimits::UNLIMITED
    });
    let hoard = Arc::new(Hoard::default());
    memory.add_reclaimable(&(Arc::clone(&hoard) as Arc<dyn Reclaim>));
    for _ in 0..10 {
        let held = memory.reserve(tier, 8).unwrap();
        hoard.0.lock().unwrap().push(held);
    }
    (memory, hoard)
}

#[test]
fn what_is_hoarded_goes_before_a_reservation_fails() {
    let (memory, _hoard) = hoarding(Tier::Device);
    let held = memory.reserve(Tier::Device, 30).unwrap();
    assert_eq!(memory.used(Tier::Device), 30 + 64);
    assert_eq!(memory.reclaimable(Tier::Device), 64);
    // What can never fit takes nothing from anybody.
    assert!(memory.reserve(Tier::Device, 101).is_err());
    assert_eq!(memory.reclaimable(Tier::Device), 64);
    assert!(memory.reserve(Tier::Device, 71).is_err());
    assert_eq!(memory.used(Tier::Device), 30);
    drop(held);
    assert!(memory.reserve(Tier::Device, 100).is_ok());
}

#[test]
fn what_is_hoarded_goes_before_anybody_waits() {
    let (memory, _hoard) = hoarding(Tier::Device);
    memory.set_spill_limits(90, 90);
    let wait = Wait::default();
    let mut reserved = pin!(memory.reserve_or_wait(Tier::Device, 50, &wait));
    let polled = reserved
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))));
    assert_eq!(memory.reclaimable(Tier::Device), 40);
}

#[test]
fn what_is_hoarded_goes_before_anything_is_spilled() {
    for enabled in [true, false] {
        let (memory, _hoard) = hoarding(Tier::Host);
        let options = SpillOptions {
            check_every: None,
            enabled,
            ..SpillOptions::default()
        };
        let spiller = SpillManager::new(&memory, options, Arc::new(DiskFiles));
        let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![7]));
        let rows = arrow::array::RecordBatch::try_from_iter([("a", column)]).unwrap();
        let parking = Arc::new(HostParking);
        let stored = spiller
            .store(Batch::host(rows), parking, SpillClass::Build)
            .unwrap();
        assert_eq!(spiller.spill(Tier::Host, 20).unwrap(), 24);
        assert_eq!(stored.tier(), Tier::Host);
        let held = memory.reserve_with_spilling(Tier::Host, 92).unwrap();
        assert_eq!(stored.tier(), Tier::Host);
        assert_eq!(memory.reclaimable(Tier::Host), 0);
        drop(held);
        let more = memory.reserve_with_spilling(Tier::Host, 93);
        assert_eq!(more.is_ok(), enabled);
        let moved = if enabled { Tier::Disk } else { Tier::Host };
        assert_eq!(stored.tier(), moved);
    }
}

#[test]
fn who_is_gone_is_not_asked() {
    let (memory, hoard) = hoarding(Tier::Device);
    drop(hoard);
    assert_eq!(memory.used(Tier::Device), 0);
    assert_eq!(memory.reclaimable(Tier::Device), 0);
    assert_eq!(memory.reclaim(Tier::Device, 1), 0);
}
