//! Reservations and the hand-over of spilled batches under every order that the `shuttle` crate draws,
//! at each lock, wait and wake-up. A lost wake-up is a deadlock there, and a deadlock is a failure.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pelton::memory::{Batch, HostParking, Tier};
use pelton::{Error, ErrorKind, Result};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use crate::bed::{numbered, rows_of};
use crate::simulated::{
    DiskFiles, ManualClock, MemoryLimits, MemoryManager, SpillClass, SpillManager, SpillOptions,
    StoredBatch, Wait,
};

const TIMEOUT: Duration = Duration::from_secs(1);

fn in_every_order(round: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(round.clone(), 400);
    shuttle::check_pct(round, 400, 3);
}

/// Memory of one tier, and the clock of its waits.
fn memory(tier: Tier, bytes: u64) -> (Arc<ManualClock>, Arc<MemoryManager>) {
    let mut limits = MemoryLimits::UNLIMITED;
    match tier {
        Tier::Host => limits.host = bytes,
        _ => limits.device = bytes,
    }
    let clock = Arc::new(ManualClock::default());
    let memory = MemoryManager::with_clock(limits, Arc::clone(&clock) as _);
    (clock, memory)
}

fn patient() -> Wait {
    Wait {
        timeout: TIMEOUT,
        ..Wait::default()
    }
}

/// Polls a future once and drops it.
async fn give_up<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn everybody_who_waits_for_memory_gets_it() {
    in_every_order(|| {
        let (_, memory) = memory(Tier::Device, 100);
        let needing = |bytes: u64| {
            let memory = Arc::clone(&memory);
            thread::spawn(move || {
                for _ in 0..2 {
                    let wait = patient();
                    let held = block_on(memory.reserve_or_wait(Tier::Device, bytes, &wait));
                    assert_eq!(held.unwrap().bytes(), bytes);
                    assert!(memory.used(Tier::Device) <= 100);
                }
            })
        };
        let threads = [60, 50, 90].map(needing);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(memory.used(Tier::Device), 0);
        assert!(memory.peak(Tier::Device) <= 100);
    });
}

#[test]
fn who_gives_a_wait_up_keeps_nothing_and_holds_nobody_up() {
    in_every_order(|| {
        let (_, memory) = memory(Tier::Device, 100);
        let held = memory.reserve(Tier::Device, 100).unwrap();
        let fickle = Arc::clone(&memory);
        let fickle = thread::spawn(move || {
            let wait = patient();
            drop(block_on(give_up(fickle.reserve_or_wait(
                Tier::Device,
                70,
                &wait,
            ))));
        });
        let patient_one = Arc::clone(&memory);
        let patient_one = thread::spawn(move || {
            let wait = patient();
            block_on(patient_one.reserve_or_wait(Tier::Device, 80, &wait)).map(drop)
        });
        drop(held);
        fickle.join().unwrap();
        assert!(patient_one.join().unwrap().is_ok());
        assert_eq!(memory.used(Tier::Device), 0);
    });
}

#[test]
fn an_abort_meets_any_moment_of_a_wait() {
    in_every_order(|| {
        let (_, memory) = memory(Tier::Device, 100);
        let _held = memory.reserve(Tier::Device, 100).unwrap();
        let aborted = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&aborted);
        let wait = Wait {
            cancelled: Arc::new(move || match asked.load(Ordering::SeqCst) {
                false => Ok(()),
                true => Err(Error::invalid("query", "aborted", "")),
            }),
            ..patient()
        };
        let waiting = Arc::clone(&memory);
        let waiting =
            thread::spawn(move || block_on(waiting.reserve_or_wait(Tier::Device, 1, &wait)));
        aborted.store(true, Ordering::SeqCst);
        memory.wake_all();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("aborted"), "{error}");
    });
}

#[test]
fn a_time_out_ends_one_wait_after_the_other() {
    // Whoever moves the clock does so as long as somebody waits: only a fair order ends that.
    shuttle::check_random(
        || {
            let (clock, memory) = memory(Tier::Device, 100);
            memory.set_spill_limits(50, u64::MAX);
            let held = memory.reserve(Tier::Device, 50).unwrap();
            let ended = Arc::new(AtomicUsize::new(0));
            let needing = |bytes: u64| {
                let (memory, ended) = (Arc::clone(&memory), Arc::clone(&ended));
                thread::spawn(move || {
                    let wait = patient();
                    let outcome = block_on(memory.reserve_or_wait(Tier::Device, bytes, &wait));
                    ended.fetch_add(1, Ordering::SeqCst);
                    outcome
                })
            };
            let threads = [30, 40].map(needing);
            while ended.load(Ordering::SeqCst) < 2 {
                clock.advance(TIMEOUT);
                thread::yield_now();
            }
            let outcomes = threads.map(|thread| thread.join().unwrap());
            let overbooked = outcomes.iter().flatten();
            assert!(overbooked.clone().count() == 1, "both do not fit");
            assert!(!overbooked.clone().any(|held| !held.is_overbooked()));
            assert!(memory.used(Tier::Device) <= 100);
            drop((outcomes, held));
            let left = (memory.used(Tier::Device), memory.overbooked(Tier::Device));
            assert_eq!(left, (0, 0));
        },
        400,
    );
}

