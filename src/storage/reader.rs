//! The rows of a partition, decoded on the host; those without a key that is asked for are dropped as soon
//! as they are decoded.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataBuilder;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::ParquetFile;
use super::chunk::ColumnChunk;
use super::guard::guard;
use super::key_filter::filtered;
use super::late::LateMode;
use super::masked::masked;
use super::opened::OpenedFile;
use super::partition::{RowGroup, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{MemoryManager, Reservation, Tier};
use crate::metrics::{Metrics, names};
use crate::types::{DataType, is_string};

/// Bytes of one decoded batch, as footer and page headers let us estimate: below what 32-bit string offsets
/// reach.
const BATCH_BYTES_MAX: u64 = 1 << 30;

/// Pause between two attempts to reserve memory.
const RESERVE_PAUSE: Duration = Duration::from_millis(1);

/// How a partition is read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Most rows of a batch.
    pub batch_rows: u64,
    /// Who counts the bytes of column chunks while they are decoded.
    pub memory: Arc<MemoryManager>,
    /// How long to wait for these bytes.
    pub reserve_timeout: Duration,
    /// Whether pages that the host decompresses are compared with their checksums, where they have
    /// any.
    pub check_crc: bool,
    /// Whether pages that pass to a device as they are stored are compared too.
    pub check_crc_device: bool,
    /// When a device decodes late.
    pub late: LateMode,
    /// The query's counters.
    pub metrics: Arc<Metrics>,
}

impl ReadOptions {
    /// Batches of this many rows, with no limit of memory and counters of their own.
    pub fn detached(batch_rows: u64) -> Self {
        ReadOptions {
            batch_rows,
            memory: MemoryManager::new(crate::memory::MemoryLimits::UNLIMITED),
            reserve_timeout: Duration::ZERO,
            check_crc: true,
            check_crc_device: true,
            late: LateMode::default(),
            metrics: Arc::default(),
        }
    }
}

/// Gives the rows of a partition in order, in batches of at most so many rows. Row groups smaller
/// than a batch are fused, as long as their bytes are few. After an error it ends.
pub struct PartitionReader {
    shape: Arc<Shape>,
    options: ReadOptions,
    coming: VecDeque<RowGroup>,
    open: Option<OpenRowGroup>,
    /// Batches that wait for more, together smaller than a batch may be.
    waiting: Vec<RecordBatch>,
    waiting_rows: u64,
    waiting_bytes: u64,
    file: Option<(usize, OpenedFile)>,
}

struct OpenRowGroup {
    reader: ParquetRecordBatchReader,
    row_group: RowGroup,
    /// Column of the decoded batch for each column of the schema.
    order: Vec<usize>,
    rows_read: u64,
    /// Columns of the schema whose strings the decoder leaves to us to check.
    unchecked_text: Vec<usize>,
    /// For the column chunks, and for the pages that are held while they are decoded.
    _held: [Reservation; 2],
}

impl Iterator for PartitionReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let started = Instant::now();
        let batch = self.advance();
        let metrics = &self.options.metrics;
        metrics.add_duration(names::DECODE_NANOSECONDS, started.elapsed());
        match batch {
            Ok(Some(batch)) => {
                let decoded = batch.get_array_memory_size() as u64;
                metrics.add(names::SCAN_DECODED_BYTES, decoded);
                Some(Ok(batch))
            }
            Ok(None) => None,
            Err(error) => {
                self.coming.clear();
                self.open = None;
                self.waiting.clear();
                self.waiting_rows = 0;
                self.waiting_bytes = 0;
                Some(Err(error))
            }
        }
    }
}

