//! Whether a page can be what its header says, within its column chunk.

use super::PhysicalKind;
use super::header::{self, Header};
use super::{ChunkFacts, Codec, PAGE_BYTES_MAX, Page, PageEncoding, PageKind, PageProblem};

/// The format's numbers of page types; 1 is an index page.
const DATA_V1: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

/// Bytes that a compressed page may grow by whatever its size: rounding of short inputs.
const GROWTH_BYTES: u64 = 64;

/// What the pages before say.
pub(super) struct SoFar {
    /// This page's index.
    pub(super) page: usize,
    pub(super) body_start: u64,
    /// Values that the footer still promises.
    pub(super) values_left: u64,
    pub(super) has_dictionary: bool,
    pub(super) has_data: bool,
}

/// A header that can be.
pub(super) struct Checked {
    pub(super) body_bytes: u64,
    /// `None` for pages of a kind that nobody needs.
    pub(super) page: Option<Page>,
}

/// Judges a header.
///
/// # Errors
/// What cannot be, is too large or unknown.
pub(super) fn page(
    facts: &ChunkFacts,
    so_far: &SoFar,
    header: &Header,
) -> Result<Checked, PageProblem> {
    let check = Check {
        facts,
        so_far,
        page: so_far.page,
    };
    let page_type = header.page_type;
    let page_type = page_type.ok_or_else(|| check.corrupt("its header says no type".into()))?;
    if !(DATA_V1..=DATA_V2).contains(&page_type) {
        return Err(check.corrupt(format!("is of type {page_type}, which is unknown")));
    }
    check.parts(header)?;
    let compressed = check.size("compressed size", header.compressed)?;
    let uncompressed = check.size("uncompressed size", header.uncompressed)?;
    let end = so_far.body_start.checked_add(u64::from(compressed));
    if end.is_none_or(|end| end > facts.bytes) {
        let (start, bytes) = (so_far.body_start, facts.bytes);
        return Err(check.corrupt(format!(
            "its {compressed} bytes from {start} on pass the column chunk's {bytes}"
        )));
    }
    let body = Page {
        kind: PageKind::DataV1,
        body_start: so_far.body_start,
        compressed_bytes: compressed,
        uncompressed_bytes: uncompressed,
        value_count: 0,
        encoding: PageEncoding::Plain,
        definition_encoding: PageEncoding::Rle,
        repetition_encoding: PageEncoding::Rle,
        repetition_bytes: 0,
        definition_bytes: 0,
        null_count: None,
        row_count: None,
        compressed: facts.codec != Codec::Uncompressed,
        // A checksum is 32 bits that the format calls an integer with a sign.
        crc: header
            .crc
            .and_then(|crc| i32::try_from(crc).ok())
            .map(i32::cast_unsigned),
    };
    let missing = || check.corrupt("its header lacks the part of its type".into());
    let page = match page_type {
        DICTIONARY => {
            Some(check.dictionary(body, header.dictionary.as_ref().ok_or_else(missing)?)?)
        }
        DATA_V1 => Some(check.data_v1(body, header.data_v1.as_ref().ok_or_else(missing)?)?),
        DATA_V2 => Some(check.data_v2(body, header.data_v2.as_ref().ok_or_else(missing)?)?),
        _ => None,
    };
    let body_bytes = u64::from(compressed);
    Ok(Checked { body_bytes, page })
}

struct Check<'a> {
    facts: &'a ChunkFacts,
    so_far: &'a SoFar,
    page: usize,
}