/// Host memory for one of two batches, which are both stored.
struct Pair {
    memory: Arc<MemoryManager>,
    spiller: Arc<SpillManager>,
    stored: [Arc<StoredBatch>; 2],
    bytes: u64,
}

impl Pair {
    fn new() -> Pair {
        let bytes = pelton::memory::park_host(&numbered(1)).bytes();
        let (_, memory) = memory(Tier::Host, bytes + bytes / 2);
        let options = SpillOptions {
            check_every: None,
            ..SpillOptions::default()
        };
        let spiller = SpillManager::new(&memory, options, Arc::new(DiskFiles));
        let store = |number| {
            let batch = Batch::host(numbered(number));
            let stored = spiller.store(batch, Arc::new(HostParking), SpillClass::Build);
            stored.unwrap()
        };
        let stored = [store(1), store(2)];
        Pair {
            memory,
            spiller,
            stored,
            bytes,
        }
    }
}

/// Whether nothing is held any more, in memory and on disk.
fn is_empty(memory: &MemoryManager) -> bool {
    [Tier::Host, Tier::Disk].map(|tier| memory.used(tier)) == [0, 0]
}

/// The rows, unless there was no room for them.
fn check(number: i64, got: &Result<Batch>) -> bool {
    match got {
        Ok(batch) => assert_eq!(rows_of(batch), numbered(number)),
        Err(error) => {
            let short = matches!(error.kind(), ErrorKind::Reservation { .. });
            assert!(short, "{error}");
        }
    }
    got.is_ok()
}

#[test]
fn batches_that_push_each_other_out_come_back_whole() {
    in_every_order(|| {
        let pair = Pair::new();
        let getting = [1, 2].map(|number| {
            let stored = Arc::clone(&pair.stored[number - 1]);
            thread::spawn(move || check(number as i64, &stored.get()))
        });
        let got = getting.map(|thread| thread.join().unwrap());
        assert!(got.contains(&true), "one of them has room");
        for (number, stored) in (1..).zip(&pair.stored) {
            assert!(check(number, &stored.get()), "nobody else uses memory now");
        }
        assert!(pair.memory.peak(Tier::Host) <= pair.bytes + pair.bytes / 2);
        let Pair { memory, stored, .. } = pair;
        drop(stored);
        assert!(is_empty(&memory));
    });
}

#[test]
fn a_batch_is_handed_over_once_while_others_move_it() {
    in_every_order(|| {
        let Pair {
            memory,
            spiller,
            stored,
            bytes,
        } = Pair::new();
        let [first, second] = stored;
        drop(first);
        let taking = [0, 1].map(|_| {
            let stored = Arc::clone(&second);
            thread::spawn(move || stored.take())
        });
        let spilling = thread::spawn(move || spiller.spill(Tier::Host, u64::MAX).is_ok());
        let needing = Arc::clone(&memory);
        let needing =
            thread::spawn(
                move || match needing.reserve_with_spilling(Tier::Host, bytes) {
                    Ok(held) => drop(held),
                    Err(error) => assert!(matches!(error.kind(), ErrorKind::Reservation { .. })),
                },
            );
        let taken = taking.map(|thread| thread.join().unwrap());
        assert!(spilling.join().unwrap());
        needing.join().unwrap();
        let mut whole = 0;
        for taken in taken {
            match taken {
                Ok(batch) => {
                    assert_eq!(rows_of(&batch), numbered(2));
                    whole += 1;
                }
                Err(error) => {
                    let gone = error.to_string().contains("taken already");
                    let short = matches!(error.kind(), ErrorKind::Reservation { .. });
                    assert!(gone || short, "{error}");
                }
            }
        }
        assert!(whole <= 1, "it was given out twice");
        if whole == 0 {
            assert_eq!(rows_of(&second.clone().take().unwrap()), numbered(2));
        }
        drop(second);
        assert!(is_empty(&memory));
    });
}

#[test]
fn a_batch_that_is_dropped_in_the_midst_of_a_move_leaves_nothing() {
    in_every_order(|| {
        let Pair {
            memory,
            spiller,
            stored: [first, second],
            ..
        } = Pair::new();
        let spilling = thread::spawn(move || spiller.spill(Tier::Host, u64::MAX).is_ok());
        let getting = Arc::clone(&first);
        let getting = thread::spawn(move || check(1, &getting.get()));
        drop(second);
        drop(first);
        assert!(spilling.join().unwrap());
        getting.join().unwrap();
        assert!(is_empty(&memory));
    });
}
