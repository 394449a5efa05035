//! Groups.

use std::collections::{BTreeMap, BTreeSet};

use datafusion_expr::expr::{AggregateFunction as SqlAggregate, GroupingSet};
use datafusion_expr::{Aggregate, Expr as SqlExpr};
use pelton::error::Result;
use pelton::expr::{
    AggregateFunction, Ddof, Expr, Interpolation, JoinKind, Keep, ListAggregate, Probability, col,
    count_rows, lit, resolve,
};
use pelton::plan::{LogicalPlan, SortExpr};
use pelton::types::{DataType, Literal};

use super::Translation;
use super::list_aggregate;
use super::names;
use super::subquery::{VALUE, null_equal, only_row};
use crate::problem::unsupported;
use crate::subqueries::ONLY_VALUE;

/// Number of the rows of a group, beside aggregates of different values.
const GROUP_ROWS: &str = "__group_rows";
/// Operands of an aggregate over rows of its own, before their numbers.
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
        let aggregated = grouped(&input, &group_keys, &key_names, &calls)?;
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
        let mut order = self.sort_keys(&params.order_by)?;
        let descending = matches!(params.order_by.as_slice(), [key] if !key.asc);
        let filter = params.filter.as_ref().map(|filter| self.expr(filter));
        let mut filter = filter.transpose()?;
        let mut distinct = params.distinct;
        let of_list = list_aggregate::function(name, &operands, descending)?;
        let (function, mut operands) = match of_list {
            Some((function, operands)) => (Aggregated::List(function), operands),
            None => {
                let (mut function, operand) = function(name, &operands)?;
                match function {
                    AggregateFunction::Quantile { q, interpolation } if descending => {
                        // The place is counted from the other end.
                        let q = Probability::new(1.0 - q.get())?;
                        function = AggregateFunction::Quantile { q, interpolation };
                    }
                    AggregateFunction::Count if distinct && operand.is_some() => {
                        function = AggregateFunction::CountDistinct;
                        distinct = false;
                    }
                    AggregateFunction::Min | AggregateFunction::Max => distinct = false,
                    _ => {}
                }
                (Aggregated::Rows(function), operand.into_iter().collect())
            }
        };
        if !function.depends_on_order() {
            order.clear();
        }
        let masks = function.passes_nulls_over() && !distinct;
        if let Some(condition) = filter.take_if(|_| masks) {
            let operand = match operands.is_empty() {
                true => lit(1),
                false => operands.swap_remove(0),
            };
            let passed = Expr::Case {
                branches: vec![(condition, operand)],
                otherwise: None,
            };
            operands.push(passed);
            operands.rotate_right(1);
        }
        Ok(Call {
            name: result.to_string(),
            function,
            operands,
            filter,
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
        let schema = input.schema()?;
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
                    let data_type = resolve(&self.plain(key)?, &schema)?.data_type;
                    let null = lit(Literal::Null).cast(data_type);
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
                    &self.calls(&one.aggr_expr, results)?,
                )?),
            });
        }
        Ok(LogicalPlan::Union { inputs })
    }
}

/// What computes an aggregate.
pub(super) enum Aggregated {
    /// A function of a group's rows.
    Rows(AggregateFunction),
    /// A function of the lists of their values.
    List(ListAggregate),
}

impl Aggregated {
    pub(super) fn depends_on_order(&self) -> bool {
        match self {
            Aggregated::Rows(function) => depends_on_order(*function),
            Aggregated::List(function) => list_aggregate::depends_on_order(function),
        }
    }

    /// Whether a null changes nothing, so that a filter may put nulls for the rows left out.
    fn passes_nulls_over(&self) -> bool {
        match self {
            Aggregated::Rows(function) => passes_nulls_over(*function),
            Aggregated::List(_) => true,
        }
    }

