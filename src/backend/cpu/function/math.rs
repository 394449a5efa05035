//! Functions over numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Float64Type;

use super::super::arithmetic::Failure;
use super::{Call, refused};
use crate::expr::MathFunction;
use crate::types::DataType;

pub(super) fn call(function: MathFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let operand = &call.operands[0];
    match (function, operand.data_type()) {
        (MathFunction::Abs, DataType::Float64) => Ok(Arc::new(
            operand
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(f64::abs),
        )),
        (function, other) => Err(refused(&function, other)),
    }
}
