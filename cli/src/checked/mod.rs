//! Reads whole Parquet files that nobody vouches for.
//!
//! What a file claims is checked before a decoder believes it: `footer` looks for encryption and
//! impossible structure, `pages` for sizes beyond the memory limit. Then the `parquet` crate's
//! Arrow reader decodes, with checksums on, and a panic of its own becomes an error. Queries do not
//! come through here; the engine has its own reader.

mod footer;
mod inflate;
mod normalise;
mod pages;
mod problem;
mod schema;
mod thrift;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

pub use problem::{Kind, Problem, guarded};

/// Rows decoded at a time where rows are small.
const BATCH_ROWS_MAX: u64 = 8192;

/// Uncompressed bytes that a batch aims at.
const BATCH_BYTES_TARGET: u64 = 16 << 20;

/// A file whose structure has been checked.
pub struct CheckedFile {
    reader: ParquetRecordBatchReader,
    fields: Fields,
}

impl CheckedFile {
    /// Opens and checks a file. Decoding it takes about `memory_limit` bytes at most.
    ///
    /// # Errors
    /// The file cannot be read, is not Parquet, is encrypted, or is larger than the limit.
    pub fn open(path: &Path, memory_limit: u64) -> Result<Self, Problem> {
        let file = File::open(path).map_err(|cause| Problem::io("open", &cause))?;
        let status = file
            .metadata()
            .map_err(|cause| Problem::io("open", &cause))?;
        if !status.is_file() {
            return Err(Problem::new(Kind::Io, "not a regular file"));
        }
        let metadata = Arc::new(footer::read(&file, status.len())?);
        let bytes_per_row = pages::check(&file, status.len(), &metadata, memory_limit)?;

        let options = ArrowReaderOptions::new();
        let plain = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options.clone())?;
        let options = options.with_schema(schema::to_read(plain.parquet_schema(), plain.schema()));
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;

        let fields = schema::marked(metadata.parquet_schema(), metadata.schema());
        let rows = (BATCH_BYTES_TARGET / bytes_per_row.max(1)).clamp(1, BATCH_ROWS_MAX);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(usize::try_from(rows).unwrap_or(1))
            .build()?;
        Ok(CheckedFile { reader, fields })
    }

    /// The columns, with the meaning that the file gives them.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

impl Iterator for CheckedFile {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next().map(|batch| batch.map_err(Problem::from))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::canonical::Rows;

    #[test]
    fn uuids_are_marked_wherever_they_are() {
        let schema = "message m {
            required fixed_len_byte_array(16) a (UUID);
            required group l (LIST) {
                repeated group list { required fixed_len_byte_array(16) element (UUID); }
            }
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer =
            SerializedFileWriter::new(file.reopen().unwrap(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let value = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
        for levels in [None, Some(1)] {
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<FixedLenByteArrayType>();
            let definition = levels.map(|level| vec![level]);
            let repetition = levels.map(|_| vec![0]);
            typed
                .write_batch(
                    std::slice::from_ref(&value),
                    definition.as_deref(),
                    repetition.as_deref(),
                )
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();

        let mut checked = CheckedFile::open(file.path(), 1 << 20).unwrap();
        let fields = checked.fields().clone();
        let batch = checked.next().unwrap().unwrap();
        let mut text = String::new();
        Rows::new(&batch, &fields)
            .unwrap()
            .write(0, &mut text)
            .unwrap();
        let uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(text, format!("\"{uuid}\",\"[\"\"{uuid}\"\"]\""));
    }
}
