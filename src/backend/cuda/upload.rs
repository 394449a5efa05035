//! Host batches to device memory: bytes as they are where the layouts agree, narrowed decimals and
//! dictionary codes where they do not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{Decimal32Type, Decimal64Type, Decimal128Type, UInt32Type};

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::evaluate::physical;
use super::nested;
use super::text;
use crate::error::{Error, Result};
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::metrics::names;
use crate::operators::Context;
use crate::types::{DataType, PhysicalType, is_binary, is_string, is_text};

pub(super) fn upload(shared: &Shared, context: &Context, batch: &RecordBatch) -> Result<Batch> {
    let rows = batch.num_rows() as u64;
    if rows > ROWS_PER_BATCH_MAX {
        let cause = format!("{rows} rows are more than {ROWS_PER_BATCH_MAX}");
        return Err(Error::invalid(
            "batch",
            cause,
            "lower `max_rows_per_partition`",
        ));
    }
    let launch = shared.launch(context);
    let dictionary = shared.dictionary.get();
    let (mut columns, mut nested) = (Vec::with_capacity(batch.num_columns()), Vec::new());
    for (place, array) in batch.columns().iter().enumerate() {
        let values = |array: &ArrayRef| values(shared, &launch, array, &dictionary);
        match array.as_list_opt::<i32>() {
            Some(lists) => nested.push(nested::upload(&launch, place, lists, values)?),
            None => columns.push(values(array)?),
        }
    }
    let mut uploaded = CudaBatch::flat(columns, DeviceRows::known(rows), dictionary);
    uploaded.nested = nested;
    Ok(uploaded.into_batch(batch.schema()))
}

/// An array of a value per row in device memory.
fn values(
    shared: &Shared,
    launch: &Launch,
    array: &ArrayRef,
    dictionary: &Dictionary,
) -> Result<DeviceColumn> {
    if is_binary(array.data_type()) {
        return text::upload(launch, array);
    }
    if shared.uploads_views && is_string(array.data_type()) {
        let strings: ArrayRef = Arc::new(as_strings(array)?);
        return text::upload(launch, &strings);
    }
    column(launch, array, dictionary)
}

/// An array in device memory; strings and bytes as codes.
pub(super) fn column(
    launch: &Launch,
    array: &ArrayRef,
    dictionary: &Dictionary,
) -> Result<DeviceColumn> {
    let values = HostValues::of(array, dictionary)?;
    launch.count(names::UPLOAD_BYTES, values.bytes.len() as u64);
    upload_column(launch, &values, array.len() as u64)
}

/// Values in a kernel's layout, still on the host.
struct HostValues {
    physical: PhysicalType,
    bytes: Buffer,
    /// Rows to skip in `bytes` and in the validity.
    offset: u64,
    validity: Option<BooleanBuffer>,
}

fn upload_column(launch: &Launch, host: &HostValues, rows: u64) -> Result<DeviceColumn> {
    let values = Arc::new(launch.upload(&host.bytes)?);
    let validity = match &host.validity {
        None => None,
        Some(bits) => {
            // The bitmap must start `host.offset` bits into its first byte, as the values do.
            let skip = bits.offset() / 8;
            let bytes = bits.values().get(skip..).unwrap_or_default();
            Some(Arc::new(launch.upload(bytes)?))
        }
    };
    DeviceColumn::array(host.physical, values, validity, host.offset, rows)
}

impl HostValues {
    fn of(array: &ArrayRef, dictionary: &Dictionary) -> Result<HostValues> {
        let physical = physical(array.data_type())?;
        // A dictionary may hold a null among its values, too.
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.as_ref();
        if is_text(array.data_type()) {
            let codes = text_codes(array, dictionary)?;
            return Ok(HostValues::plain(physical, Buffer::from_vec(codes), nulls));
        }
        match array.data_type() {
            DataType::Boolean => Ok(HostValues::boolean(array.as_boolean().values(), nulls)),
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
                let bytes = decimal_values(array, physical)?;
                Ok(HostValues::plain(physical, bytes, nulls))
            }
            _ => Ok(HostValues::primitive(array, physical, nulls)),
        }
    }

    /// Owned values, with the validity moved to start at bit 0.
    fn plain(physical: PhysicalType, bytes: Buffer, nulls: Option<&NullBuffer>) -> HostValues {
        let validity = nulls.map(|nulls| aligned(nulls.inner(), 0));
        HostValues {
            physical,
            bytes,
            offset: 0,
            validity,
        }
    }

    /// A Boolean array's bitmaps, both starting at the bit where the values start.
    fn boolean(bits: &BooleanBuffer, nulls: Option<&NullBuffer>) -> HostValues {
        let offset = bits.offset() % 8;
        let bytes = bits.inner().slice(bits.offset() / 8);
        let validity = nulls.map(|nulls| aligned(nulls.inner(), offset));
        let physical = PhysicalType::Boolean;
        HostValues {
            physical,
            bytes,
            offset: offset as u64,
            validity,
        }
    }

    /// An array whose values lie as kernels want them. Where the validity starts within a byte and
    /// the values have as many elements before them, both keep their offset: no copy.
    fn primitive(
        array: &ArrayRef,
        physical: PhysicalType,
        nulls: Option<&NullBuffer>,
    ) -> HostValues {
        let data = array.to_data();
        let width = (physical.bits() / 8) as usize;
        let wanted = nulls.map_or(0, |nulls| nulls.inner().offset() % 8);
        let offset = if data.offset() >= wanted { wanted } else { 0 };
        let start = (data.offset() - offset) * width;
        let bytes = data.buffers()[0].slice_with_length(start, (offset + data.len()) * width);
        let validity = nulls.map(|nulls| aligned(nulls.inner(), offset));
        HostValues {
            physical,
            bytes,
            offset: offset as u64,
            validity,
        }
    }
}

