//! Contract of `filter`: the rows for which a predicate is true.
//!
//! - Shape: `[rows]` columns and a Boolean expression → the same columns, `[kept]`, `kept ≤ rows`.
//! - Order: kept (a stable compaction).
//! - Nulls: a row whose predicate is null is dropped.
//! - Errors: arithmetic errors of the predicate, as the semantics say.
//! - Equality in tests: ordered, exact.

use crate::expr::TypedExpr;
use crate::types::{SchemaRef, Semantics};

/// Keeps the rows for which `predicate` is true, and of them the columns in `projection`.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterSpec {
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// A Boolean expression over the input.
    pub predicate: TypedExpr,
    /// Columns that leave, by index into the input: those that only the predicate reads need
    /// not be compacted. In output order.
    pub projection: Vec<usize>,
    /// How the predicate's arithmetic behaves.
    pub semantics: Semantics,
}

impl FilterSpec {
    /// Schema of the batches that leave.
    pub fn output(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .projection
            .iter()
            .map(|&index| self.input.field(index).clone())
            .collect();
        std::sync::Arc::new(crate::types::Schema::new(fields))
    }
}
