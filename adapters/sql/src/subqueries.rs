//! Which subqueries the optimiser turns into joins, and which the translation does.
//!
//! The optimiser's joins know true and false, not unknown, and take one row per key for granted. Where that
//! is not enough a subquery is kept from it, and `translate/subquery.rs` has it as it is.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Filter, LogicalPlan, LogicalPlanBuilder,
    Operator, Signature, Subquery, Volatility,
};
use datafusion_optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};
use pelton::types::DataType;

/// Which rules of the optimiser a plan goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Those that make joins of subqueries, too.
    All,
    /// Not those: the translation has all subqueries.
    WithoutSubqueries,
}

/// The optimiser, without the rules that would get subqueries wrong.
pub(crate) fn optimizer(wanted: Rules) -> Optimizer {
    let rules = Optimizer::new().rules.into_iter();
    // DISTINCT is a step of Pelton's plan.
    let mut left_out = vec!["rewrite_set_comparison", "replace_distinct_aggregate"];
    if wanted == Rules::WithoutSubqueries {
        left_out.extend([
            "decorrelate_predicate_subquery",
            "scalar_subquery_to_join",
            "decorrelate_lateral_join",
        ]);
    }
    let rules = rules.filter(|rule| !left_out.contains(&rule.name()));
    let rules = rules.map(|rule| match rule.name() {
        "scalar_subquery_to_join" => Arc::new(SingleRows(rule)) as Arc<_>,
        "push_down_filter" => Arc::new(InPlace(rule)) as Arc<_>,
        _ => rule,
    });
    Optimizer::with_rules(rules.collect())
}

/// A plan in which subqueries that the optimiser may not touch have forms that it does not know: `x = ANY (…)`,
/// and an aggregate for the value of an only row.
pub(crate) fn kept(plan: LogicalPlan) -> Result<LogicalPlan> {
    let kept = plan.transform_up_with_subqueries(|plan| {
        let single = plan.map_expressions(|expr| expr.transform_up(single_row))?;
        Ok(Transformed::yes(guarded(single.data)?))
    });
    Ok(kept?.data)
}

/// A scalar subquery as an aggregate that there is one row.
fn single_row(expr: Expr) -> Result<Transformed<Expr>> {
    let subquery = match expr {
        Expr::ScalarSubquery(subquery) if !has_one_row(&subquery.subquery) => subquery,
        other => return Ok(Transformed::no(other)),
    };
    let columns = subquery.subquery.schema().columns();
    let Some(column) = columns.into_iter().next() else {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    };
    let only = AggregateUDF::from(OnlyValue::new()).call(vec![Expr::Column(column)]);
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![only])?.build()?;
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        ..subquery
    })))
}

/// Predicates that need more than true and false are kept.
fn guarded(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let parts = split_conjunction_owned(filter.predicate.clone());
            let parts = parts
                .into_iter()
                .map(|part| kept_predicate(part, &filter.input))
                .collect::<Result<Vec<_>>>()?;
            let predicate = conjunction(parts).unwrap_or(filter.predicate);
            Ok(LogicalPlan::Filter(Filter::try_new(
                predicate,
                filter.input,
            )?))
        }
        other => Ok(other),
    }
}

fn kept_predicate(predicate: Expr, input: &LogicalPlan) -> Result<Expr> {
    let simple = match &predicate {
        Expr::InSubquery(one) => !one.negated || one.subquery.outer_ref_columns.is_empty(),
        Expr::Not(operand) => match &**operand {
            Expr::InSubquery(one) => one.subquery.outer_ref_columns.is_empty(),
            Expr::Exists(_) => true,
            _ => false,
        },
        Expr::Exists(_) => true,
        _ => false,
    };
    let deep = |expr: &Expr| match expr {
        Expr::InSubquery(one) => is_further(&one.subquery, input),
        Expr::Exists(one) => is_further(&one.subquery, input),
        _ => Ok(false),
    };
    let mut is_deep = false;
    predicate.apply(|expr| {
        is_deep |= deep(expr)?;
        Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
    })?;
    if simple && !is_deep {
        return Ok(predicate);
    }
    let hidden = predicate.transform_up(|expr| {
        Ok(match expr {
            Expr::InSubquery(one) => Transformed::yes(as_any(one)),
            Expr::Exists(one) if is_deep => {
                let has_rows = Expr::SetComparison(SetComparison::new(
                    Box::new(datafusion_expr::lit(true)),
                    one.subquery,
                    Operator::IsNotDistinctFrom,
                    SetQuantifier::Any,
                ));
                Transformed::yes(match one.negated {
                    true => Expr::Not(Box::new(has_rows)),
                    false => has_rows,
                })
            }
            other => Transformed::no(other),
        })
    });
    Ok::<_, DataFusionError>(hidden?.data)
}

fn as_any(one: InSubquery) -> Expr {
    let any = SetComparison::new(one.expr, one.subquery, Operator::Eq, SetQuantifier::Any);
    match one.negated {
        true => Expr::Not(Box::new(Expr::SetComparison(any))),
        false => Expr::SetComparison(any),
    }
}

