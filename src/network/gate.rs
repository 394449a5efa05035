//! A gate: one value, set once, awaited by many.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::life::{Life, cancelled};
use super::scope::Scope;
use super::sync::locked;
use super::wait::{Line, Shared, Side, Wakes, Way, turn};
use crate::error::Result;

struct State<T> {
    life: Arc<Life>,
    value: Option<T>,
    abandoned: bool,
    waiting: Line,
}

impl<T: Clone> State<T> {
    fn way(&self) -> Way {
        if self.value.is_some() || self.abandoned || self.life.aborted() {
            return Way::All;
        }
        Way::Shut
    }

    fn get(&self) -> Result<T> {
        self.life.check()?;
        (self.value.clone()).ok_or_else(|| cancelled("an actor ended without setting its value"))
    }
}

/// Changes the state, and has everybody look at it.
fn change<T>(shared: &Shared<State<T>>, change: impl FnOnce(&mut State<T>)) {
    let mut wakes = Wakes::default();
    let mut state = locked(&shared.state);
    change(&mut state);
    wakes.add(state.waiting.all());
}

async fn get<T: Clone>(shared: &Shared<State<T>>) -> Result<T> {
    let side = Side {
        line: |state: &mut State<T>| &mut state.waiting,
        way: State::way,
    };
    turn(&shared.state, side, |state, _| Some(state.get())).await
}

/// One value, set once, awaited by many. It belongs to whoever will set it: dropped unset, it is an
/// error at those who wait.
///
/// ```
/// use pelton::network::{ActorPool, Scope};
/// # fn main() -> pelton::Result<()> {
/// let scope = Scope::new(&ActorPool::threads(2), None);
/// let inner = scope.clone();
/// let sum = scope.run(async move {
///     let gate = inner.gate::<u32>();
///     let built = gate.reader();
///     let probe = inner.spawn("probe", async move { Ok(built.get().await? + 1) });
///     gate.set(41);
///     probe.await
/// })?;
/// assert_eq!(sum, 42);
/// # Ok(())
/// # }
/// ```
pub struct Gate<T: Clone> {
    shared: Arc<Shared<State<T>>>,
}

impl<T: Clone> Gate<T> {
    /// Sets the value; what was set first stands.
    pub fn set(&self, value: T) {
        change(&self.shared, |state| {
            state.value.get_or_insert(value);
        });
    }

    /// The value, waiting for it.
    ///
    /// # Errors
    /// `Cancelled` after an abort.
    pub async fn get(&self) -> Result<T> {
        get(&self.shared).await
    }

    /// For those who wait elsewhere.
    pub fn reader(&self) -> GateReader<T> {
        GateReader {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Clone> Drop for Gate<T> {
    fn drop(&mut self) {
        change(&self.shared, |state| state.abandoned = true);
    }
}

/// Awaits the value of a [`Gate`].
pub struct GateReader<T> {
    shared: Arc<Shared<State<T>>>,
}

impl<T: Clone> GateReader<T> {
    /// The value, waiting for it.
    ///
    /// # Errors
    /// `Cancelled` after an abort, or if the gate was dropped unset.
    pub async fn get(&self) -> Result<T> {
        get(&self.shared).await
    }
}

impl<T> Clone for GateReader<T> {
    fn clone(&self) -> Self {
        GateReader {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Scope {
    /// A gate that is closed.
    pub fn gate<T: Clone + Send + 'static>(&self) -> Gate<T> {
        let state = State {
            life: Arc::clone(self.life()),
            value: None,
            abandoned: false,
            waiting: Line::default(),
        };
        let shared = Shared::new(self, state, |shared| change(shared, |_| {}));
        Gate { shared }
    }
}
