//! Lists that an operator made of a column's values: they pass to the result, as nested columns do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::UInt32Type;

use super::super::dictionary::Dictionary;
use super::super::download::array_of;
use crate::error::{Error, Result};
use crate::kernels::{DeviceColumn, Launch};
use crate::types::{DataType, PhysicalType};

/// Lists of consecutive values of one column.
#[derive(Debug, Clone)]
pub(in crate::backend::cuda) struct NestedLists {
    /// The values of all lists.
    pub values: DeviceColumn,
    /// Where each list begins, and where the last one ends: `UInt32`.
    pub starts: DeviceColumn,
    /// Which list each row has, `UInt32`; null: an empty one.
    pub lists: DeviceColumn,
}

impl NestedLists {
    /// Bytes of device memory that the lists hold on to.
    pub(super) fn bytes(&self) -> u64 {
        self.values.bytes() + self.starts.bytes() + self.lists.bytes()
    }
}

/// The values of an array of lists, and the lists once these are in device memory: row by row.
///
/// # Errors
/// `Unsupported` for lists that are null, `InvalidInput` for more than 2^32 values.
pub(super) fn upload(
    launch: &Launch,
    array: &ListArray,
    values: impl FnOnce(&ArrayRef) -> Result<DeviceColumn>,
) -> Result<NestedLists> {
    if array.null_count() > 0 {
        return Err(Error::unsupported("cuda", "upload", "lists that are null"));
    }
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0], offsets[array.len()]);
    let column = |words: Vec<u32>| {
        let rows = words.len() as u64;
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let bytes = Arc::new(launch.upload(&bytes)?);
        DeviceColumn::array(PhysicalType::UInt32, bytes, None, 0, rows)
    };
    // Offsets of an array ascend.
    let starts = offsets.iter().map(|at| at.abs_diff(first)).collect();
    let elements = array.values();
    Ok(NestedLists {
        values: values(&elements.slice(first as usize, last.abs_diff(first) as usize))?,
        starts: column(starts)?,
        lists: column((0..array.len() as u32).collect())?,
    })
}

/// The lists as an array of their type. Waits for the stream.
///
/// # Errors
/// `InvalidInput` if the type is none of such lists, or if they have more than 2^31 values.
pub(super) fn download(
    launch: &Launch,
    lists: &NestedLists,
    data_type: &DataType,
    dictionary: &Dictionary,
) -> Result<ArrayRef> {
    let invalid = |cause: String| Error::invalid("lists", cause, "");
    let DataType::List(item) = data_type else {
        return Err(invalid(format!("are no column of type {data_type}")));
    };
    let read = |column: &DeviceColumn, data_type: &DataType| {
        array_of(launch, column, column.rows(), data_type, dictionary)
    };
    let values = read(&lists.values, item.data_type())?;
    let starts = read(&lists.starts, &DataType::UInt32)?;
    let starts: &UInt32Array = starts.as_primitive::<UInt32Type>();
    let offsets: Option<Vec<i32>> = starts
        .values()
        .iter()
        .map(|at| (*at).try_into().ok())
        .collect();
    let mut offsets = offsets.ok_or_else(|| invalid("have more than 2^31 values".to_string()))?;
    let empty = starts.len() as u32 - 1; // a list more, behind all
    offsets.push(offsets.last().copied().unwrap_or(0));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let all = ListArray::try_new(Arc::clone(item), offsets, values, None);
    let all = all.map_err(|cause| invalid(cause.to_string()))?;
    let of_rows = read(&lists.lists, &DataType::UInt32)?;
    let of_rows: &UInt32Array = of_rows.as_primitive::<UInt32Type>();
    let of_rows: UInt32Array = of_rows
        .iter()
        .map(|list| Some(list.unwrap_or(empty)))
        .collect();
    take(&all, &of_rows, None).map_err(|cause| invalid(cause.to_string()))
}
