//! Window functions.

use datafusion_common::ScalarValue;
use datafusion_expr::expr::WindowFunction as SqlWindow;
use datafusion_expr::{
    Expr as SqlExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use pelton::error::Result;
use pelton::expr::{Expr, Frame, WindowFunction};
use pelton::plan::{LogicalPlan, WindowExpr};
use pelton::types::Literal;

use super::literal::literal;
use super::{Translation, names};
use crate::problem::unsupported;

impl Translation<'_> {
    pub(super) fn window(&mut self, window: &Window) -> Result<LogicalPlan> {
        let input = self.plan(&window.input)?;
        let names = names(&window.schema);
        let names = names.iter().skip(window.input.schema().fields().len());
        let mut functions = Vec::with_capacity(window.window_expr.len());
        for (expr, name) in window.window_expr.iter().zip(names) {
            functions.push(self.window_expr(expr, name)?);
        }
        Ok(LogicalPlan::Window {
            input: Box::new(input),
            functions,
        })
    }

    fn window_expr(&mut self, expr: &SqlExpr, name: &str) -> Result<WindowExpr> {
        let call = match expr {
            SqlExpr::Alias(alias) => return self.window_expr(&alias.expr, name),
            SqlExpr::WindowFunction(call) => call,
            other => return Err(unsupported(format!("`{other}` as a window function"))),
        };
        let params = &call.params;
        if params.filter.is_some() || params.distinct || params.null_treatment.is_some() {
            return Err(unsupported(
                "FILTER, DISTINCT or IGNORE NULLS of a window function",
            ));
        }
        let mut partition_by = Vec::with_capacity(params.partition_by.len());
        for key in &params.partition_by {
            partition_by.push(self.plain(key)?);
        }
        Ok(WindowExpr {
            name: name.to_string(),
            function: self.window_function(call)?,
            partition_by,
            order_by: self.sort_keys(&params.order_by)?,
            frame: frame(&params.window_frame)?,
        })
    }

    fn window_function(&mut self, call: &SqlWindow) -> Result<WindowFunction<Expr>> {
        let name = call.fun.name().to_string();
        let mut operands = Vec::with_capacity(call.params.args.len());
        for operand in &call.params.args {
            operands.push(self.plain(operand)?);
        }
        if let WindowFunctionDefinition::AggregateUDF(_) = call.fun
            && !matches!(name.as_str(), "first_value" | "last_value" | "nth_value")
        {
            let (function, operand) = super::aggregate::function(&name, &operands)?;
            return Ok(WindowFunction::Aggregate { function, operand });
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

fn frame(frame: &WindowFrame) -> Result<Frame> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let refused = || unsupported(format!("the frame {frame}"));
    let rows = |value: &ScalarValue| match literal(value) {
        Ok(Literal::Null) => Ok(None),
        Ok(Literal::Int64(rows)) => Ok(Some(rows)),
        Ok(Literal::UInt64(_)) => Ok(Some(i64::MAX)),
        _ => Err(refused()),
    };
    let is_unbounded = |bound: &WindowFrameBound| match bound {
        Preceding(value) | Following(value) => value.is_null(),
        CurrentRow => false,
    };
    let unbounded = (
        is_unbounded(&frame.start_bound),
        is_unbounded(&frame.end_bound),
    );
    Ok(match frame.units {
        WindowFrameUnits::Rows => {
            let bound = |bound: &WindowFrameBound| match bound {
                Preceding(value) => Ok(rows(value)?.map(|rows| -rows)),
                Following(value) => rows(value),
                CurrentRow => Ok(Some(0)),
            };
            Frame::Rows {
                start: bound(&frame.start_bound)?,
                end: bound(&frame.end_bound)?,
            }
        }
        _ if unbounded == (true, true) => Frame::Partition,
        WindowFrameUnits::Range if unbounded.0 && frame.end_bound == CurrentRow => {
            Frame::RangeToCurrent
        }
        _ => return Err(refused()),
    })
}
