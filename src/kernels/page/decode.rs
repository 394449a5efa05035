//! Launchers of the decoders of levels and values.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::Arc;

use super::super::abi::{self, Page, PageDecodeParams, PageState};
use super::super::{Kernel, Launch, Status, address_of};
use super::table::{Layout, Slot, Table, Uploaded};
use super::{DeviceSlice, SLACK_BYTES, narrow};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// How an element of a page becomes a value of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PageConversion {
    /// BOOLEAN to a bitmap.
    Bits1 = abi::PAGE_BITS_1,
    /// The low 8 bits.
    Bits8 = abi::PAGE_BITS_8,
    /// The low 16 bits.
    Bits16 = abi::PAGE_BITS_16,
    /// The low 32 bits.
    Bits32 = abi::PAGE_BITS_32,
    /// 64 bits.
    Bits64 = abi::PAGE_BITS_64,
    /// 32 bits, sign-extended to 64.
    Widen64 = abi::PAGE_WIDEN_64,
    /// Big-endian two's complement to 64 bits.
    Decimal64 = abi::PAGE_DECIMAL_64,
    /// Big-endian two's complement to 128 bits.
    Decimal128 = abi::PAGE_DECIMAL_128,
    /// INT96 to microseconds since 1970.
    Int96 = abi::PAGE_INT96,
    /// Bytes that stay where they are.
    View = abi::PAGE_VIEW,
}

impl PageConversion {
    /// Bytes of a value; 0 for a bitmap.
    pub fn value_bytes(self) -> u32 {
        match self {
            PageConversion::Bits1 => 0,
            PageConversion::Bits8 => 1,
            PageConversion::Bits16 => 2,
            PageConversion::Bits32 => 4,
            PageConversion::Bits64
            | PageConversion::Widen64
            | PageConversion::Decimal64
            | PageConversion::Int96 => 8,
            PageConversion::Decimal128 | PageConversion::View => 16,
        }
    }

    fn takes_bits(self) -> bool {
        use PageConversion::{Bits8, Bits16, Bits32, Bits64, Widen64};
        matches!(self, Bits8 | Bits16 | Bits32 | Bits64 | Widen64)
    }

    /// Elements of this many bytes (0: any) that DELTA_BYTE_ARRAY holds can become such a value.
    fn takes_bytes(self, element_bytes: u32) -> bool {
        use PageConversion::{Bits16, Decimal64, Decimal128, View};
        matches!(self, Decimal64 | Decimal128 | View) || self == Bits16 && element_bytes == 2
    }
}

/// Bits of the levels, by the greatest level that a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelWidths {
    /// Greatest definition level; 0: the column is required, pages have no such section.
    pub definition_level_max: u16,
    /// Greatest repetition level; 0: the column is flat, pages have no such section.
    pub repetition_level_max: u16,
}

/// Where a page's levels are and how they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelSpec {
    /// Which levels there are.
    pub widths: LevelWidths,
    /// Bytes of the repetition and of the definition section (version 2). None (version 1): each
    /// has its length in front of it.
    pub section_bytes: Option<(u32, u32)>,
    /// BIT_PACKED, without any length (version 1, deprecated).
    pub packed: bool,
}

/// The arrays of a column that pages are decoded into.
#[derive(Debug, Clone)]
pub struct PageTarget {
    /// Values of the column's type, a bitmap (zeroed) for Booleans.
    pub values: Arc<DeviceBuffer>,
    /// Validity, zeroed; none if no row can be null, or if levels are kept and values stay dense.
    pub validity: Option<Arc<DeviceBuffer>>,
    /// Definition and repetition levels, a byte each: for columns whose nesting is put together
    /// later. Levels that a column does not have are not written; both may be one buffer then.
    pub levels: Option<(Arc<DeviceBuffer>, Arc<DeviceBuffer>)>,
    /// Rows (level entries) of the arrays.
    pub rows: u64,
}

/// One page: levels and values, already decompressed.
#[derive(Debug, Clone)]
pub struct PageSpec {
    /// Levels, then values; followed by [`SLACK_BYTES`](super::SLACK_BYTES) of its buffer.
    pub data: DeviceSlice,
    /// Entries of the column's type, and their number.
    pub dictionary: Option<(DeviceSlice, u32)>,
    /// The column.
    pub target: PageTarget,
    /// The page's first row in the column's arrays.
    pub row_start: u64,
    /// Values and nulls.
    pub level_count: u32,
    /// Values that are not null are no more, or the page is malformed.
    pub value_count_max: u32,
    /// Parquet's number of the encoding of the values.
    pub encoding: u32,
    /// What becomes of an element.
    pub conversion: PageConversion,
    /// Bytes of a PLAIN element; 0 for BYTE_ARRAY.
    pub element_bytes: u32,
    /// The levels.
    pub levels: LevelSpec,
    /// The values are strings, which must be UTF-8. Bytes of any other kind need not be.
    pub text: bool,
}

