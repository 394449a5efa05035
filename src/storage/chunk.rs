//! Column chunks: where they lie in their file, and whether their bytes can be what it says.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::ConvertedType;
use parquet::file::metadata::ColumnChunkMetaData;

use super::ParquetFile;
use super::pages::{
    ChunkFacts, Codec, PAGE_BYTES_MAX, Page, PageEncoding, PageKind, PageProblem, PageWalker,
    PhysicalKind,
};
use super::{SelectedPages, inflate, split, stored};
use crate::error::{Error, ErrorKind, Result};

/// A column chunk of a file.
#[derive(Debug)]
pub struct ColumnChunk<'f> {
    file: &'f ParquetFile,
    row_group: usize,
    leaf: usize,
    start: u64,
    facts: ChunkFacts,
    /// The pages that are read, if not simply all: then the facts are those of the chunk that these
    /// pages are.
    selected: Option<Arc<SelectedPages>>,
}

impl ParquetFile {
    /// The column chunk of a row group and a leaf column, both by index.
    ///
    /// # Errors
    /// `Corrupt` if it lies outside of the file, or has another number of values than its row
    /// group has rows; `InvalidInput` if there is none of these indices.
    pub fn chunk(&self, row_group: usize, leaf: usize) -> Result<ColumnChunk<'_>> {
        let row_groups = self.footer().metadata().row_groups();
        let group = row_groups.get(row_group);
        let column = group.and_then(|group| group.columns().get(leaf));
        let (Some(group), Some(column)) = (group, column) else {
            let place = format!("row group {row_group}, leaf column {leaf}");
            return Err(Error::invalid(place, "not in the file", ""));
        };
        let place = || place_of(row_group, &column.column_path().string());
        let corrupt = |cause: String| Err(Error::corrupt(self.path(), place(), cause));

        let start = column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset());
        let length = column.compressed_size();
        let range = u64::try_from(start).ok().zip(u64::try_from(length).ok());
        let inside = |(start, length): &(u64, u64)| {
            let end = start.checked_add(*length);
            end.is_some_and(|end| end <= self.bytes())
        };
        let Some((start, bytes)) = range.filter(inside) else {
            return corrupt(format!(
                "its {length} bytes from {start} on lie outside of the file, which has {} bytes",
                self.bytes()
            ));
        };
        let descriptor = column.column_descr();
        let level_max = |level: i16| u16::try_from(level).unwrap_or(0);
        let repetition_level_max = level_max(descriptor.max_rep_level());
        let (values, rows) = (column.num_values(), group.num_rows());
        let fitting = u64::try_from(values).ok();
        let Some(value_count) = fitting.filter(|_| repetition_level_max > 0 || values == rows)
        else {
            return corrupt(format!("has {values} values for {rows} rows"));
        };
        Ok(ColumnChunk {
            file: self,
            row_group,
            leaf,
            start,
            facts: ChunkFacts {
                bytes,
                value_count,
                codec: Codec::of(column.compression()),
                definition_level_max: level_max(descriptor.max_def_level()),
                repetition_level_max,
                physical: PhysicalKind::of(column.column_type()),
                type_length: u32::try_from(descriptor.type_length()).unwrap_or(0),
            },
            selected: None,
        })
    }
}

fn place_of(row_group: usize, column: &str) -> String {
    format!("row group {row_group}, column `{column}`")
}

