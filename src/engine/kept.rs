//! Results that stay in the engine's memory, for other queries to read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Engine, LazyFrame, threads};
use crate::error::Result;
use crate::memory::BatchStore;
use crate::metrics::Snapshot;
use crate::plan::{LogicalPlan, Query, StoredRows};
use crate::types::{SchemaRef, Semantics};

/// The results that an engine keeps, by number. It does not keep them alive: their holders do.
#[derive(Clone, Default)]
pub(super) struct KeptResults(Arc<Mutex<HashMap<u64, Weak<BatchStore>>>>);

impl KeptResults {
    /// A result's batches, if somebody still holds it.
    pub(super) fn get(&self, number: u64) -> Option<Arc<BatchStore>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&number)?.upgrade()
    }

    fn insert(&self, number: u64, store: &Arc<BatchStore>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, store| store.strong_count() > 0);
        all.insert(number, Arc::downgrade(store));
    }
}

/// A query's rows in the engine's own memory: on its device, if it has one, or wherever they were
/// spilled to. Other queries of the same engine read them, any number of times. Dropped, they are gone.
///
/// ```
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let engine = Engine::new(EngineOptions::default())?;
/// let large = scan_parquet(&orders)?.filter(col("amount").gt(lit(100))).execute(&engine)?;
/// let count = large.lazy().select([count_rows().alias("n")]).collect(&engine)?;
/// let again = large.lazy().collect(&engine)?;
/// assert_eq!((count.rows(), again.rows() as u64), (1, large.rows()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the rows are gone when this is dropped"]
pub struct KeptResult {
    stored: StoredRows,
    store: Arc<BatchStore>,
    schema: SchemaRef,
    metrics: Snapshot,
    fallbacks: Vec<String>,
}

impl KeptResult {
    /// Runs a query and keeps its rows.
    pub(super) fn of(engine: &Engine, query: &Query) -> Result<KeptResult> {
        threads::on_own_stack(|| {
            let store = Arc::new(BatchStore::default());
            let outcome = engine.execute_into(query, &store)?;
            engine.kept.insert(outcome.number, &store);
            let rows = store.rows();
            Ok(KeptResult {
                stored: StoredRows {
                    number: outcome.number,
                    schema: outcome.schema.as_ref().clone(),
                    rows,
                    ordered: outcome.ordered,
                },
                store,
                schema: outcome.schema,
                metrics: outcome.metrics,
                fallbacks: outcome.fallbacks,
            })
        })
    }

    /// A query over the rows. It runs on the engine that keeps them, as long as this is held.
    pub fn lazy(&self) -> LazyFrame {
        LazyFrame::new(Query {
            plan: LogicalPlan::Stored {
                rows: self.stored.clone(),
            },
            semantics: Semantics::default(),
        })
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows; an upper bound where a device alone knows how many.
    pub fn rows(&self) -> u64 {
        self.stored.rows
    }

    /// Bytes where the engine's backend can use them, wherever they are now.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// What was read, moved and computed for them.
    pub fn metrics(&self) -> &Snapshot {
        &self.metrics
    }

    /// Operators that ran on the CPU instead, each with its pipeline and the reason.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }
}

/// How a query ended whose rows the engine keeps.
pub(super) struct Outcome {
    pub(super) number: u64,
    pub(super) schema: SchemaRef,
    pub(super) ordered: bool,
    pub(super) metrics: Snapshot,
    pub(super) fallbacks: Vec<String>,
}