/// Numbers that Parquet gives the encodings.
pub(super) mod encodings {
    pub const PLAIN: u32 = 0;
    pub const PLAIN_DICTIONARY: u32 = 2;
    pub const RLE: u32 = 3;
    pub const DELTA_BINARY_PACKED: u32 = 5;
    pub const DELTA_LENGTH_BYTE_ARRAY: u32 = 6;
    pub const DELTA_BYTE_ARRAY: u32 = 7;
    pub const RLE_DICTIONARY: u32 = 8;
    pub const BYTE_STREAM_SPLIT: u32 = 9;
}

/// The kernels that decode values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Decoder {
    Plain,
    PlainBytes,
    Dictionary,
    RleBoolean,
    Delta,
    DeltaLength,
    DeltaBytes,
    Split,
}

impl Decoder {
    const ALL: [Decoder; 8] = [
        Decoder::Plain,
        Decoder::PlainBytes,
        Decoder::Dictionary,
        Decoder::RleBoolean,
        Decoder::Delta,
        Decoder::DeltaLength,
        Decoder::DeltaBytes,
        Decoder::Split,
    ];

    fn of(spec: &PageSpec) -> Option<Decoder> {
        let boolean = spec.conversion == PageConversion::Bits1;
        let bytes = spec.element_bytes == 0 && !boolean;
        Some(match spec.encoding {
            encodings::PLAIN if bytes => Decoder::PlainBytes,
            encodings::PLAIN => Decoder::Plain,
            encodings::PLAIN_DICTIONARY | encodings::RLE_DICTIONARY if !boolean => {
                Decoder::Dictionary
            }
            encodings::RLE if boolean => Decoder::RleBoolean,
            encodings::DELTA_BINARY_PACKED
                if spec.conversion.takes_bits() && matches!(spec.element_bytes, 4 | 8) =>
            {
                Decoder::Delta
            }
            encodings::DELTA_LENGTH_BYTE_ARRAY if bytes && spec.conversion.takes_bytes(0) => {
                Decoder::DeltaLength
            }
            encodings::DELTA_BYTE_ARRAY if spec.conversion.takes_bytes(spec.element_bytes) => {
                Decoder::DeltaBytes
            }
            encodings::BYTE_STREAM_SPLIT
                if !bytes && !boolean && spec.conversion != PageConversion::Int96 =>
            {
                Decoder::Split
            }
            _ => return None,
        })
    }
}

/// Pages that are decoded together ([`PageBatch`](super::PageBatch)).
#[derive(Debug, Default)]
pub struct DecodeBatch {
    pages: Vec<Page>,
    states: Vec<PageState>,
    decoders: Vec<Decoder>,
    with_levels: Vec<u32>,
    spread: Vec<u32>,
    /// Pages whose strings are checked. Indices are not: the dictionary's strings are.
    texts: Vec<u32>,
    reads: Vec<Arc<DeviceBuffer>>,
    writes: Vec<Arc<DeviceBuffer>>,
}

/// What is wrong with a page's specification.
fn refused(cause: impl Into<String>) -> Error {
    Error::invalid("page", cause, "")
}

