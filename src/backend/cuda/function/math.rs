//! Functions over numbers.

use super::super::evaluate::{Evaluator, physical};
use super::{Call, refused};
use crate::error::Result;
use crate::expr::{BitFunction, FloatFunction, MathFunction, Rounding};
use crate::kernels::math::{self as kernel, RoundSteps};
use crate::kernels::project::compare;
use crate::kernels::{DeviceColumn, abi};
use crate::types::{DataType, PhysicalType, decimal_parts, is_text};

pub(super) fn call(
    evaluator: &Evaluator,
    function: MathFunction,
    call: &Call,
) -> Result<DeviceColumn> {
    let (launch, rows) = (evaluator.launch(), &evaluator.batch().rows);
    let failures = evaluator.arithmetic_failures(call.active);
    let is_float = |column: &DeviceColumn| {
        matches!(
            column.physical(),
            PhysicalType::Float32 | PhysicalType::Float64
        )
    };
    let scalar =
        |bits: u64| DeviceColumn::scalar(PhysicalType::Float64, Some(bits.into()), rows.max());
    match (function, call.columns) {
        (MathFunction::Abs, [column]) => {
            kernel::unary(launch, abi::MATH_ABS, column, rows, &failures)
        }
        (MathFunction::Sign, [column]) if is_float(column) => {
            kernel::unary(launch, abi::MATH_SIGN, column, rows, &failures)
        }
        (MathFunction::Sign, [column]) => kernel::sign(launch, column, rows),
        (MathFunction::Round { digits, rounding }, [column]) => {
            let from = &call.operands[0].data_type;
            let steps = round_steps(digits, rounding, from, call.data_type);
            let physical = physical(call.data_type)?;
            kernel::round(launch, column, physical, steps, rows, &failures)
        }
        (MathFunction::Float(function), [column]) => {
            let (op, right) = float_op(function);
            kernel::float(launch, op, column, &scalar(right.to_bits()), rows)
        }
        (MathFunction::Float(function), [left, right]) => {
            kernel::float(launch, float_op(function).0, left, right, rows)
        }
        (MathFunction::IsNan, [column]) => {
            // NaN equals NaN, in comparisons.
            let nan = float_scalar(column.physical(), f64::NAN, rows.max());
            compare(launch, abi::PROJECT_EQUAL, column, &nan, rows)
        }
        (MathFunction::IsFinite, [column]) => {
            let infinity = |value| float_scalar(column.physical(), value, rows.max());
            let (low, high) = (infinity(f64::NEG_INFINITY), infinity(f64::INFINITY));
            let (above, below) = (abi::PROJECT_GREATER, abi::PROJECT_LESS);
            kernel::between(launch, column, (above, &low), (below, &high), rows)
        }
        (MathFunction::Bits(BitFunction::Not), [column]) => {
            kernel::unary(launch, abi::MATH_BIT_NOT, column, rows, &failures)
        }
        (MathFunction::Bits(function), [left, right]) => match function {
            BitFunction::And => kernel::bits(launch, abi::MATH_BIT_AND, left, right, rows),
            BitFunction::Or => kernel::bits(launch, abi::MATH_BIT_OR, left, right, rows),
            BitFunction::Xor => kernel::bits(launch, abi::MATH_BIT_XOR, left, right, rows),
            BitFunction::ShiftLeft => {
                kernel::shift(launch, abi::MATH_SHIFT_LEFT, left, right, rows, &failures)
            }
            BitFunction::ShiftRight => {
                kernel::shift(launch, abi::MATH_SHIFT_RIGHT, left, right, rows, &failures)
            }
            BitFunction::Not => Err(refused(&MathFunction::Bits(function))),
        },
        (MathFunction::Greatest, [first, rest @ ..]) => {
            extreme(evaluator, abi::MATH_GREATEST, first, rest, call.data_type)
        }
        (MathFunction::Least, [first, rest @ ..]) => {
            extreme(evaluator, abi::MATH_LEAST, first, rest, call.data_type)
        }
        _ => Err(refused(&function)),
    }
}

