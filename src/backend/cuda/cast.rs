//! Casts that Arrow defines: to and from strings and bytes, and between the local times of zones.
//!
//! Integers, decimals, dates, timestamps and Booleans become strings by a kernel. What is codes is cast
//! once per entry of the dictionary, and then looked up; all else goes through the host, which waits
//! for the stream.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_empty_array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;

use super::dictionary::Dictionary;
use super::download::array_of;
use super::evaluate::physical;
use super::{text, upload};
use crate::backend::cast::by_arrow;
use crate::error::{Error, Result};
use crate::kernels::gather::gather_rows;
use crate::kernels::strings::{self, Form, Table, lookup};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use crate::types::{DataType, PhysicalType, TimeUnit, decimal_parts, is_string, is_text};

/// True if [`HostCast`] has a rule.
pub(super) fn is_known(from: &DataType, to: &DataType) -> bool {
    let text = is_text(from) || is_text(to);
    let temporal = from.is_temporal() && to.is_temporal();
    // Whether it knows a zone Arrow only says when it meets one.
    let known = || by_arrow(&new_empty_array(&plain(from)), to).is_ok();
    (text || temporal) && arrow::compute::can_cast_types(&plain(from), to) && known()
}

/// A type of strings or bytes without its layout; any other type as it is.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        text if is_string(text) => DataType::Utf8,
        DataType::FixedSizeBinary(_) => data_type.clone(),
        text if is_text(text) => DataType::Binary,
        other => other.clone(),
    }
}

/// What the kernel reads values as that become strings, if it does.
fn form(from: &DataType, to: &DataType) -> Option<Form> {
    if !is_string(to) {
        return None;
    }
    if let Some((_, scale)) = decimal_parts(from) {
        return u32::try_from(scale).ok().map(Form::Number);
    }
    Some(match from {
        DataType::Boolean => Form::Truth,
        DataType::Date32 => Form::Date,
        DataType::Timestamp(unit, None) => Form::Timestamp(match unit {
            TimeUnit::Second => abi::TEMPORAL_SECONDS,
            TimeUnit::Millisecond => abi::TEMPORAL_MILLIS,
            TimeUnit::Microsecond => abi::TEMPORAL_MICROS,
            TimeUnit::Nanosecond => abi::TEMPORAL_NANOS,
        }),
        integer if integer.is_integer() => Form::Number(0),
        _ => return None,
    })
}

/// Values as strings by a kernel, if there is one; where the cast is strict, only if all fit, for which
/// the stream is waited for.
pub(super) fn formatted(
    launch: &Launch,
    column: &DeviceColumn,
    (from, to): (&DataType, &DataType),
    strict: bool,
    rows: &DeviceRows,
) -> Result<Option<DeviceColumn>> {
    let Some(form) = form(from, to) else {
        return Ok(None);
    };
    let formatted = strings::format(launch, column, form, rows)?;
    let dates = matches!(form, Form::Date | Form::Timestamp(_));
    if strict && dates && formatted.has_misfits(launch)? {
        return Ok(None);
    }
    Ok(Some(formatted.column))
}

/// A column that was cast, and which rows did not fit (their values are null now).
pub(super) struct Cast {
    pub column: DeviceColumn,
    /// Boolean; none if all rows fit.
    pub misfits: Option<DeviceColumn>,
}

/// A cast of the rows of one batch.
pub(super) struct HostCast<'a> {
    pub launch: &'a Launch<'a>,
    pub dictionary: &'a Dictionary,
    pub rows: &'a DeviceRows,
    pub from: &'a DataType,
    pub to: &'a DataType,
}

/// What a cast gives for the entries of a dictionary.
#[derive(Debug, Clone)]
pub(super) struct CastTable {
    values: DeviceColumn,
    /// None if all entries fit.
    misfits: Option<Table>,
}

/// A cast of the first entries of a dictionary.
#[derive(Debug, Default)]
pub(super) struct CastEntries {
    count: usize,
    values: Option<ArrayRef>,
    misfits: Vec<bool>,
    table: Option<CastTable>,
}

/// The cast values, and where they are null though the values are not.
fn cast(values: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Vec<bool>)> {
    let after = by_arrow(values, to).map_err(|cause| Error::arithmetic("cast", cause))?;
    let (before, nulls) = (values.logical_nulls(), after.logical_nulls());
    let lost = |row: usize| {
        nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
            && before.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    };
    let misfits = (0..after.len()).map(lost).collect();
    Ok((after, misfits))
}

