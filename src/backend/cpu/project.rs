//! `project` on host batches; the contract is [`ProjectSpec`].

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};

use super::evaluate::evaluate;
use super::host_batch;
use crate::error::{Error, Result};
use crate::memory::Batch;
use crate::operators::{Context, ProjectSpec, Transform};

pub(super) struct Project {
    spec: ProjectSpec,
}

impl Project {
    /// # Errors
    /// `InvalidInput` if the expressions do not have the types of the output.
    pub(super) fn new(spec: &ProjectSpec) -> Result<Project> {
        let fields = spec.output.fields();
        if fields.len() != spec.exprs.len() {
            let cause = format!(
                "{} expressions for {} fields",
                spec.exprs.len(),
                fields.len()
            );
            return Err(Error::invalid("project", cause, ""));
        }
        for (expr, field) in spec.exprs.iter().zip(fields) {
            if expr.data_type != *field.data_type() {
                let cause = format!("is {}, not {}", expr.data_type, field.data_type());
                let place = format!("project, column `{}`", field.name());
                return Err(Error::invalid(place, cause, ""));
            }
        }
        Ok(Project { spec: spec.clone() })
    }
}

impl Transform for Project {
    fn next(&self, _: &Context, _: Option<&Batch>, batch: Batch) -> Result<Option<Batch>> {
        let batch = host_batch("project", &batch)?;
        let columns = self
            .spec
            .exprs
            .iter()
            .map(|expr| evaluate(expr, batch, self.spec.semantics))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.context("project"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)
            .map(|projected| Some(Batch::host(projected)))
            .map_err(|cause| Error::invalid("project", cause.to_string(), ""))
    }
}
