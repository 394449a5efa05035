//! Quantiles, by sorting each group's values.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::buffer::NullBuffer;

use super::accumulate::plain;
use super::picked::Listed;
use super::scalar::cast::decimal_to_float;
use super::scalar::order;
use super::values::{Numbers, from_floats, from_integers, numbers};
use crate::error::{Error, Result};
use crate::expr::{Interpolation, Probability};
use crate::types::{DataType, decimal_parts};

/// One quantile per group; null for a group without values. `input` is the type of plain values,
/// `operand` that of the values kept.
pub(super) fn quantiles(
    listed: Listed,
    q: Probability,
    interpolation: Interpolation,
    input: &DataType,
    operand: &DataType,
) -> Result<ArrayRef> {
    let (values, lengths) = listed.flat(operand)?;
    let nulls = || {
        Some(NullBuffer::from_iter(
            lengths.iter().map(|length| *length > 0),
        ))
    };
    let place = |length| Place::of(q, length, interpolation);
    let quantiles = match numbers(&plain(&values)?) {
        Some(Numbers::Floats(mut values)) => {
            let compare = |a: &f64, b: &f64| order::compare(*a, *b);
            let pairs = sorted_pairs(&mut values, &lengths, compare, place);
            if !interpolation.picks_a_value() {
                return Ok(between(pairs, |value| value));
            }
            let picked = pairs.map(|pair| pair.map_or(0.0, |(lower, ..)| lower));
            from_floats(picked.collect(), nulls(), input)
        }
        Some(Numbers::Integers(mut values)) => {
            let pairs = sorted_pairs(&mut values, &lengths, i128::cmp, place);
            if !interpolation.picks_a_value() {
                let scale = decimal_parts(input).map_or(0, |(_, scale)| scale);
                return Ok(between(pairs, |value| decimal_to_float(value, scale)));
            }
            let picked: Vec<i128> = pairs
                .map(|pair| pair.map_or(0, |(lower, ..)| lower))
                .collect();
            from_integers(&picked, nulls(), input)
        }
        None => None,
    };
    quantiles.ok_or_else(|| {
        let cause = format!("undefined for {operand}");
        Error::invalid("quantile", cause, "")
    })
}

/// Two neighbours among sorted values, and how far from the lower one the quantile is.
#[derive(Clone, Copy)]
struct Place {
    lower: usize,
    higher: usize,
    fraction: f64,
}

impl Place {
    fn of(q: Probability, length: usize, interpolation: Interpolation) -> Place {
        let last = length.saturating_sub(1);
        let exact = q.get() * last as f64;
        let lower = (exact.floor() as usize).min(last);
        let higher = (exact.ceil() as usize).min(last);
        let fraction = exact - lower as f64;
        let (lower, higher, fraction) = match interpolation {
            Interpolation::Linear => (lower, higher, fraction),
            Interpolation::Midpoint if lower < higher => (lower, higher, 0.5),
            Interpolation::Midpoint | Interpolation::Lower => (lower, lower, 0.0),
            Interpolation::Nearest if fraction < 0.5 => (lower, lower, 0.0),
            Interpolation::Higher | Interpolation::Nearest => (higher, higher, 0.0),
        };
        Place {
            lower,
            higher,
            fraction,
        }
    }
}

/// Sorts the values of each group, and gives the neighbours of its quantile.
fn sorted_pairs<'a, T: Copy>(
    values: &'a mut [T],
    lengths: &'a [usize],
    compare: impl Fn(&T, &T) -> std::cmp::Ordering + 'a,
    place: impl Fn(usize) -> Place + 'a,
) -> impl Iterator<Item = Option<(T, T, f64)>> + 'a {
    let mut rest = values;
    lengths.iter().map(move |length| {
        let (group, others) = std::mem::take(&mut rest).split_at_mut(*length);
        rest = others;
        group.sort_by(&compare);
        let place = place(*length);
        let (lower, higher) = (group.get(place.lower)?, group.get(place.higher)?);
        Some((*lower, *higher, place.fraction))
    })
}

/// `lower + (higher − lower) × fraction`; equal neighbours are what they are, infinite or not.
fn between<T: PartialEq + Copy>(
    pairs: impl Iterator<Item = Option<(T, T, f64)>>,
    float: impl Fn(T) -> f64,
) -> ArrayRef {
    let value = |(lower, higher, fraction): (T, T, f64)| {
        let start = float(lower);
        if lower == higher || fraction == 0.0 {
            return start;
        }
        start + (float(higher) - start) * fraction
    };
    Arc::new(pairs.map(|pair| pair.map(value)).collect::<Float64Array>())
}
