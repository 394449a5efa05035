//! Expressions with every type settled: what backends evaluate.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::IntervalMonthDayNano;
use std::sync::Arc;

use super::{BinaryOp, Function};
use crate::error::{Error, Result};
use crate::types::{DataType, Literal};

/// An expression whose operands all have the types their operator needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedExpr {
    /// What it does.
    pub kind: TypedKind,
    /// The type of its result.
    pub data_type: DataType,
}

/// The step that a [`TypedExpr`] takes.
///
/// Operands have one type, with one exception: decimals may differ in precision, and, under
/// `Multiply`, in scale.
#[derive(Debug, Clone, PartialEq)]
pub enum TypedKind {
    /// A column of the input, by index.
    Column(usize),
    /// A constant, to be cast to the expression's type once ([`literal_array`]).
    Literal(Literal),
    /// One of the five arithmetic operators.
    Arithmetic {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<TypedExpr>,
        /// Right operand.
        right: Box<TypedExpr>,
    },
    /// One of the six comparisons.
    Compare {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<TypedExpr>,
        /// Right operand.
        right: Box<TypedExpr>,
    },
    /// Kleene conjunction.
    And(Box<TypedExpr>, Box<TypedExpr>),
    /// Kleene disjunction.
    Or(Box<TypedExpr>, Box<TypedExpr>),
    /// Kleene negation.
    Not(Box<TypedExpr>),
    /// Arithmetic negation.
    Negate(Box<TypedExpr>),
    /// True where null.
    IsNull(Box<TypedExpr>),
    /// True where not null.
    IsNotNull(Box<TypedExpr>),
    /// A change to the expression's type.
    Cast {
        /// What is cast.
        expr: Box<TypedExpr>,
        /// Whether a value that does not fit is an error (or else null).
        strict: bool,
    },
    /// Branches tried in order; values have the expression's type.
    Case {
        /// Condition and value of each branch.
        branches: Vec<(TypedExpr, TypedExpr)>,
        /// Value where no condition is true; null if absent.
        otherwise: Option<Box<TypedExpr>>,
    },
    /// The first operand that is not null; operands have the expression's type.
    Coalesce(Vec<TypedExpr>),
    /// A function of the operands' values.
    Function {
        /// The function.
        function: Function,
        /// Its operands, of the types that it needs.
        operands: Vec<TypedExpr>,
    },
}

impl TypedExpr {
    /// A column of the input.
    pub fn column(index: usize, data_type: DataType) -> TypedExpr {
        TypedExpr {
            kind: TypedKind::Column(index),
            data_type,
        }
    }

    /// The operands, left to right.
    pub fn children(&self) -> Vec<&TypedExpr> {
        match &self.kind {
            TypedKind::Column(_) | TypedKind::Literal(_) => Vec::new(),
            TypedKind::Arithmetic { left, right, .. }
            | TypedKind::Compare { left, right, .. }
            | TypedKind::And(left, right)
            | TypedKind::Or(left, right) => vec![left, right],
            TypedKind::Not(expr)
            | TypedKind::Negate(expr)
            | TypedKind::IsNull(expr)
            | TypedKind::IsNotNull(expr)
            | TypedKind::Cast { expr, .. } => vec![expr],
            TypedKind::Case {
                branches,
                otherwise,
            } => branches
                .iter()
                .flat_map(|(condition, value)| [condition, value])
                .chain(otherwise.as_deref())
                .collect(),
            TypedKind::Coalesce(operands) | TypedKind::Function { operands, .. } => {
                operands.iter().collect()
            }
        }
    }
}

/// A literal as an array of one row, of type `to`.
///
/// # Errors
/// The literal does not fit the type.
pub fn literal_array(literal: &Literal, to: &DataType) -> Result<ArrayRef> {
    let own: ArrayRef = match literal {
        Literal::Null => return Ok(new_null_array(to, 1)),
        Literal::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
        Literal::Int64(value) => Arc::new(Int64Array::from(vec![*value])),
        Literal::UInt64(value) => Arc::new(UInt64Array::from(vec![*value])),
        Literal::Float64(value) => Arc::new(Float64Array::from(vec![*value])),
        Literal::Decimal {
            value,
            precision,
            scale,
        } => Arc::new(
            Decimal128Array::from(vec![*value])
                .with_precision_and_scale(*precision, *scale)
                .map_err(|cause| Error::invalid(literal.to_string(), cause.to_string(), ""))?,
        ),
        Literal::Utf8(value) => Arc::new(StringArray::from(vec![value.as_str()])),
        Literal::Date32(value) => Arc::new(Date32Array::from(vec![*value])),
        Literal::TimestampMicros(value) => Arc::new(TimestampMicrosecondArray::from(vec![*value])),
        Literal::Interval {
            months,
            days,
            nanos,
        } => Arc::new(IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(*months, *days, *nanos),
        ])),
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&own, to, &options)
        .map_err(|cause| Error::invalid(format!("literal {literal}"), cause.to_string(), ""))
}
