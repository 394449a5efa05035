//! Scans: partitions of Parquet files, decoded by kernels.
//!
//! Bytes go from the file through pinned slabs to the device (`transport`), page headers being read
//! as they pass, unless an earlier scan left them there (`cache`); then all pages of the partition are decompressed and decoded by one launch per
//! kernel (`assemble`). Nothing comes back: row counts are the footers', and what is wrong with a
//! page is known when somebody waits for the stream. Pages without a row that is wanted are not read
//! where the page index says where they lie; then a gather brings the columns together (`rows`). Where a
//! predicate, or a filter by keys (`filters`), leaves few rows, its columns are decoded before the others
//! (`late`). Codecs that no kernel knows are decompressed
//! by the host (`fetch`). Strings whose pages are all dictionary-encoded become codes of the
//! batches' one dictionary (`text`); other strings stay where they are, as views. Leaves of nested
//! columns are decoded like flat columns, a value per level entry, and keep their levels.

mod assemble;
mod cache;
mod fetch;
mod filters;
mod late;
mod layout;
mod places;
mod rows;
mod text;
mod transport;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::nested::{NestedColumn, NestedLeaf, NestedLevels, NestedPart, NestedValues};
use super::{Shared, when_there_is_room};
use crate::error::{Error, Result};
use crate::kernels::page::RowPieces;
use crate::kernels::{DeviceColumn, DeviceRows, Launch};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::metrics::names;
use crate::operators::Context;
use crate::storage::{NestedShape, Partition, ReadOptions, StoredChunk};
use crate::types::SchemaRef;

use assemble::Decoded;
use fetch::{Caching, Fetch, FetchedColumn};
use late::Late;
use rows::GroupRows;

pub(super) use cache::ColumnCache;
pub(super) use places::Places;

/// Flat columns by their place in the scan, with their chunks in the row groups of a batch.
type ChunksOf = Vec<(usize, Vec<StoredChunk>)>;

