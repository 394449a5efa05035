//! Contract of `sort`: rows in the order of their keys.
//!
//! - Shape: `[rows]` → `[rows]`, in batches of at most
//!   [`ROWS_PER_BATCH_MAX`](crate::limits::ROWS_PER_BATCH_MAX) rows, in order; no rows give one
//!   batch without any.
//! - Order: by the first key, rows with equal first keys by the second, and so on. Values are in the
//!   order of the semantics: false before true, numbers by size, −0.0 equal to 0.0, NaN equal to NaN
//!   and greater than all else, strings and bytes by their bytes. `descending` turns that round.
//! - Nulls: before or behind all values, as `nulls_first` says, whatever the direction.
//! - Stability: rows with equal keys leave in the order in which they came to the fold: those of a
//!   batch in theirs, batches as they went through `next`, and those of a state that is merged
//!   behind all of the state that it is merged into. Without keys, that is the whole order.
//! - Values: as they came, −0.0 and NaNs too.
//! - Waiting: `finish` waits for the stream; so does `next` for strings that are no codes yet.
//! - Errors: `InvalidInput` for more than [`KEYS_MAX`] keys, for a key column that is not there, and
//!   for more than [`SORT_ROWS_MAX`] rows; `Unsupported` for a key type that has no order here;
//!   `Reservation` if rows, keys and as many again do not fit.
//! - Equality in tests: ordered, exact.

use std::fmt;

use crate::error::{Error, Result};
use crate::limits::KEYS_MAX;
use crate::types::SchemaRef;

/// Most rows of one sort: their numbers fit 32 bits, with room for a sentinel.
pub const SORT_ROWS_MAX: u64 = u32::MAX as u64;

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// The column, by index into the input.
    pub column: usize,
    /// Whether greater values come first.
    pub descending: bool,
    /// Whether nulls come before all values, in either direction.
    pub nulls_first: bool,
}

impl SortKey {
    /// From the least value up, nulls behind all.
    pub fn ascending(column: usize) -> SortKey {
        SortKey {
            column,
            descending: false,
            nulls_first: false,
        }
    }

    /// Checks keys against the schema of the rows that they sort; `operator` is who asks.
    ///
    /// # Errors
    /// `InvalidInput` for too many keys, and for a column that is not there.
    pub fn check(keys: &[SortKey], input: &SchemaRef, operator: &'static str) -> Result<()> {
        if keys.len() > KEYS_MAX {
            let cause = format!("{} keys", keys.len());
            let remedy = format!("sort by at most {KEYS_MAX}");
            return Err(Error::invalid(operator, cause, remedy));
        }
        let columns = input.fields().len();
        match keys.iter().find(|key| key.column >= columns) {
            Some(key) => {
                let cause = format!("key {} of {columns} columns", key.column);
                Err(Error::invalid(operator, cause, ""))
            }
            None => Ok(()),
        }
    }
}

/// The direction and the place of nulls, where they are not the usual ones: ` desc`, ` nulls first`.
impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.descending {
            f.write_str(" desc")?;
        }
        if self.nulls_first {
            f.write_str(" nulls first")?;
        }
        Ok(())
    }
}

/// Sorts rows by key columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SortSpec {
    /// Schema of the batches that come in, and of those that leave.
    pub input: SchemaRef,
    /// The keys, the most significant first.
    pub keys: Vec<SortKey>,
}

/// The error for too many rows.
pub fn too_many_sort_rows(rows: u64) -> Error {
    let cause = format!("{rows} rows, more than {SORT_ROWS_MAX}");
    Error::invalid("sort", cause, "filter the rows, or sort them in parts")
}
