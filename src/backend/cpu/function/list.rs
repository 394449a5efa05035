//! Membership in a list: the values compared one by one, by the rules of `=` and `or`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::or_kleene;

use super::super::arithmetic::Failure;
use super::super::compare::{Operand, compare};
use super::Call;
use crate::error::Error;
use crate::expr::{BinaryOp, InList, literal_array};

pub(super) fn call(list: &InList, call: &Call) -> Result<ArrayRef, Failure> {
    let operand = Operand {
        array: Arc::clone(&call.operands[0]),
        is_scalar: false,
    };
    let rows = operand.array.len();
    let mut found = BooleanArray::new(BooleanBuffer::new_unset(rows), None);
    for value in &list.values {
        let value = Operand {
            array: literal_array(value, operand.array.data_type()).map_err(Failure::Type)?,
            is_scalar: true,
        };
        let equal = compare(BinaryOp::Equal, &operand, &value).map_err(Failure::Type)?;
        found = or_kleene(&found, equal.as_boolean())
            .map_err(|cause| Failure::Type(Error::invalid("is_in", cause.to_string(), "")))?;
    }
    Ok(Arc::new(found))
}