impl DecodeBatch {
    /// Adds a page and returns its index, the argument of its status.
    ///
    /// # Errors
    /// `InvalidInput` if buffers are too small for the page, `Unsupported` for an encoding that has
    /// no kernel for the conversion.
    pub fn add(&mut self, spec: &PageSpec) -> Result<u32> {
        let index = narrow(self.pages.len() as u64, "pages")?;
        let Some(decoder) = Decoder::of(spec) else {
            let reason = format!("encoding {} to {:?}", spec.encoding, spec.conversion);
            return Err(Error::unsupported("cuda", "page decoding", reason));
        };
        spec.data.check_slack()?;
        check_target(spec)?;
        let LevelSpec {
            widths,
            section_bytes,
            packed,
        } = spec.levels;
        let (repetition_bytes, definition_bytes) =
            section_bytes.unwrap_or((abi::PAGE_PREFIXED, abi::PAGE_PREFIXED));
        let target = &spec.target;
        let (dictionary, dictionary_count) = match &spec.dictionary {
            None => (std::ptr::null(), 0),
            Some((entries, count)) => {
                let bytes = u64::from(spec.conversion.value_bytes()) * u64::from(*count);
                if entries.bytes() < bytes {
                    return Err(refused("the dictionary is shorter than its count says"));
                }
                push(&mut self.reads, entries.buffer());
                (entries.pointer::<std::ffi::c_void>().cast_const(), *count)
            }
        };
        let levels = widths.definition_level_max > 0 || widths.repetition_level_max > 0;
        self.pages.push(Page {
            data: spec.data.pointer(),
            dictionary,
            values: address_of(&target.values),
            validity: pointer_or_null(target.validity.as_ref()),
            definition_levels: pointer_or_null(target.levels.as_ref().map(|levels| &levels.0)),
            repetition_levels: pointer_or_null(target.levels.as_ref().map(|levels| &levels.1)),
            text: std::ptr::null_mut(), // set by `launch`, if strings must be put together
            state: std::ptr::null_mut(), // set by `launch`, which knows where the states are
            row_start: spec.row_start,
            data_bytes: narrow(spec.data.bytes(), "bytes of a page")?,
            level_count: spec.level_count,
            dictionary_count,
            encoding: spec.encoding,
            conversion: spec.conversion as u32,
            element_bytes: spec.element_bytes,
            value_bytes: spec.conversion.value_bytes(),
            repetition_bytes,
            definition_bytes,
            repetition_bits: bits_of(widths.repetition_level_max),
            definition_bits: bits_of(widths.definition_level_max),
            definition_level_max: u32::from(widths.definition_level_max),
            levels_packed: u32::from(packed),
            value_count_max: spec.value_count_max,
        });
        self.states.push(PageState {
            values_at: 0,
            value_count: spec.level_count,
            text_bytes: 0,
        });
        self.decoders.push(decoder);
        let holds_strings = matches!(
            decoder,
            Decoder::PlainBytes | Decoder::DeltaLength | Decoder::DeltaBytes
        );
        if spec.text && holds_strings && spec.conversion == PageConversion::View {
            self.texts.push(index);
        }
        if levels {
            self.with_levels.push(index);
            if target.validity.is_some() {
                self.spread.push(index);
            }
        }
        push(&mut self.reads, spec.data.buffer());
        for written in [Some(&target.values), target.validity.as_ref()] {
            written
                .into_iter()
                .for_each(|buffer| push(&mut self.writes, buffer));
        }
        if let Some((definition, repetition)) = &target.levels {
            self.writes
                .extend([Arc::clone(definition), Arc::clone(repetition)]);
        }
        Ok(index)
    }

    /// Takes places in a table.
    pub(super) fn place(self, layout: &mut Layout) -> Placed {
        let mut lists = Lists::new(&self.pages);
        let levels = lists.add(&self.with_levels);
        let of_decoders = Decoder::ALL.map(|decoder| lists.add(&self.pages_of(decoder)));
        let (texts, spread) = (lists.add(&self.texts), lists.add(&self.spread));
        let indices = lists.indices;
        Placed {
            slots: Slots {
                pages: layout.add(self.pages.len()),
                states: layout.add(self.states.len()),
                indices: layout.add(indices.len()),
            },
            levels,
            of_decoders,
            texts,
            spread,
            indices,
            batch: self,
        }
    }

    fn pages_of(&self, decoder: Decoder) -> Vec<u32> {
        let of_decoder = |index: &u32| self.decoders[*index as usize] == decoder;
        (0..self.pages.len() as u32).filter(of_decoder).collect()
    }
}

struct Slots {
    pages: Slot<Page>,
    states: Slot<PageState>,
    indices: Slot<u32>,
}

/// A batch with its places in a table, and its lists of pages as ranges of `indices`.
pub(super) struct Placed {
    batch: DecodeBatch,
    slots: Slots,
    levels: Range<usize>,
    of_decoders: [Range<usize>; Decoder::ALL.len()],
    texts: Range<usize>,
    spread: Range<usize>,
    indices: Vec<u32>,
}

impl Placed {
    pub(super) fn write(&mut self, table: &mut Table) {
        let state = table.pointer(&self.slots.states);
        for (index, page) in self.batch.pages.iter_mut().enumerate() {
            page.state = state.wrapping_add(index);
        }
        table.write(&self.slots.pages, &self.batch.pages);
        table.write(&self.slots.states, &self.batch.states);
        table.write(&self.slots.indices, &self.indices);
    }

