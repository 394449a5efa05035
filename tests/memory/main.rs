//! Memory: reservations that wait, batches that are spilled, files that fail.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bed;
mod faults;
mod hosts;
mod killed;
#[path = "../support/random.rs"]
#[allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]
mod random;
mod spilling;
mod stress;
mod waiting;
