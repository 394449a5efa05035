//! Time as actors see it: that of the system, or one that a test lets jump.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::scope::{Registration, Scope};
use super::sync::{Builder, Condvar, JoinHandle, Mutex, locked};
use crate::error::{Error, Result};

/// Names a timer of a clock; timers of one instant end in the order in which they were set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    when: Instant,
    number: u64,
}

/// What time-outs and deadlines use, so that a test can inject time.
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Instant;

    /// Wakes once, not before `when`.
    ///
    /// # Errors
    /// `Io` if a thread that waits cannot be started.
    fn wake_at(&self, when: Instant, waker: Waker) -> Result<TimerKey>;

    /// Forgets a timer; one that has ended is no error.
    fn forget(&self, timer: TimerKey);
}

/// A timer that is forgotten when this is dropped.
pub(super) struct Timer {
    clock: Arc<dyn Clock>,
    key: TimerKey,
}

impl Timer {
    pub fn start(clock: &Arc<dyn Clock>, when: Instant, waker: Waker) -> Result<Timer> {
        Ok(Timer {
            key: clock.wake_at(when, waker)?,
            clock: Arc::clone(clock),
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clock.forget(self.key);
    }
}

#[derive(Default)]
struct Timers {
    number_next: u64,
    waiting: BTreeMap<TimerKey, Waker>,
    closed: bool,
}

impl Timers {
    fn add(&mut self, when: Instant, waker: Waker) -> TimerKey {
        self.number_next += 1;
        let number = self.number_next;
        let key = TimerKey { when, number };
        self.waiting.insert(key, waker);
        key
    }

    fn earliest(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.when)
    }

    /// Takes out a timer whose time has come.
    fn due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        (first.key().when <= now).then(|| first.remove())
    }
}

#[derive(Default)]
struct Alarm {
    timers: Mutex<Timers>,
    changed: Condvar,
}

impl Alarm {
    /// Wakes timers when their time comes, until the clock is dropped.
    fn run(&self) {
        let mut timers = locked(&self.timers);
        while !timers.closed {
            let now = Instant::now();
            if let Some(waker) = timers.due(now) {
                drop(timers);
                waker.wake();
                timers = locked(&self.timers);
                continue;
            }
            timers = match timers.earliest() {
                Some(when) => {
                    let waited = self.changed.wait_timeout(timers, when - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => (self.changed.wait(timers)).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// The system's time. One thread, started with the first timer, waits for all timers.
#[derive(Default)]
pub struct SystemClock {
    alarm: Arc<Alarm>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SystemClock {
    fn start(&self) -> Result<()> {
        let mut thread = locked(&self.thread);
        if thread.is_none() {
            let alarm = Arc::clone(&self.alarm);
            let started = Builder::new()
                .name("pelton-clock".to_string())
                .spawn(move || alarm.run());
            *thread = Some(started.map_err(|e| Error::io("pelton-clock", "start the thread", &e))?);
        }
        Ok(())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, when: Instant, waker: Waker) -> Result<TimerKey> {
        self.start()?;
        let mut timers = locked(&self.alarm.timers);
        let earliest = timers.earliest().is_none_or(|earliest| when < earliest);
        let key = timers.add(when, waker);
        drop(timers);
        if earliest {
            self.alarm.changed.notify_one();
        }
        Ok(key)
    }

    fn forget(&self, timer: TimerKey) {
        let forgotten = locked(&self.alarm.timers).waiting.remove(&timer);
        drop(forgotten); // outside of the lock: it may own what it wakes
    }
}

impl Drop for SystemClock {
    fn drop(&mut self) {
        locked(&self.alarm.timers).closed = true;
        self.alarm.changed.notify_one();
        let thread = locked(&self.thread).take();
        super::pool::join(thread);
    }
}

/// A time that stands still until nothing else can go on, and then jumps to the next timer.
pub struct SimulatedClock {
    state: Mutex<(Instant, Timers)>,
}

impl Default for SimulatedClock {
    fn default() -> Self {
        SimulatedClock {
            state: Mutex::new((Instant::now(), Timers::default())),
        }
    }
}

impl SimulatedClock {
    /// Jumps to the earliest timer and wakes it; false if there is none.
    pub fn advance(&self) -> bool {
        let mut state = locked(&self.state);
        let (now, timers) = &mut *state;
        let Some(when) = timers.earliest() else {
            return false;
        };
        *now = when.max(*now);
        let due = timers.due(*now);
        drop(state);
        due.into_iter().for_each(Waker::wake);
        true
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        locked(&self.state).0
    }

    fn wake_at(&self, when: Instant, waker: Waker) -> Result<TimerKey> {
        Ok(locked(&self.state).1.add(when, waker))
    }

    fn forget(&self, timer: TimerKey) {
        let forgotten = locked(&self.state).1.waiting.remove(&timer);
        drop(forgotten);
    }
}

impl Scope {
    /// Waits for a time on the clock of the pool.
    ///
    /// # Errors
    /// `Cancelled` after an abort.
    pub async fn sleep(&self, duration: Duration) -> Result<()> {
        let when = self.clock().now().checked_add(duration); // none: never
        let mut waiting: Option<(Waker, Option<Timer>, Registration)> = None;
        poll_fn(move |cx| {
            self.check()?;
            if when.is_some_and(|when| self.clock().now() >= when) {
                return Poll::Ready(Ok(()));
            }
            let same = (waiting.as_ref()).is_some_and(|(waker, ..)| waker.will_wake(cx.waker()));
            if !same {
                let timer = when
                    .map(|when| Timer::start(self.clock(), when, cx.waker().clone()))
                    .transpose()?;
                let waker = cx.waker().clone();
                let registration = self.on_abort(move || waker.wake_by_ref());
                waiting = Some((cx.waker().clone(), timer, registration));
            }
            Poll::Pending
        })
        .await
    }

    /// The future's output, or `None` if it took longer than a time; it is dropped then.
    ///
    /// # Errors
    /// `Cancelled` after an abort.
    pub async fn timeout<T>(
        &self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Result<Option<T>> {
        let mut future = pin!(future);
        let mut sleep = pin!(self.sleep(duration));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(Some(output))),
            Poll::Pending => sleep.as_mut().poll(cx).map(|slept| slept.map(|()| None)),
        })
        .await
    }
}
