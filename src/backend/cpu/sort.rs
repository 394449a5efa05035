//! `sort` on host batches; the contract is [`SortSpec`].
//!
//! Keys become Arrow's row bytes, which compare as the keys do once floats are canonical (Arrow's
//! own order tells −0.0 from 0.0, and NaNs from each other); a stable sort of row numbers follows.

use arrow::array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{SortOptions, concat_batches, take};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::accumulate::{plain, plain_type};
use super::host_batch;
use crate::error::{Error, Result};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{
    Context, Fold, FoldState, SORT_ROWS_MAX, SortKey, SortSpec, own_state, state_of,
    too_many_sort_rows,
};
use crate::types::SchemaRef;

pub(super) struct Sort {
    spec: SortSpec,
}

/// The batches so far, in the order of their rows.
pub(super) struct Rows {
    pub batches: Vec<RecordBatch>,
}

impl Sort {
    /// # Errors
    /// `InvalidInput` if the specification contradicts itself, `Unsupported` for a key type
    /// without an order.
    pub(super) fn new(spec: &SortSpec) -> Result<Sort> {
        SortKey::check(&spec.keys, &spec.input, "sort")?;
        key_converter(&spec.keys, &spec.input, "sort")?;
        Ok(Sort { spec: spec.clone() })
    }
}

/// What makes comparable bytes of key columns.
pub(super) fn key_converter(
    keys: &[SortKey],
    input: &SchemaRef,
    operator: &'static str,
) -> Result<RowConverter> {
    let field = |key: &SortKey| {
        let options = SortOptions::new(key.descending, key.nulls_first);
        let data_type = plain_type(input.field(key.column).data_type());
        SortField::new_with_options(data_type, options)
    };
    RowConverter::new(keys.iter().map(field).collect())
        .map_err(|cause| Error::unsupported("cpu", operator, cause.to_string()))
}

/// The row numbers of a batch in the order of its keys, equal rows in the order of the batch.
pub(super) fn sorted_rows(
    keys: &[SortKey],
    batch: &RecordBatch,
    operator: &'static str,
) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> = (0..batch.num_rows() as u64).collect();
    if keys.is_empty() {
        return Ok(numbers);
    }
    let converter = key_converter(keys, &batch.schema(), operator)?;
    let columns = keys.iter().map(|key| plain(batch.column(key.column)));
    let rows = converter
        .convert_columns(&columns.collect::<Result<Vec<_>>>()?)
        .map_err(|cause| failed(operator, &cause))?;
    numbers.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(numbers)
}

/// Rows of a batch by number.
pub(super) fn take_rows(
    batch: &RecordBatch,
    numbers: &[u64],
    operator: &'static str,
) -> Result<RecordBatch> {
    let indices = UInt64Array::from(numbers.to_vec());
    let columns = batch.columns().iter();
    let columns = columns.map(|column| take(column, &indices, None));
    let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
    columns
        .collect::<std::result::Result<Vec<_>, _>>()
        .and_then(|columns| RecordBatch::try_new_with_options(batch.schema(), columns, &options))
        .map_err(|cause| failed(operator, &cause))
}

/// The rows of all batches as one batch.
pub(super) fn whole(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    operator: &'static str,
) -> Result<RecordBatch> {
    concat_batches(schema, batches).map_err(|cause| failed(operator, &cause))
}

fn failed(operator: &'static str, cause: &ArrowError) -> Error {
    Error::invalid(operator, cause.to_string(), "")
}

impl Fold for Sort {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Rows {
            batches: Vec::new(),
        }))
    }

    fn next(&self, _: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let rows = state_of::<Rows>("sort", state)?;
        rows.batches.push(host_batch("sort", &batch)?.clone());
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let rows = state_of::<Rows>("sort", state)?;
        let other = own_state::<Rows>("sort", other)?;
        rows.batches.extend(other.batches);
        Ok(())
    }

    fn finish(&self, _: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let rows = own_state::<Rows>("sort", state)?;
        let all = whole(&self.spec.input, &rows.batches, "sort")?;
        if all.num_rows() as u64 > SORT_ROWS_MAX {
            return Err(too_many_sort_rows(all.num_rows() as u64));
        }
        let numbers = sorted_rows(&self.spec.keys, &all, "sort")?;
        if numbers.is_empty() {
            return Ok(vec![Batch::host(all)]);
        }
        let parts = numbers.chunks(ROWS_PER_BATCH_MAX as usize);
        let parts = parts.map(|part| take_rows(&all, part, "sort").map(Batch::host));
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array};

    use super::*;
    use crate::types::{DataType, Field, Schema};

    #[test]
    fn equal_rows_keep_their_order_and_values_are_unchanged() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true)]));
        let values = [
            Some(0.0),
            Some(-f64::NAN),
            Some(-0.0),
            None,
            Some(1.0),
            Some(f64::NAN),
        ];
        let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let batch = RecordBatch::try_new(schema, vec![column]);
        let batch = batch.unwrap_or_else(|cause| panic!("{cause}"));
        let order = |descending, nulls_first| {
            let key = SortKey {
                column: 0,
                descending,
                nulls_first,
            };
            sorted_rows(&[key], &batch, "sort").unwrap_or_default()
        };
        assert_eq!(order(false, false), [0, 2, 4, 1, 5, 3]);
        assert_eq!(order(false, true), [3, 0, 2, 4, 1, 5]);
        assert_eq!(order(true, false), [1, 5, 4, 0, 2, 3]);
        assert_eq!(order(true, true), [3, 1, 5, 4, 0, 2]);
    }
}
