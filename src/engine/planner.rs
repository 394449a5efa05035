//! What of a scan is read, in which partitions, by how many workers.

use std::sync::Arc;

use super::scan;
use crate::comm::{Communicator, share_of_rank};
use crate::error::{Error, Result};
use crate::metrics::{Metrics, ScanRecord};
use crate::pipeline::ScanSpec;
use crate::storage::{Dataset, Kept, KeyFilter, Partition, PruneSteps};

/// Partitions per worker that an automatic partition size aims at, so that none waits long.
const PARTITIONS_PER_WORKER: u64 = 4;

/// Device bytes of a worker, as a multiple of a partition's uncompressed bytes: two partitions, one
/// being decoded while the other is computed, each as stored, decompressed, and decoded; and as much
/// again for what operators keep.
const DEVICE_BYTES_FACTOR: u64 = 12;

/// Bounds of an automatic partition size: below, a partition costs more than its rows; above, it
/// takes too much of a device.
const PARTITION_BYTES_AUTO: (u64, u64) = (8 << 20, 512 << 20);

/// Decides about scans, the same for `explain` and for execution.
#[derive(Clone)]
pub(super) struct Planner {
    pub(super) steps: PruneSteps,
    /// Bytes of a partition, if they are chosen.
    pub(super) partition_bytes: Option<u64>,
    /// Most workers of a scan.
    pub(super) workers: usize,
    /// Device bytes that a backend may use; no limit where it has no device.
    pub(super) device_limit: u64,
    pub(super) comm: Arc<dyn Communicator>,
}

impl Planner {
    /// The row groups that a scan reads.
    ///
    /// # Errors
    /// `Io` and `Corrupt` for files that cannot be read; `InvalidInput` if they have another schema
    /// than when the plan was made.
    pub(super) fn prune(&self, scan: &ScanSpec) -> Result<Kept> {
        self.prune_to(scan, &[])
    }

    /// As [`Planner::prune`], of rows that pass filters, too.
    fn prune_to(&self, scan: &ScanSpec, filters: &[Arc<KeyFilter>]) -> Result<Kept> {
        let dataset = Dataset::open(&scan.files)?;
        if dataset.schema() != &scan.file_schema {
            return Err(Error::invalid(
                "scan",
                "the files have another schema than when the query was made",
                "make the query anew",
            ));
        }
        let predicate = scan.predicate.as_ref();
        dataset.prune_to(&scan.projection, predicate, filters.to_vec(), self.steps)
    }

    /// Uncompressed bytes that are read together.
    pub(super) fn partition_bytes(&self, kept: &Kept) -> u64 {
        self.partition_bytes.unwrap_or_else(|| {
            let workers = (self.workers as u64).max(1);
            let even = kept.bytes() / (workers * PARTITIONS_PER_WORKER);
            let fitting = self.device_limit / (workers * DEVICE_BYTES_FACTOR);
            let (min, max) = PARTITION_BYTES_AUTO;
            even.clamp(min, max.min(fitting).max(min))
        })
    }

    /// The partitions of a scan that this rank reads, and what of the files is read; what is pruned is
    /// counted.
    ///
    /// # Errors
    /// As [`Planner::prune`].
    pub(super) fn partitions(
        &self,
        scan: &ScanSpec,
        filters: &[Arc<KeyFilter>],
        metrics: &Metrics,
    ) -> Result<(Vec<Partition>, ScanRecord)> {
        let kept = self.prune_to(scan, filters)?;
        scan::count(&kept, metrics);
        let partitions = kept.partitions(self.partition_bytes(&kept));
        let record = scan::record(&kept, partitions.len());
        Ok((share_of_rank(self.comm.as_ref(), partitions), record))
    }

    /// How many partitions of so many uncompressed bytes the device can work on at one time.
    pub(super) fn fitting(&self, partition_bytes: u64) -> usize {
        let each = partition_bytes.saturating_mul(DEVICE_BYTES_FACTOR).max(1);
        usize::try_from(self.device_limit / each).unwrap_or(usize::MAX)
    }
}
