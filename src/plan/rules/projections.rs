//! Neighbouring steps of one kind become one: projections, filters, unions; a projection to what is
//! there already goes.
//!
//! Equal: columns and rows. Nothing is computed more often than before. Filters are joined unless the
//! upper one may fail, which the lower one may protect.

use std::collections::BTreeMap;

use super::predicate::{conjuncts, filtered, sure_and_risky};
use crate::expr::{Expr, resolve};
use crate::plan::LogicalPlan;
use crate::types::Semantics;

pub(super) fn merge(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    let plan = plan.map_inputs(&mut |input| merge(input, semantics));
    match plan {
        LogicalPlan::Project { input, exprs } => merge_project(*input, exprs),
        LogicalPlan::Filter { input, predicate } => merge_filter(*input, predicate, semantics),
        LogicalPlan::Union { inputs } => merge_unions(inputs),
        other => other,
    }
}

fn merge_project(input: LogicalPlan, exprs: Vec<Expr>) -> LogicalPlan {
    if is_all_columns(&input, &exprs) {
        return input;
    }
    let LogicalPlan::Project {
        input: below,
        exprs: inner,
    } = &input
    else {
        return LogicalPlan::Project {
            input: Box::new(input),
            exprs,
        };
    };
    match composed(&exprs, inner, below) {
        Some(exprs) => merge_project(below.as_ref().clone(), exprs),
        None => LogicalPlan::Project {
            input: Box::new(input),
            exprs,
        },
    }
}

/// True if the expressions are the columns of the input, all of them, in its order.
fn is_all_columns(input: &LogicalPlan, exprs: &[Expr]) -> bool {
    // Most projections compute something: the schema is not asked for then.
    let columns = exprs.iter().map(|expr| match expr {
        Expr::Column(name) => Some(name),
        _ => None,
    });
    let Some(columns) = columns.collect::<Option<Vec<&String>>>() else {
        return false;
    };
    let schema = input.schema();
    schema.is_ok_and(|schema| schema.fields().iter().map(|field| field.name()).eq(columns))
}

/// The outer expressions over the input of the inner ones: if nothing is computed twice for it, and
/// they mean the same there.
fn composed(outer: &[Expr], inner: &[Expr], below: &LogicalPlan) -> Option<Vec<Expr>> {
    let of = |expr: &Expr| match expr {
        Expr::Alias { expr, .. } => expr.as_ref().clone(),
        other => other.clone(),
    };
    let inner: BTreeMap<String, Expr> = inner
        .iter()
        .map(|expr| (expr.output_name(), of(expr)))
        .collect();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    outer.iter().for_each(|expr| count_uses(expr, &mut uses));
    let cheap = |(name, count): (&&str, &usize)| {
        *count <= 1 || matches!(inner.get(*name), Some(Expr::Column(_)))
    };
    // A literal takes the type of what it meets; as a column it had one of its own.
    let literals = inner.values().any(|expr| matches!(expr, Expr::Literal(_)));
    if literals || !uses.iter().all(cheap) {
        return None;
    }
    let schema = below.schema().ok()?;
    let outer = outer.iter().map(|expr| {
        let name = expr.output_name();
        let composed = expr.with_columns_as(&|name| inner.get(name).cloned());
        resolve(&composed, &schema).ok()?;
        Some(composed.named(&name))
    });
    outer.collect()
}

fn count_uses<'e>(expr: &'e Expr, uses: &mut BTreeMap<&'e str, usize>) {
    if let Expr::Column(name) = expr {
        *uses.entry(name).or_default() += 1;
    }
    expr.children()
        .into_iter()
        .for_each(|child| count_uses(child, uses));
}

fn merge_filter(input: LogicalPlan, predicate: Expr, semantics: Semantics) -> LogicalPlan {
    let (below, lower) = match input {
        LogicalPlan::Filter { input, predicate } => (*input, predicate),
        input => return filtered(input, conjuncts(predicate)),
    };
    let Ok(schema) = below.schema() else {
        return filtered(filtered(below, conjuncts(lower)), conjuncts(predicate));
    };
    let (sure, risky) = sure_and_risky(conjuncts(predicate), &schema, semantics);
    let mut both = conjuncts(lower);
    both.extend(sure);
    filtered(filtered(below, both), risky)
}

/// A union's inputs in the place of the union, where it is an input of one. The first input's names
/// are the union's, whichever union that is.
fn merge_unions(inputs: Vec<LogicalPlan>) -> LogicalPlan {
    let flat = inputs.into_iter().flat_map(|input| match input {
        LogicalPlan::Union { inputs } => inputs,
        other => vec![other],
    });
    let mut flat: Vec<LogicalPlan> = flat.collect();
    match flat.pop() {
        Some(only) if flat.is_empty() => only,
        last => {
            flat.extend(last);
            LogicalPlan::Union { inputs: flat }
        }
    }
}
