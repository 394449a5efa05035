//! Queries as a whole: the same plans give equal results however they are run, in however little
//! memory; whatever fails, an error says so, and nothing is left behind.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod data;
mod faults;
mod limits;
mod matrix;
mod oracle;
mod plans;
mod ranks;
mod run;
mod seeds;
mod threads;
