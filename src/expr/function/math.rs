//! Functions over numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::coerce::{common_type, is_float, is_numeric};
use super::super::resolve::{cast_to, common_of_all};
use super::super::typed::TypedExpr;
use super::{Function, applied, only, pair, undefined};
use crate::error::{Error, Result};
use crate::types::{DECIMAL128_PRECISION_MAX, DataType, decimal_parts};

/// Most digits that `round` and its kin are asked for, before or behind the point.
const ROUND_DIGITS_MAX: u8 = 38;

/// Which neighbour a number that is rounded takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The nearest; of two equally near the one further from zero.
    HalfAwayFromZero,
    /// The nearest that is not greater.
    Floor,
    /// The nearest that is not less.
    Ceiling,
    /// The nearest that is not further from zero.
    TowardZero,
}

/// A function of one or two `Float64`, as IEEE 754 and libm have it: what is undefined is NaN or
/// infinite, never an error. All but `Sqrt`, `Degrees` and `Radians` may differ in the last bits
/// between backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatFunction {
    /// Square root.
    Sqrt,
    /// Cube root.
    Cbrt,
    /// e to the power of the operand.
    Exp,
    /// Natural logarithm.
    Ln,
    /// Logarithm to base 10.
    Log10,
    /// Logarithm to base 2.
    Log2,
    /// Sine, of radians.
    Sin,
    /// Cosine, of radians.
    Cos,
    /// Tangent, of radians.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Radians as degrees: multiplied by the `f64` nearest to 180 / π.
    Degrees,
    /// Degrees as radians: multiplied by the `f64` nearest to π / 180.
    Radians,
    /// The first operand to the power of the second.
    Power,
    /// The logarithm of the first operand to the base of the second: `ln(a) / ln(b)`.
    Log,
    /// The angle of the point (second operand, first operand), from −π to π.
    Atan2,
}

impl FloatFunction {
    fn is_binary(self) -> bool {
        use FloatFunction::{Atan2, Log, Power};
        matches!(self, Power | Log | Atan2)
    }

    /// True if every backend gives the same bits.
    pub fn is_exact(self) -> bool {
        use FloatFunction::{Degrees, Radians, Sqrt};
        matches!(self, Sqrt | Degrees | Radians)
    }
}

/// A function of the bits of integers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BitFunction {
    /// Bits that both have.
    And,
    /// Bits that one has.
    Or,
    /// Bits that one has and the other has not.
    Xor,
    /// Bits that the operand has not.
    Not,
    /// Toward the sign by so many bits, which must not be negative nor reach the type's width: else
    /// null, or an overflow error. What is shifted out is lost.
    ShiftLeft,
    /// Away from the sign, which signed types keep; as `ShiftLeft` otherwise.
    ShiftRight,
}

/// A function over numbers. `Float16` is computed, and given, as `Float32`; a decimal as a
/// `Decimal128`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MathFunction {
    /// The value without its sign; the type stays. The least signed integer overflows.
    Abs,
    /// −1, 0 or 1 as `Int8`; of floats ±1, the zero itself, or NaN, in the operand's type.
    Sign,
    /// Rounded to so many digits behind the point, or, if negative, before it.
    ///
    /// A decimal's scale falls to what is asked, at least 0, and its precision by as much, plus one
    /// for the carry. An integer keeps its type and may overflow. A float `x` is
    /// `round(x × 10^digits) / 10^digits` in `f64`, or itself where that product is not finite.
    Round {
        /// Digits to keep, at most 38 on either side.
        digits: i8,
        /// What becomes of the rest.
        rounding: Rounding,
    },
    /// In `Float64`.
    Float(FloatFunction),
    /// True for NaN.
    IsNan,
    /// True unless NaN or infinite.
    IsFinite,
    /// Over the bits of integers.
    Bits(BitFunction),
    /// The greatest operand that is not null, in the operands' common type; null if all are. NaN is
    /// greater than every number. Of equal operands the first.
    Greatest,
    /// The least operand that is not null, as `Greatest`.
    Least,
}

impl MathFunction {
    pub(super) fn resolve(self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let whole = Function::Math(self);
        match self {
            MathFunction::Abs => {
                let operand = number(&whole, operands)?;
                let data_type = operand.data_type.clone();
                if data_type.is_unsigned_integer() {
                    return Ok(operand);
                }
                Ok(applied(whole, vec![operand], data_type))
            }
            MathFunction::Sign => {
                let operand = number(&whole, operands)?;
                let data_type = if is_float(&operand.data_type) {
                    operand.data_type.clone()
                } else {
                    DataType::Int8
                };
                Ok(applied(whole, vec![operand], data_type))
            }
            MathFunction::Round { digits, .. } => round(whole, digits, operands),
            MathFunction::Float(function) => {
                let operands = if function.is_binary() {
                    pair(&whole, operands)?.into()
                } else {
                    vec![only(&whole, operands)?]
                };
                let float = |operand: TypedExpr| match &operand.data_type {
                    DataType::Null => cast_to(operand, &DataType::Float64),
                    other if is_numeric(other) => cast_to(operand, &DataType::Float64),
                    other => Err(undefined(&whole, other)),
                };
                let operands = operands.into_iter().map(float).collect::<Result<_>>()?;
                Ok(applied(whole, operands, DataType::Float64))
            }
            MathFunction::IsNan | MathFunction::IsFinite => {
                let operand = number(&whole, operands)?;
                let operand = if is_float(&operand.data_type) {
                    operand
                } else {
                    cast_to(operand, &DataType::Float64)?
                };
                Ok(applied(whole, vec![operand], DataType::Boolean))
            }
            MathFunction::Bits(function) => bits(whole, function, operands),
            MathFunction::Greatest | MathFunction::Least => {
                let common = match common_of_all(&whole, operands.iter())? {
                    DataType::Float16 => DataType::Float32,
                    common => common,
                };
                if common.is_nested() || matches!(common, DataType::Interval(_)) {
                    return Err(undefined(&whole, &common));
                }
                let operands = operands.into_iter();
                let operands = operands.map(|operand| cast_to(operand, &common));
                let mut operands = operands.collect::<Result<Vec<_>>>()?;
                if operands.len() == 1 || common == DataType::Null {
                    return Ok(operands.remove(0));
                }
                Ok(applied(whole, operands, common))
            }
        }
    }

