//! Contract of `project`: columns computed from columns.
//!
//! - Shape: `[rows]` → `[rows]`, one column per expression.
//! - Order: kept.
//! - Nulls: an operator with a null operand gives null, except Kleene `and` / `or`, `is null`,
//!   `is not null`, `case` and `coalesce`.
//! - Errors: overflow, division by zero and strict casts, as the semantics say; never from a null
//!   operand, nor from a `case` or `coalesce` branch that the row does not take.
//! - Comparisons: NaN equals NaN and is greater than every number; −0.0 equals 0.0.
//! - Equality in tests: ordered, exact (floats bit by bit, any NaN equal to any NaN).

use crate::expr::TypedExpr;
use crate::types::{SchemaRef, Semantics};

/// Computes one column per expression.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSpec {
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// Schema of the batches that leave: one field per expression, of the expression's type.
    pub output: SchemaRef,
    /// The expressions.
    pub exprs: Vec<TypedExpr>,
    /// How arithmetic behaves.
    pub semantics: Semantics,
}
