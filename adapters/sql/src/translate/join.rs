//! Joins.

use datafusion_common::{JoinType, NullEquality};
use datafusion_expr::Join;
use pelton::error::Result;
use pelton::expr::{Expr, JoinKind, MARK_NAME, col, count_rows, lit};
use pelton::plan::{JOIN_SUFFIX, LogicalPlan};
use pelton::types::Literal;

use super::subquery::{column_names, outer_columns};
use super::{Translation, crossed, names};
use crate::problem::unsupported;

/// Rows of the right side of NOT IN, and those of them that are not null.
const ALL_ROWS: &str = "__not_in_rows";
const KNOWN_ROWS: &str = "__not_in_known";

impl Translation<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<LogicalPlan> {
        let mut on = Vec::with_capacity(join.on.len());
        for (own, other) in &join.on {
            on.push((self.plain(own)?, self.plain(other)?));
        }
        let residual = join.filter.as_ref().map(|filter| self.plain(filter));
        let mut residual = residual.transpose()?;
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        if self.domain.is_some() {
            return self.dependent_join(join, on, residual);
        }
        let left = self.plan(&join.left)?;
        let reads = outer_columns(&join.right)?;
        let columns = if reads.is_empty() {
            Vec::new()
        } else {
            column_names(&left)?
        };
        if reads.iter().any(|name| columns.contains(name)) {
            for (own, other) in on {
                let equal = own.eq(other);
                residual = Some(match residual {
                    Some(residual) => residual.and(equal),
                    None => equal,
                });
            }
            let kind = match join.join_type {
                JoinType::Inner => JoinKind::Inner,
                JoinType::Left => JoinKind::Left,
                other => return Err(unsupported(format!("a lateral {other} join"))),
            };
            return self.lateral(left, &join.right, kind, residual);
        }
        let right = self.plan(&join.right)?;
        let swapped = |on: Vec<(Expr, Expr)>| on.into_iter().map(|(a, b)| (b, a)).collect();
        let (kind, left, right, on): (_, _, _, Vec<(Expr, Expr)>) = match join.join_type {
            JoinType::Inner => (JoinKind::Inner, left, right, on),
            JoinType::Left => (JoinKind::Left, left, right, on),
            JoinType::Right => (JoinKind::Right, left, right, on),
            JoinType::Full => (JoinKind::Full, left, right, on),
            JoinType::LeftSemi => (JoinKind::Semi, left, right, on),
            JoinType::LeftAnti => (JoinKind::Anti, left, right, on),
            JoinType::LeftMark => (JoinKind::Mark, left, right, on),
            JoinType::RightSemi => (JoinKind::Semi, right, left, swapped(on)),
            JoinType::RightAnti => (JoinKind::Anti, right, left, swapped(on)),
            JoinType::RightMark => (JoinKind::Mark, right, left, swapped(on)),
        };
        if join.null_aware {
            return not_in(left, right, on, residual.as_ref(), names(&join.schema));
        }
        let joined = LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind,
            on,
            null_equals_null,
            residual,
            suffix: JOIN_SUFFIX.to_string(),
        };
        if kind != JoinKind::Mark {
            return Ok(joined);
        }
        // The mark is the last column, and has the name of the subquery's table before it.
        let mut columns = names(&join.schema);
        let mark = columns.pop().map(|name| col(MARK_NAME).alias(name));
        let marked = columns.into_iter().map(col).chain(mark);
        Ok(LogicalPlan::Project {
            exprs: marked.collect(),
            input: Box::new(joined),
        })
    }

    /// A join within a correlated subquery: its sides have rows for each of the domain's.
    fn dependent_join(
        &mut self,
        join: &Join,
        on: Vec<(Expr, Expr)>,
        residual: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            other => {
                return Err(unsupported(format!(
                    "a {other} join in a correlated subquery"
                )));
            }
        };
        if join.null_aware {
            return Err(unsupported("NOT IN within a correlated subquery"));
        }
        let extra = self.extra();
        let left = self.plan(&join.left)?;
        let right = self.plan(&join.right)?;
        // The keys of the domain equal with nulls; what else is equal does not.
        let of_right = |name: &String| format!("__right.{name}");
        let columns = names(join.right.schema());
        let renamed = extra.iter().map(|name| col(name).alias(of_right(name)));
        let right = LogicalPlan::Project {
            exprs: columns.iter().map(col).chain(renamed).collect(),
            input: Box::new(right),
        };
        let null_equal = join.null_equality == NullEquality::NullEqualsNull;
        let mut residual = residual;
        let mut keys: Vec<(Expr, Expr)> = extra
            .iter()
            .map(|name| (col(name), col(of_right(name))))
            .collect();
        for (own, other) in on {
            if null_equal {
                keys.push((own, other));
                continue;
            }
            let equal = own.eq(other);
            residual = Some(match residual {
                Some(residual) => residual.and(equal),
                None => equal,
            });
        }
        let joined = LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind,
            on: keys,
            null_equals_null: true,
            residual,
            suffix: JOIN_SUFFIX.to_string(),
        };
        Ok(self.only(joined, names(&join.schema)))
    }
}

/// `x NOT IN (subquery)`: true where no row is equal, if there are no rows at all, or neither x nor
/// any row is null.
fn not_in(
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    residual: Option<&Expr>,
    columns: Vec<String>,
) -> Result<LogicalPlan> {
    let [(own, other)] = on.as_slice() else {
        return Err(unsupported("NOT IN over several columns"));
    };
    if residual.is_some() {
        return Err(unsupported("a correlated NOT IN"));
    }
    let (own, other) = (own.clone(), other.clone());
    let counts = LogicalPlan::Aggregate {
        input: Box::new(right.clone()),
        group_keys: Vec::new(),
        aggregates: vec![
            count_rows().alias(ALL_ROWS),
            other.count().alias(KNOWN_ROWS),
        ],
    };
    let anti = LogicalPlan::Join {
        left: Box::new(left),
        right: Box::new(right),
        kind: JoinKind::Anti,
        on,
        null_equals_null: false,
        residual: None,
        suffix: JOIN_SUFFIX.to_string(),
    };
    let nothing = col(ALL_ROWS).eq(lit(Literal::Int64(0)));
    let known = own.is_not_null().and(col(ALL_ROWS).eq(col(KNOWN_ROWS)));
    let filtered = LogicalPlan::Filter {
        input: Box::new(crossed(anti, counts, JoinKind::Inner)),
        predicate: nothing.or(known),
    };
    Ok(LogicalPlan::Project {
        input: Box::new(filtered),
        exprs: columns.into_iter().map(col).collect(),
    })
}
