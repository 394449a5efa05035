//! Queries as a user writes them, step by step.
//!
//! `source` has where they start, `columns` what changes the columns, `join` the joins; the other
//! steps, and what ends a query, stand here. Each method adds one step to a plan.

mod columns;
mod join;
mod source;

pub use join::LazyJoin;
pub use source::{concat_frames, from_batches, scan_parquet, scan_parquet_files};

use std::path::Path;

use super::{Engine, KeptResult, QueryControl, QueryResult, ResultStream, threads};
use crate::error::Result;
use crate::expr::{Expr, Keep};
use crate::plan::{LogicalPlan, Query, SortExpr};
use crate::storage::{ParquetSink, SinkOptions, SinkSummary};
use crate::types::Semantics;

/// A query that has not run. Each method adds a step; mistakes show when it is explained or
/// collected.
///
/// ```
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir().map_err(pelton::Error::from)?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// let orders = scan_parquet(folder.path())?;
/// let frame = orders
///     .with_columns([(col("amount") * lit(2)).alias("double")])
///     .select([col("double").max().alias("most")]);
/// assert_eq!(frame.query().plan.schema()?.field(0).name(), "most");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a lazy frame does nothing until it is collected"]
pub struct LazyFrame {
    query: Query,
}

impl LazyFrame {
    /// A frame over a plan.
    pub fn new(query: Query) -> LazyFrame {
        LazyFrame { query }
    }

    fn map(self, step: impl FnOnce(Box<LogicalPlan>) -> LogicalPlan) -> LazyFrame {
        LazyFrame {
            query: Query {
                plan: step(Box::new(self.query.plan)),
                semantics: self.query.semantics,
            },
        }
    }

    /// Keeps the rows for which the predicate is true; null counts as false.
    pub fn filter(self, predicate: Expr) -> LazyFrame {
        self.map(|input| LogicalPlan::Filter { input, predicate })
    }

    /// One column per expression. If every expression has an aggregate, one row of them over all
    /// rows.
    pub fn select(self, exprs: impl IntoIterator<Item = Expr>) -> LazyFrame {
        let exprs: Vec<Expr> = exprs.into_iter().collect();
        if !exprs.is_empty() && exprs.iter().all(Expr::has_aggregate) {
            return self.map(|input| LogicalPlan::Aggregate {
                input,
                group_keys: Vec::new(),
                aggregates: exprs,
            });
        }
        self.map(|input| LogicalPlan::Project { input, exprs })
    }

    /// Groups the rows by the values of the keys.
    pub fn group_by(self, keys: impl IntoIterator<Item = Expr>) -> LazyGroupBy {
        LazyGroupBy {
            frame: self,
            keys: keys.into_iter().collect(),
        }
    }

