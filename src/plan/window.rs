//! Window functions over expressions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SortExpr;
use crate::expr::{Expr, Frame, WindowFunction};

/// A column that a window adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowExpr {
    /// The column's name.
    pub name: String,
    /// The function.
    pub function: WindowFunction<Expr>,
    /// Expressions whose equal values make a partition; none: all rows are one.
    #[serde(default)]
    pub partition_by: Vec<Expr>,
    /// The order within a partition; none: all its rows are peers.
    #[serde(default)]
    pub order_by: Vec<SortExpr>,
    /// The frame, for values and aggregates.
    pub frame: Frame,
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
