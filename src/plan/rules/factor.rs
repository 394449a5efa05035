//! What all branches of an OR ask is asked once: `(a and b) or (a and c)` is `a and (b or c)`.
//!
//! Equal: the predicate's value, in three-valued logic too. The conjuncts that come to stand outside
//! can go down to scans, or become keys of a join.

use super::predicate::{conjunction, conjuncts, disjuncts, is_disjunction, joined};
use crate::expr::{BinaryOp, Expr};
use crate::plan::LogicalPlan;
use crate::types::{Literal, Semantics};

pub(super) fn factor(plan: LogicalPlan, _: Semantics) -> LogicalPlan {
    factor_steps(plan)
}

fn factor_steps(plan: LogicalPlan) -> LogicalPlan {
    let mut plan = plan.map_inputs(&mut factor_steps);
    if let LogicalPlan::Filter { predicate, .. }
    | LogicalPlan::Join {
        residual: Some(predicate),
        ..
    } = &mut plan
    {
        let always = Expr::Literal(Literal::Boolean(true));
        let all = conjuncts(std::mem::replace(predicate, always));
        let parts = all.into_iter().flat_map(common_conjuncts).collect();
        if let Some(factored) = conjunction(parts) {
            *predicate = factored;
        }
    }
    plan
}

/// What all branches have in common, and the rest of the branches.
fn common_conjuncts(predicate: Expr) -> Vec<Expr> {
    if !is_disjunction(&predicate) {
        return vec![predicate];
    }
    let branches: Vec<Vec<Expr>> = disjuncts(predicate.clone())
        .into_iter()
        .map(conjuncts)
        .collect();
    let Some((first, others)) = branches.split_first() else {
        return vec![predicate];
    };
    let is_common = |part: &&Expr| others.iter().all(|branch| branch.contains(part));
    let mut common: Vec<Expr> = first.iter().filter(is_common).cloned().collect();
    if others.is_empty() || common.is_empty() {
        return vec![predicate];
    }
    let rests = branches.iter().map(|branch| {
        let rest = branch.iter().filter(|part| !common.contains(part));
        conjunction(rest.cloned().collect())
    });
    // A branch that asks nothing else makes the others superfluous.
    if let Some(rests) = rests.collect::<Option<Vec<Expr>>>() {
        common.extend(joined(BinaryOp::Or, rests));
    }
    common
}
