//! Page indexes: bounds of each page, and the ranges of rows that may match by them.
//!
//! The pages of different columns do not begin at the same rows. A row group is cut wherever a page
//! of a column of the predicate begins, and each piece is judged by the pages that it lies in. Column
//! indexes are read here, since the `parquet` crate makes room for as many pages as they claim;
//! where pages lie and which of them are read is in `selected`.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef};

use super::file_bytes::FileBytes;
use super::plain::Plain;
use super::zones::{GroupEvidence, Order, Zones};
use super::{Bounds, Evidence};
use crate::storage::ParquetFile;
use crate::storage::selected::{INDEX_BYTES_MAX, PageRows};
use crate::storage::thrift::{Malformed, Walker, wire};

/// Pieces of a row group that are judged; of more it is read whole.
const PIECES_MAX: usize = 1 << 14;

/// What a column chunk's index says of each page.
#[derive(Debug)]
struct ColumnPages {
    first_rows: Vec<u64>,
    mins: ArrayRef,
    maxes: ArrayRef,
    /// Whether the ends can be believed.
    ordered: bool,
    only_nulls: Vec<bool>,
    /// Empty where the writer did not count.
    null_counts: Vec<i64>,
}

/// A column index as it is stored.
#[derive(Debug, Default)]
struct ColumnIndex<'b> {
    only_nulls: Vec<bool>,
    mins: Vec<&'b [u8]>,
    maxes: Vec<&'b [u8]>,
    null_counts: Vec<i64>,
}

fn column_index(index: &[u8]) -> Result<ColumnIndex<'_>, Malformed> {
    const ONLY_NULLS: i64 = 1;
    const MINS: i64 = 2;
    const MAXES: i64 = 3;
    const NULL_COUNTS: i64 = 5;
    let mut read = ColumnIndex::default();
    let mut walker = Walker::new(index);
    let mut field = 0;
    while let Some((number, kind)) = walker.field(field)? {
        field = number;
        match (number, kind) {
            (ONLY_NULLS, wire::LIST) => {
                for _ in 0..walker.list_of(&[wire::TRUE, wire::FALSE])? {
                    read.only_nulls.push(match walker.byte()? {
                        wire::TRUE => true,
                        0 | wire::FALSE => false, // some writers have the one, some the other
                        _ => return Err(Malformed::Wrong),
                    });
                }
            }
            (MINS | MAXES, wire::LIST) => {
                let ends = if number == MINS {
                    &mut read.mins
                } else {
                    &mut read.maxes
                };
                for _ in 0..walker.list_of(&[wire::BINARY])? {
                    ends.push(walker.binary()?);
                }
            }
            (NULL_COUNTS, wire::LIST) => {
                for _ in 0..walker.list_of(&[wire::I64])? {
                    read.null_counts.push(walker.integer()?);
                }
            }
            _ => walker.skip(kind)?,
        }
    }
    Ok(read)
}

/// Reads what the index of a column says of its pages.
fn column_pages(
    zones: &Zones<'_>,
    bytes: &FileBytes<'_>,
    file: &ParquetFile,
    row_group: usize,
    column: usize,
) -> Option<ColumnPages> {
    let leaf = zones.leaf(column)?;
    let chunk = file.row_group(row_group).column(leaf);
    let data_type = zones.data_type(column)?;
    let plain = Plain::of(chunk.column_descr(), data_type)?;
    let (start, length) = (chunk.column_index_offset()?, chunk.column_index_length()?);
    let index = bytes.range(start, length.into(), INDEX_BYTES_MAX)?;
    let index = column_index(&index).ok()?;
    let rows = PageRows::read(bytes, file, row_group, leaf)?;
    let pages = rows.rows().len();
    let complete = [index.only_nulls.len(), index.mins.len(), index.maxes.len()] == [pages; 3];
    let counted = index.null_counts.is_empty() || index.null_counts.len() == pages;
    if !complete || !counted {
        return None;
    }
    let ends = |ends: &[&[u8]]| {
        let of_pages = ends.iter().zip(&index.only_nulls);
        let of_pages = of_pages.map(|(end, only_nulls)| (!only_nulls).then_some(*end));
        plain.array(&of_pages.collect::<Vec<_>>())
    };
    let order = Order {
        order: file.footer().metadata().file_metadata().column_order(leaf),
        physical: chunk.column_type(),
        deprecated: false,
    };
    Some(ColumnPages {
        mins: ends(&index.mins)?,
        maxes: ends(&index.maxes)?,
        ordered: order.is_ours(data_type),
        first_rows: rows.rows().map(|rows| rows.start).collect(),
        only_nulls: index.only_nulls,
        null_counts: index.null_counts,
    })
}

