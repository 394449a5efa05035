//! Contract of `group_by`: one row per group of equal keys, with aggregates.
//!
//! - Shape: `[rows]` keys and values → `[groups]`; with no keys, exactly one row, also for no input.
//! - Order: unspecified.
//! - Keys: a null is a group of its own; NaNs are one group; −0.0 and 0.0 are one group (shown as
//!   0.0). Strings are equal by their bytes.
//! - Aggregates: over the values that are not null. `min` and `max` of no values are null, `mean`
//!   too; `sum` as the semantics say; `count` and `count_distinct` are 0. Integer sums wrap in 64
//!   bits or fail, as the semantics say. Decimal sums are taken modulo 2^128; a final sum beyond 38
//!   digits is null, or fails. `min` and `max` treat NaN as the greatest value, and show −0.0 as 0.0. Float sums are
//!   added in no stated order, in 64 bits.
//! - Errors: overflow as above; `Reservation` if the table does not fit.
//! - Equality in tests: multiset; float sums and means approximately, all else exact.

use crate::expr::AggregateFunction;
use crate::types::{SchemaRef, Semantics};

/// One aggregate of a group-by.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateSpec {
    /// The function.
    pub function: AggregateFunction,
    /// Its operand, by index into the input; none counts rows.
    pub input: Option<usize>,
}

/// Groups rows by key columns and aggregates value columns.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupBySpec {
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// Schema of the result: the keys in order, then the aggregates in order.
    pub output: SchemaRef,
    /// Key columns, by index into the input.
    pub group_keys: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateSpec>,
    /// Overflow and empty sums.
    pub semantics: Semantics,
}
