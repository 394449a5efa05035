//! Threads whose panics are errors and whose stacks hold the deepest plan.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
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

type Job = Box<dyn FnOnce() + Send>;

/// Threads with deep stacks, which wait for work when they have none: as many as were ever busy at one
/// time. To start one takes longer than most plans take to be optimised.
#[derive(Clone, Default)]
pub(super) struct DeepThreads(Arc<Idle>);

/// The ways to threads that have no work.
type Idle = Mutex<Vec<Sender<Job>>>;

impl DeepThreads {
    /// Runs the work on one of the threads, whatever stack the caller has left, and waits for it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let thread = idle.map_or_else(start, Ok)?;
        let (result, waiting) = mpsc::channel();
        let (again, idle) = (thread.clone(), Arc::downgrade(&self.0));
        let job: Job = Box::new(move || {
            let done = catch(work);
            // Before the result is told: the next work finds the thread.
            if let Some(idle) = idle.upgrade() {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(again);
            }
            let _nobody_waits = result.send(done);
        });
        let ended = || {
            Error::new(ErrorKind::Cancelled {
                cause: "the query's thread ended early".to_string(),
            })
        };
        thread.send(job).map_err(|_| ended())?;
        waiting.recv().map_err(|_| ended())?
    }
}

/// Starts a thread that ends when nobody can give it work any more.
fn start() -> Result<Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let started = named("pelton-query").spawn(move || jobs.into_iter().for_each(|job| job()));
    started.map_err(|cause| not_started(&cause))?;
    Ok(sender)
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn the_next_work_finds_the_thread_that_is_there() -> Result<()> {
        let threads = DeepThreads::default();
        let thread_id = || threads.run(|| Ok(thread::current().id()));
        let first = thread_id()?;
        assert_ne!(first, thread::current().id());
        let panicked = threads.run(|| -> Result<()> { panic!("lost its head") });
        let text = panicked.err().map(|error| error.to_string());
        assert_eq!(
            text.as_deref(),
            Some("panicked: lost its head; this is a defect, please report it")
        );
        assert_eq!(thread_id()?, first);
        Ok(())
    }

    #[test]
    fn works_that_wait_for_each_other_have_a_thread_each() -> Result<()> {
        let (threads, both) = (DeepThreads::default(), Arc::new(Barrier::new(2)));
        let meet = || {
            let both = Arc::clone(&both);
            threads.run(move || {
                both.wait();
                Ok(thread::current().id())
            })
        };
        thread::scope(|scope| {
            let other = scope.spawn(meet);
            let one = meet()?;
            let other = other.join().unwrap_or_else(|_| not_run())?;
            assert_ne!(one, other);
            Ok(())
        })
    }

    fn not_run() -> Result<thread::ThreadId> {
        Err(Error::invalid("test", "a thread panicked", ""))
    }
}
