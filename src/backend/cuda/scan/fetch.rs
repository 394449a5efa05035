//! The bytes of a partition's column chunks: to the device as they are stored, or decompressed by
//! the host first where no kernel knows the codec.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::layout::Layout;
use super::transport::Transport;
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::kernels::Launch;
use crate::kernels::page::SLACK_BYTES;
use crate::memory::{Reservation, Tier};
use crate::metrics::names;
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
    /// Where each page's body begins in the batch's buffer.
    pub(super) bodies: Vec<u64>,
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

/// A dictionary page that the host has.
#[derive(Clone)]
pub(super) enum DictionaryBytes {
    /// As it is stored, its header in front.
    Stored(Bytes),
    /// Its body, decompressed.
    Inflated(Bytes),
}

impl Fetched {
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

/// A partition whose bytes are on the device.
pub(super) struct FetchedBatch {
    /// The pages as they are stored (or as the host decompressed them), with slack at the end.
    pub(super) buffer: Arc<DeviceBuffer>,
    pub(super) columns: Vec<FetchedColumn>,
}

struct Planned {
    field: Field,
    layout: Layout,
    nested: bool,
    chunks: Vec<StoredChunk>,
}

/// A chunk that the host decompressed.
struct Inflated {
    pages: Vec<Page>,
    bodies: Vec<Bytes>,
    _held: Reservation,
}

/// Collects what is to be read, then reads it.
pub(super) struct Fetch<'a> {
    launch: &'a Launch<'a>,
    options: &'a ReadOptions,
    columns: Vec<Planned>,
    files: HashMap<usize, OpenedFile>,
}

/// Codecs that a kernel decompresses, or that need none.
fn on_device(codec: Codec) -> bool {
    matches!(codec, Codec::Uncompressed | Codec::Snappy | Codec::Lz4Raw)
}

impl<'a> Fetch<'a> {
    pub(super) fn new(launch: &'a Launch<'a>, options: &'a ReadOptions) -> Self {
        Fetch {
            launch,
            options,
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
                chunks: chunks.to_vec(),
            });
        }
        Ok(())
    }

    /// Reads all that was planned.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, or no memory is left.
    pub(super) fn run(mut self) -> Result<FetchedBatch> {
        let columns = std::mem::take(&mut self.columns);
        let _prepared = self.prepare(&columns)?;
        // What the host decompresses comes first: its size is needed for the one buffer of all.
        let mut inflated = HashMap::new();
        let mut bytes = 0;
        for (column, planned) in columns.iter().enumerate() {
            for (row_group, stored) in planned.chunks.iter().enumerate() {
                let facts = stored.chunk()?.facts().clone();
                self.options.metrics.add(names::SCAN_BYTES, facts.bytes);
                if on_device(facts.codec) {
                    bytes += facts.bytes;
                    continue;
                }
                let chunk = self.inflate(stored)?;
                bytes += chunk
                    .bodies
                    .iter()
                    .map(|body| body.len() as u64)
                    .sum::<u64>();
                inflated.insert((column, row_group), chunk);
            }
        }
        let (device, stream) = (self.launch.device(), self.launch.copies());
        let small = bytes <= HOST_DICTIONARY_BATCH_BYTES_MAX;
        let buffer = Arc::new(device.alloc(stream, bytes + SLACK_BYTES)?);
        let launch = self.launch;
        let metrics = Arc::clone(&self.options.metrics);
        let mut transport = Transport::new(launch, &buffer, &metrics);
        let mut fetched = Vec::with_capacity(columns.len());
        for (column, planned) in columns.into_iter().enumerate() {
            let text = is_string(planned.field.data_type());
            let mut chunks = Vec::with_capacity(planned.chunks.len());
            for (row_group, stored) in planned.chunks.into_iter().enumerate() {
                chunks.push(match inflated.remove(&(column, row_group)) {
                    Some(chunk) => place_inflated(&mut transport, stored, chunk, text)?,
                    None => self.pass(&mut transport, &stored, text, small)?,
                });
            }
            fetched.push(FetchedColumn {
                field: planned.field,
                layout: planned.layout,
                nested: planned.nested,
                chunks,
            });
        }
        transport.finish()?;
        Ok(FetchedBatch {
            buffer,
            columns: fetched,
        })
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
        for stored in columns.iter().flat_map(|column| &column.chunks) {
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

    /// Reads a chunk to the device and its page headers as they pass.
    fn pass(
        &mut self,
        transport: &mut Transport,
        stored: &StoredChunk,
        text: bool,
        small: bool,
    ) -> Result<Fetched> {
        let chunk = stored.chunk()?;
        let facts = chunk.facts();
        let first = transport.position();
        let mut walker = PageWalker::new(facts.clone());
        let wanted = |page: &Page| {
            let part = u64::from(page.compressed_bytes) * HOST_DICTIONARY_PART <= facts.bytes;
            let long = page.compressed && page.uncompressed_bytes >= HOST_DICTIONARY_BYTES_MIN;
            let long = long && part && small;
            page.compressed_bytes <= DICTIONARY_BYTES_MAX && (text || long)
        };
        let mut head = Vec::new();
        let check_crc = self.options.check_crc && self.options.check_crc_device;
        let mut checksums = check_crc.then(PageChecksums::default);
        let file = self.file(stored)?;
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
        self.options.metrics.add(names::UPLOAD_BYTES, facts.bytes);
        let end = dictionary_end(&pages, wanted);
        let dictionary = (end > 0 && end <= head.len()).then(|| {
            head.truncate(end);
            DictionaryBytes::Stored(head.into())
        });
        Ok(Fetched {
            codec: facts.codec,
            definition_level_max: facts.definition_level_max,
            repetition_level_max: facts.repetition_level_max,
            bodies: pages.iter().map(|page| first + page.body_start).collect(),
            rows: rows_of(stored, &pages),
            indices: (0..pages.len()).collect(),
            stored: stored.clone(),
            pages,
            inflated: false,
            dictionary,
        })
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

fn place_inflated(
    transport: &mut Transport,
    stored: StoredChunk,
    chunk: Inflated,
    text: bool,
) -> Result<Fetched> {
    let mut bodies = Vec::with_capacity(chunk.bodies.len());
    for body in &chunk.bodies {
        bodies.push(transport.position());
        transport.write(body)?;
    }
    let dictionary = chunk.pages.first().zip(chunk.bodies.first());
    let dictionary = dictionary
        .filter(|(page, _)| text && page.kind == PageKind::Dictionary)
        .map(|(_, body)| DictionaryBytes::Inflated(body.clone()));
    let facts = stored.chunk()?.facts().clone();
    Ok(Fetched {
        rows: rows_of(&stored, &chunk.pages),
        indices: (0..chunk.pages.len()).collect(),
        stored,
        codec: Codec::Uncompressed,
        definition_level_max: facts.definition_level_max,
        repetition_level_max: facts.repetition_level_max,
        pages: chunk.pages,
        bodies,
        inflated: true,
        dictionary,
    })
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
