//! Joins of two frames.

use super::LazyFrame;
use crate::expr::{Expr, JoinKind, coalesce, col};
use crate::plan::{JOIN_SUFFIX, LogicalPlan, join_pair};
use crate::types::Schema;

/// A join that waits for what its rows meet by: [`on`](LazyJoin::on), or
/// [`on_pairs`](LazyJoin::on_pairs).
///
/// ```
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let engine = Engine::new(EngineOptions::default())?;
/// let totals = scan_parquet(&orders)?
///     .group_by([col("customer_id")])
///     .agg([col("amount").sum().alias("total")]);
/// let shares = scan_parquet(&orders)?
///     .join(totals, JoinKind::Left)
///     .on([col("customer_id")])
///     .with_columns([(col("amount") / col("total")).alias("share")]);
/// assert_eq!(shares.collect(&engine)?.rows(), 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a join needs keys: `.on(…)`"]
pub struct LazyJoin {
    left: LazyFrame,
    right: LazyFrame,
    kind: JoinKind,
    null_equals_null: bool,
    residual: Option<Expr>,
    suffix: String,
    /// Whether equal keys leave once; none: as the kind has it.
    coalesce: Option<bool>,
}

impl LazyFrame {
    /// Starts a join with the rows of another frame; `left` keeps this frame's rows without a match,
    /// `right` the other's. Rows leave in no stated order, by this frame's semantics.
    pub fn join(self, other: LazyFrame, kind: JoinKind) -> LazyJoin {
        LazyJoin {
            left: self,
            right: other,
            kind,
            null_equals_null: false,
            residual: None,
            suffix: JOIN_SUFFIX.to_string(),
            coalesce: None,
        }
    }

    /// Every pair of rows for which the predicate is true. It is over the columns of both frames, the
    /// other's under a name that ends in `_right` where this one has the name, too. Equalities of
    /// what one frame has with what the other has become keys.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let larger = scan_parquet(&orders)?
    ///     .join_where(scan_parquet(&orders)?, col("amount_right").gt(col("amount")));
    /// assert_eq!(larger.collect(&engine)?.rows(), 10);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_where(self, other: LazyFrame, predicate: Expr) -> LazyFrame {
        self.join(other, JoinKind::Inner).residual(predicate).on([])
    }

    /// Every pair of rows.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let pairs = scan_parquet(&orders)?.cross_join(scan_parquet(&orders)?);
    /// assert_eq!(pairs.collect(&engine)?.rows(), 25);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cross_join(self, other: LazyFrame) -> LazyFrame {
        self.join(other, JoinKind::Inner).on([])
    }
}

impl LazyJoin {
    /// A null key equals a null key; else it equals nothing.
    pub fn null_equals_null(mut self) -> LazyJoin {
        self.null_equals_null = true;
        self
    }

    /// What else a pair of rows must satisfy to be a match, over the columns of both frames; none of
    /// the keys has left yet.
    pub fn residual(mut self, predicate: Expr) -> LazyJoin {
        self.residual = Some(predicate);
        self
    }

    /// What the name of the other frame's column gets appended that this frame has, too; else
    /// `_right`.
    pub fn suffix(mut self, suffix: impl Into<String>) -> LazyJoin {
        self.suffix = suffix.into();
        self
    }

    /// Whether a pair of key columns leaves as one. If nothing is said it does, but from a full join:
    /// an inner or left join leaves out the other frame's key column, a right join this frame's; of a
    /// full join the one column has whichever value is there. Computed keys are no columns of a
    /// frame, and change nothing.
    pub fn coalesce(mut self, coalesce: bool) -> LazyJoin {
        self.coalesce = Some(coalesce);
        self
    }

    /// Rows meet that have equal values of these expressions, over either frame.
    pub fn on(self, keys: impl IntoIterator<Item = Expr>) -> LazyFrame {
        self.on_pairs(keys.into_iter().map(|key| (key.clone(), key)))
    }

    /// Rows meet where expressions over this frame equal expressions over the other one.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let buyers = scan_parquet(&orders)?.rename([("customer_id", "id")]);
    /// let joined = scan_parquet(&orders)?
    ///     .join(buyers, JoinKind::Inner)
    ///     .on_pairs([(col("customer_id"), col("id"))]);
    /// let schema = joined.query().plan.schema()?;
    /// let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    /// assert_eq!(names, ["customer_id", "amount", "amount_right"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_pairs(self, keys: impl IntoIterator<Item = (Expr, Expr)>) -> LazyFrame {
        let on: Vec<(Expr, Expr)> = keys.into_iter().collect();
        let exprs = self.columns(&on);
        let right = Box::new(self.right.query.plan);
        let joined = self.left.map(|left| LogicalPlan::Join {
            left,
            right,
            kind: self.kind,
            on,
            null_equals_null: self.null_equals_null,
            residual: self.residual,
            suffix: self.suffix,
        });
        match exprs {
            Some(exprs) => joined.map(|input| LogicalPlan::Project { input, exprs }),
            None => joined,
        }
    }

    /// The columns that leave, if they are not all of the join's.
    fn columns(&self, on: &[(Expr, Expr)]) -> Option<Vec<Expr>> {
        let wanted = self.coalesce.unwrap_or(self.kind != JoinKind::Full);
        if !wanted || !self.kind.gives_build_rows() {
            return None;
        }
        // A join whose inputs have no schema has an error, which shows when it is collected.
        let left = self.left.query.plan.schema().ok()?;
        let right = self.right.query.plan.schema().ok()?;
        let pair = join_pair(&left, &right, &self.suffix).ok()?;
        let keys = KeyColumns::of(on, &left, &right);
        if keys.pairs.is_empty() {
            return None;
        }
        let name = |index: usize| pair.field(index).name();
        let count = left.fields().len();
        let mut exprs = Vec::with_capacity(pair.fields().len());
        for index in 0..pair.fields().len() {
            let expr = match (self.kind, keys.other_of(index, count)) {
                (JoinKind::Right, Some(_)) if index < count => continue,
                // The left key is gone, so that its name is free.
                (JoinKind::Right, Some(_)) => {
                    let own = right.field(index - count).name();
                    let free = keys.pairs.iter().any(|&(l, _)| left.field(l).name() == own);
                    match free {
                        true => col(name(index)).alias(own),
                        false => col(name(index)),
                    }
                }
                (_, Some(_)) if index >= count => continue,
                (JoinKind::Full, Some(other)) => {
                    coalesce([col(name(index)), col(name(other))]).alias(name(index))
                }
                _ => col(name(index)),
            };
            exprs.push(expr);
        }
        Some(exprs)
    }
}

/// The pairs of keys that are columns of both frames: indices into either schema.
struct KeyColumns {
    pairs: Vec<(usize, usize)>,
}

impl KeyColumns {
    fn of(on: &[(Expr, Expr)], left: &Schema, right: &Schema) -> KeyColumns {
        let column = |expr: &Expr, schema: &Schema| match expr {
            Expr::Column(name) => schema.index_of(name).ok(),
            _ => None,
        };
        let pairs = on
            .iter()
            .filter_map(|(l, r)| Some((column(l, left)?, column(r, right)?)));
        KeyColumns {
            pairs: pairs.collect(),
        }
    }

    /// The column of the pair that is compared with this one; `count` columns are the left frame's.
    fn other_of(&self, index: usize, count: usize) -> Option<usize> {
        self.pairs.iter().find_map(|&(l, r)| {
            let r = r + count;
            match index {
                _ if index == l => Some(r),
                _ if index == r => Some(l),
                _ => None,
            }
        })
    }
}
