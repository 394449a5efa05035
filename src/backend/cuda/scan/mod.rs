//! Scans: partitions of Parquet files, decoded by kernels.
//!
//! Bytes go from the file through pinned slabs to the device (`transport`), page headers being read
//! as they pass; then all pages of the partition are decompressed and decoded by one launch per
//! kernel (`assemble`). Nothing comes back: row counts are the footers', and what is wrong with a
//! page is known when somebody waits for the stream. Codecs that no kernel knows are decompressed
//! by the host (`fetch`). Strings whose pages are all dictionary-encoded become codes of the
//! batches' one dictionary (`text`); other strings stay where they are, as views.

mod assemble;
mod fetch;
mod layout;
mod places;
mod text;
mod transport;

use std::ops::Range;
use std::thread;
use std::time::Instant;

use super::batch::CudaBatch;
use super::{RESERVE_PAUSE, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::DeviceRows;
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::metrics::names;
use crate::operators::Context;
use crate::storage::{Partition, ReadOptions, StoredChunk};
use crate::types::SchemaRef;

pub(super) use places::Places;

/// The batches of one partition: one, unless its rows are too many for a batch.
pub(super) struct Scan<'a> {
    shared: &'a Shared,
    context: &'a Context,
    options: &'a ReadOptions,
    schema: SchemaRef,
    columns: Vec<Vec<Vec<StoredChunk>>>,
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
        Ok(Scan {
            shared,
            context,
            options,
            schema: partition.schema(),
            columns: partition.stored()?,
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
        for &more in self.rows.get(start..).unwrap_or_default() {
            if more > ROWS_PER_BATCH_MAX {
                let cause =
                    format!("a row group has {more} rows; a batch has {ROWS_PER_BATCH_MAX}");
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

    fn read(&self, range: &Range<usize>) -> Result<Batch> {
        let launch = self.shared.launch_with_copies(self.context)?;
        let rows = self.rows[range.clone()].iter().sum();
        let mut fetch = fetch::Fetch::new(&launch, self.options);
        for (index, leaves) in self.columns.iter().enumerate() {
            let field = self.schema.field(index);
            let [chunks] = leaves.as_slice() else {
                return Err(layout::refused(field, "is nested"));
            };
            fetch.plan(field, &chunks[range.clone()])?;
        }
        let fetched = fetch.run()?;
        let started = Instant::now();
        let dictionary = self.shared.dictionary.get();
        let columns = assemble::assemble(self.shared, self.context, fetched, &dictionary, rows)?;
        let metrics = &self.context.metrics;
        metrics.add_duration(names::ASSEMBLE_NANOSECONDS, started.elapsed());
        metrics.add(names::SCAN_ROWS, rows);
        let rows = DeviceRows::known(rows);
        let batch = CudaBatch {
            columns,
            rows,
            dictionary,
        };
        Ok(batch.into_batch(SchemaRef::clone(&self.schema)))
    }

    /// Reads; where memory is short, waits for what others are about to free.
    fn read_or_wait(&self, range: &Range<usize>) -> Result<Batch> {
        let started = Instant::now();
        loop {
            match self.read(range) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Reservation { .. })
                        && started.elapsed() < self.options.reserve_timeout =>
                {
                    // What this stream itself has freed may still be queued on it.
                    let driver = self.shared.device.driver();
                    driver.stream_synchronize(self.context.stream)?;
                    thread::sleep(RESERVE_PAUSE);
                }
                other => return other,
            }
        }
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
