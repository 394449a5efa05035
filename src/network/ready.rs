//! Actors that can go on, and the threads that sleep while there are none.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use super::actor::Actor;
use super::sync::{Condvar, Mutex, locked};

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Actor>>,
    sleeping: usize,
    /// A thread was woken and has not looked yet: it will wake the next if there is work for two.
    waking: bool,
    closed: bool,
    /// Threads outside of the network that will yet wake an actor.
    outside: usize,
}

/// The queue of a pool: an actor is in it at most once.
#[derive(Default)]
pub(super) struct Ready {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a single thread finds to do.
pub(super) enum Pick {
    /// This actor can go on.
    Actor(Arc<Actor>),
    /// Nothing, but a thread outside of the network may have woken somebody by now.
    Outside,
    /// Nothing, and nobody outside will change that.
    Nothing,
}

impl Ready {
    pub fn push(&self, actor: Arc<Actor>) {
        let mut state = locked(&self.state);
        state.queue.push_back(actor);
        self.wake_one(&mut state);
    }

    /// Wakes one thread, unless one is on its way: a thread that comes wakes the next.
    fn wake_one(&self, state: &mut State) {
        if state.sleeping > 0 && !state.waking && !state.queue.is_empty() {
            state.waking = true;
            self.changed.notify_one();
        }
    }

    /// The actor that has waited longest, waiting for one; `None` once the pool is dropped.
    pub fn take(&self) -> Option<Arc<Actor>> {
        let mut state = locked(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(actor) = state.queue.pop_front() {
                self.wake_one(&mut state);
                return Some(actor);
            }
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(
        &'a self,
        mut state: super::sync::MutexGuard<'a, State>,
    ) -> super::sync::MutexGuard<'a, State> {
        state.sleeping += 1;
        state = self
            .changed
            .wait(state)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state.sleeping -= 1;
        state.waking = false;
        state
    }

    /// One of those that can go on, by a function from their count to an index. Sleeps while there
    /// is none and somebody outside is expected.
    pub fn pick(&self, choose: impl FnOnce(usize) -> usize) -> Pick {
        let mut state = locked(&self.state);
        if !state.queue.is_empty() {
            let index = choose(state.queue.len());
            return match state.queue.swap_remove_back(index) {
                Some(actor) => Pick::Actor(actor),
                None => Pick::Outside,
            };
        }
        if state.outside == 0 {
            return Pick::Nothing;
        }
        drop(self.sleep(state));
        Pick::Outside
    }

    /// Ends the threads that take from here.
    pub fn close(&self) {
        locked(&self.state).closed = true;
        self.changed.notify_all();
    }

    pub fn outside_begins(&self) {
        locked(&self.state).outside += 1;
    }

    pub fn outside_ends(&self) {
        locked(&self.state).outside -= 1;
        self.changed.notify_all();
    }
}
