//! Launchers of functions over dates and times.

use super::abi::{self, TemporalMakeDateParams, TemporalParams};
use super::project::{Failures, binary_params, grid, launch_binary};
use super::{DeviceColumn, DeviceRows, Kernel, Launch, OutputColumn};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// How the counts of a date, timestamp or time of day are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// One of `abi::TEMPORAL_DAYS` … `TEMPORAL_NANOS`.
    pub unit: u32,
    /// Counts that local time is ahead of UTC, less than a day.
    pub offset: i64,
    /// True for a time of day, which is taken modulo a day.
    pub is_time: bool,
}

/// What is done to dates, timestamps and times of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A part: one of `abi::TEMPORAL_YEAR` … `TEMPORAL_LAST_DAY`.
    Extract(u32),
    /// The start of a unit: one of `abi::TEMPORAL_YEAR` … `TEMPORAL_MICROSECOND`, not finer than the
    /// counts.
    Truncate(u32),
    /// Later by months, then days, then counts.
    Later {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Counts.
        counts: i64,
    },
}

impl Step {
    /// True if every value has a result: a part, but years of timestamps in seconds and last days.
    fn always_fits(self, unit: u32) -> bool {
        match self {
            Step::Extract(abi::TEMPORAL_LAST_DAY) => false,
            Step::Extract(abi::TEMPORAL_YEAR | abi::TEMPORAL_ISO_YEAR) => {
                unit != abi::TEMPORAL_SECONDS
            }
            Step::Extract(_) => true,
            Step::Truncate(_) | Step::Later { .. } => false,
        }
    }
}

/// Applies a step to a column of `Int32` or `Int64` into one of the two.
///
/// # Errors
/// `InvalidInput` for other layouts; no memory.
pub fn apply(
    launch: &Launch,
    step: Step,
    clock: Clock,
    input: &DeviceColumn,
    physical: PhysicalType,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    check(input.physical())?;
    check(physical)?;
    let nullable = input.nullable() || !step.always_fits(clock.unit);
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let (part, months, days, counts) = match step {
        Step::Extract(part) | Step::Truncate(part) => (part, 0, 0, 0),
        Step::Later {
            months,
            days,
            counts,
        } => (0, months, days, counts),
    };
    let params = TemporalParams {
        input: input.view(launch)?,
        output: output.out(),
        active: failures.active_pointer(launch)?,
        status: failures.status_pointer()?,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        offset: clock.offset,
        counts,
        months,
        days,
        unit: clock.unit,
        is_time: u32::from(clock.is_time),
        part,
        flags: failures.flags,
    };
    match step {
        Step::Extract(_) => launch_step::<abi::TemporalExtract>(launch, rows, &params),
        Step::Truncate(_) => launch_step::<abi::TemporalTruncate>(launch, rows, &params),
        Step::Later { .. } => launch_step::<abi::TemporalLater>(launch, rows, &params),
    }?;
    Ok(output.into_column())
}

fn launch_step<K: Kernel<Params = TemporalParams>>(
    launch: &Launch,
    rows: &DeviceRows,
    params: &TemporalParams,
) -> Result<()> {
    // SAFETY: `apply` took every pointer from a column of `rows.max()` rows, ordered on this stream,
    // of layouts that it checked.
    unsafe { launch.launch::<K>(grid(rows), abi::PROJECT_THREADS, 0, params) }
}

/// `left + right`, or `left - right`, over columns of `Int32` or `Int64`; what does not fit the output
/// fails or is null.
///
/// # Errors
/// `InvalidInput` for other layouts; no memory.
pub fn sum(
    launch: &Launch,
    subtracts: bool,
    left: &DeviceColumn,
    right: &DeviceColumn,
    physical: PhysicalType,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    [left.physical(), right.physical(), physical]
        .into_iter()
        .try_for_each(check)?;
    let output = OutputColumn::new(launch, physical, rows.max(), true)?;
    let op = if subtracts {
        abi::PROJECT_SUBTRACT
    } else {
        abi::PROJECT_ADD
    };
    let params = binary_params(launch, op, (left, right), &output, rows, failures)?;
    launch_binary::<abi::TemporalSum>(launch, rows, &params)?;
    Ok(output.into_column())
}

/// Dates of years, months and days, all `Int32`.
///
/// # Errors
/// `InvalidInput` for other layouts; no memory.
pub fn make_date(
    launch: &Launch,
    [year, month, day]: [&DeviceColumn; 3],
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let layouts = [year, month, day].map(DeviceColumn::physical);
    if layouts != [PhysicalType::Int32; 3] {
        return Err(Error::invalid("make_date", "parts are Int32", "cast them"));
    }
    let output = OutputColumn::new(launch, PhysicalType::Int32, rows.max(), true)?;
    let params = TemporalMakeDateParams {
        year: year.view(launch)?,
        month: month.view(launch)?,
        day: day.view(launch)?,
        output: output.out(),
        active: failures.active_pointer(launch)?,
        status: failures.status_pointer()?,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        flags: failures.flags,
        reserved: 0,
    };
    let (grid, threads) = (grid(rows), abi::PROJECT_THREADS);
    // SAFETY: `view` and `out` give pointers to buffers of `rows.max()` rows, ordered on this stream,
    // of layouts that were checked.
    unsafe { launch.launch::<abi::TemporalMakeDate>(grid, threads, 0, &params) }?;
    Ok(output.into_column())
}

fn check(physical: PhysicalType) -> Result<()> {
    match physical {
        PhysicalType::Int32 | PhysicalType::Int64 => Ok(()),
        other => Err(Error::invalid(
            "date or time",
            format!("laid out as {other:?}"),
            "",
        )),
    }
}
