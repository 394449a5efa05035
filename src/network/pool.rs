//! Where actors run: threads that all queries of an engine share, or one thread with a seed.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::clock::{Clock, SystemClock};
use super::life::Life;
use super::ready::Ready;
use super::seeded::Seeded;
use super::sync::{Builder, JoinHandle, Mutex, current, locked};
use crate::error::{Error, Result};

/// The stack of an actor's thread, in bytes: kernels are emulated and expressions are walked on it.
const STACK_BYTES: usize = 16 << 20;

/// Threads that run actors; or one thread that runs them in an order drawn from a seed, for tests.
pub struct ActorPool {
    ready: Arc<Ready>,
    clock: Arc<dyn Clock>,
    mode: Mode,
}

enum Mode {
    Threads {
        count: usize,
        started: Mutex<Vec<JoinHandle<()>>>,
    },
    Seeded(Seeded),
}

impl ActorPool {
    /// A pool of `count` threads (at least one), which start with the first actor and end with the
    /// pool. Actors that can go on do so in the order in which they were woken.
    pub fn threads(count: usize) -> Arc<ActorPool> {
        Arc::new(ActorPool {
            ready: Arc::default(),
            clock: Arc::new(SystemClock::default()),
            mode: Mode::Threads {
                count: count.max(1),
                started: Mutex::new(Vec::new()),
            },
        })
    }

    /// A pool without threads: [`Scope::run`](super::Scope::run) polls all actors on the calling
    /// thread, one at a time, drawn from the seed. Time is simulated: it jumps to the next timer
    /// when no actor can go on. If there is no timer either, the scope that is run is aborted with
    /// an error that names the waiting actors.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton::network::{ActorPool, Scope};
    /// # fn main() -> pelton::Result<()> {
    /// let scope = Scope::new(&ActorPool::seeded(7), None);
    /// let inner = scope.clone();
    /// scope.run(async move { inner.sleep(Duration::from_secs(3600)).await })?; // at once
    ///
    /// let inner = scope.clone();
    /// let stuck = scope.run(async move {
    ///     let gate = inner.gate::<u32>();
    ///     gate.get().await // nobody sets it
    /// });
    /// let error = stuck.map_err(|error| error.to_string());
    /// assert_eq!(error, Err("cancelled: deadlock: every actor waits: root".to_string()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn seeded(seed: u64) -> Arc<ActorPool> {
        let seeded = Seeded::new(seed);
        Arc::new(ActorPool {
            ready: Arc::default(),
            clock: seeded.clock(),
            mode: Mode::Seeded(seeded),
        })
    }

    /// How many actors can run at one time.
    pub fn parallelism(&self) -> usize {
        match &self.mode {
            Mode::Threads { count, .. } => *count,
            Mode::Seeded(_) => 1,
        }
    }

    /// What the sleeps and deadlines of its scopes go by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Starts the threads, if they have not been.
    pub(super) fn start(&self) -> Result<()> {
        let Mode::Threads { count, started } = &self.mode else {
            return Ok(());
        };
        let mut started = locked(started);
        while started.len() < *count {
            let name = format!("pelton-actor-{}", started.len());
            let ready = Arc::clone(&self.ready);
            let thread = Builder::new()
                .name(name.clone())
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    while let Some(actor) = ready.take() {
                        actor.step();
                    }
                });
            match thread {
                Ok(thread) => started.push(thread),
                Err(_) if !started.is_empty() => break, // fewer will do; tried again next time
                Err(error) => return Err(Error::io(name, "start the thread", &error)),
            }
        }
        Ok(())
    }

    /// Returns when no actor of this life is alive.
    pub(super) fn finish(&self, life: &Life) {
        match &self.mode {
            Mode::Threads { .. } => life.wait(),
            Mode::Seeded(seeded) => seeded.drive(&self.ready, life),
        }
    }
}

impl Drop for ActorPool {
    fn drop(&mut self) {
        self.ready.close();
        if let Mode::Threads { started, .. } = &self.mode {
            let started = std::mem::take(&mut *locked(started));
            join(started);
        }
    }
}

/// Waits for threads to end, save the one that waits.
pub(super) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.thread().id() != current().id() {
            let _ = thread.join(); // a panic there has been told to those whom it concerns
        }
    }
}
