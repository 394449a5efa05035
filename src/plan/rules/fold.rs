//! What is constant is computed now: logic with constants, comparisons and sums of literals.
//!
//! Equal: the values and the types of all expressions. A literal takes the type of what it meets, so
//! that a folded one might turn an operator to another type; where it would, it is not folded. Dates
//! and intervals are folded where expressions are resolved.

use std::cmp::Ordering;

use crate::expr::{BinaryOp, Expr, TypedExpr, resolve};
use crate::plan::schema::Schemas;
use crate::plan::{LogicalPlan, SortExpr};
use crate::types::{Literal, Schema};

pub(super) fn fold(plan: LogicalPlan, schemas: &Schemas) -> LogicalPlan {
    let mut plan = plan.map_inputs_with(schemas, &mut fold);
    let schema = schemas.input();
    match &mut plan {
        LogicalPlan::Filter { predicate, .. } => fold_in_place(predicate, schema),
        LogicalPlan::Project { exprs, .. } => fold_columns(exprs, schema),
        LogicalPlan::Aggregate {
            group_keys,
            aggregates,
            ..
        } => {
            fold_columns(group_keys, schema);
            fold_columns(aggregates, schema);
        }
        LogicalPlan::Sort { keys, .. } => fold_keys(keys, schema),
        LogicalPlan::Window { functions, .. } => {
            for window in functions {
                for key in &mut window.partition_by {
                    fold_in_place(key, schema);
                }
                fold_keys(&mut window.order_by, schema);
            }
        }
        _ => {}
    }
    match plan {
        LogicalPlan::Filter {
            input,
            predicate: Expr::Literal(Literal::Boolean(true)),
        } => *input,
        other => other,
    }
}

fn fold_in_place(expr: &mut Expr, schema: &Schema) {
    if let Some(folded) = folded(expr, schema) {
        *expr = folded;
    }
}

fn fold_keys(keys: &mut [SortExpr], schema: &Schema) {
    for key in keys {
        fold_in_place(&mut key.expr, schema);
    }
}

/// Folds expressions that keep their names.
fn fold_columns(exprs: &mut [Expr], schema: &Schema) {
    for expr in exprs {
        if let Some(folded) = folded(expr, schema) {
            *expr = folded.named(&expr.output_name());
        }
    }
}

/// The expression with its constant parts computed; none if it has none.
fn folded(expr: &Expr, schema: &Schema) -> Option<Expr> {
    if !matches!(expr, Expr::Aggregate { .. }) && expr.has_aggregate() {
        // What is around aggregates has no type here.
        return expr.map_changed(&mut |child| match child.has_aggregate() {
            true => folded(child, schema),
            false => None,
        });
    }
    let below = expr.map_changed(&mut |child| folded(child, schema));
    if let Expr::Aggregate { .. } = expr {
        return below;
    }
    let simpler = simplified(below.as_ref().unwrap_or(expr));
    let mut candidates = [simpler, below].into_iter().flatten();
    candidates.find(|candidate| is_same(expr, candidate, schema))
}

/// Whether both have one type, and, if both are the same operator, operands of the same types.
fn is_same(before: &Expr, after: &Expr, schema: &Schema) -> bool {
    let (Ok(before), Ok(after)) = (resolve(before, schema), resolve(after, schema)) else {
        return before == after;
    };
    let operands = |expr: &TypedExpr| -> Vec<_> {
        let children = expr.children().into_iter();
        children.map(|child| child.data_type.clone()).collect()
    };
    let one_operator = std::mem::discriminant(&before.kind) == std::mem::discriminant(&after.kind);
    before.data_type == after.data_type && (!one_operator || operands(&before) == operands(&after))
}

/// What an expression of operands that are simple themselves comes to, if that is less.
fn simplified(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Not(operand) => match operand.as_ref() {
            Expr::Literal(Literal::Boolean(value)) => Some(Expr::Literal(Literal::Boolean(!value))),
            Expr::Not(inner) => Some(inner.as_ref().clone()),
            _ => None,
        },
        Expr::Binary { op, left, right } => binary(*op, left, right),
        _ => None,
    }
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Option<Expr> {
    match (op, left, right) {
        (BinaryOp::And | BinaryOp::Or, Expr::Literal(Literal::Boolean(value)), other)
        | (BinaryOp::And | BinaryOp::Or, other, Expr::Literal(Literal::Boolean(value))) => {
            // `true and x` is x, `true or x` is true.
            let decides = (op == BinaryOp::Or) == *value;
            Some(match decides {
                true => Expr::Literal(Literal::Boolean(*value)),
                false => other.clone(),
            })
        }
        (_, Expr::Literal(a), Expr::Literal(b)) => constant(op, a, b).map(Expr::Literal),
        _ => None,
    }
}

/// An operator of two literals of one type.
fn constant(op: BinaryOp, left: &Literal, right: &Literal) -> Option<Literal> {
    if op.is_comparison() {
        let order = match (left, right) {
            (Literal::Int64(a), Literal::Int64(b)) => a.cmp(b),
            (Literal::Utf8(a), Literal::Utf8(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Literal::Date32(a), Literal::Date32(b)) => a.cmp(b),
            (Literal::Boolean(a), Literal::Boolean(b)) => a.cmp(b),
            _ => return None,
        };
        return Some(Literal::Boolean(match op {
            BinaryOp::Equal => order == Ordering::Equal,
            BinaryOp::NotEqual => order != Ordering::Equal,
            BinaryOp::Less => order == Ordering::Less,
            BinaryOp::LessOrEqual => order != Ordering::Greater,
            BinaryOp::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }));
    }
    let (Literal::Int64(a), Literal::Int64(b)) = (left, right) else {
        return None;
    };
    // What does not fit is left to the semantics.
    let value = match op {
        BinaryOp::Add => a.checked_add(*b),
        BinaryOp::Subtract => a.checked_sub(*b),
        BinaryOp::Multiply => a.checked_mul(*b),
        _ => None,
    };
    value.map(Literal::Int64)
}
