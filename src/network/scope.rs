//! A scope: the actors of one query, which live and end together.
//!
//! The first error, panic, deadline or cancel aborts the scope. After an abort every wait of the
//! scope ends with `Cancelled`, and an actor that waits for something else is polled once more and
//! then dropped where it stands, as if that wait had ended with an error. So a scope always ends,
//! unless an actor computes without end: long work calls [`Scope::check`].

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake};
use std::time::Instant;

use super::actor::{Actor, Body};
use super::clock::Clock;
use super::handle::{Handle, Slot};
use super::life::{Life, Weight, cancelled};
use super::pool::ActorPool;
use crate::error::{Error, ErrorKind, Result};

/// Which failures of an actor get its name as their context.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    /// Those that have no kind of their own.
    Panics,
    None,
}

impl Names {
    fn tells(self, nameless: bool) -> bool {
        self == Names::All || self == Names::Panics && nameless
    }
}

/// The life of one query's network: its actors, the first error, abort, deadline. Clones are the
/// same scope.
///
/// ```
/// use pelton::network::{ActorPool, Capacity, Scope};
/// # fn main() -> pelton::Result<()> {
/// let pool = ActorPool::threads(2);
/// let scope = Scope::new(&pool, None);
/// let inner = scope.clone();
/// let bytes = scope.run(async move {
///     let (sender, receiver) = inner.channel::<Vec<u8>>(Capacity { messages: 1, bytes: 1 << 20 });
///     inner.spawn("source", async move {
///         for length in 0..10 {
///             let _ = sender.send(vec![0; length]).await?;
///         }
///         sender.finish();
///         Ok(())
///     });
///     let mut bytes = 0;
///     while let Some(message) = receiver.receive().await? {
///         bytes += message.len();
///     }
///     Ok(bytes)
/// })?;
/// assert_eq!(bytes, 45);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scope {
    life: Arc<Life>,
    pool: Arc<ActorPool>,
}

impl Scope {
    /// A scope whose actors run on this pool. At the deadline, if there is one, it is aborted with
    /// `DeadlinePassed`.
    pub fn new(pool: &Arc<ActorPool>, deadline: Option<Instant>) -> Scope {
        let life = Arc::new(Life::default());
        if let Some(when) = deadline {
            life.set_deadline(pool.clock(), when);
        }
        Scope {
            life,
            pool: Arc::clone(pool),
        }
    }

    /// Starts an actor. Its error or panic aborts the scope; the error gets `name` as its context.
    ///
    /// Started on a scope that has been aborted, it is dropped without being polled. On a scope
    /// that nobody runs, it goes on until it ends or its pool is dropped.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        actor: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Handle<T> {
        self.start(name.into(), Names::All, Box::pin(actor))
    }

    /// As [`spawn`](Scope::spawn), for an actor whose errors say themselves where they happened: only
    /// its panics get the name.
    pub fn spawn_part<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        actor: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Handle<T> {
        self.start(name.into(), Names::Panics, Box::pin(actor))
    }

    fn start<T: Send + 'static>(
        &self,
        name: String,
        names: Names,
        actor: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
    ) -> Handle<T> {
        if let Err(error) = self.pool.start() {
            self.abort(error);
        }
        let name: Arc<str> = name.into();
        let slot = Slot::new();
        let handle = Handle::new(Arc::clone(&self.life), Arc::clone(&slot));
        let living = Living {
            life: Arc::clone(&self.life),
            number: self.life.number(),
            name: Arc::clone(&name),
        };
        let number = living.number;
        let body: Body = Box::pin(async move {
            let result = until_aborted(&living.life, actor).await;
            let value = match result {
                Ok(value) => Some(value),
                Err((error, weight)) => {
                    use ErrorKind::{Cancelled, Panicked};
                    let nameless = matches!(error.kind(), Cancelled { .. } | Panicked { .. });
                    let error = if names.tells(nameless) {
                        error.context(&*living.name)
                    } else {
                        error
                    };
                    living.life.fail(error, weight);
                    None
                }
            };
            slot.end(value);
            drop(slot); // a value that nobody wants goes before the actor counts as ended
            drop(living);
        });
        let actor = Actor::new(name, Arc::clone(self.pool.ready()), body);
        self.life.enter(number, Arc::clone(&actor));
        actor.wake();
        handle
    }

    /// Ends everything with this error. The first error stands.
    pub fn abort(&self, error: Error) {
        self.life.fail(error, Weight::Cause);
    }

    /// Whether to go on: for long work between waits.
    ///
    /// # Errors
    /// `Cancelled` after an abort, with the first error in its cause.
    pub fn check(&self) -> Result<()> {
        self.life.check()
    }

    /// Calls `wake` once when the scope is aborted, from the thread that aborts it; at once if it
    /// has been. What is dropped is forgotten, although a call that is under way may still end.
    pub fn on_abort(&self, wake: impl Fn() + Send + Sync + 'static) -> Registration {
        Registration {
            number: self.life.watch(Arc::new(wake)),
            life: Arc::downgrade(&self.life),
        }
    }

    /// Runs a future and all actors of the scope to the end, and gives the future's value. When it
    /// returns, no actor of the scope is alive.
    ///
    /// It blocks the calling thread: inside an actor use [`spawn`](Scope::spawn). On a
    /// [seeded](ActorPool::seeded) pool the actors run on the calling thread.
    ///
    /// # Errors
    /// The first error of the future or of any actor, in its own kind; a panic as `Panicked`;
    /// what the scope was aborted with. Errors of those who were cancelled by it do not count.
    pub fn run<T: Send + 'static>(
        &self,
        root: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let handle = self.start("root".to_string(), Names::None, Box::pin(root));
        self.pool.finish(&self.life);
        match self.life.take_failure() {
            Some(error) => Err(error),
            None => handle.into_value(),
        }
    }

    /// Cancels the scope from elsewhere; it keeps nothing of the scope alive.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            life: Arc::downgrade(&self.life),
        }
    }

    /// Says that a thread outside of the network will wake an actor of it: while one is expected,
    /// a seeded pool that has nothing to do waits, and neither jumps in time nor sees a deadlock.
    pub fn outside(&self) -> Outside {
        self.pool.ready().outside_begins();
        Outside {
            pool: Arc::clone(&self.pool),
        }
    }

    /// The clock of the pool.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.pool.clock()
    }

    /// The pool that the actors run on.
    pub fn pool(&self) -> &Arc<ActorPool> {
        &self.pool
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }
}

