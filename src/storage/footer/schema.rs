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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use parquet::arrow::parquet_to_arrow_schema;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn fields_keep_their_types_and_no_metadata_but_the_mark_of_uuids() {
        let message = "message m {
            required int96 t = 1;
            required group l (LIST) = 2 {
                repeated group list {
                    required group e = 3 {
                        optional fixed_len_byte_array(16) u (UUID) = 4;
                        required binary s (UTF8) = 5;
                    }
                }
            }
            required fixed_len_byte_array(16) b = 6;
        }";
        let parquet = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let arrow = Arc::new(parquet_to_arrow_schema(&parquet, None).unwrap());
        assert!(!arrow.field(2).metadata().is_empty());

        let mark = (EXTENSION_NAME.to_string(), UUID.to_string());
        let uuid = Field::new("u", DataType::FixedSizeBinary(16), true);
        let fields = vec![
            uuid.with_metadata([mark].into()),
            Field::new("s", DataType::Utf8, false),
        ];
        let element = Field::new("e", DataType::Struct(fields.into()), false);
        let expected = Schema::new(vec![
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("l", DataType::List(Arc::new(element)), false),
            Field::new("b", DataType::FixedSizeBinary(16), false),
        ]);
        assert_eq!(*to_read(&parquet, &arrow), expected);
    }
}
