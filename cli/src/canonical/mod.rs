//! Canonical text ("canon1"): one spelling per value, whatever engine or type width made it.
//!
//! Two engines agree on a table exactly if their canonical texts are equal. Widths, units,
//! dictionaries and time zones are erased; what a value is stays. `text` spells single values,
//! `cell` walks arrays of every Arrow type, and this file makes rows and headers of them. Nothing
//! here reads files or writes to the terminal.

mod cell;
#[cfg(test)]
mod tests;
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use pelton::storage::{EXTENSION_NAME, UUID};

use cell::Cell;

/// A type that canonical text has no spelling for, or a batch that cannot be walked.
#[derive(Debug)]
pub struct Unprintable(pub String);

impl std::fmt::Display for Unprintable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no canonical text: {}", self.0)
    }
}

impl std::error::Error for Unprintable {}

/// The two header lines: quoted names, then `#` and the canonical types, each line ended.
pub fn header(schema: &Schema) -> String {
    let fields = schema.fields();
    let names: Vec<String> = fields
        .iter()
        .map(|field| csv_quoted(field.name()))
        .collect();
    let types: Vec<String> = fields.iter().map(|field| type_name(field)).collect();
    format!("{}\n#{}\n", names.join(","), types.join(","))
}

/// The rows of one batch as canonical text.
pub struct Rows<'a> {
    columns: Vec<Column<'a>>,
    scratch: String,
}

struct Column<'a> {
    cell: Cell<'a>,
    nested: bool,
}

impl<'a> Rows<'a> {
    /// Prepares the columns of a batch. The fields have its types, and may tell more of them than
    /// its schema.
    ///
    /// # Errors
    /// A column's type has no canonical text.
    pub fn new(batch: &'a RecordBatch, fields: &Fields) -> Result<Self, Unprintable> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in fields.iter().zip(batch.columns()) {
            columns.push(Column {
                cell: cell::cell(array.as_ref(), field)?,
                nested: is_nested(field.data_type()),
            });
        }
        Ok(Rows {
            columns,
            scratch: String::new(),
        })
    }

    /// Appends one row, without a line end.
    ///
    /// # Errors
    /// A value of the row cannot be spelled.
    pub fn write(&mut self, row: usize, out: &mut String) -> Result<(), Unprintable> {
        let failed = |_| Unprintable(format!("row {row}"));
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            if column.nested {
                self.scratch.clear();
                (column.cell)(row, &mut self.scratch).map_err(failed)?;
                if self.scratch == "NULL" {
                    out.push_str("NULL");
                } else {
                    push_csv_quoted(&self.scratch, out);
                }
            } else {
                (column.cell)(row, out).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn csv_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_csv_quoted(text, &mut out);
    out
}

fn push_csv_quoted(text: &str, out: &mut String) {
    out.push('"');
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

/// Whether cells of this type are quoted as a whole: lists, structs and maps.
fn is_nested(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_nested(values),
        DataType::RunEndEncoded(_, values) => is_nested(values.data_type()),
        DataType::Struct(_)
        | DataType::Map(_, _)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => true,
        _ => false,
    }
}

/// Whether a field's values are UUIDs, which are spelled as text.
fn is_uuid(field: &Field) -> bool {
    matches!(field.data_type(), DataType::FixedSizeBinary(16))
        && field
            .metadata()
            .get(EXTENSION_NAME)
            .is_some_and(|name| name == UUID)
}

/// The canonical name of a field's type.
fn type_name(field: &Field) -> String {
    if is_uuid(field) {
        return "str".to_string();
    }
    plain_type_name(field.data_type())
}

fn plain_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_string(),
        DataType::Boolean => "bool".to_string(),
        data_type if data_type.is_integer() => "int".to_string(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "float".to_string(),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => match scale {
            0 => "int".to_string(),
            scale => format!("decimal({scale})"),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "str".to_string(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bin".to_string(),
        DataType::Date32 | DataType::Date64 => "date".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_string(),
        DataType::Timestamp(_, _) => "ts".to_string(),
        DataType::Duration(_) => "dur".to_string(),
        DataType::Interval(_) => "interval".to_string(),
        DataType::Dictionary(_, values) => plain_type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => format!("list<{}>", type_name(item)),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}:{}", field.name(), type_name(field)))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("map<{},{}>", type_name(&fields[0]), type_name(&fields[1]))
            }
            other => format!("map<{other}>"),
        },
        other => other.to_string(),
    }
}
