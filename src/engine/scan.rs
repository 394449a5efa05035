//! What is said of a scan: in `explain`, and in a query's counters.

use crate::metrics::{Metrics, PrunedRecord, ScanRecord, names};
use crate::options::{EngineOptions, LateDecodingOption};
use crate::storage::{Kept, LateMode};

/// What is read, in so many partitions, and what each step of pruning removed.
pub(super) fn record(kept: &Kept, partitions: usize) -> ScanRecord {
    let pruned = kept.pruned();
    let removed = pruned.steps().into_iter();
    let removed = removed.filter(|(_, removed)| removed.row_groups > 0);
    ScanRecord {
        row_groups: kept.row_groups().len() as u64,
        row_groups_total: kept.row_groups_total() as u64,
        rows: kept.rows(),
        bytes: kept.bytes(),
        partitions: partitions as u64,
        pruned: removed
            .map(|(step, removed)| PrunedRecord {
                step,
                row_groups: removed.row_groups,
                bytes: removed.bytes,
            })
            .collect(),
        files_pruned: pruned.files,
        pages_pruned: pruned.pages,
        page_bytes_pruned: pruned.page_bytes,
    }
}

/// Whether a device decodes late.
pub(super) fn late_mode(options: &EngineOptions) -> LateMode {
    match options.parquet_late_decoding() {
        LateDecodingOption::Off => LateMode::Off,
        LateDecodingOption::Auto => LateMode::Auto,
        LateDecodingOption::On => LateMode::On,
    }
}

/// Adds what pruning kept and removed to the counters.
pub(super) fn count(kept: &Kept, metrics: &Metrics) {
    let total = kept.row_groups_total() as u64;
    let pruned = kept.pruned();
    for (name, amount) in [
        (names::ROW_GROUPS_TOTAL, total),
        (
            names::ROW_GROUPS_PRUNED,
            total - kept.row_groups().len() as u64,
        ),
        (names::FILES_PRUNED, pruned.files),
        (
            names::ROW_GROUPS_PRUNED_BY_STATISTICS,
            pruned.by_statistics.row_groups,
        ),
        (
            names::ROW_GROUPS_PRUNED_BY_BLOOM_FILTER,
            pruned.by_bloom_filter.row_groups,
        ),
        (
            names::ROW_GROUPS_PRUNED_BY_DICTIONARY,
            pruned.by_dictionary.row_groups,
        ),
        (
            names::ROW_GROUPS_PRUNED_BY_PAGE_INDEX,
            pruned.by_page_index.row_groups,
        ),
        (names::PAGES_PRUNED, pruned.pages),
        (names::BYTES_PRUNED, pruned.bytes()),
        (names::PRUNING_BYTES, pruned.bytes_read),
    ] {
        metrics.add(name, amount);
    }
}
