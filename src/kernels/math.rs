//! Launchers of functions over numbers.

use std::sync::Arc;

use super::abi::{self, MathBetweenParams, MathInListParams, MathRoundParams, ProjectBinaryParams};
use super::project::{Failures, binary_params, grid, launch_binary};
use super::{DeviceColumn, DeviceRows, Kernel, Launch, OutputColumn, address_of, halves};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Launches an entry over two columns that fit it.
fn run<K: Kernel<Params = ProjectBinaryParams>>(
    launch: &Launch,
    op: u32,
    operands: (&DeviceColumn, &DeviceColumn),
    output: OutputColumn,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let params = binary_params(launch, op, operands, &output, rows, failures)?;
    launch_binary::<K>(launch, rows, &params)?;
    Ok(output.into_column())
}

/// `abi::MATH_ABS`, `MATH_SIGN` (of floats) or `MATH_BIT_NOT` (of integers), in the operand's type,
/// which is of integers, `Float32` or `Float64`.
///
/// # Errors
/// `InvalidInput` for another type; no memory.
pub fn unary(
    launch: &Launch,
    op: u32,
    operand: &DeviceColumn,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let physical = number(operand)?;
    let output = OutputColumn::new(launch, physical, rows.max(), operand.nullable())?;
    let unused = DeviceColumn::scalar(physical, Some(0), rows.max());
    let operands = (operand, &unused);
    run::<abi::MathUnary>(launch, op, operands, output, rows, failures)
}

/// The sign of integers, as `Int8`.
///
/// # Errors
/// `InvalidInput` for another type; no memory.
pub fn sign(launch: &Launch, operand: &DeviceColumn, rows: &DeviceRows) -> Result<DeviceColumn> {
    let physical = number(operand)?;
    let output = OutputColumn::new(launch, PhysicalType::Int8, rows.max(), operand.nullable())?;
    let unused = DeviceColumn::scalar(physical, Some(0), rows.max());
    let (operands, none) = ((operand, &unused), Failures::default());
    run::<abi::MathSign>(launch, 0, operands, output, rows, &none)
}

/// `abi::MATH_BIT_AND` … `MATH_BIT_XOR` of two integer columns of one type.
///
/// # Errors
/// `InvalidInput` if the types differ; no memory.
pub fn bits(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    let physical = same(left, right)?;
    let nullable = left.nullable() || right.nullable();
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let none = Failures::default();
    run::<abi::MathBits>(launch, op, (left, right), output, rows, &none)
}

/// `abi::MATH_SHIFT_LEFT` or `MATH_SHIFT_RIGHT` of integers by counts of 64 bits.
///
/// # Errors
/// `InvalidInput` for other types; no memory.
pub fn shift(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    counts: &DeviceColumn,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    if counts.physical().bits() != 64 {
        return Err(Error::invalid("shift", "counts have 64 bits", "cast them"));
    }
    let output = OutputColumn::new(launch, number(left)?, rows.max(), true)?;
    run::<abi::MathShift>(launch, op, (left, counts), output, rows, failures)
}

/// `abi::MATH_GREATEST` or `MATH_LEAST` of two columns of one type that has an order; nulls lose.
///
/// # Errors
/// `InvalidInput` if the types differ; no memory.
pub fn extreme(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    same(left, right)?;
    let nullable = left.nullable() && right.nullable();
    let output = OutputColumn::new(launch, number(left)?, rows.max(), nullable)?;
    let none = Failures::default();
    run::<abi::MathExtreme>(launch, op, (left, right), output, rows, &none)
}

/// `abi::MATH_SQRT` … `MATH_ATAN2` of one or two `Float64` columns.
///
/// # Errors
/// `InvalidInput` for other types; no memory.
pub fn float(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    if same(left, right)? != PhysicalType::Float64 {
        return Err(Error::invalid(
            "function",
            "operands are Float64",
            "cast them",
        ));
    }
    let nullable = left.nullable() || right.nullable();
    let output = OutputColumn::new(launch, PhysicalType::Float64, rows.max(), nullable)?;
    let (operands, none) = ((left, right), Failures::default());
    match op {
        abi::MATH_SQRT | abi::MATH_SCALE => {
            run::<abi::MathFloat>(launch, op, operands, output, rows, &none)
        }
        abi::MATH_CBRT..=abi::MATH_LOG => {
            run::<abi::MathExponential>(launch, op, operands, output, rows, &none)
        }
        _ => run::<abi::MathTrigonometric>(launch, op, operands, output, rows, &none),
    }
}

/// How numbers are rounded; see `MathRoundParams`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundSteps {
    /// Integers: divided by this, which is positive; 0: more than 128 bits.
    pub divisor: i128,
    /// Integers: then multiplied by this, which is positive.
    pub multiplier: i128,
    /// Integers: absolute results must be below this; 0: they wrap.
    pub limit: i128,
    /// Floats: 10^|digits|.
    pub factor: f64,
    /// Floats: multiplied by the factor first, or else divided by it.
    pub digits_are_behind: bool,
    /// One of `abi::MATH_ROUND_*`.
    pub rounding: u32,
}

