//! Window functions that the engine's windows have not got, by joins.
//!
//! An aggregate over whole partitions is a grouping, joined to the rows. A frame with other ends is a join of the
//! different values of the order, or of the numbers of the rows or their peers, with the rows in reach. A value that passes over nulls is that of the row
//! whose number a window finds.

use datafusion_common::ScalarValue;
use datafusion_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use pelton::error::Result;
use pelton::expr::{
    AggregateFunction, Expr, Frame, JoinKind, Keep, ListAggregate, WindowFunction, col, lit,
};
use pelton::plan::{LogicalPlan, SortExpr, WindowExpr};
use pelton::types::Literal;

use super::Translation;
use super::aggregate::Aggregated;
use super::literal::literal;
use super::subquery::{column_names, null_equal, null_equal_where};
use crate::problem::unsupported;

/// A window function as the text has it.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) function: WindowFunction<Expr>,
    /// What the function's values come to, and all of them, if it is an aggregate of lists.
    pub(super) of_lists: Option<(ListAggregate, Vec<Expr>)>,
    pub(super) distinct: bool,
    pub(super) partition_by: Vec<Expr>,
    pub(super) order_by: Vec<SortExpr>,
    pub(super) frame: WindowFrame,
    pub(super) ignore_nulls: bool,
}

/// Where a frame begins or ends.
enum Bound {
    Unbounded,
    /// So far behind the row, or before it where negative.
    Offset {
        literal: Literal,
        behind: bool,
    },
}

impl Call {
    /// The function as the engine has it, if it has.
    pub(super) fn plain(&self) -> Result<Option<WindowExpr>> {
        if self.ignore_nulls || self.distinct || self.of_lists.is_some() {
            return Ok(None);
        }
        let mut order_by = self.order_by.clone();
        let mut partition_by = self.partition_by.clone();
        let frame = match frame(&self.frame)? {
            Some(frame) => frame,
            None if !self.is_aggregate() => return Ok(None),
            None => match (
                bound(&self.frame.start_bound)?,
                bound(&self.frame.end_bound)?,
            ) {
                // From the row to the end is from the start to the row, the other way round.
                (start, Bound::Unbounded) if start.is_current() => {
                    for key in &mut order_by {
                        key.descending = !key.descending;
                        key.nulls_first = !key.nulls_first;
                    }
                    Frame::RangeToCurrent
                }
                // The peers alone are a partition.
                (start, end) if start.is_current() && end.is_current() => {
                    partition_by.extend(order_by.drain(..).map(|key| key.expr));
                    Frame::Partition
                }
                _ => return Ok(None),
            },
        };
        if let WindowFunction::Aggregate { function, .. } = &self.function
            && !is_windowed(*function)
        {
            return Ok(None);
        }
        Ok(Some(WindowExpr {
            name: self.name.clone(),
            function: self.function.clone(),
            partition_by,
            order_by,
            frame,
        }))
    }

    fn is_aggregate(&self) -> bool {
        matches!(self.function, WindowFunction::Aggregate { .. })
    }

    /// The function as an aggregate of the rows of a frame, and its operands.
    fn aggregated(&self) -> Result<(Aggregated, Vec<Expr>)> {
        if let Some((function, operands)) = &self.of_lists {
            return Ok((Aggregated::List(function.clone()), operands.clone()));
        }
        let (function, operand) = match &self.function {
            WindowFunction::Aggregate { function, operand } => (*function, operand.clone()),
            WindowFunction::FirstValue(value) => (AggregateFunction::First, Some(value.clone())),
            WindowFunction::LastValue(value) => (AggregateFunction::Last, Some(value.clone())),
            other => {
                let construct = format!("{} over the frame {}", other.name(), self.frame);
                return Err(unsupported(construct));
            }
        };
        let operand = operand.unwrap_or(lit(Literal::Int64(1)));
        Ok((Aggregated::Rows(function), vec![operand]))
    }

