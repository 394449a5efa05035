//! Launchers of `project`: one step of an expression each.

use super::abi::{self, ProjectBinaryParams, ProjectCastParams, ProjectSelectParams};
use super::column::check_rows;
use super::{
    DeviceColumn, DeviceRows, Kernel, Launch, OutputColumn, Status, address_of, blocks, halves,
};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// What a failing row does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failures<'a> {
    /// `abi::PROJECT_*` flags: which failures are errors.
    pub flags: u32,
    /// Where errors go; needed if a flag makes one.
    pub status: Option<&'a Status>,
    /// Rows that may fail (Boolean, never null); all, if absent.
    pub active: Option<&'a DeviceColumn>,
}

impl Failures<'_> {
    pub(super) fn status_pointer(&self) -> Result<*mut abi::KernelStatus> {
        let errors = abi::PROJECT_OVERFLOW_IS_ERROR
            | abi::PROJECT_DIVISION_BY_ZERO_IS_ERROR
            | abi::PROJECT_CAST_IS_STRICT;
        match self.status {
            Some(status) => Ok(status.pointer()),
            None if self.flags & errors == 0 => Ok(std::ptr::null_mut()),
            None => Err(Error::invalid(
                "project",
                "errors are asked for without a status",
                "",
            )),
        }
    }

    fn check_rows(&self, rows: &DeviceRows) -> Result<()> {
        self.active.map_or(Ok(()), |active| {
            check_rows("project", &[active], rows.max())
        })
    }

    pub(super) fn active_pointer(&self, launch: &Launch) -> Result<*const u8> {
        let Some(active) = self.active else {
            return Ok(std::ptr::null());
        };
        let buffer = active.values().filter(|_| {
            active.physical() == PhysicalType::Boolean && active.offset() == 0 && !active.nullable()
        });
        let buffer = buffer.ok_or_else(|| {
            Error::invalid(
                "project",
                "a mask is a Boolean array without nulls or offset",
                "",
            )
        })?;
        buffer.order_read(launch.stream())?;
        Ok(address_of::<u8>(buffer))
    }
}

pub(super) fn grid(rows: &DeviceRows) -> u64 {
    blocks(rows.max(), abi::PROJECT_TILE_ROWS)
}

pub(super) fn binary_params(
    launch: &Launch,
    op: u32,
    operands: (&DeviceColumn, &DeviceColumn),
    output: &OutputColumn,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<ProjectBinaryParams> {
    check_rows("project", &[operands.0, operands.1], rows.max())?;
    failures.check_rows(rows)?;
    Ok(ProjectBinaryParams {
        left: operands.0.view(launch)?,
        right: operands.1.view(launch)?,
        output: output.out(),
        active: failures.active_pointer(launch)?,
        status: failures.status_pointer()?,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        limit_low: 0,
        limit_high: 0,
        op,
        flags: failures.flags,
    })
}

/// Launches an entry whose operands and output fit its type.
pub(super) fn launch_binary<K: Kernel<Params = ProjectBinaryParams>>(
    launch: &Launch,
    rows: &DeviceRows,
    params: &ProjectBinaryParams,
) -> Result<()> {
    // SAFETY: `binary_params` took every pointer from a column of `rows.max()` rows, ordered on
    // this stream, and the callers match the entry to the columns' type.
    unsafe { launch.launch::<K>(grid(rows), abi::PROJECT_THREADS, 0, params) }
}

/// `left op right`, where `op` is one of `abi::PROJECT_ADD` … `PROJECT_NEGATE`, over two columns of
/// one integer type or of `Float32` or `Float64`.
///
/// # Errors
/// `InvalidInput` if the types differ or have no arithmetic; no memory.
pub fn arithmetic(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let physical = same_type(left, right)?;
    let divides = matches!(op, abi::PROJECT_DIVIDE | abi::PROJECT_REMAINDER)
        && !matches!(physical, PhysicalType::Float32 | PhysicalType::Float64);
    let nullable = left.nullable() || right.nullable() || divides;
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let params = binary_params(launch, op, (left, right), &output, rows, failures)?;
    match physical {
        PhysicalType::Int8 => launch_binary::<abi::ProjectArithmeticI8>(launch, rows, &params),
        PhysicalType::Int16 => launch_binary::<abi::ProjectArithmeticI16>(launch, rows, &params),
        PhysicalType::Int32 => launch_binary::<abi::ProjectArithmeticI32>(launch, rows, &params),
        PhysicalType::Int64 => launch_binary::<abi::ProjectArithmeticI64>(launch, rows, &params),
        PhysicalType::UInt8 => launch_binary::<abi::ProjectArithmeticU8>(launch, rows, &params),
        PhysicalType::UInt16 => launch_binary::<abi::ProjectArithmeticU16>(launch, rows, &params),
        PhysicalType::UInt32 => launch_binary::<abi::ProjectArithmeticU32>(launch, rows, &params),
        PhysicalType::UInt64 => launch_binary::<abi::ProjectArithmeticU64>(launch, rows, &params),
        PhysicalType::Float32 => launch_binary::<abi::ProjectArithmeticF32>(launch, rows, &params),
        PhysicalType::Float64 => launch_binary::<abi::ProjectArithmeticF64>(launch, rows, &params),
        other => Err(Error::invalid(
            "project",
            format!("no arithmetic over {other:?}"),
            "",
        )),
    }?;
    Ok(output.into_column())
}

/// `left op right` over decimals of 64 or 128 bits each, computed in as many as they need; absolute
/// results must be below `limit` (0: no limit).
///
/// # Errors
/// No memory is left, or the driver refuses.
#[expect(
    clippy::too_many_arguments,
    reason = "one argument per field of the launch struct"
)]
pub fn decimal(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    physical: PhysicalType,
    limit: i128,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    let floats = [left, right].map(|column| {
        let physical = column.physical();
        matches!(
            physical,
            PhysicalType::Float16 | PhysicalType::Float32 | PhysicalType::Float64
        )
    });
    if floats.contains(&true) {
        let remedy = "cast it to a decimal";
        return Err(Error::invalid("project", "a float among decimals", remedy));
    }
    let output = OutputColumn::new(launch, physical, rows.max(), true)?;
    let mut params = binary_params(launch, op, (left, right), &output, rows, failures)?;
    (params.limit_low, params.limit_high) = halves(limit);
    let narrow = [left, right].map(|operand| operand.physical() == PhysicalType::Int64);
    match (narrow, physical) {
        ([true, true], PhysicalType::Int64) if i64::try_from(limit).is_ok() => {
            launch_binary::<abi::ProjectDecimalI64>(launch, rows, &params)?;
        }
        ([true, true], PhysicalType::Int128) => {
            launch_binary::<abi::ProjectDecimalWiden>(launch, rows, &params)?;
        }
        _ => launch_binary::<abi::ProjectDecimal>(launch, rows, &params)?,
    }
    Ok(output.into_column())
}

