//! Casts of columns: which rule of [`scalar::cast`](super::scalar) a pair of types takes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::scalar::arithmetic::fits_digits;
use super::scalar::cast as rules;
use super::values::{Numbers, from_floats, from_integers, numbers, storage_range};
use crate::backend::cast::by_arrow;
use crate::types::{DataType, TimeUnit, decimal_parts};

/// A cast column; values that do not fit are null.
pub(super) fn cast(array: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, String> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    if let (DataType::Timestamp(_, None), DataType::Timestamp(unit, Some(_))) = (from, to) {
        let local = cast(array, &DataType::Timestamp(*unit, None))?; // our rule for the unit
        return by_arrow(&local, to); // Arrow's rule for the zone
    }
    if ours(from, to)
        && let Some(numbers) = numbers(array)
    {
        let nulls = array.logical_nulls();
        let cast = match numbers {
            Numbers::Integers(values) => cast_integers(&values, nulls, from, to),
            Numbers::Floats(values) => cast_floats(values, nulls, to),
        };
        return cast.ok_or_else(|| format!("{from} cannot become {to}"));
    }
    by_arrow(array, to)
}

/// The first wanted row whose value did not fit: it was not null and is so now.
pub(super) fn first_misfit(
    array: &dyn Array,
    cast: &dyn Array,
    active: Option<&BooleanBuffer>,
) -> Option<usize> {
    let after = cast.logical_nulls()?;
    let before = array.logical_nulls();
    let lost = |row: &usize| {
        after.is_null(*row)
            && before.as_ref().is_none_or(|nulls| nulls.is_valid(*row))
            && active.is_none_or(|active| active.value(*row))
    };
    (0..array.len()).find(lost)
}

/// Units per day of a date, timestamp, time of day or duration.
fn units_per_day(data_type: &DataType) -> Option<i128> {
    let per_day = |unit: &TimeUnit| {
        86_400
            * match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            }
    };
    Some(match data_type {
        DataType::Date32 => 1,
        DataType::Date64 => 86_400_000,
        DataType::Timestamp(unit, _)
        | DataType::Time32(unit)
        | DataType::Time64(unit)
        | DataType::Duration(unit) => per_day(unit),
        _ => return None,
    })
}

/// True if both are instants, both times of day, or both durations, or if an instant has a time
/// of day.
fn same_clock(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    match (from, to) {
        (Timestamp(_, Some(_)), Timestamp(_, _)) => true, // the instant stays
        (Timestamp(_, Some(_)), _) | (_, Timestamp(_, Some(_))) => false, // local time: Arrow's
        (Date32 | Date64 | Timestamp(..), Date32 | Date64 | Timestamp(..)) => true,
        (Timestamp(..) | Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (Duration(_), Duration(_)) => true,
        _ => false,
    }
}

fn is_time_of_day(from: &DataType, to: &DataType) -> bool {
    matches!(from, DataType::Timestamp(..))
        && matches!(to, DataType::Time32(_) | DataType::Time64(_))
}

fn ours(from: &DataType, to: &DataType) -> bool {
    let number = |data_type: &DataType| {
        *data_type == DataType::Boolean
            || data_type.is_numeric() && !matches!(data_type, DataType::Decimal256(..))
    };
    let temporal = |data_type: &DataType| units_per_day(data_type).is_some();
    match (number(from), number(to)) {
        (true, true) => true,
        (true, false) => temporal(to),
        (false, true) => temporal(from),
        (false, false) => same_clock(from, to),
    }
}

fn cast_integers(
    values: &[i128],
    nulls: Option<NullBuffer>,
    from: &DataType,
    to: &DataType,
) -> Option<ArrayRef> {
    let from_scale = decimal_parts(from).map(|(_, scale)| scale);
    if *to == DataType::Boolean {
        let values = values.iter().map(|value| *value != 0).collect();
        return Some(Arc::new(BooleanArray::new(values, nulls)));
    }
    if to.is_floating() {
        let floats = values.iter().map(|value| match (from_scale, to) {
            (Some(scale), _) => rules::decimal_to_float(*value, scale),
            (None, DataType::Float64) => *value as f64,
            (None, _) => f64::from(*value as f32), // one rounding, not two
        });
        return from_floats(floats.collect(), nulls, to);
    }
    if let Some((_, to_scale)) = decimal_parts(to) {
        let from_scale = from_scale.unwrap_or(0);
        return fitting(values, nulls, to, |value| {
            rules::rescale(*value, from_scale, to_scale)
        });
    }
    if let Some(scale) = from_scale {
        return fitting(values, nulls, to, |value| rules::truncate(*value, scale));
    }
    match (units_per_day(from), units_per_day(to)) {
        (Some(from_units), Some(to_units)) if is_time_of_day(from, to) => {
            fitting(values, nulls, to, |value| {
                let time = rules::time_of_day(*value, from_units);
                Some(rules::convert_units(time, from_units, to_units))
            })
        }
        (Some(from), Some(to_units)) if from != to_units => fitting(values, nulls, to, |value| {
            Some(rules::convert_units(*value, from, to_units))
        }),
        _ => fitting(values, nulls, to, |value| Some(*value)),
    }
}

fn cast_floats(values: Vec<f64>, nulls: Option<NullBuffer>, to: &DataType) -> Option<ArrayRef> {
    if *to == DataType::Boolean {
        let values = values.iter().map(|value| *value != 0.0).collect();
        return Some(Arc::new(BooleanArray::new(values, nulls)));
    }
    if to.is_floating() {
        return from_floats(values, nulls, to);
    }
    match decimal_parts(to) {
        Some((_, scale)) => fitting(&values, nulls, to, |value| {
            rules::float_to_decimal(*value, scale)
        }),
        None => fitting(&values, nulls, to, |value| rules::float_to_integer(*value)),
    }
}

/// Values that have a result and fit the type; the others are null.
fn fitting<T>(
    values: &[T],
    nulls: Option<NullBuffer>,
    to: &DataType,
    f: impl Fn(&T) -> Option<i128>,
) -> Option<ArrayRef> {
    let (min, max) = storage_range(to)?;
    let digits = decimal_parts(to).map(|(precision, _)| precision);
    let fits = |value: &i128| {
        min <= *value && *value <= max && digits.is_none_or(|digits| fits_digits(*value, digits))
    };
    let mut misfits = Vec::new();
    let cast: Vec<i128> = values
        .iter()
        .enumerate()
        .map(|(row, value)| {
            f(value).filter(fits).unwrap_or_else(|| {
                misfits.push(row);
                0
            })
        })
        .collect();
    let nulls = if misfits.is_empty() {
        nulls
    } else {
        let mut valid = vec![true; values.len()];
        for row in misfits {
            valid[row] = false;
        }
        NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::from(valid)))
    };
    from_integers(&cast, nulls, to)
}
