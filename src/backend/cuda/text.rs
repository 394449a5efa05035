//! Strings and bytes as views: they lie where a page or an upload left them.
//!
//! Views pass through operators like other values, and functions of them have kernels; `group_by` takes
//! them as keys. Where an operator joins or sorts by strings they become codes of the dictionary first;
//! that goes through the host, and waits for it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryBuilder, LargeBinaryArray,
    LargeStringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;

use super::dictionary::Dictionary;
use super::tables::{OfEntry, Results};
use crate::error::{Error, Result};
use crate::kernels::strings::lookup;
use crate::kernels::text::text_collect;
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::metrics::names;
use crate::types::{DataType, PhysicalType, is_string};

/// Strings on the host, behind one another; a null is empty.
pub(super) struct HostText {
    /// Where each begins, and where the last one ends.
    offsets: Vec<i64>,
    bytes: Vec<u8>,
}

impl HostText {
    /// No strings, with room for where so many begin.
    pub(super) fn with_capacity(rows: usize) -> HostText {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let bytes = Vec::new();
        HostText { offsets, bytes }
    }

    /// Adds a string behind the others.
    pub(super) fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        // No machine has 2^63 bytes.
        self.offsets.push(self.bytes.len().cast_signed() as i64);
    }

    /// Each string.
    fn strings(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let string = |ends: &[i64]| {
            let (start, end) = (ends[0] as usize, ends[1] as usize);
            self.bytes.get(start..end).unwrap_or_default()
        };
        self.offsets.windows(2).map(string)
    }

    /// The strings of the first `rows` rows. Waits for the stream.
    pub(super) fn read(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<HostText> {
        if column.values().is_none() {
            let offsets = vec![0; rows as usize + 1];
            return Ok(HostText {
                offsets,
                bytes: Vec::new(),
            });
        }
        let (offsets, bytes, count) = text_collect(launch, column, rows)?;
        let read = |buffer, bytes: u64| {
            let mut host = vec![0; bytes as usize];
            launch.read(buffer, 0, &mut host)?;
            Ok::<_, Error>(host)
        };
        let offsets = read(&offsets, 8 * (rows + 1))?;
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_ne_bytes);
        Ok(HostText {
            offsets: offsets.chunks_exact(8).map(word).collect(),
            bytes: read(&bytes, count)?,
        })
    }

    /// Bytes copied from the device.
    pub(super) fn count(&self) -> u64 {
        (self.bytes.len() + 8 * self.offsets.len()) as u64
    }

    /// As an array of a type that holds strings or bytes.
    pub(super) fn into_array(
        self,
        data_type: &DataType,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let failed =
            |cause: arrow::error::ArrowError| Error::invalid("result", cause.to_string(), "");
        if let DataType::FixedSizeBinary(size) = data_type {
            let values = LargeBinaryArray::try_new(offsets, self.bytes.into(), nulls);
            return fixed_size(&values.map_err(failed)?, *size);
        }
        let array: ArrayRef = if is_string(data_type) {
            Arc::new(LargeStringArray::try_new(offsets, self.bytes.into(), nulls).map_err(failed)?)
        } else {
            Arc::new(LargeBinaryArray::try_new(offsets, self.bytes.into(), nulls).map_err(failed)?)
        };
        cast(&array, data_type).map_err(failed)
    }
}

fn fixed_size(values: &LargeBinaryArray, size: i32) -> Result<ArrayRef> {
    let mut fixed = FixedSizeBinaryBuilder::with_capacity(values.len(), size);
    for value in values {
        match value {
            None => fixed.append_null(),
            Some(value) => fixed
                .append_value(value)
                .map_err(|cause| Error::invalid("result", cause.to_string(), ""))?,
        }
    }
    Ok(Arc::new(fixed.finish()))
}

/// The column with codes for views; any other column as it is. Waits for the stream.
pub(super) fn coded(
    launch: &Launch,
    dictionary: &Dictionary,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    if column.physical() != PhysicalType::View {
        return Ok(column.clone());
    }
    let count = rows.resolve(launch)?;
    let text = HostText::read(launch, column, count)?;
    let mut codes = vec![0u32; column.offset() as usize];
    codes.extend(dictionary.encode(text.strings().map(Some))?);
    codes.resize((column.offset() + rows.max()) as usize, 0);
    let bytes: Vec<u8> = codes.iter().flat_map(|code| code.to_ne_bytes()).collect();
    let values = Arc::new(launch.device().upload(launch.stream(), &bytes)?);
    let validity = column.validity().cloned();
    DeviceColumn::array(
        PhysicalType::UInt32,
        values,
        validity,
        column.offset(),
        rows.max(),
    )
}

/// The column with views for codes; any other column as it is.
pub(super) fn viewed(
    launch: &Launch,
    dictionary: &Dictionary,
    column: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    if column.physical() == PhysicalType::View {
        return Ok(column.clone());
    }
    let name = (String::from("view"), Results::Views);
    let table = dictionary
        .tables
        .get(launch, dictionary, name, || Ok(OfEntry::Itself))?;
    lookup(launch, column, &table, rows)
}

/// Uploads an array of bytes as views.
pub(super) fn upload(launch: &Launch, array: &ArrayRef) -> Result<DeviceColumn> {
    let failed = |cause: arrow::error::ArrowError| Error::invalid("column", cause.to_string(), "");
    let array = cast(array, &DataType::Binary).map_err(failed)?;
    let binary: &BinaryArray = array.as_binary();
    let text = Arc::new(launch.upload(binary.value_data())?);
    let mut views = Vec::with_capacity(16 * binary.len());
    for ends in binary.value_offsets().windows(2) {
        // Offsets of an array are ascending and not negative.
        let address = text.address() + u64::from(ends[0].unsigned_abs());
        views.extend(address.to_ne_bytes());
        views.extend(u64::from(ends[1].abs_diff(ends[0])).to_ne_bytes());
    }
    let values = Arc::new(launch.upload(&views)?);
    let validity = match binary.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => None,
        Some(nulls) => {
            let bits = nulls.inner().sliced();
            Some(Arc::new(launch.upload(&bits)?))
        }
    };
    launch.count(
        names::UPLOAD_BYTES,
        (views.len() + binary.value_data().len()) as u64,
    );
    let rows = binary.len() as u64;
    let column = DeviceColumn::array(PhysicalType::View, values, validity, 0, rows)?;
    Ok(column.keeping(Arc::from([text])))
}