    /// Whether the frame counts from the value of the order's key, not from the place of a row or its peers.
    fn is_by_value(&self) -> Result<bool> {
        let counts = |edge: &WindowFrameBound| -> Result<bool> {
            let bound = bound(edge)?;
            Ok(!matches!(bound, Bound::Unbounded) && !bound.is_current())
        };
        let (start, end) = (&self.frame.start_bound, &self.frame.end_bound);
        Ok(self.frame.units == WindowFrameUnits::Range && (counts(start)? || counts(end)?))
    }
}

impl Bound {
    fn is_current(&self) -> bool {
        matches!(
            self,
            Bound::Offset {
                literal: Literal::Int64(0),
                ..
            }
        )
    }
}

/// Aggregates that the engine has over any frame.
fn is_windowed(function: AggregateFunction) -> bool {
    use AggregateFunction::{Count, Max, Mean, Min, Sum};
    matches!(function, Count | Max | Mean | Min | Sum)
}

impl Translation<'_> {
    /// Rows with the column of a function that the engine's windows have not got.
    pub(super) fn joined_window(&mut self, rows: LogicalPlan, call: &Call) -> Result<LogicalPlan> {
        if call.ignore_nulls {
            return self.past_nulls(rows, call);
        }
        let (function, operands) = call.aggregated()?;
        let whole = frame(&call.frame)? == Some(Frame::Partition);
        let number = self.subqueries;
        self.subqueries += 1;
        let kept = column_names(&rows)?;
        let mut keys = call.partition_by.clone();
        let mut rows = rows;
        if !whole {
            let (numbered, order) = self.order_of(rows, call)?;
            rows = numbered;
            keys.push(order);
        }
        let mut values = operands;
        let place = function.depends_on_order() && !call.distinct && !call.order_by.is_empty();
        if place {
            let (numbered, place) = self.numbered(rows, call, WindowFunction::RowNumber);
            rows = numbered;
            values.push(place);
        }
        let key = |index: usize| format!("__key_{number}_{index}");
        let value = |index: usize| format!("__operand_{number}_{index}");
        let value_names: Vec<String> = (0..values.len()).map(value).collect();
        let group_keys: Vec<String> = (0..keys.len()).map(key).collect();
        let named_keys = keys.iter().zip(&group_keys);
        let named = named_keys.chain(values.iter().zip(&value_names));
        let mut group = LogicalPlan::Project {
            exprs: named.map(|(expr, name)| expr.clone().alias(name)).collect(),
            input: Box::new(rows.clone()),
        };
        if !whole {
            group = in_reach(group, &group_keys, &value_names, call)?;
        }
        if call.distinct {
            group = LogicalPlan::Distinct {
                input: Box::new(group),
                on: Vec::new(),
                keep: Keep::Any,
            };
        }
        let mut operands = value_names.as_slice();
        if place && let Some((place, before)) = value_names.split_last() {
            group = LogicalPlan::Sort {
                input: Box::new(group),
                keys: vec![SortExpr {
                    expr: col(place),
                    descending: false,
                    nulls_first: false,
                }],
            };
            operands = before;
        }
        let (aggregates, result) = function.exprs(operands.iter().map(col), &call.name, false);
        let grouped = LogicalPlan::Aggregate {
            input: Box::new(group),
            group_keys: group_keys.iter().map(col).collect(),
            aggregates,
        };
        let on = keys.into_iter().zip(group_keys.iter().map(col)).collect();
        let joined = null_equal(rows, grouped, JoinKind::Left, on);
        Ok(LogicalPlan::Project {
            exprs: kept.iter().map(col).chain([result]).collect(),
            input: Box::new(joined),
        })
    }

    /// The one value that a frame counts from: the only key, or the number of the row or of its peers.
    fn order_of(&mut self, rows: LogicalPlan, call: &Call) -> Result<(LogicalPlan, Expr)> {
        if call.is_by_value()? {
            return match call.order_by.as_slice() {
                [only] => Ok((rows, only.expr.clone())),
                _ => Err(unsupported("a range with offsets over several keys")),
            };
        }
        Ok(match call.frame.units {
            WindowFrameUnits::Rows => self.numbered(rows, call, WindowFunction::RowNumber),
            _ => self.numbered(rows, call, WindowFunction::DenseRank),
        })
    }

    /// Rows with a number of each in the order of a window.
    fn numbered(
        &mut self,
        rows: LogicalPlan,
        call: &Call,
        function: WindowFunction<Expr>,
    ) -> (LogicalPlan, Expr) {
        let name = format!("__number_{}", self.subqueries);
        self.subqueries += 1;
        let number = WindowExpr {
            name: name.clone(),
            function,
            partition_by: call.partition_by.clone(),
            order_by: call.order_by.clone(),
            frame: Frame::RangeToCurrent,
        };
        let numbered = LogicalPlan::Window {
            input: Box::new(rows),
            functions: vec![number],
        };
        (numbered, col(name))
    }

    /// The first or last value of a frame, or the next in a direction, that is not null.
    fn past_nulls(&mut self, rows: LogicalPlan, call: &Call) -> Result<LogicalPlan> {
        let refused = || unsupported(format!("IGNORE NULLS of {}", call.function.name()));
        let (operand, function, frame) = match &call.function {
            WindowFunction::FirstValue(operand) => (operand, AggregateFunction::Min, None),
            WindowFunction::LastValue(operand) => (operand, AggregateFunction::Max, None),
            WindowFunction::Lag {
                operand,
                offset: 1,
                default: Literal::Null,
            } => {
                let before = Frame::Rows {
                    start: None,
                    end: Some(-1),
                };
                (operand, AggregateFunction::Max, Some(before))
            }
            WindowFunction::Lead {
                operand,
                offset: 1,
                default: Literal::Null,
            } => {
                let behind = Frame::Rows {
                    start: Some(1),
                    end: None,
                };
                (operand, AggregateFunction::Min, Some(behind))
            }
            _ => return Err(refused()),
        };
        let frame = match frame {
            Some(frame) => frame,
            None => self::frame(&call.frame)?.ok_or_else(refused)?,
        };
        let number = self.subqueries;
        self.subqueries += 1;
        let kept = column_names(&rows)?;
        let (place, found) = (format!("__place_{number}"), format!("__found_{number}"));
        let window = |name: &str, function, frame| WindowExpr {
            name: name.to_string(),
            function,
            partition_by: call.partition_by.clone(),
            order_by: call.order_by.clone(),
            frame,
        };
        let numbered = LogicalPlan::Window {
            input: Box::new(rows),
            functions: vec![window(&place, WindowFunction::RowNumber, Frame::RUNNING)],
        };
        let known = Expr::Case {
            branches: vec![(operand.clone().is_not_null(), col(&place))],
            otherwise: None,
        };
        let known = WindowFunction::Aggregate {
            function,
            operand: Some(known),
        };
        let source = LogicalPlan::Window {
            input: Box::new(numbered),
            functions: vec![window(&found, known, frame)],
        };
        let key = |index: usize| format!("__key_{number}_{index}");
        let keys = call.partition_by.iter().enumerate();
        let named = keys
            .clone()
            .map(|(index, expr)| expr.clone().alias(key(index)));
        let at = format!("__at_{number}");
        let more = [col(&place).alias(&at), operand.clone().alias(&call.name)];
        let values = LogicalPlan::Project {
            exprs: named.chain(more).collect(),
            input: Box::new(source.clone()),
        };
        let pairs = keys.map(|(index, expr)| (expr.clone(), col(key(index))));
        let pairs = pairs.chain([(col(&found), col(&at))]).collect();
        let joined = null_equal(source, values, JoinKind::Left, pairs);
        Ok(LogicalPlan::Project {
            exprs: kept.iter().chain([&call.name]).map(col).collect(),
            input: Box::new(joined),
        })
    }
}

