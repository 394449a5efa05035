//! Threads whose panics are errors and whose stacks hold the deepest plan.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::error::{Error, ErrorKind, Result};

/// Plans and expressions are walked by recursion; at their limits, a build without optimisation
/// takes 3 MiB of stack, more than threads have by default. Only what is touched takes memory.
const STACK_BYTES: usize = 16 << 20;

pub(super) fn named(name: &str) -> thread::Builder {
    thread::Builder::new()
        .name(name.to_string())
        .stack_size(STACK_BYTES)
}

pub(super) fn not_started(cause: &io::Error) -> Error {
    Error::io("(thread)", "start", cause)
}

/// Runs the work and turns its panic into an error.
pub(super) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(&*panic)))
}

/// Wakes a thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, which is none of a pool's.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs the work on a thread of its own, whatever stack the caller has left, and waits for it.
pub(super) fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let handle = named("pelton-query")
            .spawn_scoped(scope, || catch(work))
            .map_err(|cause| not_started(&cause))?;
        handle.join().unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Cancelled {
                cause: "the query's thread ended early".to_string(),
            }))
        })
    })
}