/// Rounds a column into a layout.
///
/// # Errors
/// `InvalidInput` for a type that is no number; no memory.
pub fn round(
    launch: &Launch,
    input: &DeviceColumn,
    physical: PhysicalType,
    steps: RoundSteps,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let nullable = input.nullable() || steps.limit != 0;
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let (divisor_low, divisor_high) = halves(steps.divisor);
    let (multiplier_low, multiplier_high) = halves(steps.multiplier);
    let (limit_low, limit_high) = halves(steps.limit);
    let params = MathRoundParams {
        input: input.view(launch)?,
        output: output.out(),
        active: failures.active_pointer(launch)?,
        status: failures.status_pointer()?,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        divisor_low,
        divisor_high,
        multiplier_low,
        multiplier_high,
        limit_low,
        limit_high,
        factor: steps.factor,
        digits_are_behind: u32::from(steps.digits_are_behind),
        rounding: steps.rounding,
        flags: failures.flags,
        reserved: 0,
    };
    let fits = |value: i128| i64::try_from(value).is_ok();
    let narrow = !matches!(
        input.physical(),
        PhysicalType::Int128 | PhysicalType::UInt64
    ) && steps.divisor > 0
        && fits(steps.divisor)
        && fits(steps.multiplier);
    match number(input)? {
        PhysicalType::Float32 | PhysicalType::Float64 => {
            launch_round::<abi::MathRoundFloat>(launch, rows, &params)
        }
        _ if narrow => launch_round::<abi::MathRound>(launch, rows, &params),
        _ => launch_round::<abi::MathRoundWide>(launch, rows, &params),
    }?;
    Ok(output.into_column())
}

/// Launches an entry that is matched to the input's type.
fn launch_round<K: Kernel<Params = MathRoundParams>>(
    launch: &Launch,
    rows: &DeviceRows,
    params: &MathRoundParams,
) -> Result<()> {
    // SAFETY: `round` took every pointer from a column of `rows.max()` rows, ordered on this stream,
    // and columns carry their own types.
    unsafe { launch.launch::<K>(grid(rows), abi::PROJECT_THREADS, 0, params) }
}

/// `value op_low low and value op_high high` over three columns of one type with an order; the
/// operators are those of [`compare`](super::project::compare).
///
/// # Errors
/// `InvalidInput` if the types differ; no memory.
pub fn between(
    launch: &Launch,
    value: &DeviceColumn,
    (op_low, low): (u32, &DeviceColumn),
    (op_high, high): (u32, &DeviceColumn),
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    same(value, low)?;
    same(value, high)?;
    number(value)?;
    let nullable = value.nullable() || low.nullable() || high.nullable();
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    let params = MathBetweenParams {
        value: value.view(launch)?,
        low: low.view(launch)?,
        high: high.view(launch)?,
        output: output.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        op_low,
        op_high,
    };
    if value.physical() == PhysicalType::Int128 {
        launch_between::<abi::MathBetweenWide>(launch, rows, &params)?;
    } else {
        launch_between::<abi::MathBetween>(launch, rows, &params)?;
    }
    Ok(output.into_column())
}

/// Launches an entry that is matched to the values' type.
fn launch_between<K: Kernel<Params = MathBetweenParams>>(
    launch: &Launch,
    rows: &DeviceRows,
    params: &MathBetweenParams,
) -> Result<()> {
    // SAFETY: `between` took every pointer from a column of `rows.max()` rows, ordered on this stream,
    // all of the type that `value` carries.
    unsafe { launch.launch::<K>(grid(rows), abi::PROJECT_THREADS, 0, params) }
}

/// Whether values are among some constants, given as bits: `list` is zero-extended, floats in the
/// canonical form (one zero, one NaN). Where nothing is found and `has_null`, the result is null.
///
/// # Errors
/// `InvalidInput` for Boolean columns and views; no memory.
pub fn in_list(
    launch: &Launch,
    value: &DeviceColumn,
    list: &[u128],
    has_null: bool,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    if matches!(value.physical(), PhysicalType::Boolean | PhysicalType::View) {
        let cause = format!("no list of {:?}", value.physical());
        return Err(Error::invalid("is_in", cause, "cast the operand"));
    }
    let nullable = value.nullable() || has_null;
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let wide = value.physical() == PhysicalType::Int128;
    let words: Vec<u64> = sorted
        .iter()
        .flat_map(|value| [*value as u64, (*value >> 64) as u64])
        .enumerate()
        .filter_map(|(index, word)| (wide || index % 2 == 0).then_some(word))
        .collect();
    let small = !wide && words.len() <= abi::MATH_LIST_SMALL as usize;
    let uploaded = if small {
        None
    } else {
        // At least one word, so that there is an address.
        let words = if words.is_empty() {
            &[0, 0]
        } else {
            &words[..]
        };
        Some(Arc::new(launch.upload_structs(words)?))
    };
    let mut params = MathInListParams {
        value: value.view(launch)?,
        output: output.out(),
        list: uploaded.as_deref().map_or(std::ptr::null(), |list| {
            address_of::<u64>(list).cast_const()
        }),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        small_values: [0; abi::MATH_LIST_SMALL as usize],
        count: sorted.len() as u32,
        has_null: u32::from(has_null),
    };
    if small {
        params.small_values[..words.len()].copy_from_slice(&words);
    }
    let (grid, threads) = (grid(rows), abi::PROJECT_THREADS);
    // SAFETY: `view` and `out` give pointers to buffers of `rows.max()` rows, ordered on this stream;
    // the list has `count` values of the width that the type takes, and lives until its launch is
    // done, as every buffer is freed in the order of the stream.
    unsafe { launch.launch::<abi::MathInList>(grid, threads, 0, &params) }?;
    Ok(output.into_column())
}

fn number(column: &DeviceColumn) -> Result<PhysicalType> {
    match column.physical() {
        PhysicalType::Boolean | PhysicalType::Float16 | PhysicalType::View => Err(Error::invalid(
            "function",
            format!("undefined over {:?}", column.physical()),
            "cast the operand",
        )),
        other => Ok(other),
    }
}

fn same(left: &DeviceColumn, right: &DeviceColumn) -> Result<PhysicalType> {
    super::project::same_type(left, right)
}
