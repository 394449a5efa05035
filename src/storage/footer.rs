//! Footers: what a file says about itself, read once and judged before anybody believes it.
//!
//! `structure` reads the bytes and refuses what cannot be, `normalise` leaves out what only one
//! writer understands, `schema` says in which types rows are read. What the pages must fit is in
//! `chunk`; nothing here reads a page.

mod normalise;
mod schema;
mod structure;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::guard::guard;
use super::opened::{OpenedFile, Stamp};
use super::prune::BloomFilters;
use crate::error::{Error, Result};

pub use schema::{EXTENSION_NAME, UUID};

/// Rows of a row group without columns beyond this are refused: nothing in the file backs them.
const COLUMNLESS_ROWS_MAX: i64 = 1 << 24;

/// Footers kept; beyond it the cache starts anew. A footer takes some 10 KiB per row group.
const FOOTERS_MAX: usize = 4096;

/// Which file it is, in which state: its path or URL, its length, and its time of change or what a store
/// calls its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    path: PathBuf,
    stamp: Stamp,
}

/// One Parquet file with its footer.
#[derive(Debug)]
pub struct ParquetFile {
    identity: Arc<FileIdentity>,
    schema: SchemaRef,
    footer: ArrowReaderMetadata,
    /// Leaf columns of each column of `schema`, by index; they are consecutive.
    leaves: Vec<Vec<usize>>,
    bloom_filters: BloomFilters,
}

type Footers = HashMap<PathBuf, Arc<ParquetFile>>;

/// The footers that this process has read, by path.
static FOOTERS: LazyLock<Mutex<Footers>> = LazyLock::new(Mutex::default);

impl ParquetFile {
    /// Reads a file's footer, unless the file is known and unchanged (by size and time, or version).
    ///
    /// # Errors
    /// `Io` if the file cannot be read, `Corrupt` if it is no Parquet file or its footer cannot be,
    /// `Encrypted` if the footer or a column is, `TooLarge` and `Unsupported` for footers beyond
    /// our limits.
    pub fn open(path: &Path) -> Result<Arc<ParquetFile>> {
        let file = OpenedFile::open(path)?;
        let cache = || FOOTERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache().get(path)
            && known.is_unchanged(&file)
        {
            return Ok(Arc::clone(known));
        }
        let opened = Arc::new(ParquetFile::read(&file)?);
        let mut cache = cache();
        if cache.len() >= FOOTERS_MAX {
            cache.clear();
        }
        cache.insert(path.to_path_buf(), Arc::clone(&opened));
        Ok(opened)
    }

    fn read(file: &OpenedFile) -> Result<ParquetFile> {
        let (path, stamp) = (file.path(), file.stamp().clone());
        let metadata = Arc::new(structure::read(path, file, stamp.bytes)?);
        check_row_groups(path, &metadata)?;
        let footer = guard(path, "footer", || {
            let said =
                ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new())?;
            let wanted = schema::to_read(said.parquet_schema(), said.schema());
            ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(wanted))
        })?;
        let columns = footer.schema().fields().len();
        let mut leaves = vec![Vec::new(); columns];
        let descriptor = footer.parquet_schema();
        for leaf in 0..descriptor.num_columns() {
            match leaves.get_mut(descriptor.get_column_root_idx(leaf)) {
                Some(of_column) => of_column.push(leaf),
                None => {
                    return Err(Error::corrupt(
                        path,
                        "footer",
                        "has more columns than fields",
                    ));
                }
            }
        }
        let path = path.to_path_buf();
        Ok(ParquetFile {
            identity: Arc::new(FileIdentity { path, stamp }),
            schema: Arc::clone(footer.schema()),
            footer,
            leaves,
            bloom_filters: BloomFilters::default(),
        })
    }

    /// Opens the file anew, to read what the footer says.
    ///
    /// # Errors
    /// As [`OpenedFile::open`]; `Corrupt` if the file is another one by now.
    pub fn reopen(&self) -> Result<OpenedFile> {
        let file = OpenedFile::open(self.path())?;
        match self.is_unchanged(&file) {
            true => Ok(file),
            false => Err(file.changed()),
        }
    }

    /// Rows of all row groups.
    pub fn rows(&self) -> u64 {
        let row_groups = self.footer.metadata().row_groups().iter();
        row_groups
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
            .sum()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.identity.path
    }

    /// Which file it is, in which state.
    pub fn identity(&self) -> &Arc<FileIdentity> {
        &self.identity
    }

    /// Whether an open file is this one, in the same state.
    pub(super) fn is_unchanged(&self, file: &OpenedFile) -> bool {
        self.identity.path == file.path() && self.identity.stamp == *file.stamp()
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.identity.stamp.bytes
    }

    /// The schema that its rows are read in: dictionaries count as their values, timestamps of 96
    /// bits as microseconds, and the only metadata of fields is the mark of UUIDs.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its row groups.
    pub fn row_group_count(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// The footer, as the `parquet` crate has it.
    pub(super) fn footer(&self) -> &ArrowReaderMetadata {
        &self.footer
    }

    /// The Bloom filters that pruning has read.
    pub(super) fn bloom_filters(&self) -> &BloomFilters {
        &self.bloom_filters
    }

    pub(super) fn row_group(&self, row_group: usize) -> &RowGroupMetaData {
        self.footer.metadata().row_group(row_group)
    }

    /// The leaf columns of a column of the schema.
    pub(super) fn leaves_of(&self, column: usize) -> &[usize] {
        self.leaves.get(column).map_or(&[], Vec::as_slice)
    }
}

/// What the rest of this room takes for granted of a footer.
fn check_row_groups(path: &Path, footer: &ParquetMetaData) -> Result<()> {
    let leaves = footer.file_metadata().schema_descr().num_columns();
    for (index, row_group) in footer.row_groups().iter().enumerate() {
        let corrupt =
            |cause: String| Err(Error::corrupt(path, format!("row group {index}"), cause));
        if row_group.num_columns() != leaves {
            let have = row_group.num_columns();
            return corrupt(format!("has {have} column chunks for {leaves} columns"));
        }
        if row_group.num_rows() < 0 {
            return corrupt(format!("says it has {} rows", row_group.num_rows()));
        }
        if row_group.columns().is_empty() && row_group.num_rows() > COLUMNLESS_ROWS_MAX {
            return corrupt(format!(
                "has {} rows without a column",
                row_group.num_rows()
            ));
        }
        for column in row_group.columns() {
            if column.compressed_size() < 0 || column.uncompressed_size() < 0 {
                let name = column.column_path().string();
                return corrupt(format!("column `{name}` says its size is negative"));
            }
        }
    }
    Ok(())
}
