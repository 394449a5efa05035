//! The words with which a user builds sort keys and window functions.

use super::{SortExpr, WindowExpr};
use crate::expr::{AggregateFunction, Expr, Frame, WindowFunction};
use crate::types::Literal;

impl From<Expr> for SortExpr {
    /// From the least value up, nulls behind all.
    fn from(expr: Expr) -> SortExpr {
        SortExpr {
            expr,
            descending: false,
            nulls_first: false,
        }
    }
}

impl SortExpr {
    /// Nulls before all values, in either direction.
    #[must_use]
    pub fn nulls_first(mut self) -> SortExpr {
        self.nulls_first = true;
        self
    }

    /// Nulls behind all values, in either direction: as they stand if nothing is said.
    #[must_use]
    pub fn nulls_last(mut self) -> SortExpr {
        self.nulls_first = false;
        self
    }
}

/// Sort keys. Nulls stand behind all values, in either direction, unless
/// [`SortExpr::nulls_first`] is said.
///
/// ```
/// use pelton::expr::col;
/// assert_eq!(col("day").asc().to_string(), "day");
/// assert_eq!(col("price").desc().nulls_first().to_string(), "price desc nulls first");
/// ```
impl Expr {
    /// A key that sorts from the least value up.
    #[must_use]
    pub fn asc(self) -> SortExpr {
        SortExpr::from(self)
    }

    /// A key that sorts from the greatest value down.
    #[must_use]
    pub fn desc(self) -> SortExpr {
        SortExpr {
            descending: true,
            ..SortExpr::from(self)
        }
    }
}

/// The number of a row in its partition, from 1; see [`WindowFunction::RowNumber`].
pub fn row_number() -> WindowFunction<Expr> {
    WindowFunction::RowNumber
}

/// 1 + the rows before the first peer; see [`WindowFunction::Rank`].
pub fn rank() -> WindowFunction<Expr> {
    WindowFunction::Rank
}

/// 1 + the groups of peers before the row's own.
pub fn dense_rank() -> WindowFunction<Expr> {
    WindowFunction::DenseRank
}

/// (rank - 1) / (rows - 1).
pub fn percent_rank() -> WindowFunction<Expr> {
    WindowFunction::PercentRank
}

/// Rows up to the last peer / rows.
pub fn cume_dist() -> WindowFunction<Expr> {
    WindowFunction::CumeDist
}

/// The number of the row's bucket among so many, from 1.
pub fn ntile(buckets: u64) -> WindowFunction<Expr> {
    WindowFunction::Ntile(buckets)
}

/// Window functions: what a row takes from the rows around it. They become a column by
/// [`WindowFunction::over`] and
/// [`LazyFrame::with_windows`](crate::engine::LazyFrame::with_windows).
///
/// ```
/// use pelton::prelude::*;
/// let total = col("amount").sum().over([col("customer")]).alias("total");
/// assert_eq!(
///     total.to_string(),
///     "sum(amount) over (partition by customer whole partition) as total"
/// );
/// let before = col("amount").lag(1).over([col("customer")]).order_by([col("day").desc()]);
/// assert_eq!(before.name, "lag(amount, 1, null)");
/// ```
impl Expr {
    /// The expression among the rows with equal values of these keys (none: among all rows), over
    /// their whole partition. An aggregate is computed of the frame; `first` and `last` are values of
    /// its ends; anything else is the row's own value.
    #[must_use]
    pub fn over(self, partition_by: impl IntoIterator<Item = Expr>) -> WindowExpr {
        let own_row = Frame::Rows {
            start: Some(0),
            end: Some(0),
        };
        let name = self.output_name();
        let (function, frame) = match self {
            Expr::Alias { expr, name } => return expr.over(partition_by).alias(name),
            Expr::Aggregate {
                function: AggregateFunction::First,
                expr: Some(expr),
            } => (WindowFunction::FirstValue(*expr), Frame::Partition),
            Expr::Aggregate {
                function: AggregateFunction::Last,
                expr: Some(expr),
            } => (WindowFunction::LastValue(*expr), Frame::Partition),
            Expr::Aggregate { function, expr } => {
                let operand = expr.map(|expr| *expr);
                let aggregate = WindowFunction::Aggregate { function, operand };
                (aggregate, Frame::Partition)
            }
            other => (WindowFunction::FirstValue(other), own_row),
        };
        WindowExpr {
            name,
            frame,
            ..function.over(partition_by)
        }
    }

    /// The value so many rows before, null where there is no such row.
    #[must_use]
    pub fn lag(self, offset: u64) -> WindowFunction<Expr> {
        WindowFunction::Lag {
            operand: self,
            offset,
            default: Literal::Null,
        }
    }

    /// The value so many rows behind, null where there is no such row.
    #[must_use]
    pub fn lead(self, offset: u64) -> WindowFunction<Expr> {
        WindowFunction::Lead {
            operand: self,
            offset,
            default: Literal::Null,
        }
    }

    /// The value of the frame's n-th row, counted from 1.
    #[must_use]
    pub fn nth_value(self, n: u64) -> WindowFunction<Expr> {
        WindowFunction::NthValue { operand: self, n }
    }
}

impl WindowFunction<Expr> {
    /// What `lag` and `lead` give where there is no such row; other functions stay as they are.
    #[must_use]
    pub fn or(mut self, value: impl Into<Literal>) -> WindowFunction<Expr> {
        if let WindowFunction::Lag { default, .. } | WindowFunction::Lead { default, .. } =
            &mut self
        {
            *default = value.into();
        }
        self
    }

    /// The function among the rows with equal values of these keys; none: among all rows. The column
    /// is named by the function's text.
    #[must_use]
    pub fn over(self, partition_by: impl IntoIterator<Item = Expr>) -> WindowExpr {
        WindowExpr {
            name: self.to_string(),
            function: self,
            partition_by: partition_by.into_iter().collect(),
            order_by: Vec::new(),
            frame: Frame::Partition,
        }
    }
}

impl WindowExpr {
    /// The order within a partition. A frame of the whole partition becomes SQL's for ordered rows:
    /// up to the row and its peers ([`Frame::RangeToCurrent`]); see [`WindowExpr::frame`].
    #[must_use]
    pub fn order_by<Key: Into<SortExpr>>(
        mut self,
        keys: impl IntoIterator<Item = Key>,
    ) -> WindowExpr {
        self.order_by = keys.into_iter().map(Into::into).collect();
        if self.frame == Frame::Partition {
            self.frame = Frame::RangeToCurrent;
        }
        self
    }

    /// The frame, whatever the order said.
    #[must_use]
    pub fn frame(mut self, frame: Frame) -> WindowExpr {
        self.frame = frame;
        self
    }

    /// From the partition's first row to the row itself: running totals.
    #[must_use]
    pub fn running(self) -> WindowExpr {
        self.frame(Frame::RUNNING)
    }

    /// The column's name.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> WindowExpr {
        self.name = name.into();
        self
    }
}
