//! Reservations that wait: who is served, and when a wait ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use pelton::memory::{ManualClock, MemoryManager, Reservation, Tier, Wait};
use pelton::{Error, ErrorKind, Result};

use crate::bed::{block_on, limits};
use crate::support::random::{Random, for_each_case};

const TIMEOUT: Duration = Duration::from_millis(100);

fn wait(overbook: bool) -> Wait {
    Wait {
        timeout: TIMEOUT,
        overbook,
        ..Wait::default()
    }
}

fn clocked(device: u64, spill_limit: u64) -> (Arc<ManualClock>, Arc<MemoryManager>) {
    let clock = Arc::new(ManualClock::default());
    let memory = MemoryManager::with_clock(limits(device, 1000, 1000), Arc::clone(&clock) as _);
    memory.set_spill_limits(spill_limit, 1000);
    (clock, memory)
}

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait that is polled by hand, and only when it was woken.
struct Pending {
    future: Pin<Box<dyn Future<Output = Result<Reservation>>>>,
    wakes: Arc<Count>,
    polled: bool,
}

impl Pending {
    fn new(memory: &Arc<MemoryManager>, bytes: u64, wait: Wait) -> Self {
        let memory = Arc::clone(memory);
        let future = async move { memory.reserve_or_wait(Tier::Device, bytes, &wait).await };
        let mut pending = Pending {
            future: Box::pin(future),
            wakes: Arc::default(),
            polled: false,
        };
        assert!(pending.poll().is_none(), "it waits");
        pending
    }

    fn poll(&mut self) -> Option<Result<Reservation>> {
        if self.wakes.0.swap(0, Ordering::Relaxed) == 0 && self.polled {
            return None;
        }
        self.polled = true;
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

fn free(frees: u64) -> Wait {
    Wait {
        frees,
        ..wait(false)
    }
}

fn refusal(result: Option<Result<Reservation>>) -> String {
    let error = result.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Reservation { .. }));
    error.to_string()
}

#[test]
fn the_smaller_net_demand_goes_first_and_then_who_came_first() {
    let (_, memory) = clocked(100, 100);
    let held = [50, 50].map(|bytes| memory.reserve(Tier::Device, bytes).unwrap());
    let mut all = Pending::new(&memory, 50, free(0));
    let mut some = Pending::new(&memory, 50, free(20));
    let mut most = Pending::new(&memory, 50, free(40));
    let mut some_later = Pending::new(&memory, 50, free(20));
    let [first, second] = held;
    drop(first);
    assert!(all.poll().is_none() && some.poll().is_none() && some_later.poll().is_none());
    let first = most.poll().unwrap().unwrap();
    drop(second);
    assert!(all.poll().is_none() && some_later.poll().is_none());
    let second = some.poll().unwrap().unwrap();
    drop(first);
    assert!(all.poll().is_none());
    let first = some_later.poll().unwrap().unwrap();
    drop((first, second));
    assert!(all.poll().unwrap().is_ok());
}

#[test]
fn what_is_free_goes_to_the_first_whom_it_is_enough_for() {
    let (_, memory) = clocked(100, 100);
    let _held = memory.reserve(Tier::Device, 60).unwrap();
    let small = memory.reserve(Tier::Device, 40).unwrap();
    let mut large = Pending::new(&memory, 70, free(70));
    let mut fitting = Pending::new(&memory, 30, free(0));
    drop(small);
    assert!(large.poll().is_none());
    assert_eq!(fitting.poll().unwrap().unwrap().bytes(), 30);
}

#[test]
fn without_progress_it_overbooks_up_to_the_limit_of_the_tier() {
    let (clock, memory) = clocked(100, 80);
    let held = memory.reserve(Tier::Device, 70).unwrap();
    let mut first = Pending::new(&memory, 25, wait(true));
    let mut second = Pending::new(&memory, 25, wait(true));
    clock.advance(TIMEOUT - Duration::from_nanos(1));
    assert!(first.poll().is_none());
    clock.advance(Duration::from_nanos(1));
    let overbooked = first.poll().unwrap().unwrap();
    assert!(overbooked.is_overbooked());
    assert_eq!(
        (memory.used(Tier::Device), memory.overbooked(Tier::Device)),
        (95, 25)
    );
    assert!(second.poll().is_none(), "one overbooks at a time");
    clock.advance(TIMEOUT);
    let text = refusal(second.poll());
    assert_eq!(
        text,
        "nothing came free within 100ms: device memory: 25 bytes needed, 95 of 100 in use; \
         raise `device_memory_limit` by 20 or lower `target_partition_size`"
    );
    drop((overbooked, held));
    assert_eq!(
        (memory.used(Tier::Device), memory.overbooked(Tier::Device)),
        (0, 0)
    );
    assert_eq!(memory.peak(Tier::Device), 95);
}

