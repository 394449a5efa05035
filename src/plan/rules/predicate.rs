//! Predicates taken apart and put together, and questions about them.

use std::collections::BTreeSet;

use crate::expr::{BinaryOp, Expr, Function, StringFunction, resolve};
use crate::plan::LogicalPlan;
use crate::types::{DataType, Literal, Schema, Semantics};

/// The operands of nested operators of one kind, left to right.
fn operands_of(expr: Expr, of: BinaryOp, into: &mut Vec<Expr>) {
    match expr {
        Expr::Binary { op, left, right } if op == of => {
            operands_of(*left, of, into);
            operands_of(*right, of, into);
        }
        Expr::Alias { expr, .. } => operands_of(*expr, of, into),
        other => into.push(other),
    }
}

/// What must all be true for the predicate to be true.
pub(super) fn conjuncts(predicate: Expr) -> Vec<Expr> {
    let mut conjuncts = Vec::new();
    operands_of(predicate, BinaryOp::And, &mut conjuncts);
    conjuncts
}

/// What must be true in part for the predicate to be true.
pub(super) fn disjuncts(predicate: Expr) -> Vec<Expr> {
    let mut disjuncts = Vec::new();
    operands_of(predicate, BinaryOp::Or, &mut disjuncts);
    disjuncts
}

/// Whether there is more than one of them.
pub(super) fn is_disjunction(predicate: &Expr) -> bool {
    match predicate {
        Expr::Binary { op, .. } => *op == BinaryOp::Or,
        Expr::Alias { expr, .. } => is_disjunction(expr),
        _ => false,
    }
}

/// All of them as one predicate, nested as little as may be; none of none.
pub(super) fn joined(op: BinaryOp, mut parts: Vec<Expr>) -> Option<Expr> {
    if parts.len() <= 1 {
        return parts.pop();
    }
    let right = parts.split_off(parts.len().div_ceil(2));
    Some(Expr::Binary {
        op,
        left: Box::new(joined(op, parts)?),
        right: Box::new(joined(op, right)?),
    })
}

pub(super) fn conjunction(conjuncts: Vec<Expr>) -> Option<Expr> {
    joined(BinaryOp::And, conjuncts)
}

/// The plan's rows that satisfy all of these, each asked once.
pub(super) fn filtered(plan: LogicalPlan, conjuncts: Vec<Expr>) -> LogicalPlan {
    let mut once: Vec<Expr> = Vec::with_capacity(conjuncts.len());
    for conjunct in conjuncts {
        if !once.contains(&conjunct) && conjunct != Expr::Literal(Literal::Boolean(true)) {
            once.push(conjunct);
        }
    }
    match conjunction(once) {
        None => plan,
        Some(predicate) => LogicalPlan::Filter {
            input: Box::new(plan),
            predicate,
        },
    }
}

pub(super) fn columns_of(expr: &Expr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    expr.collect_columns(&mut names);
    names
}

/// The column that an expression is, under whatever name.
pub(super) fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(name) => Some(name),
        Expr::Alias { expr, .. } => column_of(expr),
        _ => None,
    }
}

/// True if a row may make the expression an error; also if it is wrong by itself.
pub(super) fn may_fail(expr: &Expr, schema: &Schema, semantics: Semantics) -> bool {
    resolve(expr, schema).map_or(true, |typed| typed.may_fail(semantics))
}

/// Splits conjuncts into those that cannot fail and those that may.
pub(super) fn sure_and_risky(
    conjuncts: Vec<Expr>,
    schema: &Schema,
    semantics: Semantics,
) -> (Vec<Expr>, Vec<Expr>) {
    let sure = |conjunct: &Expr| !may_fail(conjunct, schema, semantics);
    conjuncts.into_iter().partition(sure)
}

/// True if equal values may look different, or be computed with differently: the zeros of floats. A
/// key of such a type does not stand for the values that it was made of.
pub(super) fn has_unequal_equals(schema: &Schema, name: &str) -> bool {
    let field = schema.field_with_name(name);
    field.map_or(true, |field| {
        let data_type = field.data_type();
        data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Null)
    })
}

/// True if the predicate is not true where all these columns are null.
pub(super) fn rejects_nulls(predicate: &Expr, of: &dyn Fn(&str) -> bool) -> bool {
    match predicate {
        Expr::Binary { op, left, right } => match op {
            BinaryOp::And => rejects_nulls(left, of) || rejects_nulls(right, of),
            BinaryOp::Or => rejects_nulls(left, of) && rejects_nulls(right, of),
            _ => is_null_of_nulls(predicate, of),
        },
        Expr::IsNotNull(operand) => is_null_of_nulls(operand, of),
        Expr::Alias { expr, .. } => rejects_nulls(expr, of),
        other => is_null_of_nulls(other, of),
    }
}

/// True if the expression is null where all these columns are.
fn is_null_of_nulls(expr: &Expr, of: &dyn Fn(&str) -> bool) -> bool {
    match expr {
        Expr::Column(name) => of(name),
        Expr::Binary { op, left, right } if op.is_arithmetic() || op.is_comparison() => {
            is_null_of_nulls(left, of) || is_null_of_nulls(right, of)
        }
        Expr::Not(operand) | Expr::Negate(operand) => is_null_of_nulls(operand, of),
        Expr::Cast { expr, .. } | Expr::Alias { expr, .. } => is_null_of_nulls(expr, of),
        Expr::Function { function, operands } => {
            use StringFunction::{Contains, EndsWith, Like, Matches, StartsWith};
            let strict = matches!(
                function,
                Function::InList(_)
                    | Function::String(
                        Contains(_) | EndsWith(_) | Like(_) | Matches(_) | StartsWith(_)
                    )
            );
            strict && operands.first().is_some_and(|o| is_null_of_nulls(o, of))
        }
        _ => false,
    }
}
