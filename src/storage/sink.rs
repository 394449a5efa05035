//! Writes Arrow batches as Parquet, all or nothing: files appear under their names when they are
//! whole and on the disk, and a failure leaves nothing behind.
//!
//! [`ParquetSink`] takes batches in order and cuts them into row groups and files; its `options`
//! say how, its `target` how names appear. Encoding is the `parquet` crate's. Which encoding suits
//! a column is not decided here.

mod options;
mod properties;
mod target;
#[cfg(test)]
mod tests;

pub use options::{
    BROTLI_LEVEL_DEFAULT, ColumnEncoding, DICTIONARY_BYTES_DEFAULT, GZIP_LEVEL_DEFAULT,
    PAGE_BYTES_DEFAULT, PAGE_ROWS_DEFAULT, PageVersion, ROW_GROUP_ROWS_DEFAULT, SinkCodec,
    SinkOptions, StatisticsLevel, ZSTD_LEVEL_DEFAULT,
};

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};
use crate::metrics::{Metrics, Snapshot, names};
use target::Target;

/// Bytes that are handed to the system at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Rows that are encoded between two looks at the bytes of a row group: often enough for a limit
/// that is "about", seldom enough to cost nothing.
const LIMIT_CHECK_ROWS: usize = 4096;

/// What a sink wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkSummary {
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files, footers too.
    pub bytes: u64,
    /// Row groups of all files.
    pub row_groups: u64,
    /// The files, in the order of their rows.
    pub files: Vec<PathBuf>,
    /// The leaf columns, in the order of the schema, summed over all files.
    pub columns: Vec<ColumnBytes>,
    /// What was counted: of the sink, and of the query if there was one.
    pub metrics: Snapshot,
    /// Pipelines of the query that ran on the CPU instead, each with the reason, as its result
    /// would have them.
    pub fallbacks: Vec<String>,
}

/// How many bytes a leaf column takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnBytes {
    /// Its path: the column's name, for a nested one with the names below.
    pub column: String,
    /// Bytes of its pages, compressed.
    pub compressed: u64,
    /// Bytes of its pages, encoded and not compressed.
    pub uncompressed: u64,
}

/// Writes batches of one schema to a file or a folder of files.
///
/// Rows keep their order. A file appears when [`finish`](Self::finish) returns: written beside
/// its name, put on the disk, renamed. After an error, or when a sink is dropped unfinished,
/// nothing of it is left. Memory holds one encoded row group.
///
/// ```
/// use pelton::storage::{ParquetSink, SinkOptions};
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("numbers.parquet");
/// # let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
/// # let Ok(batch) = RecordBatch::try_from_iter([("n", numbers)]) else { return Ok(()) };
/// let mut options = SinkOptions { row_group_rows: 300, ..SinkOptions::default() };
/// options.set_encoding("n=delta_binary_packed")?;
/// let mut sink = ParquetSink::create(&path, batch.schema(), options)?;
/// sink.write(&batch)?;
/// assert!(!path.exists());
/// let summary = sink.finish()?;
/// assert!(path.exists());
/// assert_eq!((summary.rows, summary.row_groups), (1000, 4));
/// # Ok(())
/// # }
/// ```
#[must_use = "a sink that is dropped leaves no file: `finish` it"]
pub struct ParquetSink {
    path: PathBuf,
    schema: SchemaRef,
    options: SinkOptions,
    properties: WriterProperties,
    /// What is being written; `None` after a failure.
    open: Option<Open>,
    summary: SinkSummary,
    metrics: Metrics,
}

/// The file that takes rows, and the target that it is part of. The file is closed first.
struct Open {
    part: Option<Part>,
    target: Target,
}

struct Part {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl std::fmt::Debug for ParquetSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetSink")
            .field("path", &self.path)
            .field("options", &self.options)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl SinkOptions {
    /// Whether rows of this schema can be written so; what [`ParquetSink::create`] asks before it
    /// touches the disk.
    ///
    /// # Errors
    /// `InvalidInput` if an option is out of range or does not fit the schema, or Parquet has no
    /// place for a type.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        properties::writer_properties(self, schema).map(drop)
    }
}

