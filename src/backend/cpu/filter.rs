//! `filter` on host batches; the contract is [`FilterSpec`].

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;

use super::evaluate::{evaluate, true_rows};
use super::host_batch;
use crate::error::{Error, Result};
use crate::memory::Batch;
use crate::operators::{Context, FilterSpec, Transform};
use crate::types::DataType;

pub(super) struct Filter {
    spec: FilterSpec,
}

impl Filter {
    /// # Errors
    /// `InvalidInput` for a predicate that is not Boolean, or a column that is not there.
    pub(super) fn new(spec: &FilterSpec) -> Result<Filter> {
        let predicate = &spec.predicate.data_type;
        if !matches!(predicate, DataType::Boolean | DataType::Null) {
            let cause = format!("the predicate is {predicate}");
            return Err(Error::invalid("filter", cause, "use a Boolean expression"));
        }
        let columns = spec.input.fields().len();
        if let Some(index) = spec.projection.iter().find(|index| **index >= columns) {
            let cause = format!("column {index} of {columns}");
            return Err(Error::invalid("filter projection", cause, ""));
        }
        Ok(Filter { spec: spec.clone() })
    }
}

impl Transform for Filter {
    fn next(&self, _: &Context, _: Option<&Batch>, batch: Batch) -> Result<Option<Batch>> {
        let batch = host_batch("filter", &batch)?;
        let predicate = evaluate(&self.spec.predicate, batch, self.spec.semantics)
            .map_err(|error| error.context("filter"))?;
        let kept = match predicate.data_type() {
            DataType::Boolean => true_rows(predicate.as_boolean()),
            _ => arrow::buffer::BooleanBuffer::new_unset(batch.num_rows()),
        };
        let columns = self
            .spec
            .projection
            .iter()
            .map(|&index| batch.column(index));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let projected = RecordBatch::try_new_with_options(
            self.spec.output(),
            columns.cloned().collect(),
            &options,
        );
        projected
            .and_then(|projected| filter_record_batch(&projected, &BooleanArray::new(kept, None)))
            .map(|filtered| Some(Batch::host(filtered)))
            .map_err(|cause| Error::invalid("filter", cause.to_string(), ""))
    }
}
