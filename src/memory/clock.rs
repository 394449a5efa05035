//! Time as waits see it: the system's clock, and one that tests move by hand.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::sync::{Builder, Condvar, Mutex, MutexGuard};

/// Tells the time and wakes who waits for it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Time since some moment that stays the same.
    fn now(&self) -> Duration;
    /// Wakes `waker` once, at `at` or soon after, unless the alarm is dropped before.
    fn wake_at(&self, at: Duration, waker: Waker) -> Alarm;
}

type Entries = BTreeMap<(Duration, u64), Waker>;

#[derive(Default)]
struct Alarms {
    entries: Entries,
    /// Of the next alarm: two for the same moment are two.
    number: u64,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wake-up that is due; dropping it calls it off.
#[must_use = "an alarm that is dropped does not ring"]
pub struct Alarm {
    shared: Arc<Shared>,
    key: (Duration, u64),
}

impl Alarm {
    fn set(shared: &Arc<Shared>, at: Duration, waker: Waker) -> Alarm {
        let mut alarms = shared.lock();
        alarms.number += 1;
        let key = (at, alarms.number);
        alarms.entries.insert(key, waker);
        drop(alarms);
        shared.changed.notify_all();
        Alarm {
            shared: Arc::clone(shared),
            key,
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = self.shared.lock().entries.remove(&self.key);
        drop(waker); // outside of the lock: it may be the last of its actor
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alarm({:?})", self.key.0)
    }
}

/// Takes out what is due; whoever calls wakes it without the lock.
fn due(entries: &mut Entries, now: Duration) -> Entries {
    let later = entries.split_off(&(now, u64::MAX));
    std::mem::replace(entries, later)
}

/// The monotonic clock of the system. Alarms ring from one thread, which starts with the first
/// alarm and ends with the clock.
pub struct SystemClock {
    start: Instant,
    shared: Arc<Shared>,
    started: Mutex<bool>,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        SystemClock {
            start: Instant::now(),
            shared: Arc::default(),
            started: Mutex::new(false),
        }
    }

    fn start_thread(&self) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if *started {
            return;
        }
        let (start, shared) = (self.start, Arc::clone(&self.shared));
        // If the system refuses a thread, the next alarm tries again; a release of memory still
        // wakes whoever waits.
        *started = Builder::new()
            .name("pelton-clock".to_string())
            .spawn(move || ring(start, &shared))
            .is_ok();
    }
}

fn ring(start: Instant, shared: &Shared) {
    let mut alarms = shared.lock();
    while !alarms.stopped {
        let now = start.elapsed();
        let ringing = due(&mut alarms.entries, now);
        if !ringing.is_empty() {
            drop(alarms);
            ringing.into_values().for_each(Waker::wake);
            alarms = shared.lock();
            continue;
        }
        let wait = match alarms.entries.first_key_value() {
            Some(((at, _), _)) => at.saturating_sub(now),
            None => Duration::MAX,
        };
        let waited = shared.changed.wait_timeout(alarms, wait);
        alarms = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemClock")
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wake_at(&self, at: Duration, waker: Waker) -> Alarm {
        self.start_thread();
        Alarm::set(&self.shared, at, waker)
    }
}

impl Drop for SystemClock {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

/// A clock that stands until somebody moves it: waits without waiting.
///
/// ```
/// use pelton::memory::{Clock, ManualClock};
/// use std::time::Duration;
/// let clock = ManualClock::default();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now(), Duration::from_secs(3600));
/// ```
#[derive(Default)]
pub struct ManualClock {
    now: Mutex<Duration>,
    shared: Arc<Shared>,
}

impl ManualClock {
    /// Moves the time, and rings what is due.
    pub fn advance(&self, by: Duration) {
        let now = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now += by;
            *now
        };
        self.ring(now);
    }

    fn ring(&self, now: Duration) {
        let ringing = due(&mut self.shared.lock().entries, now);
        ringing.into_values().for_each(Waker::wake);
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({:?})", self.now())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_at(&self, at: Duration, waker: Waker) -> Alarm {
        let alarm = Alarm::set(&self.shared, at, waker);
        self.ring(self.now()); // somebody may have moved the time since the caller looked
        alarm
    }
}
