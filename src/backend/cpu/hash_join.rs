//! `hash_join` on host batches; the contract is [`HashJoinSpec`].
//!
//! Keys become row bytes that are equal exactly where the keys are, as in `group_by`; a hash map
//! has the build rows of each. The built batch carries the map and the rows' marks with it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
    new_null_array,
};
use arrow::compute::{cast, concat_batches, take};
use arrow::row::{RowConverter, SortField};

use super::accumulate::{plain, plain_type};
use super::evaluate::{evaluate, true_rows};
use super::host_batch;
use crate::error::{Error, Result};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::{Batch, BatchData, DeviceBatch};
use crate::operators::{
    BUILD_ROWS_MAX, Context, Fold, FoldState, HashJoinSpec, JoinKind, Transform, own_state,
    state_of, too_many_build_rows, too_many_output_rows,
};
use crate::types::{DataType, SchemaRef, is_string};

/// The rows of a key.
type RowsOfKeys = HashMap<Box<[u8]>, Vec<u32>, ahash::RandomState>;

pub(super) struct HashJoinBuild {
    spec: HashJoinSpec,
}

pub(super) struct HashJoinProbe {
    spec: HashJoinSpec,
    output: SchemaRef,
}

/// The batches so far, and their rows.
struct Rows {
    batches: Vec<RecordBatch>,
    count: u64,
}

/// A build side, its rows by key, and which of them were matched.
pub(super) struct JoinTable {
    pub(super) batch: RecordBatch,
    converter: RowConverter,
    rows: RowsOfKeys,
    matched: Mutex<Vec<bool>>,
}

impl fmt::Debug for JoinTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, keys) = (self.batch.num_rows(), self.rows.len());
        write!(f, "JoinTable of {rows} rows, {keys} keys")
    }
}

impl DeviceBatch for JoinTable {
    fn rows_max(&self) -> u64 {
        self.batch.num_rows() as u64
    }

    fn rows_exact(&self) -> Option<u64> {
        Some(self.rows_max())
    }

    fn bytes(&self) -> u64 {
        self.batch.get_array_memory_size() as u64
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn refused(cause: &arrow::error::ArrowError) -> Error {
    Error::unsupported("cpu", "hash_join", cause.to_string())
}

fn failed(cause: &arrow::error::ArrowError) -> Error {
    Error::invalid("hash_join", cause.to_string(), "")
}

/// The type in which keys of this type are compared.
fn key_type(data_type: &DataType) -> DataType {
    match plain_type(data_type) {
        string if is_string(&string) => DataType::LargeUtf8,
        other => other,
    }
}

fn key_converter(spec: &HashJoinSpec) -> Result<RowConverter> {
    let fields = spec.build_keys.iter().map(|&index| {
        let data_type = spec.build.field(index).data_type();
        SortField::new(key_type(data_type))
    });
    RowConverter::new(fields.collect()).map_err(|cause| refused(&cause))
}

/// The key of each row; none for a row that matches nothing.
fn keys_of(
    converter: &RowConverter,
    columns: &[&ArrayRef],
    null_equals_null: bool,
) -> Result<Vec<Option<Box<[u8]>>>> {
    let plain_keys = columns.iter().map(|column| {
        let column = plain(column)?;
        let to = key_type(column.data_type());
        cast(&column, &to).map_err(|cause| refused(&cause))
    });
    let plain_keys = plain_keys.collect::<Result<Vec<_>>>()?;
    let nulls: Vec<_> = plain_keys.iter().map(Array::logical_nulls).collect();
    let rows = converter
        .convert_columns(&plain_keys)
        .map_err(|cause| refused(&cause))?;
    let has_null = |row: usize| nulls.iter().flatten().any(|nulls| nulls.is_null(row));
    let key = |(row, key): (usize, arrow::row::Row)| {
        (null_equals_null || !has_null(row)).then(|| key.data().into())
    };
    Ok(rows.iter().enumerate().map(key).collect())
}

fn key_columns<'a>(batch: &'a RecordBatch, keys: &[usize]) -> Vec<&'a ArrayRef> {
    keys.iter().map(|&index| batch.column(index)).collect()
}

impl JoinTable {
    pub(super) fn of(built: Option<&Batch>) -> Result<&JoinTable> {
        let table = built.and_then(|built| match built.data() {
            BatchData::Device(table) => table.as_any().downcast_ref::<JoinTable>(),
            BatchData::Host(_) => None,
        });
        let remedy = "pass what the build side's fold finished with";
        table.ok_or_else(|| Error::invalid("hash_join", "has no built batch of its own", remedy))
    }

