//! Decimals beside floats, of which the planner would make decimals, where they need not fit.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use pelton::types::DataType;

use crate::planner::is_decimal;

/// A plan in which decimals that are one of several values, others of which are floats, are floats.
pub(crate) fn beside(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let agreed = expr.transform_up(|expr| agreed(expr, &schema))?;
            Ok(agreed.update_data(|expr| name.restore(expr)))
        })
    });
    Ok(plan?.data)
}

fn agreed(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut values: Vec<&mut Expr> = match &mut expr {
        Expr::Case(case) => {
            let branches = case
                .when_then_expr
                .iter_mut()
                .map(|(_, value)| &mut **value);
            branches.chain(case.else_expr.as_deref_mut()).collect()
        }
        Expr::ScalarFunction(call)
            if matches!(
                call.func.name(),
                "coalesce" | "greatest" | "least" | "nullif" | "nvl"
            ) =>
        {
            call.args.iter_mut().collect()
        }
        Expr::Between(between) => {
            vec![&mut between.expr, &mut between.low, &mut between.high]
        }
        Expr::InList(list) => {
            let values = list.list.iter_mut();
            values.chain([&mut *list.expr]).collect()
        }
        _ => return Ok(Transformed::no(expr)),
    };
    let type_of = |value: &Expr| value.get_type(schema).unwrap_or(DataType::Null);
    if !values.iter().any(|value| type_of(value).is_floating()) {
        return Ok(Transformed::no(expr));
    }
    let mut changed = false;
    for value in &mut values {
        if is_decimal(&type_of(value)) {
            **value = cast(value.clone(), DataType::Float64);
            changed = true;
        }
    }
    Ok(match changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    })
}
