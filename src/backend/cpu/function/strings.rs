//! Functions over strings.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array};
use arrow::compute::cast;

use super::super::arithmetic::Failure;
use super::{Call, refused};
use crate::expr::StringFunction;
use crate::types::DataType;

pub(super) fn call(function: &StringFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let operand = &call.operands[0];
    let text =
        cast(operand, &DataType::Utf8View).map_err(|_| refused(function, operand.data_type()))?;
    let text = text.as_string_view().iter();
    match function {
        StringFunction::Length => {
            let length = |text: &str| i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
            Ok(Arc::new(
                text.map(|text| text.map(length)).collect::<Int32Array>(),
            ))
        }
    }
}
