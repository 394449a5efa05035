//! Which type two operands meet in.

use crate::types::{
    DECIMAL128_PRECISION_MAX, DataType, Literal, TimeUnit, decimal_parts, is_string,
};

/// Digits that every value of an integer type fits in.
pub(super) fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        _ => return None,
    })
}

fn integer_parts(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn integer_of(signed: bool, bits: u8) -> Option<DataType> {
    Some(match (signed, bits) {
        (true, 8) => DataType::Int8,
        (true, 16) => DataType::Int16,
        (true, 32) => DataType::Int32,
        (true, 64) => DataType::Int64,
        (false, 8) => DataType::UInt8,
        (false, 16) => DataType::UInt16,
        (false, 32) => DataType::UInt32,
        (false, 64) => DataType::UInt64,
        _ => return None,
    })
}

pub(super) fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float16 | DataType::Float32 | DataType::Float64
    )
}

pub(super) fn is_numeric(data_type: &DataType) -> bool {
    is_float(data_type) || integer_parts(data_type).is_some() || decimal_parts(data_type).is_some()
}

fn unit_rank(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// The decimal that holds every value of both operands, its scale kept and its digits capped.
fn common_decimal(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = left.1.max(right.1);
    let whole = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    let digits = whole(left).max(whole(right)) + i16::from(scale);
    let precision = u8::try_from(digits.clamp(1, i16::from(DECIMAL128_PRECISION_MAX))).unwrap_or(1);
    DataType::Decimal128(precision, scale)
}

/// The type in which values of both types can be compared or added, or `None`.
pub(super) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    if let (DataType::Decimal128(..), DataType::Decimal128(..)) = (left, right)
        && left == right
    {
        return Some(left.clone());
    }
    if left == right && decimal_parts(left).is_none() {
        return Some(left.clone());
    }
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => {
            // Decimals meet in 128 bits, whatever they meet.
            let decimal = |(precision, scale)| DataType::Decimal128(precision, scale);
            return Some(decimal_parts(other).map_or_else(|| other.clone(), decimal));
        }
        _ => {}
    }
    if is_string(left) && is_string(right) {
        return Some(DataType::Utf8);
    }
    if is_numeric(left) && is_numeric(right) {
        return common_numeric(left, right);
    }
    match (left, right) {
        (DataType::Timestamp(a, zone_a), DataType::Timestamp(b, zone_b)) => {
            if zone_a.is_some() != zone_b.is_some() {
                return None;
            }
            let unit = if unit_rank(*a) >= unit_rank(*b) {
                *a
            } else {
                *b
            };
            Some(DataType::Timestamp(unit, zone_a.clone()))
        }
        (DataType::Duration(a), DataType::Duration(b)) => {
            Some(DataType::Duration(if unit_rank(*a) >= unit_rank(*b) {
                *a
            } else {
                *b
            }))
        }
        (DataType::Date32, DataType::Timestamp(unit, None))
        | (DataType::Timestamp(unit, None), DataType::Date32) => {
            Some(DataType::Timestamp(*unit, None))
        }
        (DataType::Date32, DataType::Date64) | (DataType::Date64, DataType::Date32) => {
            Some(DataType::Date64)
        }
        _ => None,
    }
}

fn common_numeric(left: &DataType, right: &DataType) -> Option<DataType> {
    let (a, b) = (integer_parts(left), integer_parts(right));
    if let (Some((signed_a, bits_a)), Some((signed_b, bits_b))) = (a, b) {
        if signed_a == signed_b {
            return integer_of(signed_a, bits_a.max(bits_b));
        }
        let unsigned_bits = if signed_a { bits_b } else { bits_a };
        let signed_bits = if signed_a { bits_a } else { bits_b };
        return if unsigned_bits == 64 {
            Some(DataType::Decimal128(20, 0)) // exact, where Float64 would not be
        } else {
            integer_of(true, signed_bits.max(unsigned_bits * 2))
        };
    }
    if is_float(left) || is_float(right) {
        let narrow = |t: &DataType| {
            matches!(t, DataType::Float16 | DataType::Float32)
                || integer_parts(t).is_some_and(|(_, bits)| bits <= 16)
        };
        return Some(if narrow(left) && narrow(right) {
            DataType::Float32
        } else {
            DataType::Float64
        });
    }
    let decimal = |t: &DataType| decimal_parts(t).or_else(|| integer_digits(t).map(|d| (d, 0)));
    Some(common_decimal(decimal(left)?, decimal(right)?))
}

/// The type in which a literal meets a column: the column's own where the literal fits it, so
/// that `int8_column > 3` compares in eight bits.
pub(super) fn literal_type(literal: &Literal, other: &DataType) -> Option<DataType> {
    match literal {
        Literal::Int64(value) => match integer_parts(other) {
            Some((true, bits))
                if bits == 64 || (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(value) =>
            {
                Some(other.clone())
            }
            Some((false, bits)) if *value >= 0 && (bits == 64 || *value < 1i64 << bits) => {
                Some(other.clone())
            }
            _ if decimal_parts(other).is_some() => {
                let digits = u8::try_from(value.unsigned_abs().max(1).ilog10() + 1).ok()?;
                Some(DataType::Decimal128(digits, 0))
            }
            _ if is_float(other) => Some(other.clone()),
            _ => None,
        },
        Literal::Float64(_) if is_float(other) && *other != DataType::Float16 => {
            Some(other.clone())
        }
        Literal::Utf8(_) => match other {
            DataType::Date32 | DataType::Timestamp(_, _) => Some(other.clone()),
            _ => None,
        },
        _ => None,
    }
}
