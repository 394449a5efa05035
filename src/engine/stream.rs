//! Results as they come: an iterator over batches, while the query runs.

use std::sync::Arc;
use std::thread::JoinHandle;

use arrow::array::RecordBatch;

use super::run::{InOrder, QueryRun, Rows};
use super::{Engine, QueryControl, threads};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Reservation;
use crate::metrics::{Snapshot, names};
use crate::network::{Canceller, Receiver};
use crate::plan::Query;
use crate::types::SchemaRef;

/// The batches of a running query. The query waits while nobody takes them; dropped, it is cancelled,
/// and its actors have ended when the drop returns.
///
/// ```
/// use pelton::prelude::*;
/// # fn main() -> pelton::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # pelton::doc_support::write_orders(folder.path())?;
/// # let orders = folder.path().join("orders.parquet");
/// let engine = Engine::new(EngineOptions::default())?;
/// let mut rows = 0;
/// for batch in scan_parquet(&orders)?.collect_iter(&engine)? {
///     rows += batch?.num_rows();
/// }
/// assert_eq!(rows, 5);
/// # Ok(())
/// # }
/// ```
pub struct ResultStream {
    engine: Engine,
    query: Query,
    running: Option<Running>,
    /// Batches that came before those in front of them.
    in_order: Option<InOrder>,
    schema: SchemaRef,
    /// Whether a batch was given, so that the query cannot start anew.
    given: bool,
    fallbacks: Vec<String>,
    metrics: Snapshot,
    /// The memory of the batch that was given last.
    held: Option<Reservation>,
}

/// A query on a thread of its own.
pub(super) struct Running {
    pub(super) run: Arc<QueryRun>,
    pub(super) rows: Receiver<Rows>,
    pub(super) canceller: Canceller,
    pub(super) thread: JoinHandle<Result<()>>,
    pub(super) number: u64,
}

impl std::fmt::Debug for ResultStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultStream")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl ResultStream {
    /// Starts a query. With `ordered`, rows of a scan come in the order of the files.
    pub(super) fn start(
        engine: &Engine,
        query: &Query,
        ordered: bool,
        control: &QueryControl,
    ) -> Result<ResultStream> {
        let engine = engine.clone();
        let watched = engine.watch(control)?;
        let (running, schema) =
            threads::on_own_stack(|| engine.start(query, ordered, None, &watched))?;
        let in_order = running.run.in_order().then(InOrder::default);
        Ok(ResultStream {
            engine,
            query: query.clone(),
            running: Some(running),
            in_order,
            schema,
            given: false,
            fallbacks: Vec::new(),
            metrics: Snapshot::default(),
            held: None,
        })
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Operators that ran on the CPU instead, each with its pipeline and the reason; complete at the
    /// end.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }

    /// What was read, moved and computed; there at the end.
    pub fn metrics(&self) -> &Snapshot {
        &self.metrics
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        self.held = None;
        loop {
            if let Some(rows) = self.in_order.as_mut().and_then(InOrder::next) {
                return Ok(Some(self.give(rows)));
            }
            let Some(running) = &self.running else {
                return Ok(None);
            };
            match threads::block_on(running.rows.receive()) {
                Ok(Some(rows)) => {
                    let count = rows.batch.num_rows() as u64;
                    running.run.read.metrics.add(names::RESULT_ROWS, count);
                    match &mut self.in_order {
                        Some(in_order) => in_order.push(rows),
                        None => return Ok(Some(self.give(rows))),
                    }
                }
                Ok(None) => {
                    self.end()?;
                    if let (Some(in_order), None) = (&mut self.in_order, &self.running) {
                        in_order.end();
                    }
                }
                Err(secondary) => {
                    // The query's own error says more than that it ended.
                    self.end()?;
                    if self.running.is_none() {
                        return Err(secondary);
                    }
                }
            }
        }
    }

    fn give(&mut self, rows: Rows) -> RecordBatch {
        self.given = true;
        self.held = Some(rows.held);
        rows.batch
    }

    /// Waits for the query's end. One that was refused before anybody saw a row starts anew.
    fn end(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let Running {
            run,
            thread,
            number,
            rows,
            ..
        } = running;
        drop(rows);
        let ended = thread.join().unwrap_or_else(|_| {
            let cause = "the query's thread ended early".to_string();
            Err(Error::new(ErrorKind::Cancelled { cause }))
        });
        let ended = ended.map_err(|error| run.with_pipelines(error));
        self.engine.ended(number, &ended);
        self.engine.tell(number, &ended);
        match ended {
            Ok(()) => {
                self.fallbacks = run.fallbacks();
                self.metrics = self.engine.snapshot(&run);
                run.watched.end(Ok(()))
            }
            Err(error) => {
                let refused = match self.given || !self.engine.is_alone() {
                    true => None,
                    false => run.refused(),
                };
                let Some(refusals) = refused else {
                    return run.watched.end(Err(error));
                };
                let ordered = self.in_order.is_some();
                let (running, _) = threads::on_own_stack(|| {
                    let (query, watched) = (&self.query, &run.watched);
                    self.engine.start(query, ordered, Some(refusals), watched)
                })?;
                self.in_order = running.run.in_order().then(InOrder::default);
                self.running = Some(running);
                Ok(())
            }
        }
    }
}

impl Iterator for ResultStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let next = self.advance();
        if next.is_err() {
            self.running = None;
            self.in_order = None;
        }
        next.transpose()
    }
}

impl Drop for ResultStream {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running
                .canceller
                .cancel("nobody wants the rest of the result");
            running.rows.drain();
            let ended = running.thread.join().unwrap_or(Ok(()));
            self.engine.ended(running.number, &ended);
            self.engine.tell(running.number, &ended);
            // Nobody is left to hear of a trace that cannot be written.
            let _untold = running.run.watched.end(ended);
        }
    }
}
