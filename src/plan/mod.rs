//! What a query computes: a tree of relational steps over expressions.
//!
//! A plan is a value: it prints ([`std::fmt::Display`]), compares and serialises (serde), and
//! knows no device, stream or file handle. A scan carries the schema that its files had when the
//! plan was made. How a plan runs is `pipeline`'s matter.

#![forbid(unsafe_code)]

mod display;
mod schema;

pub use schema::{aggregate_name, extract_aggregates};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::expr::{Expr, Keep};
use crate::types::{Schema, SchemaRef, Semantics};

/// A set of Parquet files with one schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParquetFiles {
    /// The files, in the order in which they are read.
    pub paths: Vec<PathBuf>,
    /// The schema that all files share.
    pub schema: Schema,
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
    /// At most `rows` rows, in no stated order.
    Limit {
        /// What is cut.
        input: Box<LogicalPlan>,
        /// Rows kept.
        rows: u64,
    },
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

    /// The step below, if any.
    pub fn input(&self) -> Option<&LogicalPlan> {
        match self {
            LogicalPlan::Scan { .. } => None,
            LogicalPlan::Filter { input, .. }
            | LogicalPlan::Project { input, .. }
            | LogicalPlan::Aggregate { input, .. }
            | LogicalPlan::Distinct { input, .. }
            | LogicalPlan::Limit { input, .. } => Some(input),
        }
    }
}
