//! Memory as the engine counts it: tiers, reservations, the batches that flow, and where they go
//! when memory is short.
//!
//! Nothing here talks to a device: `device` allocates, and takes a [`Reservation`] first. A
//! [`Batch`] is opaque outside of the backend that made it; pipelines pass it on by value. A
//! [`StoredBatch`] is moved to lower tiers while nobody uses it, by way of its backend's [`Parking`].

#![forbid(unsafe_code)]

mod batch;
mod batch_store;
mod clock;
mod faulty_files;
mod files;
mod flights;
mod host_parking;
mod parking;
mod reclaim;
#[cfg(test)]
mod reclaim_tests;
mod reservation;
#[cfg(test)]
mod reservation_tests;
mod residence;
#[cfg(test)]
mod residence_tests;
mod segments;
mod spill;
mod stored;
mod stream;
mod sync;
mod tier;
mod waiting;
mod watch;

pub use batch::{Batch, BatchData, DeviceBatch, Morsel, Sequence};
pub use batch_store::BatchStore;
pub use clock::{Alarm, Clock, ManualClock, SystemClock};
pub use faulty_files::{FaultyFiles, FileFault};
pub use files::{DiskFiles, Files, SpillFile};
pub use host_parking::{HostParking, park_host, unpark_host};
pub use parking::{ParkedBatch, Parking};
pub use reclaim::Reclaim;
pub use reservation::{MemoryLimits, MemoryManager, Reservation};
pub use spill::{Moved, SpillManager, SpillOptions, SpillStatistics};
pub use stored::{SpillClass, StoredBatch};
pub use stream::StreamHandle;
pub use tier::Tier;
pub use waiting::{Cancelled, Wait};
