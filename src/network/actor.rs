//! An actor: a future with a name that is polled when it is woken, by one thread at a time.

#![forbid(unsafe_code)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::ready::Ready;
use super::sync::{Mutex, locked};

/// What an actor runs.
pub(super) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where an actor stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits to be woken.
    Waiting,
    /// It is in the queue of those that can go on.
    Ready,
    /// It is being polled.
    Running,
    /// It was woken while it was being polled: it is polled again.
    Woken,
    /// It has ended.
    Ended,
}

pub(super) struct Actor {
    name: Arc<str>,
    phase: Mutex<Phase>,
    body: Mutex<Option<Body>>,
    ready: Arc<Ready>,
}

impl Actor {
    /// An actor that waits to be woken for the first time.
    pub fn new(name: Arc<str>, ready: Arc<Ready>, body: Body) -> Arc<Actor> {
        Arc::new(Actor {
            name,
            phase: Mutex::new(Phase::Waiting),
            body: Mutex::new(Some(body)),
            ready,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Polls it once. Only the thread that took it out of the queue does.
    pub fn step(self: &Arc<Self>) {
        *locked(&self.phase) = Phase::Running;
        let waker = Waker::from(Arc::clone(self));
        let mut body = locked(&self.body);
        let polled = match body.as_mut() {
            // The body answers for the panics of the user's code; what is caught here came out of
            // a destructor or a foreign waker, and the body's own destructor reports it.
            Some(body) => catch_unwind(AssertUnwindSafe(|| {
                body.as_mut().poll(&mut Context::from_waker(&waker))
            })),
            None => Ok(Poll::Ready(())),
        };
        if !matches!(polled, Ok(Poll::Pending)) {
            *locked(&self.phase) = Phase::Ended;
            let ended = body.take();
            drop(body);
            // A destructor that panics ends here, not on the thread of the pool.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(ended)));
            return;
        }
        drop(body);
        let mut phase = locked(&self.phase);
        let again = *phase == Phase::Woken;
        *phase = if again { Phase::Ready } else { Phase::Waiting };
        drop(phase);
        if again {
            self.ready.push(Arc::clone(self));
        }
    }
}

impl Wake for Actor {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut phase = locked(&self.phase);
        match *phase {
            Phase::Waiting => {
                *phase = Phase::Ready;
                drop(phase);
                self.ready.push(Arc::clone(self));
            }
            Phase::Running => *phase = Phase::Woken,
            Phase::Ready | Phase::Woken | Phase::Ended => {}
        }
    }
}
