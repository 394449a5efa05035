//! The Arrow schema in which a file is read.
//!
//! Dictionaries are read as their values. INT96 timestamps are read in microseconds: their range of
//! years is that of the systems which write them, while nanoseconds in 64 bits end in 2262. UUIDs
//! are marked as such, since Arrow has no type for them, and no other metadata of a field is kept:
//! what writers leave there would make equal schemas differ.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// The key under which a field's metadata name its extension type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// The name of the extension type of UUIDs.
pub const UUID: &str = "arrow.uuid";

/// The schema to ask the decoder for, given the one that it would choose.
pub(super) fn to_read(parquet: &SchemaDescriptor, arrow: &SchemaRef) -> SchemaRef {
    // The leaves of Arrow fields come in the order of Parquet's columns.
    let mut columns = parquet.columns().iter();
    let mut next = || columns.next().map(AsRef::as_ref);
    let fields = arrow.fields().iter();
    let fields: Fields = fields.map(|field| bare(field, &mut next)).collect();
    Arc::new(Schema::new(fields))
}

type NextLeaf<'n, 'c> = &'n mut dyn FnMut() -> Option<&'c ColumnDescriptor>;

fn bare(field: &FieldRef, next: NextLeaf<'_, '_>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| bare(field, next)).collect())
        }
        DataType::List(item) => DataType::List(bare(item, next)),
        DataType::LargeList(item) => DataType::LargeList(bare(item, next)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(bare(item, next), *length),
        DataType::ListView(item) => DataType::ListView(bare(item, next)),
        DataType::LargeListView(item) => DataType::LargeListView(bare(item, next)),
        DataType::Map(entries, sorted) => DataType::Map(bare(entries, next), *sorted),
        leaf => return Arc::new(bare_leaf(field, leaf, next())),
    };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

fn bare_leaf(field: &Field, data_type: &DataType, column: Option<&ColumnDescriptor>) -> Field {
    let is = |physical| column.is_some_and(|column| column.physical_type() == physical);
    let data_type = match flat(data_type) {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if is(PhysicalType::INT96) => {
            &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        other => other,
    };
    let bare = Field::new(field.name(), data_type.clone(), field.is_nullable());
    let logical = column.and_then(ColumnDescriptor::logical_type_ref);
    if logical == Some(&LogicalType::Uuid) {
        let mark = (EXTENSION_NAME.to_string(), UUID.to_string());
        return bare.with_metadata([mark].into());
    }
    bare
}

/// The type of a dictionary's values.
fn flat(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => flat(value),
        other => other,
    }
}
