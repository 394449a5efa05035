//! `gather` by kernels; the contract is [`GatherSpec`].

use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use crate::error::{Error, Result};
use crate::kernels::gather::gather_rows;
use crate::kernels::{DeviceColumn, Status};
use crate::memory::Batch;
use crate::operators::{Context, GatherSpec, Transform};

pub(super) struct Gather {
    shared: Arc<Shared>,
    spec: GatherSpec,
}

impl Gather {
    pub(super) fn new(shared: Arc<Shared>, spec: GatherSpec) -> Self {
        Gather { shared, spec }
    }
}

impl Transform for Gather {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let launch = self.shared.launch(context);
        let built = built.ok_or_else(|| Error::invalid("gather", "no batch was built", ""))?;
        let (built, batch) = (CudaBatch::of(built)?, CudaBatch::of(&batch)?);
        let indices = batch
            .columns
            .first()
            .ok_or_else(|| Error::invalid("gather", "the batch has no column of indices", ""))?;
        let status = Status::new(&launch, "gather_rows")?;
        let columns: Vec<&DeviceColumn> = built.columns.iter().collect();
        let columns = gather_rows(
            &launch,
            indices,
            &batch.rows,
            &columns,
            &built.rows,
            &status,
        )?;
        self.shared.watch(context.stream, status);
        let (rows, dictionary) = (batch.rows.clone(), Arc::clone(&built.dictionary));
        let picked = CudaBatch::flat(columns, rows, dictionary);
        Ok(Some(picked.into_batch(Arc::clone(&self.spec.built))))
    }
}
