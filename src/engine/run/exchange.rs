//! The way of batches between ranks.
//!
//! What leaves a pipeline with an exchange is split by the rank that it goes to. The own share goes on
//! as from any pipeline; the others' are sent as Arrow IPC streams. An inbox takes what other ranks
//! send and puts it beside the own share, or, where the reader needs rows in their order, behind that
//! of the ranks before. Each sender ends its stream by a word of its own: a rank that dies before is an
//! error, never an end.

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
use super::ranges::Ranges;
use super::rank_order::RankOrder;
use super::steps::{partition, partition_on_cpu};
use super::watch::{OwnTrack, took};
use super::{Place, QueryRun};
use crate::comm::{Communicator, OperationId};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Batch, Sequence, SpillClass, StoredBatch};
use crate::metrics::{Choice, Meter, RowCount, StepKind};
use crate::network::{Delivery, Gate, GateReader, Sender};
use crate::operators::{OperatorSpec, Partition, Partitioning, ShufflePartitionSpec};
use crate::pipeline::{Exchange, Pipeline, Source};
use crate::types::SchemaRef;

/// First byte of a message: rows follow, or nothing more does.
const ROWS: u8 = 0;
const END: u8 = 1;

/// The first operations of a query are not those of pipelines.
const OPERATIONS_BEFORE: u32 = 1;

/// Where rows go.
enum Way {
    /// By the hash of keys.
    Hash(Splitting),
    /// By ranges of keys, once these are known.
    Range(Ranges),
    Broadcast,
    First,
}

/// Splits batches by rank.
struct Splitting {
    place: Place,
    partition: Box<dyn Partition>,
}

/// How a pipeline's batches find their ranks.
pub(super) struct Exchanger {
    comm: Arc<dyn Communicator>,
    /// The pipeline's number, from 1.
    number: usize,
    /// Schema of its batches.
    schema: SchemaRef,
    operation: OperationId,
    way: Way,
    in_order: Option<Arrivals>,
    /// Who reads on this rank.
    links: Vec<Sender<Message>>,
    meter: Arc<Meter>,
}

/// What of a pipeline reaches this rank, where its reader needs the order.
struct Arrivals {
    waiting: Arc<RankOrder>,
    /// Whether the own share is all there.
    own_ended: Gate<()>,
}

