//! Functions of a row among the rows around it, and which of those they look at.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AggregateFunction, Expr, aggregate_type};
use crate::error::Result;
use crate::types::{DataType, Literal};

/// A function of a row among the rows of its partition, over operands `T`: expressions in a plan,
/// columns by their index in an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowFunction<T> {
    /// The row's number, from 1.
    RowNumber,
    /// 1 + the rows before the first peer.
    Rank,
    /// 1 + the groups of peers before the row's own.
    DenseRank,
    /// (rank − 1) / (rows − 1); 0 in a partition of one row.
    PercentRank,
    /// Rows up to the last peer / rows.
    CumeDist,
    /// The number, from 1, of the row's bucket among so many of nearly equal sizes, greater ones first.
    Ntile(u64),
    /// The value so many rows before.
    Lag {
        /// The value.
        operand: T,
        /// How many rows; 0 is the row itself.
        offset: u64,
        /// What stands for a row that is not there.
        default: Literal,
    },
    /// The value so many rows behind.
    Lead {
        /// As of `Lag`.
        operand: T,
        /// As of `Lag`.
        offset: u64,
        /// As of `Lag`.
        default: Literal,
    },
    /// The value of the frame's first row.
    FirstValue(T),
    /// The value of the frame's last row.
    LastValue(T),
    /// The value of the frame's n-th row.
    NthValue {
        /// The value.
        operand: T,
        /// The row of the frame, from 1.
        n: u64,
    },
    /// An aggregate of the frame: any but `count_distinct`.
    Aggregate {
        /// The function.
        function: AggregateFunction,
        /// Its operand; none for the number of rows.
        operand: Option<T>,
    },
}

impl<T> WindowFunction<T> {
    /// The function's name, without its operand.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            WindowFunction::RowNumber => "row_number",
            WindowFunction::Rank => "rank",
            WindowFunction::DenseRank => "dense_rank",
            WindowFunction::PercentRank => "percent_rank",
            WindowFunction::CumeDist => "cume_dist",
            WindowFunction::Ntile(_) => "ntile",
            WindowFunction::Lag { .. } => "lag",
            WindowFunction::Lead { .. } => "lead",
            WindowFunction::FirstValue(_) => "first_value",
            WindowFunction::LastValue(_) => "last_value",
            WindowFunction::NthValue { .. } => "nth_value",
            WindowFunction::Aggregate { function, .. } => return function.to_string().into(),
        })
    }

    /// What the function reads, if it reads anything.
    pub fn operand(&self) -> Option<&T> {
        match self {
            WindowFunction::RowNumber
            | WindowFunction::Rank
            | WindowFunction::DenseRank
            | WindowFunction::PercentRank
            | WindowFunction::CumeDist
            | WindowFunction::Ntile(_) => None,
            WindowFunction::Lag { operand, .. }
            | WindowFunction::Lead { operand, .. }
            | WindowFunction::FirstValue(operand)
            | WindowFunction::LastValue(operand)
            | WindowFunction::NthValue { operand, .. } => Some(operand),
            WindowFunction::Aggregate { operand, .. } => operand.as_ref(),
        }
    }

    /// The function of another operand, made from its own.
    ///
    /// # Errors
    /// Of `change`.
    pub fn try_map<U>(&self, change: impl FnOnce(&T) -> Result<U>) -> Result<WindowFunction<U>> {
        Ok(match self {
            WindowFunction::RowNumber => WindowFunction::RowNumber,
            WindowFunction::Rank => WindowFunction::Rank,
            WindowFunction::DenseRank => WindowFunction::DenseRank,
            WindowFunction::PercentRank => WindowFunction::PercentRank,
            WindowFunction::CumeDist => WindowFunction::CumeDist,
            WindowFunction::Ntile(buckets) => WindowFunction::Ntile(*buckets),
            WindowFunction::Lag {
                operand,
                offset,
                default,
            } => WindowFunction::Lag {
                operand: change(operand)?,
                offset: *offset,
                default: default.clone(),
            },
            WindowFunction::Lead {
                operand,
                offset,
                default,
            } => WindowFunction::Lead {
                operand: change(operand)?,
                offset: *offset,
                default: default.clone(),
            },
            WindowFunction::FirstValue(operand) => WindowFunction::FirstValue(change(operand)?),
            WindowFunction::LastValue(operand) => WindowFunction::LastValue(change(operand)?),
            WindowFunction::NthValue { operand, n } => WindowFunction::NthValue {
                operand: change(operand)?,
                n: *n,
            },
            WindowFunction::Aggregate { function, operand } => WindowFunction::Aggregate {
                function: *function,
                operand: operand.as_ref().map(change).transpose()?,
            },
        })
    }

    /// The type of the function's column, given that of its operand.
    ///
    /// # Errors
    /// `InvalidInput` if the function is not defined for that type.
    pub fn data_type(&self, operand: Option<&DataType>) -> Result<DataType> {
        match (self, operand) {
            (WindowFunction::PercentRank | WindowFunction::CumeDist, _) => Ok(DataType::Float64),
            (WindowFunction::Aggregate { function, .. }, operand) => {
                aggregate_type(*function, operand)
            }
            (_, Some(operand)) => Ok(operand.clone()),
            (_, None) => Ok(DataType::Int64),
        }
    }
}

impl fmt::Display for WindowFunction<Expr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name())?;
        if let Some(operand) = self.operand() {
            operand.fmt(f)?;
        }
        match self {
            WindowFunction::Ntile(buckets) => buckets.fmt(f)?,
            WindowFunction::Lag {
                offset, default, ..
            }
            | WindowFunction::Lead {
                offset, default, ..
            } => write!(f, ", {offset}, {default}")?,
            WindowFunction::NthValue { n, .. } => write!(f, ", {n}")?,
            WindowFunction::Aggregate { operand: None, .. } => f.write_str("*")?,
            _ => {}
        }
        f.write_str(")")
    }
}

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