/// The greatest or least of all columns. Booleans go through bytes: no order of bits is known; codes
/// of strings and bytes go through their ranks.
fn extreme(
    evaluator: &Evaluator,
    op: u32,
    first: &DeviceColumn,
    rest: &[DeviceColumn],
    data_type: &DataType,
) -> Result<DeviceColumn> {
    let (launch, rows) = (evaluator.launch(), &evaluator.batch().rows);
    let dictionary = &evaluator.batch().dictionary;
    let order = is_text(data_type).then(|| dictionary.tables.order(launch, dictionary));
    let order = order.transpose()?;
    let comparable = |column: &DeviceColumn| match &order {
        Some(order) => order.ranks(launch, column, rows),
        None => evaluator.comparable(column.clone()),
    };
    let mut best = comparable(first)?;
    for next in rest {
        let next = comparable(next)?;
        let wide = best.physical().max(next.physical()); // decimals of two widths
        let (left, right) = (evaluator.widen(best, wide)?, evaluator.widen(next, wide)?);
        best = kernel::extreme(launch, op, &left, &right, rows)?;
    }
    match order {
        Some(order) => order.codes(launch, &best, rows),
        None => evaluator.widen(best, physical(data_type)?),
    }
}

fn float_scalar(physical: PhysicalType, value: f64, rows: u64) -> DeviceColumn {
    let bits = match physical {
        PhysicalType::Float32 => u128::from((value as f32).to_bits()),
        _ => u128::from(value.to_bits()),
    };
    DeviceColumn::scalar(physical, Some(bits), rows)
}

/// The kernel's operator, and the second operand of functions that are a product.
fn float_op(function: FloatFunction) -> (u32, f64) {
    let op = match function {
        FloatFunction::Sqrt => abi::MATH_SQRT,
        FloatFunction::Cbrt => abi::MATH_CBRT,
        FloatFunction::Exp => abi::MATH_EXP,
        FloatFunction::Ln => abi::MATH_LN,
        FloatFunction::Log10 => abi::MATH_LOG10,
        FloatFunction::Log2 => abi::MATH_LOG2,
        FloatFunction::Sin => abi::MATH_SIN,
        FloatFunction::Cos => abi::MATH_COS,
        FloatFunction::Tan => abi::MATH_TAN,
        FloatFunction::Asin => abi::MATH_ASIN,
        FloatFunction::Acos => abi::MATH_ACOS,
        FloatFunction::Atan => abi::MATH_ATAN,
        FloatFunction::Power => abi::MATH_POWER,
        FloatFunction::Log => abi::MATH_LOG,
        FloatFunction::Atan2 => abi::MATH_ATAN2,
        FloatFunction::Degrees => return (abi::MATH_SCALE, 180.0 / std::f64::consts::PI),
        FloatFunction::Radians => return (abi::MATH_SCALE, std::f64::consts::PI / 180.0),
    };
    (op, 0.0)
}

fn round_steps(digits: i8, rounding: Rounding, from: &DataType, to: &DataType) -> RoundSteps {
    let parts = |data_type: &DataType| decimal_parts(data_type).unwrap_or((0, 0));
    let ((_, scale), (precision, to_scale)) = (parts(from), parts(to));
    let power = |exponent: i16| 10i128.checked_pow(u32::from(exponent.unsigned_abs()));
    let limit = match decimal_parts(to) {
        Some(_) => power(precision.into()),
        None => Some(0),
    };
    let divisor = power(i16::from(scale) - i16::from(digits));
    RoundSteps {
        divisor: divisor.unwrap_or(0),
        multiplier: power(i16::from(to_scale) - i16::from(digits)).unwrap_or(1),
        limit: limit.unwrap_or(0),
        factor: power_f64(digits),
        digits_are_behind: digits >= 0,
        rounding: match rounding {
            Rounding::HalfAwayFromZero => abi::MATH_ROUND_HALF_AWAY,
            Rounding::Floor => abi::MATH_ROUND_FLOOR,
            Rounding::Ceiling => abi::MATH_ROUND_CEILING,
            Rounding::TowardZero => abi::MATH_ROUND_TOWARD_ZERO,
        },
    }
}

/// 10^|digits| as the nearest float.
fn power_f64(digits: i8) -> f64 {
    super::super::rescale::power_f64(digits.unsigned_abs() as i8).unwrap_or(1.0)
}
