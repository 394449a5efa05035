//! Launcher of `strings_format`: values as text.

use std::sync::Arc;

use super::super::abi::{self, StringsFormatParams};
use super::super::column::check_rows;
use super::super::{DeviceColumn, DeviceRows, Launch, OutputColumn, address_of};
use super::grid;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// What values are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Integers, and decimals with so many digits behind the point, at most 38.
    Number(u32),
    /// Days since 1970.
    Date,
    /// Counts since 1970 of a unit: one of `abi::TEMPORAL_SECONDS` … `TEMPORAL_NANOS`.
    Timestamp(u32),
    /// Booleans.
    Truth,
}

/// Text of values, and whether there were some without.
#[derive(Debug)]
pub struct Formatted {
    /// Views.
    pub column: DeviceColumn,
    misfits: DeviceBuffer,
}

impl Formatted {
    /// True if a date is not in the calendar, so that its row is null. Waits for the stream.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn has_misfits(&self, launch: &Launch) -> Result<bool> {
        let mut seen = [0u8; 4];
        let device = launch.device();
        device.read(launch.stream(), &self.misfits, &mut seen)?;
        Ok(seen != [0; 4])
    }
}

/// Bytes of the longest text, in whole words.
fn room(physical: PhysicalType, form: Form) -> u32 {
    let bytes = match form {
        Form::Truth => 5,
        Form::Date => 13,         // +262142-12-31
        Form::Timestamp(_) => 32, // that, T23:59:59.123456789
        Form::Number(scale) => {
            let digits = match physical {
                PhysicalType::Int8 | PhysicalType::UInt8 => 3,
                PhysicalType::Int16 | PhysicalType::UInt16 => 5,
                PhysicalType::Int32 | PhysicalType::UInt32 => 10,
                PhysicalType::Int128 => 39,
                _ => 20,
            };
            2 + u32::max(digits, scale + 1) // with sign and point
        }
    };
    bytes.next_multiple_of(8)
}

/// Values as text: integers and decimals in digits, dates as 2024-02-29, timestamps as
/// 2024-02-29T23:59:59.999, with no, 3, 6 or 9 digits of a second's part, as many as it takes.
///
/// Shape: `input[rows]` → views `[rows]`.
///
/// # Errors
/// `InvalidInput` for a layout that has no such values, and for more than 38 digits behind the point; no
/// memory is left, or the driver refuses.
pub fn format(
    launch: &Launch,
    input: &DeviceColumn,
    form: Form,
    rows: &DeviceRows,
) -> Result<Formatted> {
    let physical = input.physical();
    let known = match (form, physical) {
        (Form::Truth, own) => own == PhysicalType::Boolean,
        (Form::Date, own) => own == PhysicalType::Int32,
        (Form::Timestamp(_), own) => own == PhysicalType::Int64,
        (
            Form::Number(_),
            PhysicalType::Boolean
            | PhysicalType::Float16
            | PhysicalType::Float32
            | PhysicalType::Float64
            | PhysicalType::View,
        ) => false,
        (Form::Number(scale), _) => scale <= 38,
    };
    if !known {
        let cause = format!("{physical:?} are not {form:?}");
        return Err(Error::invalid("strings", cause, ""));
    }
    check_rows("strings", &[input], rows.max())?;
    let dates = matches!(form, Form::Date | Form::Timestamp(_));
    let nullable = input.nullable() || dates;
    let output = OutputColumn::new(launch, PhysicalType::View, rows.max(), nullable)?;
    let room = room(physical, form);
    let bytes = Arc::new(launch.alloc(rows.max() * u64::from(room))?);
    let misfits = launch.alloc_zeroed(4)?;
    let (form, scale, unit) = match form {
        Form::Number(scale) => (abi::STRINGS_FORMAT_NUMBER, scale, 0),
        Form::Date => (abi::STRINGS_FORMAT_DATE, 0, 0),
        Form::Timestamp(unit) => (abi::STRINGS_FORMAT_TIMESTAMP, 0, unit),
        Form::Truth => (abi::STRINGS_FORMAT_TRUTH, 0, 0),
    };
    let params = StringsFormatParams {
        input: input.view(launch)?,
        output: output.out(),
        out_bytes: address_of(&bytes),
        out_misfits: address_of(&misfits),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        form,
        scale,
        unit,
        room,
    };
    let grid = grid(rows.max());
    // SAFETY: `view` gives a column of `rows.max()` rows of a layout that the form reads; the output is a
    // view per row, and each row has room for the longest text of its form.
    unsafe { launch.launch::<abi::StringsFormat>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    let column = output.into_column().keeping(Arc::from([bytes]));
    Ok(Formatted { column, misfits })
}
