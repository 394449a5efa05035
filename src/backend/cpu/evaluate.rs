//! Expressions over a batch: what `filter` and `project` share.
//!
//! An operand is evaluated for all rows at once, under a selection of the rows that want it: a
//! row outside of it may get any value but raises no error. `case` and `coalesce` narrow the
//! selection branch by branch; nothing else does, so both sides of `and` and `or` are evaluated.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and_kleene, interleave, is_not_null, is_null, not, or_kleene, take};
use arrow::util::display::array_value_to_string;

use super::arithmetic::{Failure, arithmetic, negate};
use super::cast::{cast, first_misfit};
use super::compare::{Operand, compare};
use super::describe::describe;
use super::function::{self, Call};
use crate::error::{Error, Result};
use crate::expr::{TypedExpr, TypedKind, literal_array};
use crate::types::{DataType, Semantics};

/// The rows that want a value; none: all.
pub(super) type Active<'a> = Option<&'a BooleanBuffer>;

/// Evaluates an expression for every row of a batch.
pub(super) fn evaluate(
    expr: &TypedExpr,
    batch: &RecordBatch,
    semantics: Semantics,
) -> Result<ArrayRef> {
    let evaluator = Evaluator { batch, semantics };
    evaluator.column(expr, None)
}

struct Evaluator<'a> {
    batch: &'a RecordBatch,
    semantics: Semantics,
}

