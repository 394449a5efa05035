//! Device batches to the host: Arrow arrays of the schema's types.

use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BooleanArray, Decimal128Array, RecordBatch, RecordBatchOptions,
    make_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::cast;

use super::Shared;
use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::nested;
use super::text::HostText;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::kernels::{DeviceColumn, Launch};
use crate::memory::Batch;
use crate::metrics::names;
use crate::operators::Context;
use crate::types::{DataType, PhysicalType, decimal_parts, is_text};

pub(super) fn download(shared: &Shared, context: &Context, batch: &Batch) -> Result<RecordBatch> {
    let launch = shared.launch(context);
    shared.settle(&launch)?;
    let columns = CudaBatch::of(batch)?;
    let rows = columns.rows.resolve(&launch)?;
    let (mut flat, mut nested) = (columns.columns.iter(), columns.nested.iter().peekable());
    let mut arrays = Vec::with_capacity(batch.schema().fields().len());
    for (place, field) in batch.schema().fields().iter().enumerate() {
        let (data_type, dictionary) = (field.data_type(), &columns.dictionary);
        if let Some(column) = nested.next_if(|column| column.place == place) {
            let array = nested::download(&launch, column, data_type, dictionary)?;
            arrays.push(array);
        } else if let Some(column) = flat.next() {
            let array = array_of(&launch, column, rows, data_type, dictionary)?;
            arrays.push(array);
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
    RecordBatch::try_new_with_options(Arc::clone(batch.schema()), arrays, &options)
        .map_err(|cause| arrow_error(&cause))
}

/// The first `rows` values of a device column, as an array of this type. Waits for the stream.
pub(super) fn array_of(
    launch: &Launch,
    column: &DeviceColumn,
    rows: u64,
    data_type: &DataType,
    dictionary: &Dictionary,
) -> Result<ArrayRef> {
    if *data_type == DataType::Null {
        return Ok(new_null_array(data_type, rows as usize));
    }
    if column.physical() == PhysicalType::View {
        let text = HostText::read(launch, column, rows)?;
        launch.count(names::DOWNLOAD_BYTES, text.count());
        let nulls = HostColumn::read_nulls(launch, column, rows)?;
        return text.into_array(data_type, nulls);
    }
    let host = HostColumn::read(launch, column, rows)?;
    launch.count(names::DOWNLOAD_BYTES, host.values.len() as u64);
    host.into_array(column.physical(), data_type, dictionary)
}

fn arrow_error(cause: &arrow::error::ArrowError) -> Error {
    Error::invalid("result", cause.to_string(), "")
}

/// A column's bytes on the host; the values start at row 0, bit `offset`.
struct HostColumn {
    rows: usize,
    values: Vec<u8>,
    /// Bits to skip in a Boolean column's values.
    offset: usize,
    nulls: Option<NullBuffer>,
}

/// The bytes that hold `rows` bits from bit `offset` on, and the bit they start at.
fn bit_range(offset: u64, rows: u64) -> (u64, u64, usize) {
    let first = offset / 8;
    (
        first,
        (offset + rows).div_ceil(8) - first,
        (offset % 8) as usize,
    )
}

/// Bytes of a buffer from `start` on. Waits for the stream.
pub(super) fn read_bytes(
    launch: &Launch,
    buffer: &DeviceBuffer,
    start: u64,
    bytes: u64,
) -> Result<Vec<u8>> {
    let mut host = vec![0; bytes as usize];
    launch.read(buffer, start, &mut host)?;
    Ok(host)
}

impl HostColumn {
    fn read_nulls(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<Option<NullBuffer>> {
        if column.values().is_none() {
            let null = column.scalar_bits().is_none();
            return Ok(null.then(|| NullBuffer::new_null(rows as usize)));
        }
        let Some(validity) = column.validity() else {
            return Ok(None);
        };
        let (first, bytes, bit) = bit_range(column.offset(), rows);
        let bits = Buffer::from_vec(read_bytes(launch, validity, first, bytes)?);
        let bits = BooleanBuffer::new(bits, bit, rows as usize);
        Ok(Some(NullBuffer::new(bits)))
    }

    fn read(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<HostColumn> {
        let read = |buffer, start, bytes| read_bytes(launch, buffer, start, bytes);
        let nulls = HostColumn::read_nulls(launch, column, rows)?;
        let physical = column.physical();
        let (values, offset) = match column.values() {
            None => return Ok(HostColumn::of_scalar(column, rows as usize)),
            Some(buffer) if physical == PhysicalType::Boolean => {
                let (first, bytes, bit) = bit_range(column.offset(), rows);
                (read(buffer, first, bytes)?, bit)
            }
            Some(buffer) => {
                let start = physical.bytes(column.offset());
                (read(buffer, start, physical.bytes(rows))?, 0)
            }
        };
        Ok(HostColumn {
            rows: rows as usize,
            values,
            offset,
            nulls,
        })
    }

    fn of_scalar(column: &DeviceColumn, rows: usize) -> HostColumn {
        let bits = column.scalar_bits();
        let nulls = bits.is_none().then(|| NullBuffer::new_null(rows));
        let bytes = bits.unwrap_or(0).to_le_bytes();
        let values = match column.physical() {
            PhysicalType::Boolean => {
                vec![if bytes[0] & 1 == 1 { 0xff } else { 0 }; rows.div_ceil(8)]
            }
            other => bytes[..(other.bits() / 8) as usize].repeat(rows),
        };
        HostColumn {
            rows,
            values,
            offset: 0,
            nulls,
        }
    }

    fn into_array(
        self,
        physical: PhysicalType,
        data_type: &DataType,
        dictionary: &Dictionary,
    ) -> Result<ArrayRef> {
        let HostColumn {
            rows,
            values,
            offset,
            nulls,
        } = self;
        if physical == PhysicalType::Boolean {
            let bits = BooleanBuffer::new(Buffer::from_vec(values), offset, rows);
            return Ok(Arc::new(BooleanArray::new(bits, nulls)));
        }
        if is_text(data_type) {
            let codes = values.chunks_exact(4);
            let codes = codes.map(|bytes| bytes.try_into().map_or(0, u32::from_ne_bytes));
            let text = dictionary.decode(codes, nulls.as_ref())?;
            return text.into_array(data_type, nulls);
        }
        if let Some((precision, scale)) = decimal_parts(data_type) {
            let wide = Decimal128Array::new(widened(&values, physical).into(), nulls)
                .with_precision_and_scale(precision, scale)
                .map_err(|cause| arrow_error(&cause))?;
            let wide: ArrayRef = Arc::new(wide);
            return cast(&wide, data_type).map_err(|cause| arrow_error(&cause));
        }
        let data = ArrayData::builder(data_type.clone())
            .len(rows)
            .add_buffer(Buffer::from(values))
            .nulls(nulls)
            .align_buffers(true)
            .build()
            .map_err(|cause| arrow_error(&cause))?;
        Ok(make_array(data))
    }
}

/// Decimal values of 64 or 128 bits, in 128.
fn widened(values: &[u8], physical: PhysicalType) -> Vec<i128> {
    if physical == PhysicalType::Int128 {
        values
            .chunks_exact(16)
            .map(|bytes| bytes.try_into().map_or(0, i128::from_le_bytes))
            .collect()
    } else {
        values
            .chunks_exact(8)
            .map(|bytes| {
                bytes
                    .try_into()
                    .map_or(0, |bytes| i128::from(i64::from_le_bytes(bytes)))
            })
            .collect()
    }
}
