//! Membership in a list of constants.

use super::super::evaluate::Evaluator;
use super::super::upload;
use super::Call;
use crate::error::Result;
use crate::expr::{InList, literal_array};
use crate::kernels::{DeviceColumn, math};
use crate::types::{DataType, PhysicalType};

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
    let column = evaluator.comparable(call.columns[0].clone())?;
    math::in_list(evaluator.launch(), &column, &bits, has_null, &batch.rows)
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