impl ColumnPages {
    /// What is known of the page that a row lies in, given what is known of the row group.
    fn bounds(&self, row: u64, group: Option<Bounds>) -> Option<Bounds> {
        let page = self.first_rows.partition_point(|first| *first <= row);
        let page = page.checked_sub(1)?;
        let only_nulls = *self.only_nulls.get(page)?;
        let counted = self.null_counts.get(page);
        let end = |ends: &ArrayRef| {
            let known = self.ordered && page < ends.len() && ends.is_valid(page);
            known.then(|| ends.slice(page, 1))
        };
        let (min, max) = (end(&self.mins), end(&self.maxes));
        let null = only_nulls || counted.is_none_or(|nulls| *nulls != 0);
        let group = group.unwrap_or(Bounds::ANYTHING);
        Some(Bounds {
            min: min.or(group.min),
            max: max.or(group.max),
            any: !only_nulls && group.any,
            null: null && group.null,
            one: false,
        })
    }
}

/// What the pages around a row say, where they say anything; else what the row group's statistics
/// do.
pub(super) struct PageEvidence<'z> {
    group: &'z GroupEvidence<'z>,
    pages: HashMap<usize, ColumnPages>,
    row: Cell<u64>,
}

impl<'z> PageEvidence<'z> {
    /// Reads the indexes of these columns, as far as they have any; `None` if none has, or there
    /// are too many pages.
    pub(super) fn read(
        group: &'z GroupEvidence<'z>,
        bytes: &FileBytes<'_>,
        file: &ParquetFile,
        columns: &[usize],
    ) -> Option<Self> {
        let read = columns.iter().filter_map(|&column| {
            let pages = column_pages(group.zones, bytes, file, group.row_group, column)?;
            Some((column, pages))
        });
        let pages: HashMap<_, _> = read.collect();
        let count: usize = pages.values().map(|pages| pages.first_rows.len()).sum();
        (1..=PIECES_MAX).contains(&count).then_some(PageEvidence {
            group,
            pages,
            row: Cell::new(0),
        })
    }

    /// The ranges of rows for which `may_match` holds at the first row of each of their pieces.
    pub(super) fn ranges(&self, rows: u64, may_match: impl Fn() -> bool) -> Vec<Range<u64>> {
        let firsts = self.pages.values().flat_map(|pages| &pages.first_rows);
        let mut starts: Vec<u64> = firsts.copied().collect();
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).chain([&rows]);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (&start, &end) in starts.iter().zip(ends) {
            self.row.set(start);
            if !may_match() {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }
}

impl Evidence for PageEvidence<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        let group = self.group.bounds(column);
        match self.pages.get(&column) {
            Some(pages) => pages.bounds(self.row.get(), group),
            None => group,
        }
    }
}

/// The most that page indexes could exclude: columns with one have no values at all. What survives
/// this survives every page, so that no index need be read.
pub(super) struct IndexedAway<'z> {
    pub(super) group: &'z GroupEvidence<'z>,
    pub(super) file: &'z ParquetFile,
}

impl Evidence for IndexedAway<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        let leaf = self.group.zones.leaf(column)?;
        let chunk = self.file.row_group(self.group.row_group).column(leaf);
        let indexed =
            chunk.column_index_offset().is_some() && chunk.offset_index_offset().is_some();
        if !indexed {
            return self.group.bounds(column);
        }
        Some(Bounds::NOTHING)
    }
}

#[cfg(test)]
mod tests;