    /// One row of each group of rows that are equal in these columns, or, without any, in all. Nulls
    /// are equal, and NaNs. Rows of a scan come in no stated order, so that which row is the first
    /// is stated only above a step that orders them; all values of a kept row come from that row.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// use pelton::expr::Keep;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let customers = scan_parquet(&orders)?.distinct(["customer_id"], Keep::Any);
    /// assert_eq!(customers.collect(&engine)?.rows(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn distinct<Name: Into<String>>(
        self,
        on: impl IntoIterator<Item = Name>,
        keep: Keep,
    ) -> LazyFrame {
        let on = on.into_iter().map(Into::into).collect();
        self.map(|input| LogicalPlan::Distinct { input, on, keep })
    }

    /// The rows in the order of these keys, the most significant first: expressions, or
    /// [`desc`](Expr::desc) and [`asc`](Expr::asc) of them. Rows with equal keys keep the order in
    /// which they came.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let sorted = scan_parquet(&orders)?.sort([col("customer_id").asc(), col("amount").desc()]);
    /// assert_eq!(sorted.collect(&engine)?.rows(), 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sort<Key: Into<SortExpr>>(self, keys: impl IntoIterator<Item = Key>) -> LazyFrame {
        let keys = keys.into_iter().map(Into::into).collect();
        self.map(|input| LogicalPlan::Sort { input, keys })
    }

    /// The first `k` rows in the order of these keys, in that order: a [`sort`](LazyFrame::sort) that
    /// is never done whole. The greatest values come first by `desc`.
    pub fn top_k<Key: Into<SortExpr>>(
        self,
        k: u64,
        keys: impl IntoIterator<Item = Key>,
    ) -> LazyFrame {
        self.sort(keys).limit(k)
    }

    /// At most so many rows: the first in the order of a sort, else no matter which.
    pub fn limit(self, rows: u64) -> LazyFrame {
        self.slice(0, Some(rows))
    }

    /// The rows behind the first `skip`, at most so many: in the order of a sort, else no matter which.
    pub fn slice(self, skip: u64, rows: Option<u64>) -> LazyFrame {
        self.map(|input| LogicalPlan::Limit { input, skip, rows })
    }

    /// Sets overflow, division by zero and empty sums for the whole query.
    pub fn semantics(mut self, semantics: Semantics) -> LazyFrame {
        self.query.semantics = semantics;
        self
    }

    /// The plan so far.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// How an engine is going to run the query; see [`Engine::explain`].
    ///
    /// # Errors
    /// As [`Engine::explain`].
    pub fn explain(&self, engine: &Engine) -> Result<String> {
        engine.explain(&self.query)
    }

    /// Runs the query and says what it did; see [`Engine::explain_analyze`].
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn explain_analyze(&self, engine: &Engine) -> Result<String> {
        engine.explain_analyze(&self.query)
    }

    /// Runs the query.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn collect(&self, engine: &Engine) -> Result<QueryResult> {
        engine.execute(&self.query)
    }

    /// Runs the query and keeps its rows in the engine's memory, for other queries to read.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn execute(&self, engine: &Engine) -> Result<KeptResult> {
        KeptResult::of(engine, &self.query)
    }

    /// Runs the query and gives its rows as they come, in the order of a sort, else in any. The query
    /// waits while nobody takes them.
    ///
    /// # Errors
    /// As [`Engine::execute`], for what can be known before it runs; the iterator gives what comes
    /// later, and ends there.
    pub fn collect_iter(&self, engine: &Engine) -> Result<ResultStream> {
        ResultStream::start(engine, &self.query, false, &QueryControl::new())
    }

    /// Runs the query and gives its rows as they come, in the order of a sort, else in that of the files;
    /// who has the control sees how far it is and may end it.
    ///
    /// # Errors
    /// As [`LazyFrame::collect_iter`].
    pub fn collect_iter_in_order(
        &self,
        engine: &Engine,
        control: &QueryControl,
    ) -> Result<ResultStream> {
        ResultStream::start(engine, &self.query, true, control)
    }

    /// Runs the query and writes its rows as a Parquet file, or as a folder of files if the options
    /// give the rows of a file, or the engine's option `sink_to_directory` wants folders. Nothing is
    /// left after an error.
    ///
    /// The rows come in the order of a sort, else in that of the files; they are written while the query
    /// runs.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// use pelton::storage::SinkOptions;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// # let totals = folder.path().join("totals.parquet");
    /// let engine = Engine::new(EngineOptions::default())?;
    /// let summary = scan_parquet(&orders)?
    ///     .group_by([col("customer_id")])
    ///     .agg([col("amount").sum().alias("total")])
    ///     .sink_parquet(&engine, &totals, SinkOptions::default())?;
    /// assert_eq!(summary.rows, 3);
    /// assert_eq!(scan_parquet(&totals)?.collect(&engine)?.rows(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ParquetSink::create`], before the query runs; as [`Engine::execute`]; and as
    /// [`ParquetSink::write`].
    pub fn sink_parquet(
        &self,
        engine: &Engine,
        path: impl AsRef<Path>,
        options: SinkOptions,
    ) -> Result<SinkSummary> {
        let schema = threads::on_own_stack(|| self.query.plan.schema())?;
        let options = match engine.options().sink_to_directory() {
            true => options.into_folder(),
            false => options,
        };
        let mut sink = ParquetSink::create(path, schema, options)?;
        let mut result = self.collect_iter_in_order(engine, &QueryControl::new())?;
        for batch in &mut result {
            sink.write(&batch?)?;
        }
        let mut summary = sink.finish()?;
        summary.metrics.absorb(result.metrics().clone());
        summary.fallbacks = result.fallbacks().to_vec();
        Ok(summary)
    }
}

/// Groups that wait for aggregates.
#[derive(Debug, Clone)]
#[must_use = "groups need aggregates: `.agg(…)`"]
pub struct LazyGroupBy {
    frame: LazyFrame,
    keys: Vec<Expr>,
}

impl LazyGroupBy {
    /// One row per group: its keys, then these expressions over aggregates.
    pub fn agg(self, aggregates: impl IntoIterator<Item = Expr>) -> LazyFrame {
        let LazyGroupBy { frame, keys } = self;
        frame.map(|input| LogicalPlan::Aggregate {
            input,
            group_keys: keys,
            aggregates: aggregates.into_iter().collect(),
        })
    }
}
