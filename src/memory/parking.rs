//! How a backend takes a batch off its memory as plain bytes, and brings it back.

#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::buffer::Buffer;
use bytes::Bytes;

use super::{Batch, Tier};
use crate::error::Result;
use crate::types::SchemaRef;

/// A batch as bytes in host memory, in its backend's own layout.
#[derive(Clone)]
pub struct ParkedBatch {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// Upper bound of the rows.
    pub rows: u64,
    /// What can be written down, and is read again with an address that is a multiple of 64.
    pub sections: Vec<Bytes>,
    /// Where the sections are: `Host`, counted by whoever holds them, or `Pinned`, which they count
    /// themselves.
    pub tier: Tier,
    /// What the sections mean; stays in memory. For the backend's own downcast.
    pub layout: Arc<dyn Any + Send + Sync>,
}

impl ParkedBatch {
    /// Bytes of all sections.
    pub fn bytes(&self) -> u64 {
        self.sections.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

impl fmt::Debug for ParkedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkedBatch")
            .field("rows", &self.rows)
            .field("sections", &self.sections.len())
            .field("bytes", &self.bytes())
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

struct Owner(Buffer);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A section of an Arrow buffer, without a copy.
pub(super) fn section_of(buffer: Buffer) -> Bytes {
    Bytes::from_owner(Owner(buffer))
}

/// How a backend takes batches off its memory and brings them back. Called from any thread; no lock
/// of this room is held meanwhile.
pub trait Parking: fmt::Debug + Send + Sync {
    /// Where its live batches are: `Device`, which is parked on the host and written from there if
    /// that is not pinned memory, or `Host`, which is parked and written at once.
    fn tier(&self) -> Tier;

    /// Bytes of that tier that a batch holds on to.
    fn bytes(&self, batch: &Batch) -> u64;

    /// The batch as bytes in host memory. The batch stays whole.
    ///
    /// # Errors
    /// Those of the backend's copies.
    fn park(&self, batch: &Batch) -> Result<ParkedBatch>;

    /// The batch as bytes in pinned memory, which the backend reserves; nothing if there is no room,
    /// or if it has no use for such memory. The batch stays whole.
    ///
    /// # Errors
    /// Those of the backend's copies.
    fn park_pinned(&self, batch: &Batch) -> Result<Option<ParkedBatch>> {
        let _stays_where_it_is = batch;
        Ok(None)
    }

    /// The batch of these bytes. The caller has reserved what a `Host` batch needs; a backend of
    /// devices reserves for itself.
    ///
    /// # Errors
    /// `Reservation` if it does not fit, and those of the backend's copies.
    fn unpark(&self, parked: &ParkedBatch) -> Result<Batch>;
}
