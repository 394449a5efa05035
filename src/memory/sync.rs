//! What the room takes from the threads of the system, in one place: a test puts simulated ones
//! here and tries the interleavings.

#![forbid(unsafe_code)]

pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
pub(super) use std::thread::{Builder, JoinHandle, current};
pub(super) use std::thread_local;
