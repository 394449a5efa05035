//! Rules that make a plan cheaper and keep what it gives.
//!
//! A [`Rule`] is a pure function from a plan to a plan with the same rows, and the same names and
//! types of columns; only what is estimated, and whether a column may be null, may differ. [`optimise`]
//! applies all of them in a fixed order. Each rule has a file, which says what stays equal.
//!
//! Errors are part of what a plan gives: no rule makes one appear. A predicate that may fail
//! ([`TypedExpr::may_fail`](crate::expr::TypedExpr::may_fail)) never moves, because the rows below may
//! be ones that something protects it from; keys that may fail are never evaluated for more rows than
//! before. An error may disappear, where the rows that would have made it are not looked at any more.

mod factor;
mod fold;
mod join_graph;
mod join_order;
mod limits;
mod predicate;
mod projections;
mod push_down;
mod semi_joins;
mod sorts;

use super::schema::Schemas;
use super::{LogicalPlan, Query};
use crate::types::Semantics;

/// A rewrite of a plan that gives the same, under semantics that it may ask.
pub(super) type Rule = fn(LogicalPlan, Semantics) -> LogicalPlan;

/// Steps of a plan that rules are applied to; they walk it by recursion.
const STEPS_MAX: usize = 256;

/// The rules in the order in which they are applied, behind [`fold`]. Predicates go down before joins
/// are ordered, so that the order knows the sizes of what is joined, and once more behind that.
const RULES: [Rule; 9] = [
    factor::factor,
    projections::merge,
    push_down::push_down,
    semi_joins::push_down,
    join_order::order,
    push_down::push_down,
    projections::merge,
    sorts::remove_unused,
    limits::push_down,
];

/// The query with a plan that gives the same rows for less. A query that is wrong stays as it is, so
/// that its error speaks of what was written.
///
/// ```
/// use pelton::plan::optimise;
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let frame = scan_parquet(&orders)?
///     .join_where(scan_parquet(&orders)?, col("amount").eq(col("amount_right")))
///     .filter(col("customer_id").eq(lit(1)));
/// let plan = optimise(frame.query()).plan.to_string();
/// assert!(plan.contains("inner join on amount = "));
/// assert!(plan.contains("filter (customer_id = 1)\n") && !plan.starts_with("filter"));
/// # Ok(())
/// # }
/// ```
pub fn optimise(query: &Query) -> Query {
    let mut query = query.clone();
    if query.plan.steps() > STEPS_MAX {
        return query;
    }
    if let Ok(schemas) = Schemas::of(&query.plan) {
        query.plan = fold::fold(query.plan, &schemas);
        for rule in RULES {
            query.plan = rule(query.plan, query.semantics);
        }
    }
    query
}