impl PartitionReader {
    pub(super) fn new(shape: Arc<Shape>, row_groups: Vec<RowGroup>, options: ReadOptions) -> Self {
        PartitionReader {
            shape,
            options,
            coming: row_groups.into(),
            open: None,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            file: None,
        }
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(batch) = self.decode()? else {
                return self.flush();
            };
            let rows = batch.num_rows() as u64;
            let bytes = batch.get_array_memory_size() as u64;
            let full = self.waiting_rows + rows > self.options.batch_rows
                || self.waiting_bytes + bytes > BATCH_BYTES_MAX;
            let fused = if full { self.flush()? } else { None };
            self.waiting.push(batch);
            self.waiting_rows += rows;
            self.waiting_bytes += bytes;
            if fused.is_some() {
                return Ok(fused);
            }
            if self.waiting_rows >= self.options.batch_rows {
                return self.flush();
            }
        }
    }

    /// What waits, as one batch.
    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        if waiting.len() <= 1 {
            return Ok(waiting.into_iter().next());
        }
        let fused = concat_batches(&self.shape.schema, &waiting);
        fused.map(Some).map_err(|cause| {
            let remedy = "lower `max_rows_per_partition`";
            Error::invalid("scan", format!("cannot fuse row groups: {cause}"), remedy)
        })
    }

    /// The next batch of the next row group.
    fn decode(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => match self.coming.pop_front() {
                    Some(row_group) => self.open(row_group)?,
                    None => return Ok(None),
                },
            };
            let row_group = &open.row_group;
            let path = self.shape.file(row_group.file)?.path();
            let place = format!("row group {}", row_group.row_group);
            let decoded = guard(path, place.as_str(), || {
                open.reader.next().transpose().map_err(unwrapped)
            })?;
            let Some(decoded) = decoded else {
                let says = row_group.rows_in_ranges();
                if open.rows_read != says {
                    let have = open.rows_read;
                    let cause = format!("has {have} rows, its footer says {says}");
                    return Err(Error::corrupt(path, place, cause));
                }
                continue;
            };
            open.rows_read += decoded.num_rows() as u64;
            let metrics = &self.options.metrics;
            metrics.add(names::SCAN_ROWS, decoded.num_rows() as u64);
            let batch = ordered(&self.shape, &open.order, &decoded)
                .and_then(|batch| check_text(&batch, &open.unchecked_text).map(|()| batch))
                .map_err(|cause| Error::corrupt(path, place, cause))?;
            self.open = Some(open);
            let rows = batch.num_rows();
            let kept = filtered(&self.shape.filters, &self.shape.projection, batch, metrics)?;
            if rows > 0 && kept.num_rows() == 0 {
                continue;
            }
            return Ok(Some(kept));
        }
    }

    fn open(&mut self, row_group: RowGroup) -> Result<OpenRowGroup> {
        let shape = Arc::clone(&self.shape);
        let opened = shape.file(row_group.file)?;
        let place = format!("row group {}", row_group.row_group);
        let chunks = chunks_of(&shape, &row_group)?;
        let sizes = chunks.iter().map(|chunk| chunk.facts().bytes);
        let bytes = sizes.fold(0, u64::saturating_add);
        if bytes > opened.bytes() {
            let cause = format!("its column chunks of {bytes} bytes overlap");
            return Err(Error::corrupt(opened.path(), place, cause));
        }
        let chunks_held = self.reserve(bytes)?;
        let fetched = self.fetch(row_group.file, &chunks)?;
        self.options.metrics.add(names::SCAN_BYTES, bytes);
        let (mut held, mut decoded) = (0u64, 0u64);
        let leaves = shape.leaves(row_group.file)?;
        let mut unchecked_leaves = Vec::new();
        for ((chunk, bytes), &leaf) in chunks.iter().zip(&fetched).zip(&leaves) {
            let pages = chunk.check(bytes, self.options.check_crc)?;
            if let Some(bytes_inflated) = pages.split {
                let _held = self.reserve(bytes_inflated)?;
                chunk.check_split(bytes)?;
            }
            if chunk.leaves_text_unchecked(&pages) {
                unchecked_leaves.push(leaf);
            }
            held = held.saturating_add(pages.held);
            decoded = decoded.saturating_add(pages.decoded);
        }
        let pages_held = self.reserve(held)?;
        let chunks = ColumnChunks::new(&chunks, fetched, opened.bytes());

        let columns = shape.file_columns(row_group.file);
        let unchecked = |column: &usize| {
            let mut leaves = opened.leaves_of(*column).iter();
            leaves.any(|leaf| unchecked_leaves.contains(leaf))
        };
        let unchecked_text = columns.iter().enumerate();
        let unchecked_text = unchecked_text
            .filter(|(_, column)| unchecked(column))
            .map(|(index, _)| index)
            .collect();
        let mut in_file_order = columns.clone();
        in_file_order.sort_unstable();
        let place_of = |column: &usize| in_file_order.binary_search(column).unwrap_or(0);
        let order = columns.iter().map(place_of).collect();
        let rows = self.batch_rows(&row_group, decoded);
        let mask = shape.mask(row_group.file)?;
        let reader = guard(opened.path(), place, || {
            let (footer, index) = footer_of(opened, &row_group, &leaves)?;
            // By selectors no page is looked for of which no row is selected.
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, footer)
                .with_projection(mask)
                .with_row_groups(vec![index])
                .with_row_selection_policy(RowSelectionPolicy::Selectors)
                .with_batch_size(rows);
            match selection(&row_group) {
                Some(selection) => reader.with_row_selection(selection).build(),
                None => reader.build(),
            }
        })?;
        Ok(OpenRowGroup {
            reader,
            row_group,
            order,
            rows_read: 0,
            unchecked_text,
            _held: [chunks_held, pages_held],
        })
    }

    fn batch_rows(&self, row_group: &RowGroup, decoded: u64) -> usize {
        let read = match &row_group.pages {
            Some(_) => row_group.rows_in_ranges(),
            None => row_group.rows,
        };
        let row_bytes = (decoded.max(row_group.bytes) / read.max(1)).max(1);
        let rows = self.options.batch_rows;
        let rows = rows.min((BATCH_BYTES_MAX / row_bytes).max(1)).min(read);
        usize::try_from(rows.max(1)).unwrap_or(usize::MAX)
    }

    fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let started = Instant::now();
        loop {
            match self.options.memory.reserve_with_spilling(Tier::Host, bytes) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Reservation { .. })
                        && started.elapsed() < self.options.reserve_timeout =>
                {
                    std::thread::sleep(RESERVE_PAUSE);
                }
                other => return other.map_err(|error| error.context("scan")),
            }
        }
    }

    /// The bytes of the column chunks, in their order.
    fn fetch(&mut self, file: usize, chunks: &[ColumnChunk<'_>]) -> Result<Vec<Bytes>> {
        let handle = match self.file.take() {
            Some((open, handle)) if open == file => handle,
            _ => self.shape.file(file)?.reopen()?,
        };
        let (_, handle) = self.file.insert((file, handle));
        handle.read_joined(&chunks.iter().map(ColumnChunk::ranges).collect::<Vec<_>>())
    }
}

