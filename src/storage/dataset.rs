//! Files that are read as one table.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::ParquetFile;
use crate::error::{Error, Result};

/// Parquet files that share a schema. Columns are matched by name; their order may differ.
#[derive(Debug, Clone)]
pub struct Dataset {
    files: Vec<Arc<ParquetFile>>,
    schema: SchemaRef,
    /// Per file, the file's column of each column of `schema`.
    columns: Vec<Vec<usize>>,
}

impl Dataset {
    /// Reads the footers of the files and checks their schemas against the first one's.
    ///
    /// # Errors
    /// As [`ParquetFile::open`], and `InvalidInput` if the schemas differ, naming both files and
    /// the column.
    pub fn open(paths: &[PathBuf]) -> Result<Dataset> {
        let mut files = Vec::with_capacity(paths.len());
        let mut columns = Vec::with_capacity(paths.len());
        let mut fields: Vec<Field> = Vec::new();
        for path in paths {
            let file = ParquetFile::open(path)?;
            check_names(path, file.schema())?;
            if files.is_empty() {
                fields = file
                    .schema()
                    .fields()
                    .iter()
                    .map(|f| (**f).clone())
                    .collect();
            }
            let first: &Path = paths.first().map_or(path, PathBuf::as_path);
            columns.push(match_columns(first, &mut fields, path, file.schema())?);
            files.push(file);
        }
        Ok(Dataset {
            files,
            schema: Arc::new(Schema::new(fields)),
            columns,
        })
    }

    /// The files, in the order given.
    pub fn files(&self) -> &[Arc<ParquetFile>] {
        &self.files
    }

    /// Rows of all files, by their footers.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows()).sum()
    }

    /// The schema of the rows: a column is nullable if it is in any file, and marked as UUIDs if it
    /// is in all.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The `file`-th file's own index of each column of the schema.
    pub(super) fn columns_of(&self, file: usize) -> &[usize] {
        self.columns.get(file).map_or(&[], Vec::as_slice)
    }
}

fn check_names(path: &Path, schema: &Schema) -> Result<()> {
    let mut names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::invalid(
            path.display().to_string(),
            format!("has two columns `{}`", pair[0]),
            "columns are told apart by name",
        )),
    }
}

/// The index in `schema` of each of the fields; makes a field nullable that is so here.
fn match_columns(
    first: &Path,
    fields: &mut [Field],
    path: &Path,
    schema: &Schema,
) -> Result<Vec<usize>> {
    let mismatch = |name: &str, mine: Option<&DataType>, theirs: Option<&DataType>| {
        let say = |data_type: Option<&DataType>| match data_type {
            Some(data_type) => format!("is {data_type}"),
            None => "is missing".to_string(),
        };
        Error::invalid(
            format!("column `{name}`"),
            format!(
                "{} in {} and {} in {}",
                say(mine),
                first.display(),
                say(theirs),
                path.display()
            ),
            "files of one scan need one schema",
        )
    };
    let mut columns = Vec::with_capacity(fields.len());
    for (place, field) in fields.iter_mut().enumerate() {
        let mine = field.data_type().clone();
        let same_place = schema.fields().get(place);
        let found = match same_place.filter(|theirs| theirs.name() == field.name()) {
            Some(theirs) => Some((place, theirs.as_ref())),
            None => schema.column_with_name(field.name()),
        };
        let Some((index, theirs)) = found else {
            return Err(mismatch(field.name(), Some(&mine), None));
        };
        if *theirs.data_type() != mine {
            return Err(mismatch(
                field.name(),
                Some(&mine),
                Some(theirs.data_type()),
            ));
        }
        if theirs.is_nullable() {
            field.set_nullable(true);
        }
        if theirs.metadata() != field.metadata() {
            // Bytes here and UUIDs there: bytes.
            field.set_metadata(HashMap::new());
        }
        columns.push(index);
    }
    let extra = |theirs: &&Arc<Field>| !fields.iter().any(|mine| mine.name() == theirs.name());
    if schema.fields().len() > columns.len()
        && let Some(theirs) = schema.fields().iter().find(extra)
    {
        return Err(mismatch(theirs.name(), None, Some(theirs.data_type())));
    }
    Ok(columns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs::File;

    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::storage::EXTENSION_NAME;

    #[test]
    fn a_column_is_of_uuids_if_it_is_in_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, logical) in [("a", "(UUID)"), ("b", "(UUID)"), ("c", "")] {
            let message = format!("message m {{ required fixed_len_byte_array(16) u {logical}; }}");
            let schema = Arc::new(parse_message_type(&message).unwrap());
            let file = File::create(path(name)).unwrap();
            let writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
            writer.close().unwrap();
        }
        let marked = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            let dataset = Dataset::open(&paths).unwrap();
            dataset
                .schema()
                .field(0)
                .metadata()
                .contains_key(EXTENSION_NAME)
        };
        assert!(marked(&["a", "b"]));
        assert!(!marked(&["a", "c"]));
        assert!(!marked(&["c", "a"]));
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Dataset::open(&[folder.path().to_path_buf()]).unwrap_err();
        assert!(error.to_string().ends_with("not a regular file"), "{error}");
    }
}
