//! Groups.

use std::collections::BTreeSet;

use datafusion_expr::expr::{AggregateFunction as SqlAggregate, GroupingSet};
use datafusion_expr::{Aggregate, Expr as SqlExpr};
use pelton::error::Result;
use pelton::expr::{
    AggregateFunction, Ddof, Expr, Interpolation, JoinKind, Keep, Probability, col, count_rows, lit,
};
use pelton::plan::{LogicalPlan, SortExpr};
use pelton::types::Literal;

use super::Translation;
use super::literal::stored_type;
use super::names;
use super::subquery::{VALUE, null_equal, only_row};
use crate::problem::unsupported;
use crate::subqueries::ONLY_VALUE;

/// Number of the rows of a group, beside aggregates of different values.
const GROUP_ROWS: &str = "__group_rows";
/// Values of which equal ones count once.
const OPERAND: &str = "__operand";

impl Translation<'_> {
    pub(super) fn aggregate(&mut self, one: &Aggregate) -> Result<LogicalPlan> {
        let input = self.plan(&one.input)?;
        let names = names(&one.schema);
        if let [SqlExpr::GroupingSet(sets)] = one.group_expr.as_slice() {
            if self.domain.is_some() {
                return Err(unsupported("grouping sets in a correlated subquery"));
            }
            let outside = self.beside.len();
            let sets = self.grouping_sets(one, &input, sets, &names);
            return match self.beside.len() == outside {
                true => sets,
                false => Err(unsupported("a subquery beside grouping sets")),
            };
        }
        let (keys, results) = names.split_at(one.group_expr.len().min(names.len()));
        if let ([call], [result]) = (one.aggr_expr.as_slice(), results)
            && let Some(operand) = only_value(call)
        {
            let (input, value) = self.over(input, |this| this.expr(operand))?;
            let extra: Vec<Expr> = self.extra().into_iter().map(col).collect();
            let row = only_row(input, &extra, value);
            let row = LogicalPlan::Project {
                exprs: extra
                    .into_iter()
                    .chain([col(VALUE).alias(result)])
                    .collect(),
                input: Box::new(row),
            };
            return Ok(self.for_all(row, &[], results));
        }
        let (input, (mut group_keys, calls)) = self.over(input, |this| {
            let group_keys = one.group_expr.iter().zip(keys);
            let group_keys = group_keys.map(|(key, name)| Ok(this.expr(key)?.alias(name)));
            let group_keys = group_keys.collect::<Result<Vec<_>>>()?;
            Ok((group_keys, this.calls(&one.aggr_expr, results)?))
        })?;
        group_keys.extend(self.extra().into_iter().map(col));
        let key_names: Vec<String> = keys.iter().cloned().chain(self.extra()).collect();
        let aggregated = grouped(&input, &group_keys, &key_names, calls)?;
        if self.domain.is_none() {
            return Ok(aggregated);
        }
        if !keys.is_empty() {
            return Ok(self.only(aggregated, names));
        }
        let named = one.aggr_expr.iter().zip(results);
        let counts = named.filter(|(call, _)| is_count(call));
        let counts: Vec<String> = counts.map(|(_, name)| name.clone()).collect();
        Ok(self.for_all(aggregated, &counts, results))
    }

    fn calls(&mut self, exprs: &[SqlExpr], names: &[String]) -> Result<Vec<Call>> {
        let named = exprs.iter().zip(names);
        let calls = named.map(|(expr, name)| self.call(expr, name));
        calls.collect()
    }

    fn call(&mut self, expr: &SqlExpr, name: &str) -> Result<Call> {
        match expr {
            SqlExpr::Alias(alias) => self.call(&alias.expr, name),
            SqlExpr::AggregateFunction(call) => self.aggregate_call(call, name),
            other => Err(unsupported(format!("`{other}` as an aggregate"))),
        }
    }

    fn aggregate_call(&mut self, call: &SqlAggregate, result: &str) -> Result<Call> {
        let name = call.func.name();
        let params = &call.params;
        let operands = self.exprs(&params.args)?;
        let (mut function, operand) = function(name, &operands)?;
        let mut order = self.sort_keys(&params.order_by)?;
        if let (AggregateFunction::Quantile { q, interpolation }, [key]) =
            (function, params.order_by.as_slice())
            && !key.asc
        {
            // The place is counted from the other end.
            let q = Probability::new(1.0 - q.get())?;
            function = AggregateFunction::Quantile { q, interpolation };
        }
        if !depends_on_order(function) {
            order.clear();
        }
        let mut distinct = params.distinct;
        match function {
            AggregateFunction::Count if distinct && operand.is_some() => {
                function = AggregateFunction::CountDistinct;
                distinct = false;
            }
            AggregateFunction::Min | AggregateFunction::Max => distinct = false,
            _ => {}
        }
        if distinct && !order.is_empty() {
            return Err(unsupported(format!("{name}(DISTINCT … ORDER BY …)")));
        }
        let operand = match &params.filter {
            None => operand,
            Some(_) if !passes_nulls_over(function) => {
                return Err(unsupported(format!("FILTER of {name}")));
            }
            Some(filter) => Some(Expr::Case {
                branches: vec![(self.expr(filter)?, operand.unwrap_or(lit(1)))],
                otherwise: None,
            }),
        };
        Ok(Call {
            name: result.to_string(),
            function,
            operand,
            distinct,
            order,
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
            let mut present_names = Vec::new();
            let mut exprs = Vec::new();
            let mut missing = 0i64;
            for (index, (key, name)) in all.iter().zip(keys).enumerate() {
                missing <<= 1;
                if present.contains(&index) {
                    group_keys.push(self.plain(key)?.alias(name));
                    present_names.push(name.clone());
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
                input: Box::new(grouped(
                    input,
                    &group_keys,
                    &present_names,
                    self.calls(&one.aggr_expr, results)?,
                )?),
            });
        }
        Ok(LogicalPlan::Union { inputs })
    }
}

