//! Functions over dates, times and durations.

use arrow::array::ArrayRef;
use arrow::compute;

use super::super::arithmetic::Failure;
use super::{Call, refused};
use crate::expr::{DatePart, TemporalFunction};

pub(super) fn call(function: TemporalFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let operand = &call.operands[0];
    match function {
        TemporalFunction::Extract(DatePart::Year) => {
            compute::date_part(operand, compute::DatePart::Year)
                .map_err(|_| refused(&function, operand.data_type()))
        }
    }
}
