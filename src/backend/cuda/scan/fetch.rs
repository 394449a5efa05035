//! The bytes of a partition's column chunks: to the device as they are stored, or decompressed by
//! the host first where no kernel knows the codec, unless the column cache has them there already.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{CachedPages, ColumnCache, NewExtent};
use super::layout::Layout;
use super::transport::Transport;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::kernels::Launch;
use crate::kernels::page::{DeviceSlice, SLACK_BYTES};
use crate::memory::{Reservation, Tier};
use crate::metrics::{CacheCounts, names};
use crate::storage::{
    Codec, OpenedFile, Page, PageChecksums, PageKind, PageWalker, ReadOptions, StoredChunk,
};
use crate::types::{Field, is_string};

/// Compressed bytes of a dictionary that the host looks into; a larger one is left to the device.
const DICTIONARY_BYTES_MAX: u32 = 2 << 20;

/// From so many bytes on a dictionary is decompressed by the host. A warp needs 15 ms for the
/// megabyte at which writers stop (docs/benchmarks.md), and everything else of the batch waits for it.
const HOST_DICTIONARY_BYTES_MIN: u32 = 128 << 10;

/// In batches of at most so many stored bytes. Larger ones take longer to read than a warp needs, and
/// the batch before is computed meanwhile: the host's time is the scarcer one then (both measured in
/// docs/benchmarks.md).
const HOST_DICTIONARY_BATCH_BYTES_MAX: u64 = 128 << 20;

/// At most this part of a chunk is decompressed by the host: of small chunks dictionaries are most,
/// and there are many of them for the device to decompress at one time.
const HOST_DICTIONARY_PART: u64 = 8;

/// A column chunk whose bytes are on the device.
pub(super) struct Fetched {
    pub(super) stored: StoredChunk,
    pub(super) codec: Codec,
    pub(super) definition_level_max: u16,
    pub(super) repetition_level_max: u16,
    pub(super) pages: Vec<Page>,
    /// Where each page's body begins.
    pub(super) bodies: Vec<Body>,
    /// The rows of each data page, counted from the row group's first. Of a nested column: its level
    /// entries.
    pub(super) rows: Vec<Range<u64>>,
    /// The index of each page among those that were read.
    pub(super) indices: Vec<usize>,
    /// True if the bodies were decompressed by the host.
    pub(super) inflated: bool,
    /// The dictionary page of a column of strings, and any that is better decompressed here.
    pub(super) dictionary: Option<DictionaryBytes>,
}

/// A place in a buffer, with slack behind all that lies there.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) buffer: Arc<DeviceBuffer>,
    pub(super) start: u64,
}

impl Body {
    /// So many bytes further on.
    fn plus(&self, bytes: u64) -> Body {
        Body {
            buffer: Arc::clone(&self.buffer),
            start: self.start + bytes,
        }
    }

    /// Whether so many bytes of it end where another one begins.
    pub(super) fn is_before(&self, bytes: usize, other: &Body) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer) && self.start + bytes as u64 == other.start
    }

    /// Bytes of it, some way behind where it begins.
    ///
    /// # Errors
    /// `InvalidInput` if they do not lie in the buffer.
    pub(super) fn slice(&self, from: u64, bytes: u64) -> Result<DeviceSlice> {
        DeviceSlice::new(&self.buffer, self.start + from, bytes)
    }
}

/// A dictionary page that the host has.
#[derive(Debug, Clone)]
pub(super) enum DictionaryBytes {
    /// As it is stored, its header in front.
    Stored(Bytes),
    /// Its body, decompressed.
    Inflated(Bytes),
}

impl DictionaryBytes {
    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            DictionaryBytes::Stored(bytes) | DictionaryBytes::Inflated(bytes) => bytes,
        }
    }
}

impl Fetched {
    fn new(
        stored: StoredChunk,
        pages: Vec<Page>,
        bodies: Vec<Body>,
        dictionary: Option<DictionaryBytes>,
    ) -> Result<Self> {
        let facts = stored.chunk()?.facts().clone();
        let inflated = !on_device(facts.codec);
        Ok(Fetched {
            codec: match inflated {
                true => Codec::Uncompressed,
                false => facts.codec,
            },
            definition_level_max: facts.definition_level_max,
            repetition_level_max: facts.repetition_level_max,
            rows: rows_of(&stored, &pages),
            indices: (0..pages.len()).collect(),
            stored,
            pages,
            bodies,
            inflated,
            dictionary,
        })
    }