    /// Queues the launches: levels, values by encoding, and the moving of values to their rows.
    /// Answers the buffers that strings were put together in, which must live as long as the
    /// column's views; most encodings need none, their views point into the pages.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub(super) fn launch(
        mut self,
        launch: &Launch,
        table: &Uploaded,
        status: &Status,
    ) -> Result<Vec<Arc<DeviceBuffer>>> {
        order(launch, &mut self.batch.reads, &mut self.batch.writes)?;
        let mut work = Work {
            launch,
            table,
            status,
            pages: table.pointer(&self.slots.pages),
            indices: table.pointer(&self.slots.indices),
        };
        work.run::<abi::PageLevels>(&self.levels, abi::PAGE_THREADS)?;
        let text = self.place_text(&work)?;
        // Their pages are told where, anew.
        let told = match text.is_empty() {
            true => None,
            false => Some(launch.upload_structs(&self.batch.pages)?),
        };
        if let Some(told) = &told {
            work.pages = address_of(told);
        }
        for (decoder, chosen) in Decoder::ALL.into_iter().zip(&self.of_decoders) {
            match decoder {
                Decoder::Plain => work.run::<abi::PageDecodePlain>(chosen, abi::PAGE_THREADS),
                Decoder::PlainBytes => {
                    work.run::<abi::PageDecodePlainBytes>(chosen, abi::PAGE_WARP_THREADS)
                }
                Decoder::Dictionary => {
                    work.run::<abi::PageDecodeDictionary>(chosen, abi::PAGE_THREADS)
                }
                Decoder::RleBoolean => {
                    work.run::<abi::PageDecodeRleBoolean>(chosen, abi::PAGE_THREADS)
                }
                Decoder::Delta => work.run::<abi::PageDecodeDelta>(chosen, abi::PAGE_THREADS),
                Decoder::DeltaLength => {
                    work.run::<abi::PageDecodeDeltaLength>(chosen, abi::PAGE_THREADS)
                }
                Decoder::DeltaBytes => {
                    work.run::<abi::PageDecodeDeltaBytes>(chosen, abi::PAGE_THREADS)
                }
                Decoder::Split => {
                    work.run::<abi::PageDecodeByteStreamSplit>(chosen, abi::PAGE_THREADS)
                }
            }?;
        }
        work.run::<abi::PageCheckText>(&self.texts, abi::PAGE_THREADS)?;
        work.run::<abi::PageSpread>(&self.spread, abi::PAGE_THREADS)?;
        Ok(text)
    }

    /// Allocates the buffer for strings that must be put together, if there are any, and tells the
    /// pages their parts of it.
    fn place_text(&mut self, work: &Work) -> Result<Vec<Arc<DeviceBuffer>>> {
        let view = PageConversion::View as u32;
        let mut lengths: Vec<u64> = (self.batch.pages.iter().zip(&self.batch.decoders))
            .map(|(page, decoder)| match decoder {
                Decoder::Split if page.conversion == view => {
                    u64::from(page.element_bytes) * u64::from(page.level_count)
                }
                _ => 0,
            })
            .collect();
        let put_together = &self.of_decoders[Decoder::DeltaBytes as usize];
        if !put_together.is_empty() {
            work.run::<abi::PageSizeDeltaBytes>(put_together, abi::PAGE_THREADS)?;
            let bytes = work.table.read(work.launch, &self.slots.states)?;
            for index in self.batch.pages_of(Decoder::DeltaBytes) {
                let at =
                    index as usize * size_of::<PageState>() + offset_of!(PageState, text_bytes);
                let word = bytes[at..at + size_of::<u64>()].try_into();
                lengths[index as usize] = word.map_or(0, u64::from_ne_bytes);
            }
        }
        // The text of a page begins at a word: strings are read by words, and what lies in front of
        // it, where a page has nulls, is not written.
        let total = lengths.iter_mut().try_fold(SLACK_BYTES, |sum, length| {
            *length = length.checked_next_multiple_of(size_of::<u64>() as u64)?;
            sum.checked_add(*length)
        });
        let total = total.ok_or_else(|| refused("its strings are longer than 64 bits count"))?;
        if total == SLACK_BYTES {
            return Ok(Vec::new());
        }
        let text = Arc::new(work.launch.alloc(total)?);
        let mut start = 0;
        for (page, length) in self.batch.pages.iter_mut().zip(lengths) {
            if length > 0 {
                page.text = address_of::<u8>(&text).wrapping_add(start);
                start += length as usize;
            }
        }
        Ok(vec![text])
    }
}

