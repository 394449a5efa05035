//! Which rows a window function looks at.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which rows of its partition a row's values and aggregates are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// All rows of the partition.
    Partition,
    /// From the first row of the partition to the last peer of the row.
    RangeToCurrent,
    /// From `start` to `end`, both included, as far as the partition goes.
    Rows {
        /// The first row, counted from the row itself (before it: negative); none: unbounded.
        start: Option<i64>,
        /// The last row, likewise.
        end: Option<i64>,
    },
}

impl Frame {
    /// Rows between unbounded preceding and the current row.
    pub const RUNNING: Frame = Frame::Rows {
        start: None,
        end: Some(0),
    };
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |f: &mut fmt::Formatter<'_>, rows: Option<i64>, unbounded: &str| match rows {
            None => write!(f, "unbounded {unbounded}"),
            Some(0) => f.write_str("current row"),
            Some(rows) if rows < 0 => write!(f, "{} preceding", rows.unsigned_abs()),
            Some(rows) => write!(f, "{rows} following"),
        };
        match *self {
            Frame::Partition => f.write_str("whole partition"),
            Frame::RangeToCurrent => f.write_str("range to current row"),
            Frame::Rows { start, end } => {
                f.write_str("rows from ")?;
                bound(f, start, "preceding")?;
                f.write_str(" to ")?;
                bound(f, end, "following")
            }
        }
    }
}
