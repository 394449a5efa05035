//! All pages of a partition, decompressed and decoded into columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;

use super::fetch::{Body, DictionaryBytes, Fetched, FetchedColumn};
use super::places::Places;
use super::text;
use crate::backend::cuda::Shared;
use crate::backend::cuda::dictionary::Dictionary;
use crate::device::DeviceBuffer;
use crate::error::Result;
use crate::kernels::page::{
    DeviceSlice, LevelSpec, LevelWidths, PageBatch, PageCodec, PageConversion, PageSpec,
    PageTarget, SLACK_BYTES,
};
use crate::kernels::{DeviceColumn, Launch};
use crate::metrics::names;
use crate::operators::Context;
use crate::storage::{Codec, Page, PageEncoding, PageKind, PageProblem, PhysicalKind};
use crate::types::PhysicalType;

/// Alignment of decompressed pages and of dictionaries: that of the widest value.
const ALIGNMENT: u64 = 16;

/// Alignment of dictionaries among others: that of parts of a buffer.
const PART_ALIGNMENT: u64 = 64;

/// Bitmaps from the host are padded to a multiple of this: kernels change them in words.
const BITMAP_BYTES: usize = 64;

/// A leaf column on the device.
pub(super) struct Decoded {
    /// A value per row; of a leaf of a nested column, per level entry.
    pub(super) column: DeviceColumn,
    /// Definition and repetition levels of a leaf of a nested column. Levels that can only be 0 are
    /// not written.
    pub(super) levels: Option<(Arc<DeviceBuffer>, Arc<DeviceBuffer>)>,
    /// The rows of the pages that it has, row group by row group.
    pub(super) pages: Vec<Vec<Range<u64>>>,
}

/// Decodes what was fetched. What is wrong with a page is told when somebody waits for the stream.
pub(super) fn assemble(
    shared: &Shared,
    context: &Context,
    fetched: Vec<FetchedColumn>,
    dictionary: &Dictionary,
) -> Result<Vec<Decoded>> {
    let launch = shared.launch_with_copies(context)?;
    let columns: Vec<Column> = fetched.into_iter().map(Column::new).collect();
    let sizes = Sizes::of(&columns);
    let (device, stream) = (launch.device(), launch.stream());
    let mut assembly = Assembly {
        launch,
        numbers: Room::new(device.alloc(stream, sizes.numbers)?),
        strings: Room::new(device.alloc(stream, sizes.strings)?),
        codes: Room::new(device.upload(launch.copies(), &codes_of(&columns, dictionary)?)?),
        uploaded: Vec::new(),
        batch: PageBatch::default(),
        places: PlacesOf::default(),
    };
    let mut located = Vec::with_capacity(columns.len());
    for column in &columns {
        located.push(assembly.locate(column)?);
    }
    assembly.numbers.end_pages();
    let mut targets = Vec::with_capacity(columns.len());
    for (column, pages) in columns.iter().zip(&located) {
        let entries = assembly.dictionaries_of(column, pages)?;
        targets.push(assembly.values_of(column, pages, entries)?);
    }
    let Assembly {
        strings,
        uploaded,
        batch,
        places,
        ..
    } = assembly;
    let launched = batch.launch(&launch)?;
    let watch = |status, places| shared.watch_pages(context.stream, status, places);
    watch(launched.decompress, places.decompress);
    watch(launched.dictionaries, places.dictionaries);
    watch(launched.values, places.values);
    let texts = launched.texts.into_iter();
    let kept = texts.chain(uploaded).chain([strings.buffer]);
    let kept: Vec<Arc<DeviceBuffer>> = kept.collect();
    let finished = columns.into_iter().zip(targets).map(|(column, target)| {
        let physical = column.physical();
        let metrics = &context.metrics;
        metrics.add(names::SCAN_DECODED_BYTES, column.decoded_bytes(&target));
        let PageTarget {
            values,
            validity,
            levels,
            rows,
        } = target;
        let array = DeviceColumn::array(physical, values, validity, 0, rows)?;
        let stored = column.stored_buffers();
        let chunks = column.fetched.chunks.into_iter();
        Ok(Decoded {
            column: match physical {
                PhysicalType::View => array.keeping(kept.iter().cloned().chain(stored).collect()),
                _ => array,
            },
            levels,
            pages: chunks.map(|chunk| chunk.rows).collect(),
        })
    });
    finished.collect()
}

/// Where the pages of a batch come from.
#[derive(Default)]
struct PlacesOf {
    decompress: Places,
    dictionaries: Places,
    values: Places,
}