/// `left op right` as Booleans, where `op` is one of `abi::PROJECT_EQUAL` …
/// `PROJECT_GREATER_OR_EQUAL`, over two columns of one type other than Boolean and `Float16`.
///
/// # Errors
/// `InvalidInput` if the types differ or have no order; no memory.
pub fn compare(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    let physical = same_type(left, right)?;
    let nullable = left.nullable() || right.nullable();
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    let none = Failures::default();
    let params = binary_params(launch, op, (left, right), &output, rows, &none)?;
    match physical {
        PhysicalType::Int8 => launch_binary::<abi::ProjectCompareI8>(launch, rows, &params),
        PhysicalType::Int16 => launch_binary::<abi::ProjectCompareI16>(launch, rows, &params),
        PhysicalType::Int32 => launch_binary::<abi::ProjectCompareI32>(launch, rows, &params),
        PhysicalType::Int64 => launch_binary::<abi::ProjectCompareI64>(launch, rows, &params),
        PhysicalType::UInt8 => launch_binary::<abi::ProjectCompareU8>(launch, rows, &params),
        PhysicalType::UInt16 => launch_binary::<abi::ProjectCompareU16>(launch, rows, &params),
        PhysicalType::UInt32 => launch_binary::<abi::ProjectCompareU32>(launch, rows, &params),
        PhysicalType::UInt64 => launch_binary::<abi::ProjectCompareU64>(launch, rows, &params),
        PhysicalType::Float32 => launch_binary::<abi::ProjectCompareF32>(launch, rows, &params),
        PhysicalType::Float64 => launch_binary::<abi::ProjectCompareF64>(launch, rows, &params),
        PhysicalType::Int128 => launch_binary::<abi::ProjectCompareI128>(launch, rows, &params),
        other => Err(Error::invalid(
            "project",
            format!("no comparison over {other:?}"),
            "",
        )),
    }?;
    Ok(output.into_column())
}

