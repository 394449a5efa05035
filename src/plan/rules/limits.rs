//! Limits go down, so that fewer rows are made: through projections, into unions and into the left
//! side of joins that keep it.
//!
//! Equal: the number of rows, and in the order of a sort which ones. Where no order is asked for, a
//! limit may take any rows, so that the rows of one input of a union, or those of few left rows, do.

use crate::expr::JoinKind;
use crate::plan::LogicalPlan;
use crate::types::Semantics;

pub(super) fn push_down(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    let plan = match plan {
        LogicalPlan::Limit { input, skip, rows } => pushed(*input, skip, rows),
        other => other,
    };
    plan.map_inputs(&mut |input| push_down(input, semantics))
}

fn limited(input: LogicalPlan, skip: u64, rows: Option<u64>) -> LogicalPlan {
    LogicalPlan::Limit {
        input: Box::new(input),
        skip,
        rows,
    }
}

/// A step with a limit above it, and that limit below it where it can be.
fn pushed(input: LogicalPlan, skip: u64, rows: Option<u64>) -> LogicalPlan {
    // Rows that the limit looks at, those that it leaves out included.
    let seen = rows.map(|rows| rows.saturating_add(skip));
    match input {
        LogicalPlan::Project { input, exprs } if gains(&input) => LogicalPlan::Project {
            input: Box::new(pushed(*input, skip, rows)),
            exprs,
        },
        LogicalPlan::Limit {
            input,
            skip: first,
            rows: most,
        } => {
            let left = most.map(|most| most.saturating_sub(skip));
            let rows = match (rows, left) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            pushed(*input, first.saturating_add(skip), rows)
        }
        LogicalPlan::Union { inputs } if seen.is_some() => {
            let inputs = inputs.into_iter().map(|input| limited(input, 0, seen));
            let inputs = inputs.collect();
            limited(LogicalPlan::Union { inputs }, skip, rows)
        }
        LogicalPlan::Join {
            left,
            right,
            kind: kind @ (JoinKind::Left | JoinKind::Mark),
            on,
            null_equals_null,
            residual,
            suffix,
        } if seen.is_some() => {
            let join = LogicalPlan::Join {
                left: Box::new(limited(*left, 0, seen)),
                right,
                kind,
                on,
                null_equals_null,
                residual,
                suffix,
            };
            limited(join, skip, rows)
        }
        other => limited(other, skip, rows),
    }
}

/// Whether a limit does something for the step, or for what it projects. Elsewhere a limit is as well
/// above a projection, which then shares its pipeline.
fn gains(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Project { input, .. } => gains(input),
        LogicalPlan::Sort { .. } | LogicalPlan::Limit { .. } | LogicalPlan::Union { .. } => true,
        LogicalPlan::Join { kind, .. } => matches!(kind, JoinKind::Left | JoinKind::Mark),
        _ => false,
    }
}
