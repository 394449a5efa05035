//! Pages of a column chunk: where they lie and what they hold, from their headers alone.
//!
//! A [`PageWalker`] is fed a chunk's bytes in portions of any size and judges every length and
//! count before a decoder believes it, on the host or on a device. It decodes nothing and looks
//! at no page's body. What a footer says comes in as [`ChunkFacts`]. What is deliberately not
//! here: what a body holds when inflated, which the reader looks at. [`PageChecksums`] goes beside it.

mod check;
mod checksum;
mod header;
#[cfg(test)]
mod tests;

use std::fmt;

use parquet::basic::{Compression, Type as PhysicalType};

use super::thrift::Malformed;
use header::Header;

pub use checksum::PageChecksums;

/// A page header that is longer is refused. Statistics of long strings make headers long, and no
/// writer puts more than a few kilobytes there.
const HEADER_BYTES_MAX: usize = 16 << 20;

/// A page that is larger is refused, compressed or not. Writers aim at a megabyte.
pub const PAGE_BYTES_MAX: u32 = 512 << 20;

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// The distinct values of a column chunk.
    Dictionary,
    /// Values with their levels, compressed together.
    DataV1,
    /// Values with their levels in front, which are never compressed.
    DataV2,
}

/// How values or levels are encoded; discriminants are the format's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PageEncoding {
    /// One value after the other.
    Plain = 0,
    /// Indices of a dictionary, by the old name; of a dictionary page, plain values.
    PlainDictionary = 2,
    /// Runs and bit-packed groups.
    Rle = 3,
    /// Levels packed from the highest bit on: deprecated.
    BitPacked = 4,
    /// Differences of integers, in blocks.
    DeltaBinaryPacked = 5,
    /// Lengths as differences, then the bytes.
    DeltaLengthByteArray = 6,
    /// Shared prefixes' lengths, then suffixes.
    DeltaByteArray = 7,
    /// Indices of a dictionary.
    RleDictionary = 8,
    /// The first byte of every value, then the second, and so on.
    ByteStreamSplit = 9,
}

impl PageEncoding {
    /// The encoding of a number of the format.
    pub fn of(number: i64) -> Option<PageEncoding> {
        Some(match number {
            0 => PageEncoding::Plain,
            2 => PageEncoding::PlainDictionary,
            3 => PageEncoding::Rle,
            4 => PageEncoding::BitPacked,
            5 => PageEncoding::DeltaBinaryPacked,
            6 => PageEncoding::DeltaLengthByteArray,
            7 => PageEncoding::DeltaByteArray,
            8 => PageEncoding::RleDictionary,
            9 => PageEncoding::ByteStreamSplit,
            _ => return None,
        })
    }
}

/// How the pages of a column chunk are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    Uncompressed,
    /// Snappy, without a frame.
    Snappy,
    /// Gzip, of one member or many.
    Gzip,
    /// LZO.
    Lzo,
    /// Brotli.
    Brotli,
    /// LZ4 in Hadoop's framing; old writers put LZ4 frames or bare blocks there.
    Lz4,
    /// Zstandard.
    Zstd,
    /// One LZ4 block.
    Lz4Raw,
}

impl Codec {
    pub(super) fn of(compression: Compression) -> Codec {
        match compression {
            Compression::UNCOMPRESSED => Codec::Uncompressed,
            Compression::SNAPPY => Codec::Snappy,
            Compression::GZIP(_) => Codec::Gzip,
            Compression::LZO => Codec::Lzo,
            Compression::BROTLI(_) => Codec::Brotli,
            Compression::LZ4 => Codec::Lz4,
            Compression::ZSTD(_) => Codec::Zstd,
            Compression::LZ4_RAW => Codec::Lz4Raw,
        }
    }
}

