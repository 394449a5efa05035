//! Arithmetic of integer constants that overflows: an error, as that of columns is.
//!
//! DataFusion's optimiser computes constants, and wraps around where they do not fit.

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::BinaryExpr;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{Expr, LogicalPlan, Operator};
use pelton::error::Error;

use crate::planner::{NEAREST, POSTPONED, named};

/// A plan whose types agree, checked: in a branch of CASE, which may never be taken, what overflows is left to
/// the engine.
///
/// # Errors
/// `Arithmetic`, with the operands.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let postponed = plan.transform_up_with_subqueries(|step| {
        let names = NamePreserver::new(&step);
        step.map_expressions(|expr| {
            let name = names.save(&expr);
            let postponed = expr.transform_down(|expr| match expr {
                Expr::Case(_) => expr.map_children(|part| part.transform_up(postponed)),
                other => Ok(Transformed::no(other)),
            })?;
            Ok(postponed.update_data(|expr| name.restore(expr)))
        })
    })?;
    postponed.data.apply_with_subqueries(|step| {
        step.apply_expressions(|expr| value(expr).map(|_| TreeNodeRecursion::Continue))
    })?;
    Ok(postponed.data)
}

/// An operation that overflows, as a function that the optimiser does not compute.
fn postponed(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(one) if value(&Expr::BinaryExpr(one.clone())).is_err() => {
            let op = Expr::Literal(ScalarValue::from(one.op.to_string()), None);
            let call = named(POSTPONED).call(vec![*one.left, op, *one.right]);
            Ok(Transformed::yes(call))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The value of an expression of integer constants; nothing for what is none, whose parts are checked
/// all the same.
fn value(expr: &Expr) -> Result<Option<ScalarValue>> {
    match expr {
        Expr::Literal(value, _) if value.data_type().is_integer() && !value.is_null() => {
            Ok(Some(value.clone()))
        }
        Expr::Alias(alias) => value(&alias.expr),
        Expr::Cast(cast) => Ok(value(&cast.expr)?
            .and_then(|value| value.cast_to(cast.field.data_type()).ok())
            .filter(|value| value.data_type().is_integer() && !value.is_null())),
        // What a cast to an integer does first, which leaves an integer as it is.
        Expr::ScalarFunction(call) if call.name() == NEAREST && call.args.len() == 1 => {
            value(&call.args[0])
        }
        Expr::Negative(operand) => match value(operand)? {
            Some(value) => {
                let zero = ScalarValue::new_zero(&value.data_type())?;
                computed(&zero, Operator::Minus, &value, format!("`-({value})`"))
            }
            None => Ok(None),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (value(left)?, value(right)?) {
            (Some(left), Some(right)) => {
                computed(&left, *op, &right, format!("`{left} {op} {right}`"))
            }
            _ => Ok(None),
        },
        other => {
            other.apply_children(|part| value(part).map(|_| TreeNodeRecursion::Continue))?;
            Ok(None)
        }
    }
}

fn computed(
    left: &ScalarValue,
    op: Operator,
    right: &ScalarValue,
    operation: String,
) -> Result<Option<ScalarValue>> {
    if left.data_type() != right.data_type() {
        return Ok(None);
    }
    let result = match op {
        Operator::Plus => left.add_checked(right),
        Operator::Minus => left.sub_checked(right),
        Operator::Multiply => left.mul_checked(right),
        _ => return Ok(None),
    };
    result.map(Some).map_err(|_| {
        let cause = format!("overflow of {}", left.data_type());
        DataFusionError::External(Box::new(Error::arithmetic(operation, cause)))
    })
}
