//! Window functions.

use datafusion_expr::expr::{NullTreatment, WindowFunction as SqlWindow};
use datafusion_expr::{Expr as SqlExpr, Window, WindowFunctionDefinition};
use pelton::error::Result;
use pelton::expr::{AggregateFunction, Expr, ListAggregate, WindowFunction, col, lit};
use pelton::plan::LogicalPlan;
use pelton::types::Literal;

use super::frame::Call;
use super::list_aggregate;
use super::{Translation, names};
use crate::problem::unsupported;

impl Translation<'_> {
    pub(super) fn window(&mut self, window: &Window) -> Result<LogicalPlan> {
        let input = self.plan(&window.input)?;
        let names = names(&window.schema);
        let own = names.iter().skip(window.input.schema().fields().len());
        let plain = self.subqueries;
        let (input, calls) = self.over(input, |this| {
            let named = window.window_expr.iter().zip(own);
            let calls = named.map(|(expr, name)| this.window_call(expr, name));
            calls.collect::<Result<Vec<_>>>()
        })?;
        let mut functions = Vec::new();
        let mut others = Vec::new();
        for call in calls {
            match call.plain()? {
                Some(function) => functions.push(function),
                None => others.push(call),
            }
        }
        let mut plan = input;
        if !functions.is_empty() {
            plan = LogicalPlan::Window {
                input: Box::new(plan),
                functions,
            };
        }
        for call in others {
            plan = self.joined_window(plan, &call)?;
        }
        Ok(match plain == self.subqueries && self.domain.is_none() {
            true => plan,
            false => self.only(plan, names),
        })
    }

    fn window_call(&mut self, expr: &SqlExpr, name: &str) -> Result<Call> {
        let call = match expr {
            SqlExpr::Alias(alias) => return self.window_call(&alias.expr, name),
            SqlExpr::WindowFunction(call) => call,
            other => return Err(unsupported(format!("`{other}` as a window function"))),
        };
        let params = &call.params;
        let mut partition_by = self.exprs(&params.partition_by)?;
        partition_by.extend(self.extra().into_iter().map(col));
        let of_lists = self.of_lists(call)?;
        let function = match &of_lists {
            Some((_, operands)) => WindowFunction::Aggregate {
                function: AggregateFunction::Collect,
                operand: operands.first().cloned(),
            },
            None => self.window_function(call)?,
        };
        Ok(Call {
            name: name.to_string(),
            function,
            of_lists,
            distinct: params.distinct,
            partition_by,
            order_by: self.sort_keys(&params.order_by)?,
            frame: params.window_frame.clone(),
            ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        })
    }

    /// The function as an aggregate of lists, if it is one, and what is in these.
    fn of_lists(&mut self, call: &SqlWindow) -> Result<Option<(ListAggregate, Vec<Expr>)>> {
        let WindowFunctionDefinition::AggregateUDF(function) = &call.fun else {
            return Ok(None);
        };
        let operands = self.exprs(&call.params.args)?;
        let of_lists = list_aggregate::function(function.name(), &operands, false)?;
        let Some((function, mut operands)) = of_lists else {
            return Ok(None);
        };
        if let (Some(filter), Some(operand)) = (&call.params.filter, operands.first_mut()) {
            let passed = Expr::Case {
                branches: vec![(self.expr(filter)?, operand.clone())],
                otherwise: None,
            };
            *operand = passed;
        }
        Ok(Some((function, operands)))
    }

    fn window_function(&mut self, call: &SqlWindow) -> Result<WindowFunction<Expr>> {
        let name = call.fun.name().to_string();
        let mut operands = Vec::with_capacity(call.params.args.len());
        for operand in &call.params.args {
            operands.push(self.expr(operand)?);
        }
        if let WindowFunctionDefinition::AggregateUDF(_) = call.fun
            && !matches!(name.as_str(), "first_value" | "last_value" | "nth_value")
        {
            let (function, operand) = super::aggregate::function(&name, &operands)?;
            let operand = match &call.params.filter {
                None => operand,
                Some(_) if !super::aggregate::passes_nulls_over(function) => {
                    return Err(unsupported(format!("FILTER of {name}")));
                }
                Some(filter) => Some(Expr::Case {
                    branches: vec![(self.expr(filter)?, operand.unwrap_or(lit(1)))],
                    otherwise: None,
                }),
            };
            return Ok(WindowFunction::Aggregate { function, operand });
        }
        if call.params.filter.is_some() {
            return Err(unsupported(format!("FILTER of {name}")));
        }
        let mut operands = operands.into_iter();
        let first = operands.next();
        let needed = || unsupported(format!("{name} without an operand"));
        let mut offset = || match operands.next() {
            None => Ok(1),
            Some(Expr::Literal(Literal::Int64(value))) => Ok(value),
            Some(_) => Err(unsupported(format!(
                "{name} by an offset that is no constant"
            ))),
        };
        Ok(match name.as_str() {
            "row_number" => WindowFunction::RowNumber,
            "rank" => WindowFunction::Rank,
            "dense_rank" => WindowFunction::DenseRank,
            "percent_rank" => WindowFunction::PercentRank,
            "cume_dist" => WindowFunction::CumeDist,
            "ntile" => match first {
                Some(Expr::Literal(Literal::Int64(buckets))) if buckets > 0 => {
                    WindowFunction::Ntile(buckets.unsigned_abs())
                }
                _ => return Err(unsupported("ntile of no positive constant")),
            },
            "lag" | "lead" => {
                let operand = first.ok_or_else(needed)?;
                let rows = offset()?;
                let default = match operands.next() {
                    None => Literal::Null,
                    Some(Expr::Literal(default)) => default,
                    Some(_) => return Err(unsupported(format!("a default of {name}"))),
                };
                let offset = rows.unsigned_abs();
                // A negative offset looks the other way.
                if (name == "lag") == (rows >= 0) {
                    WindowFunction::Lag {
                        operand,
                        offset,
                        default,
                    }
                } else {
                    WindowFunction::Lead {
                        operand,
                        offset,
                        default,
                    }
                }
            }
            "first_value" => WindowFunction::FirstValue(first.ok_or_else(needed)?),
            "last_value" => WindowFunction::LastValue(first.ok_or_else(needed)?),
            "nth_value" => WindowFunction::NthValue {
                operand: first.ok_or_else(needed)?,
                n: u64::try_from(offset()?).map_err(|_| unsupported("a negative nth_value"))?,
            },
            other => return Err(unsupported(format!("the window function {other}"))),
        })
    }
}
