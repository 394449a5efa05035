//! Which steps pruning takes, and what each of them removed.

use std::ops::AddAssign;

/// The steps beyond statistics of row groups and files. All are on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneSteps {
    /// Read Bloom filters.
    pub bloom_filter: bool,
    /// Read dictionary pages.
    pub dictionary: bool,
    /// Read page indexes.
    pub page_index: bool,
}

impl Default for PruneSteps {
    fn default() -> Self {
        PruneSteps {
            bloom_filter: true,
            dictionary: true,
            page_index: true,
        }
    }
}

/// What a step removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whole row groups.
    pub row_groups: u64,
    /// Compressed bytes of what would have been read of them.
    pub bytes: u64,
}

impl AddAssign<u64> for Removed {
    /// One row group more, of so many bytes.
    fn add_assign(&mut self, bytes: u64) {
        self.row_groups += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What pruning removed, step by step, and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files that the statistics of all their row groups together excluded.
    pub files: u64,
    /// Row groups that statistics excluded, those of excluded files included.
    pub by_statistics: Removed,
    /// Row groups in which Bloom filters miss a value.
    pub by_bloom_filter: Removed,
    /// Row groups of whose dictionaries no entry will do.
    pub by_dictionary: Removed,
    /// Row groups of which no page may hold a row.
    pub by_page_index: Removed,
    /// Pages, within row groups that are read, that are not: they hold no row that may match.
    pub pages: u64,
    /// Compressed bytes of these pages.
    pub page_bytes: u64,
    /// Bytes of Bloom filters, dictionaries and page indexes that were read to find out.
    pub bytes_read: u64,
}

impl Pruned {
    /// Compressed bytes of all that was removed.
    pub fn bytes(&self) -> u64 {
        let steps = self.steps();
        let of_row_groups = steps.iter().map(|(_, removed)| removed.bytes);
        of_row_groups.fold(self.page_bytes, u64::saturating_add)
    }

    /// Each step that removes row groups, by its name, in the order in which they are taken.
    pub fn steps(&self) -> [(&'static str, Removed); 4] {
        [
            ("statistics", self.by_statistics),
            ("Bloom filters", self.by_bloom_filter),
            ("dictionaries", self.by_dictionary),
            ("page indexes", self.by_page_index),
        ]
    }
}
