//! Bounds that split the rows of a sort into parts of about one size, on one rank or on several.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::UInt64Type;
use arrow::error::ArrowError;

use super::failure::bringing_back;
use super::lane::Lane;
use super::{Place, QueryRun};
use crate::error::{Error, Result};
use crate::expr::TypedExpr;
use crate::memory::{Batch, BatchStore};
use crate::operators::{
    Context, Operator, OperatorSpec, Partitioning, ProjectSpec, RangeKey, SortKey, SortSpec,
};
use crate::types::{DataType, Field, Schema, SchemaRef, Semantics};

/// Rows of a sample, per part.
const SAMPLE_ROWS_PER_PART: usize = 64;

/// Batches that a sample is taken from.
const SAMPLE_BATCHES_MAX: usize = 64;

/// The last column of a sample: how many rows each of its rows stands for.
const WEIGHT: &str = "__weight";

/// Ranges of a sort's keys that hold about as many rows each; none if there are no rows to tell by.
/// `number` is the pipeline's, from 1.
///
/// # Errors
/// As [`sample`] and [`ranges`].
pub(super) fn range_of(
    run: &QueryRun,
    (number, lane): (usize, &Lane),
    spec: &SortSpec,
    store: &BatchStore,
    parts: u32,
) -> Result<Option<Partitioning>> {
    let sample = sample(run, (number, lane), spec, store, parts)?;
    ranges(run, spec, &[sample], parts)
}

/// The keys of a sort, and the weight of each row.
fn sample_schema(spec: &SortSpec) -> SchemaRef {
    let keys = spec.keys.iter();
    let keys = keys.map(|key| spec.input.field(key.column).clone());
    let weight = Field::new(WEIGHT, DataType::UInt64, false);
    Arc::new(Schema::new(keys.chain([weight]).collect::<Vec<_>>()))
}

/// The keys of some of the rows that a sort is to have, enough to tell so many parts apart, and how
/// many rows each stands for.
///
/// # Errors
/// As bringing batches back, and as the operator `project`.
pub(super) fn sample(
    run: &QueryRun,
    (number, lane): (usize, &Lane),
    spec: &SortSpec,
    store: &BatchStore,
    parts: u32,
) -> Result<RecordBatch> {
    let schema = sample_schema(spec);
    let typed = |key: &SortKey| {
        let data_type = spec.input.field(key.column).data_type().clone();
        TypedExpr::column(key.column, data_type)
    };
    let keys = &schema.fields()[..spec.keys.len()];
    let keys_only = OperatorSpec::Project(ProjectSpec {
        input: Arc::clone(&spec.input),
        output: Arc::new(Schema::new(keys.to_vec())),
        exprs: spec.keys.iter().map(typed).collect(),
        semantics: Semantics::default(),
    });
    let (place, operator) = match run.forced(number) {
        Some(_) => (Place::Cpu, run.cpu.instantiate(&keys_only)?),
        None => {
            let (place, operator, _) = run.backends().instantiate(&keys_only)?;
            (place, operator)
        }
    };
    let Operator::Transform(project) = operator else {
        return Err(Error::invalid("project", "is no transform", ""));
    };
    let mut batches = store.batches();
    batches.retain(|(_, stored)| stored.rows_max() > 0);
    let every = batches.len().div_ceil(SAMPLE_BATCHES_MAX).max(1);
    let sampled = batches.len().div_ceil(every).max(1);
    let wanted = (parts as usize * SAMPLE_ROWS_PER_PART).div_ceil(sampled);
    let mut samples = Vec::with_capacity(sampled);
    for (_, stored) in batches.iter().step_by(every) {
        let batch = bringing_back("sort", number, || stored.get())?;
        let batch = lane.bring(batch, place)?;
        let keys = project.next(lane.context(place), None, batch)?;
        if let Some(keys) = keys {
            samples.push(spread(&schema, &lane.download(keys)?, wanted, every)?);
        }
    }
    concat_batches(&schema, &samples).map_err(|cause| failed(&cause))
}

/// Ranges of a sort's keys that hold about as many rows each, as samples tell; none if these are of no
/// rows. The same samples give the same ranges.
///
/// # Errors
/// As the operator `sort`.
pub(super) fn ranges(
    run: &QueryRun,
    spec: &SortSpec,
    samples: &[RecordBatch],
    parts: u32,
) -> Result<Option<Partitioning>> {
    let schema = sample_schema(spec);
    let sample = concat_batches(&schema, samples).map_err(|cause| failed(&cause))?;
    let sorted = sorted(run, &schema, &spec.keys, sample)?;
    if sorted.num_rows() == 0 {
        return Ok(None);
    }
    let keys = spec.keys.iter().map(|key| RangeKey {
        column: key.column,
        descending: key.descending,
        nulls_first: key.nulls_first,
    });
    Ok(Some(Partitioning::Range {
        keys: keys.collect(),
        bounds: between(&sorted, parts)?,
    }))
}

/// The rows of a sample in the order of the keys.
fn sorted(
    run: &QueryRun,
    schema: &SchemaRef,
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

/// So many rows of a batch, at even distances, each with the rows that it stands for: those of its
/// distance, in so many batches.
fn spread(
    schema: &SchemaRef,
    keys: &RecordBatch,
    wanted: usize,
    batches: usize,
) -> Result<RecordBatch> {
    let rows = keys.num_rows();
    let step = rows.div_ceil(wanted.max(1)).max(1);
    let picked = pick(keys, (0..rows).step_by(step))?;
    let weights = UInt64Array::from_value((step * batches) as u64, picked.num_rows());
    let mut columns = picked.columns().to_vec();
    columns.push(Arc::new(weights));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| failed(&cause))
}

/// The keys between so many parts of equal weight.
fn between(sorted: &RecordBatch, parts: u32) -> Result<RecordBatch> {
    let mut total = 0u128;
    let weights = sorted.columns().last();
    let weights = weights.ok_or_else(|| Error::invalid("sort", "its sample has no weights", ""))?;
    let weights = weights.as_primitive::<UInt64Type>().values().iter();
    let ends = weights.map(|&weight| {
        total += u128::from(weight);
        total
    });
    let ends: Vec<u128> = ends.collect();
    let last = ends.len().saturating_sub(1);
    let bound = |part: u32| {
        let behind = total * u128::from(part) / u128::from(parts);
        ends.partition_point(|end| *end < behind).min(last)
    };
    let bounds = pick(sorted, (1..parts).map(bound))?;
    let keys: Vec<usize> = (0..sorted.num_columns() - 1).collect();
    bounds.project(&keys).map_err(|cause| failed(&cause))
}

fn pick(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<RecordBatch> {
    let rows = UInt32Array::from_iter_values(rows.map(|row| row as u32));
    take_record_batch(batch, &rows).map_err(|cause| failed(&cause))
}

fn failed(cause: &ArrowError) -> Error {
    Error::invalid("sort", cause.to_string(), "")
}