/// The column chunks of a row group that are read.
fn chunks_of<'s>(shape: &'s Shape, row_group: &RowGroup) -> Result<Vec<ColumnChunk<'s>>> {
    let file = shape.file(row_group.file)?;
    let leaves = shape.leaves(row_group.file)?.into_iter().enumerate();
    let chunks = leaves.map(|(place, leaf)| {
        let whole = file.chunk(row_group.row_group, leaf)?;
        Ok(match row_group.selected(place) {
            Some(selected) => whole.of_pages(Arc::new(selected)),
            None => whole,
        })
    });
    chunks.collect()
}

/// The footer that a row group is decoded by, and its index in there: where its pages are known, one
/// of this row group alone that has their places, so that the decoder does not look for the others.
fn footer_of(
    file: &ParquetFile,
    row_group: &RowGroup,
    leaves: &[usize],
) -> parquet::errors::Result<(ArrowReaderMetadata, usize)> {
    let Some(pages) = &row_group.pages else {
        return Ok((file.footer().clone(), row_group.row_group));
    };
    let group = file.row_group(row_group.row_group).clone();
    let none = OffsetIndexMetaData {
        page_locations: Vec::new(),
        unencoded_byte_array_data_bytes: None,
    };
    let mut index = vec![none; group.num_columns()];
    for (leaf, pages) in leaves.iter().zip(pages.iter()) {
        if let Some(place) = index.get_mut(*leaf) {
            *place = pages.locations();
        }
    }
    let about_file = file.footer().metadata().file_metadata().clone();
    let footer = ParquetMetaDataBuilder::new(about_file)
        .add_row_group(group)
        .set_offset_index(Some(vec![index]))
        .build();
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(file.schema()));
    Ok((ArrowReaderMetadata::try_new(Arc::new(footer), options)?, 0))
}