/// A column and what it is going to be.
struct Column {
    fetched: FetchedColumn,
    /// Strings, which must be UTF-8; other bytes need not be.
    text: bool,
    /// Strings as codes of the batches' dictionary.
    coded: bool,
}

impl Column {
    fn new(fetched: FetchedColumn) -> Self {
        let text = crate::types::is_string(fetched.field.data_type());
        let coded = text && text::all_in_dictionaries(&fetched);
        Column {
            fetched,
            text,
            coded,
        }
    }

    fn physical(&self) -> PhysicalType {
        if self.coded {
            PhysicalType::UInt32
        } else {
            self.fetched.layout.physical
        }
    }

    fn conversion(&self) -> PageConversion {
        if self.coded {
            PageConversion::Bits32
        } else {
            self.fetched.layout.conversion
        }
    }

    /// Bytes of the entries of its dictionary, by the dictionary's page.
    fn entries_bytes(&self, dictionary: &Page) -> u64 {
        u64::from(self.conversion().value_bytes()) * u64::from(dictionary.value_count)
    }

    /// Elements of the column's arrays: rows of the pages, and of a leaf of a nested column level
    /// entries.
    fn entries(&self) -> u64 {
        self.fetched.chunks.iter().map(entries_of).sum()
    }

    /// Bytes of the decoded column: values, validity, levels, and the pages that views point into.
    fn decoded_bytes(&self, target: &PageTarget) -> u64 {
        let nullable = target.validity.is_some();
        let validity = if nullable {
            PhysicalType::Boolean.bytes(target.rows)
        } else {
            0
        };
        let levels = if target.levels.is_some() {
            2 * target.rows
        } else {
            0
        };
        let values = self.physical().bytes(target.rows) + validity + levels;
        if self.physical() != PhysicalType::View {
            return values;
        }
        let pages = self.fetched.chunks.iter().flat_map(|chunk| &chunk.pages);
        values
            + pages
                .map(|page| u64::from(page.uncompressed_bytes))
                .sum::<u64>()
    }

    /// The buffers in which those of its pages lie that no kernel decompresses.
    fn stored_buffers(&self) -> Vec<Arc<DeviceBuffer>> {
        let mut buffers: Vec<Arc<DeviceBuffer>> = Vec::new();
        for chunk in &self.fetched.chunks {
            let pages = chunk.pages.iter().zip(&chunk.bodies);
            let stored = pages.filter(|(page, _)| codec_of(chunk, page).is_none());
            buffers.extend(stored.map(|(_, body)| Arc::clone(&body.buffer)));
        }
        buffers.dedup_by(|one, two| Arc::ptr_eq(one, two));
        buffers
    }

    /// The device needs the page's body: all but dictionaries that only the host looks into.
    fn wants(&self, page: &Page) -> bool {
        !(self.coded && page.kind == PageKind::Dictionary)
    }
}

/// Level entries of a chunk; its rows, if it is of a flat column.
fn entries_of(chunk: &Fetched) -> u64 {
    let data = chunk.pages.iter();
    let data = data.filter(|page| page.kind != PageKind::Dictionary);
    data.map(|page| u64::from(page.value_count)).sum()
}

/// Bytes of a page's level sections that are never compressed.
fn level_bytes(page: &Page) -> u32 {
    match page.kind {
        PageKind::DataV2 => page.repetition_bytes + page.definition_bytes,
        PageKind::DataV1 | PageKind::Dictionary => 0,
    }
}

/// True if the levels of a page are BIT_PACKED.
fn packed_levels(column: &Column, chunk: &Fetched, page: &Page) -> Result<bool> {
    let packed = |encoding: PageEncoding| encoding == PageEncoding::BitPacked;
    let definition = packed(page.definition_encoding);
    let repetition = packed(page.repetition_encoding);
    let both = chunk.definition_level_max > 0 && chunk.repetition_level_max > 0;
    if both && definition != repetition {
        let reason = "has levels in two encodings";
        return Err(super::layout::refused(&column.fetched.field, reason));
    }
    Ok(definition || repetition)
}

/// The codec of the page's compressed part, if a kernel must decompress it.
fn codec_of(chunk: &Fetched, page: &Page) -> Option<PageCodec> {
    let empty = page.uncompressed_bytes == level_bytes(page);
    let stored = chunk.inflated || !page.compressed || empty;
    match chunk.codec {
        _ if stored => None,
        Codec::Snappy => Some(PageCodec::Snappy),
        Codec::Lz4Raw => Some(PageCodec::Lz4Raw),
        _ => None,
    }
}

