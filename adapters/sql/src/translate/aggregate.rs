//! Groups.

use std::collections::BTreeSet;

use datafusion_expr::expr::{AggregateFunction as SqlAggregate, GroupingSet};
use datafusion_expr::{Aggregate, Expr as SqlExpr};
use pelton::error::Result;
use pelton::expr::{AggregateFunction, Ddof, Expr, Interpolation, Probability, col, lit};
use pelton::plan::LogicalPlan;
use pelton::types::Literal;

use super::Translation;
use super::literal::stored_type;
use super::names;
use crate::problem::unsupported;

impl Translation<'_> {
    pub(super) fn aggregate(&mut self, one: &Aggregate) -> Result<LogicalPlan> {
        let input = self.plan(&one.input)?;
        let names = names(&one.schema);
        if let [SqlExpr::GroupingSet(sets)] = one.group_expr.as_slice() {
            return self.grouping_sets(one, &input, sets, &names);
        }
        let (keys, results) = names.split_at(one.group_expr.len().min(names.len()));
        let mut group_keys = Vec::with_capacity(keys.len());
        for (key, name) in one.group_expr.iter().zip(keys) {
            group_keys.push(self.plain(key)?.alias(name));
        }
        Ok(LogicalPlan::Aggregate {
            input: Box::new(input),
            group_keys,
            aggregates: self.aggregates(&one.aggr_expr, results)?,
        })
    }

    fn aggregates(&mut self, exprs: &[SqlExpr], names: &[String]) -> Result<Vec<Expr>> {
        let named = exprs.iter().zip(names);
        let aggregates = named.map(|(expr, name)| Ok(self.call(expr)?.alias(name)));
        aggregates.collect()
    }

    fn call(&mut self, expr: &SqlExpr) -> Result<Expr> {
        match expr {
            SqlExpr::Alias(alias) => self.call(&alias.expr),
            SqlExpr::AggregateFunction(call) => self.aggregate_call(call),
            other => Err(unsupported(format!("`{other}` as an aggregate"))),
        }
    }

    fn aggregate_call(&mut self, call: &SqlAggregate) -> Result<Expr> {
        let name = call.func.name();
        let params = &call.params;
        if !params.order_by.is_empty() && !name.starts_with("percentile_cont") {
            return Err(unsupported(format!("ORDER BY within {name}")));
        }
        let mut operands = Vec::with_capacity(params.args.len());
        for operand in &params.args {
            operands.push(self.plain(operand)?);
        }
        let (function, operand) = function(name, &operands)?;
        let function = match (function, params.distinct) {
            (AggregateFunction::Count, true) if operand.is_some() => {
                AggregateFunction::CountDistinct
            }
            (AggregateFunction::Min | AggregateFunction::Max, true) | (_, false) => function,
            _ => {
                return Err(unsupported(format!(
                    "{name}(DISTINCT …) beside other aggregates"
                )));
            }
        };
        let operand = match &params.filter {
            None => operand,
            Some(_) if !passes_nulls_over(function) => {
                return Err(unsupported(format!("FILTER of {name}")));
            }
            Some(filter) => Some(Expr::Case {
                branches: vec![(self.plain(filter)?, operand.unwrap_or(lit(1)))],
                otherwise: None,
            }),
        };
        Ok(Expr::Aggregate {
            function,
            expr: operand.map(Box::new),
        })
    }

    /// GROUPING SETS, ROLLUP and CUBE: an aggregation per set, whose other keys are null.
    fn grouping_sets(
        &mut self,
        one: &Aggregate,
        input: &LogicalPlan,
        sets: &GroupingSet,
        names: &[String],
    ) -> Result<LogicalPlan> {
        let all: Vec<&SqlExpr> = sets.distinct_expr();
        let (keys, results) = names.split_at(all.len().min(names.len()));
        let Some((id, results)) = results.split_first() else {
            return Err(unsupported("this grouping set"));
        };
        let mut inputs = Vec::new();
        for set in expanded(sets) {
            let present: BTreeSet<usize> = (0..all.len())
                .filter(|&index| all.get(index).is_some_and(|key| set.contains(*key)))
                .collect();
            let mut group_keys = Vec::new();
            let mut exprs = Vec::new();
            let mut missing = 0i64;
            for (index, (key, name)) in all.iter().zip(keys).enumerate() {
                missing <<= 1;
                if present.contains(&index) {
                    group_keys.push(self.plain(key)?.alias(name));
                    exprs.push(col(name));
                } else {
                    missing |= 1;
                    let (_, field) = one.schema.qualified_field(index);
                    let null = lit(Literal::Null).cast(stored_type(field.data_type()));
                    exprs.push(null.alias(name));
                }
            }
            exprs.push(lit(Literal::Int64(missing)).alias(id));
            exprs.extend(results.iter().map(col));
            inputs.push(LogicalPlan::Project {
                exprs,
                input: Box::new(LogicalPlan::Aggregate {
                    input: Box::new(input.clone()),
                    group_keys,
                    aggregates: self.aggregates(&one.aggr_expr, results)?,
                }),
            });
        }
        Ok(LogicalPlan::Union { inputs })
    }
}

