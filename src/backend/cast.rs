//! Casts that Arrow defines: to and from strings and bytes, and between the local times of zones. The
//! CPU backend calls this for columns; the CUDA backend also once per entry of a dictionary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, make_array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};

use crate::types::DataType;
use crate::types::calendar::fixed_offset;

/// How Arrow spells a zone without an offset.
const UTC: &str = "+00:00";

/// Arrow's rule; values that do not fit are null. Some of its casts fail as a whole for one value,
/// whatever the options say: then each row is cast alone, and those that fail are null.
pub(super) fn by_arrow(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if let (DataType::Timestamp(from, None), DataType::Timestamp(unit, Some(zone))) =
        (array.data_type(), to)
        && from == unit
        && fixed_offset(zone) == Some(0)
    {
        return spelled(array, to); // every count, also those that no calendar has
    }
    let array = spelled(array, &in_utc(array.data_type()))?;
    spelled(&cast_spelled(&array, &in_utc(to))?, to)
}

/// A type with zones spelled as Arrow does, which knows no `UTC` without a table of zones.
fn in_utc(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(zone)) if fixed_offset(zone) == Some(0) => {
            DataType::Timestamp(*unit, Some(Arc::from(UTC)))
        }
        other => other.clone(),
    }
}

/// The same counts under a type that differs in its zone, if at all.
fn spelled(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    let data = array.to_data().into_builder().data_type(data_type.clone());
    let data = data.build().map_err(|cause| cause.to_string())?;
    Ok(make_array(data))
}

fn cast_spelled(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let cast = |array: &dyn Array| cast_with_options(array, to, &options);
    let cause = match cast(array) {
        Ok(cast) => return Ok(cast),
        Err(cause) => cause.to_string(),
    };
    if array.is_empty() || cast(&array.slice(0, 0)).is_err() {
        return Err(cause);
    }
    let row = |row| cast(&array.slice(row, 1)).unwrap_or_else(|_| new_null_array(to, 1));
    let rows: Vec<ArrayRef> = (0..array.len()).map(row).collect();
    let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
    concat(&rows).map_err(|_| cause)
}