/// Values that a page can have at most. The host's decoder believes what the header says of nulls
/// unless the values tell themselves how many they are.
fn values_believed(page: &Page, physical: PhysicalKind) -> u32 {
    let counted = match page.encoding {
        PageEncoding::DeltaBinaryPacked
        | PageEncoding::DeltaLengthByteArray
        | PageEncoding::DeltaByteArray => true,
        PageEncoding::Plain | PageEncoding::ByteStreamSplit => {
            physical == PhysicalKind::FixedLenByteArray
        }
        _ => false,
    };
    let nulls = page.null_count.filter(|_| !counted).unwrap_or(0);
    page.value_count.saturating_sub(nulls)
}

/// True for a dictionary that the host decompresses.
fn on_host(chunk: &Fetched, page: &Page) -> bool {
    let seen = matches!(chunk.dictionary, Some(DictionaryBytes::Stored(_)));
    seen && page.kind == PageKind::Dictionary && codec_of(chunk, page).is_some()
}

/// The dictionary page of a chunk, if it has one.
fn dictionary_of(chunk: &Fetched) -> Option<&Page> {
    let first = chunk.pages.first();
    first.filter(|page| page.kind == PageKind::Dictionary)
}

/// The codes of all dictionaries of strings, one behind the other.
fn codes_of(columns: &[Column], dictionary: &Dictionary) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for column in columns.iter().filter(|column| column.coded) {
        let chunks = column.fetched.chunks.iter();
        for chunk in chunks.filter(|chunk| dictionary_of(chunk).is_some()) {
            let codes = text::codes(dictionary, chunk)?;
            bytes.extend(codes.into_iter().flat_map(u32::to_ne_bytes));
        }
    }
    Ok(bytes)
}

/// Bytes of what all columns share.
struct Sizes {
    /// Decompressed pages and decoded dictionaries of all but strings that stay where they are.
    numbers: u64,
    /// Decompressed pages that views will point into.
    strings: u64,
}

impl Sizes {
    fn of(columns: &[Column]) -> Sizes {
        // Behind the pages, where kernels read on, are the dictionaries.
        let (mut numbers, mut strings) = (SLACK_BYTES + PART_ALIGNMENT, SLACK_BYTES);
        for column in columns {
            let pages = match column.physical() {
                PhysicalType::View => &mut strings,
                _ => &mut numbers,
            };
            for chunk in &column.fetched.chunks {
                for page in chunk.pages.iter().filter(|page| column.wants(page)) {
                    if codec_of(chunk, page).is_some() && !on_host(chunk, page) {
                        *pages += u64::from(page.uncompressed_bytes).next_multiple_of(ALIGNMENT);
                    }
                }
            }
            let dictionaries = column.fetched.chunks.iter().filter_map(dictionary_of);
            for page in dictionaries.filter(|_| !column.coded) {
                numbers += column.entries_bytes(page).next_multiple_of(PART_ALIGNMENT);
            }
        }
        Sizes { numbers, strings }
    }
}

/// A buffer that is filled from its start.
struct Room {
    buffer: Arc<DeviceBuffer>,
    filled: u64,
}

impl Room {
    fn new(buffer: DeviceBuffer) -> Self {
        Room {
            buffer: Arc::new(buffer),
            filled: 0,
        }
    }

    /// Leaves what kernels read behind pages; what follows may be a part of the buffer.
    fn end_pages(&mut self) {
        self.filled = (self.filled + SLACK_BYTES).next_multiple_of(PART_ALIGNMENT);
    }

    /// So many bytes more; says where they begin.
    fn take(&mut self, bytes: u64) -> u64 {
        let start = self.filled;
        self.filled += bytes;
        start
    }
}

struct Assembly<'a> {
    launch: Launch<'a>,
    numbers: Room,
    strings: Room,
    codes: Room,
    /// Dictionaries of strings that the host decompressed.
    uploaded: Vec<Arc<DeviceBuffer>>,
    batch: PageBatch,
    places: PlacesOf,
}