/// An aggregate as the text has it.
struct Call {
    name: String,
    function: AggregateFunction,
    operand: Option<Expr>,
    /// Whether equal values count once.
    distinct: bool,
    /// The order of the values, where it matters.
    order: Vec<SortExpr>,
}

impl Call {
    fn expr(&self) -> Expr {
        let aggregate = Expr::Aggregate {
            function: self.function,
            expr: self.operand.clone().map(Box::new),
        };
        aggregate.alias(&self.name)
    }
}

/// Groups. An aggregate of different values, which the engine has not got for all functions, is one over
/// rows made distinct, joined to the others by the groups' keys.
fn grouped(
    input: &LogicalPlan,
    group_keys: &[Expr],
    names: &[String],
    calls: Vec<Call>,
) -> Result<LogicalPlan> {
    let results: Vec<String> = calls.iter().map(|call| call.name.clone()).collect();
    let (distinct, others): (Vec<Call>, Vec<Call>) =
        calls.into_iter().partition(|call| call.distinct);
    let mut orders = others.iter().map(|call| &call.order);
    let order = orders.find(|order| !order.is_empty()).cloned();
    let sorted = match order {
        None => input.clone(),
        Some(keys) => {
            let same = |call: &Call| call.order.is_empty() || call.order == keys;
            if !others.iter().all(same) {
                return Err(unsupported("aggregates in different orders"));
            }
            LogicalPlan::Sort {
                input: Box::new(input.clone()),
                keys,
            }
        }
    };
    let mut aggregates: Vec<Expr> = others.iter().map(Call::expr).collect();
    if distinct.is_empty() {
        return Ok(LogicalPlan::Aggregate {
            input: Box::new(sorted),
            group_keys: group_keys.to_vec(),
            aggregates,
        });
    }
    // With one more, so that there is one.
    aggregates.push(count_rows().alias(GROUP_ROWS));
    let mut plan = LogicalPlan::Aggregate {
        input: Box::new(sorted),
        group_keys: group_keys.to_vec(),
        aggregates,
    };
    for (number, call) in distinct.iter().enumerate() {
        let key = |index: usize| format!("__distinct_{number}_{index}");
        let keys: Vec<String> = (0..names.len()).map(key).collect();
        let operand = call.operand.clone().unwrap_or(lit(Literal::Int64(1)));
        let renamed = names.iter().zip(&keys);
        let rows = LogicalPlan::Project {
            exprs: group_keys
                .iter()
                .cloned()
                .chain([operand.alias(OPERAND)])
                .collect(),
            input: Box::new(input.clone()),
        };
        let rows = LogicalPlan::Distinct {
            input: Box::new(rows),
            on: Vec::new(),
            keep: Keep::Any,
        };
        let aggregate = Expr::Aggregate {
            function: call.function,
            expr: Some(Box::new(col(OPERAND))),
        };
        let aggregated = LogicalPlan::Aggregate {
            input: Box::new(rows),
            group_keys: renamed.map(|(name, key)| col(name).alias(key)).collect(),
            aggregates: vec![aggregate.alias(&call.name)],
        };
        let pairs = names.iter().zip(&keys);
        let pairs = pairs.map(|(name, key)| (col(name), col(key))).collect();
        plan = null_equal(plan, aggregated, JoinKind::Left, pairs);
    }
    Ok(LogicalPlan::Project {
        exprs: names.iter().chain(&results).map(col).collect(),
        input: Box::new(plan),
    })
}

/// Whether the order of its values changes an aggregate.
fn depends_on_order(function: AggregateFunction) -> bool {
    use AggregateFunction::{AnyValue, Collect, First, Last};
    matches!(function, AnyValue | Collect | First | Last)
}

/// The operand of the aggregate that is the value of an only row.
fn only_value(expr: &SqlExpr) -> Option<&SqlExpr> {
    match expr {
        SqlExpr::Alias(alias) => only_value(&alias.expr),
        SqlExpr::AggregateFunction(call) if call.func.name() == ONLY_VALUE => {
            call.params.args.first()
        }
        _ => None,
    }
}

/// Whether an aggregate of no rows is 0.
fn is_count(expr: &SqlExpr) -> bool {
    match expr {
        SqlExpr::Alias(alias) => is_count(&alias.expr),
        SqlExpr::AggregateFunction(call) => matches!(call.func.name(), "count" | "approx_distinct"),
        _ => false,
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
pub(super) fn passes_nulls_over(function: AggregateFunction) -> bool {
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
        "array_agg" => AggregateFunction::Collect,
        "bool_and" => AggregateFunction::Min,
        "bool_or" => AggregateFunction::Max,
        "first_value" => AggregateFunction::First,
        "last_value" => AggregateFunction::Last,
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
