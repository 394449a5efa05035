//! Launcher of `quantile`.

use super::abi::{self, QuantileParams};
use super::column::{check_rows, check_type};
use super::{DeviceColumn, Launch, OutputColumn, address_of, blocks};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// A place among sorted values, and what is taken if it falls between two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// From 0 to 1.
    pub q: f64,
    /// One of `abi::QUANTILE_LINEAR` … `QUANTILE_NEAREST`; the first two give `Float64`, the others a
    /// value as it is.
    pub interpolation: u32,
    /// What values between two are divided by: 10^scale of decimals, else 1.
    pub divisor: f64,
    /// What they are multiplied by: 10^−scale of decimals whose scale is negative, else 1.
    pub multiplier: f64,
}

impl Quantile {
    fn picks_a_value(&self) -> bool {
        self.interpolation > abi::QUANTILE_MIDPOINT
    }
}

/// A quantile of each of so many segments of a column whose values ascend within a segment, nulls
/// behind; null for a segment without values. `starts` (`UInt32`) has the first row of each segment,
/// and the end of the last one.
///
/// Shape: `values[rows]`, `starts[segments + 1]` → a column of `segments` rows.
///
/// # Errors
/// `InvalidInput` for Booleans and views, and for starts of another type or of too few rows; no memory
/// is left, or the driver refuses.
pub fn quantile_pick(
    launch: &Launch,
    values: &DeviceColumn,
    starts: &DeviceColumn,
    segments: u64,
    quantile: &Quantile,
) -> Result<DeviceColumn> {
    check_type("quantile", starts, PhysicalType::UInt32)?;
    check_rows("quantile", &[starts], segments + 1)?;
    let physical = values.physical();
    let places = starts.values();
    let (Some(places), 0, false) = (
        places,
        starts.offset(),
        matches!(physical, PhysicalType::Boolean | PhysicalType::View),
    ) else {
        let cause = format!("of {physical:?}, or of starts that are a slice or a scalar");
        return Err(Error::invalid("quantile", cause, "pass numbers"));
    };
    let physical = match quantile.picks_a_value() {
        true => physical,
        false => PhysicalType::Float64,
    };
    places.order_read(launch.stream())?;
    let output = OutputColumn::new(launch, physical, segments, true)?;
    let params = QuantileParams {
        values: values.view(launch)?,
        starts: address_of(places),
        output: output.out(),
        row_count: values.rows(),
        segment_count: segments,
        q: quantile.q,
        divisor: quantile.divisor,
        multiplier: quantile.multiplier,
        interpolation: quantile.interpolation,
        reserved: 0,
    };
    let grid = blocks(segments, abi::QUANTILE_THREADS);
    // SAFETY: `view` gives a buffer of the values' rows, and the kernel reads no row behind them,
    // whatever the starts say; there are `segments + 1` of those, and an output row per segment.
    unsafe { launch.launch::<abi::QuantilePick>(grid, abi::QUANTILE_THREADS, 0, &params) }?;
    Ok(output.into_column())
}
