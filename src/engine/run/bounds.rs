//! Bounds that split the rows of a sort into parts of about one size.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::error::ArrowError;

use super::QueryRun;
use super::failure::bringing_back;
use super::lane::Lane;
use crate::error::{Error, Result};
use crate::expr::TypedExpr;
use crate::memory::{Batch, BatchStore};
use crate::metrics::StepFacts;
use crate::operators::{
    Context, Operator, OperatorSpec, Partitioning, ProjectSpec, RangeKey, SortKey, SortSpec,
};
use crate::types::{Schema, Semantics};

/// Rows of a sample, per part.
const SAMPLE_ROWS_PER_PART: usize = 64;

/// Batches that a sample is taken from.
const SAMPLE_BATCHES_MAX: usize = 64;

/// Ranges of a sort's keys that hold about as many rows each; none if there are no rows to tell by.
///
/// # Errors
/// As bringing batches back, and as the operators `project` and `sort`.
pub(super) fn range_of(
    run: &QueryRun,
    lane: &Lane,
    (spec, of): (&SortSpec, &StepFacts),
    store: &BatchStore,
    parts: u32,
) -> Result<Option<Partitioning>> {
    let columns: Vec<usize> = spec.keys.iter().map(|key| key.column).collect();
    let fields = columns
        .iter()
        .map(|&column| spec.input.field(column).clone());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let typed =
        |&column: &usize| TypedExpr::column(column, spec.input.field(column).data_type().clone());
    let keys_only = OperatorSpec::Project(ProjectSpec {
        input: Arc::clone(&spec.input),
        output: Arc::clone(&schema),
        exprs: columns.iter().map(typed).collect(),
        semantics: Semantics::default(),
    });
    let (place, operator, _) = run.backends().instantiate(&keys_only)?;
    let Operator::Transform(project) = operator else {
        return Err(Error::invalid("project", "is no transform", ""));
    };
    let batches = store.batches();
    let every = batches.len().div_ceil(SAMPLE_BATCHES_MAX).max(1);
    let wanted = (parts as usize * SAMPLE_ROWS_PER_PART).div_ceil(batches.len().div_ceil(every));
    let mut sample = Vec::new();
    for (_, stored) in batches.iter().step_by(every) {
        let batch = bringing_back(of.operator, of.pipeline, || stored.get())?;
        let batch = lane.bring(batch, place)?;
        let keys = project.next(lane.context(place), None, batch)?;
        if let Some(keys) = keys {
            sample.push(spread(&lane.download(keys)?, wanted)?);
        }
    }
    let sample = concat_batches(&schema, &sample).map_err(|cause| failed(&cause))?;
    let sorted = sorted(run, &schema, &spec.keys, sample)?;
    if sorted.num_rows() == 0 {
        return Ok(None);
    }
    let keys = spec.keys.iter().enumerate();
    let keys = keys.map(|(column, key)| RangeKey {
        column: columns[column],
        descending: key.descending,
        nulls_first: key.nulls_first,
    });
    Ok(Some(Partitioning::Range {
        keys: keys.collect(),
        bounds: between(&sorted, parts as usize)?,
    }))
}

/// The rows of a sample in the order of the keys.
fn sorted(
    run: &QueryRun,
    schema: &Arc<Schema>,
    keys: &[SortKey],
    sample: RecordBatch,
) -> Result<RecordBatch> {
    let keys = keys.iter().enumerate();
    let spec = OperatorSpec::Sort(SortSpec {
        input: Arc::clone(schema),
        keys: keys
            .map(|(column, key)| SortKey { column, ..*key })
            .collect(),
    });
    let Operator::Fold(fold) = run.backends().cpu.instantiate(&spec)? else {
        return Err(Error::invalid("sort", "is no fold", ""));
    };
    let context = Context::detached();
    let mut state = fold.init(&context)?;
    fold.next(&context, &mut state, Batch::host(sample))?;
    let batches = fold.finish(&context, state)?;
    let batches: Vec<&RecordBatch> = batches.iter().filter_map(Batch::as_host).collect();
    concat_batches(schema, batches).map_err(|cause| failed(&cause))
}

/// So many rows of a batch, at even distances.
fn spread(batch: &RecordBatch, wanted: usize) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let step = rows.div_ceil(wanted.max(1)).max(1);
    pick(batch, (0..rows).step_by(step))
}

/// The rows between so many parts of equal size.
fn between(sorted: &RecordBatch, parts: usize) -> Result<RecordBatch> {
    let rows = sorted.num_rows();
    pick(
        sorted,
        (1..parts).map(|part| (part * rows / parts).min(rows - 1)),
    )
}

fn pick(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<RecordBatch> {
    let rows = UInt32Array::from_iter_values(rows.map(|row| row as u32));
    take_record_batch(batch, &rows).map_err(|cause| failed(&cause))
}

fn failed(cause: &ArrowError) -> Error {
    Error::invalid("sort", cause.to_string(), "")
}