    /// The pairs of rows with equal keys, in the order of the probe rows.
    fn pairs(&self, spec: &HashJoinSpec, batch: &RecordBatch) -> Result<(Vec<u32>, Vec<u32>)> {
        let columns = key_columns(batch, &spec.probe_keys);
        let keys = keys_of(&self.converter, &columns, spec.null_equals_null)?;
        let lists: Vec<&[u32]> = keys
            .iter()
            .map(|key| key.as_ref().and_then(|key| self.rows.get(key)))
            .map(|list| list.map_or(&[] as &[u32], Vec::as_slice))
            .collect();
        let unmatched = match spec.kind.keeps_probe_rows() && spec.residual.is_none() {
            true => lists.iter().filter(|list| list.is_empty()).count(),
            false => 0,
        };
        let pairs = lists.iter().map(|list| list.len() as u64).sum::<u64>() + unmatched as u64;
        let only_exists = !spec.kind.gives_build_rows() && spec.residual.is_none();
        if pairs > ROWS_PER_BATCH_MAX && !only_exists {
            return Err(too_many_output_rows(spec.name(), pairs, ROWS_PER_BATCH_MAX));
        }
        let (mut probe_rows, mut build_rows) = (Vec::new(), Vec::new());
        for (row, list) in (0u32..).zip(lists) {
            let list = if only_exists {
                &list[..list.len().min(1)]
            } else {
                list
            };
            probe_rows.extend(list.iter().map(|_| row));
            build_rows.extend(list);
        }
        Ok((probe_rows, build_rows))
    }

    fn matched(&self) -> MutexGuard<'_, Vec<bool>> {
        self.matched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of a column by index; a null index gives a null.
fn picked(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef> {
    take(column, rows, None).map_err(|cause| failed(&cause))
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|cause| failed(&cause))
}

impl HashJoinBuild {
    /// # Errors
    /// As the contract says; `Unsupported` for a key type that cannot be hashed.
    pub(super) fn new(spec: &HashJoinSpec) -> Result<Self> {
        spec.check("cpu")?;
        key_converter(spec)?;
        Ok(HashJoinBuild::of(spec.clone()))
    }

    /// The fold of a join that was checked.
    pub(super) fn of(spec: HashJoinSpec) -> Self {
        HashJoinBuild { spec }
    }
}

impl Rows {
    fn add(&mut self, operator: &'static str, batches: Vec<RecordBatch>) -> Result<()> {
        let more = batches.iter().map(|batch| batch.num_rows() as u64);
        self.count += more.sum::<u64>();
        if self.count > BUILD_ROWS_MAX {
            return Err(too_many_build_rows(operator, self.count));
        }
        self.batches.extend(batches);
        Ok(())
    }
}

impl Fold for HashJoinBuild {
    fn init(&self, _: &Context) -> Result<FoldState> {
        let (batches, count) = (Vec::new(), 0);
        Ok(Box::new(Rows { batches, count }))
    }

    fn next(&self, _: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let batch = host_batch(self.spec.name(), &batch)?;
        state_of::<Rows>("hash_join", state)?.add(self.spec.name(), vec![batch.clone()])
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let other = own_state::<Rows>("hash_join", other)?;
        state_of::<Rows>("hash_join", state)?.add(self.spec.name(), other.batches)
    }

    fn finish(&self, _: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let state = own_state::<Rows>("hash_join", state)?;
        let batch = concat_batches(&self.spec.build, &state.batches);
        let batch = batch.map_err(|cause| failed(&cause))?;
        let converter = key_converter(&self.spec)?;
        let columns = key_columns(&batch, &self.spec.build_keys);
        let mut rows = RowsOfKeys::default();
        let keys = keys_of(&converter, &columns, self.spec.null_equals_null)?;
        for (row, key) in (0u32..).zip(keys) {
            if let Some(key) = key {
                rows.entry(key).or_default().push(row);
            }
        }
        let marks = match self.spec.kind.keeps_build_rows() {
            true => batch.num_rows(),
            false => 0,
        };
        let table = JoinTable {
            converter,
            rows,
            matched: Mutex::new(vec![false; marks]),
            batch,
        };
        let schema = Arc::clone(&self.spec.build);
        Ok(vec![Batch::device(schema, Arc::new(table))])
    }
}

impl HashJoinProbe {
    /// # Errors
    /// As the contract says.
    pub(super) fn new(spec: &HashJoinSpec) -> Result<Self> {
        spec.check("cpu")?;
        Ok(HashJoinProbe::of(spec.clone()))
    }

    /// The transform of a join that was checked.
    pub(super) fn of(spec: HashJoinSpec) -> Self {
        let output = spec.output();
        HashJoinProbe { spec, output }
    }

    /// The pairs for which the residual is true.
    pub(super) fn kept(
        &self,
        table: &JoinTable,
        batch: &RecordBatch,
        (probe_rows, build_rows): (Vec<u32>, Vec<u32>),
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let Some(residual) = &self.spec.residual else {
            return Ok((probe_rows, build_rows));
        };
        let pairs = probe_rows.len();
        let rows = (UInt32Array::from(probe_rows), UInt32Array::from(build_rows));
        let probe = batch.columns().iter().map(|column| picked(column, &rows.0));
        let build = table.batch.columns().iter();
        let build = build.map(|column| picked(column, &rows.1));
        let columns = probe.chain(build).collect::<Result<Vec<_>>>()?;
        let pair = batch_of(&self.spec.pair(), columns, pairs)?;
        let keep = evaluate(residual, &pair, self.spec.semantics)
            .map_err(|error| error.context("hash_join"))?;
        if *keep.data_type() == DataType::Null {
            return Ok((Vec::new(), Vec::new()));
        }
        let keep = true_rows(keep.as_boolean());
        let kept = keep.set_indices();
        Ok(kept
            .map(|pair| (rows.0.value(pair), rows.1.value(pair)))
            .unzip())
    }