    /// What is computed of the rows, and the result over that. The list of no rows is null.
    pub(super) fn exprs(
        &self,
        mut operands: impl Iterator<Item = Expr>,
        result: &str,
        may_have_no_rows: bool,
    ) -> (Vec<Expr>, Expr) {
        match self {
            Aggregated::Rows(AggregateFunction::Collect) if may_have_no_rows => {
                let rows = format!("{result}.rows");
                let list = Expr::Aggregate {
                    function: AggregateFunction::Collect,
                    expr: operands.next().map(Box::new),
                };
                let known = Expr::Case {
                    branches: vec![(col(&rows).gt(lit(Literal::Int64(0))), col(result))],
                    otherwise: None,
                };
                let aggregates = vec![list.alias(result), count_rows().alias(&rows)];
                (aggregates, known.alias(result))
            }
            Aggregated::Rows(function) => {
                let aggregate = Expr::Aggregate {
                    function: *function,
                    expr: operands.next().map(Box::new),
                };
                (vec![aggregate.alias(result)], col(result))
            }
            Aggregated::List(function) => list_aggregate::collected(function, operands, result),
        }
    }
}

/// An aggregate as the text has it.
struct Call {
    name: String,
    function: Aggregated,
    /// None for the number of rows.
    operands: Vec<Expr>,
    /// Which rows it is of.
    filter: Option<Expr>,
    /// Whether equal values count once.
    distinct: bool,
    /// The order of the values, where it matters.
    order: Vec<SortExpr>,
}

impl Call {
    /// Whether it is of other rows than the groups', or of these in another order than the one given.
    fn is_apart(&self, order: &[SortExpr]) -> bool {
        self.distinct || self.filter.is_some() || !(self.order.is_empty() || self.order == order)
    }

