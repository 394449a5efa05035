//! The thread that looks whether a tier is over its spill limit.

#![forbid(unsafe_code)]

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::spill::SpillManager;
use super::sync::{Builder, Condvar, JoinHandle, Mutex, MutexGuard, current};

/// After a failure (a full disk, say) the thread rests this many times longer.
const REST_AFTER_FAILURE: u32 = 100;

#[derive(Debug, Default)]
struct State {
    /// There was nothing to spill: the thread sleeps until there is.
    idle: bool,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread with the first batch, and ends it when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watch {
    pub(super) fn new(every: Duration) -> Self {
        Watch {
            every,
            shared: Arc::default(),
            thread: Mutex::new(None),
        }
    }

    pub(super) fn batch_stored(&self, spiller: &Arc<SpillManager>) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (every, shared) = (self.every, Arc::clone(&self.shared));
            let spiller = Arc::downgrade(spiller);
            // If the system refuses a thread, the next batch tries again; whoever needs memory
            // spills for himself.
            *thread = Builder::new()
                .name("pelton-spill".to_string())
                .spawn(move || watch(&spiller, &shared, every))
                .ok();
        }
        drop(thread);
        self.batch_moved();
    }

    /// There may be something to spill again.
    pub(super) fn batch_moved(&self) {
        let was_idle = std::mem::take(&mut self.shared.lock().idle);
        if was_idle {
            self.shared.changed.notify_all();
        }
    }
}

fn watch(spiller: &Weak<SpillManager>, shared: &Shared, every: Duration) {
    let mut rest = every;
    loop {
        let mut state = shared.lock();
        if !state.stopped {
            let waited = shared.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        while state.idle && !state.stopped {
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return;
        }
        // Before looking: a batch that comes while we look makes it false again.
        state.idle = true;
        drop(state);
        let Some(spiller) = spiller.upgrade() else {
            return;
        };
        let failed = spiller.balance().is_err();
        rest = if failed {
            every * REST_AFTER_FAILURE
        } else {
            every
        };
        if !spiller.is_idle() {
            shared.lock().idle = false;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // The thread itself may be the last to hold on to the spill manager.
        let others = thread.take_if(|thread| thread.thread().id() != current().id());
        if let Some(thread) = others {
            // Its end is all that matters; it has nothing to say.
            let _ = thread.join();
        }
    }
}
