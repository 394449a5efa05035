//! From a plan to pipelines: chains of operators between breakers.
//!
//! A [`Pipeline`] has a source (a scan, a table, or what other pipelines left), transforms that run
//! on each batch, and perhaps a fold that needs to see every batch. A join's probe is a transform
//! that names the pipeline which built its table. [`lower`] cuts a query there, reads only the
//! columns that are needed, and hands scans predicates to prune by. What a plan has twice is one
//! pipeline, which several others read ([`consumers`]). Nothing here runs or touches a
//! file: the engine asks a backend for the operators.

#![forbid(unsafe_code)]

mod distribute;
mod explain;
mod lower;
mod origin;
mod spread;

pub use distribute::{Exchange, distribute};
pub use explain::{describe, describe_source};
pub use lower::lower;
pub(crate) use lower::map_columns;

use std::path::PathBuf;
use std::sync::Arc;

use crate::expr::TypedExpr;
use crate::operators::OperatorSpec;
use crate::plan::{MemoryTable, StoredRows};
use crate::types::{PhysicalType, SchemaRef};

/// Most rows that are kept by a top-k rather than by a sort.
const TOP_K_ROWS_MAX: u64 = 1 << 20;

/// Bytes of a value of no fixed width, about.
const VARIABLE_BYTES: u64 = 32;

/// Where a pipeline's batches come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Parquet files.
    Scan(ScanSpec),
    /// A table in memory.
    Memory {
        /// The table.
        table: Arc<MemoryTable>,
        /// Columns that are used, by index.
        projection: Vec<usize>,
    },
    /// A result that the engine keeps.
    Stored(StoredRows),
    /// What other pipelines leave, by their numbers, of one schema.
    Pipelines(Vec<usize>),
}

impl Source {
    /// What it is called among a pipeline's steps.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Scan(_) => "scan",
            Source::Memory { .. } => "table",
            Source::Stored(_) => "result",
            Source::Pipelines(_) => "pipelines",
        }
    }
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

/// A transform, and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformSpec {
    /// The operator.
    pub spec: OperatorSpec,
    /// The pipeline whose fold built the batch that the operator needs, if it needs one.
    pub built: Option<usize>,
}

/// Which rows of those that reach the end of a pipeline leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    /// Rows left out at the start.
    pub skip: u64,
    /// Most rows that leave.
    pub rows: u64,
}

impl LimitSpec {
    /// True if a top-k does better than a sort.
    fn fits_top_k(&self) -> bool {
        self.skip.saturating_add(self.rows) <= TOP_K_ROWS_MAX
    }
}

/// A chain of operators between breakers.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Where batches come from.
    pub source: Source,
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// What is done to each batch, in order.
    pub transforms: Vec<TransformSpec>,
    /// The breaker at the end, if any.
    pub fold: Option<OperatorSpec>,
    /// Which rows leave; a pipeline with a fold has none.
    pub limit: Option<LimitSpec>,
    /// Schema of the batches that leave.
    pub output: SchemaRef,
    /// Whether the order in which batches come is the order of the rows.
    pub ordered: bool,
    /// Rows that reach the fold, about.
    pub fold_rows: u64,
    /// Where the rows that leave go, among several ranks; none: they stay.
    pub exchange: Option<Exchange>,
    /// Whether rank 0 alone has a result.
    pub first_only: bool,
}

impl Pipeline {
    /// A pipeline that does nothing yet.
    pub(crate) fn new(source: Source, schema: &SchemaRef) -> Pipeline {
        Pipeline {
            source,
            input: Arc::clone(schema),
            transforms: Vec::new(),
            fold: None,
            limit: None,
            output: Arc::clone(schema),
            ordered: false,
            fold_rows: 0,
            exchange: None,
            first_only: false,
        }
    }

    /// The names of its steps, from the source to the fold.
    pub fn operators(&self) -> impl Iterator<Item = &'static str> {
        let transforms = self.transforms.iter();
        let transforms = transforms.map(|transform| transform.spec.name());
        let fold = self.fold.iter().map(OperatorSpec::name);
        std::iter::once(self.source.name())
            .chain(transforms)
            .chain(fold)
    }

    /// Bytes of the rows that reach the fold, about.
    pub fn fold_bytes(&self) -> u64 {
        let input = match &self.fold {
            Some(OperatorSpec::GroupBy(spec)) => &spec.input,
            Some(OperatorSpec::HashJoinBuild(spec)) => &spec.build,
            _ => return 0,
        };
        self.fold_rows.saturating_mul(row_bytes(input))
    }

    /// True if the rows behind the transforms are in an order, which a fold must not lose.
    pub fn keeps_order(&self) -> bool {
        self.ordered && self.transforms.iter().all(|t| t.built.is_none())
    }

    /// True if what leaves is in an order that was asked for.
    pub fn gives_order(&self) -> bool {
        match &self.fold {
            None => self.keeps_order(),
            Some(OperatorSpec::Sort(_) | OperatorSpec::TopK(_)) => true,
            Some(_) => false,
        }
    }

    /// The pipelines that this one reads, those that built something for it included.
    pub fn inputs(&self) -> Vec<usize> {
        let mut inputs = match &self.source {
            Source::Pipelines(numbers) => numbers.clone(),
            Source::Scan(_) | Source::Memory { .. } | Source::Stored(_) => Vec::new(),
        };
        inputs.extend(
            self.transforms
                .iter()
                .filter_map(|transform| transform.built),
        );
        inputs
    }
}

/// Bytes of a row, about.
pub(crate) fn row_bytes(schema: &SchemaRef) -> u64 {
    let width = |field: &crate::types::Field| {
        PhysicalType::of(field.data_type()).map_or(VARIABLE_BYTES, |p| p.bits().div_ceil(8))
    };
    schema.fields().iter().map(|field| width(field)).sum()
}

/// How often each pipeline is read, what it built included: by others' sources and transforms, each
/// time that they name it. The last one, which nobody reads, has 0.
pub fn consumers(pipelines: &[Pipeline]) -> Vec<usize> {
    let mut counts = vec![0; pipelines.len()];
    for input in pipelines.iter().flat_map(Pipeline::inputs) {
        if let Some(count) = counts.get_mut(input) {
            *count += 1;
        }
    }
    counts
}