impl ParquetSink {
    /// A sink for rows of this schema. The target's folder exists; the target is a file, or a
    /// folder if the options give the rows of a file.
    ///
    /// # Errors
    /// `InvalidInput` if an option does not fit the schema, Parquet has no place for a type, or
    /// something is at the target that may not be replaced; `Io` if its folder cannot be written
    /// to.
    pub fn create(
        path: impl AsRef<Path>,
        schema: SchemaRef,
        options: SinkOptions,
    ) -> Result<ParquetSink> {
        let path = path.as_ref();
        let properties = properties::writer_properties(&options, &schema)?;
        let target = Target::new(path, options.file_rows.is_some(), options.overwrite)?;
        let mut sink = ParquetSink {
            path: path.to_path_buf(),
            schema,
            options,
            properties,
            open: Some(Open { part: None, target }),
            summary: SinkSummary::default(),
            metrics: Metrics::default(),
        };
        // No rows are a file, too: with a schema, and found where it is looked for.
        sink.attempt(|sink, open| sink.part(open).map(drop))?;
        Ok(sink)
    }

    /// The temporary file or folder, for programs that end without running destructors; `None`
    /// after a failure.
    pub fn temporary(&self) -> Option<&Path> {
        Some(self.open.as_ref()?.target.temporary())
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// Writes the rows of a batch behind those before.
    ///
    /// # Errors
    /// `InvalidInput` if the batch has other columns than the sink, or nulls where the schema has
    /// none; `Io` if the disk refuses. After an error nothing is left, and the sink takes no more.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let started = Instant::now();
        let outcome = self.attempt(|sink, open| {
            check_batch(&sink.schema, batch)?;
            sink.append(open, batch)
        });
        self.metrics
            .add_duration(names::SINK_NANOSECONDS, started.elapsed());
        outcome
    }

    /// Closes the last file, puts all of them on the disk and gives them their names.
    ///
    /// # Errors
    /// As [`write`](Self::write), and `InvalidInput` if a target appeared meanwhile. An `Io` of
    /// the operation `synchronise` says that the files are there but may not outlive a power cut.
    pub fn finish(mut self) -> Result<SinkSummary> {
        let started = Instant::now();
        let Some(mut open) = self.open.take() else {
            return Err(self.ended());
        };
        if let Some(part) = open.part.take() {
            self.close(part)?;
        }
        open.target.commit()?;
        let metrics = &self.metrics;
        metrics.add_duration(names::SINK_NANOSECONDS, started.elapsed());
        metrics.add(names::SINK_ROWS, self.summary.rows);
        metrics.add(names::SINK_BYTES, self.summary.bytes);
        self.summary.metrics = metrics.snapshot();
        Ok(self.summary)
    }

