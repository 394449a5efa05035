//! `filter` by kernels; the contract is [`FilterSpec`].

use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::evaluate::{Evaluator, status_for};
use crate::error::Result;
use crate::kernels::DeviceColumn;
use crate::kernels::filter::filter_compact;
use crate::memory::Batch;
use crate::operators::{Context, FilterSpec, Transform};
use crate::types::SchemaRef;

pub(super) struct Filter {
    shared: Arc<Shared>,
    spec: FilterSpec,
    output: SchemaRef,
}

impl Filter {
    pub(super) fn new(shared: Arc<Shared>, spec: FilterSpec) -> Self {
        let output = spec.output();
        Filter {
            shared,
            spec,
            output,
        }
    }
}

impl Transform for Filter {
    fn next(
        &self,
        context: &Context,
        _built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let launch = self.shared.launch(context);
        let batch = CudaBatch::of(&batch)?;
        let (predicate, semantics) = (&self.spec.predicate, self.spec.semantics);
        let status = status_for(&launch, "filter", std::iter::once(predicate), semantics)?;
        let evaluator = Evaluator::new(launch, batch, semantics, status.as_ref());
        let predicate = evaluator.evaluate(predicate)?;
        let columns: Vec<&DeviceColumn> = self
            .spec
            .projection
            .iter()
            .map(|index| &batch.columns[*index])
            .collect();
        let (columns, rows) = filter_compact(&launch, &predicate, &columns, &batch.rows)?;
        if let Some(status) = status {
            self.shared.watch(context.stream, status);
        }
        let dictionary = Arc::clone(&batch.dictionary);
        let kept = CudaBatch::flat(columns, rows, dictionary);
        Ok(Some(kept.into_batch(Arc::clone(&self.output))))
    }
}
