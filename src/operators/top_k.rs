//! Contract of `top_k`: the first rows of a sort.
//!
//! - Shape: `[rows]` → the rows from `offset` to `offset + k` of what [`SortSpec`](super::SortSpec)
//!   gives for the same keys and the same input, in one batch; fewer where there are fewer.
//! - Order, nulls, stability, values: as `sort`; which of several equal rows are kept is thus settled.
//! - Waiting: `next` waits for the stream once the state holds more rows than it must keep;
//!   `finish` waits.
//! - Errors: as `sort`; `InvalidInput` also for `offset + k` above
//!   [`ROWS_PER_BATCH_MAX`](crate::limits::ROWS_PER_BATCH_MAX). The number of rows that come in is
//!   not bounded.
//! - Equality in tests: ordered, exact.

use super::SortKey;
use crate::error::{Error, Result};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::types::SchemaRef;

/// Keeps the first rows by key columns.
#[derive(Debug, Clone, PartialEq)]
pub struct TopKSpec {
    /// Schema of the batches that come in, and of the one that leaves.
    pub input: SchemaRef,
    /// The keys, the most significant first. Without any, the first rows to come are kept.
    pub keys: Vec<SortKey>,
    /// Rows to give.
    pub k: u64,
    /// Rows to skip before them.
    pub offset: u64,
}

impl TopKSpec {
    /// Rows that decide the result: the first `offset + k` of the sort.
    pub fn kept(&self) -> u64 {
        self.offset.saturating_add(self.k)
    }

    /// Checks that the specification does not contradict itself.
    ///
    /// # Errors
    /// `InvalidInput` as the contract says.
    pub fn check(&self) -> Result<()> {
        SortKey::check(&self.keys, &self.input, "top_k")?;
        if self.kept() > ROWS_PER_BATCH_MAX {
            let cause = format!(
                "{} + {} rows, more than {ROWS_PER_BATCH_MAX}",
                self.offset, self.k
            );
            return Err(Error::invalid("top_k", cause, "sort instead"));
        }
        Ok(())
    }
}
