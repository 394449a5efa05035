//! Functions over numbers, for one value; `function/math.rs` has the loops.

use super::arithmetic::{Fault, fits_digits};
use super::cast::{power_of_ten, power_of_ten_f64};
use crate::expr::{BitFunction, FloatFunction, Rounding};
use crate::types::{DataType, Overflow, Semantics, decimal_parts};

/// From here on every `f64` is a whole number.
const WHOLE_FROM: f64 = 4_503_599_627_370_496.0; // 2^52

/// An exact result (none: beyond 128 bits) as a value of its type, which stores `range`: integers
/// wrap, all else is null, or it fails.
pub(crate) fn settle(
    exact: Option<i128>,
    to: &DataType,
    range: (i128, i128),
    semantics: Semantics,
) -> Result<Option<i128>, Fault> {
    let (min, max) = range;
    let digits = decimal_parts(to).map(|(precision, _)| precision);
    let fits = |value: &i128| {
        (min..=max).contains(value) && digits.is_none_or(|digits| fits_digits(*value, digits))
    };
    match exact.filter(fits) {
        Some(value) => Ok(Some(value)),
        None if semantics.overflow == Overflow::Error => Err(Fault::Overflow),
        None if to.is_integer() => {
            Ok(exact.map(|value| min + (value - min).rem_euclid(max - min + 1)))
        }
        None => Ok(None),
    }
}

/// `value`, of scale `scale`, with `digits` digits behind the point, at scale `to_scale`, which is
/// not less than `digits`. None: beyond 128 bits.
pub(crate) fn round_decimal(
    value: i128,
    scale: i8,
    digits: i8,
    to_scale: i8,
    rounding: Rounding,
) -> Option<i128> {
    let power = |exponent: i16| power_of_ten(u32::from(exponent.unsigned_abs()));
    let (quotient, rest) = match power(i16::from(scale) - i16::from(digits)) {
        Some(divisor) => (value / divisor as i128, value % divisor as i128),
        None => (0, value), // no value has so many digits
    };
    let away = match rounding {
        Rounding::HalfAwayFromZero => {
            let distance = rest.unsigned_abs();
            power(i16::from(scale) - i16::from(digits))
                .is_some_and(|divisor| distance >= divisor - distance)
        }
        Rounding::Floor => rest < 0,
        Rounding::Ceiling => rest > 0,
        Rounding::TowardZero => false,
    };
    let rounded = if away {
        quotient + value.signum()
    } else {
        quotient
    };
    match power(i16::from(to_scale) - i16::from(digits)) {
        Some(factor) => rounded.checked_mul(factor as i128),
        None => (rounded == 0).then_some(0),
    }
}

/// `round(x × 10^digits) / 10^digits`, or `x` where the product is whole or not finite.
pub(crate) fn round_float(value: f64, digits: i8, rounding: Rounding) -> f64 {
    let power = power_of_ten_f64(u32::from(digits.unsigned_abs()));
    let scaled = if digits >= 0 {
        value * power
    } else {
        value / power
    };
    if scaled.is_nan() || scaled.abs() >= WHOLE_FROM {
        return value;
    }
    let whole = match rounding {
        Rounding::HalfAwayFromZero => scaled.round(),
        Rounding::Floor => scaled.floor(),
        Rounding::Ceiling => scaled.ceil(),
        Rounding::TowardZero => scaled.trunc(),
    };
    if digits >= 0 {
        whole / power
    } else {
        whole * power
    }
}

/// ±1 with the sign of the value; zeros and NaN are themselves.
pub(crate) fn sign_float(value: f64) -> f64 {
    if value == 0.0 || value.is_nan() {
        value
    } else {
        1f64.copysign(value)
    }
}

/// A function of one or two floats; `right` is ignored by those of one.
pub(crate) fn float(function: FloatFunction, left: f64, right: f64) -> f64 {
    match function {
        FloatFunction::Sqrt => left.sqrt(),
        FloatFunction::Cbrt => left.cbrt(),
        FloatFunction::Exp => left.exp(),
        FloatFunction::Ln => left.ln(),
        FloatFunction::Log10 => left.log10(),
        FloatFunction::Log2 => left.log2(),
        FloatFunction::Sin => left.sin(),
        FloatFunction::Cos => left.cos(),
        FloatFunction::Tan => left.tan(),
        FloatFunction::Asin => left.asin(),
        FloatFunction::Acos => left.acos(),
        FloatFunction::Atan => left.atan(),
        FloatFunction::Degrees => left * (180.0 / std::f64::consts::PI),
        FloatFunction::Radians => left * (std::f64::consts::PI / 180.0),
        FloatFunction::Power => left.powf(right),
        FloatFunction::Log => left.ln() / right.ln(),
        FloatFunction::Atan2 => left.atan2(right),
    }
}

