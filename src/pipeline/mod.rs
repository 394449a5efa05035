//! From a plan to pipelines: chains of operators between breakers.
//!
//! A [`Pipeline`] has a source (a scan, or what the pipeline before it left), transforms that
//! run on each batch, and perhaps a fold that needs to see every batch. [`lower`] cuts a query
//! there, reads only the columns that are needed, and hands the scan a predicate to prune by.
//! Nothing here runs or touches a file: the engine asks a backend for the operators.

#![forbid(unsafe_code)]

mod explain;
mod lower;

pub use explain::{describe, describe_source};
pub use lower::lower;

use std::path::PathBuf;

use crate::expr::TypedExpr;
use crate::operators::OperatorSpec;
use crate::types::SchemaRef;

/// Where a pipeline's batches come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Parquet files.
    Scan(ScanSpec),
    /// What the pipeline before left.
    Previous,
}

/// What is read of which files.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanSpec {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The schema that the files had when the plan was made.
    pub file_schema: SchemaRef,
    /// Columns that are read, by index into the file schema. Never none: rows are counted by a
    /// column.
    pub projection: Vec<usize>,
    /// Over the file schema: what every row that matters satisfies. Row groups without such rows
    /// need not be read; rows that do not satisfy it may still come.
    pub predicate: Option<TypedExpr>,
}

/// A chain of operators between breakers.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Where batches come from.
    pub source: Source,
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// What is done to each batch, in order.
    pub transforms: Vec<OperatorSpec>,
    /// The breaker at the end, if any.
    pub fold: Option<OperatorSpec>,
    /// Most rows that leave; a pipeline with a fold has none.
    pub limit: Option<u64>,
    /// Schema of the batches that leave.
    pub output: SchemaRef,
}
