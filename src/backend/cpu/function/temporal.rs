//! Functions over dates and times; the rules are those of [`scalar::temporal`](super::super::scalar).

use arrow::array::ArrayRef;

use super::super::arithmetic::Failure;
use super::super::scalar::arithmetic::Fault;
use super::super::scalar::temporal::{Clock, make_date};
use super::super::values::{Numbers, numbers, storage_range};
use super::{Call, refused};
use crate::expr::TemporalFunction;
use crate::types::Overflow;

pub(super) fn call(function: TemporalFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let refuse = || refused(&function, call.operands[0].data_type());
    let mut columns = Vec::with_capacity(call.operands.len());
    for operand in call.operands {
        match numbers(operand) {
            Some(Numbers::Integers(values)) => columns.push(values),
            _ => return Err(refuse()),
        }
    }
    let (min, max) = storage_range(call.data_type).ok_or_else(refuse)?;
    let fitting = |value: Option<i128>| match value.filter(|value| (min..=max).contains(value)) {
        Some(value) => Ok(Some(value)),
        None if call.semantics.overflow == Overflow::Error => Err(Fault::Overflow),
        None => Ok(None),
    };
    let clock = || Clock::of(call.operands[0].data_type()).ok_or_else(refuse);
    match (function, columns.as_slice()) {
        (TemporalFunction::Extract(part), [values]) => {
            let clock = clock()?;
            call.integers(|row| fitting(Some(clock.extract(part, values[row]))))
        }
        (TemporalFunction::Truncate(unit), [values]) => {
            let clock = clock()?;
            call.integers(|row| fitting(Some(clock.truncate(unit, values[row]))))
        }
        (TemporalFunction::LastDay, [values]) => {
            let clock = clock()?;
            call.integers(|row| fitting(Some(clock.last_day(values[row]))))
        }
        (
            TemporalFunction::AddInterval {
                months,
                days,
                nanos,
            },
            [values],
        ) => {
            let clock = clock()?;
            let later = |value| clock.add_interval(value, months, days, nanos);
            call.integers(|row| fitting(Some(later(values[row]))))
        }
        (TemporalFunction::MakeDate, [years, months, days]) => {
            call.integers(|row| fitting(make_date(years[row], months[row], days[row])))
        }
        (TemporalFunction::Add, [left, right]) => {
            call.integers(|row| fitting(Some(left[row] + right[row])))
        }
        (TemporalFunction::Subtract, [left, right]) => {
            call.integers(|row| fitting(Some(left[row] - right[row])))
        }
        _ => Err(refuse()),
    }
}