    /// Columns of the output, from rows of both sides; a null index is no row.
    fn emit(
        &self,
        table: &JoinTable,
        batch: &RecordBatch,
        probe_rows: &UInt32Array,
        build_rows: &UInt32Array,
    ) -> Result<Batch> {
        let width = batch.num_columns();
        let columns = self.spec.projection.iter().map(|&index| {
            if index < width {
                picked(batch.column(index), probe_rows)
            } else {
                picked(table.batch.column(index - width), build_rows)
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        batch_of(&self.output, columns, probe_rows.len()).map(Batch::host)
    }

    /// The output of a join that gives no build rows.
    fn select(&self, batch: &RecordBatch, matched: Vec<bool>) -> Result<Batch> {
        let width = batch.num_columns();
        let wanted = |row: &u32| match self.spec.kind {
            JoinKind::Semi => matched[*row as usize],
            JoinKind::Anti => !matched[*row as usize],
            _ => true,
        };
        let rows = (0..batch.num_rows() as u32).filter(wanted);
        let rows = UInt32Array::from_iter_values(rows);
        let mark: ArrayRef = Arc::new(BooleanArray::from(matched));
        let columns = self.spec.projection.iter().map(|&index| {
            if index < width {
                picked(batch.column(index), &rows)
            } else {
                Ok(Arc::clone(&mark))
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        batch_of(&self.output, columns, rows.len()).map(Batch::host)
    }
    /// What leaves of a batch: its matches, and its rows without one, as the kind says. Marks the
    /// build rows that were matched.
    pub(super) fn joined(
        &self,
        table: &JoinTable,
        batch: &RecordBatch,
        (mut probe_rows, build_rows): (Vec<u32>, Vec<u32>),
    ) -> Result<Batch> {
        let mut found = vec![false; batch.num_rows()];
        for row in &probe_rows {
            found[*row as usize] = true;
        }
        if !self.spec.kind.gives_build_rows() {
            return self.select(batch, found);
        }
        if self.spec.kind.keeps_build_rows() {
            let mut matched = table.matched();
            for row in &build_rows {
                matched[*row as usize] = true;
            }
        }
        let mut build_rows: Vec<Option<u32>> = build_rows.into_iter().map(Some).collect();
        if self.spec.kind.keeps_probe_rows() {
            let alone = (0u32..).zip(found).filter(|(_, found)| !found);
            probe_rows.extend(alone.map(|(row, _)| row));
            build_rows.resize(probe_rows.len(), None);
        }
        if probe_rows.len() as u64 > ROWS_PER_BATCH_MAX {
            let rows = probe_rows.len() as u64;
            return Err(too_many_output_rows(
                self.spec.name(),
                rows,
                ROWS_PER_BATCH_MAX,
            ));
        }
        let (probe_rows, build_rows) = (probe_rows.into(), build_rows.into());
        self.emit(table, batch, &probe_rows, &build_rows)
    }
}

impl Transform for HashJoinProbe {
    fn next(&self, _: &Context, built: Option<&Batch>, batch: Batch) -> Result<Option<Batch>> {
        let table = JoinTable::of(built)?;
        let batch = host_batch("hash_join", &batch)?;
        let pairs = table.pairs(&self.spec, batch)?;
        let matches = self.kept(table, batch, pairs)?;
        self.joined(table, batch, matches).map(Some)
    }

    fn finish(&self, _: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        if !self.spec.kind.keeps_build_rows() {
            return Ok(None);
        }
        let table = JoinTable::of(built)?;
        let alone: Vec<u32> = (0u32..)
            .zip(table.matched().iter())
            .filter(|(_, matched)| !**matched)
            .map(|(row, _)| row)
            .collect();
        let rows = alone.len();
        if rows as u64 > ROWS_PER_BATCH_MAX {
            return Err(too_many_output_rows(
                self.spec.name(),
                rows as u64,
                ROWS_PER_BATCH_MAX,
            ));
        }
        let alone = UInt32Array::from(alone);
        let width = self.spec.probe.fields().len();
        let columns = self.spec.projection.iter().map(|&index| {
            if index < width {
                let data_type = self.spec.probe.field(index).data_type();
                return Ok(new_null_array(data_type, rows));
            }
            picked(table.batch.column(index - width), &alone)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        batch_of(&self.output, columns, rows).map(|batch| Some(Batch::host(batch)))
    }
}
