//! The five operators and negation, for one pair of values.

use arrow::datatypes::ArrowNativeTypeOp;

use super::cast::power_of_ten;
use crate::expr::BinaryOp;
use crate::types::{DivisionByZero, Overflow, Semantics};

/// Why an operation has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The result does not fit its type.
    Overflow,
    /// Integer or decimal division, or remainder, by zero.
    DivisionByZero,
    /// Not one of the five operators, or division of decimals: no backend is ever asked for it.
    Undefined,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Overflow => "overflow",
            Fault::DivisionByZero => "division by zero",
            Fault::Undefined => "undefined",
        })
    }
}

/// An integer operation; `Ok(None)` is null.
pub(crate) fn integer<T: ArrowNativeTypeOp>(
    op: BinaryOp,
    left: T,
    right: T,
    semantics: Semantics,
) -> Result<Option<T>, Fault> {
    let divides = matches!(op, BinaryOp::Divide | BinaryOp::Remainder);
    if divides && right.is_zero() {
        return by_zero(semantics);
    }
    let wrapped = match op {
        BinaryOp::Add => left.add_wrapping(right),
        BinaryOp::Subtract => left.sub_wrapping(right),
        BinaryOp::Multiply => left.mul_wrapping(right),
        BinaryOp::Divide => left.div_wrapping(right),
        BinaryOp::Remainder => left.mod_wrapping(right), // MIN % -1 is 0 and never overflows
        _ => return Err(Fault::Undefined),
    };
    let overflows = semantics.overflow == Overflow::Error
        && match op {
            BinaryOp::Add => left.add_checked(right).is_err(),
            BinaryOp::Subtract => left.sub_checked(right).is_err(),
            BinaryOp::Multiply => left.mul_checked(right).is_err(),
            BinaryOp::Divide => left.div_checked(right).is_err(),
            _ => false,
        };
    if overflows {
        return Err(Fault::Overflow);
    }
    Ok(Some(wrapped))
}

/// A decimal operation whose result has at most `precision` digits; `Ok(None)` is null. Operands
/// of all but `Multiply` have the scale of the result.
pub(crate) fn decimal(
    op: BinaryOp,
    left: i128,
    right: i128,
    precision: u8,
    semantics: Semantics,
) -> Result<Option<i128>, Fault> {
    let exact = match op {
        BinaryOp::Add => left.checked_add(right),
        BinaryOp::Subtract => left.checked_sub(right),
        BinaryOp::Multiply => left.checked_mul(right),
        BinaryOp::Remainder if right == 0 => return by_zero(semantics),
        BinaryOp::Remainder => Some(left.wrapping_rem(right)),
        _ => return Err(Fault::Undefined),
    };
    match exact.filter(|value| fits_digits(*value, precision)) {
        Some(value) => Ok(Some(value)),
        None if semantics.overflow == Overflow::Error => Err(Fault::Overflow),
        None => Ok(None),
    }
}

/// `-value` of a signed integer. Decimals negate exactly, floats flip their sign.
pub(crate) fn negate_integer<T: ArrowNativeTypeOp>(
    value: T,
    semantics: Semantics,
) -> Result<Option<T>, Fault> {
    if semantics.overflow == Overflow::Error && value.neg_checked().is_err() {
        return Err(Fault::Overflow);
    }
    Ok(Some(value.neg_wrapping()))
}

/// True if a decimal value has at most `precision` digits.
pub(crate) fn fits_digits(value: i128, precision: u8) -> bool {
    power_of_ten(u32::from(precision)).is_none_or(|bound| value.unsigned_abs() < bound)
}

fn by_zero<T>(semantics: Semantics) -> Result<Option<T>, Fault> {
    match semantics.division_by_zero {
        DivisionByZero::Null => Ok(None),
        DivisionByZero::Error => Err(Fault::DivisionByZero),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAP: Semantics = Semantics {
        overflow: Overflow::Wrap,
        division_by_zero: DivisionByZero::Null,
        empty_sum: crate::types::EmptySum::Null,
    };
    const STRICT: Semantics = Semantics {
        overflow: Overflow::Error,
        division_by_zero: DivisionByZero::Error,
        ..WRAP
    };

    #[test]
    fn integers_wrap_or_fail() {
        use BinaryOp::{Add, Divide, Multiply, Remainder, Subtract};
        for (op, left, right, wrapped) in [
            (Add, i8::MAX, 1, i8::MIN),
            (Subtract, i8::MIN, 1, i8::MAX),
            (Multiply, i8::MIN, -1, i8::MIN),
            (Multiply, 100, 3, 44),
            (Divide, i8::MIN, -1, i8::MIN),
        ] {
            assert_eq!(integer(op, left, right, WRAP), Ok(Some(wrapped)));
            assert_eq!(integer(op, left, right, STRICT), Err(Fault::Overflow));
        }
        assert_eq!(integer(Remainder, i8::MIN, -1, STRICT), Ok(Some(0)));
        assert_eq!(integer(Divide, -7i64, 2, STRICT), Ok(Some(-3)));
        assert_eq!(integer(Remainder, -7i64, 2, STRICT), Ok(Some(-1)));
        assert_eq!(integer(Subtract, 0u8, 1, WRAP), Ok(Some(255)));
        assert_eq!(integer(Subtract, 0u8, 1, STRICT), Err(Fault::Overflow));
        for op in [Divide, Remainder] {
            assert_eq!(integer(op, 1u64, 0, WRAP), Ok(None));
            assert_eq!(integer(op, 1u64, 0, STRICT), Err(Fault::DivisionByZero));
        }
        assert_eq!(negate_integer(i8::MIN, WRAP), Ok(Some(i8::MIN)));
        assert_eq!(negate_integer(i8::MIN, STRICT), Err(Fault::Overflow));
    }

    #[test]
    fn decimals_keep_their_digits() {
        use BinaryOp::{Add, Multiply, Remainder};
        assert_eq!(decimal(Add, 99, 1, 3, STRICT), Ok(Some(100)));
        assert_eq!(decimal(Add, 99, 1, 2, WRAP), Ok(None));
        assert_eq!(decimal(Add, -99, -1, 2, STRICT), Err(Fault::Overflow));
        assert_eq!(decimal(Multiply, i128::MAX, 2, 38, WRAP), Ok(None));
        assert_eq!(decimal(Remainder, -7, 4, 38, STRICT), Ok(Some(-3)));
        assert_eq!(decimal(Remainder, 7, 0, 38, WRAP), Ok(None));
        assert!(fits_digits(10i128.pow(38) - 1, 38));
        assert!(!fits_digits(10i128.pow(38), 38));
        assert!(!fits_digits(i128::MIN, 38));
    }
}
