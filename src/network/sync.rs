//! What the room takes from the threads of the system, in one place: a test puts simulated ones
//! here and tries the interleavings.

#![forbid(unsafe_code)]

pub(super) use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{Builder, JoinHandle, current};

/// Locks. No code of ours panics under these locks, and what they guard is whole at every step.
pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
