//! `a IS DISTINCT FROM b AND c`, in which the parser takes `b AND c` for an operand.

use std::mem::replace;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Gives AND and OR their place over the operands of an expression whose parts have theirs. Where parentheses
/// were written there is a node for them, so that what is moved was not meant.
pub(super) fn restore(expr: &mut Expr) {
    match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            let Some((looser, operand)) = split(right, is_logic) else {
                return;
            };
            **right = operand;
            put_first(expr, looser);
        }
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: operand,
        } => {
            let Some((looser, first)) = split(operand, is_logic) else {
                return;
            };
            **operand = first;
            put_first(expr, looser);
        }
        Expr::BinaryOp {
            op: BinaryOperator::And,
            right,
            ..
        } => {
            let Some((looser, first)) = split(right, |op| *op == BinaryOperator::Or) else {
                return;
            };
            **right = first;
            put_first(expr, looser);
        }
        _ => {}
    }
}

fn is_logic(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or)
}

/// Takes the leftmost operand out of a chain of operators, if the expression is one.
fn split(expr: &mut Expr, is_looser: fn(&BinaryOperator) -> bool) -> Option<(Expr, Expr)> {
    let first = leftmost(expr, is_looser)?;
    let first = replace(first, Expr::value(Value::Null));
    Some((replace(expr, Expr::value(Value::Null)), first))
}

fn leftmost(expr: &mut Expr, is_looser: fn(&BinaryOperator) -> bool) -> Option<&mut Expr> {
    match expr {
        Expr::BinaryOp { left, op, .. } if is_looser(op) => {
            let deeper = matches!(&**left, Expr::BinaryOp { op, .. } if is_looser(op));
            match deeper {
                true => leftmost(left, is_looser),
                false => Some(left),
            }
        }
        _ => None,
    }
}

/// Makes an expression the leftmost operand of a chain that has lost it.
fn put_first(expr: &mut Expr, mut chain: Expr) {
    let own = replace(expr, Expr::value(Value::Null));
    if let Some(first) = leftmost(&mut chain, is_logic) {
        *first = own;
    }
    *expr = chain;
}
