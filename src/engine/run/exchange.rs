//! The way of batches between ranks.
//!
//! What leaves a pipeline with an exchange is split by the rank that it goes to. The own share goes on
//! as from any pipeline; the others' are sent as Arrow IPC streams. An inbox takes what other ranks
//! send and puts it beside the own share. Each sender ends its stream by a word of its own: a rank that
//! dies before is an error, never an end.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use super::failure::working;
use super::lane::Lane;
use super::link::Message;
use super::steps::partition;
use super::watch::took;
use super::{Place, QueryRun};
use crate::comm::{Communicator, OperationId};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Batch, Sequence, SpillClass};
use crate::metrics::{Choice, Meter, RowCount, StepKind};
use crate::network::{Delivery, Sender};
use crate::operators::{OperatorSpec, Partition, Partitioning, ShufflePartitionSpec};
use crate::pipeline::{Exchange, Pipeline};

/// First byte of a message: rows follow, or nothing more does.
const ROWS: u8 = 0;
const END: u8 = 1;

/// The first operations of a query are not those of pipelines.
const OPERATIONS_BEFORE: u32 = 1;

/// How a pipeline's batches find their ranks.
pub(super) struct Exchanger {
    comm: Arc<dyn Communicator>,
    operation: OperationId,
    exchange: Exchange,
    /// Splits by the hash of keys.
    split: Option<(Place, Box<dyn Partition>)>,
    /// Who reads on this rank.
    links: Vec<Sender<Message>>,
    meter: Arc<Meter>,
}

impl Exchanger {
    /// # Errors
    /// `Unsupported` if no backend may split the pipeline's batches.
    pub(super) fn new(
        run: &QueryRun,
        number: usize,
        pipeline: &Pipeline,
        exchange: Exchange,
        links: Vec<Sender<Message>>,
    ) -> Result<Exchanger> {
        let comm = Arc::clone(&run.planner.comm);
        let split = match &exchange {
            Exchange::Hash(keys) => {
                let spec = OperatorSpec::ShufflePartition(ShufflePartitionSpec {
                    input: Arc::clone(&pipeline.output),
                    partitions: comm.world(),
                    by: Partitioning::Hash { keys: keys.clone() },
                });
                Some(partition(run, number, &spec)?)
            }
            Exchange::Broadcast | Exchange::First => None,
        };
        let way = match &exchange {
            Exchange::Hash(_) => "hash",
            Exchange::Broadcast => "broadcast",
            Exchange::First => "first",
        };
        run.decide(number, Choice::Exchange { way });
        let step = pipeline.transforms.len() + usize::from(pipeline.fold.is_some()) + 1;
        let place = split.as_ref().map(|(place, _)| *place);
        Ok(Exchanger {
            meter: run.meter(
                (number, step),
                (StepKind::Exchange, "exchange"),
                place,
                None,
            ),
            operation: run.operation(OPERATIONS_BEFORE + number as u32),
            comm,
            exchange,
            split,
            links,
        })
    }

