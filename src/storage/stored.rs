//! What a device decodes: the column chunks of a partition, as they are stored.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::chunk::ColumnChunk;
use super::{ParquetFile, Partition};
use crate::error::{Error, Result};

/// A column chunk of a partition.
#[derive(Debug, Clone)]
pub struct StoredChunk {
    file: Arc<ParquetFile>,
    /// The file, by index into the dataset: partitions may read several.
    pub file_index: usize,
    row_group: usize,
    leaf: usize,
    /// Rows of its row group.
    pub rows: u64,
}

impl StoredChunk {
    /// Where it lies and what its pages must fit.
    ///
    /// # Errors
    /// `Corrupt` if it lies outside of the file.
    pub fn chunk(&self) -> Result<ColumnChunk<'_>> {
        self.file.chunk(self.row_group, self.leaf)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Opens the file.
    ///
    /// # Errors
    /// `Io` if the system refuses.
    pub fn open(&self) -> Result<File> {
        let path = self.path();
        File::open(path).map_err(|cause| Error::io(path, "open", &cause))
    }

    /// The bodies of the chunk's pages, decompressed on the host: of as many pages as `bytes`, from
    /// the chunk's start on, hold.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be decompressed.
    pub fn decompress(&self, bytes: Bytes) -> Result<Vec<Bytes>> {
        self.chunk()?.decompress(bytes)
    }
}

impl Partition {
    /// The column chunks that it reads: for each column of the schema its leaves, for each leaf a
    /// chunk per row group, in order.
    ///
    /// # Errors
    /// `InvalidInput` if the partition is not of its dataset.
    pub fn stored(&self) -> Result<Vec<Vec<Vec<StoredChunk>>>> {
        let shape = self.shape();
        let mut columns: Vec<Vec<Vec<StoredChunk>>> = vec![Vec::new(); shape.projection.len()];
        for row_group in self.row_groups() {
            let file = shape.file(row_group.file)?;
            let of_file = shape.file_columns(row_group.file);
            for (column, of_file) in columns.iter_mut().zip(of_file) {
                let leaves = file.leaves_of(of_file);
                column.resize_with(leaves.len(), Vec::new);
                for (chunks, leaf) in column.iter_mut().zip(leaves) {
                    chunks.push(StoredChunk {
                        file: Arc::clone(file),
                        file_index: row_group.file,
                        row_group: row_group.row_group,
                        leaf: *leaf,
                        rows: row_group.rows,
                    });
                }
            }
        }
        Ok(columns)
    }
}