    /// Leaves out the data pages whose rows are not kept. Without any the dictionary is not needed.
    pub(super) fn keep(&mut self, keep: impl Fn(&Range<u64>) -> bool) {
        let dictionaries = self.pages.len() - self.rows.len();
        let keeps: Vec<bool> = self.rows.iter().map(keep).collect();
        let any = keeps.contains(&true);
        let kept = |index: usize| match index.checked_sub(dictionaries) {
            Some(data) => keeps[data],
            None => any,
        };
        let mut at = 0..;
        self.pages.retain(|_| at.next().is_some_and(kept));
        let mut at = 0..;
        self.bodies.retain(|_| at.next().is_some_and(kept));
        let mut at = 0..;
        self.indices.retain(|_| at.next().is_some_and(kept));
        let mut at = dictionaries..;
        self.rows.retain(|_| at.next().is_some_and(kept));
    }

    /// Compressed bytes of its pages.
    pub(super) fn stored_bytes(&self) -> u64 {
        let pages = self.pages.iter();
        pages.map(|page| u64::from(page.compressed_bytes)).sum()
    }

    /// The body of the dictionary page; empty if there is none.
    pub(super) fn dictionary_body(&self) -> Result<Bytes> {
        match &self.dictionary {
            None => Ok(Bytes::new()),
            Some(DictionaryBytes::Inflated(body)) => Ok(body.clone()),
            Some(DictionaryBytes::Stored(page)) => {
                if let Some(header) = self.pages.first() {
                    let check_crc = false; // its bytes passed the checksums, if they are wanted
                    let chunk = self.stored.chunk()?;
                    chunk.check_body(0, header, page, check_crc)?;
                }
                let bodies = self.stored.decompress(page.clone())?;
                Ok(bodies.into_iter().next().unwrap_or_default())
            }
        }
    }
}

/// A leaf column with its chunks, one per row group.
pub(super) struct FetchedColumn {
    pub(super) field: Field,
    pub(super) layout: Layout,
    /// True if it is a leaf of a nested column: its levels are kept.
    pub(super) nested: bool,
    pub(super) chunks: Vec<Fetched>,
}

struct Planned {
    field: Field,
    layout: Layout,
    nested: bool,
    chunks: Vec<(StoredChunk, Source)>,
}

/// Where a chunk's bytes come from.
enum Source {
    /// The file.
    File,
    /// The host, which decompressed them.
    Inflated(Inflated),
    /// They are on the device already.
    Cache(CachedPages),
}

/// A chunk that the host decompressed.
struct Inflated {
    pages: Vec<Page>,
    bodies: Vec<Bytes>,
    _held: Reservation,
}

impl Planned {
    /// Bytes that must be brought to the device.
    fn missing_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for (stored, source) in &self.chunks {
            sum += match source {
                Source::File => stored.chunk()?.facts().bytes,
                Source::Inflated(chunk) => chunk.bodies.iter().map(|b| b.len() as u64).sum(),
                Source::Cache(_) => 0,
            };
        }
        Ok(sum)
    }
}

/// The column cache, and what a scan found there.
#[derive(Clone, Copy)]
pub(super) struct Caching<'a> {
    pub(super) cache: &'a ColumnCache,
    pub(super) counts: &'a CacheCounts,
}

/// Where the bytes of a column go, and whether they stay there.
struct Room {
    start: Body,
    keeps: Option<NewExtent>,
}

/// Collects what is to be read, then reads it.
pub(super) struct Fetch<'a> {
    launch: &'a Launch<'a>,
    options: &'a ReadOptions,
    caching: Option<Caching<'a>>,
    columns: Vec<Planned>,
    files: HashMap<usize, OpenedFile>,
}