    /// Hands a batch to the ranks that it belongs to.
    ///
    /// # Errors
    /// Of operators, copies and channels; `PeerLost` if a rank is gone.
    pub(super) async fn send(
        &self,
        run: &QueryRun,
        lane: &Lane,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<Delivery> {
        let (rank, world) = (self.comm.rank(), self.comm.world());
        took(&self.meter, &batch);
        match (&self.exchange, &self.split) {
            (Exchange::Broadcast, _) => {
                let rows = lane.download(batch.clone())?;
                let message = encode(sequence, &rows)?;
                for other in (0..world).filter(|other| *other != rank) {
                    self.post_rows(run, lane, other, &rows, message.clone())
                        .await?;
                }
                self.keep(run, sequence, batch).await
            }
            (Exchange::Hash(_), Some((place, partition))) => {
                let watch = lane.watch(&self.meter, *place);
                let pieces = working(self.meter.facts().operator, || {
                    let batch = lane.bring(batch, *place)?;
                    partition.next(lane.context(*place), batch)
                })?;
                drop(watch);
                for (piece, to) in pieces.into_iter().zip(0..) {
                    if piece.rows_max() == 0 {
                        continue;
                    }
                    if to == rank {
                        // Others may want what this rank does not.
                        let _ = self.keep(run, sequence, piece).await?;
                    } else {
                        let rows = lane.download(piece)?;
                        let message = encode(sequence, &rows)?;
                        self.post_rows(run, lane, to, &rows, message).await?;
                    }
                }
                Ok(Delivery::Accepted)
            }
            _ if rank == 0 => self.keep(run, sequence, batch).await,
            _ => {
                let rows = lane.download(batch)?;
                if rows.num_rows() > 0 {
                    let message = encode(sequence, &rows)?;
                    self.post_rows(run, lane, 0, &rows, message).await?;
                }
                Ok(Delivery::Accepted)
            }
        }
    }

    async fn keep(&self, run: &QueryRun, sequence: Sequence, batch: Batch) -> Result<Delivery> {
        to_links(run, &self.links, sequence, batch).await
    }

    async fn post_rows(
        &self,
        run: &QueryRun,
        lane: &Lane,
        to: u32,
        rows: &RecordBatch,
        message: Bytes,
    ) -> Result<()> {
        let count = RowCount {
            rows: rows.num_rows() as u64,
            exact: true,
        };
        self.meter.gave(count, message.len() as u64);
        let _span = lane.span("send to a rank");
        self.post(run, to, message).await
    }

    async fn post(&self, run: &QueryRun, to: u32, message: Bytes) -> Result<()> {
        let _outside = run.scope.outside(); // another rank's threads make room
        self.comm.send(self.operation, to, message).await
    }

    /// Says to all that this rank has sent all it had.
    ///
    /// # Errors
    /// `PeerLost` if a rank is gone.
    pub(super) async fn finish(self, run: &QueryRun) -> Result<()> {
        let rank = self.comm.rank();
        let others = (0..self.comm.world()).filter(|other| *other != rank);
        for other in others {
            if self.exchange != Exchange::First || other == 0 {
                self.post(run, other, Bytes::from_static(&[END])).await?;
            }
        }
        self.links.into_iter().for_each(Sender::finish);
        Ok(())
    }

    /// What takes the batches that other ranks send to this one; to be run beside the pipeline.
    pub(super) fn inbox(&self, run: &Arc<QueryRun>) -> Inbox {
        let receives = self.exchange != Exchange::First || self.comm.rank() == 0;
        Inbox {
            run: Arc::clone(run),
            comm: Arc::clone(&self.comm),
            operation: self.operation,
            senders: if receives { self.comm.world() - 1 } else { 0 },
            links: self.links.clone(),
        }
    }
}

/// Takes what other ranks send of one pipeline.
pub(super) struct Inbox {
    run: Arc<QueryRun>,
    comm: Arc<dyn Communicator>,
    operation: OperationId,
    /// Ranks that have not ended yet.
    senders: u32,
    links: Vec<Sender<Message>>,
}

impl Inbox {
    /// Takes all messages until every sender has ended, also such that nobody here wants any more.
    ///
    /// # Errors
    /// `PeerLost` if a rank is gone, `Corrupt` rows, `Cancelled`.
    pub(super) async fn take(mut self) -> Result<()> {
        while self.senders > 0 {
            let received = {
                let _outside = self.run.scope.outside();
                self.comm.receive(self.operation).await
            };
            let (from, message) = received?;
            match decode(&message).map_err(|cause| unreadable(from, &cause))? {
                None => self.senders -= 1,
                Some((sequence, rows)) => {
                    let batch = Batch::host(rows);
                    let _ = to_links(&self.run, &self.links, sequence, batch).await?;
                }
            }
        }
        self.links.into_iter().for_each(Sender::finish);
        Ok(())
    }
}

fn unreadable(from: u32, cause: &str) -> Error {
    Error::new(ErrorKind::Cancelled {
        cause: format!("rank {from} sent what cannot be read: {cause}"),
    })
}

/// Hands a batch to all who read a pipeline on this rank.
///
/// # Errors
/// `Cancelled`; `Reservation` if there is no room for what waits.
pub(super) async fn to_links(
    run: &QueryRun,
    links: &[Sender<Message>],
    sequence: Sequence,
    batch: Batch,
) -> Result<Delivery> {
    let mut wanted = Delivery::Unwanted;
    for piece in run.pieces(batch) {
        let stored = run.store(piece, SpillClass::Queued)?;
        wanted = Delivery::Unwanted;
        for link in links {
            let stored = Arc::clone(&stored);
            if link.send(Message { sequence, stored }).await? == Delivery::Accepted {
                wanted = Delivery::Accepted;
            }
        }
    }
    Ok(wanted)
}

fn encode(sequence: Sequence, rows: &RecordBatch) -> Result<Bytes> {
    let failed = |cause: ArrowError| Error::invalid("exchange", cause.to_string(), "");
    let mut bytes = vec![ROWS];
    bytes.extend(sequence.0.to_le_bytes());
    let mut writer = StreamWriter::try_new(bytes, &rows.schema()).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.into_inner().map(Bytes::from).map_err(failed)
}

fn decode(message: &Bytes) -> Result<Option<(Sequence, RecordBatch)>, String> {
    let (kind, rest) = message.split_first().ok_or("an empty message")?;
    match *kind {
        END => Ok(None),
        ROWS => {
            let (sequence, rows) = rest
                .split_first_chunk::<8>()
                .ok_or("a message of no sequence")?;
            let reader = StreamReader::try_new(Cursor::new(rows), None);
            let mut reader = reader.map_err(|cause| cause.to_string())?;
            let rows = reader.next().ok_or("no rows")?;
            let rows = rows.map_err(|cause| cause.to_string())?;
            Ok(Some((Sequence(u64::from_le_bytes(*sequence)), rows)))
        }
        other => Err(format!("a message of kind {other}")),
    }
}
