//! Sorts, whole or their first rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::LimitSpec;
use super::Lowering;
use super::columns::{columns_of, projected};
use crate::error::Result;
use crate::expr::resolve;
use crate::operators::{OperatorSpec, SortKey, SortSpec, TopKSpec};
use crate::plan::{LogicalPlan, SortExpr};
use crate::types::{Schema, SchemaRef};

impl Lowering<'_> {
    /// A sort, or the rows of it that a limit keeps.
    pub(super) fn sort(
        &mut self,
        input: &LogicalPlan,
        keys: &[SortExpr],
        limit: Option<LimitSpec>,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let mut needed = wanted.clone();
        for key in keys {
            key.expr.collect_columns(&mut needed);
        }
        let schema = self.step(input, &needed)?;
        let (sorted, keys) = self.sort_keys(&schema, keys)?;
        let spec = match limit {
            None => OperatorSpec::Sort(SortSpec {
                input: Arc::clone(&sorted),
                keys,
            }),
            Some(LimitSpec { skip, rows }) => OperatorSpec::TopK(TopKSpec {
                input: Arc::clone(&sorted),
                keys,
                k: rows,
                offset: skip,
            }),
        };
        self.fold(&sorted, spec, &sorted);
        let columns = columns_of(&schema, wanted)?;
        let output = projected(&sorted, &columns);
        self.pick(&sorted, &columns, &output);
        Ok(output)
    }

    /// Key columns, computed where they are no columns yet.
    pub(super) fn sort_keys(
        &mut self,
        schema: &SchemaRef,
        keys: &[SortExpr],
    ) -> Result<(SchemaRef, Vec<SortKey>)> {
        let typed = typed_keys(schema, keys)?;
        let (schema, places) = self.append(schema, typed);
        Ok((schema, place_keys(keys, &places)))
    }
}

pub(super) fn typed_keys(
    schema: &Schema,
    keys: &[SortExpr],
) -> Result<Vec<crate::expr::TypedExpr>> {
    let keys = keys.iter().map(|key| resolve(&key.expr, schema));
    keys.collect::<Result<_>>()
        .map_err(|error| error.context("sort"))
}

/// The keys over these columns.
pub(super) fn place_keys(keys: &[SortExpr], places: &[usize]) -> Vec<SortKey> {
    let keys = keys.iter().zip(places);
    let key = |(key, &column): (&SortExpr, &usize)| SortKey {
        column,
        descending: key.descending,
        nulls_first: key.nulls_first,
    };
    keys.map(key).collect()
}
