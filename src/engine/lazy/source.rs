//! Where queries start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::LazyFrame;
use crate::error::{Error, Result};
use crate::plan::{LogicalPlan, MemoryTable, ParquetFiles, Query};
use crate::storage::{Dataset, expand};
use crate::types::Semantics;

impl LazyFrame {
    fn of(plan: LogicalPlan) -> LazyFrame {
        LazyFrame::new(Query {
            plan,
            semantics: Semantics::default(),
        })
    }
}

/// Starts a query over Parquet files: a file, a folder, or a pattern with `*`, `?`, `[…]`, `**`.
/// Reads the footers.
///
/// # Errors
/// `Io` and `InvalidInput` if there are no such files or their schemas differ, `Corrupt` if one
/// is no Parquet file.
pub fn scan_parquet(pattern: impl AsRef<Path>) -> Result<LazyFrame> {
    scan_parquet_files(&[pattern])
}

/// As [`scan_parquet`], over several files, folders or patterns.
///
/// # Errors
/// As [`scan_parquet`].
pub fn scan_parquet_files<P: AsRef<Path>>(patterns: &[P]) -> Result<LazyFrame> {
    let paths: Vec<PathBuf> = expand(patterns)?;
    let dataset = Dataset::open(&paths)?;
    let files = ParquetFiles {
        paths,
        schema: dataset.schema().as_ref().clone(),
        rows: Some(dataset.rows()),
        columns: dataset.column_estimates(),
    };
    Ok(LazyFrame::of(LogicalPlan::Scan { files }))
}

/// Starts a query over rows in memory: batches of one schema, at least one.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// let numbers: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 2]));
/// let batch = RecordBatch::try_from_iter([("n", numbers)]).map_err(|e| {
///     pelton::Error::invalid("batch", e.to_string(), "")
/// })?;
/// let frame = from_batches(vec![batch])?.filter(col("n").gt(lit(1)));
/// assert_eq!(frame.query().plan.schema()?.field(0).name(), "n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` if there is no batch, or one has another schema than the first. An empty table is
/// a batch without rows.
pub fn from_batches(batches: Vec<RecordBatch>) -> Result<LazyFrame> {
    let Some(first) = batches.first() else {
        let remedy = "give one without rows, for its schema";
        return Err(Error::invalid("table", "no batch", remedy));
    };
    let table = Arc::new(MemoryTable::new(first.schema(), batches)?);
    Ok(LazyFrame::of(LogicalPlan::Memory { table }))
}

/// The rows of all frames, equal ones too, in no stated order. Columns meet by their place, and have
/// equal types; names are the first frame's, and so are the semantics.
///
/// ```no_run
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let engine = Engine::new(EngineOptions::default())?;
/// let both = concat_frames([scan_parquet(&orders)?, scan_parquet(&orders)?]);
/// assert_eq!(both.collect(&engine)?.rows(), 10);
/// # Ok(())
/// # }
/// ```
pub fn concat_frames(frames: impl IntoIterator<Item = LazyFrame>) -> LazyFrame {
    let mut semantics = None;
    let inputs = frames.into_iter().map(|frame| {
        semantics.get_or_insert(frame.query.semantics);
        frame.query.plan
    });
    let inputs: Vec<LogicalPlan> = inputs.collect();
    LazyFrame::new(Query {
        plan: LogicalPlan::Union { inputs },
        semantics: semantics.unwrap_or_default(),
    })
}
