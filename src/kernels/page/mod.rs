//! Launchers of Parquet page decoding: decompression, levels, values.
//!
//! A [`DecodeBatch`] collects pages, each a [`PageSpec`] over slices of device buffers, and decodes
//! all of them with one launch per kernel, however many row groups and columns they come from. The
//! descriptors travel in one upload; nothing is copied back, but the sizes of DELTA_BYTE_ARRAY
//! strings, which must be put together in a buffer of their own. Values that a page cannot have are
//! reported by a [`Status`](super::Status) whose argument is the page's index, and never lead a
//! kernel outside of the buffers. Where only some pages are decoded, [`page_find_rows`] says where rows
//! are. Reading files, and the meaning of columns, belong to the backend.

mod codec;
mod decode;
mod rows;

pub use codec::{DecompressBatch, PageCodec};
pub use decode::{DecodeBatch, LevelSpec, LevelWidths, PageConversion, PageSpec, PageTarget};
pub use rows::{RowPieces, page_count_rows, page_find_rows};

use std::sync::Arc;

use super::Launch;
use super::abi;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};

/// Bytes that must follow every page in its buffer; kernels read whole words.
pub const SLACK_BYTES: u64 = abi::PAGE_SLACK_BYTES as u64;

/// A part of a device buffer. Cloning shares the buffer.
#[derive(Debug, Clone)]
pub struct DeviceSlice {
    buffer: Arc<DeviceBuffer>,
    start: u64,
    bytes: u64,
}

impl DeviceSlice {
    /// `bytes` bytes from `start` on.
    ///
    /// # Errors
    /// `InvalidInput` if they do not lie in the buffer.
    pub fn new(buffer: &Arc<DeviceBuffer>, start: u64, bytes: u64) -> Result<Self> {
        let inside = start
            .checked_add(bytes)
            .is_some_and(|end| end <= buffer.bytes());
        if !inside {
            return Err(Error::invalid(
                "device slice",
                format!(
                    "{bytes} bytes from {start} on are not in a buffer of {}",
                    buffer.bytes()
                ),
                "",
            ));
        }
        Ok(DeviceSlice {
            buffer: Arc::clone(buffer),
            start,
            bytes,
        })
    }

    /// The buffer.
    pub fn buffer(&self) -> &Arc<DeviceBuffer> {
        &self.buffer
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it starts, for a launch struct.
    fn pointer<T>(&self) -> *mut T {
        std::ptr::with_exposed_provenance_mut((self.buffer.address() + self.start) as usize)
    }

    /// An error unless the buffer goes on for [`SLACK_BYTES`].
    fn check_slack(&self) -> Result<()> {
        if self.start + self.bytes + SLACK_BYTES <= self.buffer.bytes() {
            return Ok(());
        }
        Err(Error::invalid(
            "device slice",
            format!("a page must be followed by {SLACK_BYTES} bytes of its buffer"),
            "allocate more",
        ))
    }

    fn order_read(&self, launch: &Launch) -> Result<()> {
        self.buffer.order_read(launch.stream())
    }

    fn order_write(&self, launch: &Launch) -> Result<()> {
        self.buffer.order_write(launch.stream())
    }
}

/// A length that launch structs hold in 32 bits.
fn narrow(length: u64, what: &str) -> Result<u32> {
    u32::try_from(length).map_err(|_| {
        let cause = format!("{length} {what} are more than 32 bits count");
        Error::invalid("page", cause, "")
    })
}