/// Adds a buffer, unless it was added just before: neighbouring pages mostly share theirs.
fn push(buffers: &mut Vec<Arc<DeviceBuffer>>, buffer: &Arc<DeviceBuffer>) {
    let recent = buffers.iter().rev().take(2);
    if !recent.into_iter().any(|last| Arc::ptr_eq(last, buffer)) {
        buffers.push(Arc::clone(buffer));
    }
}

/// Orders all buffers, each once.
fn order(
    launch: &Launch,
    reads: &mut Vec<Arc<DeviceBuffer>>,
    writes: &mut Vec<Arc<DeviceBuffer>>,
) -> Result<()> {
    for buffers in [&mut *reads, &mut *writes] {
        buffers.sort_by_key(|buffer| buffer.address());
        buffers.dedup_by_key(|buffer| buffer.address());
    }
    for buffer in reads.iter() {
        buffer.order_read(launch.stream())?;
    }
    for buffer in writes.iter() {
        buffer.order_write(launch.stream())?;
    }
    Ok(())
}

/// Lists of pages, one behind the other: one upload for all launches.
struct Lists<'a> {
    pages: &'a [Page],
    indices: Vec<u32>,
}

impl<'a> Lists<'a> {
    fn new(pages: &'a [Page]) -> Self {
        Lists {
            pages,
            indices: Vec::with_capacity(2 * pages.len()),
        }
    }

    /// Adds a list, the longest pages first so that none is left over at the end of a launch.
    fn add(&mut self, chosen: &[u32]) -> Range<usize> {
        let start = self.indices.len();
        self.indices.extend_from_slice(chosen);
        let pages = self.pages;
        self.indices[start..].sort_by_key(|index| {
            let page = &pages[*index as usize];
            std::cmp::Reverse((page.level_count, page.data_bytes))
        });
        start..self.indices.len()
    }
}

/// The pages in device memory, and who launches over them.
struct Work<'a> {
    launch: &'a Launch<'a>,
    table: &'a Uploaded,
    status: &'a Status,
    pages: *const Page,
    indices: *const u32,
}

impl Work<'_> {
    /// One block per page of a list.
    fn run<K: Kernel<Params = PageDecodeParams>>(
        &self,
        list: &Range<usize>,
        threads: u32,
    ) -> Result<()> {
        let count = list.len() as u64;
        let params = PageDecodeParams {
            pages: self.pages,
            order: self.indices.wrapping_add(list.start),
            status: self.status.pointer(),
            page_count: count,
        };
        // SAFETY: `DecodeBatch::add` checked every slice and array against its buffer,
        // `Placed::launch` ordered and holds the buffers, and `list` is a range of the indices.
        unsafe { self.launch.launch::<K>(count, threads, 0, &params) }
    }
}

fn pointer_or_null(buffer: Option<&Arc<DeviceBuffer>>) -> *mut u8 {
    buffer.map_or(std::ptr::null_mut(), |buffer| address_of(buffer))
}

/// Bits that a level takes.
fn bits_of(level_max: u16) -> u32 {
    u16::BITS - level_max.leading_zeros()
}

/// The column's arrays hold the page's rows.
fn check_target(spec: &PageSpec) -> Result<()> {
    let target = &spec.target;
    let end = spec.row_start + u64::from(spec.level_count);
    if end > target.rows {
        return Err(refused(format!(
            "its rows end at {end}, the column's at {}",
            target.rows
        )));
    }
    let bitmap = PhysicalType::Boolean.bytes(target.rows);
    let values = match spec.conversion.value_bytes() {
        0 => bitmap,
        bytes => u64::from(bytes) * target.rows,
    };
    let short = target.values.bytes() < values
        || target
            .validity
            .as_ref()
            .is_some_and(|bits| bits.bytes() < bitmap)
        || target
            .levels
            .as_ref()
            .is_some_and(|(definition, repetition)| {
                definition.bytes() < target.rows || repetition.bytes() < target.rows
            });
    let LevelWidths {
        definition_level_max,
        repetition_level_max,
    } = spec.levels.widths;
    let nested = repetition_level_max > 0 || definition_level_max > 1;
    let missing = nested && target.levels.is_none()
        || definition_level_max > 0 && target.levels.is_none() && target.validity.is_none();
    let too_deep = definition_level_max > u16::from(u8::MAX);
    if short || missing || too_deep {
        return Err(refused("its column's arrays do not fit it"));
    }
    Ok(())
}
