//! Reservations that wait: who is served when memory comes free, and when a wait ends.
//!
//! Those who wait stand in one line, ordered by what their work will hold on to in the end: bytes
//! needed less bytes freed, then by arrival. Whatever comes free goes to the first whom it is
//! enough for. There is one lock, which is taken last of all and held for no call of anybody
//! else's code.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock::Alarm;
use super::reservation::{MemoryManager, Reservation, Tier, refused};
use super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::error::{Error, Result};

/// Whether the work that waits is still wanted; an error ends the wait.
pub type Cancelled = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// How long to wait for memory, and what then.
#[derive(Clone)]
pub struct Wait {
    /// How long nobody may make progress, neither memory given back nor a wait ended, before this
    /// wait ends (`memory_reserve_timeout`).
    pub timeout: Duration,
    /// Take the bytes then all the same, beyond the spill limit, though never beyond the tier's
    /// limit (`allow_overbooking_by_default`).
    pub overbook: bool,
    /// Bytes that the work frees when it is done: the smaller net demand goes first.
    pub frees: u64,
    /// Asked whenever the wait wakes. Whoever changes its answer calls
    /// [`MemoryManager::wake_all`].
    pub cancelled: Cancelled,
}

impl Default for Wait {
    /// 100 ms, then overbooks; frees nothing; is never cancelled.
    fn default() -> Self {
        Wait {
            timeout: Duration::from_millis(100),
            overbook: true,
            frees: 0,
            cancelled: Arc::new(|| Ok(())),
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("timeout", &self.timeout)
            .field("overbook", &self.overbook)
            .field("frees", &self.frees)
            .finish_non_exhaustive()
    }
}

/// Net demand in bytes, then the number of the ticket.
type Place = (i128, u64);

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The bytes are counted.
    Granted { overbooked: bool },
    /// Time is up; so many bytes were used.
    Refused { used: u64 },
}

#[derive(Debug)]
struct Waiter {
    tier: Tier,
    bytes: u64,
    timeout: Duration,
    overbook: bool,
    since: Duration,
    waker: Option<Waker>,
    outcome: Option<Outcome>,
}

#[derive(Debug, Default)]
struct Line {
    places: BTreeMap<Place, Waiter>,
    ticket: u64,
    /// When anybody made progress last.
    progress: Duration,
}

