//! Which row groups are read, and which of them together.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;

use super::key_filter::KeyFilter;
use super::late::LateDecoding;
use super::prune::{FileBytes, Ladder, PruneSteps, Pruned, Verdict, columns_of};
use super::selected::{PageRows, SelectedPages, overlaps};
use super::{Dataset, ParquetFile, PartitionReader, ReadOptions};
use crate::error::{Error, Result};
use crate::expr::TypedExpr;
use crate::metrics::CacheCounts;

/// A row group of a dataset, and how much of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowGroup {
    /// The file, by index into the dataset.
    pub file: usize,
    /// The row group, by index into the file.
    pub row_group: usize,
    /// Its rows.
    pub rows: u64,
    /// Uncompressed bytes of the columns that are read; about, if not all rows are.
    pub bytes: u64,
    /// The rows that are read, where these are not all: ranges in order that do not touch. Only
    /// row groups with a nested column may be read whole nevertheless, for who pruned filters too.
    pub ranges: Option<Arc<[Range<u64>]>>,
    /// Where the pages of the leaf columns that are read lie: then those without a row of the ranges
    /// are not read. `None`: all pages are.
    pub pages: Option<Arc<[PageRows]>>,
}

impl RowGroup {
    /// Rows of the ranges, or all.
    pub fn rows_in_ranges(&self) -> u64 {
        match &self.ranges {
            None => self.rows,
            Some(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
        }
    }

    /// The pages of a leaf column, by its place among those that are read, that are read.
    pub(super) fn selected(&self, leaf: usize) -> Option<SelectedPages> {
        let (pages, ranges) = (self.pages.as_ref()?.get(leaf)?, self.ranges.as_ref()?);
        Some(pages.select(|rows| overlaps(ranges, rows)))
    }

    /// With its bytes for those of all rows made those of the rows that are read.
    fn scaled(mut self) -> RowGroup {
        if self.pages.is_some() {
            let part = u128::from(self.bytes) * u128::from(self.rows_in_ranges());
            let part = part.div_ceil(u128::from(self.rows.max(1)));
            self.bytes = u64::try_from(part).unwrap_or(self.bytes);
        }
        self
    }
}

/// How the rows of a scan are read, the same for each of its row groups.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) dataset: Dataset,
    /// Columns of the dataset that are read, in output order.
    pub(super) projection: Vec<usize>,
    pub(super) schema: SchemaRef,
    /// What the row groups were pruned by, and the columns of the dataset that it names.
    predicate: Option<(TypedExpr, Vec<usize>)>,
    /// Filters of its rows.
    pub(super) filters: Vec<Arc<KeyFilter>>,
    /// Whether page indexes are read.
    page_index: bool,
    /// What late decoding has brought so far.
    late: LateDecoding,
    /// What was found in a device's column cache so far.
    cache: Arc<CacheCounts>,
}

impl Shape {
    pub(super) fn file(&self, file: usize) -> Result<&Arc<ParquetFile>> {
        let found = self.dataset.files().get(file);
        found.ok_or_else(|| Error::invalid(format!("file {file}"), "not in the dataset", ""))
    }

    /// The file's own index of each column that is read.
    pub(super) fn file_columns(&self, file: usize) -> Vec<usize> {
        let columns = self.dataset.columns_of(file);
        let of_projection = self.projection.iter();
        of_projection
            .filter_map(|&column| columns.get(column).copied())
            .collect()
    }

    pub(super) fn leaves(&self, file: usize) -> Result<Vec<usize>> {
        let opened = self.file(file)?;
        let columns = self.file_columns(file);
        let leaves = columns.iter().flat_map(|&column| opened.leaves_of(column));
        Ok(leaves.copied().collect())
    }

    /// Where the pages of a row group lie, if its page index is to be read and tells, or else their
    /// headers, if these are to be walked.
    fn page_rows(&self, row_group: &RowGroup, walk: bool) -> Option<Arc<[PageRows]>> {
        if row_group.pages.is_some() {
            return row_group.pages.clone();
        }
        let file = self.file(row_group.file).ok()?;
        let leaves = self.leaves(row_group.file).ok()?;
        let (bytes, group) = (FileBytes::new(file), row_group.row_group);
        let read = || PageRows::of_all(&bytes, file, group, &leaves, PageRows::read);
        let walked = || PageRows::of_all(&bytes, file, group, &leaves, PageRows::walk);
        let read = self.page_index.then(read).flatten();
        read.or_else(|| walk.then(walked).flatten())
    }

    pub(super) fn mask(&self, file: usize) -> Result<ProjectionMask> {
        let descriptor = self.file(file)?.footer().parquet_schema();
        Ok(ProjectionMask::roots(descriptor, self.file_columns(file)))
    }
}

/// The row groups of a scan that pruning kept.
#[derive(Debug, Clone)]
pub struct Kept {
    shape: Arc<Shape>,
    row_groups: Vec<RowGroup>,
    total: usize,
    pruned: Pruned,
}

