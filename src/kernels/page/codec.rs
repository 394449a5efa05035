//! Launchers of the decompressors.

use std::sync::Arc;

use super::super::abi::{self, PageCompressed, PageDecompressParams, PageSplit, PageSplitParams};
use super::super::{Kernel, Launch, Status, blocks};
use super::DeviceSlice;
use super::table::{Layout, Slot, Table, Uploaded};
use crate::error::{Error, Result};

/// Pages of a block: one per warp.
const PAGES_PER_BLOCK: u32 = abi::PAGE_CODEC_THREADS / abi::PAGE_WARP_THREADS;

/// From so many bytes on a Snappy page is decompressed in parts: a warp writes 75 MB/s, and all that
/// follows waits for the longest page (docs/benchmarks.md).
const SPLIT_BYTES_MIN: u32 = 2 * abi::PAGE_PART_BYTES;

/// Codecs that have a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCodec {
    /// Snappy, without framing.
    Snappy,
    /// LZ4 block format, without framing.
    Lz4Raw,
}

/// Compressed pages that are decompressed by one launch per codec, and one that finds parts of long pages
/// ([`PageBatch`](super::PageBatch)).
#[derive(Debug)]
pub struct DecompressBatch {
    split_bytes_min: u32,
    snappy: Vec<PageCompressed>,
    lz4: Vec<PageCompressed>,
    sources: Vec<DeviceSlice>,
    targets: Vec<DeviceSlice>,
}

impl Default for DecompressBatch {
    fn default() -> Self {
        DecompressBatch {
            split_bytes_min: SPLIT_BYTES_MIN,
            snappy: Vec::new(),
            lz4: Vec::new(),
            sources: Vec::new(),
            targets: Vec::new(),
        }
    }
}

impl DecompressBatch {
    /// Lets Snappy pages of `bytes` and more be decompressed in parts of 64 KiB at one time, where their
    /// compressor began anew at each; those of 64 KiB and less are one part in any case.
    #[must_use]
    pub fn split_from(self, bytes: u32) -> Self {
        DecompressBatch {
            split_bytes_min: bytes,
            ..self
        }
    }

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
            is_part: 0,
        };
        match codec {
            PageCodec::Snappy => self.snappy.push(compressed),
            PageCodec::Lz4Raw => self.lz4.push(compressed),
        }
        hold(&mut self.sources, source);
        hold(&mut self.targets, target);
        Ok(())
    }

    /// Finds the parts of long pages and takes places in a table.
    pub(super) fn place(mut self, layout: &mut Layout) -> Placed {
        // The longest first, so that none is left over at the end.
        self.snappy.sort_by_key(longest_first);
        self.lz4.sort_by_key(longest_first);
        let split = |page: &PageCompressed| {
            page.target_bytes >= self.split_bytes_min.max(abi::PAGE_PART_BYTES + 1)
        };
        let long = self.snappy.partition_point(split);
        let Parts { mut pages, splits } = Parts::of(&self.snappy[..long]);
        pages.extend(&self.snappy[long..]);
        self.snappy = pages;
        Placed {
            slots: Slots {
                snappy: layout.add(self.snappy.len()),
                splits: layout.add(splits.len()),
                lz4: layout.add(self.lz4.len()),
            },
            batch: self,
            splits,
        }
    }
}

struct Slots {
    snappy: Slot<PageCompressed>,
    splits: Slot<PageSplit>,
    lz4: Slot<PageCompressed>,
}

/// A batch with its places in a table.
pub(super) struct Placed {
    batch: DecompressBatch,
    splits: Vec<PageSplit>,
    slots: Slots,
}

impl Placed {
    pub(super) fn write(&self, table: &mut Table) {
        table.write(&self.slots.snappy, &self.batch.snappy);
        table.write(&self.slots.splits, &self.splits);
        table.write(&self.slots.lz4, &self.batch.lz4);
    }

    /// Queues three launches at most: what finds parts, and what decompresses, a warp per page or part.
    /// What a page has wrong is told by `status`; its bytes are then zero.
    ///
    /// # Errors
    /// The driver refuses.
    pub(super) fn launch(&self, launch: &Launch, table: &Uploaded, status: &Status) -> Result<()> {
        for source in &self.batch.sources {
            source.order_read(launch)?;
        }
        for target in &self.batch.targets {
            target.order_write(launch)?;
        }
        let Slots {
            snappy,
            splits,
            lz4,
        } = &self.slots;
        let params = PageSplitParams {
            splits: table.pointer(splits),
            parts: table.pointer(snappy),
            split_count: self.splits.len() as u64,
        };
        let grid = blocks(self.splits.len() as u64, 1);
        // SAFETY: as for the decompressor; `Parts::of` made the table and what names its parts together.
        unsafe {
            launch.launch::<abi::PageSplitSnappy>(grid, abi::PAGE_SPLIT_THREADS, 0, &params)
        }?;
        let (pages, count) = (table.pointer(snappy), self.batch.snappy.len());
        launch_codec::<abi::PageDecompressSnappy>(launch, (pages, count), status)?;
        let (pages, count) = (table.pointer(lz4), self.batch.lz4.len());
        launch_codec::<abi::PageDecompressLz4>(launch, (pages, count), status)
    }
}

/// Keeps the buffer of a slice; many pages in a row have the same one.
fn hold(slices: &mut Vec<DeviceSlice>, slice: DeviceSlice) {
    let same = |last: &DeviceSlice| Arc::ptr_eq(last.buffer(), slice.buffer());
    if !slices.last().is_some_and(same) {
        slices.push(slice);
    }
}

fn longest_first(page: &PageCompressed) -> std::cmp::Reverse<u32> {
    std::cmp::Reverse(page.target_bytes)
}

/// Pages in parts, and which parts are of one page.
#[derive(Default)]
struct Parts {
    pages: Vec<PageCompressed>,
    splits: Vec<PageSplit>,
}

impl Parts {
    fn of(pages: &[PageCompressed]) -> Parts {
        let mut parts = Parts::default();
        for page in pages {
            let part_count = page.target_bytes.div_ceil(abi::PAGE_PART_BYTES);
            parts.splits.push(PageSplit {
                first_part: parts.pages.len() as u32,
                part_count,
            });
            let part = |part: u32| {
                let start = part * abi::PAGE_PART_BYTES;
                PageCompressed {
                    target: page.target.wrapping_add(start as usize),
                    target_bytes: (page.target_bytes - start).min(abi::PAGE_PART_BYTES),
                    is_part: 1,
                    ..*page
                }
            };
            parts.pages.extend((0..part_count).map(part));
        }
        parts
    }
}

/// Decompresses so many pages of a table that [`DecompressBatch::place`] made.
fn launch_codec<K>(
    launch: &Launch,
    (pages, count): (*const PageCompressed, usize),
    status: &Status,
) -> Result<()>
where
    K: Kernel<Params = PageDecompressParams>,
{
    let params = PageDecompressParams {
        pages,
        status: status.pointer(),
        page_count: count as u64,
    };
    let grid = blocks(count as u64, PAGES_PER_BLOCK);
    // SAFETY: `DecompressBatch::add` checked every slice against its buffer, with slack, and
    // `Placed::launch` ordered and holds the buffers.
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
