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
mod killed;
mod parked;
mod spilling;
mod stress;
mod waiting;