impl Assembly<'_> {
    /// Where the decompressed body of each page of each chunk is, or is going to be.
    fn locate(&mut self, column: &Column) -> Result<Vec<Vec<DeviceSlice>>> {
        let mut located = Vec::with_capacity(column.fetched.chunks.len());
        for chunk in &column.fetched.chunks {
            self.places.decompress.begin(&chunk.stored);
            let mut slices = Vec::with_capacity(chunk.pages.len());
            for (index, (page, body)) in chunk.pages.iter().zip(&chunk.bodies).enumerate() {
                let codec = codec_of(chunk, page).filter(|_| column.wants(page));
                slices.push(match codec {
                    Some(_) if on_host(chunk, page) => {
                        self.upload_dictionary(column, chunk, page)?
                    }
                    Some(codec) => self.decompress(column, chunk, index, body, codec)?,
                    None => {
                        let bytes = if chunk.inflated {
                            page.uncompressed_bytes
                        } else {
                            page.compressed_bytes
                        };
                        body.slice(0, u64::from(bytes))?
                    }
                });
            }
            located.push(slices);
        }
        Ok(located)
    }

    /// A dictionary's body that the host decompresses.
    fn upload_dictionary(
        &mut self,
        column: &Column,
        chunk: &Fetched,
        page: &Page,
    ) -> Result<DeviceSlice> {
        let body = chunk.dictionary_body()?;
        if body.len() as u64 != u64::from(page.uncompressed_bytes) {
            let cause = "its dictionary is not as long as its header says".to_string();
            let problem = PageProblem::Corrupt { page: 0, cause };
            return Err(chunk.stored.chunk()?.refuse(&problem));
        }
        let (device, copies) = (self.launch.device(), self.launch.copies());
        let bytes = body.len() as u64;
        let buffer = Arc::new(device.alloc(copies, bytes + SLACK_BYTES)?);
        device.write(copies, &buffer, &body)?;
        if column.physical() == PhysicalType::View {
            self.uploaded.push(Arc::clone(&buffer));
        }
        DeviceSlice::new(&buffer, 0, bytes)
    }

    fn decompress(
        &mut self,
        column: &Column,
        chunk: &Fetched,
        index: usize,
        body: &Body,
        codec: PageCodec,
    ) -> Result<DeviceSlice> {
        let page = &chunk.pages[index];
        let target = match column.physical() {
            PhysicalType::View => &mut self.strings,
            _ => &mut self.numbers,
        };
        let bytes = u64::from(page.uncompressed_bytes);
        let start = target.take(bytes.next_multiple_of(ALIGNMENT));
        let levels = u64::from(level_bytes(page));
        if levels > 0 {
            let (device, stream) = (self.launch.device(), self.launch.stream());
            device.copy(
                stream,
                (&target.buffer, start),
                (&body.buffer, body.start),
                levels,
            )?;
        }
        let compressed = u64::from(page.compressed_bytes) - levels;
        let source = body.slice(levels, compressed)?;
        let values = DeviceSlice::new(&target.buffer, start + levels, bytes - levels)?;
        let places = &mut self.places.decompress;
        let place = places.next();
        places.add(chunk.indices[index]);
        self.batch.decompress.add(codec, place, source, values)?;
        DeviceSlice::new(&target.buffer, start, bytes)
    }

    /// The dictionary of each chunk of a column: its entries as values of the column.
    fn dictionaries_of(
        &mut self,
        column: &Column,
        located: &[Vec<DeviceSlice>],
    ) -> Result<Vec<Option<(DeviceSlice, u32)>>> {
        let mut found = Vec::with_capacity(located.len());
        for (chunk, slices) in column.fetched.chunks.iter().zip(located) {
            let Some((page, body)) = dictionary_of(chunk).zip(slices.first()) else {
                found.push(None);
                continue;
            };
            let bytes = column.entries_bytes(page);
            let entries = match column.coded {
                true => {
                    let start = self.codes.take(bytes);
                    DeviceSlice::new(&self.codes.buffer, start, bytes)?
                }
                false => self.decode_dictionary(column, chunk, page, body)?,
            };
            found.push(Some((entries, page.value_count)));
        }
        Ok(found)
    }

    /// Adds the dictionary page of a chunk, whose entries have a part of the numbers' buffer.
    fn decode_dictionary(
        &mut self,
        column: &Column,
        chunk: &Fetched,
        page: &Page,
        body: &DeviceSlice,
    ) -> Result<DeviceSlice> {
        let bytes = column.entries_bytes(page);
        let whole = bytes.next_multiple_of(PART_ALIGNMENT);
        let start = self.numbers.take(whole);
        let entries = Arc::new(DeviceBuffer::part(&self.numbers.buffer, start, whole));
        self.batch.dictionaries.add(&PageSpec {
            data: body.clone(),
            dictionary: None,
            target: PageTarget {
                values: Arc::clone(&entries),
                validity: None,
                levels: None,
                rows: u64::from(page.value_count),
            },
            row_start: 0,
            level_count: page.value_count,
            value_count_max: page.value_count,
            encoding: PageEncoding::Plain as u32,
            conversion: column.conversion(),
            element_bytes: column.fetched.layout.element_bytes,
            levels: LevelSpec::default(),
            text: column.text,
        })?;
        let places = &mut self.places.dictionaries;
        places.begin(&chunk.stored);
        places.add(0);
        DeviceSlice::new(&entries, 0, bytes)
    }

    /// Adds the data pages of a column; answers the arrays that they go to.
    fn values_of(
        &mut self,
        column: &Column,
        located: &[Vec<DeviceSlice>],
        entries: Vec<Option<(DeviceSlice, u32)>>,
    ) -> Result<PageTarget> {
        let target = self.target(column, column.entries())?;
        let mut row_start = 0;
        let chunks = column.fetched.chunks.iter().zip(located).zip(entries);
        for ((chunk, slices), dictionary) in chunks {
            let physical = chunk.stored.chunk()?.facts().physical;
            self.places.values.begin(&chunk.stored);
            for (index, (page, data)) in chunk.pages.iter().zip(slices).enumerate() {
                let section_bytes = match page.kind {
                    PageKind::Dictionary => continue,
                    PageKind::DataV1 => None,
                    PageKind::DataV2 => Some((page.repetition_bytes, page.definition_bytes)),
                };
                let packed = packed_levels(column, chunk, page)?;
                let widths = LevelWidths {
                    definition_level_max: chunk.definition_level_max,
                    repetition_level_max: chunk.repetition_level_max,
                };
                self.batch.values.add(&PageSpec {
                    data: data.clone(),
                    dictionary: dictionary.clone(),
                    target: target.clone(),
                    row_start,
                    level_count: page.value_count,
                    value_count_max: values_believed(page, physical),
                    encoding: page.encoding as u32,
                    conversion: column.conversion(),
                    element_bytes: column.fetched.layout.element_bytes,
                    levels: LevelSpec {
                        widths,
                        section_bytes,
                        packed,
                    },
                    text: column.text,
                })?;
                self.places.values.add(chunk.indices[index]);
                row_start += u64::from(page.value_count);
            }
        }
        Ok(target)
    }

    fn target(&self, column: &Column, rows: u64) -> Result<PageTarget> {
        let (device, stream) = (self.launch.device(), self.launch.stream());
        let bitmap = PhysicalType::Boolean.bytes(rows);
        let values = match column.physical() {
            PhysicalType::Boolean => device.alloc_zeroed(stream, bitmap)?,
            other => device.alloc(stream, other.bytes(rows))?,
        };
        let values = Arc::new(values);
        let validity = self.validity(column, rows)?;
        let levels = (column.fetched.nested)
            .then(|| self.levels(column, rows))
            .transpose()?;
        Ok(PageTarget {
            values,
            validity,
            levels,
            rows,
        })
    }

    /// The validity that kernels add to, if any row can be null. All rows are valid from the start
    /// where a chunk has no definition levels and others do: files of one scan may differ in that.
    fn validity(&self, column: &Column, rows: u64) -> Result<Option<Arc<DeviceBuffer>>> {
        let (device, stream) = (self.launch.device(), self.launch.stream());
        let required = |chunk: &Fetched| chunk.definition_level_max == 0;
        let chunks = &column.fetched.chunks;
        if chunks.iter().all(required) {
            return Ok(None);
        }
        if !chunks.iter().any(required) {
            let zeros = device.alloc_zeroed(stream, PhysicalType::Boolean.bytes(rows))?;
            return Ok(Some(Arc::new(zeros)));
        }
        let mut bits = BooleanBufferBuilder::new(0);
        for chunk in chunks {
            let entries = usize::try_from(entries_of(chunk)).unwrap_or(usize::MAX);
            bits.append_n(entries, required(chunk));
        }
        let mut bytes = bits.as_slice().to_vec();
        bytes.resize(bytes.len().next_multiple_of(BITMAP_BYTES), 0);
        Ok(Some(Arc::new(device.upload(stream, &bytes)?)))
    }

    /// Room for the levels of a leaf of a nested column: a byte per entry. Chunks without a
    /// definition level, where others have one, leave it at 0.
    fn levels(
        &self,
        column: &Column,
        entries: u64,
    ) -> Result<(Arc<DeviceBuffer>, Arc<DeviceBuffer>)> {
        let (device, stream) = (self.launch.device(), self.launch.stream());
        let definition = Arc::new(device.alloc_zeroed(stream, entries)?);
        let mut chunks = column.fetched.chunks.iter();
        let repetition = if chunks.any(|chunk| chunk.repetition_level_max > 0) {
            Arc::new(device.alloc_zeroed(stream, entries)?)
        } else {
            Arc::clone(&definition) // which pages without repetition levels do not write
        };
        Ok((definition, repetition))
    }
}