impl Check<'_> {
    fn corrupt(&self, cause: String) -> PageProblem {
        PageProblem::Corrupt {
            page: self.page,
            cause,
        }
    }

    /// A number that must be there and not be negative.
    fn number(&self, what: &str, number: Option<i64>) -> Result<u32, PageProblem> {
        let number = number.ok_or_else(|| self.corrupt(format!("its header says no {what}")))?;
        u32::try_from(number).map_err(|_| self.corrupt(format!("its {what} is {number}")))
    }

    /// Checks that the parts that are there are whole, those of other types of pages too: the host's
    /// decoder reads them all.
    fn parts(&self, header: &Header) -> Result<(), PageProblem> {
        if let Some(said) = &header.data_v1 {
            self.number("number of values", said.values)?;
            self.encoding("encoding", said.encoding)?;
            self.encoding("encoding of definition levels", said.definition_encoding)?;
            self.encoding("encoding of repetition levels", said.repetition_encoding)?;
        }
        if let Some(said) = &header.dictionary {
            self.number("number of entries", said.values)?;
            self.encoding("encoding", said.encoding)?;
        }
        if let Some(said) = &header.data_v2 {
            self.number("number of values", said.values)?;
            self.number("number of nulls", said.nulls)?;
            self.number("number of rows", said.rows)?;
            self.encoding("encoding", said.encoding)?;
            self.number("size of definition levels", said.definition_bytes)?;
            self.number("size of repetition levels", said.repetition_bytes)?;
        }
        Ok(())
    }

    fn size(&self, what: &str, number: Option<i64>) -> Result<u32, PageProblem> {
        let bytes = self.number(what, number)?;
        if bytes > PAGE_BYTES_MAX {
            return Err(PageProblem::TooLarge {
                page: self.page,
                cause: format!("its {what} is {bytes} bytes; the limit is {PAGE_BYTES_MAX}"),
            });
        }
        Ok(bytes)
    }

    fn encoding(&self, what: &str, number: Option<i64>) -> Result<PageEncoding, PageProblem> {
        let number = number.ok_or_else(|| self.corrupt(format!("its header says no {what}")))?;
        PageEncoding::of(number).ok_or_else(|| PageProblem::Unsupported {
            page: self.page,
            cause: format!("its {what} is {number}, which is unknown"),
        })
    }

    fn dictionary(&self, mut page: Page, said: &header::Dictionary) -> Result<Page, PageProblem> {
        if self.so_far.has_dictionary {
            return Err(self.corrupt("is a second dictionary".into()));
        }
        if self.so_far.has_data {
            return Err(self.corrupt("is a dictionary behind data".into()));
        }
        if self.facts.physical == PhysicalKind::Boolean {
            return Err(self.corrupt("is a dictionary of truth values".into()));
        }
        page.kind = PageKind::Dictionary;
        page.value_count = self.number("number of entries", said.values)?;
        page.encoding = self.encoding("encoding", said.encoding)?;
        if !matches!(
            page.encoding,
            PageEncoding::Plain | PageEncoding::PlainDictionary
        ) {
            let encoding = page.encoding;
            return Err(self.corrupt(format!("is a dictionary encoded as {encoding:?}")));
        }
        self.inflation(&mut page)?;
        self.plain_values(page.value_count, page.uncompressed_bytes)?;
        Ok(page)
    }

    fn data_v1(&self, mut page: Page, said: &header::DataV1) -> Result<Page, PageProblem> {
        page.value_count = self.value_count(said.values)?;
        page.encoding = self.value_encoding(said.encoding, page.value_count)?;
        if self.facts.definition_level_max > 0 {
            page.definition_encoding =
                self.level_encoding("definition levels", said.definition_encoding)?;
        }
        if self.facts.repetition_level_max > 0 {
            page.repetition_encoding =
                self.level_encoding("repetition levels", said.repetition_encoding)?;
        }
        self.inflation(&mut page)?;
        let always_there = self.facts.definition_level_max == 0;
        let fixed = matches!(
            page.encoding,
            PageEncoding::Plain | PageEncoding::ByteStreamSplit
        );
        if always_there && fixed {
            self.plain_values(page.value_count, page.uncompressed_bytes)?;
        }
        Ok(page)
    }

    fn data_v2(&self, mut page: Page, said: &header::DataV2) -> Result<Page, PageProblem> {
        page.kind = PageKind::DataV2;
        page.value_count = self.value_count(said.values)?;
        page.encoding = self.value_encoding(said.encoding, page.value_count)?;
        let nulls = self.number("number of nulls", said.nulls)?;
        let rows = self.number("number of rows", said.rows)?;
        let values = page.value_count;
        if nulls > values {
            return Err(self.corrupt(format!("has {nulls} nulls among {values} values")));
        }
        if nulls > 0 && self.facts.definition_level_max == 0 {
            return Err(self.corrupt(format!("has {nulls} nulls in a required column")));
        }
        if rows > values {
            return Err(self.corrupt(format!("has {rows} rows of {values} values")));
        }
        page.null_count = Some(nulls);
        page.row_count = Some(rows);
        page.definition_bytes = self.number("size of definition levels", said.definition_bytes)?;
        page.repetition_bytes = self.number("size of repetition levels", said.repetition_bytes)?;
        let levels = page.definition_bytes.checked_add(page.repetition_bytes);
        let body = page.compressed_bytes.min(page.uncompressed_bytes);
        let Some(levels) = levels.filter(|levels| *levels <= body) else {
            let (definition, repetition) = (page.definition_bytes, page.repetition_bytes);
            return Err(self.corrupt(format!(
                "its levels of {repetition} and {definition} bytes pass its body's {body}"
            )));
        };
        page.compressed &= !said.is_not_compressed;
        self.inflation(&mut page)?;
        let fixed = matches!(
            page.encoding,
            PageEncoding::Plain | PageEncoding::ByteStreamSplit
        );
        if fixed {
            self.plain_values(values - nulls, page.uncompressed_bytes - levels)?;
        }
        Ok(page)
    }

    fn value_count(&self, number: Option<i64>) -> Result<u32, PageProblem> {
        let values = self.number("number of values", number)?;
        let left = self.so_far.values_left;
        if u64::from(values) > left {
            let all = self.facts.value_count;
            return Err(self.corrupt(format!(
                "has {values} values, {left} of the footer's {all} are left"
            )));
        }
        Ok(values)
    }

    /// An encoding that the column's values can have.
    fn value_encoding(
        &self,
        number: Option<i64>,
        values: u32,
    ) -> Result<PageEncoding, PageProblem> {
        use PhysicalKind as P;
        let encoding = self.encoding("encoding", number)?;
        let physical = self.facts.physical;
        let fits = match encoding {
            PageEncoding::Plain => true,
            PageEncoding::PlainDictionary | PageEncoding::RleDictionary => physical != P::Boolean,
            PageEncoding::Rle => physical == P::Boolean,
            PageEncoding::BitPacked => false,
            PageEncoding::DeltaBinaryPacked => matches!(physical, P::Int32 | P::Int64),
            PageEncoding::DeltaLengthByteArray => physical == P::ByteArray,
            PageEncoding::DeltaByteArray => matches!(physical, P::ByteArray | P::FixedLenByteArray),
            PageEncoding::ByteStreamSplit => matches!(
                physical,
                P::Int32 | P::Int64 | P::Float | P::Double | P::FixedLenByteArray
            ),
        };
        if !fits {
            return Err(self.corrupt(format!("has {physical:?} values encoded as {encoding:?}")));
        }
        let by_dictionary = matches!(
            encoding,
            PageEncoding::PlainDictionary | PageEncoding::RleDictionary
        );
        if by_dictionary && values > 0 && !self.so_far.has_dictionary {
            return Err(self.corrupt("has indices of a dictionary that is not there".into()));
        }
        Ok(encoding)
    }

    fn level_encoding(&self, what: &str, number: Option<i64>) -> Result<PageEncoding, PageProblem> {
        let encoding = self.encoding(&format!("encoding of {what}"), number)?;
        match encoding {
            PageEncoding::Rle | PageEncoding::BitPacked => Ok(encoding),
            other => Err(self.corrupt(format!("has {what} encoded as {other:?}"))),
        }
    }

    /// Checks that the body can become as large as it says under the chunk's codec.
    fn inflation(&self, page: &mut Page) -> Result<(), PageProblem> {
        let levels = page.level_bytes();
        let stored = u64::from(page.compressed_bytes - levels);
        let inflated = u64::from(page.uncompressed_bytes - levels);
        let codec = self.facts.codec;
        // The most that one byte can become: of Snappy, a copy of 64 bytes in 3; of LZ4, a length
        // that a byte raises by 255; of deflate, a copy of 258 bytes in 2 bits.
        let factor_max = match codec {
            _ if !page.compressed => None,
            Codec::Uncompressed => None,
            Codec::Snappy => Some(22),
            Codec::Lz4 | Codec::Lz4Raw => Some(256),
            Codec::Gzip => Some(1032),
            // Runs in a few bytes: no bound below a page's own.
            Codec::Zstd | Codec::Brotli | Codec::Lzo => Some(u64::from(PAGE_BYTES_MAX)),
        };
        let Some(factor_max) = factor_max else {
            if stored == inflated {
                return Ok(());
            }
            return Err(self.corrupt(format!(
                "is not compressed and has {stored} bytes for {inflated}"
            )));
        };
        if stored == 0 && inflated == 0 {
            page.compressed = false;
            return Ok(());
        }
        if stored == 0 || inflated > factor_max * stored + GROWTH_BYTES {
            return Err(self.corrupt(format!(
                "cannot become {inflated} bytes from {stored} of {codec:?}"
            )));
        }
        Ok(())
    }

    /// Checks that bytes are enough for so many values, one after the other.
    fn plain_values(&self, values: u32, bytes: u32) -> Result<(), PageProblem> {
        let values = u64::from(values);
        let needed = match self.facts.physical {
            PhysicalKind::Boolean => values.div_ceil(8),
            PhysicalKind::Int32 | PhysicalKind::Float => 4 * values,
            PhysicalKind::Int64 | PhysicalKind::Double => 8 * values,
            PhysicalKind::Int96 => 12 * values,
            // The length in front of each.
            PhysicalKind::ByteArray => 4 * values,
            PhysicalKind::FixedLenByteArray => u64::from(self.facts.type_length) * values,
        };
        if needed > u64::from(bytes) {
            return Err(self.corrupt(format!(
                "has {bytes} bytes for {values} values, which need {needed}"
            )));
        }
        Ok(())
    }
}
