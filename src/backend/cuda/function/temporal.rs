//! Functions over dates, times and durations.

use super::super::evaluate::{Evaluator, physical};
use super::{Call, refused};
use crate::error::Result;
use crate::expr::{CalendarUnit, DatePart, TemporalFunction};
use crate::kernels::temporal::{self as kernel, Clock, Step};
use crate::kernels::{DeviceColumn, abi};
use crate::types::{DataType, TimeUnit, calendar};

/// Resolving lets nothing through that kernels cannot do.
pub(super) fn check(_: TemporalFunction) -> Result<(), String> {
    Ok(())
}

pub(super) fn call(
    evaluator: &Evaluator,
    function: TemporalFunction,
    call: &Call,
) -> Result<DeviceColumn> {
    let (launch, rows) = (evaluator.launch(), &evaluator.batch().rows);
    let failures = evaluator.arithmetic_failures(call.active);
    let physical = physical(call.data_type)?;
    let apply = |step: Step, clock: Clock| {
        let input = &call.columns[0];
        kernel::apply(launch, step, clock, input, physical, rows, &failures)
    };
    let clock = || {
        let data_type = &call.operands[0].data_type;
        clock_of(data_type).ok_or_else(|| refused(&format!("{function} of {data_type}")))
    };
    match (function, call.columns) {
        (TemporalFunction::Extract(part), [_]) => {
            let mut clock = clock()?;
            if part == DatePart::Epoch {
                clock.offset = 0; // an instant, wherever
            }
            apply(Step::Extract(part_code(part)), clock)
        }
        (TemporalFunction::Truncate(unit), [_]) => apply(Step::Truncate(unit_code(unit)), clock()?),
        (TemporalFunction::LastDay, [_]) => apply(Step::Extract(abi::TEMPORAL_LAST_DAY), clock()?),
        (
            TemporalFunction::AddInterval {
                months,
                days,
                nanos,
            },
            [_],
        ) => {
            let clock = clock()?;
            let step = Step::Later {
                months,
                days,
                counts: nanos / nanos_per_count(clock.unit),
            };
            apply(step, clock)
        }
        (TemporalFunction::MakeDate, [year, month, day]) => {
            kernel::make_date(launch, [year, month, day], rows, &failures)
        }
        (TemporalFunction::Add | TemporalFunction::Subtract, [left, right]) => {
            let subtracts = function == TemporalFunction::Subtract;
            kernel::sum(launch, subtracts, left, right, physical, rows, &failures)
        }
        _ => Err(refused(&function)),
    }
}

fn clock_of(data_type: &DataType) -> Option<Clock> {
    let code = |unit: TimeUnit| match unit {
        TimeUnit::Second => abi::TEMPORAL_SECONDS,
        TimeUnit::Millisecond => abi::TEMPORAL_MILLIS,
        TimeUnit::Microsecond => abi::TEMPORAL_MICROS,
        TimeUnit::Nanosecond => abi::TEMPORAL_NANOS,
    };
    let (unit, seconds, is_time) = match data_type {
        DataType::Date32 => (abi::TEMPORAL_DAYS, 0, false),
        DataType::Date64 => (abi::TEMPORAL_MILLIS, 0, false),
        DataType::Timestamp(unit, None) => (code(*unit), 0, false),
        DataType::Timestamp(unit, Some(zone)) => {
            (code(*unit), calendar::fixed_offset(zone)?, false)
        }
        DataType::Time32(unit) | DataType::Time64(unit) => (code(*unit), 0, true),
        _ => return None,
    };
    let offset = seconds * (1_000_000_000 / nanos_per_count(unit).min(1_000_000_000));
    Some(Clock {
        unit,
        offset,
        is_time,
    })
}

fn nanos_per_count(unit: u32) -> i64 {
    match unit {
        abi::TEMPORAL_DAYS => 86_400_000_000_000,
        abi::TEMPORAL_SECONDS => 1_000_000_000,
        abi::TEMPORAL_MILLIS => 1_000_000,
        abi::TEMPORAL_MICROS => 1_000,
        _ => 1,
    }
}

fn part_code(part: DatePart) -> u32 {
    match part {
        DatePart::Year => abi::TEMPORAL_YEAR,
        DatePart::IsoYear => abi::TEMPORAL_ISO_YEAR,
        DatePart::Quarter => abi::TEMPORAL_QUARTER,
        DatePart::Month => abi::TEMPORAL_MONTH,
        DatePart::IsoWeek => abi::TEMPORAL_WEEK,
        DatePart::Day => abi::TEMPORAL_DAY,
        DatePart::DayOfYear => abi::TEMPORAL_DAY_OF_YEAR,
        DatePart::DayOfWeek => abi::TEMPORAL_DAY_OF_WEEK,
        DatePart::Hour => abi::TEMPORAL_HOUR,
        DatePart::Minute => abi::TEMPORAL_MINUTE,
        DatePart::Second => abi::TEMPORAL_SECOND,
        DatePart::Millisecond => abi::TEMPORAL_MILLISECOND,
        DatePart::Microsecond => abi::TEMPORAL_MICROSECOND,
        DatePart::Nanosecond => abi::TEMPORAL_NANOSECOND,
        DatePart::Epoch => abi::TEMPORAL_EPOCH,
    }
}

fn unit_code(unit: CalendarUnit) -> u32 {
    match unit {
        CalendarUnit::Year => abi::TEMPORAL_YEAR,
        CalendarUnit::Quarter => abi::TEMPORAL_QUARTER,
        CalendarUnit::Month => abi::TEMPORAL_MONTH,
        CalendarUnit::Week => abi::TEMPORAL_WEEK,
        CalendarUnit::Day => abi::TEMPORAL_DAY,
        CalendarUnit::Hour => abi::TEMPORAL_HOUR,
        CalendarUnit::Minute => abi::TEMPORAL_MINUTE,
        CalendarUnit::Second => abi::TEMPORAL_SECOND,
        CalendarUnit::Millisecond => abi::TEMPORAL_MILLISECOND,
        CalendarUnit::Microsecond => abi::TEMPORAL_MICROSECOND,
    }
}