    /// The rows that it is of: the groups' keys under their names, and its operands under theirs.
    fn rows(&self, input: &LogicalPlan, group_keys: &[Expr]) -> Result<LogicalPlan> {
        let mut input = Box::new(input.clone());
        if let Some(predicate) = self.filter.clone() {
            input = Box::new(LogicalPlan::Filter { input, predicate });
        }
        if !self.distinct && !self.order.is_empty() {
            let keys = self.order.clone();
            input = Box::new(LogicalPlan::Sort { input, keys });
        }
        let operands = match self.operands.as_slice() {
            [] => &[lit(Literal::Int64(1))],
            operands => operands,
        };
        let named = operands.iter().enumerate();
        let named = named.map(|(index, operand)| operand.clone().alias(operand_name(index)));
        let rows = LogicalPlan::Project {
            exprs: group_keys.iter().cloned().chain(named).collect(),
            input,
        };
        if !self.distinct {
            return Ok(rows);
        }
        let distinct = LogicalPlan::Distinct {
            input: Box::new(rows),
            on: Vec::new(),
            keep: Keep::Any,
        };
        // Of equal rows only what is equal has an order.
        let keys = self.order.iter().map(|key| {
            let place = operands.iter().position(|operand| *operand == key.expr);
            let unknown = || unsupported("an order of different values by other values");
            Ok(SortExpr {
                expr: col(operand_name(place.ok_or_else(unknown)?)),
                ..key.clone()
            })
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        Ok(match keys.is_empty() {
            true => distinct,
            false => LogicalPlan::Sort {
                input: Box::new(distinct),
                keys,
            },
        })
    }
}

fn operand_name(index: usize) -> String {
    format!("{OPERAND}{index}")
}

/// Groups. An aggregate of different values, of some rows or in an order of its own is one over rows of its
/// own, joined to the others by the groups' keys.
fn grouped(
    input: &LogicalPlan,
    group_keys: &[Expr],
    names: &[String],
    calls: &[Call],
) -> Result<LogicalPlan> {
    let mut orders = calls
        .iter()
        .filter(|call| !call.distinct && call.filter.is_none())
        .map(|call| call.order.as_slice());
    let order = orders.find(|order| !order.is_empty()).unwrap_or_default();
    let mut rows = Box::new(input.clone());
    if !order.is_empty() {
        rows = Box::new(LogicalPlan::Sort {
            input: rows,
            keys: order.to_vec(),
        });
    }
    let (apart, together): (Vec<&Call>, Vec<&Call>) =
        calls.iter().partition(|call| call.is_apart(order));
    let mut aggregates = Vec::new();
    let mut results = BTreeMap::new();
    for call in together {
        let (exprs, result) =
            call.function
                .exprs(call.operands.iter().cloned(), &call.name, names.is_empty());
        aggregates.extend(exprs);
        results.insert(call.name.as_str(), result);
    }
    if !apart.is_empty() {
        // With one more, so that there is one.
        aggregates.push(count_rows().alias(GROUP_ROWS));
    }
    let mut plan = LogicalPlan::Aggregate {
        input: rows,
        group_keys: group_keys.to_vec(),
        aggregates,
    };
    for (number, call) in apart.into_iter().enumerate() {
        let key = |index: usize| format!("__apart_{number}_{index}");
        let keys: Vec<String> = (0..names.len()).map(key).collect();
        let renamed = names.iter().zip(&keys);
        let operands = (0..call.operands.len().max(1)).map(|index| col(operand_name(index)));
        let (aggregates, result) = call.function.exprs(operands, &call.name, names.is_empty());
        let aggregated = LogicalPlan::Aggregate {
            input: Box::new(call.rows(input, group_keys)?),
            group_keys: renamed.map(|(name, key)| col(name).alias(key)).collect(),
            aggregates,
        };
        let pairs = names.iter().zip(&keys);
        let pairs = pairs.map(|(name, key)| (col(name), col(key))).collect();
        plan = null_equal(plan, aggregated, JoinKind::Left, pairs);
        results.insert(call.name.as_str(), result);
    }
    let is_plain = results
        .values()
        .all(|result| matches!(result, Expr::Column(_)));
    if is_plain && matches!(plan, LogicalPlan::Aggregate { .. }) {
        return Ok(plan);
    }
    let results = calls
        .iter()
        .filter_map(|call| results.remove(call.name.as_str()));
    Ok(LogicalPlan::Project {
        exprs: names.iter().map(col).chain(results).collect(),
        input: Box::new(plan),
    })
}

/// Whether the order of its values changes an aggregate.
pub(super) fn depends_on_order(function: AggregateFunction) -> bool {
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
        SqlExpr::AggregateFunction(call) => {
            let name = call.func.name();
            matches!(name, "count" | "approx_distinct" | "regr_count")
        }
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
            let [value, at] = operands else {
                return Err(unsupported("percentile_cont without a place"));
            };
            return Ok((quantile(place(at, name)?), Some(value.clone())));
        }
        other => return Err(unsupported(format!("the aggregate {other}"))),
    };
    match operands {
        [] | [Expr::Literal(_)] if function == AggregateFunction::Count => {
            // COUNT of a constant counts rows; DataFusion writes COUNT(*) so.
            let null = operands.first() == Some(&Expr::Literal(Literal::Null));
            Ok((function, null.then(|| lit(Literal::Null))))
        }
        // A null of no type is one of any.
        [Expr::Literal(Literal::Null)] => {
            Ok((function, Some(lit(Literal::Null).cast(DataType::Int64))))
        }
        [operand] => Ok((function, Some(operand.clone()))),
        _ => Err(unsupported(format!(
            "{name} of {} operands",
            operands.len()
        ))),
    }
}

/// The place of a quantile.
pub(super) fn place(expr: &Expr, name: &str) -> Result<Probability> {
    Probability::new(match expr {
        Expr::Literal(Literal::Float64(place)) => *place,
        Expr::Literal(Literal::Decimal { value, scale, .. }) => {
            *value as f64 / 10f64.powi(i32::from(*scale))
        }
        Expr::Literal(Literal::Int64(place)) => *place as f64,
        _ => {
            let construct = format!("{name} at a place that is no constant");
            return Err(unsupported(construct));
        }
    })
}

fn quantile(q: Probability) -> AggregateFunction {
    AggregateFunction::Quantile {
        q,
        interpolation: Interpolation::Linear,
    }
}
