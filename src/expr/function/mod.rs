//! Functions of one row: their names, and the types of their operands and results.
//!
//! Each family has a file of its own here and in every room that evaluates expressions. What an
//! operand must be constant for (a pattern, a date part) is part of the function.

mod list;
mod list_aggregate;
mod math;
mod strings;
mod temporal;
mod text;

pub use list::InList;
pub use list_aggregate::{ListAggregate, Regression};
pub use math::{BitFunction, FloatFunction, MathFunction, Rounding};
pub use strings::{LikePattern, LikeStep, StringFunction, TrimSide, lower_character, regex};
pub(super) use temporal::arithmetic as temporal_arithmetic;
pub use temporal::{CalendarUnit, DatePart, TemporalFunction};
pub use text::TextFunction;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::typed::{TypedExpr, TypedKind};
use crate::error::{Error, Result};
use crate::types::DataType;

/// A function of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Whether a value is one of some constants.
    InList(InList),
    /// An aggregate of a list's values.
    ListAggregate(ListAggregate),
    /// Over numbers.
    Math(MathFunction),
    /// Over strings.
    String(StringFunction),
    /// Over dates, times and durations.
    Temporal(TemporalFunction),
    /// Over strings and positions that differ from row to row.
    Text(TextFunction),
}

impl Function {
    /// Checks the operands, casts them to what the function needs, and names the result's type.
    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        match self {
            Function::InList(function) => function.resolve(operands),
            Function::ListAggregate(function) => function.resolve(operands),
            Function::Math(function) => function.resolve(operands),
            Function::String(function) => {
                let (operands, data_type) = function.resolve(operands)?;
                Ok(applied(self.clone(), operands, data_type))
            }
            Function::Temporal(function) => function.resolve(operands),
            Function::Text(function) => function.resolve(operands),
        }
    }

    /// The function applied to operands, as text.
    pub fn describe(&self, operands: &[impl fmt::Display]) -> String {
        let constants = match self {
            Function::InList(list) => list.values.iter().map(ToString::to_string).collect(),
            Function::Math(function) => function.constants(),
            Function::ListAggregate(_) | Function::String(_) | Function::Text(_) => Vec::new(),
            Function::Temporal(function) => function.constants(),
        };
        let operands = operands.iter().map(ToString::to_string).chain(constants);
        format!("{self}({})", operands.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::InList(_) => f.write_str("is_in"),
            Function::ListAggregate(function) => function.fmt(f),
            Function::Math(function) => function.fmt(f),
            Function::String(function) => function.fmt(f),
            Function::Temporal(function) => function.fmt(f),
            Function::Text(function) => function.fmt(f),
        }
    }
}

/// A function applied to operands of the types that it needs.
fn applied(function: Function, operands: Vec<TypedExpr>, data_type: DataType) -> TypedExpr {
    TypedExpr {
        kind: TypedKind::Function { function, operands },
        data_type,
    }
}

/// The two operands of a function.
fn pair(function: &impl fmt::Display, operands: Vec<TypedExpr>) -> Result<[TypedExpr; 2]> {
    operands.try_into().map_err(|operands: Vec<_>| {
        let cause = format!("has {} operands, of two", operands.len());
        Error::invalid(format!("function {function}"), cause, "")
    })
}

/// The one operand of a function.
fn only(function: &impl fmt::Display, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
    let [operand]: [TypedExpr; 1] = operands.try_into().map_err(|operands: Vec<_>| {
        let cause = format!("has {} operands, of one", operands.len());
        Error::invalid(format!("function {function}"), cause, "")
    })?;
    Ok(operand)
}

/// The error for an operand of the wrong type.
fn undefined(function: &impl fmt::Display, data_type: &DataType) -> Error {
    let cause = format!("undefined for {data_type}");
    Error::invalid(format!("function {function}"), cause, "cast its operand")
}