impl Line {
    fn deadline(&self, waiter: &Waiter) -> Duration {
        waiter
            .since
            .max(self.progress)
            .saturating_add(waiter.timeout)
    }
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// How many stand in the line, to be read without its lock.
    count: AtomicUsize,
    line: Mutex<Line>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Line> {
        // No code of others runs under this lock, and the line is whole at every step.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryManager {
    /// Reserves bytes below the tier's spill limit, and waits until they fit: takes back what is held for
    /// later, lets the spill manager free memory, then waits for others to give some back. If nobody makes progress for
    /// `wait.timeout`, the first in the line overbooks if it may, else fails.
    ///
    /// Needs no runtime: it waits by wakers. Dropping the future leaves the line.
    ///
    /// ```
    /// use pelton::memory::{MemoryLimits, MemoryManager, Tier, Wait};
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// let memory = MemoryManager::new(MemoryLimits { device: 100, ..MemoryLimits::UNLIMITED });
    /// let held = memory.reserve(Tier::Device, 60).unwrap();
    /// let wait = Wait::default();
    /// let mut second = pin!(memory.reserve_or_wait(Tier::Device, 50, &wait));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(second.as_mut().poll(&mut context).is_pending());
    /// drop(held);
    /// assert!(matches!(second.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    /// ```
    ///
    /// # Errors
    /// `Reservation` if the bytes can never fit, or did not in time; what `wait.cancelled` says.
    pub async fn reserve_or_wait(
        self: &Arc<Self>,
        tier: Tier,
        bytes: u64,
        wait: &Wait,
    ) -> Result<Reservation> {
        (wait.cancelled)()?;
        let limit = self.limit_of_wait(tier, wait.overbook);
        if bytes > limit {
            let cause = refused(tier, bytes, self.used(tier), limit);
            return Err(self.explain(cause, tier, wait));
        }
        let nobody_waits = self.waiters.count.load(Ordering::SeqCst) == 0;
        let room = || self.count_or_reclaim(tier, bytes, self.spill_limit(tier));
        if nobody_waits && room().is_ok() {
            return Ok(self.counted(tier, bytes, false));
        }
        let mut waiting = Waiting::enter(self, tier, bytes, wait);
        self.serve_waiters(false);
        while !waiting.is_over() && waiting.spill() {
            (wait.cancelled)()?;
        }
        poll_fn(|context| waiting.poll(context)).await
    }

    /// Wakes everybody who waits for memory, to ask whether their work is still wanted.
    pub fn wake_all(&self) {
        let wakers: Vec<_> = {
            let line = self.waiters.lock();
            let waiters = line.places.values();
            waiters.filter_map(|waiter| waiter.waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Bytes to free in a tier until its use is below the spill limit and the first who waits for
    /// it is served.
    pub(super) fn shortfall(&self, tier: Tier) -> u64 {
        let mut demand = 0;
        if self.waiters.count.load(Ordering::SeqCst) > 0 {
            let line = self.waiters.lock();
            let waiting = |waiter: &&Waiter| waiter.outcome.is_none() && waiter.tier == tier;
            demand = line.places.values().find(waiting).map_or(0, |w| w.bytes);
        }
        self.excess(tier, demand)
    }

    /// Bytes to free in a tier until `bytes` more stay below its spill limit.
    fn excess(&self, tier: Tier, bytes: u64) -> u64 {
        let wanted = self.used(tier).saturating_add(bytes);
        wanted.saturating_sub(self.spill_limit(tier))
    }

    fn limit_of_wait(&self, tier: Tier, overbook: bool) -> u64 {
        if overbook {
            self.limits().of(tier)
        } else {
            self.spill_limit(tier)
        }
    }

    fn explain(&self, error: Error, tier: Tier, wait: &Wait) -> Error {
        let error = match self.spiller() {
            Some(spiller) => spiller.explain(error),
            None => error,
        };
        let (soft, hard) = (self.spill_limit(tier), self.limits().of(tier));
        if wait.overbook || soft == hard {
            return error;
        }
        error.context(format!(
            "below the spill limit, {soft} of {hard} bytes (raise `spill_{tier}_limit`, or set \
             `allow_overbooking_by_default=true`)"
        ))
    }

    /// Gives what is free to those who wait, in their order, after somebody came or (`freed`) gave
    /// memory back.
    pub(super) fn serve_waiters(&self, freed: bool) {
        if self.waiters.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let now = self.clock.now();
        let (mut served, mut wakers) = (false, Vec::new());
        {
            let mut line = self.waiters.lock();
            let waiting = line.places.values_mut();
            for waiter in waiting.filter(|waiter| waiter.outcome.is_none()) {
                let limit = self.spill_limit(waiter.tier);
                if self.count(waiter.tier, waiter.bytes, limit).is_ok() {
                    waiter.outcome = Some(Outcome::Granted { overbooked: false });
                    served = true;
                    wakers.extend(waiter.waker.take());
                }
            }
            if freed || served {
                line.progress = line.progress.max(now);
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the wait of the first whose time is up: it overbooks, or is refused. One at a time, so
    /// that no more is overbooked than lets the work go on.
    fn end_one_wait(&self, now: Duration) {
        let mut line = self.waiters.lock();
        let late = |(_, waiter): &(&Place, &Waiter)| {
            waiter.outcome.is_none() && line.deadline(waiter) <= now
        };
        let Some(place) = line.places.iter().find(late).map(|(place, _)| *place) else {
            return;
        };
        line.progress = line.progress.max(now);
        let Some(waiter) = line.places.get_mut(&place) else {
            return;
        };
        let soft = self.spill_limit(waiter.tier);
        let limit = self.limit_of_wait(waiter.tier, waiter.overbook);
        waiter.outcome = Some(match self.count(waiter.tier, waiter.bytes, limit) {
            Ok(()) => Outcome::Granted {
                overbooked: self.used(waiter.tier) > soft,
            },
            Err(used) => Outcome::Refused { used },
        });
        let waker = waiter.waker.take();
        drop(line);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A place in the line; dropping it leaves the line.
struct Waiting<'a> {
    memory: &'a Arc<MemoryManager>,
    tier: Tier,
    bytes: u64,
    wait: &'a Wait,
    place: Place,
    alarm: Option<Alarm>,
    /// Why the last spill failed.
    spill_error: Option<Error>,
}

impl<'a> Waiting<'a> {
    fn enter(memory: &'a Arc<MemoryManager>, tier: Tier, bytes: u64, wait: &'a Wait) -> Self {
        let since = memory.clock.now();
        let mut line = memory.waiters.lock();
        line.ticket += 1;
        let place = (i128::from(bytes) - i128::from(wait.frees), line.ticket);
        let waiter = Waiter {
            tier,
            bytes,
            timeout: wait.timeout,
            overbook: wait.overbook,
            since,
            waker: None,
            outcome: None,
        };
        line.places.insert(place, waiter);
        memory.waiters.count.fetch_add(1, Ordering::SeqCst);
        drop(line);
        Waiting {
            memory,
            tier,
            bytes,
            wait,
            place,
            alarm: None,
            spill_error: None,
        }
    }

    fn is_over(&self) -> bool {
        let line = self.memory.waiters.lock();
        let waiter = line.places.get(&self.place);
        waiter.is_none_or(|waiter| waiter.outcome.is_some())
    }

    fn leave(&self) -> Option<Outcome> {
        let mut line = self.memory.waiters.lock();
        let waiter = line.places.remove(&self.place)?;
        self.memory.waiters.count.fetch_sub(1, Ordering::SeqCst);
        drop(line);
        waiter.outcome
    }

    /// Takes back what is held for later, or moves a batch away, if that helps; whether it did.
    fn spill(&mut self) -> bool {
        let excess = self.memory.excess(self.tier, self.bytes);
        if excess > 0 && self.memory.reclaim(self.tier, excess) > 0 {
            return true;
        }
        let Some(spiller) = self.memory.spiller().filter(|_| excess > 0) else {
            return false;
        };
        // One byte is one batch: in between, whoever waits sees whether it is still wanted.
        match spiller.spill(self.tier, 1) {
            Ok(freed) => freed > 0,
            Err(error) => {
                self.spill_error = Some(error);
                false
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Reservation>> {
        loop {
            let Some(deadline) = self.stand(context.waker()) else {
                return Poll::Ready(self.finish());
            };
            // After the waker is in its place: who cancels later wakes us.
            if let Err(error) = (self.wait.cancelled)() {
                return Poll::Ready(Err(error));
            }
            let now = self.memory.clock.now();
            if now < deadline {
                let waker = context.waker().clone();
                self.alarm = Some(self.memory.clock.wake_at(deadline, waker));
                return Poll::Pending;
            }
            if !self.spill() {
                self.memory.end_one_wait(now);
            }
        }
    }

    /// Waits on with this waker, until when; nothing if the wait is over.
    fn stand(&self, waker: &Waker) -> Option<Duration> {
        let mut line = self.memory.waiters.lock();
        let waiter = line.places.get_mut(&self.place)?;
        if waiter.outcome.is_some() {
            return None;
        }
        let former = waiter.waker.replace(waker.clone());
        let deadline = line.places.get(&self.place).map(|w| line.deadline(w));
        drop(line);
        drop(former); // outside of the lock: it may be the last of its actor
        deadline
    }

    fn finish(&mut self) -> Result<Reservation> {
        let used = match self.leave() {
            Some(Outcome::Granted { overbooked }) => {
                return Ok(self.memory.counted(self.tier, self.bytes, overbooked));
            }
            Some(Outcome::Refused { used }) => used,
            None => self.memory.used(self.tier),
        };
        let limit = self.memory.limit_of_wait(self.tier, self.wait.overbook);
        let mut error = refused(self.tier, self.bytes, used, limit);
        if let Some(cause) = self.spill_error.take() {
            error = error.context(format!("nothing could be spilled ({cause})"));
        }
        let error = self.memory.explain(error, self.tier, self.wait);
        let timeout = self.wait.timeout;
        Err(error.context(format!("nothing came free within {timeout:?}")))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(Outcome::Granted { .. }) = self.leave() {
            self.memory.give_back(self.tier, self.bytes);
        }
    }
}
