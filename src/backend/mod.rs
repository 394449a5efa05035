//! Who does the work: each backend turns an [`OperatorSpec`] into an [`Operator`] and moves
//! batches between the host and its own memory.
//!
//! The CPU backend is always compiled and is the specification of every operator. The CUDA
//! backend runs the kernels, over the NVIDIA driver or over the emulator. `cpu` may not name
//! anything of `cuda`, `kernels` or `device`.

#![forbid(unsafe_code)]

pub mod cpu;
#[cfg(any(feature = "cuda", feature = "simt"))]
pub mod cuda;

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::memory::Batch;
use crate::operators::{Context, Operator, OperatorSpec, StreamHandle};
use crate::types::SchemaRef;

/// Makes operators and moves batches.
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

    /// Moves a host batch to the backend's memory, in stream order.
    ///
    /// # Errors
    /// `Reservation` if it does not fit, `Unsupported` for a type that the backend cannot hold.
    fn upload(&self, context: &Context, batch: RecordBatch) -> Result<Batch>;

    /// Moves a batch to the host and waits for it.
    ///
    /// # Errors
    /// What failed on the stream before, or the copy.
    fn download(&self, context: &Context, batch: Batch) -> Result<RecordBatch>;
}