/// Kleene logic, null tests and branch masks: `op` is one of `abi::PROJECT_AND` …
/// `PROJECT_NOT_TAKEN`.
///
/// # Errors
/// No memory is left, or the driver refuses.
pub fn logic(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    let three_valued = matches!(op, abi::PROJECT_AND | abi::PROJECT_OR | abi::PROJECT_NOT);
    let nullable = three_valued && (left.nullable() || right.nullable());
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    let none = Failures::default();
    let params = binary_params(launch, op, (left, right), &output, rows, &none)?;
    let grid = blocks(rows.max(), abi::PROJECT_LOGIC_TILE_ROWS);
    // SAFETY: as `launch_binary`; the output's bitmaps are rounded up to 64 bytes.
    unsafe { launch.launch::<abi::ProjectLogic>(grid, abi::PROJECT_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// How values change on their way to another type; see `ProjectCastParams`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescale {
    /// Integers: multiplied by this first.
    pub multiplier: i128,
    /// Integers: then divided by this, which is positive.
    pub divisor: i128,
    /// Integers: absolute results must be below this; 0: the output's type alone decides.
    pub limit: i128,
    /// Between decimals and floats: 10^scale; else 0.
    pub factor: f64,
}

impl Rescale {
    /// Values as they are.
    pub const NONE: Rescale = Rescale {
        multiplier: 1,
        divisor: 1,
        limit: 0,
        factor: 0.0,
    };

    /// True if every value has a result, so that no row fails or becomes null.
    pub fn always_fits(self, from: PhysicalType, to: PhysicalType) -> bool {
        let is_float = |physical| {
            use PhysicalType::{Float16, Float32, Float64};
            matches!(physical, Float16 | Float32 | Float64)
        };
        if to == PhysicalType::Boolean || is_float(to) {
            return true;
        }
        let signed = |physical| {
            use PhysicalType::{Int8, Int16, Int32, Int64, Int128};
            matches!(physical, Int8 | Int16 | Int32 | Int64 | Int128)
        };
        let wider = match (signed(from), signed(to)) {
            (true, false) => false,
            (false, true) => to.bits() > from.bits(),
            _ => to.bits() >= from.bits(),
        };
        self == Rescale::NONE && !is_float(from) && wider
    }

    /// True if 64-bit integers do for a cast between integers, or from an integer to a float.
    fn is_narrow(self, from: PhysicalType, to: PhysicalType) -> bool {
        use PhysicalType::{Boolean, Float16, Float32, Float64, Int128, UInt64, View};
        let factors = [self.multiplier, self.divisor, self.limit];
        !matches!(from, Float16 | Float32 | Float64 | Int128 | UInt64 | View)
            && !matches!(to, Boolean | Int128 | View)
            && (to != UInt64 || self.multiplier == 1)
            && factors
                .into_iter()
                .all(|factor| i64::try_from(factor).is_ok())
    }
}

/// Casts a column to another layout.
///
/// # Errors
/// No memory is left, or the driver refuses.
pub fn cast(
    launch: &Launch,
    input: &DeviceColumn,
    physical: PhysicalType,
    rescale: Rescale,
    rows: &DeviceRows,
    failures: &Failures,
) -> Result<DeviceColumn> {
    check_rows("project", &[input], rows.max())?;
    failures.check_rows(rows)?;
    let nullable = input.nullable() || !rescale.always_fits(input.physical(), physical);
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let (multiplier_low, multiplier_high) = halves(rescale.multiplier);
    let (divisor_low, divisor_high) = halves(rescale.divisor);
    let (limit_low, limit_high) = halves(rescale.limit);
    let params = ProjectCastParams {
        input: input.view(launch)?,
        output: output.out(),
        active: failures.active_pointer(launch)?,
        status: failures.status_pointer()?,
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        multiplier_low,
        multiplier_high,
        divisor_low,
        divisor_high,
        limit_low,
        limit_high,
        factor: rescale.factor,
        flags: failures.flags,
        reserved: 0,
    };
    if rescale.is_narrow(input.physical(), physical) {
        launch_cast::<abi::ProjectCastNarrow>(launch, rows, &params)?;
    } else {
        launch_cast::<abi::ProjectCast>(launch, rows, &params)?;
    }
    Ok(output.into_column())
}

/// Launches an entry that knows the input's type.
fn launch_cast<K: Kernel<Params = ProjectCastParams>>(
    launch: &Launch,
    rows: &DeviceRows,
    params: &ProjectCastParams,
) -> Result<()> {
    // SAFETY: `cast` took every pointer from a column of `rows.max()` rows, ordered on this stream,
    // and columns carry their own types.
    unsafe { launch.launch::<K>(grid(rows), abi::PROJECT_THREADS, 0, params) }
}

/// Takes each row from `then` where the condition holds, else from `otherwise`. The condition
/// holds where `condition` (Boolean) is true, or, if `by_validity`, where it is not null.
///
/// # Errors
/// `InvalidInput` if the two have different layouts; no memory.
pub fn select(
    launch: &Launch,
    condition: &DeviceColumn,
    by_validity: bool,
    then: &DeviceColumn,
    otherwise: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    let physical = same_type(then, otherwise)?;
    check_rows("project", &[condition, then, otherwise], rows.max())?;
    let nullable = then.nullable() || otherwise.nullable();
    let output = OutputColumn::new(launch, physical, rows.max(), nullable)?;
    let params = ProjectSelectParams {
        condition: condition.view(launch)?,
        then: then.view(launch)?,
        otherwise: otherwise.view(launch)?,
        output: output.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        by_validity: u32::from(by_validity),
        reserved: 0,
    };
    // SAFETY: `view` and `out` give pointers to buffers of `rows.max()` rows, ordered on this
    // stream, and carry their own types.
    unsafe { launch.launch::<abi::ProjectSelect>(grid(rows), abi::PROJECT_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

pub(super) fn same_type(left: &DeviceColumn, right: &DeviceColumn) -> Result<PhysicalType> {
    if left.physical() == right.physical() {
        return Ok(left.physical());
    }
    let cause = format!(
        "operands of {:?} and {:?}",
        left.physical(),
        right.physical()
    );
    Err(Error::invalid("project", cause, "cast one of them"))
}
