//! Sums of floats without rounding: a number of 2,176 bits holds every finite `f64` and 2^63 of
//! them; one of 4,352 bits holds their squares.
//!
//! A digit holds 32 bits and has 31 to spare, so that 2^30 values are added before carries must be
//! carried. Source: U. Kulisch, W. Miranker, "Computer Arithmetic in Theory and Practice", 1981 (the
//! long accumulator); written from the idea.

/// Digits of a sum, in units of 2^-1074.
const SUM_DIGITS: usize = 68;

/// Digits of a sum of squares, in units of 2^-2148.
const SQUARE_DIGITS: usize = 2 * SUM_DIGITS;

/// Additions after which carries are carried.
const ADDS_MAX: u32 = 1 << 30;

const NAN: u8 = 1;
const INFINITY: u8 = 2;
const NEGATIVE_INFINITY: u8 = 4;

/// A sum of floats, or of their squares, as if by exact arithmetic.
#[derive(Debug, Clone)]
pub(super) struct ExactSum {
    digits: Box<[i64]>,
    adds: u32,
    flags: u8,
}

/// Sign, exponent and fraction of a finite float: ±`magnitude` × 2^(`position` − 1074).
fn parts(value: f64) -> (bool, u32, u64) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as u32;
    let fraction = bits & ((1 << 52) - 1);
    let magnitude = if exponent == 0 {
        fraction
    } else {
        fraction | 1 << 52
    };
    (value.is_sign_negative(), exponent.max(1) - 1, magnitude)
}

impl ExactSum {
    pub(super) fn of_values() -> ExactSum {
        ExactSum::zero(SUM_DIGITS)
    }

    pub(super) fn of_squares() -> ExactSum {
        ExactSum::zero(SQUARE_DIGITS)
    }

    fn zero(digits: usize) -> ExactSum {
        ExactSum {
            digits: vec![0; digits].into(),
            adds: 0,
            flags: 0,
        }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, value: f64) {
        if self.take_special(value) {
            return;
        }
        let (negative, position, magnitude) = parts(value);
        self.add_at(position, magnitude.into(), negative);
    }

    /// Adds the square of a value.
    pub(super) fn add_square(&mut self, value: f64) {
        if self.take_special(value) {
            return;
        }
        let (_, position, magnitude) = parts(value);
        let square = u128::from(magnitude) * u128::from(magnitude);
        self.add_at(2 * position, square, false);
    }

    fn take_special(&mut self, value: f64) -> bool {
        self.flags |= match value {
            _ if value.is_nan() => NAN,
            f64::INFINITY => INFINITY,
            f64::NEG_INFINITY => NEGATIVE_INFINITY,
            _ => 0,
        };
        !value.is_finite()
    }

    fn add_at(&mut self, position: u32, mut magnitude: u128, negative: bool) {
        let (mut digit, shift) = (position as usize / 32, position % 32);
        while magnitude > 0 {
            let part = (magnitude as u32 as u64) << shift;
            for (index, half) in [part as u32, (part >> 32) as u32].into_iter().enumerate() {
                let half = i64::from(half);
                self.digits[digit + index] += if negative { -half } else { half };
            }
            magnitude >>= 32;
            digit += 1;
        }
        self.adds += 1;
        if self.adds >= ADDS_MAX {
            self.carry();
        }
    }

    /// Adds another sum of the same kind.
    pub(super) fn merge(&mut self, mut other: ExactSum) {
        self.carry();
        other.carry();
        for (digit, other) in self.digits.iter_mut().zip(&other.digits) {
            *digit += other;
        }
        self.flags |= other.flags;
        self.carry();
    }

    /// Makes every digit but the last one 32 bits without a sign.
    fn carry(&mut self) {
        let mut carry = 0;
        let last = self.digits.len() - 1;
        for digit in &mut self.digits[..last] {
            let sum = *digit + carry;
            *digit = sum & 0xffff_ffff;
            carry = sum >> 32;
        }
        self.digits[last] += carry;
        self.adds = 0;
    }

    /// Sign and magnitude.
    fn magnitude(mut self) -> (bool, Vec<u32>) {
        self.carry();
        let negative = self.digits.last().is_some_and(|top| *top < 0);
        if negative {
            self.digits.iter_mut().for_each(|digit| *digit = -*digit);
            self.carry();
        }
        let magnitude = self.digits.iter().map(|digit| *digit as u32).collect();
        (negative, magnitude)
    }

    /// The sum, rounded once: to nearest, ties to even.
    pub(super) fn rounded(self) -> f64 {
        match self.flags {
            0 => {}
            INFINITY => return f64::INFINITY,
            NEGATIVE_INFINITY => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        let (negative, magnitude) = self.magnitude();
        let (fraction, exponent) = leading(&magnitude);
        // The fraction's leading bit adds one to the exponent, where there is one.
        let bits = ((u64::from(exponent)) << 52).saturating_add(fraction);
        let value = f64::from_bits(bits.min(f64::INFINITY.to_bits()));
        if negative { -value } else { value }
    }

    /// Digits and flags, as in `GroupByPhase`'s states.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.carry();
        let digits = self.digits.iter().flat_map(|digit| digit.to_le_bytes());
        digits.chain([self.flags]).collect()
    }

