//! Functions over dates, times and durations.

use super::super::evaluate::Evaluator;
use super::{Call, refused};
use crate::error::Result;
use crate::expr::{TemporalFunction, TypedExpr};
use crate::kernels::DeviceColumn;
use crate::types::DataType;

pub(super) fn check(
    function: TemporalFunction,
    _: &[TypedExpr],
    _: &DataType,
) -> Result<(), String> {
    Err(format!("the function {function}"))
}

pub(super) fn call(_: &Evaluator, function: TemporalFunction, _: &Call) -> Result<DeviceColumn> {
    Err(refused(&function))
}