/// The sets of keys that a clause stands for.
fn expanded(sets: &GroupingSet) -> Vec<Vec<SqlExpr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len())
            .rev()
            .map(|end| keys[..end].to_vec())
            .collect(),
        GroupingSet::Cube(keys) => (0..1u32 << keys.len().min(16))
            .map(|bits| {
                let chosen = keys.iter().enumerate();
                let chosen = chosen.filter(|(index, _)| bits >> index & 1 == 1);
                chosen.map(|(_, key)| key.clone()).collect()
            })
            .collect(),
    }
}

/// Whether a null changes nothing, so that a filter may put nulls for the rows left out.
fn passes_nulls_over(function: AggregateFunction) -> bool {
    use AggregateFunction::{
        ApproxCountDistinct, Count, CountDistinct, Max, Mean, Min, Quantile, StandardDeviation,
        Sum, Variance,
    };
    matches!(
        function,
        Sum | Count
            | CountDistinct
            | Min
            | Max
            | Mean
            | Variance(_)
            | StandardDeviation(_)
            | ApproxCountDistinct
            | Quantile { .. }
    )
}

/// An aggregate by its SQL name, and its operand.
pub(super) fn function(name: &str, operands: &[Expr]) -> Result<(AggregateFunction, Option<Expr>)> {
    let function = match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Mean,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "var" | "var_samp" => AggregateFunction::Variance(Ddof::Sample),
        "var_pop" => AggregateFunction::Variance(Ddof::Population),
        "stddev" | "stddev_samp" => AggregateFunction::StandardDeviation(Ddof::Sample),
        "stddev_pop" => AggregateFunction::StandardDeviation(Ddof::Population),
        "any_value" => AggregateFunction::AnyValue,
        "approx_distinct" => AggregateFunction::ApproxCountDistinct,
        "median" => quantile(Probability::HALF),
        "percentile_cont" => {
            let [value, place] = operands else {
                return Err(unsupported("percentile_cont without a place"));
            };
            let place = match place {
                Expr::Literal(Literal::Float64(place)) => *place,
                Expr::Literal(Literal::Decimal { value, scale, .. }) => {
                    *value as f64 / 10f64.powi(i32::from(*scale))
                }
                Expr::Literal(Literal::Int64(place)) => *place as f64,
                _ => {
                    return Err(unsupported(
                        "percentile_cont at a place that is no constant",
                    ));
                }
            };
            return Ok((quantile(Probability::new(place)?), Some(value.clone())));
        }
        other => return Err(unsupported(format!("the aggregate {other}"))),
    };
    match operands {
        [] | [Expr::Literal(_)] if function == AggregateFunction::Count => {
            // COUNT of a constant counts rows; DataFusion writes COUNT(*) so.
            let null = operands.first() == Some(&Expr::Literal(Literal::Null));
            Ok((function, null.then(|| lit(Literal::Null))))
        }
        [operand] => Ok((function, Some(operand.clone()))),
        _ => Err(unsupported(format!(
            "{name} of {} operands",
            operands.len()
        ))),
    }
}

fn quantile(q: Probability) -> AggregateFunction {
    AggregateFunction::Quantile {
        q,
        interpolation: Interpolation::Linear,
    }
}
