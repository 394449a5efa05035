//! The value of an actor, for whoever started it.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::life::{Life, cancelled};
use super::sync::{Mutex, locked};
use crate::error::Result;

/// Where an actor leaves its value.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<T>,
    ended: bool,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    pub fn new() -> Arc<Self> {
        Arc::new(Slot {
            state: Mutex::new(State {
                value: None,
                ended: false,
                waker: None,
            }),
        })
    }

    /// The actor has ended: with a value, or with an error that its scope has by now.
    pub fn end(&self, value: Option<T>) {
        let mut state = locked(&self.state);
        state.value = value;
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A started actor: a future of what it returns. Dropping it detaches the actor, which goes on.
///
/// Awaiting it gives `Cancelled` once the scope has been aborted: the first error itself belongs to
/// [`Scope::run`](super::Scope::run).
pub struct Handle<T> {
    life: Arc<Life>,
    slot: Arc<Slot<T>>,
}

impl<T> Handle<T> {
    pub(super) fn new(life: Arc<Life>, slot: Arc<Slot<T>>) -> Self {
        Handle { life, slot }
    }

    /// The value of an actor that has ended.
    pub(super) fn into_value(self) -> Result<T> {
        let value = locked(&self.slot.state).value.take();
        value.ok_or_else(|| cancelled("an actor ended without a value"))
    }
}

impl<T> Future for Handle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.life.check()?;
        let replaced; // dropped after the lock is free: it may own what it wakes
        let mut state = locked(&self.slot.state);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Ok(value));
        }
        if state.ended {
            return Poll::Ready(Err(cancelled("the value of this actor was taken before")));
        }
        replaced = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}
