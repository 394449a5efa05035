//! Contract of `gather`: rows of a built batch, picked by index.
//!
//! - Shape: built `[built_rows]`, indices `[rows]` → the built batch's columns, `[rows]`.
//! - Order: that of the indices.
//! - Nulls: a null index gives a row of nulls.
//! - Errors: `InvalidInput` naming the first index that is not below `built_rows`.
//! - Equality in tests: ordered, exact.

use crate::types::SchemaRef;

/// Picks rows of the built batch by the indices in the first column (`UInt32`) of each batch.
#[derive(Debug, Clone, PartialEq)]
pub struct GatherSpec {
    /// Schema of the built batch, and of the batches that leave.
    pub built: SchemaRef,
}
