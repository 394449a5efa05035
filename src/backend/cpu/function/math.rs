//! Functions over numbers; the rules are those of [`scalar::math`](super::super::scalar).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and, is_not_null, is_null, or};

use super::super::arithmetic::Failure;
use super::super::compare::{Operand, compare};
use super::super::scalar::math::{bits, float, round_decimal, round_float, settle, sign_float};
use super::super::values::{Numbers, from_floats, numbers, storage_range};
use super::{Call, refused};
use crate::error::Error;
use crate::expr::{BinaryOp, MathFunction};
use crate::types::{DataType, decimal_parts};

pub(super) fn call(function: MathFunction, call: &Call) -> Result<ArrayRef, Failure> {
    if let MathFunction::Greatest | MathFunction::Least = function {
        return extreme(function, call);
    }
    let operand = &call.operands[0];
    let refuse = || refused(&function, operand.data_type());
    let scale = |data_type: &DataType| decimal_parts(data_type).map_or(0, |(_, scale)| scale);
    let (from_scale, to_scale) = (scale(operand.data_type()), scale(call.data_type));
    let range = storage_range(call.data_type).unwrap_or_default();
    let settled = |exact: Option<i128>| settle(exact, call.data_type, range, call.semantics);
    let columns = call.operands.iter().map(|operand| numbers(operand));
    let columns = columns.collect::<Option<Vec<_>>>().ok_or_else(refuse)?;
    match (function, columns.as_slice()) {
        (MathFunction::Abs, [Numbers::Integers(values)]) => {
            call.integers(|row| settled(values[row].checked_abs()))
        }
        (MathFunction::Sign, [Numbers::Integers(values)]) => {
            call.integers(|row| Ok(Some(values[row].signum())))
        }
        (MathFunction::Round { digits, rounding }, [Numbers::Integers(values)]) => {
            let round =
                |row: usize| round_decimal(values[row], from_scale, digits, to_scale, rounding);
            call.integers(|row| settled(round(row)))
        }
        (MathFunction::Bits(function), [Numbers::Integers(left), rest @ ..]) => {
            let right = match rest {
                [Numbers::Integers(right)] => right,
                _ => left,
            };
            call.integers(|row| match bits(function, left[row], right[row], range) {
                Some(value) => Ok(Some(value)),
                None => settle(None, &DataType::Null, range, call.semantics),
            })
        }
        (MathFunction::Abs, [Numbers::Floats(values)]) => floats(call, values, f64::abs),
        (MathFunction::Sign, [Numbers::Floats(values)]) => floats(call, values, sign_float),
        (MathFunction::Round { digits, rounding }, [Numbers::Floats(values)]) => {
            floats(call, values, |value| round_float(value, digits, rounding))
        }
        (MathFunction::Float(function), [Numbers::Floats(values)]) => {
            floats(call, values, |value| float(function, value, 0.0))
        }
        (MathFunction::Float(function), [Numbers::Floats(left), Numbers::Floats(right)]) => {
            let pairs = left.iter().zip(right);
            let values = pairs.map(|(left, right)| float(function, *left, *right));
            from_floats(values.collect(), call.nulls(), call.data_type).ok_or_else(refuse)
        }
        (MathFunction::IsNan, [Numbers::Floats(values)]) => Ok(truth(call, values, f64::is_nan)),
        (MathFunction::IsFinite, [Numbers::Floats(values)]) => {
            Ok(truth(call, values, f64::is_finite))
        }
        _ => Err(refuse()),
    }
}

fn floats(call: &Call, values: &[f64], f: impl Fn(f64) -> f64) -> Result<ArrayRef, Failure> {
    let values = values.iter().map(|value| f(*value)).collect();
    let column = from_floats(values, call.nulls(), call.data_type);
    column.ok_or_else(|| refused(&"a function of floats", call.data_type))
}

fn truth(call: &Call, values: &[f64], f: impl Fn(f64) -> bool) -> ArrayRef {
    let values = values.iter().map(|value| f(*value)).collect();
    Arc::new(BooleanArray::new(values, call.nulls()))
}

/// The greatest or least operand of each row that is not null; of equal ones the first.
fn extreme(function: MathFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let op = if function == MathFunction::Greatest {
        BinaryOp::Greater
    } else {
        BinaryOp::Less
    };
    let operand = |array: &ArrayRef| Operand {
        array: Arc::clone(array),
        is_scalar: false,
    };
    let failed = |cause: arrow::error::ArrowError| {
        Failure::Type(Error::invalid("function", cause.to_string(), ""))
    };
    let mut best = Arc::clone(&call.operands[0]);
    for next in &call.operands[1..] {
        let beyond = compare(op, &operand(next), &operand(&best)).map_err(Failure::Type)?;
        let beyond = super::super::evaluate::true_rows(beyond.as_boolean());
        let first = is_null(&best).map_err(failed)?;
        let wins = or(&first, &BooleanArray::new(beyond, None)).map_err(failed)?;
        let wins = and(&wins, &is_not_null(next).map_err(failed)?).map_err(failed)?;
        best = zip(&wins, next, &best).map_err(failed)?;
    }
    Ok(best)
}
