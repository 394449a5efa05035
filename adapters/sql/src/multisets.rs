//! `INTERSECT ALL` and `EXCEPT ALL`, which count equal rows.
//!
//! The planner has them as joins, of which a row that is there twice on the left and once on the right gives
//! two. The first of equal rows must only match the first, the second the second.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, JoinType, NullEquality, Result};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::{
    Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition,
};
use datafusion_functions_window::row_number::row_number_udwf;

/// The number of a row among the equal ones.
const NUMBER: &str = "__number_of_equal";

/// A plan whose set operations count.
pub(crate) fn counted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let counted = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if is_counting(&join) => Ok(Transformed::yes(numbered(join)?)),
        other => Ok(Transformed::no(other)),
    });
    Ok(counted?.data)
}

/// Only set operations make joins of whole rows with equal nulls; without ALL, the left rows are distinct.
fn is_counting(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(*join.left, LogicalPlan::Distinct(_))
}

fn numbered(join: Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns();
    let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
    for (left, right) in join.on {
        left_keys.push(left);
        right_keys.push(right);
    }
    let left = number(&join.left, &left_keys)?;
    let right = number(&join.right, &right_keys)?;
    let number = Expr::Column(Column::new_unqualified(NUMBER));
    left_keys.push(number.clone());
    right_keys.push(number);
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        left_keys.into_iter().zip(right_keys).collect(),
        join.filter,
        join.join_type,
        join.join_constraint,
        NullEquality::NullEqualsNull,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined))
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

fn number(plan: &Arc<LogicalPlan>, keys: &[Expr]) -> Result<LogicalPlan> {
    let function = WindowFunctionDefinition::WindowUDF(row_number_udwf());
    let number = Expr::from(WindowFunction::new(function, Vec::new()));
    let number = number.partition_by(keys.to_vec()).build()?.alias(NUMBER);
    LogicalPlanBuilder::from(Arc::clone(plan))
        .window(vec![number])?
        .build()
}
