//! The column cache: what scans brought to the device stays there for later queries.
//!
//! What was read of a column for one batch lies in a buffer of its own, an extent. Its pages are known by
//! their places in the file, so that a later scan finds them whatever partitions it has and whatever pages
//! it chooses: a column chunk is served if pages that are here tile the bytes that it would read. Nothing
//! is copied then; kernels read the extent, which lives as long as anybody does. Pages lie here as
//! they are stored, or as the host decompressed them where no kernel knows the codec (docs/adr/0017).
//!
//! Extents count as device memory and go, the least recently used first, beyond the limit of the cache and
//! whenever memory is short. What the host must know of pages, headers and dictionaries of strings, is
//! kept beside them and counts as host memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fetch::{Body, DictionaryBytes};
use crate::device::{DeviceBuffer, Marker};
use crate::error::Result;
use crate::memory::{MemoryManager, Reclaim, Reservation, Tier};
use crate::storage::{ChunkIdentity, Page, StoredChunk};

/// Pages of files on the device, shared by all scans of a backend.
#[derive(Debug)]
pub(in super::super) struct ColumnCache {
    limit: u64,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    /// Pages of column chunks, by where they begin in the file.
    chunks: HashMap<ChunkIdentity, BTreeMap<u64, KnownPage>>,
    /// By number.
    extents: HashMap<u64, Extent>,
    /// Numbers of extents, the least recently used first.
    order: BTreeMap<u64, u64>,
    /// Uses so far; extents are numbered by their first one.
    uses: u64,
    device_bytes: u64,
    host_bytes: u64,
}

#[derive(Debug)]
struct KnownPage {
    /// The number of its extent.
    extent: u64,
    /// Where it ends in the file.
    end: u64,
    /// Its body begins behind the header, counted from the page's own start.
    page: Page,
    /// Where its body begins in the extent.
    body: u64,
    dictionary: Option<DictionaryBytes>,
}

#[derive(Debug)]
struct Extent {
    buffer: Arc<DeviceBuffer>,
    /// Behind the copies that fill it; nothing once they are known to have succeeded.
    filled: Option<Arc<Marker>>,
    /// For what is known of its pages.
    host: Reservation,
    pages: Vec<(ChunkIdentity, u64)>,
    last_use: u64,
}

/// Pages that were found; one behind the other they are what would have been read.
#[derive(Debug, Default)]
pub(super) struct CachedPages {
    pub(super) pages: Vec<Page>,
    pub(super) bodies: Vec<Body>,
    pub(super) dictionary: Option<DictionaryBytes>,
}

/// What was read of a column, to be kept.
#[derive(Debug)]
pub(super) struct NewExtent {
    buffer: Arc<DeviceBuffer>,
    pages: Vec<(ChunkIdentity, u64, KnownPage)>,
}

impl NewExtent {
    pub(super) fn new(buffer: &Arc<DeviceBuffer>) -> Self {
        NewExtent {
            buffer: Arc::clone(buffer),
            pages: Vec::new(),
        }
    }

    /// Adds what was read of a column chunk, the bodies of its pages being in the buffer from these
    /// places on.
    pub(super) fn add(
        &mut self,
        stored: &StoredChunk,
        pages: &[Page],
        bodies: &[Body],
        dictionary: Option<&DictionaryBytes>,
    ) -> Result<()> {
        let ranges = stored.chunk()?.ranges();
        let mut dictionary = dictionary.cloned();
        let mut from = 0;
        for (page, body) in pages.iter().zip(bodies) {
            let to = page.body_start + u64::from(page.compressed_bytes);
            if let Some(Range { start, end }) = in_file(&ranges, from..to) {
                let known = KnownPage {
                    extent: 0, // until it has a number
                    end,
                    page: Page {
                        body_start: page.body_start - from,
                        ..page.clone()
                    },
                    body: body.start,
                    dictionary: dictionary.take(),
                };
                self.pages.push((stored.identity(), start, known));
            }
            from = to;
        }
        Ok(())
    }

    fn host_bytes(&self) -> u64 {
        let dictionaries = self.pages.iter().map(|(_, _, known)| {
            let dictionary = known.dictionary.as_ref();
            dictionary.map_or(0, |dictionary| dictionary.bytes().len())
        });
        let pages = self.pages.len() * size_of::<(ChunkIdentity, u64, KnownPage)>();
        (dictionaries.sum::<usize>() + pages) as u64
    }
}

