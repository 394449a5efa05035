//! The room's own sources over simulated threads, those of the `shuttle` crate.

#[path = "../../src/network/actor.rs"]
mod actor;
#[path = "../../src/network/bounded.rs"]
mod bounded;
#[path = "../../src/network/clock.rs"]
mod clock;
#[path = "../../src/network/gate.rs"]
mod gate;
#[path = "../../src/network/handle.rs"]
mod handle;
#[path = "../../src/network/life.rs"]
mod life;
#[path = "../../src/network/pool.rs"]
mod pool;
#[path = "../../src/network/ready.rs"]
mod ready;
#[path = "../../src/network/scope.rs"]
mod scope;
#[path = "../../src/network/seeded.rs"]
mod seeded;
#[path = "../../src/network/throttle.rs"]
mod throttle;
#[path = "../../src/network/wait.rs"]
mod wait;

/// In the place of the room's `sync`.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicBool, Ordering};
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use shuttle::thread::{Builder, JoinHandle, current};

    pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub use bounded::{Capacity, Delivery};
pub use pool::ActorPool;
pub use scope::Scope;
