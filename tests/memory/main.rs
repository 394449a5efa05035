//! Memory: reservations that wait, batches that are spilled, files that fail.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod bed;
mod crossing;
mod faults;
mod hosts;
mod interleavings;
mod killed;
mod parked;
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests use a part of the interface"
)]
mod simulated;
mod spilling;
mod stress;
mod waiting;

/// What the room's sources call the errors and the counters, where a test includes them.
mod error {
    pub use pelton::error::*;
}
mod metrics {
    pub use pelton::metrics::Metrics;
}
