//! Functions of one row, a family per file.

mod math;
mod strings;
mod temporal;

use arrow::array::ArrayRef;

use super::arithmetic::Failure;
use super::evaluate::Active;
use crate::error::Error;
use crate::expr::Function;
use crate::types::{DataType, Semantics};

/// What a function is called with.
pub(super) struct Call<'a> {
    /// A column per operand.
    pub operands: &'a [ArrayRef],
    /// Type of the result.
    pub data_type: &'a DataType,
    /// Rows that may fail.
    pub active: Active<'a>,
    /// How arithmetic behaves.
    pub semantics: Semantics,
}

/// The error for an operand that resolving lets through and this backend does not know.
fn refused(function: &impl std::fmt::Display, data_type: &DataType) -> Failure {
    let reason = format!("{function} of {data_type}");
    Failure::Type(Error::unsupported("cpu", "project", reason))
}

/// The column of a function's results.
pub(super) fn call(function: &Function, call: &Call) -> Result<ArrayRef, Failure> {
    match function {
        Function::Math(function) => math::call(*function, call),
        Function::String(function) => strings::call(function, call),
        Function::Temporal(function) => temporal::call(*function, call),
    }
}