/// Codecs that a kernel decompresses, or that need none.
fn on_device(codec: Codec) -> bool {
    matches!(codec, Codec::Uncompressed | Codec::Snappy | Codec::Lz4Raw)
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        launch: &'a Launch<'a>,
        options: &'a ReadOptions,
        caching: Option<Caching<'a>>,
    ) -> Self {
        Fetch {
            launch,
            options,
            caching,
            columns: Vec::new(),
            files: HashMap::new(),
        }
    }

    /// Adds a leaf column, of a flat column or of a nested one.
    ///
    /// # Errors
    /// `Unsupported` if kernels do not decode it.
    pub(super) fn plan(
        &mut self,
        field: &Field,
        nested: bool,
        chunks: &[StoredChunk],
    ) -> Result<()> {
        let mut layout = None;
        for stored in chunks {
            let chunk = stored.chunk()?;
            let here = Layout::of(chunk.facts(), field, nested)?;
            if *layout.get_or_insert(here) != here {
                // Files of one scan may store a column in different ways.
                return Err(super::layout::refused(field, "is stored in several ways"));
            }
        }
        if let Some(layout) = layout {
            self.columns.push(Planned {
                field: field.clone(),
                layout,
                nested,
                chunks: chunks
                    .iter()
                    .map(|chunk| (chunk.clone(), Source::File))
                    .collect(),
            });
        }
        Ok(())
    }

    /// Reads all that was planned and is not on the device yet.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, or no memory is left.
    pub(super) fn run(mut self) -> Result<Vec<FetchedColumn>> {
        let mut columns = std::mem::take(&mut self.columns);
        self.find_cached(&mut columns)?;
        let _prepared = self.prepare(&columns)?;
        // What the host decompresses comes first: its size is needed for the buffers.
        self.inflate_all(&mut columns)?;
        let mut bytes = 0;
        for (stored, _) in columns.iter().flat_map(|column| &column.chunks) {
            bytes += stored.chunk()?.facts().bytes;
        }
        let small = bytes <= HOST_DICTIONARY_BATCH_BYTES_MAX;
        let rooms = self.rooms(&columns)?;
        let (launch, metrics) = (self.launch, Arc::clone(&self.options.metrics));
        let mut transport = Transport::new(launch, &metrics);
        let (mut fetched, mut extents) = (Vec::with_capacity(columns.len()), Vec::new());
        for (planned, room) in columns.into_iter().zip(rooms) {
            let text = is_string(planned.field.data_type());
            let mut chunks = Vec::with_capacity(planned.chunks.len());
            let Room {
                mut start,
                mut keeps,
            } = room;
            for (stored, source) in planned.chunks {
                if let Source::Cache(found) = source {
                    chunks.push(from_cache(stored, found, text, small)?);
                    continue;
                }
                transport.begin(&start);
                let (chunk, bytes) = match source {
                    Source::Inflated(chunk) => {
                        place_inflated(&mut transport, &start, stored, chunk, text)?
                    }
                    _ => self.pass(&mut transport, &start, stored, text, small)?,
                };
                if let Some(extent) = &mut keeps {
                    extent.add(
                        &chunk.stored,
                        &chunk.pages,
                        &chunk.bodies,
                        chunk.dictionary.as_ref(),
                    )?;
                }
                start = start.plus(bytes);
                chunks.push(chunk);
            }
            extents.extend(keeps);
            fetched.push(FetchedColumn {
                field: planned.field,
                layout: planned.layout,
                nested: planned.nested,
                chunks,
            });
        }
        transport.finish()?;
        if let Some(Caching { cache, .. }) = self.caching
            && !extents.is_empty()
        {
            let filled = Arc::new(launch.device().mark(launch.copies())?);
            cache.keep(extents, &filled, &self.options.memory);
        }
        Ok(fetched)
    }

    /// Looks for chunks that are on the device already; the others are going to be read.
    fn find_cached(&self, columns: &mut [Planned]) -> Result<()> {
        let metrics = &self.options.metrics;
        for (stored, source) in columns.iter_mut().flat_map(|column| &mut column.chunks) {
            let bytes = stored.chunk()?.facts().bytes;
            let caching = self.caching.filter(|_| bytes > 0);
            let found = match caching {
                Some(Caching { cache, .. }) => cache.find(stored)?,
                None => None,
            };
            match found {
                Some(found) => {
                    metrics.add(names::COLUMN_CACHE_HITS, 1);
                    metrics.add(names::COLUMN_CACHE_BYTES, bytes);
                    *source = Source::Cache(found);
                }
                None => {
                    metrics.add(names::SCAN_BYTES, bytes);
                    metrics.add(names::COLUMN_CACHE_MISSES, u64::from(caching.is_some()));
                }
            }
            if let Some(Caching { counts, .. }) = caching {
                counts.count(matches!(source, Source::Cache(_)), bytes);
            }
        }
        Ok(())
    }

    /// Lets the host decompress what no kernel can.
    fn inflate_all(&mut self, columns: &mut [Planned]) -> Result<()> {
        for (stored, source) in columns.iter_mut().flat_map(|column| &mut column.chunks) {
            let codec = stored.chunk()?.facts().codec;
            if matches!(source, Source::File) && !on_device(codec) {
                *source = Source::Inflated(self.inflate(stored)?);
            }
        }
        Ok(())
    }

    /// Room for what is brought to the device: a column that stays has a buffer of its own, the others
    /// share one.
    fn rooms(&mut self, columns: &[Planned]) -> Result<Vec<Room>> {
        let (device, stream) = (self.launch.device(), self.launch.copies());
        let alloc = |bytes: u64| device.alloc(stream, bytes + SLACK_BYTES).map(Arc::new);
        let (mut own, mut shared_bytes) = (Vec::with_capacity(columns.len()), 0);
        for planned in columns {
            let bytes = planned.missing_bytes()?;
            let keeps = bytes > 0 && self.keeps(planned, bytes)?;
            own.push((keeps.then_some(bytes), shared_bytes));
            shared_bytes += if keeps { 0 } else { bytes };
        }
        let shared = alloc(shared_bytes)?;
        let room = |(own, start): (Option<u64>, u64)| {
            let Some(bytes) = own else {
                let buffer = Arc::clone(&shared);
                return Ok(Room {
                    start: Body { buffer, start },
                    keeps: None,
                });
            };
            let buffer = alloc(bytes)?;
            Ok(Room {
                keeps: Some(NewExtent::new(&buffer)),
                start: Body { buffer, start: 0 },
            })
        };
        own.into_iter().map(room).collect()
    }

    /// Whether what is read of a column stays on the device: not if it is too much, nor if a file is
    /// another one than its footer is of.
    fn keeps(&mut self, planned: &Planned, bytes: u64) -> Result<bool> {
        let admitted = |caching: &Caching| caching.cache.admits(bytes + SLACK_BYTES);
        if !self.caching.as_ref().is_some_and(admitted) {
            return Ok(false);
        }
        for (stored, source) in &planned.chunks {
            if !matches!(source, Source::Cache(_)) && !stored.is_unchanged_in(self.file(stored)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn file(&mut self, stored: &StoredChunk) -> Result<&OpenedFile> {
        match self.files.entry(stored.file_index) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => Ok(place.insert(stored.open()?)),
        }
    }

    /// Fetches all chunks from their stores; nothing for files of the file system. The host memory
    /// that they take is reserved.
    fn prepare(&mut self, columns: &[Planned]) -> Result<Vec<Reservation>> {
        let mut ranges: BTreeMap<usize, Vec<Range<u64>>> = BTreeMap::new();
        let mut held = Vec::new();
        let chunks = columns.iter().flat_map(|column| &column.chunks);
        for (stored, _) in chunks.filter(|(_, source)| matches!(source, Source::File)) {
            let chunk = stored.chunk()?;
            let bytes = chunk.facts().bytes;
            match self.file(stored)?.prepared_bytes(bytes) {
                0 => continue,
                needed => held.push(
                    self.options
                        .memory
                        .reserve_with_spilling(Tier::Host, needed)?,
                ),
            }
            let of_file = ranges.entry(stored.file_index).or_default();
            of_file.extend(chunk.ranges());
        }
        for (file, ranges) in ranges {
            if let Some(file) = self.files.get(&file) {
                file.prepare(&ranges)?;
            }
        }
        Ok(held)
    }

    /// Reads a chunk to the device and its page headers as they pass. Says how many bytes that is.
    fn pass(
        &mut self,
        transport: &mut Transport,
        first: &Body,
        stored: StoredChunk,
        text: bool,
        small: bool,
    ) -> Result<(Fetched, u64)> {
        let chunk = stored.chunk()?;
        let facts = chunk.facts();
        let bytes = facts.bytes;
        let mut walker = PageWalker::new(facts.clone());
        let wanted = |page: &Page| is_wanted(page, bytes, text, small);
        let mut head = Vec::new();
        let check_crc = self.options.check_crc && self.options.check_crc_device;
        let mut checksums = check_crc.then(PageChecksums::default);
        let file = self.file(&stored)?;
        transport.read(file, &chunk.ranges(), |portion| {
            let fed = walker.feed(portion).and_then(|()| match &mut checksums {
                Some(checksums) => checksums.feed(walker.pages(), portion),
                None => Ok(()),
            });
            fed.map_err(|problem| chunk.refuse(&problem))?;
            let end = dictionary_end(walker.pages(), wanted);
            let more = portion.len().min(end.saturating_sub(head.len()));
            head.extend_from_slice(&portion[..more]);
            Ok(())
        })?;
        let pages = chunk.finish(walker)?;
        self.options.metrics.add(names::UPLOAD_BYTES, bytes);
        let end = dictionary_end(&pages, wanted);
        let dictionary = (end > 0 && end <= head.len()).then(|| {
            head.truncate(end);
            head.shrink_to_fit(); // it may be kept for long
            DictionaryBytes::Stored(head.into())
        });
        let bodies = pages.iter().map(|page| first.plus(page.body_start));
        let bodies = bodies.collect();
        Ok((Fetched::new(stored, pages, bodies, dictionary)?, bytes))
    }

    /// Reads a chunk and decompresses its pages on the host.
    fn inflate(&mut self, stored: &StoredChunk) -> Result<Inflated> {
        let chunk = stored.chunk()?;
        let facts = chunk.facts();
        let memory = Arc::clone(&self.options.memory);
        let held = memory.reserve_with_spilling(Tier::Host, facts.bytes)?;
        let joined = self.file(stored)?.read_joined(&[chunk.ranges()])?;
        let bytes = joined.into_iter().next().unwrap_or_default();
        let pages = chunk.pages(&bytes, self.options.check_crc)?;
        let sizes = pages.iter().map(|page| u64::from(page.uncompressed_bytes));
        let _whole = memory.reserve_with_spilling(Tier::Host, sizes.sum())?;
        drop(held);
        let bodies = stored.decompress(bytes)?;
        let sizes = bodies.iter().map(|body| body.len() as u64);
        let held = memory.reserve_with_spilling(Tier::Host, sizes.sum())?;
        let fitting = bodies.len() == pages.len()
            && pages
                .iter()
                .zip(&bodies)
                .all(|(page, body)| page.uncompressed_bytes as usize == body.len());
        if !fitting {
            let cause = "its pages are not as long as their headers say";
            return Err(Error::corrupt(stored.path(), "", cause));
        }
        Ok(Inflated {
            pages,
            bodies,
            _held: held,
        })
    }
}

/// Copies a chunk that the host decompressed. Says how many bytes that is.
fn place_inflated(
    transport: &mut Transport,
    first: &Body,
    stored: StoredChunk,
    chunk: Inflated,
    text: bool,
) -> Result<(Fetched, u64)> {
    let mut bodies = Vec::with_capacity(chunk.bodies.len());
    let mut bytes = 0;
    for body in &chunk.bodies {
        bodies.push(first.plus(bytes));
        transport.write(body)?;
        bytes += body.len() as u64;
    }
    let dictionary = chunk.pages.first().zip(chunk.bodies.first());
    let dictionary = dictionary
        .filter(|(page, _)| text && page.kind == PageKind::Dictionary)
        .map(|(_, body)| DictionaryBytes::Inflated(body.clone()));
    Ok((
        Fetched::new(stored, chunk.pages, bodies, dictionary)?,
        bytes,
    ))
}

/// A chunk that is on the device already. The host looks into its dictionary if it would have done so
/// when it was read, and has it.
fn from_cache(stored: StoredChunk, found: CachedPages, text: bool, small: bool) -> Result<Fetched> {
    let CachedPages {
        pages,
        bodies,
        dictionary,
    } = found;
    let bytes = stored.chunk()?.facts().bytes;
    let wanted = pages
        .first()
        .is_some_and(|page| is_wanted(page, bytes, text, small));
    let dictionary = dictionary.filter(|dictionary| match dictionary {
        DictionaryBytes::Stored(_) => wanted,
        DictionaryBytes::Inflated(_) => text,
    });
    Fetched::new(stored, pages, bodies, dictionary)
}

/// Whether the host looks into a dictionary, of a chunk of so many bytes: those of strings, and long ones
/// of batches that are small.
fn is_wanted(page: &Page, chunk_bytes: u64, text: bool, small: bool) -> bool {
    let part = u64::from(page.compressed_bytes) * HOST_DICTIONARY_PART <= chunk_bytes;
    let long = page.compressed && page.uncompressed_bytes >= HOST_DICTIONARY_BYTES_MIN;
    let long = long && part && small;
    page.compressed_bytes <= DICTIONARY_BYTES_MAX && (text || long)
}

/// The rows of each data page: by the page index where that chose them, else one page's behind the
/// other's.
fn rows_of(stored: &StoredChunk, pages: &[Page]) -> Vec<Range<u64>> {
    if let Some(selected) = stored.selected() {
        return selected.rows().cloned().collect();
    }
    let data = pages
        .iter()
        .filter(|page| page.kind != PageKind::Dictionary);
    let mut end = 0;
    let rows = data.map(|page| {
        let start = end;
        end += u64::from(page.value_count);
        start..end
    });
    rows.collect()
}

/// Bytes of a chunk up to the end of its dictionary page, if that one is wanted. All, as long as no
/// page is known; then none if the first page is another one.
fn dictionary_end(pages: &[Page], wanted: impl Fn(&Page) -> bool) -> usize {
    let Some(first) = pages.first() else {
        return usize::MAX;
    };
    if first.kind != PageKind::Dictionary || !wanted(first) {
        return 0;
    }
    usize::try_from(first.body_start + u64::from(first.compressed_bytes)).unwrap_or(0)
}