impl ColumnChunk<'_> {
    /// The chunk, of which only these pages are read.
    #[must_use]
    pub fn of_pages(mut self, selected: Arc<SelectedPages>) -> Self {
        self.facts.bytes = selected.bytes();
        self.facts.value_count = selected.row_count();
        self.selected = Some(selected);
        self
    }

    /// Where its bytes begin in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The places in the file of the bytes that are read, in order.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        match &self.selected {
            Some(selected) => selected.ranges(),
            None => std::iter::once(self.start..self.start + self.facts.bytes).collect(),
        }
    }

    /// What a walker found that was fed all bytes that are read.
    ///
    /// # Errors
    /// `Corrupt`, `TooLarge` or `Unsupported`, with row group, column and page.
    pub fn finish(&self, walker: PageWalker) -> Result<Vec<Page>> {
        let pages = walker.finish().and_then(|pages| {
            if let Some(selected) = &self.selected {
                selected.compare(&pages)?;
            }
            Ok(pages)
        });
        pages.map_err(|problem| self.refuse(&problem))
    }

    /// Whether pages that were judged before, when perhaps more or others of the chunk were read, are
    /// those that are read now.
    pub fn is_of(&self, pages: &[Page]) -> bool {
        let of_data = |page: &&Page| page.kind != PageKind::Dictionary;
        let values = pages.iter().filter(of_data);
        let values: u64 = values.map(|page| u64::from(page.value_count)).sum();
        let selected = self.selected.as_ref();
        values == self.facts.value_count
            && pages.iter().skip(1).all(|page| of_data(&page))
            && selected.is_none_or(|selected| selected.compare(pages).is_ok())
    }

    /// What its pages must fit.
    pub fn facts(&self) -> &ChunkFacts {
        &self.facts
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> &ParquetFile {
        self.file
    }

    /// What the footer says of it.
    pub(super) fn metadata(&self) -> &ColumnChunkMetaData {
        self.file.row_group(self.row_group).column(self.leaf)
    }

    /// Rows of its row group.
    pub(super) fn rows(&self) -> usize {
        let rows = self.file.row_group(self.row_group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    /// Its row group and column, for errors.
    pub(super) fn place(&self) -> String {
        place_of(self.row_group, &self.metadata().column_path().string())
    }

    /// A problem of its pages as an error with all coordinates.
    pub fn refuse(&self, problem: &PageProblem) -> Error {
        let (page, cause) = problem.parts();
        let selected = self.selected.as_ref();
        let page = selected.map_or(page, |selected| selected.index_in_chunk(page));
        let place = format!("{}, page {page}", self.place());
        let file = self.file.path();
        match problem {
            PageProblem::Corrupt { .. } => Error::corrupt(file, place, cause),
            PageProblem::TooLarge { .. } => Error::new(ErrorKind::TooLarge {
                file: file.to_path_buf(),
                place,
                cause: cause.to_string(),
            }),
            PageProblem::Unsupported { .. } => {
                Error::unsupported("cpu", format!("{}: {place}", file.display()), cause)
            }
        }
    }

    /// The chunk's pages, all of its bytes being judged before a decoder gets them.
    ///
    /// # Errors
    /// `Corrupt`, `TooLarge` or `Unsupported`, with row group, column and page.
    pub fn pages(&self, bytes: &Bytes, check_crc: bool) -> Result<Vec<Page>> {
        let mut walker = PageWalker::new(self.facts.clone());
        let fed = walker.feed(bytes);
        fed.map_err(|problem| self.refuse(&problem))?;
        let pages = self.finish(walker)?;
        for (index, page) in pages.iter().enumerate() {
            self.check_body(index, page, bytes, check_crc)?;
        }
        Ok(pages)
    }

    /// Judges the body of a page, the first bytes of the chunk being given.
    ///
    /// # Errors
    /// `Corrupt`, with row group, column and page.
    pub fn check_body(
        &self,
        index: usize,
        page: &Page,
        bytes: &Bytes,
        check_crc: bool,
    ) -> Result<()> {
        check_body(self.facts.codec, page, bytes, check_crc).map_err(|cause| {
            let problem = PageProblem::Corrupt { page: index, cause };
            self.refuse(&problem)
        })
    }

    /// Checks that pages are as long as their levels say, where the decoder takes it for granted.
    /// Decompresses them all.
    ///
    /// # Errors
    /// `Corrupt` for the first page that is shorter.
    pub(super) fn check_split(&self, bytes: &Bytes) -> Result<()> {
        let pages = self.pages(bytes, false)?;
        let bodies = stored::decompress(self, bytes.clone())?;
        for (index, (page, body)) in pages.iter().zip(&bodies).enumerate() {
            if split::is_suspect(&self.facts, page) && !split::is_whole(&self.facts, page, body) {
                let cause = "has fewer bytes than its values need".to_string();
                return Err(self.refuse(&PageProblem::Corrupt { page: index, cause }));
            }
        }
        Ok(())
    }

    /// The chunk's dictionary page, from the bytes in front of its data pages; `None` unless they are
    /// such a page, whose checksum and size are as its header says.
    pub(super) fn dictionary_page(&self, bytes: &Bytes) -> Option<Page> {
        let mut walker = PageWalker::new(ChunkFacts {
            bytes: bytes.len() as u64,
            value_count: 0,
            ..self.facts.clone()
        });
        walker.feed(bytes).ok()?;
        let page = walker.finish().ok()?.into_iter().next()?;
        let sound = check_body(self.facts.codec, &page, bytes, true).is_ok();
        (page.kind == PageKind::Dictionary && sound).then_some(page)
    }

    /// As [`ColumnChunk::pages`], answering what decoding them takes.
    ///
    /// # Errors
    /// As `pages`.
    pub(super) fn check(&self, bytes: &Bytes, check_crc: bool) -> Result<PageBytes> {
        let pages = self.pages(bytes, check_crc)?;
        let suspect = |page: &Page| split::is_suspect(&self.facts, page);
        let sizes = pages.iter().map(|page| u64::from(page.uncompressed_bytes));
        Ok(PageBytes {
            split: pages.iter().any(suspect).then(|| sizes.sum()),
            ..PageBytes::of(&pages)
        })
    }

    /// Whether the host's decoder leaves it to us to see that the column's strings are UTF-8: it
    /// looks only at columns that the format itself calls UTF-8 (not at JSON, say), and of strings
    /// behind their lengths not where one ends and the next begins.
    pub(super) fn leaves_text_unchecked(&self, pages: &PageBytes) -> bool {
        let group = self.file.row_group(self.row_group);
        let said = group.column(self.leaf).column_descr().converted_type();
        self.facts.physical == PhysicalKind::ByteArray
            && (said != ConvertedType::UTF8 || pages.joined_text)
    }
}

/// What decoding a column chunk takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PageBytes {
    /// Bytes of pages that the decoder holds at once: the dictionary and the largest data page.
    pub(super) held: u64,
    /// About the bytes of all its values, where each index of a dictionary counts as an entry of
    /// mean size.
    pub(super) decoded: u64,
    /// Whether there are strings behind their lengths, one after the other.
    pub(super) joined_text: bool,
    /// Bytes of all pages, if some of them must be compared with their levels.
    pub(super) split: Option<u64>,
}

impl PageBytes {
    fn of(pages: &[Page]) -> PageBytes {
        let (mut dictionary, mut largest, mut entry_mean, mut decoded) = (0, 0, 0, 0u64);
        let mut joined_text = false;
        for page in pages {
            let held = u64::from(page.compressed_bytes.max(page.uncompressed_bytes));
            if page.kind == PageKind::Dictionary {
                dictionary = held;
                entry_mean = u64::from(page.uncompressed_bytes / page.value_count.max(1));
                continue;
            }
            largest = held.max(largest);
            joined_text |= page.encoding == PageEncoding::DeltaLengthByteArray;
            decoded = decoded.saturating_add(match page.encoding {
                PageEncoding::PlainDictionary | PageEncoding::RleDictionary => {
                    u64::from(page.value_count) * entry_mean
                }
                _ => u64::from(page.uncompressed_bytes),
            });
        }
        PageBytes {
            held: dictionary + largest,
            decoded,
            joined_text,
            split: None,
        }
    }
}

/// Compares a page with its checksum and, where its codec knows no end, with its size.
fn check_body(codec: Codec, page: &Page, chunk: &[u8], check_crc: bool) -> Result<(), String> {
    let stored = u64::from(page.compressed_bytes);
    let range = page.body_start..page.body_start.saturating_add(stored);
    let range = usize::try_from(range.start)
        .ok()
        .zip(usize::try_from(range.end).ok());
    let body = range.and_then(|(start, end)| chunk.get(start..end));
    let body = body.ok_or_else(|| "is cut off".to_string())?;
    if check_crc && page.crc.is_some() {
        page.compare_crc(crc32fast::hash(body))?;
    }
    let levels = page.level_bytes();
    let values = usize::try_from(levels).ok().and_then(|at| body.get(at..));
    let values = values.unwrap_or_default();
    let says = u64::from(page.uncompressed_bytes - levels);
    if !page.compressed {
        return Ok(());
    }
    if inflate::is_suspect(codec, values.len() as u64, PAGE_BYTES_MAX.into())
        && inflate::exceeds(codec, values, says)
    {
        return Err(format!("holds more than the {says} bytes that it declares"));
    }
    if let Some(declared) = inflate::declared(codec, values).filter(|declared| *declared != says) {
        return Err(format!("holds {declared} bytes, its header says {says}"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use parquet::file::metadata::{
        ColumnChunkMetaDataBuilder as Column, FileMetaData, ParquetMetaData,
        ParquetMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
    };
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;
    use crate::storage::{Dataset, ReadOptions, write_orders};

    /// The file of the sample, with another footer.
    fn with_footer(folder: &Path, edit: impl Fn(&ParquetMetaData) -> ParquetMetaData) -> Vec<u8> {
        write_orders(folder).unwrap();
        let whole = fs::read(folder.join("orders.parquet")).unwrap();
        let mut reader = ParquetMetaDataReader::new();
        reader.try_parse(&Bytes::from(whole.clone())).unwrap();
        let metadata = edit(&reader.finish().unwrap());
        // The old footer stays where it was, as bytes that nobody needs.
        let mut changed = whole;
        ParquetMetaDataWriter::new(&mut changed, &metadata)
            .finish()
            .unwrap();
        changed
    }

    fn with_column(
        edit: impl Fn(Column) -> Column,
    ) -> impl Fn(&ParquetMetaData) -> ParquetMetaData {
        move |metadata| {
            let group = metadata.row_group(0).clone();
            let mut columns = group.columns().to_vec();
            columns[0] = edit(columns[0].clone().into_builder()).build().unwrap();
            let group = group.into_builder().set_column_metadata(columns).build();
            with_groups(metadata, group.unwrap(), 5)
        }
    }

    fn with_groups(like: &ParquetMetaData, group: RowGroupMetaData, rows: i64) -> ParquetMetaData {
        let schema = group.schema_descr_ptr();
        let version = like.file_metadata().version();
        let file = FileMetaData::new(version, rows, None, None, schema, None);
        ParquetMetaDataBuilder::new(file)
            .set_row_groups(vec![group])
            .build()
    }

    /// The rows of a file with another footer, or why it has none.
    fn outcome(edit: impl Fn(&ParquetMetaData) -> ParquetMetaData) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edited.parquet");
        fs::write(&path, with_footer(folder.path(), edit)).unwrap();
        let read = || {
            let dataset = Dataset::open(std::slice::from_ref(&path))?;
            let columns: Vec<usize> = (0..dataset.schema().fields().len()).collect();
            let mut rows = 0;
            for partition in dataset.prune(&columns, None)?.partitions(1 << 20) {
                for batch in partition.read(ReadOptions::detached(100)) {
                    rows += batch?.num_rows();
                }
            }
            Ok(rows)
        };
        read().map_err(|error: Error| {
            let name = format!("{}: ", path.display());
            error.to_string().replace(&name, "")
        })
    }

    #[test]
    fn footers_that_miss_their_chunks_are_refused_and_known_slips_forgiven() {
        assert_eq!(outcome(with_column(|column| column)), Ok(5));
        let place = "row group 0, column `customer_id`";
        for (edited, expected) in [
            (
                outcome(with_column(|column| column.set_num_values(6))),
                "has 6 values for 5 rows",
            ),
            (
                outcome(with_column(|column| column.set_num_values(-5))),
                "has -5 values for 5 rows",
            ),
            (
                outcome(with_column(|column| {
                    let column = column.set_dictionary_page_offset(None);
                    column.set_data_page_offset(1 << 40)
                })),
                "lie outside of the file",
            ),
            (
                outcome(with_column(|column| {
                    column.set_total_compressed_size(1 << 40)
                })),
                "lie outside of the file",
            ),
            (
                outcome(with_column(|column| column.set_total_compressed_size(30))),
                "page 0: its 24 bytes from 14 on pass the column chunk's 30",
            ),
        ] {
            let text = edited.err().unwrap_or_default();
            assert!(text.starts_with(place) && text.contains(expected), "{text}");
        }
        let negative = outcome(with_column(|column| column.set_total_compressed_size(-1)));
        assert!(negative.is_err_and(|text| text.contains("its size is negative")));

        // A file's row count that is not its row groups' sum, and a dictionary in the magic number.
        let rows = outcome(|metadata| with_groups(metadata, metadata.row_group(0).clone(), 77));
        assert_eq!(rows, Ok(5));
        let dictionary = |metadata: &ParquetMetaData| {
            let start = metadata.row_group(0).column(0).byte_range().0;
            let start = i64::try_from(start).unwrap();
            let edit = |column: Column| {
                let column = column.set_dictionary_page_offset(Some(0));
                column.set_data_page_offset(start)
            };
            with_column(edit)(metadata)
        };
        assert_eq!(outcome(dictionary), Ok(5));
    }

    #[test]
    fn rows_that_nothing_backs_are_refused() {
        let columnless = |rows| {
            outcome(move |metadata| {
                let schema = Arc::new(parse_message_type("message m {}").unwrap());
                let schema = Arc::new(SchemaDescriptor::new(schema));
                let group = RowGroupMetaData::builder(schema).set_num_rows(rows);
                with_groups(metadata, group.build().unwrap(), rows)
            })
        };
        assert_eq!(columnless(250), Ok(250));
        let text = "row group 0: has 4294967296 rows without a column";
        assert_eq!(columnless(1 << 32), Err(text.to_string()));
        let text = "row group 0: says it has -1 rows";
        assert_eq!(columnless(-1), Err(text.to_string()));
    }

    #[test]
    fn an_index_weighs_as_much_as_an_entry() {
        let mut dictionary = page(&[0; 10], 40, None);
        (dictionary.kind, dictionary.value_count) = (PageKind::Dictionary, 4);
        let mut indices = page(&[0; 8], 20, None);
        (indices.encoding, indices.value_count) = (PageEncoding::RleDictionary, 1000);
        let plain = page(&[0; 8], 30, None);
        let bytes = PageBytes::of(&[dictionary, indices, plain]);
        let expected = PageBytes {
            held: 70,
            decoded: 10_030,
            joined_text: false,
            split: None,
        };
        assert_eq!(bytes, expected);
    }

    fn page(bytes: &[u8], uncompressed_bytes: u32, crc: Option<u32>) -> Page {
        Page {
            crc,
            ..Page::sample(0, bytes, uncompressed_bytes)
        }
    }

    #[test]
    fn bodies_have_their_checksum_and_no_more_than_they_declare() -> std::io::Result<()> {
        use std::io::Write;

        let bytes = b"123456789";
        let of = |crc| page(bytes, 9, Some(crc));
        let checked = |crc, check_crc| check_body(Codec::Lz4Raw, &of(crc), bytes, check_crc);
        assert_eq!(checked(0xcbf4_3926, true), Ok(()));
        assert_eq!(checked(1, false), Ok(()));
        let wrong = "its bytes have the checksum cbf43926, its header says 00000001";
        assert_eq!(checked(1, true), Err(wrong.to_string()));
        let cut = check_body(Codec::Snappy, &of(1), &bytes[1..], true);
        assert_eq!(cut, Err("is cut off".to_string()));

        let snappy = check_body(Codec::Snappy, &page(&[8, 28], 9, None), &[8, 28], true);
        let short = "holds 8 bytes, its header says 9";
        assert_eq!(snappy, Err(short.to_string()));

        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 9, 22).write_all(&[0; 1 << 20])?;
        let declares =
            |bytes| check_body(Codec::Brotli, &page(&brotli, bytes, None), &brotli, true);
        assert_eq!(declares(1 << 20), Ok(()));
        let bomb = "holds more than the 1000 bytes that it declares";
        assert_eq!(declares(1000), Err(bomb.to_string()));
        Ok(())
    }
}
