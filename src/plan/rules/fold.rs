//! What is constant is computed now: logic with constants, comparisons and sums of literals.
//!
//! Equal: the values and the types of all expressions. A literal takes the type of what it meets, so
//! that a folded one might turn an operator to another type; where it would, it is not folded. Dates
//! and intervals are folded where expressions are resolved.

use std::cmp::Ordering;

use crate::expr::{BinaryOp, Expr, TypedExpr, resolve};
use crate::plan::{LogicalPlan, SortExpr, WindowExpr};
use crate::types::{Literal, Schema, Semantics};

pub(super) fn fold(plan: LogicalPlan, semantics: Semantics) -> LogicalPlan {
    let plan = plan.map_inputs(&mut |input| fold(input, semantics));
    let inputs = plan.inputs();
    let Some(Ok(schema)) = inputs.first().map(|input| input.schema()) else {
        return plan;
    };
    let named = |expr: Expr| {
        let name = expr.output_name();
        folded(&expr, &schema).named(&name)
    };
    match plan {
        LogicalPlan::Filter { input, predicate } => match folded(&predicate, &schema) {
            Expr::Literal(Literal::Boolean(true)) => *input,
            predicate => LogicalPlan::Filter { input, predicate },
        },
        LogicalPlan::Project { input, exprs } => LogicalPlan::Project {
            input,
            exprs: exprs.into_iter().map(named).collect(),
        },
        LogicalPlan::Aggregate {
            input,
            group_keys,
            aggregates,
        } => LogicalPlan::Aggregate {
            input,
            group_keys: group_keys.into_iter().map(named).collect(),
            aggregates: aggregates.into_iter().map(named).collect(),
        },
        LogicalPlan::Sort { input, keys } => LogicalPlan::Sort {
            input,
            keys: keys
                .into_iter()
                .map(|key| folded_key(key, &schema))
                .collect(),
        },
        LogicalPlan::Window { input, functions } => {
            let window = |window: WindowExpr| WindowExpr {
                partition_by: window
                    .partition_by
                    .iter()
                    .map(|e| folded(e, &schema))
                    .collect(),
                order_by: window
                    .order_by
                    .into_iter()
                    .map(|key| folded_key(key, &schema))
                    .collect(),
                ..window
            };
            LogicalPlan::Window {
                input,
                functions: functions.into_iter().map(window).collect(),
            }
        }
        other => other,
    }
}

fn folded_key(key: SortExpr, schema: &Schema) -> SortExpr {
    SortExpr {
        expr: folded(&key.expr, schema),
        ..key
    }
}

/// The expression with its constant parts computed.
fn folded(expr: &Expr, schema: &Schema) -> Expr {
    if let Expr::Aggregate { .. } = expr {
        return expr.map_children(&mut |operand| folded(operand, schema));
    }
    if expr.has_aggregate() {
        // What is around aggregates has no type here.
        return expr.map_children(&mut |child| match child.has_aggregate() {
            true => folded(child, schema),
            false => child.clone(),
        });
    }
    let below = expr.map_children(&mut |child| folded(child, schema));
    let simpler = simplified(below.clone());
    let mut candidates = [simpler, below].into_iter();
    let same = candidates.find(|candidate| is_same(expr, candidate, schema));
    same.unwrap_or_else(|| expr.clone())
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

/// The expression, of operands that are simple themselves.
fn simplified(expr: Expr) -> Expr {
    match expr {
        Expr::Not(operand) => match *operand {
            Expr::Literal(Literal::Boolean(value)) => Expr::Literal(Literal::Boolean(!value)),
            Expr::Not(inner) => *inner,
            other => Expr::Not(Box::new(other)),
        },
        Expr::Binary { op, left, right } => binary(op, *left, *right),
        other => other,
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let folded = match (op, &left, &right) {
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
    };
    folded.unwrap_or_else(|| Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    })
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
