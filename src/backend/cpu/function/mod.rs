//! Functions of one row, a family per file.

mod list;
mod list_aggregate;
mod math;
mod strings;
mod temporal;
mod text;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

use super::arithmetic::{Failure, RowFault};
use super::evaluate::Active;
use super::scalar::arithmetic::Fault;
use super::values::from_integers;
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

impl Call<'_> {
    /// The rows in which an operand is null.
    fn nulls(&self) -> Option<NullBuffer> {
        let nulls = self.operands.iter().map(Array::logical_nulls);
        nulls.fold(None, |all, nulls| {
            NullBuffer::union(all.as_ref(), nulls.as_ref())
        })
    }

    /// A column of integers, decimals, dates or times, computed for the rows that may fail and have
    /// every operand; all others are null.
    fn integers(
        &self,
        f: impl Fn(usize) -> Result<Option<i128>, Fault>,
    ) -> Result<ArrayRef, Failure> {
        let rows = self.operands.first().map_or(0, Array::len);
        let nulls = self.nulls();
        let mut values = vec![0; rows];
        let mut valid = vec![false; rows];
        for row in 0..rows {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if is_null || self.active.is_some_and(|active| !active.value(row)) {
                continue;
            }
            match f(row) {
                Ok(Some(value)) => (values[row], valid[row]) = (value, true),
                Ok(None) => {}
                Err(fault) => return Err(Failure::Row(RowFault { row, fault })),
            }
        }
        let nulls = NullBuffer::from(valid);
        let column = from_integers(&values, Some(nulls), self.data_type);
        column.ok_or_else(|| refused(&"a function with integer results", self.data_type))
    }
}

/// The error for an operand that resolving lets through and this backend does not know.
fn refused(function: &impl std::fmt::Display, data_type: &DataType) -> Failure {
    let reason = format!("{function} of {data_type}");
    Failure::Type(Error::unsupported("cpu", "project", reason))
}

/// The column of a function's results.
pub(super) fn call(function: &Function, call: &Call) -> Result<ArrayRef, Failure> {
    match function {
        Function::InList(list) => list::call(list, call),
        Function::ListAggregate(function) => list_aggregate::call(function, call),
        Function::Math(function) => math::call(*function, call),
        Function::String(function) => strings::call(function, call),
        Function::Temporal(function) => temporal::call(*function, call),
        Function::Text(function) => text::call(*function, call),
    }
}
