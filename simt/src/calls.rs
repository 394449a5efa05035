//! How often a driver would have been called: what a change of host code saves, without a GPU.

use crate::work::Work;

/// Calls that a driver would have got so far; for measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Allocations and frees.
    pub memory: u64,
    /// Copies in any direction.
    pub copies: u64,
    /// Bytes of these copies.
    pub copied_bytes: u64,
    /// Fills and launches.
    pub kernels: u64,
    /// Events recorded and waited for by streams.
    pub events: u64,
    /// Waits of the host for a stream, an event or the device.
    pub waits: u64,
}

impl Calls {
    /// Calls since `before`.
    #[must_use]
    pub fn since(self, before: Calls) -> Calls {
        Calls {
            memory: self.memory - before.memory,
            copies: self.copies - before.copies,
            copied_bytes: self.copied_bytes - before.copied_bytes,
            kernels: self.kernels - before.kernels,
            events: self.events - before.events,
            waits: self.waits - before.waits,
        }
    }

    pub(crate) fn count(&mut self, work: &Work) {
        match work {
            Work::Allocate { .. } | Work::Free { .. } => self.memory += 1,
            Work::CopyIn { bytes, .. }
            | Work::CopyOut { bytes, .. }
            | Work::CopyDevice { bytes, .. } => {
                self.copies += 1;
                self.copied_bytes += bytes;
            }
            Work::Fill { .. } | Work::Launch(_) => self.kernels += 1,
            Work::Record { .. } | Work::Wait { .. } => self.events += 1,
        }
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.memory + self.copies + self.kernels + self.events + self.waits
    }
}
