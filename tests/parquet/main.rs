//! Parquet pages decoded by kernels, on emulated devices and on a GPU if there is one, against the
//! `parquet` crate: the pages that it writes, and the values that went into them.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod codec;
mod encodings;
mod files;
mod fuzz;
mod hostile;
mod mutants;
mod nested;
mod pages;
mod selection;
mod text;
