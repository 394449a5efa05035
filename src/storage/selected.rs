//! Which pages of a column chunk are read: by its offset index, those that hold a wanted row.
//!
//! An offset index that cannot be is passed over, as if the writer had made none; then the chunk is
//! read whole, or its page headers are walked one by one where that is worth the reads. One that can
//! be is believed until the pages are there: they are compared with it, and a file that contradicts
//! itself is refused. Offset indexes are read here, since the `parquet` crate makes room for as many
//! pages as they claim.

use std::ops::Range;
use std::sync::Arc;

use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};

use super::ParquetFile;
use super::opened::is_url;
use super::pages::{Page, PageKind, PageProblem, PageWalker};
use super::prune::FileBytes;
use super::thrift::{Malformed, Walker, wire};

/// A larger index of a column chunk is not read.
pub(super) const INDEX_BYTES_MAX: u64 = 16 << 20;

/// Bytes that are read at the place of a page header: most headers are shorter, statistics and all.
const HEADER_BYTES: u64 = 256;

/// A data page, as an offset index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PagePlace {
    /// Its bytes in the file, its header among them.
    bytes: Range<u64>,
    /// Its rows, counted from the row group's first.
    rows: Range<u64>,
}

/// Where the data pages of a column chunk lie and which rows they hold, by its offset index or by their
/// headers: all rows of the row group, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct PageRows {
    /// The bytes of the whole chunk in the file.
    chunk: Range<u64>,
    pages: Vec<PagePlace>,
}

impl PageRows {
    /// Reads the offset index of a column chunk; `None` if there is none, or it cannot be.
    pub(super) fn read(
        bytes: &FileBytes<'_>,
        file: &ParquetFile,
        row_group: usize,
        leaf: usize,
    ) -> Option<PageRows> {
        let group = file.row_group(row_group);
        let column = group.column(leaf);
        let (start, length) = (column.offset_index_offset()?, column.offset_index_length()?);
        let index = bytes.range(start, length.into(), INDEX_BYTES_MAX)?;
        let places = offset_index(&index).ok()?;
        let chunk = file.chunk(row_group, leaf).ok()?;
        let chunk = chunk.start()..chunk.start().checked_add(chunk.facts().bytes)?;
        PageRows::new(chunk, &places, u64::try_from(group.num_rows()).ok()?)
    }

    /// Walks the page headers of a column chunk; `None` if they cannot be, and of an object of a store:
    /// there each header is a request.
    pub(super) fn walk(
        bytes: &FileBytes<'_>,
        file: &ParquetFile,
        row_group: usize,
        leaf: usize,
    ) -> Option<PageRows> {
        let chunk = file.chunk(row_group, leaf).ok()?;
        let (start, length) = (chunk.start(), chunk.facts().bytes);
        if is_url(file.path()) {
            return None;
        }
        let mut walker = PageWalker::new(chunk.facts().clone());
        let mut at = 0;
        while at < length {
            let window = HEADER_BYTES.min(length - at);
            let place = i64::try_from(start + at).ok()?;
            let head = bytes.range(place, i64::try_from(window).ok()?, window)?;
            walker.feed(&head).ok()?;
            at += window + walker.skip_body();
        }
        let pages = walker.finish().ok()?;
        let (mut end, mut first_row) = (0, 0);
        let mut places = Vec::with_capacity(pages.len());
        for page in &pages {
            let from = std::mem::replace(&mut end, body_end(page));
            if page.kind != PageKind::Dictionary {
                places.push(Place {
                    start: start + from,
                    bytes: end - from,
                    first_row,
                });
                first_row += u64::from(page.value_count);
            }
        }
        PageRows::new(start..start + length, &places, first_row)
    }

