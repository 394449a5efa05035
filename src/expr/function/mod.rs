//! Functions of one row: their names, and the types of their operands and results.
//!
//! Each family has a file of its own here and in every room that evaluates expressions. What an
//! operand must be constant for (a pattern, a date part) is part of the function.

mod math;
mod strings;
mod temporal;

pub use math::MathFunction;
pub use strings::{LikePattern, LikeStep, StringFunction, TrimSide, lower_character, regex};
pub use temporal::{DatePart, TemporalFunction};

use std::fmt;

use serde::{Deserialize, Serialize};

use super::typed::{TypedExpr, TypedKind};
use crate::error::{Error, Result};
use crate::types::DataType;

/// A function of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Over numbers.
    Math(MathFunction),
    /// Over strings.
    String(StringFunction),
    /// Over dates, times and durations.
    Temporal(TemporalFunction),
}

impl Function {
    /// Checks the operands, casts them to what the function needs, and names the result's type.
    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let (operands, data_type) = match self {
            Function::Math(function) => function.resolve(operands),
            Function::String(function) => function.resolve(operands),
            Function::Temporal(function) => function.resolve(operands),
        }?;
        Ok(TypedExpr {
            kind: TypedKind::Function {
                function: self.clone(),
                operands,
            },
            data_type,
        })
    }

    /// The function applied to operands, as text.
    pub fn describe(&self, operands: &[impl fmt::Display]) -> String {
        let operands: Vec<String> = operands.iter().map(ToString::to_string).collect();
        format!("{self}({})", operands.join(", "))
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Math(function) => function.fmt(f),
            Function::String(function) => function.fmt(f),
            Function::Temporal(function) => function.fmt(f),
        }
    }
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