/// The bitmap, starting `offset` bits into a byte.
fn aligned(bits: &BooleanBuffer, offset: usize) -> BooleanBuffer {
    if bits.offset() % 8 == offset {
        return bits.clone();
    }
    let mut moved = arrow::array::BooleanBufferBuilder::new(offset + bits.len());
    moved.append_n(offset, false);
    moved.append_buffer(bits);
    moved.finish().slice(offset, bits.len())
}

/// Decimal values as kernels want them: 64 bits for at most 18 digits, else 128.
fn decimal_values(array: &ArrayRef, physical: PhysicalType) -> Result<Buffer> {
    match array.data_type() {
        DataType::Decimal32(..) => {
            let values = array.as_primitive::<Decimal32Type>().values();
            narrowed(array, values.iter().map(|value| i128::from(*value)))
        }
        DataType::Decimal64(..) => {
            let values = array.as_primitive::<Decimal64Type>().values();
            narrowed(array, values.iter().map(|value| i128::from(*value)))
        }
        _ if physical == PhysicalType::Int128 => Ok(array
            .as_primitive::<Decimal128Type>()
            .values()
            .inner()
            .clone()),
        _ => {
            let values = array.as_primitive::<Decimal128Type>().values();
            narrowed(array, values.iter().copied())
        }
    }
}

fn narrowed(array: &ArrayRef, values: impl ExactSizeIterator<Item = i128>) -> Result<Buffer> {
    let mut narrow = Vec::with_capacity(values.len());
    for (row, value) in values.enumerate() {
        narrow.push(match i64::try_from(value) {
            Ok(value) => value,
            // What lies under a null may be anything.
            Err(_) if array.is_null(row) => 0,
            Err(_) => {
                let digits = array.data_type();
                let cause = format!("{value} in row {row} has more digits than {digits}");
                return Err(Error::invalid("decimal column", cause, ""));
            }
        });
    }
    Ok(Buffer::from_vec(narrow))
}

/// The codes of an array of strings or bytes, dictionary-coded or not.
fn text_codes(array: &ArrayRef, dictionary: &Dictionary) -> Result<Vec<u32>> {
    let Some(coded) = array.as_any_dictionary_opt() else {
        return plain_codes(array, dictionary);
    };
    let codes = plain_codes(coded.values(), dictionary)?;
    if codes.is_empty() {
        return Ok(vec![0; array.len()]); // all null
    }
    let keys = cast(coded.keys(), &DataType::UInt32).map_err(|cause| arrow_error(&cause))?;
    let keys: &UInt32Array = keys.as_primitive::<UInt32Type>();
    Ok(keys
        .iter()
        .map(|key| key.map_or(0, |key| codes[key as usize]))
        .collect())
}

fn as_strings(array: &ArrayRef) -> Result<StringArray> {
    let strings = cast(array, &DataType::Utf8).map_err(|cause| arrow_error(&cause))?;
    Ok(strings.as_string::<i32>().clone())
}

/// The codes of an array of strings or bytes that is not dictionary-coded.
fn plain_codes(array: &ArrayRef, dictionary: &Dictionary) -> Result<Vec<u32>> {
    if is_string(array.data_type()) {
        let strings = as_strings(array)?;
        return dictionary.encode(strings.iter().map(|string| string.map(str::as_bytes)));
    }
    let bytes = cast(array, &DataType::LargeBinary).map_err(|cause| arrow_error(&cause))?;
    dictionary.encode(bytes.as_binary::<i64>().iter())
}

fn arrow_error(cause: &arrow::error::ArrowError) -> Error {
    Error::invalid("column", cause.to_string(), "")
}

/// The bits of the one value of an array: none for a null.
pub(super) fn scalar_bits(array: &ArrayRef, dictionary: &Dictionary) -> Result<Option<u128>> {
    let values = HostValues::of(array, dictionary)?;
    if array.is_null(0) {
        return Ok(None);
    }
    let bytes = values.bytes.as_slice();
    if values.physical == PhysicalType::Boolean {
        return Ok(Some(u128::from(bytes[0] >> values.offset & 1)));
    }
    let width = (values.physical.bits() / 8) as usize;
    let start = values.offset as usize * width;
    let mut wide = [0; 16];
    wide[..width].copy_from_slice(&bytes[start..start + width]);
    Ok(Some(u128::from_le_bytes(wide)))
}