/// Whether a subquery reads a column of a query further outside than the rows that it is asked of.
fn is_further(subquery: &Subquery, rows: &LogicalPlan) -> Result<bool> {
    let outside = |expr: &Expr| match expr {
        Expr::OuterReferenceColumn(_, column) => !rows.schema().has_column(column),
        _ => false,
    };
    Ok(subquery.outer_ref_columns.iter().any(outside) || reaches_out(subquery)?)
}

/// Whether a query within a subquery reads a column that is not of the subquery.
fn reaches_out(subquery: &Subquery) -> Result<bool> {
    let mut found = false;
    subquery.subquery.apply_with_subqueries(|plan| {
        let inputs = plan.inputs();
        let has = |name: &datafusion_common::Column| {
            inputs.iter().any(|input| input.schema().has_column(name))
        };
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                let inner = match expr {
                    Expr::InSubquery(one) => Some(&one.subquery),
                    Expr::Exists(one) => Some(&one.subquery),
                    Expr::ScalarSubquery(one) => Some(one),
                    Expr::SetComparison(one) => Some(&one.subquery),
                    _ => None,
                };
                for outer in inner.iter().flat_map(|one| &one.outer_ref_columns) {
                    if let Expr::OuterReferenceColumn(_, column) = outer {
                        found |= !has(column);
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The optimiser's rule for scalar subqueries, only where each is an aggregate, which has one row.
#[derive(Debug)]
struct SingleRows(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for SingleRows {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let mut single = true;
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(one) = expr {
                    let further = |input: &&LogicalPlan| is_further(one, input).unwrap_or(true);
                    single &= one.outer_ref_columns.is_empty()
                        || (is_aggregate(&one.subquery) && !plan.inputs().iter().any(further));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        match single {
            true => self.0.rewrite(plan, config),
            false => Ok(Transformed::no(plan)),
        }
    }
}

/// The optimiser's rule for filters, but correlated subqueries stay over the columns that they read.
#[derive(Debug)]
struct InPlace(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for InPlace {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return self.0.rewrite(plan, config);
        };
        let has_correlated = |plan: &LogicalPlan| match plan {
            LogicalPlan::Filter(below) => is_correlated(&below.predicate),
            _ => false,
        };
        if has_correlated(&filter.input) {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let parts = split_conjunction_owned(filter.predicate.clone());
        let (stay, move_on): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_correlated);
        let Some(stay) = conjunction(stay) else {
            return self.0.rewrite(LogicalPlan::Filter(filter), config);
        };
        let Some(move_on) = conjunction(move_on) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let below = LogicalPlan::Filter(Filter::try_new(move_on, filter.input)?);
        let below = self.0.rewrite(below, config)?.data;
        let above = Filter::try_new(stay, Arc::new(below))?;
        Ok(Transformed::yes(LogicalPlan::Filter(above)))
    }
}

fn is_correlated(expr: &Expr) -> bool {
    let reads_out = |expr: &Expr| {
        Ok(match expr {
            Expr::InSubquery(one) => !one.subquery.outer_ref_columns.is_empty(),
            Expr::Exists(one) => !one.subquery.outer_ref_columns.is_empty(),
            Expr::SetComparison(one) => !one.subquery.outer_ref_columns.is_empty(),
            Expr::ScalarSubquery(one) => !one.outer_ref_columns.is_empty(),
            _ => false,
        })
    };
    expr.exists(reads_out).unwrap_or(true)
}

/// Name of the aggregate that is the value of an only row.
pub(crate) const ONLY_VALUE: &str = "only_value";

/// The value of the only row; an error if there are more.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl OnlyValue {
    fn new() -> OnlyValue {
        OnlyValue {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        ONLY_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, operands: &[DataType]) -> Result<DataType> {
        Ok(operands.first().cloned().unwrap_or(DataType::Null))
    }

    fn accumulator(&self, _operands: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let cause = format!("{ONLY_VALUE} while planning");
        Err(DataFusionError::NotImplemented(cause))
    }
}

fn is_aggregate(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(one) => {
            let only = |expr: &Expr| match expr {
                Expr::AggregateFunction(call) => call.func.name() == ONLY_VALUE,
                _ => false,
            };
            one.group_expr.is_empty() && !one.aggr_expr.iter().any(only)
        }
        LogicalPlan::Projection(one) => is_aggregate(&one.input),
        LogicalPlan::SubqueryAlias(one) => is_aggregate(&one.input),
        _ => false,
    }
}

/// Whether a plan never has more than one row.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(one) => one.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(values) => values.values.len() <= 1,
        LogicalPlan::Projection(one) => has_one_row(&one.input),
        LogicalPlan::SubqueryAlias(one) => has_one_row(&one.input),
        LogicalPlan::Filter(one) => has_one_row(&one.input),
        LogicalPlan::Sort(one) => has_one_row(&one.input),
        LogicalPlan::Subquery(one) => has_one_row(&one.subquery),
        LogicalPlan::Limit(one) => {
            let few =
                |rows: &Expr| matches!(rows, Expr::Literal(ScalarValue::Int64(Some(0 | 1)), _));
            one.fetch.as_deref().is_some_and(few) || has_one_row(&one.input)
        }
        _ => false,
    }
}
