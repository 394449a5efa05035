//! What a query computes: a tree of relational steps over expressions.
//!
//! A plan is a value: it prints ([`std::fmt::Display`]), compares and serialises (serde), and
//! knows no device, stream or file handle. A scan carries the schema that its files had when the
//! plan was made. How a plan runs is `pipeline`'s matter.

#![forbid(unsafe_code)]

mod build;
mod display;
mod estimate;
mod memory_table;
mod rules;
mod schema;
mod window;

pub use build::{cume_dist, dense_rank, ntile, percent_rank, rank, row_number};
pub(crate) use estimate::rows_of;
pub use memory_table::MemoryTable;
pub use rules::optimise;
pub use schema::{aggregate_name, extract_aggregates, join_names, join_pair};
pub use window::WindowExpr;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::expr::{Expr, JoinKind, Keep};
use crate::types::{ColumnEstimate, Schema, SchemaRef, Semantics};

/// A set of Parquet files with one schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParquetFiles {
    /// The files, in the order in which they are read.
    pub paths: Vec<PathBuf>,
    /// The schema that all files share.
    pub schema: Schema,
    /// Rows of all files when the plan was made, if somebody counted: what joins choose sides by.
    #[serde(default)]
    pub rows: Option<u64>,
    /// What was known of the schema's columns then, in its order; of those that are not there,
    /// nothing. For estimates alone: no result depends on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnEstimate>,
}

/// A result that an engine keeps: it alone can read it, as long as it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredRows {
    /// Its number in the engine.
    pub number: u64,
    /// Names and types of its columns.
    pub schema: Schema,
    /// How many rows it has.
    pub rows: u64,
    /// Whether they are in an order that was asked for.
    pub ordered: bool,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortExpr {
    /// The values compared.
    pub expr: Expr,
    /// Whether greater values come first.
    #[serde(default)]
    pub descending: bool,
    /// Whether nulls come before all values, in either direction.
    #[serde(default)]
    pub nulls_first: bool,
}

/// A relational step and its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogicalPlan {
    /// The rows of Parquet files, in no stated order.
    Scan {
        /// The files.
        files: ParquetFiles,
    },
    /// The rows of a table in memory, in its order.
    Memory {
        /// The table.
        table: Arc<MemoryTable>,
    },
    /// The rows of an earlier result that an engine keeps.
    Stored {
        /// Which one.
        rows: StoredRows,
    },
    /// The rows for which the predicate is true.
    Filter {
        /// What is filtered.
        input: Box<LogicalPlan>,
        /// A Boolean expression; a null counts as false.
        predicate: Expr,
    },
    /// One column per expression.
    Project {
        /// What is projected.
        input: Box<LogicalPlan>,
        /// The output columns.
        exprs: Vec<Expr>,
    },
    /// One row per group of equal keys; one row in all if there are no keys.
    Aggregate {
        /// What is aggregated.
        input: Box<LogicalPlan>,
        /// Expressions whose values make the groups. A null is a group of its own.
        group_keys: Vec<Expr>,
        /// Expressions over aggregates.
        aggregates: Vec<Expr>,
    },
    /// One row of each group of rows that are equal in some columns.
    Distinct {
        /// What is looked through.
        input: Box<LogicalPlan>,
        /// Names of the columns that are compared; none: all.
        on: Vec<String>,
        /// Which row of a group is kept.
        keep: Keep,
    },
    /// Rows of two inputs that have equal keys: columns of the left one, then of the right one. A semi
    /// or anti join gives the left columns alone, a mark join the left ones and
    /// [`MARK_NAME`](crate::expr::MARK_NAME).
    Join {
        /// The first input. Semi, anti and mark joins keep its rows.
        left: Box<LogicalPlan>,
        /// The second input.
        right: Box<LogicalPlan>,
        /// Which rows leave; `left` keeps rows of the left input without a match, `right` of the right.
        kind: JoinKind,
        /// Pairs of keys, over the left and over the right input; none: every pair of rows matches,
        /// as far as the residual is true.
        on: Vec<(Expr, Expr)>,
        /// Whether a null key equals a null key.
        #[serde(default)]
        null_equals_null: bool,
        /// What else a pair must satisfy, over the columns of both inputs as they leave.
        #[serde(default)]
        residual: Option<Expr>,
        /// What the name of a right column gets appended that the left input has, too.
        #[serde(default = "default_suffix")]
        suffix: String,
    },
    /// The rows in order. Rows with equal keys keep the order in which they came.
    Sort {
        /// What is ordered.
        input: Box<LogicalPlan>,
        /// The keys, the most significant first.
        keys: Vec<SortExpr>,
    },
    /// All columns, and a column per window function.
    Window {
        /// Whose rows.
        input: Box<LogicalPlan>,
        /// The functions.
        functions: Vec<WindowExpr>,
    },
    /// The rows of all inputs, equal ones too. The inputs have equal types, column by column; names
    /// are the first one's.
    Union {
        /// The inputs, at least one.
        inputs: Vec<LogicalPlan>,
    },
    /// A part of the rows: above a sort, those that follow the first `skip`; else any.
    Limit {
        /// What is cut.
        input: Box<LogicalPlan>,
        /// Rows left out at the start.
        #[serde(default)]
        skip: u64,
        /// Most rows kept; none: all that follow.
        rows: Option<u64>,
    },
}