impl CastEntries {
    /// The table of all entries that the dictionary has by now.
    pub(super) fn get(
        &mut self,
        launch: &Launch,
        dictionary: &Dictionary,
        from: &DataType,
        to: &DataType,
    ) -> Result<CastTable> {
        let added = dictionary.values_from(self.count);
        if let Some(table) = self.table.as_ref().filter(|_| added.is_empty()) {
            return Ok(table.clone());
        }
        let mut entries = text::HostText::with_capacity(added.len());
        for entry in &added {
            // No row of strings has an entry that is none.
            let string = !is_string(from) || std::str::from_utf8(entry).is_ok();
            entries.push(if string { entry.as_ref() } else { &[] });
        }
        let entries = entries.into_array(from, None)?;
        let (values, misfits) = cast(&entries, to)?;
        let values = match &self.values {
            None => values,
            Some(before) => concat(&[before.as_ref(), values.as_ref()])
                .map_err(|cause| Error::invalid("cast", cause.to_string(), ""))?,
        };
        self.misfits.extend(misfits);
        self.count += added.len();
        let misfits = match self.misfits.contains(&true) {
            true => Some(Table {
                physical: PhysicalType::Boolean,
                values: Arc::new(upload_bits(launch, &self.misfits)?),
                entries: self.count as u64,
                kept: Arc::default(),
            }),
            false => None,
        };
        let column = upload::column(launch, &values, dictionary)?;
        self.values = Some(values);
        let table = CastTable {
            values: column,
            misfits,
        };
        self.table = Some(table.clone());
        Ok(table)
    }
}

fn upload_bits(launch: &Launch, bits: &[bool]) -> Result<crate::device::DeviceBuffer> {
    let bits = BooleanBuffer::from(bits);
    launch.device().upload(launch.stream(), bits.values())
}

impl HostCast<'_> {
    /// The column, cast.
    pub(super) fn call(&self, column: &DeviceColumn) -> Result<Cast> {
        if is_text(self.from) && column.physical() == PhysicalType::UInt32 {
            self.of_codes(column)
        } else {
            self.on_host(column)
        }
    }

    fn of_codes(&self, codes: &DeviceColumn) -> Result<Cast> {
        let (launch, rows, dictionary) = (self.launch, self.rows, self.dictionary);
        let from = plain(self.from);
        let table = dictionary.tables.cast(launch, dictionary, &from, self.to)?;
        let entries = DeviceRows::known(table.values.rows());
        if entries.max() == 0 {
            let nulls = DeviceColumn::scalar(physical(self.to)?, None, rows.max());
            return Ok(Cast {
                column: nulls,
                misfits: None,
            });
        }
        // The table has every code: nothing is told by the status.
        let status = Status::new(launch, "gather_rows")?;
        let picked = gather_rows(launch, codes, rows, &[&table.values], &entries, &status)?;
        let gone = || Error::invalid("cast", "nothing was looked up", "");
        let misfits = table.misfits.as_ref();
        let misfits = misfits.map(|misfits| lookup(launch, codes, misfits, rows));
        Ok(Cast {
            column: picked.into_iter().next().ok_or_else(gone)?,
            misfits: misfits.transpose()?,
        })
    }

    fn on_host(&self, column: &DeviceColumn) -> Result<Cast> {
        let (launch, dictionary) = (self.launch, self.dictionary);
        let rows = self.rows.resolve(launch)?;
        let from = plain(self.from);
        let values = array_of(launch, column, rows, &from, dictionary)?;
        let (cast, misfits) = cast(&values, self.to)?;
        let misfits = match misfits.contains(&true) {
            true => {
                let misfits: ArrayRef = Arc::new(BooleanArray::from(misfits));
                Some(self.upload(misfits)?)
            }
            false => None,
        };
        Ok(Cast {
            column: self.upload(cast)?,
            misfits,
        })
    }

    /// An array in device memory; rows that nobody has are null. Strings and bytes are views.
    fn upload(&self, array: ArrayRef) -> Result<DeviceColumn> {
        let missing = self.rows.max() as usize - array.len();
        let array = match missing {
            0 => array,
            missing => {
                let nulls = new_null_array(array.data_type(), missing);
                concat(&[array.as_ref(), nulls.as_ref()])
                    .map_err(|cause| Error::invalid("cast", cause.to_string(), ""))?
            }
        };
        if is_text(array.data_type()) {
            return text::upload(self.launch, &array);
        }
        upload::column(self.launch, &array, self.dictionary)
    }
}
