//! What each operator promises: specifications and contracts, no implementation.
//!
//! A [`OperatorSpec`] says what to do; a backend turns it into an [`Operator`]. Operators own no
//! state and are pure in their inputs: the executor owns state, streams and reservations. Each
//! operator's contract (shapes, nulls, order, errors) stands in the file of its name, and the CPU
//! backend is its definition. Adding a variant is a compile error in every backend until it is
//! handled there or answered with `Unsupported`.

#![forbid(unsafe_code)]

mod distinct;
mod filter;
mod gather;
mod group_by;
mod hash_join;
mod nested_loop_join;
mod project;
mod shuffle_partition;
mod sort;
mod top_k;
mod window;

pub use distinct::DistinctSpec;
pub use filter::FilterSpec;
pub use gather::GatherSpec;
pub use group_by::{
    AggregateSpec, FloatSums, GroupByPhase, GroupBySpec, SKETCH_BITS, SKETCH_RANK_MAX, Sketch,
    aggregate_state, estimate_distinct, hash_bytes, hash_words,
};
pub use hash_join::{
    BUILD_ROWS_MAX, HashJoinSpec, is_too_many_output_rows, too_many_build_rows,
    too_many_output_rows,
};
pub use nested_loop_join::NestedLoopJoinSpec;
pub use project::ProjectSpec;
pub use shuffle_partition::{
    HASH_SEED, HASH_STEP, KeyHash, NULL_WORD, PARTITIONS, Partitioning, RangeKey,
    ShufflePartitionSpec, bounds_descend, bytes_word, float_word, integer_word,
};
pub use sort::{SORT_ROWS_MAX, SortKey, SortSpec, too_many_sort_rows};
pub use top_k::TopKSpec;
pub use window::{WindowCall, WindowSpec, too_many_window_rows, window_type};

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
pub use crate::expr::{Frame, JoinKind, MARK_NAME, WindowFunction};
pub use crate::memory::StreamHandle;
use crate::memory::{Batch, Cancelled};
use crate::metrics::Metrics;

/// One step of a pipeline, ready to be made by a backend.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorSpec {
    /// Keeps the rows for which a predicate is true.
    Filter(FilterSpec),
    /// Computes columns from columns.
    Project(ProjectSpec),
    /// Picks rows of a built batch by index.
    Gather(GatherSpec),
    /// Groups rows by keys and aggregates each group.
    GroupBy(GroupBySpec),
    /// Builds the table of a join: a fold over the build side.
    HashJoinBuild(HashJoinSpec),
    /// Joins probe batches to the batch that `HashJoinBuild` built.
    HashJoinProbe(HashJoinSpec),
    /// Splits a batch into partitions.
    ShufflePartition(ShufflePartitionSpec),
    /// Keeps the build side of a join without keys: a fold.
    NestedLoopJoinBuild(NestedLoopJoinSpec),
    /// Joins probe batches to the batch that `NestedLoopJoinBuild` built.
    NestedLoopJoinProbe(NestedLoopJoinSpec),
    /// Puts rows in the order of their keys.
    Sort(SortSpec),
    /// Keeps the first rows in the order of their keys.
    TopK(TopKSpec),
    /// Computes functions of rows among the rows of their partitions.
    Window(WindowSpec),
}

impl OperatorSpec {
    /// The operator's file stem, the same in every room.
    pub fn name(&self) -> &'static str {
        match self {
            OperatorSpec::Filter(_) => "filter",
            OperatorSpec::Project(_) => "project",
            OperatorSpec::Gather(_) => "gather",
            OperatorSpec::GroupBy(_) => "group_by",
            OperatorSpec::HashJoinBuild(_) | OperatorSpec::HashJoinProbe(_) => "hash_join",
            OperatorSpec::ShufflePartition(_) => "shuffle_partition",
            OperatorSpec::NestedLoopJoinBuild(_) | OperatorSpec::NestedLoopJoinProbe(_) => {
                "nested_loop_join"
            }
            OperatorSpec::Sort(_) => "sort",
            OperatorSpec::TopK(_) => "top_k",
            OperatorSpec::Window(_) => "window",
        }
    }
}

