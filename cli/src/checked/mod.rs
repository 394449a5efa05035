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
        let options = options.with_schema(schema::coerced(plain.parquet_schema(), plain.schema()));
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;

        let rows = (BATCH_BYTES_TARGET / bytes_per_row.max(1)).clamp(1, BATCH_ROWS_MAX);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(usize::try_from(rows).unwrap_or(1))
            .build()?;
        Ok(CheckedFile { reader })
    }
}

impl Iterator for CheckedFile {
    type Item = Result<RecordBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next().map(|batch| batch.map_err(Problem::from))
    }
}