/// How a column's values are stored, whatever they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhysicalKind {
    /// One bit.
    Boolean,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
    /// 96 bits, a timestamp of old.
    Int96,
    /// A float of 32 bits.
    Float,
    /// A float of 64 bits.
    Double,
    /// Bytes, each value with its length.
    ByteArray,
    /// Bytes, the same number in each value.
    FixedLenByteArray,
}

impl PhysicalKind {
    pub(super) fn of(physical: PhysicalType) -> PhysicalKind {
        match physical {
            PhysicalType::BOOLEAN => PhysicalKind::Boolean,
            PhysicalType::INT32 => PhysicalKind::Int32,
            PhysicalType::INT64 => PhysicalKind::Int64,
            PhysicalType::INT96 => PhysicalKind::Int96,
            PhysicalType::FLOAT => PhysicalKind::Float,
            PhysicalType::DOUBLE => PhysicalKind::Double,
            PhysicalType::BYTE_ARRAY => PhysicalKind::ByteArray,
            PhysicalType::FIXED_LEN_BYTE_ARRAY => PhysicalKind::FixedLenByteArray,
        }
    }
}

/// One page of a column chunk, as its header describes it; already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What the page is.
    pub kind: PageKind,
    /// Where the page's bytes (after the header) begin, from the start of the column chunk.
    pub body_start: u64,
    /// Bytes of the body as stored: levels of version 2 included.
    pub compressed_bytes: u32,
    /// Bytes of the body after decompression: levels included.
    pub uncompressed_bytes: u32,
    /// Entries of a dictionary; level entries (values and nulls) of a data page.
    pub value_count: u32,
    /// How the values are encoded.
    pub encoding: PageEncoding,
    /// Encoding of a version 1 page's definition levels; `Rle` where there are none.
    pub definition_encoding: PageEncoding,
    /// Encoding of a version 1 page's repetition levels; `Rle` where there are none.
    pub repetition_encoding: PageEncoding,
    /// Bytes of a version 2 page's repetition levels, which come first and uncompressed.
    pub repetition_bytes: u32,
    /// Bytes of a version 2 page's definition levels, which follow, uncompressed too.
    pub definition_bytes: u32,
    /// Nulls; version 2 only.
    pub null_count: Option<u32>,
    /// Rows; version 2 only.
    pub row_count: Option<u32>,
    /// Whether the part after the levels is compressed by the chunk's codec. False if it is empty
    /// and no codec's output.
    pub compressed: bool,
    /// The checksum (CRC-32 of the body as stored), where the writer made one.
    pub crc: Option<u32>,
}

impl Page {
    /// A compressed page of one PLAIN value, for tests that look at a page's bytes.
    #[cfg(test)]
    pub(super) fn sample(body_start: u64, body: &[u8], uncompressed_bytes: u32) -> Page {
        Page {
            kind: PageKind::DataV1,
            body_start,
            compressed_bytes: u32::try_from(body.len()).unwrap_or(0),
            uncompressed_bytes,
            value_count: 1,
            encoding: PageEncoding::Plain,
            definition_encoding: PageEncoding::Rle,
            repetition_encoding: PageEncoding::Rle,
            repetition_bytes: 0,
            definition_bytes: 0,
            null_count: None,
            row_count: None,
            compressed: true,
            crc: None,
        }
    }

    /// Bytes of a version 2 page's levels; 0 for others.
    pub fn level_bytes(&self) -> u32 {
        // Their sum is at most the body's bytes: checked when the header was read.
        self.repetition_bytes + self.definition_bytes
    }

    /// Compares the checksum of the page's bytes with the one in its header, if there is one.
    ///
    /// # Errors
    /// They are not the bytes that were written, in words.
    pub(super) fn compare_crc(&self, found: u32) -> Result<(), String> {
        match self.crc {
            Some(expected) if found != expected => Err(format!(
                "its bytes have the checksum {found:08x}, its header says {expected:08x}"
            )),
            _ => Ok(()),
        }
    }
}

