//! What leaves a pipeline, and where it goes.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::exchange::{Exchanger, to_links};
use super::failure::in_step;
use super::lane::Lane;
use super::watch::OwnTrack;
use super::{QueryRun, sequence};
use crate::error::Result;
use crate::memory::{Batch, BatchStore, Reservation, Sequence, SpillClass, StoredBatch, Tier};
use crate::network::{Delivery, Sender, Weigh};
use crate::types::Schema;

/// What rows that leave the engine are called among steps.
const RESULT: &str = "result";

/// A batch between two pipelines. While it waits it may be spilled.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) sequence: Sequence,
    pub(super) stored: Arc<StoredBatch>,
}

impl Weigh for Message {
    fn bytes(&self) -> u64 {
        self.stored.bytes()
    }
}

/// Rows that leave the engine.
pub(in crate::engine) struct Rows {
    pub(in crate::engine) sequence: Sequence,
    pub(in crate::engine) batch: RecordBatch,
    pub(in crate::engine) held: Reservation,
}

impl Weigh for Rows {
    fn bytes(&self) -> u64 {
        self.held.bytes()
    }
}

/// Where a pipeline's batches go.
pub(super) enum Output {
    /// To the pipelines that read them: to each a copy of every batch.
    Links(Vec<Sender<Message>>),
    /// To the pipelines that read them, on the ranks that they belong to.
    Exchange(Exchanger),
    /// Out of the engine.
    Result(Sender<Rows>),
    /// Into the engine's keeping.
    Kept(Arc<BatchStore>),
}

impl Output {
    /// Hands a batch on; waits while whoever takes it is behind.
    ///
    /// # Errors
    /// What failed on the stream before, `Reservation` for rows of the result, `Cancelled`.
    pub(super) async fn send(
        &self,
        run: &QueryRun,
        lane: &Lane,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<Delivery> {
        match self {
            Output::Links(links) => to_links(run, links, sequence, batch).await,
            Output::Exchange(exchanger) => exchanger.send(run, lane, sequence, batch).await,
            Output::Result(rows) => run.send_rows(rows, lane, sequence, batch).await,
            Output::Kept(store) => {
                run.store_in(store, sequence, batch, SpillClass::Result)?;
                Ok(Delivery::Accepted)
            }
        }
    }

    /// Says behind a unit's last batch that it was the last, to whoever puts them in order.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) async fn unit_ended(&self, run: &QueryRun, unit: u64) -> Result<()> {
        if let Output::Result(rows) = self {
            let end = Rows {
                sequence: sequence(unit, u32::MAX),
                batch: RecordBatch::new_empty(Arc::new(Schema::empty())),
                held: run.memory.reserve(Tier::Host, 0)?,
            };
            let _ = rows.send(end).await?;
        }
        Ok(())
    }

    /// Says that all has been sent.
    ///
    /// # Errors
    /// As [`Exchanger::finish`].
    pub(super) async fn finish(self, run: &QueryRun, track: &OwnTrack) -> Result<()> {
        match self {
            Output::Links(links) => links.into_iter().for_each(Sender::finish),
            Output::Exchange(exchanger) => exchanger.finish(run, track).await?,
            Output::Result(rows) => rows.finish(),
            Output::Kept(_) => {}
        }
        Ok(())
    }
}

impl QueryRun {
    /// Sends the rows of a batch, on the host, with the memory that they take; waits while whoever
    /// takes them is behind.
    ///
    /// # Errors
    /// What failed on the stream before, `Reservation`, `Cancelled`.
    pub(super) async fn send_rows(
        &self,
        to: &Sender<Rows>,
        lane: &Lane,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<Delivery> {
        let rows = lane.download(batch);
        let rows = Batch::host(rows.map_err(|error| in_step(error, RESULT))?);
        if rows.rows_max() == 0 {
            return Ok(Delivery::Accepted);
        }
        for piece in self.pieces(rows) {
            let bytes = self.parkings.of(&piece).bytes(&piece);
            let held = match self.memory.reserve_with_spilling(Tier::Host, bytes) {
                Ok(held) => Ok(held),
                // Whoever takes the rows gives memory back as they go.
                Err(_) => {
                    self.memory
                        .reserve_or_wait(Tier::Host, bytes, &self.wait)
                        .await
                }
            };
            let held = held.map_err(|error| error.context(RESULT))?;
            let batch = lane.download(piece)?;
            let rows = Rows {
                sequence,
                batch,
                held,
            };
            if to.send(rows).await? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
        }
        Ok(Delivery::Accepted)
    }
}
