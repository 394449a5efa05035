//! Unions: a pipeline per input, and one that reads them all.

use std::collections::BTreeSet;

use super::super::{Pipeline, Source};
use super::Lowering;
use super::columns::{columns_of, projected};
use crate::error::Result;
use crate::plan::LogicalPlan;
use crate::types::SchemaRef;

impl Lowering<'_> {
    pub(super) fn union(
        &mut self,
        plan: &LogicalPlan,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let schema = plan.schema()?;
        let columns = columns_of(&schema, wanted)?;
        let output = projected(&schema, &columns);
        let mut closed = Vec::new();
        for input in plan.inputs() {
            // An input's columns are those at the same places, whatever their names.
            let own = input.schema()?;
            let names = columns
                .iter()
                .map(|&column| own.field(column).name().clone());
            let own = self.step(input, &names.collect())?;
            let all: Vec<usize> = (0..own.fields().len()).collect();
            self.pick(&own, &all, &output);
            closed.push(self.close());
        }
        self.current = Some(Pipeline::new(Source::Pipelines(closed), &output));
        Ok(output)
    }
}
