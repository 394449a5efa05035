//! What is said of a scan: in `explain`, and in a query's counters.

use std::fmt::Write;

use crate::metrics::{Metrics, names};
use crate::options::{EngineOptions, LateDecodingOption};
use crate::storage::{Kept, LateMode};

/// What is read, in partitions of about so many bytes, and what each step of pruning removed.
pub(super) fn about(kept: &Kept, partition_bytes: u64) -> String {
    let mut text = format!(
        "{} of {} row groups, {} rows, {} bytes, in {} partitions",
        kept.row_groups().len(),
        kept.row_groups_total(),
        kept.rows(),
        kept.bytes(),
        kept.partitions(partition_bytes).len()
    );
    // The lines of a pipeline stand three to the right.
    let mut line = |what: String| {
        let _ = write!(text, "\n   {what}");
    };
    let pruned = kept.pruned();
    for (step, removed) in pruned.steps() {
        if removed.row_groups == 0 {
            continue;
        }
        let (row_groups, bytes) = (removed.row_groups, removed.bytes);
        let files = match (step, pruned.files) {
            ("statistics", files @ 1..) => format!(", {files} whole files among them"),
            _ => String::new(),
        };
        line(format!(
            "pruned by {step}: {row_groups} row groups of {bytes} compressed bytes{files}"
        ));
    }
    if pruned.pages > 0 {
        let (pages, bytes) = (pruned.pages, pruned.page_bytes);
        line(format!(
            "pruned by page indexes: {pages} pages of {bytes} compressed bytes in the others"
        ));
    }
    text
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
