//! Scans: partitions of Parquet files, decoded by kernels.
//!
//! Bytes go from the file through pinned slabs to the device (`transport`), page headers being read
//! as they pass; then all pages of the partition are decompressed and decoded by one launch per
//! kernel (`assemble`). Nothing comes back: row counts are the footers', and what is wrong with a
//! page is known when somebody waits for the stream. Codecs that no kernel knows are decompressed
//! by the host (`fetch`). Strings whose pages are all dictionary-encoded become codes of the
//! batches' one dictionary (`text`); other strings stay where they are, as views. Leaves of nested
//! columns are decoded like flat columns, a value per level entry, and keep their levels.

mod assemble;
mod fetch;
mod layout;
mod places;
mod text;
mod transport;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::batch::CudaBatch;
use super::nested::{NestedColumn, NestedLeaf, NestedLevels, NestedPart, NestedValues};
use super::{Shared, when_there_is_room};
use crate::error::{Error, Result};
use crate::kernels::DeviceRows;
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::metrics::names;
use crate::operators::Context;
use crate::storage::{NestedShape, Partition, ReadOptions, StoredChunk};
use crate::types::SchemaRef;

use assemble::Decoded;

pub(super) use places::Places;

/// The batches of one partition: one, unless its rows are too many for a batch.
pub(super) struct Scan<'a> {
    shared: &'a Shared,
    context: &'a Context,
    options: &'a ReadOptions,
    schema: SchemaRef,
    columns: Vec<Vec<Vec<StoredChunk>>>,
    /// For each column that is nested: how its rows are put together, in each row group.
    shapes: Vec<Option<Vec<Arc<NestedShape>>>>,
    /// Rows of each row group.
    rows: Vec<u64>,
    next: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        context: &'a Context,
        partition: &Partition,
        options: &'a ReadOptions,
    ) -> Result<Self> {
        let schema = partition.schema();
        let mut shapes = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            if !field.data_type().is_nested() {
                shapes.push(None);
                continue;
            }
            let found: Option<Vec<_>> = partition.nested_shapes(column)?.into_iter().collect();
            let unknown = || layout::refused(field, "has other levels than its type asks for");
            shapes.push(Some(found.ok_or_else(unknown)?));
        }
        Ok(Scan {
            shared,
            context,
            options,
            schema,
            columns: partition.stored()?,
            shapes,
            rows: partition
                .row_groups()
                .iter()
                .map(|group| group.rows)
                .collect(),
            next: 0,
        })
    }

    /// The row groups of the next batch.
    fn range(&self) -> Result<Option<Range<usize>>> {
        let start = self.next;
        let mut end = start;
        let mut rows = 0u64;
        for row_group in start..self.rows.len() {
            let more = self.entries(row_group)?;
            if more > ROWS_PER_BATCH_MAX {
                let cause = format!(
                    "a row group has {more} rows (or values of a nested column); a batch has \
                     {ROWS_PER_BATCH_MAX}"
                );
                let remedy = "write the file with smaller row groups";
                return Err(Error::invalid("scan", cause, remedy));
            }
            if rows + more > ROWS_PER_BATCH_MAX {
                break;
            }
            rows += more;
            end += 1;
        }
        Ok((end > start).then_some(start..end))
    }

    /// Rows of a row group, or level entries of a nested column that has more.
    fn entries(&self, row_group: usize) -> Result<u64> {
        let mut most = self.rows.get(row_group).copied().unwrap_or(0);
        for (leaves, shape) in self.columns.iter().zip(&self.shapes) {
            for stored in leaves.iter().filter_map(|chunks| chunks.get(row_group)) {
                if shape.is_some() {
                    most = most.max(stored.chunk()?.facts().value_count);
                }
            }
        }
        Ok(most)
    }

    fn read(&self, range: &Range<usize>) -> Result<Batch> {
        let launch = self.shared.launch_with_copies(self.context)?;
        let rows = self.rows[range.clone()].iter().sum();
        let mut fetch = fetch::Fetch::new(&launch, self.options);
        for (index, leaves) in self.columns.iter().enumerate() {
            let field = self.schema.field(index);
            if let Some(shape) = self.shape(index, range.start) {
                for (leaf, chunks) in shape.leaves.iter().zip(leaves) {
                    fetch.plan(leaf, true, &chunks[range.clone()])?;
                }
                continue;
            }
            let [chunks] = leaves.as_slice() else {
                return Err(layout::refused(field, "is nested"));
            };
            fetch.plan(field, false, &chunks[range.clone()])?;
        }
        let fetched = fetch.run()?;
        let started = Instant::now();
        let dictionary = self.shared.dictionary.get();
        let decoded = assemble::assemble(self.shared, self.context, fetched, &dictionary, rows)?;
        let metrics = &self.context.metrics;
        metrics.add_duration(names::ASSEMBLE_NANOSECONDS, started.elapsed());
        metrics.add(names::SCAN_ROWS, rows);
        let (mut columns, mut nested) = (Vec::new(), Vec::new());
        let mut decoded = decoded.into_iter();
        for index in 0..self.columns.len() {
            match self.shape(index, range.start) {
                Some(shape) => {
                    let leaves: Vec<Decoded> = decoded.by_ref().take(shape.leaves.len()).collect();
                    nested.push(self.nested_column(index, shape, leaves, range)?);
                }
                None => columns.extend(decoded.next().map(|decoded| decoded.column)),
            }
        }
        let rows = DeviceRows::known(rows);
        let batch = CudaBatch {
            columns,
            nested,
            rows,
            dictionary,
        };
        Ok(batch.into_batch(SchemaRef::clone(&self.schema)))
    }

    /// How the rows of a nested column are put together in a row group; none for a flat column.
    fn shape(&self, column: usize, row_group: usize) -> Option<&Arc<NestedShape>> {
        self.shapes.get(column)?.as_ref()?.get(row_group)
    }

    /// A nested column of the row groups of a batch, by its decoded leaves.
    fn nested_column(
        &self,
        column: usize,
        shape: &NestedShape,
        leaves: Vec<Decoded>,
        range: &Range<usize>,
    ) -> Result<NestedColumn> {
        let fields = shape.leaves.iter().cloned();
        let leaves = fields.zip(leaves).filter_map(|(field, decoded)| {
            let column = decoded.column;
            let (definition, repetition) = decoded.levels?;
            Some(NestedLeaf {
                field,
                column,
                definition,
                repetition,
            })
        });
        let mut parts = Vec::with_capacity(range.len());
        for row_group in range.clone() {
            let Some(shape) = self.shape(column, row_group) else {
                continue; // there is one for every row group
            };
            let chunks = self.columns[column].iter();
            let chunks: Vec<StoredChunk> = chunks
                .filter_map(|chunks| chunks.get(row_group).cloned())
                .collect();
            parts.push(NestedPart::new(Arc::clone(shape), chunks)?);
        }
        let leaves = leaves.collect();
        Ok(NestedColumn {
            place: column,
            values: NestedValues::Levels(NestedLevels { leaves, parts }),
        })
    }

    /// Reads; where memory is short, waits for what others are about to free.
    fn read_or_wait(&self, range: &Range<usize>) -> Result<Batch> {
        let driver = self.shared.device.driver();
        // What this stream itself has freed may still be queued on it.
        let free = || driver.stream_synchronize(self.context.stream);
        when_there_is_room(self.options.reserve_timeout, free, || self.read(range))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let started = Instant::now();
        let range = match self.range() {
            Ok(range) => range?,
            Err(error) => {
                self.next = self.rows.len();
                return Some(Err(error));
            }
        };
        let batch = self.read_or_wait(&range);
        self.next = if batch.is_ok() {
            range.end
        } else {
            self.rows.len()
        };
        let metrics = &self.context.metrics;
        metrics.add_duration(names::DECODE_NANOSECONDS, started.elapsed());
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Every row group that is left may be a batch of its own.
        (0, Some(self.rows.len() - self.next))
    }
}
