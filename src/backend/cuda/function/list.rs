//! Membership in a list of constants.

use super::super::evaluate::Evaluator;
use super::super::upload;
use super::Call;
use super::strings::Operand;
use crate::error::Result;
use crate::expr::{BinaryOp, InList, literal_array};
use crate::kernels::{DeviceColumn, abi, math, project};
use crate::types::{DataType, Literal, PhysicalType};

/// A string that is a view is compared with so many constants at most; for more of them it becomes a
/// code, which goes through the host.
const COMPARED_MAX: usize = 64;

pub(super) fn call(evaluator: &Evaluator, list: &InList, call: &Call) -> Result<DeviceColumn> {
    let batch = evaluator.batch();
    let boolean = |bits| DeviceColumn::scalar(PhysicalType::Boolean, bits, batch.rows.max());
    let data_type = &call.operands[0].data_type;
    if list.values.is_empty() {
        return Ok(boolean(Some(0)));
    }
    if *data_type == DataType::Null {
        return Ok(boolean(None));
    }
    let column = &call.columns[0];
    if column.physical() == PhysicalType::View
        && let Some(found) = compared(evaluator, list, column)?
    {
        return Ok(found);
    }
    let mut bits = Vec::with_capacity(list.values.len());
    let mut has_null = false;
    for value in &list.values {
        let array = literal_array(value, data_type)?;
        // Strings are codes of the dictionary, here as in the column.
        match upload::scalar_bits(&array, &batch.dictionary)? {
            Some(value) => bits.push(canonical(data_type, value)),
            None => has_null = true,
        }
    }
    let column = evaluator.strings().coded(column)?;
    let column = evaluator.comparable(column)?;
    math::in_list(evaluator.launch(), &column, &bits, has_null, &batch.rows)
}

/// Membership of strings that are views, by a comparison with each constant; none if there are too many,
/// or one is no string.
fn compared(
    evaluator: &Evaluator,
    list: &InList,
    column: &DeviceColumn,
) -> Result<Option<DeviceColumn>> {
    if list.values.len() > COMPARED_MAX {
        return Ok(None);
    }
    let rows = &evaluator.batch().rows;
    let mut found: Option<DeviceColumn> = None;
    for value in &list.values {
        let equal = match value {
            Literal::Utf8(text) => {
                let constant = Operand::Constant(text.clone());
                let equal = (BinaryOp::Equal, abi::PROJECT_EQUAL);
                evaluator.strings().compare(equal, column, &constant)?
            }
            Literal::Null => DeviceColumn::scalar(PhysicalType::Boolean, None, rows.max()),
            _ => return Ok(None),
        };
        found = Some(match found {
            None => equal,
            Some(found) => {
                project::logic(evaluator.launch(), abi::PROJECT_OR, &found, &equal, rows)?
            }
        });
    }
    Ok(found)
}

/// The bits that all equal values have: one zero, one NaN, as the kernels have them.
fn canonical(data_type: &DataType, bits: u128) -> u128 {
    let single = |value: f32| {
        let value = if value.is_nan() {
            f32::NAN
        } else {
            value + 0.0
        };
        value.to_bits().into()
    };
    match data_type {
        // Kernels compare halves as singles.
        DataType::Float16 => single(half::f16::from_bits(bits as u16).to_f32()),
        DataType::Float32 => single(f32::from_bits(bits as u32)),
        DataType::Float64 => {
            let value = f64::from_bits(bits as u64);
            let value = if value.is_nan() {
                f64::NAN
            } else {
                value + 0.0
            };
            value.to_bits().into()
        }
        _ => bits,
    }
}