#[test]
fn progress_of_others_extends_a_wait() {
    let (clock, memory) = clocked(100, 80);
    let _held = memory.reserve(Tier::Device, 60).unwrap();
    let other = memory.reserve(Tier::Device, 10).unwrap();
    let mut pending = Pending::new(&memory, 40, wait(true));
    clock.advance(Duration::from_millis(60));
    drop(other);
    clock.advance(Duration::from_millis(60));
    assert!(pending.poll().is_none());
    clock.advance(Duration::from_millis(40));
    assert!(pending.poll().unwrap().unwrap().is_overbooked());
}

#[test]
fn without_overbooking_a_wait_ends_with_what_to_change() {
    let (clock, memory) = clocked(100, 80);
    let _held = memory.reserve(Tier::Device, 70).unwrap();
    let mut pending = Pending::new(&memory, 25, wait(false));
    clock.advance(TIMEOUT);
    assert_eq!(
        refusal(pending.poll()),
        "nothing came free within 100ms: below the spill limit, 80 of 100 bytes (raise \
         `spill_device_limit`, or set `allow_overbooking_by_default=true`): device memory: 25 \
         bytes needed, 70 of 80 in use; raise `device_memory_limit` by 15 or lower \
         `target_partition_size`"
    );
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let (_, memory) = clocked(100, 80);
    for (bytes, overbook) in [(101, true), (81, false), (u64::MAX, true)] {
        let wait = wait(overbook);
        let result = block_on(memory.reserve_or_wait(Tier::Device, bytes, &wait));
        refusal(Some(result));
    }
}

#[test]
fn who_leaves_gives_back_what_was_granted() {
    let (_, memory) = clocked(100, 100);
    let held = memory.reserve(Tier::Device, 100).unwrap();
    let left = Pending::new(&memory, 60, free(50));
    let granted = Pending::new(&memory, 60, free(40));
    let mut last = Pending::new(&memory, 60, free(0));
    drop(left);
    drop(held); // `granted` has it now, and does not know
    assert!(last.poll().is_none());
    assert_eq!(memory.used(Tier::Device), 60);
    drop(granted);
    assert_eq!(last.poll().unwrap().unwrap().bytes(), 60);
}

#[test]
fn an_abort_ends_a_wait_at_once() {
    let memory = MemoryManager::new(limits(100, 100, 100));
    let _held = memory.reserve(Tier::Device, 100).unwrap();
    let aborted = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&aborted);
    let wait = Wait {
        timeout: Duration::from_secs(3600),
        cancelled: Arc::new(move || match asked.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(Error::invalid("query", "aborted", "")),
        }),
        ..Wait::default()
    };
    let waiting = {
        let memory = Arc::clone(&memory);
        thread::spawn(move || block_on(memory.reserve_or_wait(Tier::Device, 1, &wait)))
    };
    thread::sleep(Duration::from_millis(20));
    aborted.store(true, Ordering::SeqCst);
    let start = Instant::now();
    memory.wake_all();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("aborted"));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "far from the hour of the time-out"
    );
}

#[test]
fn the_clock_of_the_system_ends_waits_and_drops_wake_them() {
    let memory = MemoryManager::new(limits(100, 100, 100));
    memory.set_spill_limits(50, 100);
    let held = memory.reserve(Tier::Device, 50).unwrap();
    let short = Wait {
        timeout: Duration::from_millis(5),
        ..Wait::default()
    };
    let overbooked = block_on(memory.reserve_or_wait(Tier::Device, 30, &short)).unwrap();
    assert!(overbooked.is_overbooked());
    let long = Wait {
        timeout: Duration::from_secs(3600),
        ..Wait::default()
    };
    let waiting = {
        let memory = Arc::clone(&memory);
        thread::spawn(move || block_on(memory.reserve_or_wait(Tier::Device, 30, &long)))
    };
    thread::sleep(Duration::from_millis(5));
    drop((held, overbooked));
    assert!(!waiting.join().unwrap().unwrap().is_overbooked());
}

#[test]
fn many_threads_never_pass_a_limit() {
    for_each_case("many_threads_never_pass_a_limit", |random| {
        let memory = MemoryManager::new(limits(1000, 1000, 1000));
        memory.set_spill_limits(800, 1000);
        let seeds: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        thread::scope(|scope| {
            for seed in seeds {
                let memory = &memory;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..50 {
                        let bytes = random.between(1..=400) as u64;
                        let wait = Wait {
                            timeout: Duration::from_millis(random.below(3) as u64),
                            overbook: random.once_in(2),
                            frees: random.below(400) as u64,
                            ..Wait::default()
                        };
                        let held = block_on(memory.reserve_or_wait(Tier::Device, bytes, &wait));
                        assert!(memory.used(Tier::Device) <= 1000);
                        if let Ok(held) = &held {
                            assert_eq!(
                                (held.bytes(), held.is_overbooked() && !wait.overbook),
                                (bytes, false)
                            );
                        }
                        if random.once_in(2) {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        assert_eq!(
            (memory.used(Tier::Device), memory.overbooked(Tier::Device)),
            (0, 0)
        );
        assert!(memory.peak(Tier::Device) <= 1000);
    });
}