    /// Does a step; what was written is removed if it fails.
    fn attempt(&mut self, step: impl FnOnce(&mut Self, &mut Open) -> Result<()>) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Err(self.ended());
        };
        step(self, &mut open)?;
        self.open = Some(open);
        Ok(())
    }

    fn ended(&self) -> Error {
        Error::invalid(
            self.path.display().to_string(),
            "the sink has failed before",
            "make a new one",
        )
    }

    fn append(&mut self, open: &mut Open, batch: &RecordBatch) -> Result<()> {
        let mut done = 0;
        while done < batch.num_rows() {
            let file_is_full =
                |part: &Part| self.options.file_rows.is_some_and(|most| part.rows >= most);
            if let Some(full) = open.part.take_if(|part| file_is_full(part)) {
                self.close(full)?;
            }
            let file_rows = self.options.file_rows.unwrap_or(u64::MAX);
            let (group_rows, group_bytes) =
                (self.options.row_group_rows, self.options.row_group_bytes);
            let part = self.part(open)?;
            // The crate cuts batches by recursion, a level per row group: it is never asked to.
            let in_group = part.writer.in_progress_rows() as u64;
            let room = (group_rows.saturating_sub(in_group)).min(file_rows - part.rows);
            let mut rows = usize::try_from(room).unwrap_or(usize::MAX).max(1);
            if group_bytes.is_some() {
                rows = rows.min(LIMIT_CHECK_ROWS);
            }
            let rows = rows.min(batch.num_rows() - done);
            let failed = |cause| failed(&part.path, cause);
            part.writer
                .write(&batch.slice(done, rows))
                .map_err(failed)?;
            if group_bytes.is_some_and(|most| part.writer.in_progress_size() as u64 >= most) {
                part.writer.flush().map_err(failed)?;
            }
            part.rows += rows as u64;
            self.summary.rows += rows as u64;
            done += rows;
        }
        Ok(())
    }

    /// The file that takes rows: the one that is open, else the next.
    fn part<'a>(&self, open: &'a mut Open) -> Result<&'a mut Part> {
        match &mut open.part {
            Some(part) => Ok(part),
            none => {
                let (path, file) = open.target.next_file()?;
                let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                let properties = Some(self.properties.clone());
                let writer = ArrowWriter::try_new(out, Arc::clone(&self.schema), properties)
                    .map_err(|cause| failed(&path, cause))?;
                let rows = 0;
                Ok(none.insert(Part { path, writer, rows }))
            }
        }
    }

    /// Ends a file, on the disk, and adds it to the summary.
    fn close(&mut self, part: Part) -> Result<()> {
        let Part {
            path, mut writer, ..
        } = part;
        let footer = writer.finish().map_err(|cause| failed(&path, cause))?;
        let row_groups = footer.row_groups();
        self.summary.row_groups += row_groups.len() as u64;
        let columns = &mut self.summary.columns;
        for row_group in row_groups {
            for (index, chunk) in row_group.columns().iter().enumerate() {
                if columns.len() <= index {
                    columns.push(ColumnBytes {
                        column: chunk.column_path().string(),
                        ..ColumnBytes::default()
                    });
                }
                columns[index].compressed += chunk.compressed_size().unsigned_abs();
                columns[index].uncompressed += chunk.uncompressed_size().unsigned_abs();
            }
        }
        let file = writer.inner().get_ref(); // `finish` flushed what is above
        let refused = |cause: io::Error| Error::io(&path, "write", &cause);
        file.sync_all().map_err(refused)?;
        self.summary.bytes += file.metadata().map_err(refused)?.len();
        self.summary.files.push(path);
        Ok(())
    }
}

/// What the writer says, with its place.
fn failed(path: &Path, cause: ParquetError) -> Error {
    match cause {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(cause) => Error::io(path, "write", &cause),
            Err(cause) => Error::io(path, "write", &io::Error::other(cause)),
        },
        ParquetError::NYI(cause) | ParquetError::ArrowError(cause) => {
            Error::invalid(path.display().to_string(), cause, "")
        }
        cause => Error::io(path, "write", &io::Error::other(cause)),
    }
}

/// The writer goes by position and trusts a schema without nulls.
fn check_batch(schema: &Schema, batch: &RecordBatch) -> Result<()> {
    let theirs = batch.schema_ref();
    if theirs.fields().len() != schema.fields().len() {
        return Err(Error::invalid(
            "batch",
            format!(
                "has {} columns, its sink {}",
                theirs.fields().len(),
                schema.fields().len()
            ),
            "",
        ));
    }
    let pairs = schema.fields().iter().zip(theirs.fields());
    for ((mine, theirs), column) in pairs.zip(batch.columns()) {
        let place = || format!("column `{}`", mine.name());
        if mine.name() != theirs.name() {
            let cause = format!("is `{}` in a batch", theirs.name());
            return Err(Error::invalid(place(), cause, ""));
        }
        if mine.data_type() != theirs.data_type() {
            let (mine, theirs) = (mine.data_type(), theirs.data_type());
            let cause = format!("is {theirs} in a batch and {mine} in its sink");
            return Err(Error::invalid(place(), cause, ""));
        }
        if !mine.is_nullable() && column.logical_null_count() > 0 {
            let remedy = "make it nullable in the sink's schema";
            return Err(Error::invalid(
                place(),
                "has nulls and may have none",
                remedy,
            ));
        }
    }
    Ok(())
}