    /// What `into_bytes` wrote, if it is that.
    pub(super) fn from_bytes(bytes: &[u8], squares: bool) -> Option<ExactSum> {
        let mut sum = if squares {
            ExactSum::of_squares()
        } else {
            ExactSum::of_values()
        };
        let (flags, digits) = bytes.split_last()?;
        if digits.len() != sum.digits.len() * 8 {
            return None;
        }
        for (digit, bytes) in sum.digits.iter_mut().zip(digits.chunks_exact(8)) {
            *digit = i64::from_le_bytes(bytes.try_into().ok()?);
        }
        sum.flags = *flags;
        Some(sum)
    }
}

/// Variance from the exact sums of `count` values and of their squares: `count × squares − sum²` is
/// exact and rounded once, then divided by `count × (count − ddof)`. None if the denominator is 0.
pub(super) fn variance(count: u64, sum: ExactSum, squares: ExactSum, ddof: u64) -> Option<f64> {
    if count <= ddof {
        return None;
    }
    if sum.flags != 0 {
        return Some(f64::NAN);
    }
    let count_digits = [count as u32, (count >> 32) as u32];
    let mut distance = product(&squares.magnitude().1, &count_digits);
    let (_, sum) = sum.magnitude();
    subtract(&mut distance, &product(&sum, &sum));
    let (fraction, exponent) = leading(&distance);
    let denominator = u128::from(count) * u128::from(count - ddof);
    Some(scaled(
        fraction as f64 / denominator as f64,
        exponent as i32 - 2 * 1074,
    ))
}

/// The 53 leading bits of a number, rounded to nearest, ties to even, and the place of the last.
fn leading(magnitude: &[u32]) -> (u64, u32) {
    let bit = |place: usize| magnitude[place / 32] >> (place % 32) & 1 == 1;
    let Some(top) = (0..magnitude.len() * 32).rev().find(|place| bit(*place)) else {
        return (0, 0);
    };
    let shift = top.saturating_sub(52);
    let bits = (shift..=top).rev();
    let mut fraction = bits.fold(0, |fraction, place| fraction << 1 | u64::from(bit(place)));
    if shift > 0 && bit(shift - 1) {
        let more = (0..shift - 1).any(bit);
        fraction += u64::from(more || fraction & 1 == 1);
    }
    (fraction, shift as u32)
}

fn product(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut product = vec![0u32; a.len() + b.len()];
    for (i, a) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, b) in b.iter().enumerate() {
            let sum = u64::from(*a) * u64::from(*b) + u64::from(product[i + j]) + carry;
            product[i + j] = sum as u32;
            carry = sum >> 32;
        }
        product[i + b.len()] = carry as u32;
    }
    product
}

/// `a −= b`, where `a` is not less.
fn subtract(a: &mut [u32], b: &[u32]) {
    let mut borrow = false;
    for (place, digit) in a.iter_mut().enumerate() {
        let other = b.get(place).copied().unwrap_or(0);
        let (difference, under) = digit.overflowing_sub(other);
        let (difference, again) = difference.overflowing_sub(borrow.into());
        *digit = difference;
        borrow = under || again;
    }
}

/// `value × 2^exponent`.
fn scaled(mut value: f64, mut exponent: i32) -> f64 {
    while exponent != 0 {
        let step = exponent.clamp(-1000, 1000);
        value *= 2f64.powi(step);
        exponent -= step;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::of_values();
        values.iter().for_each(|value| sum.add(*value));
        sum.rounded()
    }

    #[test]
    fn sums_are_rounded_once() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e308, 1.0, -1e308]), 1.0);
        assert_eq!(sum(&[1e308, 1e308]), f64::INFINITY);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(
            sum(&[f64::MIN_POSITIVE, -5e-324]),
            f64::MIN_POSITIVE - 5e-324
        );
        assert_eq!(sum(&[-5e-324; 3]), -1.5e-323);
        // 2^53 + 1 is a tie, which goes to the even neighbour; with a bit more it goes up.
        let tie = 9_007_199_254_740_992.0;
        assert_eq!(sum(&[tie, 1.0]), tie);
        assert_eq!(sum(&[tie, 1.0, 5e-324]), tie + 2.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f64::INFINITY, -1.0]), f64::INFINITY);
    }

    #[test]
    fn variances_do_not_cancel() {
        let of = |values: &[f64], ddof| {
            let (mut sum, mut squares) = (ExactSum::of_values(), ExactSum::of_squares());
            for value in values {
                sum.add(*value);
                squares.add_square(*value);
            }
            variance(values.len() as u64, sum, squares, ddof)
        };
        assert_eq!(
            of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], 1),
            Some(30.0)
        );
        assert_eq!(of(&[-3.0; 5], 0), Some(0.0));
        assert_eq!(of(&[7.0], 1), None);
        assert_eq!(of(&[1e300, -1e300], 0), Some(f64::INFINITY));
        assert_eq!(of(&[1e-160, -1e-160], 0), Some(1e-320));
    }

    #[test]
    fn bytes_give_the_sum_back() {
        let mut sum = ExactSum::of_values();
        for value in [-1.5, 2e-300, 1e300] {
            sum.add(value);
        }
        let bytes = sum.clone().into_bytes();
        let mut back = ExactSum::from_bytes(&bytes, false).unwrap_or_else(ExactSum::of_values);
        back.add(-1e300);
        assert_eq!(back.rounded(), -1.5);
    }
}
