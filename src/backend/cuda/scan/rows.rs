//! Which rows come out of a scan, and where they are in columns of which only some pages were
//! decoded.
//!
//! The rows of a batch are those of the ranges of its row groups, one range behind the other. A
//! column has all rows of its pages that were decoded, and the pages of two columns end at different
//! rows: a gather brings the columns together, unless their rows are in place already.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::gather::gather_rows;
use crate::kernels::page::{RowPieces, page_find_rows};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use crate::storage::RowGroup;

/// The rows of a row group that come out.
#[derive(Debug, Clone)]
pub(super) struct GroupRows {
    ranges: Vec<Range<u64>>,
    /// Rows of the ranges before each one.
    before: Vec<u64>,
    count: u64,
}

impl GroupRows {
    pub(super) fn all(rows: u64) -> GroupRows {
        GroupRows::of(std::iter::once(0..rows).collect())
    }

    pub(super) fn wanted(group: &RowGroup) -> GroupRows {
        match &group.ranges {
            Some(ranges) => GroupRows::of(ranges.to_vec()),
            None => GroupRows::all(group.rows),
        }
    }

    fn of(ranges: Vec<Range<u64>>) -> GroupRows {
        let mut count = 0;
        let before = ranges.iter().map(|range| {
            count += range.end - range.start;
            count - (range.end - range.start)
        });
        let before = before.collect();
        GroupRows {
            ranges,
            before,
            count,
        }
    }

    /// How many they are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Those of them that are before a row of the row group.
    fn below(&self, row: u64) -> u64 {
        let next = self.ranges.partition_point(|range| range.end <= row);
        match (self.ranges.get(next), self.before.get(next)) {
            (Some(range), Some(before)) => before + row.max(range.start) - range.start,
            _ => self.count,
        }
    }

    /// The rows of a page that come out, by their number among all that do.
    pub(super) fn of_page(&self, page: &Range<u64>) -> Range<u64> {
        self.below(page.start)..self.below(page.end)
    }

    /// Adds where the rows of a page are: they come out from `row` on where the row group does, and the
    /// page is decoded from `index` on.
    fn add(&self, pieces: &mut RowPieces, page: &Range<u64>, row: u64, index: u64) -> Result<()> {
        let first = self.ranges.partition_point(|range| range.end <= page.start);
        let here = self.ranges.iter().zip(&self.before).skip(first);
        for (range, before) in here.take_while(|(range, _)| range.start < page.end) {
            let start = range.start.max(page.start);
            let out = row + before + (start - range.start);
            pieces.add(out, index + (start - page.start))?;
        }
        Ok(())
    }
}

/// Where the rows of the row groups are in a column that has the rows of these pages, row group by row
/// group.
pub(super) fn pieces(groups: &[GroupRows], pages: &[Vec<Range<u64>>]) -> Result<RowPieces> {
    let mut pieces = RowPieces::default();
    let (mut row, mut index) = (0, 0);
    for (group, pages) in groups.iter().zip(pages) {
        for page in pages {
            group.add(&mut pieces, page, row, index)?;
            index += page.end - page.start;
        }
        row += group.count;
    }
    Ok(pieces)
}

/// Brings columns together: of each the rows `listed` (all that come out if there is no list), which
/// are where its pieces say. Columns whose pages end alike are gathered by one launch.
pub(super) fn align(
    launch: &Launch,
    listed: Option<&DeviceColumn>,
    rows: u64,
    columns: &[(DeviceColumn, RowPieces)],
    mut watch: impl FnMut(Status),
) -> Result<Vec<DeviceColumn>> {
    let mut aligned: Vec<Option<DeviceColumn>> = vec![None; columns.len()];
    for first in 0..columns.len() {
        let (column, pieces) = &columns[first];
        if aligned[first].is_some() {
            continue;
        }
        if listed.is_none() && pieces.in_place() || rows == 0 {
            aligned[first] = Some(column.clone());
            continue;
        }
        let alike = |at: &usize| columns[*at].1 == *pieces;
        let alike: Vec<usize> = (first..columns.len()).filter(alike).collect();
        let sources: Vec<&DeviceColumn> = alike.iter().map(|at| &columns[*at].0).collect();
        // Rows that they all have: the pages of some go on behind the last one.
        let shortest = sources.iter().map(|column| column.rows()).min();
        let decoded = DeviceRows::known(shortest.unwrap_or(0));
        let indices = page_find_rows(launch, listed, rows, pieces)?;
        let status = Status::new(launch, "gather_rows")?;
        let rows = DeviceRows::known(rows);
        let gathered = gather_rows(launch, &indices, &rows, &sources, &decoded, &status)?;
        watch(status);
        for (at, column) in alike.into_iter().zip(gathered) {
            aligned[at] = Some(column);
        }
    }
    Ok(aligned.into_iter().flatten().collect())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "a test fails by panicking; ranges are ranges"
)]
mod tests {
    use super::*;

    fn expected(parts: &[(u64, u64)]) -> RowPieces {
        let mut pieces = RowPieces::default();
        for (row, index) in parts {
            pieces.add(*row, *index).unwrap();
        }
        pieces
    }

    #[test]
    fn rows_are_found_across_ranges_pages_and_row_groups() {
        let groups = [GroupRows::of(vec![2..5, 8..10]), GroupRows::all(4)];
        assert_eq!(groups[0].of_page(&(0..4)), 0..2);
        assert_eq!(groups[0].of_page(&(4..9)), 2..4);
        assert_eq!(groups[0].of_page(&(5..8)), 3..3);
        assert_eq!(groups[0].of_page(&(9..20)), 4..5);
        // Rows 2, 3, 4, 8 and 9 of pages of four, then the second row group's.
        let by_four = [vec![0..4, 4..8, 8..12], vec![0..4]];
        let found = pieces(&groups, &by_four).unwrap();
        assert_eq!(found, expected(&[(0, 2), (3, 8), (5, 12)]));
        // The page in the middle has no row and is not there.
        let by_three = [vec![0..3, 3..6, 8..12], vec![0..2, 2..4]];
        let found = pieces(&groups, &by_three).unwrap();
        assert_eq!(found, expected(&[(0, 2), (3, 6), (5, 10)]));
        assert!(!found.in_place());
        let whole = pieces(
            &[GroupRows::all(4), GroupRows::all(3)],
            &[vec![0..4], vec![0..3]],
        );
        assert!(whole.unwrap().in_place());
    }
}
