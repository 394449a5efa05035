//! Order and equality of floats.

use std::cmp::Ordering;

/// 0.0 for −0.0, one quiet positive NaN for every NaN, all else unchanged.
pub(crate) fn canonical(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

/// NaN equals NaN and is greater than every number; −0.0 equals 0.0.
pub(crate) fn compare(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right)
        .unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_greatest_and_zeros_are_equal() {
        assert_eq!(compare(f64::NAN, -f64::NAN), Ordering::Equal);
        assert_eq!(compare(f64::NAN, f64::INFINITY), Ordering::Greater);
        assert_eq!(compare(f64::NEG_INFINITY, -f64::NAN), Ordering::Less);
        assert_eq!(compare(-0.0, 0.0), Ordering::Equal);
        assert_eq!(canonical(-0.0).to_bits(), 0);
        assert_eq!(canonical(-f64::NAN).to_bits(), f64::NAN.to_bits());
    }
}
