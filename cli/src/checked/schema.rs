//! The Arrow schema in which a file is read, and what its columns mean beyond their types.
//!
//! INT96 timestamps are read in microseconds: their range of years is that of the systems which
//! write them, while nanoseconds in 64 bits end in 2262. UUIDs are marked as such, since Arrow has
//! no type for them. Everything else is as the file says.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::canonical::{EXTENSION_NAME, UUID};

/// The schema to ask the reader for.
pub(super) fn to_read(parquet: &SchemaDescriptor, arrow: &SchemaRef) -> SchemaRef {
    let fields = map_leaves(
        parquet,
        arrow.fields(),
        &|column, field| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone)
                if column.physical_type() == PhysicalType::INT96 =>
            {
                let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                field.with_data_type(data_type)
            }
            _ => field,
        },
    );
    Arc::new(Schema::new_with_metadata(fields, arrow.metadata().clone()))
}

/// The fields with a mark on UUIDs. Arrays of the reader do not have it.
pub(super) fn marked(parquet: &SchemaDescriptor, arrow: &SchemaRef) -> Fields {
    map_leaves(parquet, arrow.fields(), &|column, mut field| {
        if column.logical_type_ref() == Some(&LogicalType::Uuid) {
            field
                .metadata_mut()
                .insert(EXTENSION_NAME.to_string(), UUID.to_string());
        }
        field
    })
}

/// Maps the leaves of Arrow fields; they come in the order of Parquet's columns.
fn map_leaves(
    parquet: &SchemaDescriptor,
    fields: &Fields,
    map: &dyn Fn(&ColumnDescriptor, Field) -> Field,
) -> Fields {
    let mut columns = parquet.columns().iter();
    let mut next = |field: &FieldRef| match columns.next() {
        Some(column) => Arc::new(map(column, Field::clone(field))),
        None => Arc::clone(field),
    };
    fields
        .iter()
        .map(|field| map_field(field, &mut next))
        .collect()
}

fn map_field(field: &FieldRef, leaf: &mut dyn FnMut(&FieldRef) -> FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| map_field(field, leaf)).collect())
        }
        DataType::List(item) => DataType::List(map_field(item, leaf)),
        DataType::LargeList(item) => DataType::LargeList(map_field(item, leaf)),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(map_field(item, leaf), *length)
        }
        DataType::ListView(item) => DataType::ListView(map_field(item, leaf)),
        DataType::LargeListView(item) => DataType::LargeListView(map_field(item, leaf)),
        DataType::Map(entries, sorted) => DataType::Map(map_field(entries, leaf), *sorted),
        _ => return leaf(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}