impl Dataset {
    /// The row groups of which a row may satisfy the predicate (over the dataset's schema), read
    /// with these columns only, in this order; by every step of pruning.
    ///
    /// # Errors
    /// `InvalidInput` if a column is not of the schema.
    pub fn prune(&self, projection: &[usize], predicate: Option<&TypedExpr>) -> Result<Kept> {
        self.prune_by(projection, predicate, PruneSteps::default())
    }

    /// As [`Dataset::prune`], by statistics and these steps.
    ///
    /// # Errors
    /// As [`Dataset::prune`].
    pub fn prune_by(
        &self,
        projection: &[usize],
        predicate: Option<&TypedExpr>,
        steps: PruneSteps,
    ) -> Result<Kept> {
        self.prune_to(projection, predicate, Vec::new(), steps)
    }

    /// As [`Dataset::prune_by`], of rows whose keys filters know, too: row groups that hold none of the keys
    /// are left out, if the predicate names their column; rows without one may be.
    ///
    /// # Errors
    /// As [`Dataset::prune`].
    pub fn prune_to(
        &self,
        projection: &[usize],
        predicate: Option<&TypedExpr>,
        filters: Vec<Arc<KeyFilter>>,
        steps: PruneSteps,
    ) -> Result<Kept> {
        let schema = self.schema();
        if let Some(column) = projection.iter().find(|c| **c >= schema.fields().len()) {
            let columns = schema.fields().len();
            return Err(Error::invalid(
                format!("column {column}"),
                format!("the files have {columns} columns"),
                "",
            ));
        }
        let fields: Vec<_> = projection
            .iter()
            .map(|&column| Arc::clone(&schema.fields()[column]))
            .collect();
        let shape = Shape {
            dataset: self.clone(),
            projection: projection.to_vec(),
            schema: Arc::new(Schema::new(fields)),
            predicate: predicate.map(|predicate| (predicate.clone(), columns_of(predicate))),
            filters,
            page_index: steps.page_index,
            late: LateDecoding::default(),
            cache: Arc::default(),
        };
        let mut ladder = predicate.map(|predicate| Ladder::new(predicate, &shape.filters, steps));
        let mut row_groups = Vec::new();
        let mut total = 0;
        for (index, file) in self.files().iter().enumerate() {
            let leaves = shape.leaves(index)?;
            total += file.row_group_count();
            let verdicts = match &mut ladder {
                Some(ladder) => ladder.judge(file, self.columns_of(index), &leaves),
                None => vec![Verdict::Read(None, None); file.row_group_count()],
            };
            for (row_group, verdict) in verdicts.into_iter().enumerate() {
                let footer = file.row_group(row_group);
                let Verdict::Read(ranges, pages) = verdict else {
                    continue;
                };
                if footer.num_rows() == 0 {
                    continue;
                }
                // Sizes and counts are not negative: checked when the footer was read.
                let sizes = leaves.iter().map(|&leaf| {
                    u64::try_from(footer.column(leaf).uncompressed_size()).unwrap_or(0)
                });
                let whole = RowGroup {
                    file: index,
                    row_group,
                    rows: u64::try_from(footer.num_rows()).unwrap_or(0),
                    bytes: sizes.fold(0, u64::saturating_add),
                    ranges,
                    pages,
                };
                row_groups.push(whole.scaled());
            }
        }
        let pruned = ladder.map(|ladder| ladder.pruned()).unwrap_or_default();
        Ok(Kept {
            shape: Arc::new(shape),
            row_groups,
            total,
            pruned,
        })
    }
}

impl Kept {
    /// The schema of the rows that are read.
    pub fn schema(&self) -> &SchemaRef {
        &self.shape.schema
    }

    /// The row groups, in the order of the files.
    pub fn row_groups(&self) -> &[RowGroup] {
        &self.row_groups
    }

    /// How many row groups the files have; the difference was pruned (or is empty).
    pub fn row_groups_total(&self) -> usize {
        self.total
    }

    /// What each step of pruning removed.
    pub fn pruned(&self) -> &Pruned {
        &self.pruned
    }

