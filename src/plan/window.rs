//! Window functions over expressions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SortExpr;
use crate::expr::{AggregateFunction, Expr, Frame};
use crate::types::Literal;

/// A function of a row among the rows of its partition, as
/// [`WindowFunction`](crate::operators::WindowFunction) defines it, over expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowExprFunction {
    /// The row's number, from 1.
    RowNumber,
    /// 1 + the rows before the first peer.
    Rank,
    /// 1 + the groups of peers before the row's own.
    DenseRank,
    /// (rank - 1) / (rows - 1).
    PercentRank,
    /// Rows up to the last peer / rows.
    CumeDist,
    /// The number of the row's bucket among so many.
    Ntile(u64),
    /// The value so many rows before.
    Lag {
        /// The value.
        expr: Expr,
        /// How many rows.
        offset: u64,
        /// What stands for a row that is not there.
        default: Literal,
    },
    /// The value so many rows behind.
    Lead {
        /// The value.
        expr: Expr,
        /// How many rows.
        offset: u64,
        /// What stands for a row that is not there.
        default: Literal,
    },
    /// The value of the frame's first row.
    FirstValue(Expr),
    /// The value of the frame's last row.
    LastValue(Expr),
    /// The value of the frame's n-th row.
    NthValue {
        /// The value.
        expr: Expr,
        /// The row of the frame, from 1.
        n: u64,
    },
    /// An aggregate of the frame.
    Aggregate {
        /// The function.
        function: AggregateFunction,
        /// Its operand; none for the number of rows.
        expr: Option<Expr>,
    },
}

impl WindowExprFunction {
    /// The expression that the function reads, if it reads one.
    pub fn operand(&self) -> Option<&Expr> {
        match self {
            WindowExprFunction::RowNumber
            | WindowExprFunction::Rank
            | WindowExprFunction::DenseRank
            | WindowExprFunction::PercentRank
            | WindowExprFunction::CumeDist
            | WindowExprFunction::Ntile(_) => None,
            WindowExprFunction::Lag { expr, .. }
            | WindowExprFunction::Lead { expr, .. }
            | WindowExprFunction::FirstValue(expr)
            | WindowExprFunction::LastValue(expr)
            | WindowExprFunction::NthValue { expr, .. } => Some(expr),
            WindowExprFunction::Aggregate { expr, .. } => expr.as_ref(),
        }
    }
}

/// A column that a window adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowExpr {
    /// The column's name.
    pub name: String,
    /// The function.
    pub function: WindowExprFunction,
    /// Expressions whose equal values make a partition; none: all rows are one.
    #[serde(default)]
    pub partition_by: Vec<Expr>,
    /// The order within a partition; none: all its rows are peers.
    #[serde(default)]
    pub order_by: Vec<SortExpr>,
    /// The frame, for values and aggregates.
    pub frame: Frame,
}

impl fmt::Display for WindowExprFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowExprFunction::RowNumber => f.write_str("row_number()"),
            WindowExprFunction::Rank => f.write_str("rank()"),
            WindowExprFunction::DenseRank => f.write_str("dense_rank()"),
            WindowExprFunction::PercentRank => f.write_str("percent_rank()"),
            WindowExprFunction::CumeDist => f.write_str("cume_dist()"),
            WindowExprFunction::Ntile(buckets) => write!(f, "ntile({buckets})"),
            WindowExprFunction::Lag {
                expr,
                offset,
                default,
            } => write!(f, "lag({expr}, {offset}, {default})"),
            WindowExprFunction::Lead {
                expr,
                offset,
                default,
            } => write!(f, "lead({expr}, {offset}, {default})"),
            WindowExprFunction::FirstValue(expr) => write!(f, "first_value({expr})"),
            WindowExprFunction::LastValue(expr) => write!(f, "last_value({expr})"),
            WindowExprFunction::NthValue { expr, n } => write!(f, "nth_value({expr}, {n})"),
            WindowExprFunction::Aggregate { function, expr } => match expr {
                Some(expr) => write!(f, "{function}({expr})"),
                None => write!(f, "{function}(*)"),
            },
        }
    }
}

impl fmt::Display for SortExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        if self.descending {
            f.write_str(" desc")?;
        }
        if self.nulls_first {
            f.write_str(" nulls first")?;
        }
        Ok(())
    }
}

/// Expressions with commas between them.
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expr) in self.0.iter().enumerate() {
            write!(f, "{}{expr}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for WindowExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over (", self.function)?;
        let mut space = "";
        if !self.partition_by.is_empty() {
            write!(f, "partition by {}", List(&self.partition_by))?;
            space = " ";
        }
        if !self.order_by.is_empty() {
            write!(f, "{space}order by {}", List(&self.order_by))?;
            space = " ";
        }
        write!(f, "{space}{}) as {}", self.frame, self.name)
    }
}
