//! The room's own sources over simulated threads, those of the `shuttle` crate. What needs no thread
//! is the library's.

#[path = "../../src/memory/clock.rs"]
mod clock;
#[path = "../../src/memory/files.rs"]
mod files;
#[path = "../../src/memory/flights.rs"]
mod flights;
#[path = "../../src/memory/reclaim.rs"]
mod reclaim;
#[path = "../../src/memory/reservation.rs"]
mod reservation;
#[path = "../../src/memory/residence.rs"]
mod residence;
#[path = "../../src/memory/segments.rs"]
mod segments;
#[path = "../../src/memory/spill.rs"]
mod spill;
#[path = "../../src/memory/stored.rs"]
mod stored;
#[path = "../../src/memory/waiting.rs"]
mod waiting;
#[path = "../../src/memory/watch.rs"]
mod watch;

mod batch {
    pub(super) use pelton::memory::{Batch, BatchData};
}

mod parking {
    use arrow::buffer::Buffer;
    use bytes::Bytes;

    pub(super) use pelton::memory::{ParkedBatch, Parking};

    pub(super) fn section_of(buffer: Buffer) -> Bytes {
        Bytes::from_owner(Owner(buffer))
    }

    struct Owner(Buffer);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
}

mod tier {
    pub use pelton::memory::Tier;
}

/// In the place of the room's `sync`.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};
    pub(super) use shuttle::thread::{Builder, JoinHandle, current};
    pub(super) use shuttle::thread_local;
}

pub use clock::ManualClock;
pub use files::DiskFiles;
pub use reservation::{MemoryLimits, MemoryManager};
pub use spill::{SpillManager, SpillOptions};
pub use stored::{SpillClass, StoredBatch};
pub use waiting::Wait;
