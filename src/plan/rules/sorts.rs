//! Sorts whose order nobody sees are left out.
//!
//! Equal: the rows, and their order where it shows: at the end of the plan, under a limit, under a
//! sort (rows with equal keys keep their order), and wherever a first or last row is asked for.

use crate::expr::{AggregateFunction, Expr, Keep};
use crate::plan::LogicalPlan;
use crate::types::Semantics;

pub(super) fn remove_unused(plan: LogicalPlan, _: Semantics) -> LogicalPlan {
    without(plan, true)
}

/// `seen`: whether the order in which the rows leave the step shows.
fn without(plan: LogicalPlan, seen: bool) -> LogicalPlan {
    let below = match &plan {
        LogicalPlan::Scan { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => {
            return plan;
        }
        LogicalPlan::Filter { .. } | LogicalPlan::Project { .. } => seen,
        LogicalPlan::Limit { .. } | LogicalPlan::Window { .. } => true,
        LogicalPlan::Sort { .. } if !seen => {
            let LogicalPlan::Sort { input, .. } = plan else {
                return plan;
            };
            return without(*input, false);
        }
        LogicalPlan::Sort { .. } => true,
        LogicalPlan::Distinct { keep, .. } => *keep != Keep::Any,
        LogicalPlan::Aggregate { aggregates, .. } => aggregates.iter().any(sees_order),
        LogicalPlan::Join { .. } | LogicalPlan::Union { .. } => false,
    };
    plan.map_inputs(&mut |input| without(input, below))
}

fn sees_order(expr: &Expr) -> bool {
    let own = match expr {
        Expr::Aggregate { function, .. } => matches!(
            function,
            AggregateFunction::First
                | AggregateFunction::Last
                | AggregateFunction::AnyValue
                | AggregateFunction::Collect
        ),
        _ => false,
    };
    own || expr.children().into_iter().any(sees_order)
}
