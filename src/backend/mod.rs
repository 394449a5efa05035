//! Who does the work: each backend turns an [`OperatorSpec`] into an [`Operator`] and moves
//! batches between the host and its own memory.
//!
//! The CPU backend is always compiled and is the specification of every operator. The CUDA
//! backend runs the kernels, over the NVIDIA driver or over the emulator. `cpu` may not name
//! anything of `cuda`, `kernels` or `device`.

#![forbid(unsafe_code)]

mod cast;
pub mod cpu;
#[cfg(any(feature = "cuda", feature = "simt"))]
pub mod cuda;
mod strings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::error::{ErrorKind, Result};
use crate::memory::{Batch, ParkedBatch, Tier, park_host, unpark_host};
use crate::metrics::StreamClock;
use crate::operators::{Context, Operator, OperatorSpec, StreamHandle};
use crate::storage::{KeyBits, Partition, ReadOptions};
use crate::types::SchemaRef;

/// Pause between two attempts to reserve device memory.
const RESERVE_PAUSE: Duration = Duration::from_millis(1);

/// Makes a batch; where memory is short, waits for what others are about to free, `free` being called
/// between two attempts.
fn when_there_is_room(
    timeout: Duration,
    free: impl Fn() -> Result<()>,
    attempt: impl Fn() -> Result<Batch>,
) -> Result<Batch> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error)
                if matches!(error.kind(), ErrorKind::Reservation { .. })
                    && started.elapsed() < timeout =>
            {
                free()?;
                std::thread::sleep(RESERVE_PAUSE);
            }
            other => return other,
        }
    }
}

/// Batches as they come, or the error that ends them.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Batch>> + Send + 'a>;

/// Makes operators, decodes files and moves batches.
pub trait Backend: Send + Sync {
    /// The name that options and error messages use: `cpu`, `cuda`, `simt`.
    fn name(&self) -> &'static str;

    /// Makes an operator.
    ///
    /// # Errors
    /// `Unsupported` if this backend has no such operator for these types.
    fn instantiate(&self, spec: &OperatorSpec) -> Result<Operator>;

    /// Answers whether a batch of this schema can be held.
    ///
    /// # Errors
    /// `Unsupported` naming the column that cannot.
    fn check_schema(&self, schema: &SchemaRef) -> Result<()>;

    /// Answers whether a scan can read columns of this schema: more than operators know, perhaps.
    ///
    /// # Errors
    /// `Unsupported` naming the column that it cannot.
    fn check_scan(&self, schema: &SchemaRef) -> Result<()> {
        self.check_schema(schema)
    }

    /// A stream for one worker, to be used by one thread at a time and given back.
    ///
    /// # Errors
    /// The device refuses.
    fn stream_create(&self) -> Result<StreamHandle>;

    /// Gives a stream back. Work still queued on it is finished first.
    fn stream_destroy(&self, stream: StreamHandle);

    /// Waits for everything queued on a stream, and reports what failed there.
    ///
    /// # Errors
    /// The first failure of a kernel or copy on the stream.
    fn synchronize(&self, stream: StreamHandle) -> Result<()>;

    /// The rows of a partition of Parquet files in the backend's memory, in order. After an error
    /// there are no more. A backend that does not decode files itself uploads what the host decodes.
    ///
    /// # Errors
    /// `Unsupported` for a column that the backend does not decode; later `Io`, `Corrupt`,
    /// `Reservation`. What a page has wrong may be told only when somebody waits for the stream.
    fn scan<'a>(
        &'a self,
        context: &'a Context,
        partition: &Partition,
        options: &'a ReadOptions,
    ) -> Result<Batches<'a>> {
        let batches = partition.read(options.clone());
        Ok(Box::new(batches.map(move |batch| {
            self.upload_or_wait(context, &batch?, options.reserve_timeout)
        })))
    }

    /// A batch that is going to wait, in no more memory than its rows need, where that is far less than it
    /// has. May wait for the stream, to hear how many rows there are.
    ///
    /// # Errors
    /// What failed on the stream; `Reservation`.
    fn trimmed(&self, _context: &Context, batch: Batch) -> Result<Batch> {
        Ok(batch)
    }

    /// Puts the values of a column of batches, which are where the backend's operators can read them, into
    /// a Bloom filter.
    ///
    /// # Errors
    /// Those of the batches; `InvalidInput` if the filter does not take such values; what failed on the
    /// stream; `Reservation`.
    fn key_bits(
        &self,
        context: &Context,
        column: usize,
        bits: KeyBits,
        batches: Batches<'_>,
    ) -> Result<KeyBits> {
        let mut bits = bits;
        for batch in batches {
            let rows = self.download(context, batch?)?;
            bits.insert(rows.column(column))?;
        }
        Ok(bits)
    }

    /// Uploads a batch; where memory is short, waits for what others are about to free.
    ///
    /// # Errors
    /// As [`Backend::upload`].
    fn upload_or_wait(
        &self,
        context: &Context,
        batch: &RecordBatch,
        timeout: Duration,
    ) -> Result<Batch> {
        // What this stream itself has freed may still be queued on it.
        let free = || self.synchronize(context.stream);
        when_there_is_room(timeout, free, || self.upload(context, batch.clone()))
    }

    /// Moves a host batch to the backend's memory, in stream order.
    ///
    /// # Errors
    /// `Reservation` if it does not fit, `Unsupported` for a type that the backend cannot hold.
    fn upload(&self, context: &Context, batch: RecordBatch) -> Result<Batch>;

    /// Where the backend's batches are.
    fn tier(&self) -> Tier {
        Tier::Host
    }

    /// Takes a batch off the backend's memory, in a layout that [`Backend::unpark`] reads.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy; `Reservation` for its bytes on the host.
    fn park(&self, context: &Context, batch: &Batch) -> Result<ParkedBatch> {
        Ok(park_host(&self.download(context, batch.clone())?))
    }

    /// As [`Backend::park`], into pinned memory that the backend reserves; nothing if there is no room
    /// for the batch, or if its memory is not reached faster from there.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    fn park_pinned(&self, context: &Context, batch: &Batch) -> Result<Option<ParkedBatch>> {
        let _unused = (context, batch);
        Ok(None)
    }

    /// Brings back what [`Backend::park`] or [`Backend::park_pinned`] took off.
    ///
    /// # Errors
    /// `Reservation` if it does not fit.
    fn unpark(&self, context: &Context, parked: &ParkedBatch) -> Result<Batch> {
        self.upload(context, unpark_host(parked)?)
    }

    /// A clock of the backend's streams, for one query; none where work is done when a call returns, so
    /// that the host's clock says it all.
    ///
    /// # Errors
    /// The device refuses.
    fn clock(&self) -> Result<Option<Arc<dyn StreamClock>>> {
        Ok(None)
    }

    /// Bytes a second that the backend's memory moves at most, where that is known.
    fn memory_bytes_per_second(&self) -> Option<u64> {
        None
    }

    /// Moves a batch to the host and waits for it.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    fn download(&self, context: &Context, batch: Batch) -> Result<RecordBatch>;
}
