//! `project` by kernels; the contract is [`ProjectSpec`].

use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::evaluate::{Evaluator, status_for};
use crate::error::Result;
use crate::memory::Batch;
use crate::operators::{Context, ProjectSpec, Transform};

pub(super) struct Project {
    shared: Arc<Shared>,
    spec: ProjectSpec,
}

impl Project {
    pub(super) fn new(shared: Arc<Shared>, spec: ProjectSpec) -> Self {
        Project { shared, spec }
    }
}

impl Transform for Project {
    fn next(
        &self,
        context: &Context,
        _built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let launch = self.shared.launch(context);
        let batch = CudaBatch::of(&batch)?;
        let (exprs, semantics) = (self.spec.exprs.iter(), self.spec.semantics);
        let status = status_for(&launch, "project", exprs, semantics)?;
        let evaluator = Evaluator::new(launch, batch, semantics, status.as_ref());
        let columns = self
            .spec
            .exprs
            .iter()
            .map(|expr| evaluator.evaluate(expr))
            .collect::<Result<_>>()?;
        if let Some(status) = status {
            self.shared.watch(context.stream, status);
        }
        let (rows, dictionary) = (batch.rows.clone(), Arc::clone(&batch.dictionary));
        let projected = CudaBatch::flat(columns, rows, dictionary);
        Ok(Some(projected.into_batch(Arc::clone(&self.spec.output))))
    }
}
