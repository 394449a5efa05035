//! Semi and anti joins go down into the inner join whose rows they pick from, to the side that they
//! ask about; and their right sides need not be distinct.
//!
//! Equal: the rows. A join is moved only where fewer rows are estimated to be asked below than above,
//! and where none of its keys may fail.

use std::collections::BTreeSet;

use super::predicate::{column_of, columns_of, may_fail};
use crate::expr::{Expr, JoinKind, Keep};
use crate::plan::schema::has_column;
use crate::plan::{LogicalPlan, join_names, join_pair, rows_of};
use crate::types::{SchemaRef, Semantics};

pub(super) fn push_down(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    let plan = match plan {
        LogicalPlan::Join { kind, .. } if !kind.gives_build_rows() => {
            match moved(&plan, semantics) {
                Some(moved) => moved,
                None => without_distinct(plan),
            }
        }
        other => other,
    };
    plan.map_inputs(&mut |input| push_down(input, semantics))
}

/// The semi join below the step on its left, on a side of an inner join, if it can go there.
fn moved(plan: &LogicalPlan, semantics: Semantics) -> Option<LogicalPlan> {
    let names = left_names(plan, semantics)?;
    let LogicalPlan::Join { left, residual, .. } = plan else {
        return None;
    };
    let over = |input: &LogicalPlan| plan.clone().with_left(input.clone());
    match left.as_ref() {
        LogicalPlan::Filter { input, predicate } => {
            let (input, predicate) = (Box::new(moved(&over(input), semantics)?), predicate.clone());
            Some(LogicalPlan::Filter { input, predicate })
        }
        LogicalPlan::Project { input, exprs } if residual.is_none() => {
            let of = |name: &str| {
                let expr = exprs.iter().find(|expr| expr.has_name(name))?;
                column_of(expr).map(|own| Expr::Column(own.to_string()))
            };
            if !names.iter().all(|name| of(name).is_some()) {
                return None;
            }
            let mut below = over(input);
            if let LogicalPlan::Join { on, .. } = &mut below {
                on.iter_mut()
                    .for_each(|(key, _)| *key = key.with_columns_as(&of));
            }
            let (input, exprs) = (Box::new(moved(&below, semantics)?), exprs.clone());
            Some(LogicalPlan::Project { input, exprs })
        }
        LogicalPlan::Join { .. } => into_side(plan, &names, semantics),
        _ => None,
    }
}

/// The columns of its left input that a semi or anti join reads, if none of what it asks may fail.
fn left_names(plan: &LogicalPlan, semantics: Semantics) -> Option<BTreeSet<String>> {
    let LogicalPlan::Join {
        left,
        right,
        kind: JoinKind::Semi | JoinKind::Anti,
        on,
        residual,
        suffix,
        ..
    } = plan
    else {
        return None;
    };
    let (own, other) = (left.schema().ok()?, right.schema().ok()?);
    let mut names = BTreeSet::new();
    for (key, _) in on {
        if may_fail(key, &own, semantics) {
            return None;
        }
        key.collect_columns(&mut names);
    }
    if let Some(residual) = residual {
        let pair = join_pair(&own, &other, suffix).ok()?;
        if may_fail(residual, &pair, semantics) {
            return None;
        }
        residual.collect_columns(&mut names);
    }
    names.retain(|name| has_column(&own, name));
    Some(names)
}

/// The semi join, which reads these columns on the left, on a side of the inner join there.
fn into_side(
    plan: &LogicalPlan,
    names: &BTreeSet<String>,
    semantics: Semantics,
) -> Option<LogicalPlan> {
    let LogicalPlan::Join {
        left,
        right,
        residual,
        suffix,
        ..
    } = plan
    else {
        return None;
    };
    let LogicalPlan::Join {
        left: first,
        right: second,
        kind: JoinKind::Inner,
        suffix: inner,
        ..
    } = left.as_ref()
    else {
        return None;
    };
    let (a, b) = (first.schema().ok()?, second.schema().ok()?);
    let all = join_names(&a, &b, inner).split_off(a.fields().len());
    let of_first = names.iter().all(|name| has_column(&a, name));
    // Right columns under names of their own, which mean the same below.
    let own_name = |name: &String| {
        let place = all.iter().position(|have| have == name);
        place.is_some_and(|place| b.field(place).name() == name)
    };
    if !of_first && !names.iter().all(own_name) {
        return None;
    }
    let (target, schema) = if of_first { (first, &a) } else { (second, &b) };
    // A residual's names of right columns must not change with what is on the left.
    let (own, other) = (left.schema().ok()?, right.schema().ok()?);
    let of_right =
        |schema: &SchemaRef| join_names(schema, &other, suffix).split_off(schema.fields().len());
    let renamed = residual.is_some() && of_right(schema) != of_right(&own);
    if renamed || rows_of(target) > rows_of(left) {
        return None;
    }
    let below = plan.clone().with_left(target.as_ref().clone());
    let below = moved(&below, semantics).unwrap_or(below);
    let mut joined = left.as_ref().clone();
    if let LogicalPlan::Join { left, right, .. } = &mut joined {
        **(if of_first { left } else { right }) = below;
    }
    Some(joined)
}

impl LogicalPlan {
    /// A join with another left input.
    fn with_left(mut self, input: LogicalPlan) -> LogicalPlan {
        if let LogicalPlan::Join { left, .. } = &mut self {
            **left = input;
        }
        self
    }
}

/// A join that only asks whether there is a match, on a right side with its duplicates.
fn without_distinct(mut plan: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::Join {
        right,
        on,
        residual: None,
        ..
    } = &mut plan
    else {
        return plan;
    };
    while let LogicalPlan::Distinct {
        input,
        on: compared,
        keep,
    } = right.as_ref()
    {
        let is_compared = |name: &String| compared.is_empty() || compared.contains(name);
        let keys = on.iter().flat_map(|(_, key)| columns_of(key));
        // Which row of a group is kept does not matter, as far as all have its keys.
        let harmless = keys.into_iter().all(|name| is_compared(&name));
        if !harmless || *keep != Keep::Any && !compared.is_empty() {
            break;
        }
        *right = input.clone();
    }
    plan
}