impl Exchanger {
    /// # Errors
    /// `Unsupported` if no backend may split the pipeline's batches.
    pub(super) fn new(
        run: &QueryRun,
        number: usize,
        pipeline: &Pipeline,
        exchange: &Exchange,
        links: Vec<Sender<Message>>,
    ) -> Result<Exchanger> {
        let comm = Arc::clone(&run.planner.comm);
        let schema = Arc::clone(&pipeline.output);
        let in_order = is_read_in_order(&run.pipelines, number).then(|| Arrivals {
            waiting: Arc::new(RankOrder::new(comm.world())),
            own_ended: run.scope.gate(),
        });
        let (name, way) = match exchange {
            Exchange::Hash(keys) => {
                let by = Partitioning::Hash { keys: keys.clone() };
                let world = comm.world();
                let splitting = Splitting::new(run, number, &schema, by, world, in_order.is_some());
                ("hash", Way::Hash(splitting?))
            }
            Exchange::Range(keys) => {
                let operation = OPERATIONS_BEFORE + (run.pipelines.len() + number) as u32;
                let ranges = Ranges::new(&schema, keys, run.operation(operation));
                ("range", Way::Range(ranges))
            }
            Exchange::Broadcast => ("broadcast", Way::Broadcast),
            Exchange::First => ("first", Way::First),
        };
        run.decide(number, Choice::Exchange { way: name });
        let step = pipeline.transforms.len() + usize::from(pipeline.fold.is_some()) + 1;
        let place = match &way {
            Way::Hash(splitting) => Some(splitting.place),
            Way::Range(_) | Way::Broadcast | Way::First => None,
        };
        Ok(Exchanger {
            meter: run.meter(
                (number, step),
                (StepKind::Exchange, "exchange"),
                place,
                None,
            ),
            operation: run.operation(OPERATIONS_BEFORE + number as u32),
            comm,
            number,
            schema,
            way,
            in_order,
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
        match &self.way {
            Way::Broadcast => {
                let rows = lane.download(batch.clone())?;
                let message = encode(sequence, &rows)?;
                for other in (0..world).filter(|other| *other != rank) {
                    self.post_rows(run, lane, other, &rows, message.clone())
                        .await?;
                }
                self.keep(run, sequence, batch).await
            }
            Way::Hash(splitting) => {
                let split = || {
                    let _watch = lane.watch(&self.meter, splitting.place);
                    working(self.meter.facts().operator, || splitting.split(lane, batch))
                };
                let pieces = run.at_work(split).await?;
                self.send_pieces(run, lane, sequence, pieces).await?;
                Ok(Delivery::Accepted)
            }
            Way::Range(ranges) => {
                ranges.push(run, sequence, batch)?;
                Ok(Delivery::Accepted)
            }
            Way::First if rank == 0 => self.keep(run, sequence, batch).await,
            Way::First => {
                self.send_to(run, lane, 0, sequence, batch).await?;
                Ok(Delivery::Accepted)
            }
        }
    }

    /// Sends what has waited, now that all of it is there, to the ranks in whose ranges it is.
    async fn send_ranges(&self, run: &QueryRun, lane: &Lane, ranges: &Ranges) -> Result<()> {
        let comm = self.comm.as_ref();
        let by = ranges.bounds(run, (self.number, lane), comm).await?;
        let in_order = self.in_order.is_some();
        let splitting = |by| {
            let (number, world) = (self.number, comm.world());
            Splitting::new(run, number, &self.schema, by, world, in_order)
        };
        let splitting = by.map(splitting).transpose()?;
        for (sequence, stored) in ranges.take() {
            run.scope.check()?;
            let Some(splitting) = &splitting else {
                continue; // no rank has rows
            };
            let split = || {
                let _watch = lane.watch(&self.meter, splitting.place);
                splitting.split(lane, stored.get()?)
            };
            let pieces = run.when_there_is_room(split).await?;
            drop(stored);
            self.send_pieces(run, lane, sequence, pieces).await?;
        }
        lane.synchronize()
    }

    /// Hands to every rank, the own one included, its piece of a batch.
    async fn send_pieces(
        &self,
        run: &QueryRun,
        lane: &Lane,
        sequence: Sequence,
        pieces: Vec<Batch>,
    ) -> Result<()> {
        for (piece, to) in pieces.into_iter().zip(0..) {
            if piece.rows_max() == 0 {
                continue;
            }
            if to == self.comm.rank() {
                // Others may want what this rank does not.
                let _ = self.keep(run, sequence, piece).await?;
            } else {
                self.send_to(run, lane, to, sequence, piece).await?;
            }
        }
        Ok(())
    }

    /// Sends a batch to another rank.
    async fn send_to(
        &self,
        run: &QueryRun,
        lane: &Lane,
        to: u32,
        sequence: Sequence,
        batch: Batch,
    ) -> Result<()> {
        let rows = lane.download(batch)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let message = encode(sequence, &rows)?;
        self.post_rows(run, lane, to, &rows, message).await
    }

    async fn keep(&self, run: &QueryRun, sequence: Sequence, batch: Batch) -> Result<Delivery> {
        match &self.in_order {
            Some(in_order) => {
                let rank = self.comm.rank();
                in_order.waiting.push(run, rank, sequence, batch)?;
                Ok(Delivery::Accepted)
            }
            None => to_links(run, &self.links, sequence, batch).await,
        }
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

    /// Says to all that this rank has sent all it had; what waited for that goes first.
    ///
    /// # Errors
    /// As [`Exchanger::send`].
    pub(super) async fn finish(self, run: &QueryRun, track: &OwnTrack) -> Result<()> {
        if let Way::Range(ranges) = &self.way {
            let lane = run.lane(track)?;
            self.send_ranges(run, &lane, ranges).await?;
        }
        let rank = self.comm.rank();
        let others = (0..self.comm.world()).filter(|other| *other != rank);
        for other in others {
            if self.reaches(other) {
                self.post(run, other, Bytes::from_static(&[END])).await?;
            }
        }
        if let Some(in_order) = &self.in_order {
            in_order.own_ended.set(());
        }
        self.links.into_iter().for_each(Sender::finish);
        Ok(())
    }

    /// Whether rows go to a rank.
    fn reaches(&self, rank: u32) -> bool {
        rank == 0 || !matches!(self.way, Way::First)
    }

    /// What takes the batches that other ranks send to this one; to be run beside the pipeline.
    pub(super) fn inbox(&self, run: &Arc<QueryRun>) -> Inbox {
        let senders = match self.reaches(self.comm.rank()) {
            true => self.comm.world() - 1,
            false => 0,
        };
        let in_order = self.in_order.as_ref().map(|in_order| {
            let own_ended = in_order.own_ended.reader();
            (Arc::clone(&in_order.waiting), own_ended)
        });
        Inbox {
            run: Arc::clone(run),
            comm: Arc::clone(&self.comm),
            operation: self.operation,
            senders,
            in_order,
            links: self.links.clone(),
        }
    }
}

impl Splitting {
    /// Splits into a piece per rank; `in_order` if the rows of a piece keep their order, which is the
    /// CPU backend's way alone.
    fn new(
        run: &QueryRun,
        number: usize,
        input: &SchemaRef,
        by: Partitioning,
        world: u32,
        in_order: bool,
    ) -> Result<Splitting> {
        let spec = OperatorSpec::ShufflePartition(ShufflePartitionSpec {
            input: Arc::clone(input),
            partitions: world,
            by,
        });
        let (place, partition) = match in_order {
            true => (Place::Cpu, partition_on_cpu(run, &spec)?),
            false => partition(run, number, &spec)?,
        };
        Ok(Splitting { place, partition })
    }

    fn split(&self, lane: &Lane, batch: Batch) -> Result<Vec<Batch>> {
        let batch = lane.bring(batch, self.place)?;
        self.partition.next(lane.context(self.place), batch)
    }
}

/// Whether a pipeline that reads one, by its number from 1, needs its rows in their order.
fn is_read_in_order(pipelines: &[Pipeline], number: usize) -> bool {
    let reads = |source: &Source| match source {
        Source::Pipelines(numbers) => numbers.iter().any(|other| other + 1 == number),
        Source::Scan(_) | Source::Memory { .. } | Source::Stored(_) => false,
    };
    pipelines
        .iter()
        .any(|pipeline| pipeline.ordered && reads(&pipeline.source))
}

/// Takes what other ranks send of one pipeline.
pub(super) struct Inbox {
    run: Arc<QueryRun>,
    comm: Arc<dyn Communicator>,
    operation: OperationId,
    /// Ranks that have not ended yet.
    senders: u32,
    /// What waits until all is there, and who says that the own share is.
    in_order: Option<(Arc<RankOrder>, GateReader<()>)>,
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
                    match &self.in_order {
                        Some((waiting, _)) => waiting.push(&self.run, from, sequence, batch)?,
                        None => {
                            let _ = to_links(&self.run, &self.links, sequence, batch).await?;
                        }
                    }
                }
            }
        }
        if let Some((waiting, own_ended)) = &self.in_order {
            own_ended.get().await?;
            waiting.send(&self.links).await?;
        }
        self.links.into_iter().for_each(Sender::finish);
        Ok(())
    }
}