    /// What the function is called with besides its operands.
    pub(super) fn constants(self) -> Vec<String> {
        match self {
            MathFunction::Round { digits, .. } if digits != 0 => vec![digits.to_string()],
            _ => Vec::new(),
        }
    }
}

/// The one operand, a number of a type that is computed in.
fn number(whole: &Function, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
    let operand = only(whole, operands)?;
    let to = match &operand.data_type {
        DataType::Null => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        other if !is_numeric(other) => return Err(undefined(whole, other)),
        other => match decimal_parts(other) {
            Some((precision, scale)) => DataType::Decimal128(precision, scale),
            None => other.clone(),
        },
    };
    cast_to(operand, &to)
}

fn round(whole: Function, digits: i8, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
    if digits.unsigned_abs() > ROUND_DIGITS_MAX {
        let cause = format!("{digits} digits");
        let remedy = format!("ask for at most {ROUND_DIGITS_MAX}");
        return Err(Error::invalid(format!("function {whole}"), cause, remedy));
    }
    let operand = number(&whole, operands)?;
    let Some((precision, scale)) = decimal_parts(&operand.data_type) else {
        if operand.data_type.is_integer() && digits >= 0 {
            return Ok(operand);
        }
        let data_type = operand.data_type.clone();
        return Ok(applied(whole, vec![operand], data_type));
    };
    if digits >= scale {
        return Ok(operand);
    }
    let kept = digits.max(0).min(scale);
    let digits = i16::from(precision) - i16::from(scale) + i16::from(kept) + 1;
    let precision = u8::try_from(digits.clamp(1, i16::from(DECIMAL128_PRECISION_MAX)));
    let data_type = DataType::Decimal128(precision.unwrap_or(DECIMAL128_PRECISION_MAX), kept);
    Ok(applied(whole, vec![operand], data_type))
}

fn bits(whole: Function, function: BitFunction, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
    let integer = |data_type: &DataType| match data_type {
        DataType::Null => Ok(DataType::Int64),
        other if other.is_integer() => Ok(other.clone()),
        other => Err(undefined(&whole, other)),
    };
    if function == BitFunction::Not {
        let operand = only(&whole, operands)?;
        let data_type = integer(&operand.data_type)?;
        let operand = cast_to(operand, &data_type)?;
        return Ok(applied(whole, vec![operand], data_type));
    }
    let [left, right] = pair(&whole, operands)?;
    let data_type = match function {
        BitFunction::ShiftLeft | BitFunction::ShiftRight => integer(&left.data_type)?,
        _ => integer(&common_of_all(&whole, [&left, &right].into_iter())?)?,
    };
    let left = cast_to(left, &data_type)?;
    let right = if matches!(function, BitFunction::ShiftLeft | BitFunction::ShiftRight) {
        // A count that the type does not hold is beyond its width: null, as the function says.
        let count = common_type(&integer(&right.data_type)?, &DataType::Int64);
        let count = count.filter(DataType::is_integer);
        cast_to(right, &count.unwrap_or(DataType::UInt64))?
    } else {
        cast_to(right, &data_type)?
    };
    Ok(applied(whole, vec![left, right], data_type))
}

impl fmt::Display for MathFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MathFunction::Abs => "abs",
            MathFunction::Sign => "sign",
            MathFunction::Round { rounding, .. } => match rounding {
                Rounding::HalfAwayFromZero => "round",
                Rounding::Floor => "floor",
                Rounding::Ceiling => "ceil",
                Rounding::TowardZero => "trunc",
            },
            MathFunction::Float(function) => match function {
                FloatFunction::Sqrt => "sqrt",
                FloatFunction::Cbrt => "cbrt",
                FloatFunction::Exp => "exp",
                FloatFunction::Ln => "ln",
                FloatFunction::Log10 => "log10",
                FloatFunction::Log2 => "log2",
                FloatFunction::Sin => "sin",
                FloatFunction::Cos => "cos",
                FloatFunction::Tan => "tan",
                FloatFunction::Asin => "asin",
                FloatFunction::Acos => "acos",
                FloatFunction::Atan => "atan",
                FloatFunction::Degrees => "degrees",
                FloatFunction::Radians => "radians",
                FloatFunction::Power => "power",
                FloatFunction::Log => "log",
                FloatFunction::Atan2 => "atan2",
            },
            MathFunction::IsNan => "is_nan",
            MathFunction::IsFinite => "is_finite",
            MathFunction::Bits(function) => match function {
                BitFunction::And => "bit_and",
                BitFunction::Or => "bit_or",
                BitFunction::Xor => "bit_xor",
                BitFunction::Not => "bit_not",
                BitFunction::ShiftLeft => "shift_left",
                BitFunction::ShiftRight => "shift_right",
            },
            MathFunction::Greatest => "greatest",
            MathFunction::Least => "least",
        })
    }
}
