//! Launchers of Parquet page decoding: decompression, levels, values.
//!
//! A [`DecompressBatch`] and a [`DecodeBatch`] collect pages, the latter each a [`PageSpec`] over slices
//! of device buffers. A [`PageBatch`] of them runs over all with one launch per kernel, however many row
//! groups and columns they come from. The descriptors of all travel in one upload; nothing is copied
//! back, but the sizes of DELTA_BYTE_ARRAY strings, which must be put together in a buffer of their
//! own. Values that a page cannot have are reported by a [`Status`] whose argument is the page's index,
//! and never lead a kernel outside of the buffers. Where only some pages are decoded,
//! [`page_find_rows`] says where rows are. Reading files, and the meaning of columns, belong to the
//! backend.

mod codec;
mod decode;
mod rows;
mod table;

pub use codec::{DecompressBatch, PageCodec};
pub use decode::{DecodeBatch, LevelSpec, LevelWidths, PageConversion, PageSpec, PageTarget};
pub use rows::{RowPieces, page_count_rows, page_find_rows};

use std::sync::Arc;

use super::abi;
use super::{Launch, Status};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use table::{Layout, Table};

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

/// Pages that are decompressed, then decoded: dictionaries before the values that look them up.
#[derive(Debug, Default)]
pub struct PageBatch {
    /// What the bodies of pages are decompressed from and to.
    pub decompress: DecompressBatch,
    /// Entries of dictionaries.
    pub dictionaries: DecodeBatch,
    /// Levels and values.
    pub values: DecodeBatch,
}

/// What a [`PageBatch`] leaves behind its launches.
#[derive(Debug)]
pub struct PagesLaunched {
    /// Of the decompression; arguments are what [`DecompressBatch::add`] was given.
    pub decompress: Status,
    /// Of the dictionaries; arguments are what [`DecodeBatch::add`] answered.
    pub dictionaries: Status,
    /// Of the values, likewise.
    pub values: Status,
    /// Strings that were put together, which must live as long as the columns' views.
    pub texts: Vec<Arc<DeviceBuffer>>,
}

impl PagesLaunched {
    /// Waits for the stream and answers what the launches said.
    ///
    /// # Errors
    /// The first that a status tells, or what failed on the stream.
    pub fn check(&self, launch: &Launch) -> Result<()> {
        let statuses = [&self.decompress, &self.dictionaries, &self.values];
        statuses.iter().try_for_each(|status| status.check(launch))
    }
}

impl PageBatch {
    /// Copies the descriptors to the device and queues the launches. What a page has wrong is told by a
    /// status; its bytes are zero where they could not be decompressed.
    ///
    /// Pages of DELTA_BYTE_ARRAY make it wait for the device, once per batch: how long their
    /// strings are together is known only after their lengths have been decoded. A page of a few
    /// bytes may ask for a lot; what it asks for is allocated from the device's budget, or refused.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn launch(self, launch: &Launch) -> Result<PagesLaunched> {
        let mut layout = Layout::default();
        let decompress = self.decompress.place(&mut layout);
        let mut dictionaries = self.dictionaries.place(&mut layout);
        let mut values = self.values.place(&mut layout);
        let mut table = Table::new(launch, &layout)?;
        decompress.write(&mut table);
        dictionaries.write(&mut table);
        values.write(&mut table);
        let table = table.upload(launch)?;
        // Apart from the table, which is of no use once the launches are through.
        let entries = ["page_decompress", "page_decode", "page_decode"];
        let [of_decompress, of_dictionaries, of_values] = Status::several(launch, entries)?;
        let mut launched = PagesLaunched {
            decompress: of_decompress,
            dictionaries: of_dictionaries,
            values: of_values,
            texts: Vec::new(),
        };
        decompress.launch(launch, &table, &launched.decompress)?;
        let texts = dictionaries.launch(launch, &table, &launched.dictionaries)?;
        launched.texts.extend(texts);
        let texts = values.launch(launch, &table, &launched.values)?;
        launched.texts.extend(texts);
        Ok(launched)
    }
}

/// A length that launch structs hold in 32 bits.
fn narrow(length: u64, what: &str) -> Result<u32> {
    u32::try_from(length).map_err(|_| {
        let cause = format!("{length} {what} are more than 32 bits count");
        Error::invalid("page", cause, "")
    })
}
