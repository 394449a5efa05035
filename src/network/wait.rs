//! Waiting in line: who came first goes first, and a wait that is dropped hands its turn on.
//!
//! Everything that several actors wait for is a state behind a mutex with a [`Line`] for each kind
//! of wait. [`turn`] is the one way to wait: it tries when it is first in the line, and otherwise
//! leaves its waker there. Two rules make that no wake-up is lost: whoever changes a state wakes
//! the first in line (or all of them, at an end), and whoever leaves a line, with success or
//! because its future was dropped, wakes the next if that one could go on. A wait that has begun
//! must be polled or dropped: it keeps its place, and those behind it wait.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::scope::{Registration, Scope};
use super::sync::{Mutex, locked};

/// Those who wait for one thing, in the order in which they came.
#[derive(Default)]
pub(super) struct Line {
    ticket_next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Line {
    fn is_first(&self, ticket: Option<u64>) -> bool {
        let first = self.waiting.first_key_value().map(|(first, _)| *first);
        first.is_none() || first == ticket
    }

    /// Waits with this waker; the waker that it replaces is for the caller to drop.
    fn enter(&mut self, ticket: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let place = *ticket.get_or_insert_with(|| {
            self.ticket_next += 1;
            self.ticket_next
        });
        match self.waiting.get_mut(&place) {
            Some(waiting) if waiting.will_wake(waker) => None,
            Some(waiting) => Some(std::mem::replace(waiting, waker.clone())),
            None => self.waiting.insert(place, waker.clone()),
        }
    }

    /// Whom to wake if one can go on.
    pub fn first(&self) -> Option<&Waker> {
        self.waiting.first_key_value().map(|(_, waker)| waker)
    }

    /// Whom to wake at an end.
    pub fn all(&self) -> impl Iterator<Item = &Waker> {
        self.waiting.values()
    }
}

/// Wakers that are called when this is dropped: declared before a lock is taken, they are called
/// after it is free.
#[derive(Default)]
pub(super) struct Wakes {
    one: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    pub fn add<'a>(&mut self, wakers: impl IntoIterator<Item = &'a Waker>) {
        for waker in wakers {
            if self.one.is_none() {
                self.one = Some(waker.clone());
            } else {
                self.more.push(waker.clone());
            }
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.one.take().into_iter().for_each(Waker::wake);
        self.more.drain(..).for_each(Waker::wake);
    }
}

/// Who may go on, as a state stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody.
    Shut,
    /// The first in line.
    One,
    /// Everybody, in any order: there is an end.
    All,
}

/// A state that several actors share, which learns of an abort of their scope.
pub(super) struct Shared<S> {
    pub state: Mutex<S>,
    /// Dropped with the state, so that the scope forgets it.
    _registration: Registration,
}

impl<S: Send + 'static> Shared<S> {
    /// On an abort `aborted` is called: it wakes all who wait.
    pub fn new(scope: &Scope, state: S, aborted: fn(&Shared<S>)) -> Arc<Shared<S>> {
        Arc::new_cyclic(|shared: &Weak<Shared<S>>| {
            let shared = Weak::clone(shared);
            Shared {
                state: Mutex::new(state),
                _registration: scope.on_abort(move || {
                    shared.upgrade().iter().for_each(|shared| aborted(shared));
                }),
            }
        })
    }
}

/// One kind of wait for a state: its line, and who may go on.
pub(super) struct Side<S> {
    pub line: fn(&mut S) -> &mut Line,
    pub way: fn(&S) -> Way,
}

impl<S> Clone for Side<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Side<S> {}

/// Waits in line until `attempt` gives something. It is called with the lock held; the wakers that
/// it adds are called afterwards.
pub(super) async fn turn<S, R>(
    state: &Mutex<S>,
    side: Side<S>,
    mut attempt: impl FnMut(&mut S, &mut Wakes) -> Option<R>,
) -> R {
    let mut place = Place {
        state,
        side,
        ticket: None,
    };
    poll_fn(move |cx| place.poll(cx, &mut attempt)).await
}

/// A place in a line, which is left when it is dropped.
struct Place<'a, S> {
    state: &'a Mutex<S>,
    side: Side<S>,
    ticket: Option<u64>,
}

impl<S> Place<'_, S> {
    fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        attempt: &mut impl FnMut(&mut S, &mut Wakes) -> Option<R>,
    ) -> Poll<R> {
        let mut wakes = Wakes::default();
        let _replaced; // dropped after the lock is free: it may own what it wakes
        let mut state = locked(self.state);
        let way = (self.side.way)(&state);
        let first = (self.side.line)(&mut state).is_first(self.ticket);
        let may_go = way == Way::All || (way == Way::One && first);
        if may_go && let Some(result) = attempt(&mut state, &mut wakes) {
            let _left = self.leave(&mut state, &mut wakes);
            drop(state);
            return Poll::Ready(result);
        }
        _replaced = (self.side.line)(&mut state).enter(&mut self.ticket, cx.waker());
        Poll::Pending
    }

    /// Leaves the line and hands the turn on; the waker that stood there is for the caller to drop
    /// once the lock is free.
    fn leave(&mut self, state: &mut S, wakes: &mut Wakes) -> Option<Waker> {
        let left =
            (self.ticket.take()).and_then(|ticket| (self.side.line)(state).waiting.remove(&ticket));
        if (self.side.way)(state) == Way::One {
            wakes.add((self.side.line)(state).first());
        }
        left
    }
}

impl<S> Drop for Place<'_, S> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let mut wakes = Wakes::default();
            let _left;
            let mut state = locked(self.state);
            _left = self.leave(&mut state, &mut wakes);
        }
    }
}
