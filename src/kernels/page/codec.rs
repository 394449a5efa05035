//! Launchers of the decompressors.

use std::sync::Arc;

use super::super::abi::{self, PageCompressed, PageDecompressParams};
use super::super::{Launch, Status, address_of, blocks};
use super::DeviceSlice;
use crate::error::{Error, Result};

/// Pages of a block: one per warp.
const PAGES_PER_BLOCK: u32 = abi::PAGE_CODEC_THREADS / abi::PAGE_WARP_THREADS;

/// Codecs that have a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCodec {
    /// Snappy, without framing.
    Snappy,
    /// LZ4 block format, without framing.
    Lz4Raw,
}

/// Compressed pages that are decompressed by one launch per codec.
#[derive(Debug, Default)]
pub struct DecompressBatch {
    snappy: Vec<PageCompressed>,
    lz4: Vec<PageCompressed>,
    sources: Vec<DeviceSlice>,
    targets: Vec<DeviceSlice>,
}

impl DecompressBatch {
    /// Adds a page: `source` must give exactly `target.bytes()` bytes. Both are followed by
    /// [`SLACK_BYTES`](super::SLACK_BYTES) of their buffers. `page` is the argument of its status.
    ///
    /// # Errors
    /// `InvalidInput` if a slice lacks its slack or is longer than an `i32` counts.
    pub fn add(
        &mut self,
        codec: PageCodec,
        page: u32,
        source: DeviceSlice,
        target: DeviceSlice,
    ) -> Result<()> {
        source.check_slack()?;
        target.check_slack()?;
        let compressed = PageCompressed {
            source: source.pointer(),
            target: target.pointer(),
            source_bytes: page_bytes(source.bytes(), "compressed bytes")?,
            target_bytes: page_bytes(target.bytes(), "bytes of a page")?,
            page,
            reserved: 0,
        };
        match codec {
            PageCodec::Snappy => self.snappy.push(compressed),
            PageCodec::Lz4Raw => self.lz4.push(compressed),
        }
        hold(&mut self.sources, source);
        hold(&mut self.targets, target);
        Ok(())
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.snappy.is_empty() && self.lz4.is_empty()
    }

    /// Queues the launches. What a page has wrong is told by `status`; its bytes are then zero.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn launch(mut self, launch: &Launch, status: &Status) -> Result<()> {
        for source in &self.sources {
            source.order_read(launch)?;
        }
        for target in &self.targets {
            target.order_write(launch)?;
        }
        launch_codec::<abi::PageDecompressSnappy>(launch, &mut self.snappy, status)?;
        launch_codec::<abi::PageDecompressLz4>(launch, &mut self.lz4, status)
    }
}

/// Keeps the buffer of a slice; many pages in a row have the same one.
fn hold(slices: &mut Vec<DeviceSlice>, slice: DeviceSlice) {
    let same = |last: &DeviceSlice| Arc::ptr_eq(last.buffer(), slice.buffer());
    if !slices.last().is_some_and(same) {
        slices.push(slice);
    }
}

/// One launch: a warp per page, the longest pages first so that none is left over at the end.
fn launch_codec<K>(launch: &Launch, pages: &mut [PageCompressed], status: &Status) -> Result<()>
where
    K: super::super::Kernel<Params = PageDecompressParams>,
{
    if pages.is_empty() {
        return Ok(());
    }
    pages.sort_by_key(|page| std::cmp::Reverse(page.target_bytes));
    let table = launch.upload_structs(pages)?;
    let params = PageDecompressParams {
        pages: address_of(&table),
        status: status.pointer(),
        page_count: pages.len() as u64,
    };
    let grid = blocks(pages.len() as u64, PAGES_PER_BLOCK);
    // SAFETY: `DecompressBatch::add` checked every slice against its buffer, with slack, and
    // `DecompressBatch::launch` ordered and holds the buffers.
    unsafe { launch.launch::<K>(grid, abi::PAGE_CODEC_THREADS, 0, &params) }
}

/// A length that Parquet has for pages.
fn page_bytes(length: u64, what: &str) -> Result<u32> {
    let narrow = u32::try_from(length).ok();
    let narrow = narrow.filter(|length| *length <= abi::PAGE_BYTES_MAX);
    narrow.ok_or_else(|| {
        let cause = format!("{length} {what} are more than {}", abi::PAGE_BYTES_MAX);
        Error::invalid("page", cause, "")
    })
}