    /// Uncompressed bytes of what is read.
    pub fn bytes(&self) -> u64 {
        let sizes = self.row_groups.iter().map(|row_group| row_group.bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// Rows of the row groups.
    pub fn rows(&self) -> u64 {
        let rows = self.row_groups.iter().map(|row_group| row_group.rows);
        rows.fold(0, u64::saturating_add)
    }

    /// Partitions of about `target_bytes`: neighbouring row groups are read together as long as
    /// they do not pass it, and one of more than twice as much is split where its pages are known.
    /// With a target of 0 each row group is a partition.
    pub fn partitions(&self, target_bytes: u64) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = Vec::new();
        for row_group in &self.row_groups {
            for part in split(&self.shape, row_group, target_bytes) {
                match partitions.last_mut() {
                    Some(last) if last.bytes().saturating_add(part.bytes) <= target_bytes => {
                        last.row_groups.push(part);
                    }
                    _ => partitions.push(Partition {
                        index: partitions.len(),
                        shape: Arc::clone(&self.shape),
                        row_groups: vec![part],
                    }),
                }
            }
        }
        partitions
    }
}

/// Each part of a row group reads the dictionaries anew: they are at most one byte in so many of it.
const DICTIONARY_PART: u64 = 8;

/// A row group in parts of about `target_bytes`, cut where pages of its largest column begin. It stays
/// whole if it is not twice as large, or if the places of its pages are not known.
fn split(shape: &Shape, row_group: &RowGroup, target_bytes: u64) -> Vec<RowGroup> {
    let whole = || vec![row_group.clone()];
    let parts = row_group.bytes.checked_div(target_bytes).unwrap_or(0);
    if parts < 2 {
        return whole();
    }
    let pages = shape.page_rows(row_group, true);
    let columns = || pages.iter().flat_map(|pages| pages.iter());
    let (Some(pages), Some(largest)) = (&pages, columns().max_by_key(|pages| pages.bytes())) else {
        return whole();
    };
    let stored: u64 = columns().map(PageRows::bytes).sum();
    let dictionaries: u64 = columns().map(PageRows::dictionary_bytes).sum();
    let worth = stored.checked_div(dictionaries * DICTIONARY_PART);
    let parts = parts.min(worth.unwrap_or(u64::MAX)).max(1);
    let all = 0..row_group.rows;
    let all = std::slice::from_ref(&all);
    let ranges = row_group.ranges.as_deref().unwrap_or(all);
    let rows = row_group.rows_in_ranges();
    let mut found: Vec<RowGroup> = Vec::new();
    let mut add = |within: Range<u64>| {
        let ranges = intersection(ranges, &within);
        let part = RowGroup {
            ranges: Some(ranges.into()),
            pages: Some(Arc::clone(pages)),
            ..row_group.clone()
        };
        let bytes = u128::from(row_group.bytes) * u128::from(part.rows_in_ranges());
        let bytes = u64::try_from(bytes.div_ceil(u128::from(rows.max(1)))).unwrap_or(u64::MAX);
        if bytes > 0 {
            found.push(RowGroup { bytes, ..part });
        }
    };
    let (mut start, mut held) = (0, 0);
    for page in largest.rows() {
        if held >= rows / parts {
            add(start..page.start);
            (start, held) = (page.start, 0);
        }
        let here = intersection(ranges, page);
        held += here
            .iter()
            .map(|range| range.end - range.start)
            .sum::<u64>();
    }
    add(start..row_group.rows);
    match found.len() {
        0 | 1 => whole(),
        _ => found,
    }
}

/// What of the ranges, which are sorted, is within one range.
fn intersection(ranges: &[Range<u64>], within: &Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= within.start);
    let here = ranges[first..]
        .iter()
        .take_while(|range| range.start < within.end);
    here.map(|range| range.start.max(within.start)..range.end.min(within.end))
        .collect()
}

/// The unit of scheduling: row groups that are read together.
#[derive(Debug, Clone)]
pub struct Partition {
    index: usize,
    shape: Arc<Shape>,
    row_groups: Vec<RowGroup>,
}

impl Partition {
    /// Its place among the partitions of the scan.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its row groups, in order.
    pub fn row_groups(&self) -> &[RowGroup] {
        &self.row_groups
    }

    /// Uncompressed bytes.
    pub fn bytes(&self) -> u64 {
        let sizes = self.row_groups.iter().map(|row_group| row_group.bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// Names and types of its columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    /// The column of the dataset that each of its columns is.
    pub fn projection(&self) -> &[usize] {
        &self.shape.projection
    }

    /// The predicate that row groups were pruned by, and the columns that it names: of the dataset,
    /// whether they are read or not. Who pruned filters by it.
    pub fn predicate(&self) -> Option<(&TypedExpr, &[usize])> {
        let (predicate, columns) = self.shape.predicate.as_ref()?;
        Some((predicate, columns))
    }

    /// Filters of its rows: those that do not pass all of them need not come out.
    pub fn filters(&self) -> &[Arc<KeyFilter>] {
        &self.shape.filters
    }

    /// What late decoding has brought so far to the scan that it is of.
    pub fn late(&self) -> &LateDecoding {
        &self.shape.late
    }

    /// What was found so far in a device's column cache by the scan that it is of.
    pub fn cache_counts(&self) -> &Arc<CacheCounts> {
        &self.shape.cache
    }

    /// Where the pages of its leaf columns lie in a row group, by index into its row groups: reads the
    /// page index, or without one, if asked to, the headers of all pages. `None` if these do not tell.
    pub fn page_rows(&self, row_group: usize, walk: bool) -> Option<Arc<[PageRows]>> {
        let row_group = self.row_groups.get(row_group)?;
        self.shape.page_rows(row_group, walk)
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its rows as Arrow batches.
    pub fn read(&self, options: ReadOptions) -> PartitionReader {
        PartitionReader::new(Arc::clone(&self.shape), self.row_groups.clone(), options)
    }
}
