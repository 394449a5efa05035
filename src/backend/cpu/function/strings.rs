//! Functions over strings: a row at a time, as `backend/strings.rs` says.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, LargeStringBuilder, StringViewArray,
};
use arrow::compute::cast;

use super::super::arithmetic::Failure;
use super::{Call, refused};
use crate::backend::strings::{Prepared, prepare};
use crate::error::Error;
use crate::expr::StringFunction;
use crate::types::DataType;

pub(super) fn call(function: &StringFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let text = |operand: &ArrayRef| {
        let text = cast(operand, &DataType::Utf8View);
        let text = text.map_err(|_| refused(function, operand.data_type()))?;
        Ok(text.as_string_view().clone())
    };
    let operands = call.operands.iter().map(text);
    let operands = operands.collect::<Result<Vec<StringViewArray>, Failure>>()?;
    match function {
        StringFunction::Concat => concat(&operands, None, call.data_type),
        StringFunction::ConcatWith(separator) => concat(&operands, Some(separator), call.data_type),
        _ => {
            let rows = operands[0].iter();
            Ok(match prepare(function).map_err(Failure::Type)? {
                Prepared::Boolean(of) => {
                    Arc::new(rows.map(|row| row.map(&of)).collect::<BooleanArray>())
                }
                Prepared::Integer(of) => {
                    Arc::new(rows.map(|row| row.map(&of)).collect::<Int32Array>())
                }
                Prepared::Text(of) => {
                    let mut strings = LargeStringBuilder::new();
                    rows.for_each(|row| strings.append_option(row.map(&of)));
                    return strings_of(strings, call.data_type);
                }
            })
        }
    }
}

/// The operands of each row behind one another. With a separator nulls are left out; without one, a
/// null makes the row null.
fn concat(
    operands: &[StringViewArray],
    separator: Option<&str>,
    data_type: &DataType,
) -> Result<ArrayRef, Failure> {
    let mut strings = LargeStringBuilder::new();
    for row in 0..operands[0].len() {
        let cells = operands
            .iter()
            .map(|operand| operand.is_valid(row).then(|| operand.value(row)));
        match separator {
            Some(separator) => {
                let cells: Vec<&str> = cells.flatten().collect();
                strings.append_value(cells.join(separator));
            }
            None => strings.append_option(cells.collect::<Option<Vec<&str>>>().map(|c| c.concat())),
        }
    }
    strings_of(strings, data_type)
}

fn strings_of(mut strings: LargeStringBuilder, to: &DataType) -> Result<ArrayRef, Failure> {
    let strings: ArrayRef = Arc::new(strings.finish());
    cast(&strings, to)
        .map_err(|cause| Failure::Type(Error::invalid("strings", cause.to_string(), "")))
}
