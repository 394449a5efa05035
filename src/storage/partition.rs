//! Which row groups are read, and which of them together.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;

use super::prune::{Ladder, PruneSteps, Pruned, Verdict};
use super::{Dataset, ParquetFile, PartitionReader, ReadOptions};
use crate::error::{Error, Result};
use crate::expr::TypedExpr;

/// A row group of a dataset, and how much of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowGroup {
    /// The file, by index into the dataset.
    pub file: usize,
    /// The row group, by index into the file.
    pub row_group: usize,
    /// Its rows.
    pub rows: u64,
    /// Uncompressed bytes of the columns that are read.
    pub bytes: u64,
    /// The rows that may match, where that is known: ranges in order that do not touch. A reader may
    /// leave out the others or not, for who pruned filters too. `None` means all.
    pub ranges: Option<Arc<[Range<u64>]>>,
}

impl RowGroup {
    /// Rows of the ranges, or all.
    pub fn rows_in_ranges(&self) -> u64 {
        match &self.ranges {
            None => self.rows,
            Some(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
        }
    }
}

/// How the rows of a scan are read, the same for each of its row groups.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) dataset: Dataset,
    /// Columns of the dataset that are read, in output order.
    pub(super) projection: Vec<usize>,
    pub(super) schema: SchemaRef,
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
        };
        let mut ladder = predicate.map(|predicate| Ladder::new(predicate, steps));
        let mut row_groups = Vec::new();
        let mut total = 0;
        for (index, file) in self.files().iter().enumerate() {
            let leaves = shape.leaves(index)?;
            total += file.row_group_count();
            let verdicts = match &mut ladder {
                Some(ladder) => ladder.judge(file, self.columns_of(index), &leaves),
                None => vec![Verdict::Read(None); file.row_group_count()],
            };
            for (row_group, verdict) in verdicts.into_iter().enumerate() {
                let footer = file.row_group(row_group);
                let Verdict::Read(ranges) = verdict else {
                    continue;
                };
                if footer.num_rows() == 0 {
                    continue;
                }
                // Sizes and counts are not negative: checked when the footer was read.
                let sizes = leaves.iter().map(|&leaf| {
                    u64::try_from(footer.column(leaf).uncompressed_size()).unwrap_or(0)
                });
                row_groups.push(RowGroup {
                    file: index,
                    row_group,
                    rows: u64::try_from(footer.num_rows()).unwrap_or(0),
                    bytes: sizes.fold(0, u64::saturating_add),
                    ranges,
                });
            }
        }
        Ok(Kept {
            shape: Arc::new(shape),
            row_groups,
            total,
            pruned: ladder.map(|ladder| ladder.pruned()).unwrap_or_default(),
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
    /// they do not pass it. A row group is not split.
    pub fn partitions(&self, target_bytes: u64) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = Vec::new();
        for row_group in &self.row_groups {
            match partitions.last_mut() {
                Some(last) if last.bytes().saturating_add(row_group.bytes) <= target_bytes => {
                    last.row_groups.push(row_group.clone());
                }
                _ => partitions.push(Partition {
                    index: partitions.len(),
                    shape: Arc::clone(&self.shape),
                    row_groups: vec![row_group.clone()],
                }),
            }
        }
        partitions
    }
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

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its rows as Arrow batches.
    pub fn read(&self, options: ReadOptions) -> PartitionReader {
        PartitionReader::new(Arc::clone(&self.shape), self.row_groups.clone(), options)
    }
}
