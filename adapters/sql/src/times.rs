//! Times as text and as seconds, where the planner's and the engine's functions differ.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};
use pelton::types::DataType;

use crate::planner::{EPOCH, TIME_TEXT, named};

/// A plan in which the text of a timestamp and its seconds are functions of their own.
pub(crate) fn spelled(plan: LogicalPlan) -> Result<LogicalPlan> {
    let spelled = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let is_timestamp = |expr: &Expr| {
            let data_type = expr.get_type(&schema);
            data_type.is_ok_and(|data_type| matches!(data_type, DataType::Timestamp(..)))
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| {
                let function = match &expr {
                    Expr::Cast(cast) if is_text(cast.field.data_type()) => TIME_TEXT,
                    Expr::ScalarFunction(call) if is_epoch(&expr) => {
                        let operand = call.args.get(1).cloned();
                        return Ok(match operand.filter(is_timestamp) {
                            Some(operand) => Transformed::yes(named(EPOCH).call(vec![operand])),
                            None => Transformed::no(expr),
                        });
                    }
                    _ => return Ok(Transformed::no(expr)),
                };
                Ok(match expr {
                    Expr::Cast(cast) if is_timestamp(&cast.expr) => {
                        Transformed::yes(named(function).call(vec![*cast.expr]))
                    }
                    other => Transformed::no(other),
                })
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    });
    Ok(spelled?.data)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_epoch(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == "date_part" => match call.args.first() {
            Some(Expr::Literal(ScalarValue::Utf8(Some(part)), _)) => {
                part.eq_ignore_ascii_case("epoch")
            }
            _ => false,
        },
        _ => false,
    }
}