/// Where bytes lie in the file that were read from these ranges, one behind the other; nothing if that is
/// in several places.
fn in_file(ranges: &[Range<u64>], bytes: Range<u64>) -> Option<Range<u64>> {
    let mut before = 0;
    for range in ranges {
        let length = range.end - range.start;
        if bytes.start < before + length {
            let start = range.start + (bytes.start - before);
            let end = start + (bytes.end - bytes.start);
            return (end <= range.end).then_some(start..end);
        }
        before += length;
    }
    None
}

impl ColumnCache {
    /// A cache of so many bytes, which gives them back when this memory is short.
    pub(in super::super) fn new(limit: u64, memory: &MemoryManager) -> Arc<Self> {
        let cache = Arc::new(ColumnCache {
            limit,
            contents: Mutex::default(),
        });
        memory.add_reclaimable(&(Arc::clone(&cache) as Arc<dyn Reclaim>));
        cache
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many bytes may be kept at all.
    pub(super) fn admits(&self, bytes: u64) -> bool {
        bytes <= self.limit
    }

    /// What would be read of a column chunk, if all of it is here. It may still be under way: whoever
    /// reads its buffers says so first, and then comes after the copies.
    ///
    /// # Errors
    /// `Corrupt` if the chunk lies outside of its file.
    pub(super) fn find(&self, stored: &StoredChunk) -> Result<Option<CachedPages>> {
        let (chunk, identity) = (stored.chunk()?, stored.identity());
        let mut gone = Vec::new();
        let found = self.lock().find(&identity, &chunk.ranges(), &mut gone);
        drop(gone);
        Ok(found.filter(|found| chunk.is_of(&found.pages)))
    }

    /// Keeps what was read; the copies that bring it are in front of the marker. What there is no room
    /// for, or is here already, goes with the batch that it was read for.
    pub(super) fn keep(
        &self,
        extents: Vec<NewExtent>,
        filled: &Arc<Marker>,
        memory: &Arc<MemoryManager>,
    ) {
        let mut gone = Vec::new();
        for new in extents {
            let Ok(host) = memory.reserve(Tier::Host, new.host_bytes()) else {
                continue;
            };
            let extent = Extent {
                buffer: new.buffer,
                filled: Some(Arc::clone(filled)),
                host,
                pages: Vec::new(),
                last_use: 0,
            };
            self.lock().add(extent, new.pages, self.limit, &mut gone);
        }
    }
}

impl Contents {
    fn find(
        &mut self,
        identity: &ChunkIdentity,
        ranges: &[Range<u64>],
        gone: &mut Vec<Extent>,
    ) -> Option<CachedPages> {
        let known = self.chunks.get(identity)?;
        let (mut found, mut numbers) = (CachedPages::default(), Vec::new());
        let mut before = 0;
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let here = known.get(&at).filter(|here| here.end <= range.end)?;
                let extent = self.extents.get(&here.extent)?;
                found.pages.push(Page {
                    body_start: before + (at - range.start) + here.page.body_start,
                    ..here.page.clone()
                });
                found.bodies.push(Body {
                    buffer: Arc::clone(&extent.buffer),
                    start: here.body,
                });
                if found.pages.len() == 1 {
                    found.dictionary = here.dictionary.clone();
                }
                if numbers.last() != Some(&here.extent) {
                    numbers.push(here.extent);
                }
                at = here.end;
            }
            before += range.end - range.start;
        }
        let lost: Vec<u64> = numbers
            .iter()
            .copied()
            .filter(|n| self.is_lost(*n))
            .collect();
        gone.extend(lost.iter().filter_map(|number| self.remove(*number)));
        if !lost.is_empty() {
            return None;
        }
        numbers.into_iter().for_each(|number| self.touch(number));
        Some(found)
    }

    /// Whether the copies that fill an extent failed.
    fn is_lost(&mut self, number: u64) -> bool {
        let Some(extent) = self.extents.get_mut(&number) else {
            return true;
        };
        match extent.filled.as_ref().map(|filled| filled.passed()) {
            None | Some(Ok(false)) => false,
            Some(Ok(true)) => {
                extent.buffer.writes_are_done();
                extent.filled = None;
                false
            }
            Some(Err(_)) => true, // whoever waits for the copies is told
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn touch(&mut self, number: u64) {
        let now = self.next_use();
        if let Some(extent) = self.extents.get_mut(&number) {
            self.order.remove(&extent.last_use);
            self.order.insert(now, number);
            extent.last_use = now;
        }
    }

    fn add(
        &mut self,
        mut extent: Extent,
        pages: Vec<(ChunkIdentity, u64, KnownPage)>,
        limit: u64,
        gone: &mut Vec<Extent>,
    ) {
        let bytes = extent.buffer.bytes();
        let here = |(identity, start, _): &(ChunkIdentity, u64, KnownPage)| {
            let known = self.chunks.get(identity);
            known.is_some_and(|known| known.contains_key(start))
        };
        if bytes > limit || pages.iter().all(here) {
            gone.push(extent);
            return;
        }
        while self.device_bytes + bytes > limit {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            gone.extend(self.remove(oldest));
        }
        let number = self.next_use();
        for (identity, start, mut known) in pages {
            known.extent = number;
            extent.pages.push((identity.clone(), start));
            self.chunks
                .entry(identity)
                .or_default()
                .insert(start, known);
        }
        extent.last_use = number;
        self.device_bytes += bytes;
        self.host_bytes += extent.host.bytes();
        self.order.insert(number, number);
        self.extents.insert(number, extent);
    }

    /// Takes an extent out, to be dropped when nothing is locked.
    fn remove(&mut self, number: u64) -> Option<Extent> {
        let extent = self.extents.remove(&number)?;
        self.order.remove(&extent.last_use);
        self.device_bytes -= extent.buffer.bytes();
        self.host_bytes -= extent.host.bytes();
        for (identity, start) in &extent.pages {
            let Some(known) = self.chunks.get_mut(identity) else {
                continue;
            };
            // Another extent may have the page, too, and have come later.
            if known.get(start).is_some_and(|page| page.extent == number) {
                known.remove(start);
            }
            if known.is_empty() {
                self.chunks.remove(identity);
            }
        }
        Some(extent)
    }
}

impl Reclaim for ColumnCache {
    fn held(&self, tier: Tier) -> u64 {
        let contents = self.lock();
        match tier {
            Tier::Device => contents.device_bytes,
            Tier::Host => contents.host_bytes,
            Tier::Pinned | Tier::Disk => 0,
        }
    }

    /// Extents that a scan uses right now go last: their memory comes free when the scan is done with it,
    /// and then without anybody's asking.
    fn reclaim(&self, tier: Tier, bytes: u64) -> u64 {
        if !matches!(tier, Tier::Device | Tier::Host) {
            return 0;
        }
        let (mut freed, mut let_go) = (0u64, 0u64);
        let mut gone = Vec::new();
        let mut contents = self.lock();
        for in_use in [false, true] {
            let numbers: Vec<u64> = contents.order.values().copied().collect();
            for number in numbers {
                if freed.saturating_add(let_go) >= bytes {
                    break;
                }
                let used = |extent: &Extent| Arc::strong_count(&extent.buffer) > 1;
                let here = contents.extents.get(&number);
                if here.is_none_or(|extent| tier == Tier::Device && used(extent) != in_use) {
                    continue;
                }
                let Some(extent) = contents.remove(number) else {
                    continue;
                };
                match tier {
                    Tier::Device if in_use => let_go += extent.buffer.bytes(),
                    Tier::Device => freed += extent.buffer.bytes(),
                    _ => freed += extent.host.bytes(),
                }
                gone.push(extent);
            }
        }
        drop(contents);
        drop(gone);
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_were_read_are_found_in_the_file() {
        let ranges = [100..110, 200..205, 300..301];
        assert_eq!(in_file(&ranges, 0..10), Some(100..110));
        assert_eq!(in_file(&ranges, 3..7), Some(103..107));
        assert_eq!(in_file(&ranges, 10..15), Some(200..205));
        assert_eq!(in_file(&ranges, 15..16), Some(300..301));
        assert_eq!(in_file(&ranges, 9..11), None, "in two places");
        assert_eq!(in_file(&ranges, 16..17), None, "behind all");
        assert_eq!(in_file(&[], 0..1), None);
    }
}