    /// Where the pages of the leaf columns of a row group lie that are read, by `find`; `None` unless
    /// it finds those of each, and each column is flat: which rows a page of a nested one holds only
    /// its levels tell.
    pub(super) fn of_all(
        bytes: &FileBytes<'_>,
        file: &ParquetFile,
        row_group: usize,
        leaves: &[usize],
        find: impl Fn(&FileBytes<'_>, &ParquetFile, usize, usize) -> Option<PageRows>,
    ) -> Option<Arc<[PageRows]>> {
        let is_flat = |leaf: &usize| {
            let descriptor = file.row_group(row_group).column(*leaf).column_descr();
            descriptor.path().parts().len() == 1 && descriptor.max_rep_level() == 0
        };
        if leaves.is_empty() || !leaves.iter().all(is_flat) {
            return None;
        }
        let find = |leaf: &usize| find(bytes, file, row_group, *leaf);
        leaves.iter().map(find).collect()
    }

    /// Places that can be: one behind the other within the chunk, with rows that begin at 0, grow,
    /// and end before the row group does.
    fn new(chunk: Range<u64>, places: &[Place], rows: u64) -> Option<PageRows> {
        let firsts = places.iter().map(|place| place.first_row);
        let ends = firsts.skip(1).chain([rows]);
        let (mut next, mut next_row) = (chunk.start, 0);
        let mut pages = Vec::with_capacity(places.len());
        for (place, row_end) in places.iter().zip(ends) {
            let end = place.start.checked_add(place.bytes)?;
            let fits = place.start >= next && place.bytes > 0 && end <= chunk.end;
            if !fits || place.first_row != next_row || row_end <= place.first_row {
                return None;
            }
            pages.push(PagePlace {
                bytes: place.start..end,
                rows: place.first_row..row_end,
            });
            (next, next_row) = (end, row_end);
        }
        (!pages.is_empty()).then_some(PageRows { chunk, pages })
    }

    /// The rows of each page.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Range<u64>> {
        self.pages.iter().map(|page| &page.rows)
    }

    /// Bytes of the whole chunk.
    pub(super) fn bytes(&self) -> u64 {
        self.chunk.end - self.chunk.start
    }

    /// Bytes in front of the first data page: those of a dictionary.
    pub(super) fn dictionary_bytes(&self) -> u64 {
        let first = self.pages.first();
        first.map_or(0, |page| page.bytes.start - self.chunk.start)
    }

    /// The pages whose rows are kept. Of none of them nothing is read, the dictionary neither.
    pub fn select(&self, keep: impl Fn(&Range<u64>) -> bool) -> SelectedPages {
        let kept = self.pages.iter().enumerate();
        let kept = kept.filter(|(_, page)| keep(&page.rows));
        let kept: Vec<_> = kept.map(|(index, page)| (index, page.clone())).collect();
        let first = self
            .pages
            .first()
            .map_or(self.chunk.start, |page| page.bytes.start);
        let head = if kept.is_empty() {
            first..first
        } else {
            self.chunk.start..first
        };
        SelectedPages { head, kept }
    }

    /// As the `parquet` crate has it.
    pub(super) fn locations(&self) -> OffsetIndexMetaData {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let locations = self.pages.iter().map(|page| PageLocation {
            offset: signed(page.bytes.start),
            compressed_page_size: i32::try_from(page.bytes.end - page.bytes.start)
                .unwrap_or(i32::MAX),
            first_row_index: signed(page.rows.start),
        });
        OffsetIndexMetaData {
            page_locations: locations.collect(),
            unencoded_byte_array_data_bytes: None,
        }
    }
}

/// Whether a row of a page is in the ranges, which are sorted.
pub(super) fn overlaps(ranges: &[Range<u64>], page: &Range<u64>) -> bool {
    let next = ranges.partition_point(|range| range.end <= page.start);
    ranges.get(next).is_some_and(|range| range.start < page.end)
}

/// The pages of a column chunk that are read. One behind the other they are a chunk like others, only
/// shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedPages {
    /// The bytes in front of the chunk's first data page: its dictionary page, or none.
    head: Range<u64>,
    /// The data pages, by their index among those of the chunk.
    kept: Vec<(usize, PagePlace)>,
}

