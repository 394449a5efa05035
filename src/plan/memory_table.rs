//! Rows that are in memory already.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::types::SchemaRef;

/// Batches of one schema. It serialises as an Arrow IPC stream, in hexadecimal digits.
///
/// ```
/// use pelton::plan::MemoryTable;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use std::sync::Arc;
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
/// let table = MemoryTable::new(batch.schema(), vec![batch]).unwrap();
/// assert_eq!(table.rows(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct MemoryTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl MemoryTable {
    /// A table of these batches.
    ///
    /// # Errors
    /// `InvalidInput` if a batch has another schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<MemoryTable> {
        if batches.iter().any(|batch| batch.schema() != schema) {
            let remedy = "give all batches the table's schema";
            return Err(Error::invalid(
                "table",
                "a batch has another schema",
                remedy,
            ));
        }
        Ok(MemoryTable { schema, batches })
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum()
    }

    fn to_bytes(&self) -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
        for batch in &self.batches {
            writer.write(batch)?;
        }
        writer.into_inner()
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<MemoryTable, ArrowError> {
        let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<_, _>>()?;
        Ok(MemoryTable { schema, batches })
    }
}

impl PartialEq for MemoryTable {
    /// Equal rows in equal batches; a table is known to equal itself.
    fn eq(&self, other: &MemoryTable) -> bool {
        let same = std::ptr::eq(self, other);
        same || self.schema == other.schema && self.batches == other.batches
    }
}

impl Serialize for MemoryTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_bytes().map_err(S::Error::custom)?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for MemoryTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16)
                .ok()
                .filter(|_| pair.len() == 2)
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| D::Error::custom("a table is hexadecimal digits"))?;
        MemoryTable::from_bytes(bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_table_comes_back_from_text() -> Result<(), serde_json::Error> {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let words: ArrayRef = Arc::new(StringArray::from(vec!["a", "\u{e9}"]));
        let Ok(batch) = RecordBatch::try_from_iter([("n", numbers), ("w", words)]) else {
            return Ok(());
        };
        let table = MemoryTable {
            schema: batch.schema(),
            batches: vec![batch.clone(), batch],
        };
        let text = serde_json::to_string(&table)?;
        assert_eq!(serde_json::from_str::<MemoryTable>(&text)?, table);
        assert!(serde_json::from_str::<MemoryTable>("\"0g\"").is_err());
        assert!(serde_json::from_str::<MemoryTable>("\"00\"").is_err());
        Ok(())
    }
}
