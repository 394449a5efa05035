//! Batches in host memory as sections: the buffers of their Arrow arrays, without a copy.
//!
//! Of a sliced array only what its rows need is parked. Two things are copied for that: offsets
//! that do not begin at 0, and views that use less than half of their data. A dictionary is parked
//! whole, with every batch that has it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, BinaryViewType, ByteViewType, DataType, StringViewType};
use bytes::Bytes;

use super::batch::Batch;
use super::parking::{ParkedBatch, Parking, section_of};
use super::reservation::Tier;
use crate::error::{Error, Result};

/// Parking of batches in host memory, as the CPU backend has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostParking;

impl Parking for HostParking {
    fn tier(&self) -> Tier {
        Tier::Host
    }

    fn bytes(&self, batch: &Batch) -> u64 {
        batch.as_host().map_or(0, |batch| park_host(batch).bytes())
    }

    fn park(&self, batch: &Batch) -> Result<ParkedBatch> {
        let Some(batch) = batch.as_host() else {
            let cause = "it is in a device's memory";
            return Err(Error::invalid("batch to park on the host", cause, ""));
        };
        Ok(park_host(batch))
    }

    fn unpark(&self, parked: &ParkedBatch) -> Result<Batch> {
        unpark_host(parked).map(Batch::host)
    }
}

/// An array without its buffers.
#[derive(Debug)]
struct Shape {
    data_type: DataType,
    rows: usize,
    /// Of the array in its buffers, in rows.
    offset: usize,
    /// The first bit of the validity bitmap, if there is one.
    nulls: Option<usize>,
    buffers: usize,
    children: Vec<Shape>,
}

/// The buffers of a batch in host memory as sections.
///
/// ```
/// use arrow::array::{RecordBatch, StringArray};
/// use pelton::memory::{park_host, unpark_host};
/// use std::sync::Arc;
/// # fn main() -> pelton::Result<()> {
/// let names = StringArray::from(vec![Some("ab"), None, Some("c")]);
/// let batch = RecordBatch::try_from_iter([("name", Arc::new(names) as _)]).unwrap();
/// let parked = park_host(&batch);
/// assert_eq!(parked.bytes(), 1 + 4 * 4 + 3); // validity, offsets, values
/// assert_eq!(unpark_host(&parked)?, batch);
/// # Ok(())
/// # }
/// ```
pub fn park_host(batch: &RecordBatch) -> ParkedBatch {
    let mut sections = Vec::new();
    let columns = batch.columns().iter();
    let shapes: Vec<Shape> = columns
        .map(|column| park(column.as_ref(), &mut sections))
        .collect();
    ParkedBatch {
        schema: batch.schema(),
        rows: batch.num_rows() as u64,
        sections,
        tier: Tier::Host,
        layout: Arc::new(shapes),
    }
}

/// The batch of the sections that [`park_host`] made.
///
/// # Errors
/// `InvalidInput` if another backend made the sections, or they are not what they were.
pub fn unpark_host(parked: &ParkedBatch) -> Result<RecordBatch> {
    let Some(shapes) = parked.layout.downcast_ref::<Vec<Shape>>() else {
        return Err(wrong("another backend parked it"));
    };
    let mut sections = parked.sections.iter();
    let columns: Result<Vec<ArrayRef>> = shapes
        .iter()
        .map(|shape| Ok(make_array(unpark(shape, &mut sections)?)))
        .collect();
    let rows = usize::try_from(parked.rows).map_err(|_| wrong("it has too many rows"))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::clone(&parked.schema);
    RecordBatch::try_new_with_options(schema, columns?, &options)
        .map_err(|cause| wrong(cause.to_string()))
}

fn wrong(cause: impl Into<String>) -> Error {
    Error::invalid("parked batch", cause, "")
}

/// The bytes of some bits, and which bit of them is the first.
fn bits(buffer: &Buffer, first: usize, count: usize, sections: &mut Vec<Bytes>) -> usize {
    let (start, end) = (first / 8, (first + count).div_ceil(8));
    sections.push(section_of(buffer.slice_with_length(start, end - start)));
    first % 8
}

fn park(array: &dyn Array, sections: &mut Vec<Bytes>) -> Shape {
    match array.data_type() {
        DataType::Utf8View => park_views::<StringViewType>(array, sections),
        DataType::BinaryView => park_views::<BinaryViewType>(array, sections),
        _ => park_data(&array.to_data(), sections),
    }
}