/// A function of the bits of integers of a type that stores `range`; `Not` ignores `right`. A shift
/// by a count that is negative, or no less than the width, overflows.
pub(crate) fn bits(
    function: BitFunction,
    left: i128,
    right: i128,
    range: (i128, i128),
) -> Option<i128> {
    let (min, max) = range;
    let width = (max.abs_diff(min) + 1).ilog2();
    let count = u32::try_from(right).ok().filter(|count| *count < width);
    let wrapped = |value: i128| min + (value - min).rem_euclid(max - min + 1);
    match function {
        BitFunction::And => Some(left & right),
        BitFunction::Or => Some(left | right),
        BitFunction::Xor => Some(left ^ right),
        BitFunction::Not => Some(wrapped(!left)),
        BitFunction::ShiftLeft => Some(wrapped(left.wrapping_shl(count?))),
        BitFunction::ShiftRight => Some(left >> count?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Rounding::{Ceiling, Floor, HalfAwayFromZero, TowardZero};

    #[test]
    fn decimals_round_to_each_side() {
        for (value, expected) in [
            (149, [1, 1, 2, 1]),
            (150, [2, 1, 2, 1]),
            (-150, [-2, -2, -1, -1]),
            (-149, [-1, -2, -1, -1]),
            (200, [2, 2, 2, 2]),
        ] {
            for (rounding, expected) in [HalfAwayFromZero, Floor, Ceiling, TowardZero]
                .into_iter()
                .zip(expected)
            {
                assert_eq!(round_decimal(value, 2, 0, 0, rounding), Some(expected));
            }
        }
        assert_eq!(round_decimal(7, 0, -1, 0, HalfAwayFromZero), Some(10));
        assert_eq!(round_decimal(-7, 0, -38, 0, Floor), Some(-(10i128.pow(38))));
        assert_eq!(
            round_decimal(i128::MAX, 38, -38, 0, HalfAwayFromZero),
            Some(0)
        );
        assert_eq!(round_decimal(12_345, 3, 1, 1, HalfAwayFromZero), Some(123));
    }

    #[test]
    fn floats_round_as_documented() {
        assert_eq!(round_float(2.5, 0, HalfAwayFromZero), 3.0);
        assert_eq!(round_float(-2.5, 0, HalfAwayFromZero), -3.0);
        assert_eq!(round_float(1.005, 2, HalfAwayFromZero), 1.0); // × 100 is 100.49999…
        assert_eq!(round_float(1234.5, -2, HalfAwayFromZero), 1200.0);
        assert_eq!(
            round_float(-0.4, 0, HalfAwayFromZero).to_bits(),
            (-0.0f64).to_bits()
        );
        assert_eq!(round_float(1e300, 38, Floor), 1e300);
        assert!(round_float(f64::NAN, 3, Ceiling).is_nan());
        assert_eq!(
            round_float(f64::NEG_INFINITY, -3, Ceiling),
            f64::NEG_INFINITY
        );
    }

    #[test]
    fn shifts_lose_what_leaves_and_know_their_width() {
        let i8s = (i128::from(i8::MIN), i128::from(i8::MAX));
        assert_eq!(bits(BitFunction::ShiftLeft, 1, 7, i8s), Some(-128));
        assert_eq!(bits(BitFunction::ShiftLeft, 3, 7, i8s), Some(-128));
        assert_eq!(bits(BitFunction::ShiftLeft, 1, 8, i8s), None);
        assert_eq!(bits(BitFunction::ShiftRight, -2, 7, i8s), Some(-1));
        assert_eq!(bits(BitFunction::ShiftRight, -2, -1, i8s), None);
        let u64s = (0, i128::from(u64::MAX));
        assert_eq!(
            bits(BitFunction::Not, 0, 0, u64s),
            Some(i128::from(u64::MAX))
        );
        assert_eq!(bits(BitFunction::ShiftLeft, 3, 63, u64s), Some(1 << 63));
    }
}
