//! Writes tables with all cores: row groups are encoded by whoever is free and appended in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use super::Layout;
use crate::failure::Failure;

/// What was written of a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Writes every file of every table below `folder`.
pub(super) fn write_all(
    folder: &Path,
    layouts: &[Layout],
    scale: f64,
    properties: &WriterPropertiesPtr,
    progress: &ProgressBar,
) -> Result<Vec<Written>, Failure> {
    let encoders: Vec<Encoder> = layouts
        .iter()
        .map(|layout| Encoder::new(layout, properties))
        .collect::<Result<_, _>>()?;
    let mut groups = Vec::new();
    let mut files = Vec::new();
    for (table, layout) in layouts.iter().enumerate() {
        for file in 0..layout.files {
            for group in 0..layout.groups_per_file {
                groups.push(Group {
                    table,
                    file: files.len(),
                    group,
                    part: file * layout.groups_per_file + group,
                });
            }
            files.push(Mutex::new(TableFile {
                table,
                path: folder.join(layout.file(file)),
                groups: layout.groups_per_file,
                next: 0,
                waiting: BTreeMap::new(),
                writer: None,
                written: Written::default(),
            }));
        }
    }

    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let schedule = Schedule::new(groups.len(), threads * 2);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(groups.len()) {
            scope.spawn(|| {
                while let Some(index) = schedule.next() {
                    let group = &groups[index];
                    let layout = &layouts[group.table];
                    let encoder = &encoders[group.table];
                    let outcome =
                        encoder
                            .encode(layout, scale, group, progress)
                            .and_then(|encoded| {
                                lock(&files[group.file]).append(group.group, encoded, encoder)
                            });
                    schedule.finished(index, outcome);
                }
            });
        }
    });
    schedule.into_outcome()?;

    let mut written = vec![Written::default(); layouts.len()];
    for file in files {
        let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        written[file.table].rows += file.written.rows;
        written[file.table].bytes += file.written.bytes;
    }
    Ok(written)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One row group to make.
struct Group {
    table: usize,
    file: usize,
    /// Its number in the file.
    group: u32,
    /// Its number in the table.
    part: u32,
}

/// Hands out work in order, but only so far ahead of the oldest unfinished piece.
struct Schedule {
    state: Mutex<ScheduleState>,
    changed: Condvar,
    count: usize,
    ahead_max: usize,
}

struct ScheduleState {
    next: usize,
    unfinished: std::collections::BTreeSet<usize>,
    outcome: Result<(), Failure>,
}

impl Schedule {
    fn new(count: usize, ahead_max: usize) -> Self {
        Schedule {
            state: Mutex::new(ScheduleState {
                next: 0,
                unfinished: std::collections::BTreeSet::new(),
                outcome: Ok(()),
            }),
            changed: Condvar::new(),
            count,
            ahead_max,
        }
    }

    /// The next piece of work; `None` when there is none left, or after a failure.
    fn next(&self) -> Option<usize> {
        let mut state = lock(&self.state);
        loop {
            if state.next == self.count || state.outcome.is_err() {
                return None;
            }
            let oldest = state.unfinished.first().copied().unwrap_or(state.next);
            if state.next < oldest + self.ahead_max {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let index = state.next;
        state.next += 1;
        state.unfinished.insert(index);
        Some(index)
    }

    fn finished(&self, index: usize, outcome: Result<(), Failure>) {
        let mut state = lock(&self.state);
        state.unfinished.remove(&index);
        if state.outcome.is_ok() {
            state.outcome = outcome;
        }
        self.changed.notify_all();
    }

    fn into_outcome(self) -> Result<(), Failure> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.outcome
    }
}

/// An encoded, compressed row group.
struct Encoded {
    rows: u64,
    columns: Vec<ArrowColumnChunk>,
}

/// Encodes the row groups of one table.
struct Encoder {
    factory: ArrowRowGroupWriterFactory,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
}

impl Encoder {
    fn new(layout: &Layout, properties: &WriterPropertiesPtr) -> Result<Self, Failure> {
        let schema = ArrowSchemaConverter::new()
            .convert(&layout.table.schema())
            .map_err(Failure::new)?
            .root_schema_ptr();
        // The factory wants a file only for its schema and properties.
        let nowhere =
            SerializedFileWriter::new(std::io::sink(), schema.clone(), Arc::clone(properties))
                .map_err(Failure::new)?;
        Ok(Encoder {
            factory: ArrowRowGroupWriterFactory::new(&nowhere, layout.table.schema()),
            schema,
            properties: Arc::clone(properties),
        })
    }

    fn encode(
        &self,
        layout: &Layout,
        scale: f64,
        group: &Group,
        progress: &ProgressBar,
    ) -> Result<Encoded, Failure> {
        let table = layout.table;
        let failed = |cause: ParquetError| {
            Failure::new(format_args!(
                "{} part {}: {cause}",
                table.name(),
                group.part
            ))
        };
        let index = usize::try_from(group.group).unwrap_or(usize::MAX);
        let mut columns = self.factory.create_column_writers(index).map_err(failed)?;
        let mut rows = 0;
        let [part, parts] = [group.part, layout.parts()].map(|n| i32::try_from(n).unwrap_or(1));
        for batch in table.batches(scale, part, parts) {
            let batch = batch.map_err(|cause| failed(cause.into()))?;
            let mut writers = columns.iter_mut();
            for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, array).map_err(failed)? {
                    if let Some(writer) = writers.next() {
                        writer.write(&leaf).map_err(failed)?;
                    }
                }
            }
            rows += batch.num_rows() as u64;
            progress.inc(batch.num_rows() as u64);
        }
        let columns = columns
            .into_iter()
            .map(|column| column.close().map_err(failed))
            .collect::<Result<_, _>>()?;
        Ok(Encoded { rows, columns })
    }
}

/// A file that takes its row groups in order.
struct TableFile {
    table: usize,
    path: std::path::PathBuf,
    groups: u32,
    next: u32,
    waiting: BTreeMap<u32, Encoded>,
    writer: Option<SerializedFileWriter<BufWriter<File>>>,
    written: Written,
}

impl TableFile {
    /// Takes a row group; it is written once all before it are.
    fn append(&mut self, group: u32, encoded: Encoded, encoder: &Encoder) -> Result<(), Failure> {
        self.waiting.insert(group, encoded);
        while let Some(encoded) = self.waiting.remove(&self.next) {
            self.write(encoded, encoder)
                .map_err(|cause| Failure::path("write", &self.path, cause))?;
            self.next += 1;
        }
        if self.next == self.groups
            && let Some(writer) = self.writer.take()
        {
            self.close(writer)
                .map_err(|cause| Failure::path("write", &self.path, cause))?;
        }
        Ok(())
    }

    fn write(&mut self, encoded: Encoded, encoder: &Encoder) -> Result<(), ParquetError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(SerializedFileWriter::new(
                BufWriter::with_capacity(1 << 20, File::create_new(&self.path)?),
                encoder.schema.clone(),
                Arc::clone(&encoder.properties),
            )?),
        };
        let mut group = writer.next_row_group()?;
        for column in encoded.columns {
            column.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.written.rows += encoded.rows;
        Ok(())
    }

    fn close(&mut self, writer: SerializedFileWriter<BufWriter<File>>) -> Result<(), ParquetError> {
        let file = writer
            .into_inner()?
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        self.written.bytes += file.metadata()?.len();
        Ok(())
    }
}
