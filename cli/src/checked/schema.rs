//! The Arrow schema in which a file is read.
//!
//! INT96 timestamps are read in microseconds: their range of years is that of the systems which
//! write them, while nanoseconds in 64 bits end in 2262. Everything else is as the file says.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::SchemaDescriptor;

/// The schema to ask the reader for.
pub(super) fn coerced(parquet: &SchemaDescriptor, arrow: &SchemaRef) -> SchemaRef {
    let is_int96: Vec<bool> = parquet
        .columns()
        .iter()
        .map(|column| column.physical_type() == PhysicalType::INT96)
        .collect();
    if !is_int96.contains(&true) {
        return Arc::clone(arrow);
    }
    // Arrow's leaves come in the order of Parquet's columns.
    let mut leaves = is_int96.into_iter();
    let fields: Vec<FieldRef> = arrow
        .fields()
        .iter()
        .map(|field| coerce(field, &mut leaves))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, arrow.metadata().clone()))
}

fn coerce(field: &FieldRef, leaves: &mut impl Iterator<Item = bool>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| coerce(field, leaves)).collect())
        }
        DataType::List(item) => DataType::List(coerce(item, leaves)),
        DataType::LargeList(item) => DataType::LargeList(coerce(item, leaves)),
        DataType::FixedSizeList(item, length) => {
            DataType::FixedSizeList(coerce(item, leaves), *length)
        }
        DataType::ListView(item) => DataType::ListView(coerce(item, leaves)),
        DataType::LargeListView(item) => DataType::LargeListView(coerce(item, leaves)),
        DataType::Map(entries, sorted) => DataType::Map(coerce(entries, leaves), *sorted),
        leaf => match (leaves.next(), leaf) {
            (Some(true), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            _ => leaf.clone(),
        },
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}
