//! Functions over numbers.

use super::super::evaluate::Evaluator;
use super::{Call, refused};
use crate::error::Result;
use crate::expr::{MathFunction, TypedExpr};
use crate::kernels::DeviceColumn;
use crate::types::DataType;

pub(super) fn check(function: MathFunction, _: &[TypedExpr], _: &DataType) -> Result<(), String> {
    Err(format!("the function {function}"))
}

pub(super) fn call(_: &Evaluator, function: MathFunction, _: &Call) -> Result<DeviceColumn> {
    Err(refused(&function))
}