pub(super) fn unreadable(from: u32, cause: &str) -> Error {
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
        wanted = send_stored(links, sequence, &stored).await?;
    }
    Ok(wanted)
}

/// Hands a stored batch to all who read a pipeline on this rank.
///
/// # Errors
/// `Cancelled`.
pub(super) async fn send_stored(
    links: &[Sender<Message>],
    sequence: Sequence,
    stored: &Arc<StoredBatch>,
) -> Result<Delivery> {
    let mut wanted = Delivery::Unwanted;
    for link in links {
        let stored = Arc::clone(stored);
        if link.send(Message { sequence, stored }).await? == Delivery::Accepted {
            wanted = Delivery::Accepted;
        }
    }
    Ok(wanted)
}

/// A message of rows.
pub(super) fn encode(sequence: Sequence, rows: &RecordBatch) -> Result<Bytes> {
    let failed = |cause: ArrowError| Error::invalid("exchange", cause.to_string(), "");
    let mut bytes = vec![ROWS];
    bytes.extend(sequence.0.to_le_bytes());
    let mut writer = StreamWriter::try_new(bytes, &rows.schema()).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.into_inner().map(Bytes::from).map_err(failed)
}

/// The rows of a message; none if it says that there are no more. Else what is wrong with it.
pub(super) fn decode(message: &Bytes) -> Result<Option<(Sequence, RecordBatch)>, String> {
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
