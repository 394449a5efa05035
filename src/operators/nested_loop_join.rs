//! Contract of `nested_loop_join`: pairs of rows of two sides for which a condition is true.
//!
//! For joins without equal keys: cross joins, and joins by inequality or any other condition. Where
//! keys are equal, [`HashJoinSpec`] says the same faster. Two operators share one specification, as
//! in `hash_join`. [`NestedLoopJoinBuild`](super::OperatorSpec::NestedLoopJoinBuild) is a fold over
//! the build side, whose one result is the built batch: its rows and, for right and full joins, a
//! mark per row. [`NestedLoopJoinProbe`](super::OperatorSpec::NestedLoopJoinProbe) is a transform of
//! the probe side's batches, which gets the built batch; its `finish` gives the build rows that no
//! probe row matched, once all batches have been through `next`. A built batch serves one run over
//! the probe side.
//!
//! - Shape: build `[build_rows]`, probe `[rows]` → as [`JoinKind`] says.
//! - Order: unspecified, among the rows of a batch too.
//! - Condition: over the columns of both sides, probe first. It is evaluated for every pair of rows,
//!   also where one match would do, so that its arithmetic errors do not depend on the order; a pair
//!   for which it is not true is no match. Without a condition every pair is a match.
//! - Nulls: where a side has no row, its columns are null.
//! - Speed: where the condition is one comparison of what only the probe side has with what only the
//!   build side has, or a conjunction of a few, operands are evaluated per row, not per pair.
//! - Memory: pairs are evaluated in tiles of a bounded number; what grows with the matches is two row
//!   numbers each, and the output.
//! - Waiting: probing waits for the batch's size and for the number of its matches, tile by tile
//!   where the condition is evaluated for pairs.
//! - Errors: `InvalidInput` when made, for columns that are not there, or a condition that is not
//!   Boolean; later, for more than [`BUILD_ROWS_MAX`](super::BUILD_ROWS_MAX) build rows, and for a
//!   batch that joins to more rows than a batch may have. Arithmetic errors of the condition.
//! - Equality in tests: multiset, exact.

use std::sync::Arc;

use super::{HashJoinSpec, JoinKind};
use crate::error::Result;
use crate::expr::TypedExpr;
use crate::types::{SchemaRef, Semantics};

/// Joins a probe side to a build side by any condition.
#[derive(Debug, Clone, PartialEq)]
pub struct NestedLoopJoinSpec {
    /// Which rows leave.
    pub kind: JoinKind,
    /// Schema of the build side.
    pub build: SchemaRef,
    /// Schema of the probe side.
    pub probe: SchemaRef,
    /// What makes a pair of rows a match, over the probe's columns followed by the build's; none:
    /// every pair is one.
    pub condition: Option<TypedExpr>,
    /// Columns that leave, in output order, by index into the probe's columns followed by the
    /// build's; a semi or anti join has the probe's alone, a mark join the mark behind them.
    pub projection: Vec<usize>,
    /// How the condition's arithmetic behaves.
    pub semantics: Semantics,
}

impl NestedLoopJoinSpec {
    /// The columns that the projection picks from.
    pub fn joined(&self) -> SchemaRef {
        self.without_keys().joined()
    }

    /// Schema of the batches that leave.
    pub fn output(&self) -> SchemaRef {
        self.without_keys().output()
    }

    /// Schema of the pairs of rows that the condition sees.
    pub fn pair(&self) -> SchemaRef {
        self.without_keys().pair()
    }

    /// Checks that the specification does not contradict itself.
    ///
    /// # Errors
    /// `InvalidInput` as the contract says.
    pub fn check(&self) -> Result<()> {
        self.without_keys().check_columns()
    }

    /// True if a batch that is built for this join serves the other one's probe, too; see
    /// [`HashJoinSpec::builds_for`].
    pub fn builds_for(&self, other: &NestedLoopJoinSpec) -> bool {
        self.without_keys().builds_for(&other.without_keys())
    }

    /// The same join as one whose rows all have equal keys, with the condition as its residual. No
    /// backend makes a hash join of it; it is what both joins share.
    pub(crate) fn without_keys(&self) -> HashJoinSpec {
        HashJoinSpec {
            kind: self.kind,
            build: Arc::clone(&self.build),
            probe: Arc::clone(&self.probe),
            build_keys: Vec::new(),
            probe_keys: Vec::new(),
            null_equals_null: false,
            residual: self.condition.clone(),
            projection: self.projection.clone(),
            semantics: self.semantics,
        }
    }
}