/// The batches of one partition: one, unless its rows are too many for a batch.
pub(super) struct Scan<'a> {
    shared: &'a Shared,
    context: &'a Context,
    options: &'a ReadOptions,
    schema: SchemaRef,
    partition: Partition,
    columns: Vec<Vec<Vec<StoredChunk>>>,
    /// What can be decoded late; nothing next to nested columns.
    late: Option<Late>,
    /// For each column that is nested: how its rows are put together, in each row group.
    shapes: Vec<Option<Vec<Arc<NestedShape>>>>,
    /// The rows of each row group that come out.
    rows: Vec<GroupRows>,
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
        let nested = shapes.iter().any(Option::is_some);
        let rows = partition.row_groups().iter().map(|group| match nested {
            true => GroupRows::all(group.rows),
            false => GroupRows::wanted(group),
        });
        Ok(Scan {
            shared,
            context,
            options,
            schema,
            partition: partition.clone(),
            columns: partition.stored()?,
            late: Late::of(partition).filter(|_| !nested),
            shapes,
            rows: rows.collect(),
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

    /// Rows of a row group, of the pages of a column, or level entries of a nested one: the most.
    fn entries(&self, row_group: usize) -> Result<u64> {
        let mut most = self.rows.get(row_group).map_or(0, GroupRows::count);
        let leaves = self.columns.iter().flatten();
        for stored in leaves.filter_map(|chunks| chunks.get(row_group)) {
            most = most.max(stored.chunk()?.facts().value_count);
        }
        Ok(most)
    }

    /// The chunks of flat columns in the row groups of a batch, each with the place of its column.
    fn chunks_of(&self, places: &[usize], range: &Range<usize>) -> Result<ChunksOf> {
        let of_column = |place: &usize| match self.columns[*place].as_slice() {
            [chunks] => Ok((*place, chunks[range.clone()].to_vec())),
            _ => Err(layout::refused(self.schema.field(*place), "is nested")),
        };
        places.iter().map(of_column).collect()
    }

    /// What reads chunks that the column cache does not have.
    fn begin_fetch<'f>(&'f self, launch: &'f Launch<'f>) -> Fetch<'f> {
        let caching = self.shared.column_cache.as_deref().map(|cache| Caching {
            cache,
            counts: self.partition.cache_counts(),
        });
        Fetch::new(launch, self.options, caching)
    }

    /// Reads chunks of flat columns.
    fn fetch(&self, launch: &Launch, columns: &ChunksOf) -> Result<Vec<FetchedColumn>> {
        let mut fetch = self.begin_fetch(launch);
        for (place, chunks) in columns {
            fetch.plan(self.schema.field(*place), false, chunks)?;
        }
        fetch.run()
    }

    fn read(&self, range: &Range<usize>) -> Result<Batch> {
        let launch = self.shared.launch_with_copies(self.context)?;
        let dictionary = self.shared.dictionary.get();
        let late = self.late.as_ref();
        let late = late.filter(|late| late.is_worth_while(&self.partition));
        let batch = match late.filter(|_| self.partition.late().begin(self.options.late)) {
            Some(late) => {
                let (columns, rows) = late::read(self, &launch, late, range, &dictionary)?;
                CudaBatch::flat(columns, DeviceRows::known(rows), dictionary)
            }
            None => {
                let batch = self.read_all(&launch, range, dictionary)?;
                filters::filtered(self, &launch, batch)?
            }
        };
        let rows = self.rows[range.clone()].iter().map(GroupRows::count);
        self.context.metrics.add(names::SCAN_ROWS, rows.sum());
        Ok(batch.into_batch(SchemaRef::clone(&self.schema)))
    }

    /// Reads all columns at one time.
    fn read_all(
        &self,
        launch: &Launch,
        range: &Range<usize>,
        dictionary: Arc<Dictionary>,
    ) -> Result<CudaBatch> {
        let mut fetch = self.begin_fetch(launch);
        for (index, leaves) in self.columns.iter().enumerate() {
            match self.shape(index, range.start) {
                Some(shape) => {
                    for (leaf, chunks) in shape.leaves.iter().zip(leaves) {
                        fetch.plan(leaf, true, &chunks[range.clone()])?;
                    }
                }
                None => {
                    for (_, chunks) in self.chunks_of(&[index], range)? {
                        fetch.plan(self.schema.field(index), false, &chunks)?;
                    }
                }
            }
        }
        let decoded = self.decode(fetch.run()?, &dictionary)?;
        let (mut columns, mut nested) = (Vec::new(), Vec::new());
        let mut decoded = decoded.into_iter();
        for index in 0..self.columns.len() {
            match self.shape(index, range.start) {
                Some(shape) => {
                    let leaves: Vec<Decoded> = decoded.by_ref().take(shape.leaves.len()).collect();
                    nested.push(self.nested_column(index, shape, leaves, range)?);
                }
                None => columns.extend(decoded.next()),
            }
        }
        let groups = &self.rows[range.clone()];
        Ok(CudaBatch {
            columns: self.aligned(launch, groups, columns, nested.is_empty())?,
            nested,
            rows: DeviceRows::known(groups.iter().map(GroupRows::count).sum()),
            dictionary,
        })
    }

    fn decode(&self, fetched: Vec<FetchedColumn>, dictionary: &Dictionary) -> Result<Vec<Decoded>> {
        let started = Instant::now();
        let decoded = assemble::assemble(self.shared, self.context, fetched, dictionary)?;
        let metrics = &self.context.metrics;
        metrics.add_duration(names::ASSEMBLE_NANOSECONDS, started.elapsed());
        Ok(decoded)
    }

    /// The flat columns with the rows that come out. Next to nested ones these are all rows.
    fn aligned(
        &self,
        launch: &Launch,
        groups: &[GroupRows],
        columns: Vec<Decoded>,
        flat: bool,
    ) -> Result<Vec<DeviceColumn>> {
        let columns = columns.into_iter().map(|decoded| {
            let pieces = match flat {
                true => rows::pieces(groups, &decoded.pages)?,
                false => RowPieces::default(),
            };
            Ok((decoded.column, pieces))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = groups.iter().map(GroupRows::count).sum();
        let watch = |status| self.shared.watch(self.context.stream, status);
        rows::align(launch, None, rows, &columns, watch)
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
