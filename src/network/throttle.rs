//! A throttle: at most so many at one time, first come, first served.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::life::Life;
use super::scope::Scope;
use super::sync::locked;
use super::wait::{Line, Shared, Side, Wakes, Way, turn};
use crate::error::Result;

struct State {
    life: Arc<Life>,
    free: usize,
    waiting: Line,
}

impl State {
    fn way(&self) -> Way {
        match self.free {
            _ if self.life.aborted() => Way::All,
            0 => Way::Shut,
            _ => Way::One,
        }
    }
}

/// Lets at most a number of holders pass at one time. Clones are the same throttle.
///
/// ```
/// use pelton::network::{ActorPool, Scope};
/// # fn main() -> pelton::Result<()> {
/// let scope = Scope::new(&ActorPool::seeded(3), None);
/// let throttle = scope.throttle(1);
/// scope.run(async move {
///     let permit = throttle.acquire().await?;
///     drop(permit); // lets the next pass
///     drop(throttle.acquire().await?);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Throttle {
    shared: Arc<Shared<State>>,
}

impl Throttle {
    /// Waits for a permit.
    ///
    /// # Errors
    /// `Cancelled` after an abort.
    pub async fn acquire(&self) -> Result<Permit> {
        let side = Side {
            line: |state: &mut State| &mut state.waiting,
            way: State::way,
        };
        turn(&self.shared.state, side, |state, _| {
            if let Err(error) = state.life.check() {
                return Some(Err(error));
            }
            state.free = state.free.checked_sub(1)?;
            Some(Ok(Permit {
                shared: Arc::clone(&self.shared),
            }))
        })
        .await
    }
}

/// The right to go on, given back when it is dropped.
#[must_use = "dropped, it lets the next pass"]
pub struct Permit {
    shared: Arc<Shared<State>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let mut state = locked(&self.shared.state);
        state.free += 1;
        wakes.add(state.waiting.first());
    }
}

impl Scope {
    /// A throttle of this many permits (at least one).
    pub fn throttle(&self, permits: usize) -> Throttle {
        let state = State {
            life: Arc::clone(self.life()),
            free: permits.max(1),
            waiting: Line::default(),
        };
        let shared = Shared::new(self, state, |shared| {
            let mut wakes = Wakes::default();
            wakes.add(locked(&shared.state).waiting.all());
        });
        Throttle { shared }
    }
}