/// The rows of a row group that are decoded; `None` for all.
fn selection(row_group: &RowGroup) -> Option<RowSelection> {
    let index = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    let ranges = row_group.ranges.as_ref()?.iter();
    let ranges = ranges.map(|range| index(range.start)..index(range.end));
    let rows = index(row_group.rows);
    Some(RowSelection::from_consecutive_ranges(ranges, rows))
}

/// The decoder's error without Arrow's wrapping, which hides what is only not known yet.
fn unwrapped(cause: ArrowError) -> ParquetError {
    match cause {
        ArrowError::NotYetImplemented(cause) => ParquetError::NYI(cause),
        other => ParquetError::from(other),
    }
}

/// The columns in the schema's order and with the schema's fields.
fn ordered(
    shape: &Shape,
    order: &[usize],
    decoded: &RecordBatch,
) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = decoded.columns();
    let columns = order
        .iter()
        .filter_map(|&place| columns.get(place).map(masked));
    let options = RecordBatchOptions::new().with_row_count(Some(decoded.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(&shape.schema), columns.collect(), &options)
}

/// Checks that the strings of these columns, nested ones too, are UTF-8.
fn check_text(batch: &RecordBatch, columns: &[usize]) -> std::result::Result<(), ArrowError> {
    let columns = columns
        .iter()
        .filter_map(|&index| batch.columns().get(index));
    let holds_text = |data_type: &DataType| data_type.is_nested() || is_string(data_type);
    columns
        .filter(|column| holds_text(column.data_type()))
        .try_for_each(|column| column.to_data().validate_full())
}

/// The column chunks of one row group, at their offsets in the file.
struct ColumnChunks {
    /// Start and bytes of what was fetched without a gap, sorted by start.
    parts: Vec<(u64, Bytes)>,
    file_bytes: u64,
}

impl ColumnChunks {
    fn new(chunks: &[ColumnChunk<'_>], fetched: Vec<Bytes>, file_bytes: u64) -> Self {
        let mut parts = Vec::with_capacity(chunks.len());
        for (chunk, mut bytes) in chunks.iter().zip(fetched) {
            for range in chunk.ranges() {
                let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                parts.push((range.start, bytes.split_to(length.min(bytes.len()))));
            }
        }
        parts.sort_by_key(|(start, _)| *start);
        ColumnChunks { parts, file_bytes }
    }

    /// The fetched bytes from `start` to the next gap.
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let after = self.parts.partition_point(|(part, _)| *part <= start);
        let found = after.checked_sub(1).and_then(|index| {
            let (part, bytes) = self.parts.get(index)?;
            let skipped = usize::try_from(start - part).ok()?;
            (skipped <= bytes.len()).then(|| bytes.slice(skipped..))
        });
        found.ok_or_else(|| {
            ParquetError::EOF(format!(
                "a page at {start} lies outside of its column chunk"
            ))
        })
    }
}

impl Length for ColumnChunks {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for ColumnChunks {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Cursor<Bytes>> {
        Ok(Cursor::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF(format!(
                "a page of {length} bytes at {start} ends outside of its column chunk"
            )));
        }
        Ok(bytes.slice(..length))
    }
}