/// For each of the different keys, the last of which is the order's value, the operands of the rows in reach.
fn in_reach(
    group: LogicalPlan,
    keys: &[String],
    values: &[String],
    call: &Call,
) -> Result<LogicalPlan> {
    let other = |name: &String| format!("{name}.row");
    let points = LogicalPlan::Distinct {
        input: Box::new(LogicalPlan::Project {
            exprs: keys.iter().map(col).collect(),
            input: Box::new(group.clone()),
        }),
        on: Vec::new(),
        keep: Keep::Any,
    };
    let renamed = keys.iter().map(|name| col(name).alias(other(name)));
    let rows = LogicalPlan::Project {
        exprs: renamed.chain(values.iter().map(col)).collect(),
        input: Box::new(group),
    };
    let Some((order, partition)) = keys.split_last() else {
        return Err(unsupported("a range without an order"));
    };
    let on = partition.iter().map(|name| (col(name), col(other(name))));
    let by_value = call.is_by_value()?;
    let (descending, nulls_first) = match call.order_by.as_slice() {
        [only] if by_value => (only.descending, only.nulls_first),
        _ => (false, false),
    };
    let (point, row) = (col(order), col(other(order)));
    let (start, end) = (
        bound(&call.frame.start_bound)?,
        bound(&call.frame.end_bound)?,
    );
    let unbounded = |bound: &Bound| matches!(bound, Bound::Unbounded);
    let edge = |literal: Literal, behind: bool| {
        // A greater value is behind where the order ascends.
        match behind != descending {
            true => point.clone().plus(lit(literal)),
            false => point.clone().minus(lit(literal)),
        }
    };
    let near = point.clone().is_null().and(row.clone().is_null());
    let mut both = point.clone().is_not_null().and(row.clone().is_not_null());
    for (bound, is_start) in [(&start, true), (&end, false)] {
        let Bound::Offset { literal, behind } = bound else {
            continue;
        };
        let edge = match bound.is_current() {
            true => point.clone(),
            false => edge(literal.clone(), *behind),
        };
        both = both.and(match is_start != descending {
            true => row.clone().gt_eq(edge),
            false => row.clone().lt_eq(edge),
        });
    }
    let mut reached = near.or(both);
    // Nulls stand at one end; an unbounded frame goes there.
    let before = if nulls_first { &start } else { &end };
    if unbounded(before) {
        reached = reached.or(point.clone().is_not_null().and(row.clone().is_null()));
    }
    let behind = if nulls_first { &end } else { &start };
    if unbounded(behind) {
        reached = reached.or(point.is_null().and(row.is_not_null()));
    }
    let joined = null_equal_where(points, rows, JoinKind::Left, on.collect(), Some(reached));
    Ok(LogicalPlan::Project {
        exprs: keys.iter().chain(values).map(col).collect(),
        input: Box::new(joined),
    })
}

fn bound(bound: &WindowFrameBound) -> Result<Bound> {
    let (value, behind) = match bound {
        WindowFrameBound::CurrentRow => (None, true),
        WindowFrameBound::Preceding(value) => (Some(value), false),
        WindowFrameBound::Following(value) => (Some(value), true),
    };
    let offset = value.map_or(Ok(Literal::Int64(0)), literal)?;
    Ok(match offset {
        Literal::Null => Bound::Unbounded,
        literal => Bound::Offset { literal, behind },
    })
}

/// A frame that the engine has.
fn frame(frame: &WindowFrame) -> Result<Option<Frame>> {
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
        _ if unbounded == (true, true) => Some(Frame::Partition),
        WindowFrameUnits::Rows => {
            let bound = |bound: &WindowFrameBound| match bound {
                Preceding(value) => Ok(rows(value)?.map(|rows| -rows)),
                Following(value) => rows(value),
                CurrentRow => Ok(Some(0)),
            };
            Some(Frame::Rows {
                start: bound(&frame.start_bound)?,
                end: bound(&frame.end_bound)?,
            })
        }
        _ if unbounded.0 && frame.end_bound == CurrentRow => Some(Frame::RangeToCurrent),
        _ => None,
    })
}
