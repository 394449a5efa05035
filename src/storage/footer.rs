//! Footers: what a file says about itself, read once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::error::{Error, Result};

/// Footers kept; beyond it the cache starts anew. A footer takes some 10 KiB per row group.
const FOOTERS_MAX: usize = 4096;

/// One Parquet file with its footer.
#[derive(Debug)]
pub struct ParquetFile {
    path: PathBuf,
    bytes: u64,
    schema: SchemaRef,
    footer: ArrowReaderMetadata,
    /// Leaf columns of each column of `schema`, by index; they are consecutive.
    leaves: Vec<Vec<usize>>,
}

/// Size and time of change of a file when its footer was read.
type Stamp = (u64, Option<SystemTime>);

type Footers = HashMap<PathBuf, (Stamp, Arc<ParquetFile>)>;

/// The footers that this process has read, by path.
static FOOTERS: LazyLock<Mutex<Footers>> = LazyLock::new(Mutex::default);

impl ParquetFile {
    /// Reads a file's footer, unless the file is known and unchanged (by size and time).
    ///
    /// # Errors
    /// `Io` if the file cannot be read, `Corrupt` if it is no Parquet file.
    pub fn open(path: &Path) -> Result<Arc<ParquetFile>> {
        let refused = |cause: std::io::Error| Error::io(path, "open", &cause);
        let file = File::open(path).map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        let stamp = (found.len(), found.modified().ok());
        let cache = || FOOTERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, opened)) = cache().get(path)
            && *known == stamp
        {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(ParquetFile::read(path, &file, found.len())?);
        let mut cache = cache();
        if cache.len() >= FOOTERS_MAX {
            cache.clear();
        }
        cache.insert(path.to_path_buf(), (stamp, Arc::clone(&opened)));
        Ok(opened)
    }

    fn read(path: &Path, file: &File, bytes: u64) -> Result<ParquetFile> {
        check_magic(path, file, bytes)?;
        let footer = guard(path, "footer", || {
            let footer = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
            let flat = flat_schema(footer.schema());
            if flat == **footer.schema() {
                return Ok(footer);
            }
            // Dictionaries are read as their values; the types are still those of the file.
            let options = ArrowReaderOptions::new().with_schema(Arc::new(flat));
            ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options)
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
        check_row_groups(path, footer.metadata())?;
        let fields = footer.schema().fields().iter();
        let fields: Vec<Field> = fields
            .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()))
            .collect();
        Ok(ParquetFile {
            path: path.to_path_buf(),
            bytes,
            schema: Arc::new(Schema::new(fields)),
            footer,
            leaves,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The schema that its rows are read in: dictionaries count as their values.
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

    pub(super) fn row_group(&self, row_group: usize) -> &RowGroupMetaData {
        self.footer.metadata().row_group(row_group)
    }

    /// The leaf columns of a column of the schema.
    pub(super) fn leaves_of(&self, column: usize) -> &[usize] {
        self.leaves.get(column).map_or(&[], Vec::as_slice)
    }
}

/// Runs the decoder on bytes that anybody may have written: its errors and its panics become
/// `Corrupt`. (A panic still prints its message, as the program's panic hook has it.)
pub(super) fn guard<T>(
    file: &Path,
    place: impl Into<String>,
    decode: impl FnOnce() -> parquet::errors::Result<T>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(decoded)) => Ok(decoded),
        Ok(Err(cause)) => Err(Error::corrupt(file, place, one_line(&cause.to_string()))),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            let cause = format!("the decoder gave up: {}", one_line(message));
            Err(Error::corrupt(file, place, cause))
        }
    }
}

/// A decoder's message without the names of the types that it was wrapped in.
fn one_line(text: &str) -> String {
    const WRAPPERS: [&str; 6] = [
        "Arrow: ",
        "EOF: ",
        "External: ",
        "General: ",
        "Parquet argument error: ",
        "Parquet error: ",
    ];
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut inner = line.as_str();
    while let Some(stripped) = WRAPPERS
        .iter()
        .find_map(|wrapper| inner.strip_prefix(wrapper))
    {
        inner = stripped;
    }
    inner.to_string()
}

/// Parquet files begin and end with these bytes.
const MAGIC: [u8; 4] = *b"PAR1";

/// Says what a file is that does not look like Parquet at all: the commonest mistakes.
fn check_magic(path: &Path, mut file: &File, bytes: u64) -> Result<()> {
    let mut mark_at = |from: SeekFrom| {
        let mut mark = [0; MAGIC.len()];
        file.seek(from)
            .and_then(|_| file.read_exact(&mut mark))
            .map(|()| mark)
            .map_err(|cause| Error::io(path, "read", &cause))
    };
    let corrupt = |cause: &str| Err(Error::corrupt(path, "", cause));
    if bytes == 0 {
        return corrupt("is empty: no Parquet file");
    }
    if bytes < 2 * MAGIC.len() as u64 {
        return corrupt("is too short for a Parquet file");
    }
    let (first, last) = (mark_at(SeekFrom::Start(0))?, mark_at(SeekFrom::End(-4))?);
    match (first == MAGIC, last == MAGIC) {
        (_, true) => Ok(()),
        (_, false) if last == *b"PARE" => Err(Error::unsupported(
            "cpu",
            format!("{}", path.display()),
            "its footer is encrypted",
        )),
        (true, false) => corrupt("begins as a Parquet file and does not end as one: it is cut off"),
        (false, false) => corrupt("is no Parquet file: it neither begins nor ends with `PAR1`"),
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
        for column in row_group.columns() {
            if column.compressed_size() < 0 || column.uncompressed_size() < 0 {
                let name = column.column_path().string();
                return corrupt(format!("column `{name}` says its size is negative"));
            }
        }
    }
    Ok(())
}

fn flat_schema(schema: &Schema) -> Schema {
    let fields: Fields = schema.fields().iter().map(|f| flat_field(f)).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn flat_field(field: &Field) -> Field {
    field.clone().with_data_type(flat_type(field.data_type()))
}

/// The type with every dictionary replaced by its values' type.
fn flat_type(data_type: &DataType) -> DataType {
    let flat = |field: &Field| Arc::new(flat_field(field));
    match data_type {
        DataType::Dictionary(_, value) => flat_type(value),
        DataType::List(field) => DataType::List(flat(field)),
        DataType::LargeList(field) => DataType::LargeList(flat(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(flat(field), *size),
        DataType::Map(field, sorted) => DataType::Map(flat(field), *sorted),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| flat_field(f)).collect())
        }
        other => other.clone(),
    }
}