impl SelectedPages {
    /// The bytes to read, in the file: pages side by side are one range.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let pages = self.kept.iter().map(|(_, page)| &page.bytes);
        for bytes in std::iter::once(&self.head).chain(pages) {
            match ranges.last_mut() {
                _ if bytes.is_empty() => {}
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => ranges.push(bytes.clone()),
            }
        }
        ranges
    }

    /// How many bytes that is.
    pub(super) fn bytes(&self) -> u64 {
        self.ranges()
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// The rows of each data page.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Range<u64>> {
        self.kept.iter().map(|(_, page)| &page.rows)
    }

    /// How many rows that is.
    pub(super) fn row_count(&self) -> u64 {
        self.rows().map(|rows| rows.end - rows.start).sum()
    }

    /// The index among all pages of the chunk of a page by its index among those read.
    pub(super) fn index_in_chunk(&self, index: usize) -> usize {
        let dictionaries = usize::from(!self.head.is_empty());
        let data = index.checked_sub(dictionaries);
        let kept = data.and_then(|data| self.kept.get(data));
        kept.map_or(index, |(in_chunk, _)| in_chunk + dictionaries)
    }

    /// Compares the pages that were read with the index that they were found by.
    ///
    /// # Errors
    /// `Corrupt` for the first page that the index has elsewhere, or with other rows.
    pub(super) fn compare(&self, pages: &[Page]) -> Result<(), PageProblem> {
        let corrupt = |page: usize, cause: &str| {
            let cause = format!("{cause}, by the page index");
            Err(PageProblem::Corrupt { page, cause })
        };
        let head = self.head.end - self.head.start;
        let dictionary = pages
            .first()
            .filter(|page| page.kind == PageKind::Dictionary);
        if dictionary.map_or(0, body_end) != head {
            return corrupt(0, "is not the dictionary that ends where data begin");
        }
        let data = &pages[usize::from(dictionary.is_some())..];
        let mut end = head;
        for (index, page) in data.iter().enumerate() {
            let place = index + usize::from(dictionary.is_some());
            let Some((_, said)) = self.kept.get(index) else {
                return corrupt(place, "is one too many");
            };
            end += said.bytes.end - said.bytes.start;
            if body_end(page) != end {
                return corrupt(place, "ends elsewhere");
            }
            if u64::from(page.value_count) != said.rows.end - said.rows.start {
                return corrupt(place, "has another number of rows");
            }
        }
        if data.len() < self.kept.len() {
            return corrupt(pages.len(), "is missing");
        }
        Ok(())
    }
}

fn body_end(page: &Page) -> u64 {
    page.body_start + u64::from(page.compressed_bytes)
}

/// An entry of an offset index.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    start: u64,
    bytes: u64,
    first_row: u64,
}

fn offset_index(index: &[u8]) -> Result<Vec<Place>, Malformed> {
    const PAGES: i64 = 1;
    const PAGE_START: i64 = 1;
    const PAGE_BYTES: i64 = 2;
    const PAGE_FIRST_ROW: i64 = 3;
    let mut places = Vec::new();
    let mut walker = Walker::new(index);
    let mut field = 0;
    while let Some((number, kind)) = walker.field(field)? {
        field = number;
        if (number, kind) != (PAGES, wire::LIST) {
            walker.skip(kind)?;
            continue;
        }
        for _ in 0..walker.list_of(&[wire::STRUCT])? {
            let (mut start, mut bytes, mut row) = (None, None, None);
            let mut field = 0;
            while let Some((number, kind)) = walker.field(field)? {
                field = number;
                let place = match (number, kind) {
                    (PAGE_START, wire::I64) => &mut start,
                    (PAGE_BYTES, wire::I32) => &mut bytes,
                    (PAGE_FIRST_ROW, wire::I64) => &mut row,
                    _ => {
                        walker.skip(kind)?;
                        continue;
                    }
                };
                *place = u64::try_from(walker.integer()?).ok();
            }
            places.push(Place {
                start: start.ok_or(Malformed::Wrong)?,
                bytes: bytes.ok_or(Malformed::Wrong)?,
                first_row: row.ok_or(Malformed::Wrong)?,
            });
        }
    }
    Ok(places)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "a test fails by panicking; ranges are ranges"
)]
mod tests {
    use super::*;

    /// Pages of 10 and 20 bytes, from 4 and 14 on, that begin at rows 0 and 4.
    const PAGES: [u8; 19] = [
        0x19, 0x2c, 0x16, 8, 0x15, 20, 0x16, 0, 0, 0x16, 28, 0x15, 40, 0x16, 8, 0, 0, 0, 0,
    ];

    fn place(start: u64, bytes: u64, first_row: u64) -> Place {
        Place {
            start,
            bytes,
            first_row,
        }
    }

    /// Three pages behind a dictionary of 6 bytes.
    fn three() -> PageRows {
        let places = [place(10, 1, 0), place(11, 10, 4), place(21, 100, 8)];
        PageRows::new(4..121, &places, 12).unwrap()
    }