/// The suffix of right columns whose names the left input of a join has, too.
pub const JOIN_SUFFIX: &str = "_right";

fn default_suffix() -> String {
    JOIN_SUFFIX.to_string()
}

/// A plan with the semantics that its front end chose. This is what `pelton run` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The steps.
    pub plan: LogicalPlan,
    /// Overflow, division by zero, empty sums.
    #[serde(default)]
    pub semantics: Semantics,
}

impl LogicalPlan {
    /// The schema of the rows that the plan gives.
    ///
    /// # Errors
    /// `InvalidInput` if an expression of the plan has a type error or names an unknown column.
    pub fn schema(&self) -> Result<SchemaRef> {
        schema::of(self)
    }

    /// The steps below, in order.
    pub fn inputs(&self) -> Vec<&LogicalPlan> {
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => {
                Vec::new()
            }
            LogicalPlan::Filter { input, .. }
            | LogicalPlan::Project { input, .. }
            | LogicalPlan::Aggregate { input, .. }
            | LogicalPlan::Distinct { input, .. }
            | LogicalPlan::Sort { input, .. }
            | LogicalPlan::Window { input, .. }
            | LogicalPlan::Limit { input, .. } => vec![input],
            LogicalPlan::Join { left, right, .. } => vec![left, right],
            LogicalPlan::Union { inputs } => inputs.iter().collect(),
        }
    }

    /// Number of steps, all inputs' included.
    pub fn steps(&self) -> usize {
        let (mut count, mut waiting) = (0, vec![self]);
        while let Some(step) = waiting.pop() {
            count += 1;
            waiting.extend(step.inputs());
        }
        count
    }

    /// The step over other inputs, as many as it has.
    #[must_use]
    pub fn map_inputs(self, map: &mut dyn FnMut(LogicalPlan) -> LogicalPlan) -> LogicalPlan {
        // In its own box: rules walk all plans, and most of what they meet stays as it is.
        let mut boxed = |mut input: Box<LogicalPlan>| {
            let taken = std::mem::replace(&mut *input, LogicalPlan::Union { inputs: Vec::new() });
            *input = map(taken);
            input
        };
        match self {
            LogicalPlan::Scan { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => {
                self
            }
            LogicalPlan::Filter { input, predicate } => LogicalPlan::Filter {
                input: boxed(input),
                predicate,
            },
            LogicalPlan::Project { input, exprs } => LogicalPlan::Project {
                input: boxed(input),
                exprs,
            },
            LogicalPlan::Aggregate {
                input,
                group_keys,
                aggregates,
            } => LogicalPlan::Aggregate {
                input: boxed(input),
                group_keys,
                aggregates,
            },
            LogicalPlan::Distinct { input, on, keep } => LogicalPlan::Distinct {
                input: boxed(input),
                on,
                keep,
            },
            LogicalPlan::Join {
                left,
                right,
                kind,
                on,
                null_equals_null,
                residual,
                suffix,
            } => LogicalPlan::Join {
                left: boxed(left),
                right: boxed(right),
                kind,
                on,
                null_equals_null,
                residual,
                suffix,
            },
            LogicalPlan::Sort { input, keys } => LogicalPlan::Sort {
                input: boxed(input),
                keys,
            },
            LogicalPlan::Window { input, functions } => LogicalPlan::Window {
                input: boxed(input),
                functions,
            },
            LogicalPlan::Union { inputs } => LogicalPlan::Union {
                inputs: inputs.into_iter().map(map).collect(),
            },
            LogicalPlan::Limit { input, skip, rows } => LogicalPlan::Limit {
                input: boxed(input),
                skip,
                rows,
            },
        }
    }
}
