//! Semi and anti joins go down into the inner join whose rows they pick from, to the side that they
//! ask about; and their right sides need not be distinct.
//!
//! Equal: the rows. A join is moved only where fewer rows are estimated to be asked below than above,
//! and where none of its keys may fail.

use super::predicate::{column_of, columns_of, may_fail};
use crate::expr::{Expr, JoinKind, Keep};
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

/// The semi join on a side of the inner join on its left, if it is one that can go there.
fn moved(plan: &LogicalPlan, semantics: Semantics) -> Option<LogicalPlan> {
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
    // What the join reads of its left input, which is what has to be there below.
    let (own, other) = (left.schema().ok()?, right.schema().ok()?);
    let pair = join_pair(&own, &other, suffix).ok()?;
    let mut read: Vec<&Expr> = on.iter().map(|(l, _)| l).collect();
    if read.iter().any(|key| may_fail(key, &own, semantics)) {
        return None;
    }
    if residual
        .iter()
        .any(|residual| may_fail(residual, &pair, semantics))
    {
        return None;
    }
    read.extend(residual);
    let mut names = read.into_iter().flat_map(columns_of).collect::<Vec<_>>();
    names.retain(|name| own.index_of(name).is_ok());
    let over = |input: &LogicalPlan| plan.clone().with_left(input.clone());
    match left.as_ref() {
        LogicalPlan::Filter { input, predicate } => {
            let (input, predicate) = (Box::new(moved(&over(input), semantics)?), predicate.clone());
            Some(LogicalPlan::Filter { input, predicate })
        }
        LogicalPlan::Project { input, exprs } if residual.is_none() => {
            let of = |name: &str| {
                let expr = exprs.iter().find(|expr| expr.output_name() == name)?;
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
        LogicalPlan::Join {
            left: first,
            right: second,
            kind: JoinKind::Inner,
            suffix: inner,
            ..
        } => {
            let (a, b) = (first.schema().ok()?, second.schema().ok()?);
            let all = join_names(&a, &b, inner);
            let of_first = names.iter().all(|name| a.index_of(name).is_ok());
            // Right columns under names of their own, which mean the same below.
            let own_name = |name: &String| {
                let place = all
                    .iter()
                    .skip(a.fields().len())
                    .position(|have| have == name);
                place.is_some_and(|place| b.field(place).name() == name)
            };
            let target = match of_first {
                true => first,
                false if names.iter().all(own_name) => second,
                false => return None,
            };
            // A residual's names of right columns must not change with what is on the left.
            let below = if of_first { &a } else { &b };
            let kept = |schema: &SchemaRef| {
                join_names(schema, &other, suffix).split_off(schema.fields().len())
            };
            let renamed = residual.is_some() && kept(below) != kept(&own);
            if renamed || rows_of(target) > rows_of(left) {
                return None;
            }
            let below = over(target);
            let below = moved(&below, semantics).unwrap_or(below);
            let mut sides = left.as_ref().clone();
            if let LogicalPlan::Join { left, right, .. } = &mut sides {
                *(if of_first { left } else { right }) = Box::new(below);
            }
            Some(sides)
        }
        _ => None,
    }
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