/// An entry among those who are told of an abort; dropped, it is forgotten.
#[must_use = "dropped, it is forgotten"]
pub struct Registration {
    life: Weak<Life>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(life) = self.life.upgrade() {
            life.forget(self.number);
        }
    }
}

/// Cancels a scope, from any thread.
#[derive(Clone)]
pub struct Canceller {
    life: Weak<Life>,
}

impl Canceller {
    /// Aborts the scope with `Cancelled` and this cause, unless it has ended.
    pub fn cancel(&self, cause: impl Into<String>) {
        if let Some(life) = self.life.upgrade() {
            life.fail(cancelled(cause), Weight::Cause);
        }
    }
}

/// The promise of a thread outside of the network; see [`Scope::outside`].
pub struct Outside {
    pool: Arc<ActorPool>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.pool.ready().outside_ends();
    }
}

/// An actor's entry among the living, which leaves with it.
struct Living {
    life: Arc<Life>,
    number: u64,
    name: Arc<str>,
}

impl Drop for Living {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic of a destructor or of a foreign waker: what it says is on standard error.
            let error = Error::panicked(&"in a destructor").context(&*self.name);
            self.life.fail(error, Weight::Cause);
        }
        self.life.leave(self.number);
    }
}

/// Polls an actor until it ends, panics, or has been polled once after an abort. It is dropped
/// before its result is told.
async fn until_aborted<T>(
    life: &Life,
    actor: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
) -> Result<T, (Error, Weight)> {
    let mut actor = Some(actor);
    let mut begun = false;
    let ended = poll_fn(|cx| {
        let aborted = life.aborted();
        let polled = match &mut actor {
            Some(_) if aborted && !begun => Poll::Pending,
            Some(actor) => guarded_poll(actor.as_mut(), cx)?,
            None => Poll::Pending,
        };
        begun = true;
        match polled {
            Poll::Ready(result) => Poll::Ready(result.map_err(|error| {
                let derived = matches!(error.kind(), ErrorKind::Cancelled { .. });
                let weight = if derived {
                    Weight::Derived
                } else {
                    Weight::Cause
                };
                (error, weight)
            })),
            Poll::Pending if aborted => {
                let error = life.check().err().unwrap_or_else(|| cancelled("aborted"));
                Poll::Ready(Err((error, Weight::Derived)))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(actor.take())));
    match dropped {
        Ok(()) => ended,
        Err(panic) => ended.and(Err((Error::panicked(&*panic), Weight::Cause))),
    }
}

/// Polls; a panic is an error.
fn guarded_poll<T>(
    actor: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    cx: &mut Context<'_>,
) -> Result<Poll<Result<T>>, (Error, Weight)> {
    catch_unwind(AssertUnwindSafe(|| actor.poll(cx)))
        .map_err(|panic| (Error::panicked(&*panic), Weight::Cause))
}