/// What the footer says of a column chunk, as far as its pages must fit it.
#[derive(Debug, Clone)]
pub struct ChunkFacts {
    /// Bytes of the chunk as stored, headers included.
    pub bytes: u64,
    /// Level entries (values and nulls) of all data pages.
    pub value_count: u64,
    /// How pages are compressed.
    pub codec: Codec,
    /// The highest definition level; 0 if nothing can be null.
    pub definition_level_max: u16,
    /// The highest repetition level; 0 outside of lists.
    pub repetition_level_max: u16,
    /// How values are stored.
    pub physical: PhysicalKind,
    /// Bytes of a `FixedLenByteArray` value, else 0.
    pub type_length: u32,
}

impl ChunkFacts {
    /// Bytes of a value, if all have the same; 0 of Booleans and byte arrays.
    pub(super) fn value_bytes(&self) -> u32 {
        match self.physical {
            PhysicalKind::Boolean | PhysicalKind::ByteArray => 0,
            PhysicalKind::Int32 | PhysicalKind::Float => 4,
            PhysicalKind::Int64 | PhysicalKind::Double => 8,
            PhysicalKind::Int96 => 12,
            PhysicalKind::FixedLenByteArray => self.type_length,
        }
    }
}

/// Why a chunk's pages cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageProblem {
    /// A header is none, or says what cannot be.
    Corrupt {
        /// The page, counted from 0 over all pages of the chunk.
        page: usize,
        /// What is wrong.
        cause: String,
    },
    /// A page is larger than [`PAGE_BYTES_MAX`].
    TooLarge {
        /// The page, counted from 0 over all pages of the chunk.
        page: usize,
        /// What is too large.
        cause: String,
    },
    /// The format may know what this is; we do not.
    Unsupported {
        /// The page, counted from 0 over all pages of the chunk.
        page: usize,
        /// What is unknown.
        cause: String,
    },
}

impl PageProblem {
    /// The page, counted from 0 over all pages of the chunk, and what is wrong with it.
    pub fn parts(&self) -> (usize, &str) {
        match self {
            PageProblem::Corrupt { page, cause }
            | PageProblem::TooLarge { page, cause }
            | PageProblem::Unsupported { page, cause } => (*page, cause),
        }
    }
}

impl fmt::Display for PageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (page, cause) = self.parts();
        write!(f, "page {page}: {cause}")
    }
}

impl std::error::Error for PageProblem {}

/// Follows a column chunk's page headers. The first problem is final.
#[derive(Debug)]
pub struct PageWalker {
    facts: ChunkFacts,
    pages: Vec<Page>,
    /// Pages seen, those skipped included.
    page_index: usize,
    /// Bytes of a header that was cut by the end of a portion.
    pending: Vec<u8>,
    /// Bytes of the current page's body that are still to come.
    body_left: u64,
    /// Bytes fed.
    fed: u64,
    /// Level entries of the data pages so far.
    values_seen: u64,
    failed: Option<PageProblem>,
}

impl PageWalker {
    /// A walker of a column chunk's bytes, from the first on.
    pub fn new(facts: ChunkFacts) -> Self {
        PageWalker {
            facts,
            pages: Vec::new(),
            page_index: 0,
            pending: Vec::new(),
            body_left: 0,
            fed: 0,
            values_seen: 0,
            failed: None,
        }
    }

