//! Column chunks: where they lie in their file, and whether their bytes can be what it says.

use bytes::Bytes;

use super::ParquetFile;
use super::inflate;
use super::pages::{
    ChunkFacts, Codec, PAGE_BYTES_MAX, Page, PageKind, PageProblem, PageWalker, PhysicalKind,
};
use crate::error::{Error, ErrorKind, Result};

/// A column chunk of a file.
#[derive(Debug)]
pub struct ColumnChunk<'f> {
    file: &'f ParquetFile,
    row_group: usize,
    leaf: usize,
    start: u64,
    facts: ChunkFacts,
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
        })
    }
}

fn place_of(row_group: usize, column: &str) -> String {
    format!("row group {row_group}, column `{column}`")
}

impl ColumnChunk<'_> {
    /// Where its bytes begin in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// What its pages must fit.
    pub fn facts(&self) -> &ChunkFacts {
        &self.facts
    }

    /// A problem of its pages as an error with all coordinates.
    pub fn refuse(&self, problem: &PageProblem) -> Error {
        let (page, cause) = problem.parts();
        let group = self.file.row_group(self.row_group);
        let column = group.column(self.leaf).column_path().string();
        let place = format!("{}, page {page}", place_of(self.row_group, &column));
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
        let pages = walker.feed(bytes).and_then(|()| walker.finish());
        let pages = pages.map_err(|problem| self.refuse(&problem))?;
        for (index, page) in pages.iter().enumerate() {
            if let Err(cause) = check_body(self.facts.codec, page, bytes, check_crc) {
                let problem = PageProblem::Corrupt { page: index, cause };
                return Err(self.refuse(&problem));
            }
        }
        Ok(pages)
    }

    /// As [`ColumnChunk::pages`], answering how many bytes of pages the chunk will hold at once: the
    /// dictionary and the largest data page.
    ///
    /// # Errors
    /// As `pages`.
    pub(super) fn check(&self, bytes: &Bytes, check_crc: bool) -> Result<u64> {
        let (mut dictionary, mut largest) = (0, 0);
        for page in self.pages(bytes, check_crc)? {
            let held = page.compressed_bytes.max(page.uncompressed_bytes);
            match page.kind {
                PageKind::Dictionary => dictionary = held,
                PageKind::DataV1 | PageKind::DataV2 => largest = held.max(largest),
            }
        }
        Ok(u64::from(dictionary) + u64::from(largest))
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
    if let Some(expected) = page.crc.filter(|_| check_crc) {
        let found = crc32fast::hash(body);
        if found != expected {
            return Err(format!(
                "its bytes have the checksum {found:08x}, its header says {expected:08x}"
            ));
        }
    }
    let levels = u64::from(page.level_bytes());
    if page.compressed && inflate::is_suspect(codec, stored - levels, PAGE_BYTES_MAX.into()) {
        let levels_end = usize::try_from(levels).unwrap_or(usize::MAX);
        let values = body.get(levels_end..).unwrap_or_default();
        let declared = u64::from(page.uncompressed_bytes) - levels;
        if inflate::exceeds(codec, values, declared) {
            return Err(format!(
                "holds more than the {declared} bytes that it declares"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pages::PageEncoding;
    use super::*;

    fn page(bytes: &[u8], uncompressed_bytes: u32, crc: Option<u32>) -> Page {
        Page {
            kind: PageKind::DataV1,
            body_start: 0,
            compressed_bytes: u32::try_from(bytes.len()).unwrap_or(0),
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
            crc,
        }
    }

    #[test]
    fn bodies_have_their_checksum_and_no_more_than_they_declare() -> std::io::Result<()> {
        use std::io::Write;

        let bytes = b"123456789";
        let of = |crc| page(bytes, 9, Some(crc));
        let checked = |crc, check_crc| check_body(Codec::Snappy, &of(crc), bytes, check_crc);
        assert_eq!(checked(0xcbf4_3926, true), Ok(()));
        assert_eq!(checked(1, false), Ok(()));
        let wrong = "its bytes have the checksum cbf43926, its header says 00000001";
        assert_eq!(checked(1, true), Err(wrong.to_string()));
        let cut = check_body(Codec::Snappy, &of(1), &bytes[1..], true);
        assert_eq!(cut, Err("is cut off".to_string()));

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