/// What the executor lends an operator for one call.
#[derive(Clone)]
pub struct Context {
    /// The stream on which the operator puts its work.
    pub stream: StreamHandle,
    /// The query's counters.
    pub metrics: Arc<Metrics>,
    /// Whether the query is still wanted: an operator whose one call may take long asks in between.
    pub cancelled: Cancelled,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("stream", &self.stream)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// A context on stream 0 with counters of its own: for tests and single calls.
    pub fn detached() -> Self {
        Context {
            stream: StreamHandle::default(),
            metrics: Arc::default(),
            cancelled: Arc::new(|| Ok(())),
        }
    }

    /// Whether to go on with a long call.
    ///
    /// # Errors
    /// `Cancelled` if the query has ended.
    pub fn check(&self) -> Result<()> {
        (self.cancelled)()
    }
}

/// State of a fold between calls, known only to the operator that made it.
pub type FoldState = Box<dyn Any + Send>;

/// A fold's own state.
///
/// # Errors
/// `InvalidInput` for the state of another fold.
pub(crate) fn state_of<'s, T: Any>(
    operator: &'static str,
    state: &'s mut FoldState,
) -> Result<&'s mut T> {
    state.downcast_mut().ok_or_else(|| foreign_state(operator))
}

/// As [`state_of`], for a state that is given away.
///
/// # Errors
/// `InvalidInput` for the state of another fold.
pub(crate) fn own_state<T: Any>(operator: &'static str, state: FoldState) -> Result<Box<T>> {
    state.downcast().map_err(|_| foreign_state(operator))
}

fn foreign_state(operator: &'static str) -> Error {
    Error::invalid(operator, "the state is of another fold", "")
}

/// One batch in, at most one batch out.
pub trait Transform: Send + Sync {
    /// Transforms a batch. `built` is the batch that an earlier pipeline built for this operator
    /// (the rows that `gather` picks from), if the operator has one.
    ///
    /// # Errors
    /// As the operator's contract says; the batch is then lost, the operator stays usable.
    fn next(&self, context: &Context, built: Option<&Batch>, batch: Batch)
    -> Result<Option<Batch>>;

    /// What is left to give once every batch has been through `next`, on whichever streams: for
    /// a join, the built rows that nothing matched. Called at most once per built batch.
    ///
    /// # Errors
    /// As the operator's contract says.
    fn finish(&self, context: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        let _ = (context, built);
        Ok(None)
    }
}

/// Many batches in, the result at the end: a pipeline breaker.
pub trait Fold: Send + Sync {
    /// The state before any batch.
    ///
    /// # Errors
    /// The state cannot be allocated.
    fn init(&self, context: &Context) -> Result<FoldState>;

    /// Folds one batch into a state.
    ///
    /// # Errors
    /// As the operator's contract says. The state is then of no further use.
    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()>;

    /// Folds another state, of the same fold, into this one.
    ///
    /// # Errors
    /// As `next`.
    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()>;

    /// The result of all batches.
    ///
    /// # Errors
    /// As the operator's contract says.
    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>>;

    /// Bytes that a state holds on to, about; 0 for a fold whose state stays small.
    fn bytes(&self, state: &FoldState) -> u64 {
        let _ = state;
        0
    }
}

/// One batch in, a batch per partition out: what an exchange is made of.
pub trait Partition: Send + Sync {
    /// Splits a batch. Result: one batch per partition, in the order of the partitions, with the
    /// schema of the batch; together they have exactly its rows.
    ///
    /// # Errors
    /// As the operator's contract says; the batch is then lost, the operator stays usable.
    fn next(&self, context: &Context, batch: Batch) -> Result<Vec<Batch>>;
}

/// An operator that a backend made from an [`OperatorSpec`].
pub enum Operator {
    /// One batch in, at most one out.
    Transform(Box<dyn Transform>),
    /// Many batches in, the result at the end.
    Fold(Box<dyn Fold>),
    /// One batch in, a batch per partition out.
    Partition(Box<dyn Partition>),
}
