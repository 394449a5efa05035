//! Memory as the engine counts it: tiers, reservations, and the batches that flow.
//!
//! Nothing here talks to a device: `device` allocates, and takes a [`Reservation`] first. A
//! [`Batch`] is opaque outside of the backend that made it; pipelines pass it on by value.

#![forbid(unsafe_code)]

mod batch;
mod reservation;
mod stream;

pub use batch::{Batch, BatchData, DeviceBatch, Morsel, Sequence};
pub use reservation::{MemoryLimits, MemoryManager, Reservation, Tier};
pub use stream::StreamHandle;