impl Evaluator<'_> {
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// An expression's value for all rows.
    fn column(&self, expr: &TypedExpr, active: Active) -> Result<ArrayRef> {
        let operand = self.operand(expr, active)?;
        if !operand.is_scalar {
            return Ok(operand.array);
        }
        let zeros = UInt32Array::from(vec![0u32; self.rows()]);
        take(&operand.array, &zeros, None).map_err(|cause| self.refused(expr, &cause))
    }

    fn boolean(&self, expr: &TypedExpr, active: Active) -> Result<BooleanArray> {
        let column = self.column(expr, active)?;
        match column.data_type() {
            DataType::Null => Ok(BooleanArray::new_null(column.len())),
            DataType::Boolean => Ok(column.as_boolean().clone()),
            other => Err(Error::invalid(
                self.text(expr),
                format!("needs Boolean, has {other}"),
                "",
            )),
        }
    }

    /// An expression's value; a literal stays one value.
    fn operand(&self, expr: &TypedExpr, active: Active) -> Result<Operand> {
        if let TypedKind::Literal(literal) = &expr.kind {
            return Ok(Operand {
                array: literal_array(literal, &expr.data_type)?,
                is_scalar: true,
            });
        }
        let array = match &expr.kind {
            TypedKind::Column(_) | TypedKind::Literal(_) => self.input(expr)?,
            TypedKind::Arithmetic { op, left, right } => {
                let (left, right) = self.pair(left, right, active)?;
                let computed =
                    arithmetic(*op, &left, &right, &expr.data_type, active, self.semantics);
                computed.map_err(|failure| self.failed(expr, failure, &[&left, &right]))?
            }
            TypedKind::Compare { op, left, right } => {
                let (left, right) = self.pair(left, right, active)?;
                compare(*op, &left, &right).map_err(|error| error.context(self.text(expr)))?
            }
            TypedKind::Negate(inner) => {
                let inner = self.column(inner, active)?;
                let computed = negate(&inner, active, self.semantics);
                let operand = Operand {
                    array: inner,
                    is_scalar: false,
                };
                computed.map_err(|failure| self.failed(expr, failure, &[&operand]))?
            }
            TypedKind::Cast {
                expr: inner,
                strict,
            } => self.cast(expr, inner, *strict, active)?,
            TypedKind::Case {
                branches,
                otherwise,
            } => self.case(expr, branches, otherwise.as_deref(), active)?,
            TypedKind::Coalesce(operands) => self.coalesce(expr, operands, active)?,
            TypedKind::Function { function, operands } => {
                let columns = operands.iter().map(|operand| self.column(operand, active));
                let call = Call {
                    operands: &columns.collect::<Result<Vec<_>>>()?,
                    data_type: &expr.data_type,
                    active,
                    semantics: self.semantics,
                };
                let shown = |array: &ArrayRef| Operand {
                    array: Arc::clone(array),
                    is_scalar: false,
                };
                function::call(function, &call).map_err(|failure| {
                    let operands: Vec<Operand> = call.operands.iter().map(shown).collect();
                    self.failed(expr, failure, &operands.iter().collect::<Vec<_>>())
                })?
            }
            TypedKind::And(..)
            | TypedKind::Or(..)
            | TypedKind::Not(_)
            | TypedKind::IsNull(_)
            | TypedKind::IsNotNull(_) => self.logic(expr, active)?,
        };
        Ok(Operand {
            array,
            is_scalar: false,
        })
    }

    fn input(&self, expr: &TypedExpr) -> Result<ArrayRef> {
        let TypedKind::Column(index) = &expr.kind else {
            return Err(Error::invalid(self.text(expr), "is not a column", ""));
        };
        match self.batch.columns().get(*index) {
            Some(column) if *column.data_type() == expr.data_type => Ok(Arc::clone(column)),
            Some(column) => Err(Error::invalid(
                self.text(expr),
                format!("is {}, not {}", column.data_type(), expr.data_type),
                "resolve the expression against this batch's schema",
            )),
            None => Err(Error::invalid(
                self.text(expr),
                format!("the batch has {} columns", self.batch.num_columns()),
                "resolve the expression against this batch's schema",
            )),
        }
    }

    /// Both operands of an operator, at most one of them a single value.
    fn pair(
        &self,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Active,
    ) -> Result<(Operand, Operand)> {
        let left_operand = self.operand(left, active)?;
        let mut right_operand = self.operand(right, active)?;
        if left_operand.is_scalar && right_operand.is_scalar {
            right_operand = Operand {
                array: self.column(right, active)?,
                is_scalar: false,
            };
        }
        Ok((left_operand, right_operand))
    }

    fn logic(&self, expr: &TypedExpr, active: Active) -> Result<ArrayRef> {
        let computed = match &expr.kind {
            TypedKind::And(left, right) => {
                and_kleene(&self.boolean(left, active)?, &self.boolean(right, active)?)
            }
            TypedKind::Or(left, right) => {
                or_kleene(&self.boolean(left, active)?, &self.boolean(right, active)?)
            }
            TypedKind::Not(inner) => not(&self.boolean(inner, active)?),
            TypedKind::IsNull(inner) => is_null(&self.column(inner, active)?),
            TypedKind::IsNotNull(inner) => is_not_null(&self.column(inner, active)?),
            _ => return Err(Error::invalid(self.text(expr), "is not logic", "")),
        };
        match computed {
            Ok(array) => Ok(Arc::new(array)),
            Err(cause) => Err(self.refused(expr, &cause)),
        }
    }

    fn cast(
        &self,
        expr: &TypedExpr,
        inner: &TypedExpr,
        strict: bool,
        active: Active,
    ) -> Result<ArrayRef> {
        let before = self.column(inner, active)?;
        let after = cast(&before, &expr.data_type)
            .map_err(|cause| Error::arithmetic(self.text(expr), cause))?;
        if strict && let Some(row) = first_misfit(&before, &after, active) {
            let value = shown(&before, row);
            let cause = format!("{value} does not fit {}", expr.data_type);
            return Err(Error::arithmetic(self.text(expr), cause));
        }
        Ok(after)
    }

    fn case(
        &self,
        expr: &TypedExpr,
        branches: &[(TypedExpr, TypedExpr)],
        otherwise: Option<&TypedExpr>,
        active: Active,
    ) -> Result<ArrayRef> {
        let mut choice = Choice::new(expr, self.rows(), active);
        for (condition, value) in branches {
            if choice.is_complete() {
                break;
            }
            let condition = self.boolean(condition, Some(&choice.remaining))?;
            let taken = &choice.remaining & &true_rows(&condition);
            if taken.count_set_bits() > 0 {
                let value = self.operand(value, Some(&taken))?;
                choice.take(value, &taken);
            }
        }
        if let Some(otherwise) = otherwise
            && !choice.is_complete()
        {
            let taken = choice.remaining.clone();
            let value = self.operand(otherwise, Some(&taken))?;
            choice.take(value, &taken);
        }
        choice.finish().map_err(|cause| self.refused(expr, &cause))
    }

    fn coalesce(
        &self,
        expr: &TypedExpr,
        operands: &[TypedExpr],
        active: Active,
    ) -> Result<ArrayRef> {
        let mut choice = Choice::new(expr, self.rows(), active);
        for operand in operands {
            if choice.is_complete() {
                break;
            }
            let value = self.operand(operand, Some(&choice.remaining))?;
            let taken = match value.array.logical_nulls() {
                None => choice.remaining.clone(),
                Some(nulls) if value.is_scalar => {
                    if nulls.is_null(0) {
                        continue;
                    }
                    choice.remaining.clone()
                }
                Some(nulls) => &choice.remaining & nulls.inner(),
            };
            choice.take(value, &taken);
        }
        choice.finish().map_err(|cause| self.refused(expr, &cause))
    }

    fn text(&self, expr: &TypedExpr) -> String {
        describe(expr, self.batch.schema_ref())
    }

    fn refused(&self, expr: &TypedExpr, cause: &dyn std::fmt::Display) -> Error {
        Error::unsupported("cpu", format!("`{}`", self.text(expr)), cause.to_string())
    }

    fn failed(&self, expr: &TypedExpr, failure: Failure, operands: &[&Operand]) -> Error {
        match failure {
            Failure::Type(error) => error.context(self.text(expr)),
            Failure::Row(at) => {
                let values: Vec<String> = operands
                    .iter()
                    .map(|operand| shown(&operand.array, at.row.min(operand.array.len() - 1)))
                    .collect();
                let cause = format!("{} ({})", at.fault, values.join(" and "));
                Error::arithmetic(self.text(expr), cause)
            }
        }
    }
}

