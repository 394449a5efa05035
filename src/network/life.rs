//! The life of a scope: which actors live, who wants to know of an abort, and why it failed.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::Wake;
use std::time::{Duration, Instant};

use super::actor::Actor;
use super::clock::{Clock, Timer};
use super::sync::{AtomicBool, Condvar, Mutex, Ordering, locked};
use crate::error::{Error, ErrorKind, Result};

/// How much an error says about the cause of a failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// It follows from another one, which may be told later: an actor that fails drops its senders
    /// first, and their receivers may be quicker to complain.
    Derived,
    /// It is a cause.
    Cause,
}

struct Failure {
    /// `None` once it was given to the caller.
    error: Option<Error>,
    text: String,
    weight: Weight,
}

type Watcher = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    failure: Option<Failure>,
    number_next: u64,
    watchers: BTreeMap<u64, Watcher>,
    actors: BTreeMap<u64, Arc<Actor>>,
}

impl State {
    fn number(&mut self) -> u64 {
        self.number_next += 1;
        self.number_next
    }
}

/// What all parts of one scope share.
#[derive(Default)]
pub(super) struct Life {
    aborted: AtomicBool,
    state: Mutex<State>,
    ended: Condvar,
    deadline: OnceLock<Timer>,
}

impl Life {
    pub fn aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    pub fn check(&self) -> Result<()> {
        if self.aborted() {
            return Err(self.cancelled());
        }
        Ok(())
    }

    /// The error of those who did not cause the abort.
    fn cancelled(&self) -> Error {
        let state = locked(&self.state);
        let cause = state
            .failure
            .as_ref()
            .map_or("aborted", |failure| &failure.text);
        cancelled(cause)
    }

    /// Ends everything. The first cause stands; an error that derives from another gives way.
    pub fn fail(&self, error: Error, weight: Weight) {
        let mut state = locked(&self.state);
        if (state.failure.as_ref()).is_some_and(|failure| failure.weight >= weight) {
            return;
        }
        let first = state.failure.is_none();
        let replaced = state.failure.replace(Failure {
            text: error.to_string(),
            error: Some(error),
            weight,
        });
        self.aborted.store(true, Ordering::Release);
        let watchers = std::mem::take(&mut state.watchers);
        let actors: Vec<Arc<Actor>> = if first {
            state.actors.values().map(Arc::clone).collect()
        } else {
            Vec::new()
        };
        drop(state);
        drop(replaced);
        for watcher in watchers.into_values() {
            // Every other watcher must still be told.
            let _ = catch_unwind(AssertUnwindSafe(|| watcher()));
        }
        actors.into_iter().for_each(Wake::wake);
    }

    /// Calls `watcher` on an abort, at once if there was one.
    pub fn watch(&self, watcher: Watcher) -> u64 {
        let mut state = locked(&self.state);
        let number = state.number();
        if state.failure.is_none() {
            state.watchers.insert(number, watcher);
            return number;
        }
        drop(state);
        watcher();
        number
    }

    pub fn forget(&self, number: u64) {
        let forgotten = locked(&self.state).watchers.remove(&number);
        drop(forgotten); // outside of the lock: it may own anything
    }

    /// A number for an actor that is about to live.
    pub fn number(&self) -> u64 {
        locked(&self.state).number()
    }

    pub fn enter(&self, number: u64, actor: Arc<Actor>) {
        locked(&self.state).actors.insert(number, actor);
    }

    pub fn leave(&self, number: u64) {
        let mut state = locked(&self.state);
        let left = state.actors.remove(&number);
        let last = state.actors.is_empty();
        drop(state);
        if last {
            self.ended.notify_all();
        }
        drop(left);
    }

    /// Whether an actor lives.
    pub fn lives(&self) -> bool {
        !locked(&self.state).actors.is_empty()
    }

    /// Waits until no actor lives.
    pub fn wait(&self) {
        let mut state = locked(&self.state);
        while !state.actors.is_empty() {
            state = (self.ended.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The names of the living, in the order of their start.
    pub fn names(&self) -> Vec<String> {
        let state = locked(&self.state);
        (state.actors.values())
            .map(|actor| actor.name().to_string())
            .collect()
    }

    /// The failure, if there was one. It is given once; afterwards it is told as `Cancelled`.
    pub fn take_failure(&self) -> Option<Error> {
        let mut state = locked(&self.state);
        let failure = state.failure.as_mut()?;
        Some(
            failure
                .error
                .take()
                .unwrap_or_else(|| cancelled(&failure.text)),
        )
    }

    /// Aborts at an instant.
    pub fn set_deadline(self: &Arc<Self>, clock: &Arc<dyn Clock>, when: Instant) {
        let now = clock.now();
        let passed = DeadlinePassed {
            life: Arc::downgrade(self),
            allowed: when.saturating_duration_since(now),
        };
        if when <= now {
            return Arc::new(passed).wake();
        }
        match Timer::start(clock, when, Arc::new(passed).into()) {
            Ok(timer) => drop(self.deadline.set(timer)),
            Err(error) => self.fail(error, Weight::Cause),
        }
    }
}

struct DeadlinePassed {
    life: std::sync::Weak<Life>,
    allowed: Duration,
}

impl Wake for DeadlinePassed {
    fn wake(self: Arc<Self>) {
        if let Some(life) = self.life.upgrade() {
            let allowed = self.allowed;
            let error = Error::new(ErrorKind::DeadlinePassed { allowed });
            life.fail(error, Weight::Cause);
        }
    }
}

/// An [`ErrorKind::Cancelled`].
pub(super) fn cancelled(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Cancelled {
        cause: cause.into(),
    })
}
