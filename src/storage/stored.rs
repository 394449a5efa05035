//! What a device decodes: the column chunks of a partition, as they are stored.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::page::PageReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::chunk::ColumnChunk;
use super::guard::guard;
use super::{FileIdentity, OpenedFile, ParquetFile, Partition, SelectedPages};
use crate::error::{Error, Result};

/// Which column chunk it is, of which file in which state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChunkIdentity {
    file: Arc<FileIdentity>,
    row_group: usize,
    leaf: usize,
}

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
    /// The pages that are read, if not simply all.
    selected: Option<Arc<SelectedPages>>,
}

impl StoredChunk {
    /// Where it lies and what its pages must fit.
    ///
    /// # Errors
    /// `Corrupt` if it lies outside of the file.
    pub fn chunk(&self) -> Result<ColumnChunk<'_>> {
        let whole = self.file.chunk(self.row_group, self.leaf)?;
        Ok(match &self.selected {
            Some(selected) => whole.of_pages(Arc::clone(selected)),
            None => whole,
        })
    }

    /// The chunk, of which only these pages are read.
    #[must_use]
    pub fn of_pages(&self, selected: SelectedPages) -> StoredChunk {
        StoredChunk {
            selected: Some(Arc::new(selected)),
            ..self.clone()
        }
    }

    /// The pages that are read, if not simply all.
    pub fn selected(&self) -> Option<&SelectedPages> {
        self.selected.as_deref()
    }

    /// Which column chunk it is.
    pub fn identity(&self) -> ChunkIdentity {
        ChunkIdentity {
            file: Arc::clone(self.file.identity()),
            row_group: self.row_group,
            leaf: self.leaf,
        }
    }

    /// Whether an open file is the one that it is a chunk of, and has not changed since its footer was
    /// read.
    pub fn is_unchanged_in(&self, file: &OpenedFile) -> bool {
        self.file.is_unchanged(file)
    }

    /// An error that says where the chunk is and what is wrong with it.
    pub fn corrupt(&self, cause: impl std::fmt::Display) -> Error {
        Error::corrupt(self.path(), self.place(), cause)
    }

    fn place(&self) -> String {
        let column = self.file.row_group(self.row_group).column(self.leaf);
        let name = column.column_path().string();
        format!("row group {}, column `{name}`", self.row_group)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Opens the file.
    ///
    /// # Errors
    /// As [`ParquetFile::reopen`].
    pub fn open(&self) -> Result<OpenedFile> {
        self.file.reopen()
    }

    /// The bodies of the chunk's pages, decompressed on the host: of as many pages as `bytes`, from
    /// the chunk's start on, hold.
    ///
    /// # Errors
    /// `Corrupt` if a page cannot be decompressed.
    pub fn decompress(&self, bytes: Bytes) -> Result<Vec<Bytes>> {
        decompress(&self.chunk()?, bytes)
    }
}

/// The bodies of a chunk's pages, of as many as `bytes` hold.
pub(super) fn decompress(chunk: &ColumnChunk<'_>, bytes: Bytes) -> Result<Vec<Bytes>> {
    let (column, rows) = (chunk.metadata().clone(), chunk.rows());
    let (start, length) = (chunk.start(), bytes.len() as u64);
    let source = Arc::new(ChunkBytes { start, bytes });
    guard(chunk.file().path(), chunk.place(), || {
        // The pages end where the bytes end, whatever the footer says.
        let column = column
            .into_builder()
            .set_total_compressed_size(i64::try_from(length).unwrap_or(i64::MAX))
            .build()?;
        let mut pages = SerializedPageReader::new(source, &column, rows, None)?;
        let mut bodies = Vec::new();
        while let Some(page) = pages.get_next_page()? {
            bodies.push(page.buffer().clone());
        }
        Ok(bodies)
    })
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
            let mut place = 0..;
            for (column, of_file) in columns.iter_mut().zip(of_file) {
                let leaves = file.leaves_of(of_file);
                column.resize_with(leaves.len(), Vec::new);
                for ((chunks, leaf), place) in column.iter_mut().zip(leaves).zip(&mut place) {
                    chunks.push(StoredChunk {
                        file: Arc::clone(file),
                        file_index: row_group.file,
                        row_group: row_group.row_group,
                        leaf: *leaf,
                        rows: row_group.rows,
                        selected: row_group.selected(place).map(Arc::new),
                    });
                }
            }
        }
        Ok(columns)
    }
}

/// The bytes of one column chunk, at their place in the file.
struct ChunkBytes {
    start: u64,
    bytes: Bytes,
}

impl ChunkBytes {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let skipped = start
            .checked_sub(self.start)
            .and_then(|skipped| usize::try_from(skipped).ok());
        let within = skipped.filter(|skipped| *skipped <= self.bytes.len());
        let outside = || {
            let cause = format!("a page at {start} lies outside of its column chunk");
            parquet::errors::ParquetError::EOF(cause)
        };
        Ok(self.bytes.slice(within.ok_or_else(outside)?..))
    }
}

impl parquet::file::reader::Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl parquet::file::reader::ChunkReader for ChunkBytes {
    type T = std::io::Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(std::io::Cursor::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            let cause = format!("a page of {length} bytes ends outside of its column chunk");
            return Err(parquet::errors::ParquetError::EOF(cause));
        }
        Ok(bytes.slice(..length))
    }
}