/// Which value each row takes, branch by branch.
struct Choice {
    /// Null first, then the value of each branch.
    sources: Vec<ArrayRef>,
    /// Per row: which source, and which of its rows.
    picks: Vec<(usize, usize)>,
    /// Rows that want a value and have none yet.
    remaining: BooleanBuffer,
}

impl Choice {
    fn new(expr: &TypedExpr, rows: usize, active: Active) -> Choice {
        Choice {
            sources: vec![new_null_array(&expr.data_type, 1)],
            picks: vec![(0, 0); rows],
            remaining: active.map_or_else(|| BooleanBuffer::new_set(rows), BooleanBuffer::clone),
        }
    }

    fn is_complete(&self) -> bool {
        self.remaining.count_set_bits() == 0
    }

    fn take(&mut self, value: Operand, taken: &BooleanBuffer) {
        let source = self.sources.len();
        for row in taken.set_indices() {
            self.picks[row] = (source, if value.is_scalar { 0 } else { row });
        }
        self.sources.push(value.array);
        self.remaining = &self.remaining & &!taken;
    }

    fn finish(self) -> std::result::Result<ArrayRef, arrow::error::ArrowError> {
        let sources: Vec<&dyn Array> = self.sources.iter().map(AsRef::as_ref).collect();
        interleave(&sources, &self.picks)
    }
}

/// The rows where a condition is true and not null.
pub(super) fn true_rows(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        None => condition.values().clone(),
        Some(nulls) => condition.values() & nulls.inner(),
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    array_value_to_string(array, row).unwrap_or_else(|_| format!("the value of row {row}"))
}