fn park_views<T: ByteViewType>(array: &dyn Array, sections: &mut Vec<Bytes>) -> Shape {
    let views = array.as_byte_view::<T>();
    let held: usize = views.data_buffers().iter().map(Buffer::len).sum();
    if held / 2 > views.total_buffer_bytes_used() {
        return park_data(&views.gc().to_data(), sections);
    }
    park_data(&array.to_data(), sections)
}

fn park_data(data: &ArrayData, sections: &mut Vec<Bytes>) -> Shape {
    let nulls = data.nulls().map(|nulls| {
        let bitmap = nulls.inner();
        bits(bitmap.inner(), bitmap.offset(), bitmap.len(), sections)
    });
    let mut shape = Shape {
        data_type: data.data_type().clone(),
        rows: data.len(),
        offset: data.offset(),
        nulls,
        buffers: data.buffers().len(),
        children: Vec::new(),
    };
    let mut range = None;
    match data.data_type() {
        DataType::Boolean => {
            shape.offset = bits(&data.buffers()[0], data.offset(), data.len(), sections);
            return shape;
        }
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(_, _) => {
            range = Some(park_offsets::<i32>(data, sections));
        }
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) => {
            range = Some(park_offsets::<i64>(data, sections));
        }
        _ => {}
    }
    if let Some((start, count)) = range {
        shape.offset = 0;
        if let Some(values) = data.buffers().get(1) {
            sections.push(section_of(values.slice_with_length(start, count)));
        }
        if let Some(child) = data.child_data().first() {
            let child = make_array(child.clone()).slice(start, count);
            shape.children.push(park(child.as_ref(), sections));
        }
        return shape;
    }
    for buffer in data.buffers() {
        sections.push(section_of(buffer.clone()));
    }
    for child in data.child_data() {
        let child = make_array(child.clone());
        shape.children.push(park(child.as_ref(), sections));
    }
    shape
}

/// Parks the offsets of the rows, so that they begin at 0, and gives where the values began and
/// how many there are.
fn park_offsets<O: ArrowNativeType + std::ops::Sub<Output = O>>(
    data: &ArrayData,
    sections: &mut Vec<Bytes>,
) -> (usize, usize) {
    if data.is_empty() {
        // An array of no rows may have no offsets at all.
        sections.push(section_of(Buffer::from_vec(vec![O::default()])));
        return (0, 0);
    }
    let all: &[O] = data.buffers()[0].typed_data();
    let offsets = &all[data.offset()..=data.offset() + data.len()];
    let (first, last) = (offsets[0], offsets[data.len()]);
    if data.offset() == 0 && first == O::default() {
        let bytes = std::mem::size_of_val(offsets);
        sections.push(section_of(data.buffers()[0].slice_with_length(0, bytes)));
    } else {
        let rebased: Vec<O> = offsets.iter().map(|offset| *offset - first).collect();
        sections.push(section_of(Buffer::from_vec(rebased)));
    }
    (first.as_usize(), (last - first).as_usize())
}

fn unpark<'a>(shape: &Shape, sections: &mut impl Iterator<Item = &'a Bytes>) -> Result<ArrayData> {
    let mut buffer = || {
        let section = sections
            .next()
            .ok_or_else(|| wrong("a section is missing"))?;
        Ok::<Buffer, Error>(Buffer::from(section.clone()))
    };
    let nulls = match shape.nulls {
        Some(first) => {
            let bitmap = buffer()?;
            if bitmap.len() < (first + shape.rows).div_ceil(8) {
                return Err(wrong("a bitmap is too short"));
            }
            Some(NullBuffer::new(BooleanBuffer::new(
                bitmap, first, shape.rows,
            )))
        }
        None => None,
    };
    let buffers: Result<Vec<Buffer>> = (0..shape.buffers).map(|_| buffer()).collect();
    let buffers = buffers?;
    let children: Result<Vec<ArrayData>> = shape
        .children
        .iter()
        .map(|child| unpark(child, &mut *sections))
        .collect();
    ArrayData::builder(shape.data_type.clone())
        .len(shape.rows)
        .offset(shape.offset)
        .nulls(nulls)
        .buffers(buffers)
        .child_data(children?)
        .align_buffers(true)
        .build()
        .map_err(|cause| wrong(cause.to_string()))
}