    /// The chunk's next bytes, in portions of any size.
    ///
    /// # Errors
    /// The first page that cannot be.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), PageProblem> {
        if let Some(problem) = &self.failed {
            return Err(problem.clone());
        }
        let outcome = self.take(bytes);
        if let Err(problem) = &outcome {
            self.failed = Some(problem.clone());
        }
        outcome
    }

    /// Passes over what is left of the last page's body, and answers how many bytes that is.
    pub fn skip_body(&mut self) -> u64 {
        let left = std::mem::take(&mut self.body_left);
        self.fed += left; // no further than the chunk's end: checked with the header
        left
    }

    /// The pages whose headers end within the bytes so far.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The pages, once all bytes were fed.
    ///
    /// # Errors
    /// The first page that cannot be, or pages that do not add up to what the footer says.
    pub fn finish(self) -> Result<Vec<Page>, PageProblem> {
        if let Some(problem) = self.failed {
            return Err(problem);
        }
        let ChunkFacts {
            bytes, value_count, ..
        } = self.facts;
        let page = self.page_index;
        let corrupt = |cause: String| Err(PageProblem::Corrupt { page, cause });
        if self.fed < bytes {
            return corrupt(format!("only {} of {bytes} bytes are there", self.fed));
        }
        if !self.pending.is_empty() {
            return corrupt("its header is cut off by the end of the column chunk".into());
        }
        if self.values_seen < value_count {
            let seen = self.values_seen;
            return corrupt(format!(
                "is missing: {seen} values so far, the footer says {value_count}"
            ));
        }
        Ok(self.pages)
    }

    fn corrupt(&self, cause: String) -> PageProblem {
        PageProblem::Corrupt {
            page: self.page_index,
            cause,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), PageProblem> {
        let left = self.facts.bytes - self.fed;
        if bytes.len() as u64 > left {
            let more = bytes.len() as u64 - left;
            return Err(self.corrupt(format!("{more} bytes more than the footer says")));
        }
        self.fed += bytes.len() as u64;
        loop {
            let skipped = usize::try_from(self.body_left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.body_left -= skipped as u64;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            match self.header(&mut bytes)? {
                Some(header) => {
                    let body_start = self.fed - bytes.len() as u64;
                    self.page(&header, body_start)?;
                }
                None => return Ok(()),
            }
        }
    }

    /// The next header, taken off the bytes; `None` if it goes on in the next portion.
    fn header(&mut self, bytes: &mut &[u8]) -> Result<Option<Header>, PageProblem> {
        let cut = self.pending.len();
        let window = bytes.len().min(HEADER_BYTES_MAX - cut);
        let read = if cut == 0 {
            header::read(&bytes[..window])
        } else {
            self.pending.extend_from_slice(&bytes[..window]);
            header::read(&self.pending)
        };
        match read {
            Ok(header) => {
                // It did not end within the pending bytes, or it would not be pending.
                *bytes = &bytes[header.header_bytes.saturating_sub(cut)..];
                self.pending.clear();
                Ok(Some(header))
            }
            Err(Malformed::Ended) if cut + window < HEADER_BYTES_MAX => {
                if cut == 0 {
                    self.pending.extend_from_slice(&bytes[..window]);
                }
                Ok(None)
            }
            Err(Malformed::Ended) => {
                let cause = format!("has a header of more than {HEADER_BYTES_MAX} bytes");
                Err(self.corrupt(cause))
            }
            Err(Malformed::Wrong) => Err(self.corrupt("has no header that can be read".into())),
        }
    }

    /// Judges a header and keeps its page.
    fn page(&mut self, header: &Header, body_start: u64) -> Result<(), PageProblem> {
        let so_far = check::SoFar {
            page: self.page_index,
            body_start,
            values_left: self.facts.value_count - self.values_seen,
            has_dictionary: self.pages.first().map(|page| page.kind) == Some(PageKind::Dictionary),
            // A dictionary comes first and alone, so the last page tells.
            has_data: self
                .pages
                .last()
                .is_some_and(|page| page.kind != PageKind::Dictionary),
        };
        match check::page(&self.facts, &so_far, header) {
            Ok(check::Checked { body_bytes, page }) => {
                self.page_index += 1;
                self.body_left = body_bytes;
                if let Some(page) = page {
                    if page.kind != PageKind::Dictionary {
                        self.values_seen += u64::from(page.value_count);
                    }
                    self.pages.push(page);
                }
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }
}
