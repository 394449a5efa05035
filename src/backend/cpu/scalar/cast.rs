//! Changes of type, for one value. Integers, decimals, dates and times are an `i128`, floats an
//! `f64`, which holds every `f16` and `f32` exactly; the table is in [`super`].

use half::f16;

/// 10^`exponent`, for exponents of at most 38.
pub(crate) fn power_of_ten(exponent: u32) -> Option<u128> {
    10u128.checked_pow(exponent).filter(|_| exponent <= 38)
}

/// 10^`exponent` as the nearest `f64`, for exponents of at most 38 (the device has this table).
pub(crate) fn power_of_ten_f64(exponent: u32) -> f64 {
    const POWERS: [f64; 39] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31,
        1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38,
    ];
    POWERS
        .get(exponent as usize)
        .copied()
        .unwrap_or(f64::INFINITY)
}

/// A decimal's digits at another scale: a lower one rounds half away from zero, a higher one may
/// leave 128 bits (`None`). An integer has scale 0.
pub(crate) fn rescale(value: i128, from_scale: i8, to_scale: i8) -> Option<i128> {
    let shift = i32::from(to_scale) - i32::from(from_scale);
    if shift >= 0 {
        return match power_of_ten(shift.unsigned_abs()) {
            Some(factor) => value.checked_mul(factor as i128),
            None => (value == 0).then_some(0),
        };
    }
    let Some(divisor) = power_of_ten(shift.unsigned_abs()) else {
        return Some(0); // 10^39 / 2 is more than any i128
    };
    let (quotient, remainder) = (value / divisor as i128, value % divisor as i128);
    let away = remainder.unsigned_abs() >= divisor - remainder.unsigned_abs();
    Some(if away {
        quotient + value.signum()
    } else {
        quotient
    })
}

/// A decimal's whole part, truncated toward zero. `None`: beyond 128 bits (negative scales only).
pub(crate) fn truncate(value: i128, scale: i8) -> Option<i128> {
    if scale <= 0 {
        return rescale(value, scale, 0);
    }
    Some(match power_of_ten(u32::from(scale.unsigned_abs())) {
        Some(divisor) => value / divisor as i128,
        None => 0,
    })
}

/// A decimal as a float: `(value as f64) / 10^scale`. An integer has scale 0.
pub(crate) fn decimal_to_float(value: i128, scale: i8) -> f64 {
    let power = power_of_ten_f64(u32::from(scale.unsigned_abs()));
    match scale {
        0 => value as f64,
        1.. => value as f64 / power,
        _ => value as f64 * power,
    }
}

/// A float truncated toward zero; `None` for NaN and beyond 128 bits.
pub(crate) fn float_to_integer(value: f64) -> Option<i128> {
    const BOUND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    let whole = value.trunc();
    (-BOUND..BOUND).contains(&whole).then_some(whole as i128)
}

/// A float as a decimal's digits: `round(value × 10^scale)`, half away from zero.
pub(crate) fn float_to_decimal(value: f64, scale: i8) -> Option<i128> {
    let power = power_of_ten_f64(u32::from(scale.unsigned_abs()));
    let scaled = if scale >= 0 {
        value * power
    } else {
        value / power
    };
    float_to_integer(scaled.round())
}

/// A float as `f16`, through `f32`.
pub(crate) fn float_to_f16(value: f64) -> f16 {
    f16::from_f32(value as f32)
}

/// A count of units as a count of other units, both given per day: floors to coarser units. No
/// `i64` leaves 128 bits this way.
pub(crate) fn convert_units(value: i128, from_per_day: i128, to_per_day: i128) -> i128 {
    if to_per_day >= from_per_day {
        value.saturating_mul(to_per_day / from_per_day)
    } else {
        value.div_euclid(from_per_day / to_per_day)
    }
}

/// The units since midnight of an instant, also of one before 1970.
pub(crate) fn time_of_day(value: i128, per_day: i128) -> i128 {
    value.rem_euclid(per_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_scales_round_half_away_from_zero() {
        for (value, expected) in [
            (149, 1),
            (150, 2),
            (-149, -1),
            (-150, -2),
            (50, 1),
            (-49, 0),
        ] {
            assert_eq!(rescale(value, 2, 0), Some(expected));
        }
        assert_eq!(rescale(7, 0, 3), Some(7000));
        assert_eq!(rescale(i128::MAX, 0, 1), None);
        assert_eq!(rescale(i128::MIN, 38, 0), Some(-2)); // -1.7014…
        assert_eq!(rescale(5, -1, 0), Some(50));
        assert_eq!(rescale(55, 0, -1), Some(6));
        assert_eq!(rescale(1, -40, 10), None);
        assert_eq!(rescale(i128::MAX, 38, -38), Some(0));
    }

    #[test]
    fn decimals_truncate_to_integers() {
        assert_eq!(truncate(199, 2), Some(1));
        assert_eq!(truncate(-199, 2), Some(-1));
        assert_eq!(truncate(-3, -2), Some(-300));
    }

    #[test]
    fn floats_truncate_to_integers() {
        assert_eq!(float_to_integer(-1.9), Some(-1));
        assert_eq!(float_to_integer(-0.5), Some(0));
        assert_eq!(float_to_integer(f64::NAN), None);
        assert_eq!(float_to_integer(f64::INFINITY), None);
        assert_eq!(float_to_integer(2f64.powi(127)), None);
        assert_eq!(float_to_integer(-(2f64.powi(127))), Some(i128::MIN));
    }

    #[test]
    fn floats_round_to_decimals() {
        assert_eq!(float_to_decimal(0.125, 2), Some(13));
        assert_eq!(float_to_decimal(-0.125, 2), Some(-13));
        assert_eq!(float_to_decimal(1.005, 2), Some(100)); // 1.005 × 100 is 100.49999…
        assert_eq!(float_to_decimal(f64::MAX, 2), None);
        assert_eq!(decimal_to_float(12345, 2), 123.45);
        assert_eq!(decimal_to_float(-3, -2), -300.0);
        assert_eq!(float_to_f16(65519.99).to_f32(), 65504.0);
        assert!(float_to_f16(65520.0).to_f32().is_infinite());
        // Rounded twice: 1 + 2^-11 + 2^-30 becomes 1 + 2^-11, and that ties to 1.
        assert_eq!(
            float_to_f16(1.0 + 2f64.powi(-11) + 2f64.powi(-30)).to_f64(),
            1.0
        );
    }

    #[test]
    fn coarser_units_floor() {
        let (second, milli) = (86_400, 86_400_000);
        assert_eq!(convert_units(-1, milli, second), -1);
        assert_eq!(convert_units(-1000, milli, second), -1);
        assert_eq!(convert_units(999, milli, second), 0);
        assert_eq!(convert_units(-1, second, 1), -1);
        assert_eq!(convert_units(-2, 1, second), -172_800);
        assert_eq!(time_of_day(-1, second), 86_399);
    }
}
