//! `gather` on host batches; the contract is [`GatherSpec`].

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::UInt32Type;

use super::host_batch;
use crate::error::{Error, Result};
use crate::memory::Batch;
use crate::operators::{Context, GatherSpec, Transform};

pub(super) struct Gather {
    spec: GatherSpec,
}

impl Gather {
    pub(super) fn new(spec: &GatherSpec) -> Gather {
        Gather { spec: spec.clone() }
    }
}

impl Transform for Gather {
    fn next(&self, _: &Context, built: Option<&Batch>, batch: Batch) -> Result<Option<Batch>> {
        let Some(built) = built else {
            return Err(Error::invalid("gather", "has no built batch", ""));
        };
        let built = host_batch("gather", built)?;
        let batch = host_batch("gather", &batch)?;
        let indices = batch
            .columns()
            .first()
            .and_then(|column| column.as_primitive_opt::<UInt32Type>())
            .ok_or_else(|| Error::invalid("gather", "the first column is not UInt32", ""))?;
        let indices = checked(indices, built.num_rows())?;
        let columns = built
            .columns()
            .iter()
            .map(|column| take(column, &indices, None))
            .collect::<std::result::Result<Vec<_>, _>>();
        let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
        columns
            .and_then(|columns| {
                RecordBatch::try_new_with_options(Arc::clone(&self.spec.built), columns, &options)
            })
            .map(|gathered| Some(Batch::host(gathered)))
            .map_err(|cause| Error::invalid("gather", cause.to_string(), ""))
    }
}

/// The indices, each below `built_rows`; what lies under a null becomes 0.
fn checked(indices: &UInt32Array, built_rows: usize) -> Result<UInt32Array> {
    let beyond = |index: u32| index as usize >= built_rows;
    if let Some(index) = indices.iter().flatten().find(|index| beyond(*index)) {
        let cause = format!("index {index} is not below the {built_rows} built rows");
        return Err(Error::invalid("gather", cause, ""));
    }
    Ok(indices.unary(|index| if beyond(index) { 0 } else { index }))
}
