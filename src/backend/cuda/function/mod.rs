//! Functions of one row by kernels, a family per file: what the device has, and how it is called.

mod automaton;
mod list;
mod math;
pub(super) mod strings;
mod temporal;

use super::evaluate::Evaluator;
use crate::error::Result;
use crate::expr::{Function, TypedExpr};
use crate::kernels::{DeviceColumn, abi};
use crate::types::DataType;

/// What a function is called with.
pub(super) struct Call<'a> {
    /// The operands as they were typed.
    pub operands: &'a [TypedExpr],
    /// Their columns, in order; strings are codes of the batch's dictionary.
    pub columns: &'a [DeviceColumn],
    /// Type of the result.
    pub data_type: &'a DataType,
    /// Rows that may fail; all, if absent.
    pub active: Option<&'a DeviceColumn>,
}

/// The reason why kernels cannot compute a function, if there is one; asked before anything runs.
pub(super) fn check(function: &Function, operands: &[TypedExpr]) -> Result<(), String> {
    match function {
        Function::InList(_) | Function::Math(_) => Ok(()),
        Function::String(_) if operands.len() > abi::STRINGS_OPERANDS_MAX as usize => {
            Err(format!("a function of {} strings", operands.len()))
        }
        Function::String(_) => Ok(()),
        Function::Temporal(function) => temporal::check(*function),
        Function::ListAggregate(_) | Function::Text(_) => Err(format!("the function {function}")),
    }
}

/// The column of a function's results.
pub(super) fn call(
    evaluator: &Evaluator,
    function: &Function,
    call: &Call,
) -> Result<DeviceColumn> {
    match function {
        Function::InList(list) => list::call(evaluator, list, call),
        Function::Math(function) => math::call(evaluator, *function, call),
        Function::ListAggregate(_) | Function::String(_) | Function::Text(_) => {
            Err(refused(function))
        }
        Function::Temporal(function) => temporal::call(evaluator, *function, call),
    }
}

/// The error for a function that `check` refuses.
fn refused(function: &impl std::fmt::Display) -> crate::error::Error {
    crate::error::Error::unsupported("cuda", "project", format!("the function {function}"))
}