    #[test]
    fn an_offset_index_is_read_and_a_cut_one_is_none() {
        let expected = vec![place(4, 10, 0), place(14, 20, 4)];
        assert_eq!(offset_index(&PAGES), Ok(expected));
        for length in 0..17 {
            assert!(offset_index(&PAGES[..length]).is_err(), "{length}");
        }
        for place in 0..PAGES.len() {
            for value in 0..=255 {
                let mut changed = PAGES;
                changed[place] = value;
                let pages = offset_index(&changed).map_or(0, |pages| pages.len());
                assert!(pages <= PAGES.len());
            }
        }
        // 2^31 pages in seven bytes.
        let many = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(offset_index(&many), Err(Malformed::Ended));
    }

    #[test]
    fn places_that_cannot_be_are_passed_over() {
        let can_be = |places: &[Place]| PageRows::new(4..100, places, 12).is_some();
        assert!(can_be(&[place(4, 10, 0), place(20, 80, 4)]), "a gap may be");
        for (what, places) in [
            ("no pages", vec![]),
            ("before the chunk", vec![place(3, 10, 0)]),
            ("behind the chunk", vec![place(4, 97, 0)]),
            ("behind all files", vec![place(u64::MAX, 10, 0)]),
            ("no bytes", vec![place(4, 0, 0)]),
            ("within each other", vec![place(4, 10, 0), place(13, 10, 4)]),
            ("rows that begin later", vec![place(4, 10, 1)]),
            (
                "rows that stand still",
                vec![place(4, 10, 0), place(14, 10, 0)],
            ),
            (
                "rows that are not there",
                vec![place(4, 10, 0), place(14, 10, 12)],
            ),
        ] {
            assert!(!can_be(&places), "{what}");
        }
    }

    #[test]
    fn pages_with_a_row_in_the_ranges_are_selected() {
        let pages = three();
        for (first, second, expected) in [
            (0..6, 6..12, vec![4..121]),
            (0..1, 11..12, vec![4..11, 21..121]),
            (3..4, 4..5, vec![4..21]),
            (4..6, 7..8, vec![4..10, 11..21]),
        ] {
            let ranges = [first, second];
            let selected = pages.select(|rows| overlaps(&ranges, rows));
            assert_eq!(selected.ranges(), expected, "{ranges:?}");
        }
        let none = pages.select(|_| false);
        assert_eq!(
            (none.ranges(), none.bytes(), none.row_count()),
            (vec![], 0, 0)
        );
        assert_eq!(pages.select(|_| true).bytes(), pages.bytes());
        let last = pages.select(|rows| rows.start == 8);
        assert_eq!((last.index_in_chunk(0), last.index_in_chunk(1)), (0, 3));
    }

    #[test]
    fn pages_are_where_the_index_says() {
        let selected = three().select(|rows| rows.start != 4);
        let page = |kind, end: u64, rows: u32| Page {
            kind,
            value_count: rows,
            ..Page::sample(end - 1, &[0], 1)
        };
        let (dictionary, data) = (PageKind::Dictionary, PageKind::DataV1);
        let good = [page(dictionary, 6, 9), page(data, 7, 4), page(data, 107, 4)];
        assert_eq!(selected.compare(&good), Ok(()));
        let with = |at: usize, other: Page| {
            let mut pages = good.to_vec();
            pages[at] = other;
            let problem = selected.compare(&pages).unwrap_err();
            let (index, cause) = problem.parts();
            (index, cause.to_string())
        };
        let says = |index, cause: &str| (index, format!("{cause}, by the page index"));
        let no_dictionary = says(0, "is not the dictionary that ends where data begin");
        assert_eq!(with(0, page(dictionary, 5, 9)), no_dictionary);
        assert_eq!(with(0, page(data, 6, 9)), no_dictionary);
        assert_eq!(with(1, page(data, 8, 4)), says(1, "ends elsewhere"));
        let other_rows = says(2, "has another number of rows");
        assert_eq!(with(2, page(data, 107, 5)), other_rows);
        assert!(selected.compare(&good[..2]).is_err(), "one is missing");
        let more = [&good[..], &[page(data, 108, 4)]].concat();
        assert!(selected.compare(&more).is_err(), "one too many");
    }
}
