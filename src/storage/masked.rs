//! Nulls of required structs below what is null.
//!
//! Where a struct is null the `parquet` crate gives its required structs no null, although the values
//! in them are: arrays that Arrow's own kernels refuse to build anew ("unmasked nulls"), in `concat`
//! among others. Here they get the nulls of what they are in, which changes no row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray, MapArray,
    OffsetSizeTrait, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

/// The array with nulls in its required structs; as it is, if its type has none below others, or
/// if it has nulls where there can be none (keys of maps, which some writers make optional).
pub(super) fn masked(array: &ArrayRef) -> ArrayRef {
    let with_nulls = has_required_structs(array.data_type()).then(|| below(array, None));
    match with_nulls {
        Some(Ok(masked)) => masked,
        Some(Err(_)) | None => Arc::clone(array),
    }
}

/// True if there is a required struct in a struct.
fn has_required_structs(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| {
            let kind = field.data_type();
            let required = matches!(kind, DataType::Struct(_) | DataType::FixedSizeList(..))
                && !field.is_nullable();
            required || has_required_structs(kind)
        }),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => has_required_structs(item.data_type()),
        // The elements of a null list of a fixed size are there, and null.
        DataType::FixedSizeList(item, _) => {
            item.data_type().is_nested() && !item.is_nullable()
                || has_required_structs(item.data_type())
        }
        _ => false,
    }
}

fn below(array: &ArrayRef, outer: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let nulls = NullBuffer::union(array.nulls(), outer);
            let children = array.columns().iter();
            let children = children.map(|child| below(child, nulls.as_ref()));
            let children = children.collect::<Result<_, _>>()?;
            let length = array.len();
            let fields = fields.clone();
            Arc::new(StructArray::try_new_with_length(
                fields, children, nulls, length,
            )?)
        }
        DataType::FixedSizeList(item, size) => {
            let array = array.as_fixed_size_list();
            let nulls = NullBuffer::union(array.nulls(), outer);
            let each = usize::try_from(*size).unwrap_or(0);
            let inner = nulls.as_ref().map(|nulls| nulls.expand(each));
            let values = below(array.values(), inner.as_ref())?;
            let (item, length) = (Arc::clone(item), array.len());
            Arc::new(FixedSizeListArray::try_new_with_length(
                item, *size, values, nulls, length,
            )?)
        }
        DataType::List(item) => list(array.as_list::<i32>(), item)?,
        DataType::LargeList(item) => list(array.as_list::<i64>(), item)?,
        DataType::ListView(item) => list_view(array.as_list_view::<i32>(), item)?,
        DataType::LargeListView(item) => list_view(array.as_list_view::<i64>(), item)?,
        DataType::Map(item, sorted) => {
            let array = array.as_map();
            let entries: ArrayRef = Arc::new(array.entries().clone());
            let entries = below(&entries, None)?.as_struct().clone();
            let (item, nulls) = (Arc::clone(item), array.nulls().cloned());
            let offsets = array.offsets().clone();
            Arc::new(MapArray::try_new(item, offsets, entries, nulls, *sorted)?)
        }
        _ => Arc::clone(array),
    })
}

fn list<O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let values = below(array.values(), None)?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    let item = Arc::clone(item);
    Ok(Arc::new(GenericListArray::try_new(
        item, offsets, values, nulls,
    )?))
}

fn list_view<O: OffsetSizeTrait>(
    array: &GenericListViewArray<O>,
    item: &FieldRef,
) -> Result<ArrayRef, ArrowError> {
    let values = below(array.values(), None)?;
    let (starts, sizes) = (array.offsets().clone(), array.sizes().clone());
    let (item, nulls) = (Arc::clone(item), array.nulls().cloned());
    Ok(Arc::new(GenericListViewArray::try_new(
        item, starts, sizes, values, nulls,
    )?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{Field, Fields, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::storage::{Dataset, ReadOptions};

    #[test]
    fn row_groups_with_required_structs_below_nulls_are_fused() {
        let c: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let of_b = Fields::from(vec![Field::new("c", DataType::Int64, false)]);
        let b: ArrayRef = Arc::new(StructArray::new(of_b.clone(), vec![c], None));
        let of_a = Fields::from(vec![Field::new("b", DataType::Struct(of_b), false)]);
        let nulls = NullBuffer::from(vec![true, false, true]);
        let a: ArrayRef = Arc::new(StructArray::new(of_a, vec![b], Some(nulls)));
        assert!(has_required_structs(a.data_type()));
        let schema = Schema::new(vec![Field::new("a", a.data_type().clone(), true)]);
        let table = RecordBatch::try_new(Arc::new(schema), vec![a]).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1));
        let file = std::fs::File::create(&path).unwrap();
        let mut writer =
            ArrowWriter::try_new(file, table.schema(), Some(properties.build())).unwrap();
        writer.write(&table).unwrap();
        writer.close().unwrap();

        let kept = Dataset::open(&[path]).unwrap().prune(&[0], None).unwrap();
        let partitions = kept.partitions(u64::MAX);
        let mut batches = partitions[0].read(ReadOptions::detached(100));
        let read = batches.next().unwrap().unwrap();
        assert_eq!(read.num_rows(), 3);
        read.column(0).to_data().validate_full().unwrap();
        assert_eq!(read.column(0).to_data(), table.column(0).to_data());
    }
}
