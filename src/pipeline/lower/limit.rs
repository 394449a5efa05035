//! Limits: a part of a sort, or of rows in any order.

use std::collections::BTreeSet;

use super::super::LimitSpec;
use super::Lowering;
use crate::error::Result;
use crate::plan::LogicalPlan;
use crate::types::SchemaRef;

impl Lowering<'_> {
    pub(super) fn limit(
        &mut self,
        input: &LogicalPlan,
        skip: u64,
        rows: Option<u64>,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        match input {
            // Others read it whole, or as far as they want it.
            _ if self.shared_place(input).is_some() => {
                let schema = self.step(input, wanted)?;
                self.add_limit(&schema, skip, rows);
                Ok(schema)
            }
            // Of a projection the same rows are wanted as of its input.
            LogicalPlan::Project { input, exprs }
                if matches!(**input, LogicalPlan::Sort { .. }) =>
            {
                let inner = LogicalPlan::Limit {
                    input: input.clone(),
                    skip,
                    rows,
                };
                self.project(&inner, exprs, wanted)
            }
            LogicalPlan::Sort { input, keys } => {
                let limit = rows.map(|rows| LimitSpec { skip, rows });
                if let Some(limit) = limit.filter(LimitSpec::fits_top_k) {
                    return self.sort(input, keys, Some(limit), wanted);
                }
                let schema = self.sort(input, keys, None, wanted)?;
                self.add_limit(&schema, skip, rows);
                Ok(schema)
            }
            _ => {
                let schema = self.step(input, wanted)?;
                self.add_limit(&schema, skip, rows);
                Ok(schema)
            }
        }
    }

    fn add_limit(&mut self, schema: &SchemaRef, skip: u64, rows: Option<u64>) {
        let mut limit = LimitSpec {
            skip,
            rows: rows.unwrap_or(u64::MAX),
        };
        let pipeline = self.open(schema);
        if let Some(below) = pipeline.limit {
            limit.skip = below.skip.saturating_add(skip);
            limit.rows = limit.rows.min(below.rows.saturating_sub(skip));
        }
        pipeline.limit = Some(limit);
    }
}
