//! Batches of several ranks in the order of the ranks.

use super::QueryRun;
use super::exchange::send_stored;
use super::link::Message;
use super::sequence;
use crate::error::Result;
use crate::memory::{Batch, BatchStore, Sequence, SpillClass};
use crate::network::{Delivery, Sender};

/// What has come of each rank. It waits until all has, and may be spilled.
pub(super) struct RankOrder {
    of_rank: Vec<BatchStore>,
}

impl RankOrder {
    pub(super) fn new(world: u32) -> RankOrder {
        RankOrder {
            of_rank: (0..world).map(|_| BatchStore::default()).collect(),
        }
    }

    /// Takes a batch of a rank.
    ///
    /// # Errors
    /// As storing a batch.
    pub(super) fn push(
        &self,
        run: &QueryRun,
        rank: u32,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<()> {
        match self.of_rank.get(rank as usize) {
            Some(store) => run.store_in(store, sequence, batch, SpillClass::Queued),
            None => Ok(()),
        }
    }

    /// Hands on all that has come: rank after rank, the batches of each in their order.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) async fn send(&self, links: &[Sender<Message>]) -> Result<()> {
        let mut sent = 0;
        for store in &self.of_rank {
            let mut waiting = Vec::with_capacity(store.len());
            while let Some(entry) = store.pop() {
                waiting.push(entry);
            }
            waiting.sort_by_key(|(sequence, _)| *sequence);
            for (_, stored) in waiting {
                let place = sequence(sent, 0);
                if send_stored(links, place, &stored).await? == Delivery::Unwanted {
                    return Ok(());
                }
                sent += 1;
            }
        }
        Ok(())
    }
}
