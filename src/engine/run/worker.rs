//! One worker of a pipeline: takes units, runs transforms over their batches, and ends them.

use std::sync::Arc;
use std::time::Instant;

use super::failure::{bringing_back, in_pipeline, in_step, working};
use super::fold::Folding;
use super::join::{Built, BuiltParts};
use super::lane::Lane;
use super::link::{Output, Rows};
use super::parts::{Part, Splitter};
use super::room::{FEW_ROWS, goes_in_halves, halves};
use super::source::{Unit, Units};
use super::steps::Steps;
use super::watch::{OwnTrack, gave, rows_of, took};
use super::{Place, QueryRun, sequence};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Batch, BatchStore, Sequence, SpillClass, StoredBatch};
use crate::metrics::{Choice, RowCount, names};
use crate::network::{Delivery, Sender};
use crate::operators::FoldState;
use crate::storage::{Partition, RowGroup};

/// What the source of a scan is called.
const SCAN: &str = "scan";

/// What splits batches.
const SPLIT: &str = "shuffle_partition";

/// Where the batches of a stage end.
pub(super) enum End {
    /// They leave the pipeline.
    Output(Arc<Output>),
    /// They go to the host, for a limit to count them.
    Counted(Arc<Sender<Rows>>),
    /// They are folded.
    Fold(Arc<Folding>),
    /// They wait for a join to build from them.
    Kept(Arc<BatchStore>),
    /// They wait in parts for a join whose build side is in parts.
    Split(Splitter),
}

/// A stretch of a pipeline's transforms between two joins in parts, as its workers share it.
pub(super) struct Stage {
    pub(super) run: Arc<QueryRun>,
    /// The pipeline's number, from 1.
    pub(super) number: usize,
    pub(super) steps: Arc<Steps>,
    /// What the transforms need, by their index.
    pub(super) built: Arc<Vec<Option<Built>>>,
    /// The first transform of the stage, and the one behind its last.
    pub(super) from: usize,
    pub(super) until: usize,
    pub(super) units: Units,
    pub(super) end: End,
    /// Whether every unit's end is told behind its batches.
    pub(super) tells_ends: bool,
}

/// What a worker has, and how far it is.
struct Progress<'a> {
    state: Option<FoldState>,
    /// A batch that was read and is not computed yet, its lane and its place.
    waiting: Option<(&'a Lane, Sequence, Batch)>,
    /// Memory does not suffice to read ahead.
    alone: bool,
}

impl Stage {
    /// Works until there are no more units, or no more is wanted. Result: the worker's state of the
    /// fold, if it has one.
    ///
    /// # Errors
    /// Those of sources, operators, copies and channels.
    pub(super) async fn work(self: Arc<Self>, track: OwnTrack) -> Result<Option<FoldState>> {
        self.work_all(track).await.map_err(|error| {
            self.run.note_refusal(self.number, &error);
            in_pipeline(error, self.number)
        })
    }

    async fn work_all(&self, track: OwnTrack) -> Result<Option<FoldState>> {
        // While a batch is computed on one lane, the next one is read and decoded on the other.
        let lanes = [self.run.lane(&track)?, self.run.lane(&track)?];
        let mut progress = Progress {
            state: None,
            waiting: None,
            alone: false,
        };
        for lane in lanes.iter().cycle() {
            let waiting = lane.span("wait for input");
            let unit = self.units.next().await?;
            drop(waiting);
            let Some(unit) = unit else {
                let _last = self.catch_up(&mut progress).await?;
                break;
            };
            self.run.scope.check()?;
            let index = unit.index();
            let mut wanted = match unit {
                Unit::Partition(index, partition) => {
                    self.partition(lane, index, &partition, &mut progress)
                        .await?
                }
                Unit::Rows(place, rows) => {
                    let batch = Batch::host(rows);
                    self.passed(&batch);
                    self.batch(lane, place, batch, &mut progress.state).await?
                }
                Unit::Stored(place, stored) => {
                    let bring = || self.bring_back(lane, &stored);
                    let batch = self.run.when_there_is_room(bring).await?;
                    drop(stored);
                    self.batch(lane, place, batch, &mut progress.state).await?
                }
                Unit::Waiting(place, stored) => {
                    let batch = self.run.when_there_is_room(|| stored.get()).await?;
                    drop(stored);
                    self.batch(lane, place, batch, &mut progress.state).await?
                }
                Unit::Part(index, part) => {
                    self.part(lane, index, &part, &mut progress.state).await?
                }
            };
            if self.tells_ends {
                wanted = self.catch_up(&mut progress).await?;
                if let End::Output(output) = &self.end {
                    output.unit_ended(&self.run, index).await?;
                }
            }
            if wanted == Delivery::Unwanted {
                self.units.stop();
                break;
            }
        }
        lanes.iter().try_for_each(|lane| self.synchronize(lane))?;
        Ok(progress.state)
    }

    /// Waits for all work of a lane: what failed there may have been any operator's.
    fn synchronize(&self, lane: &Lane) -> Result<()> {
        lane.synchronize()
            .map_err(|error| in_step(error, self.operators()))
    }

    /// The operators whose work is on the stage's streams.
    fn operators(&self) -> String {
        let source = (self.from == 0).then(|| self.steps.source_meter.facts().operator);
        let transforms = self.steps.transforms.get(self.from..self.until);
        let transforms = transforms.into_iter().flatten();
        let fold = match &self.end {
            End::Fold(folding) => Some(folding.meter().facts().operator),
            End::Output(_) | End::Counted(_) | End::Kept(_) | End::Split(_) => None,
        };
        let names = transforms.map(|step| step.spec.name());
        let names: Vec<_> = source.into_iter().chain(names).chain(fold).collect();
        names.join(", ")
    }

    /// The name of the operator that a batch of the source goes to first.
    fn first_operator(&self) -> &'static str {
        match (self.steps.transforms.get(self.from), &self.end) {
            (Some(step), _) if self.from < self.until => step.spec.name(),
            (_, End::Fold(folding)) => folding.meter().facts().operator,
            _ => self.steps.source_meter.facts().operator,
        }
    }

    /// Reads a partition, then computes what was read before it: one batch of a worker is under way
    /// to the device while another one is computed.
    async fn partition<'a>(
        &self,
        lane: &'a Lane,
        index: u64,
        partition: &Partition,
        progress: &mut Progress<'a>,
    ) -> Result<Delivery> {
        let place = self.steps.source;
        let (backend, context) = (lane.backend(place), lane.context(place));
        let meter = &self.steps.source_meter;
        let scan = || {
            let _watch = lane.watch(meter, place);
            working(SCAN, || {
                let mut batches = backend.scan(context, partition, &self.run.read)?;
                let next = batches.next().transpose()?;
                Ok((batches, next))
            })
        };
        if progress.alone && self.catch_up(progress).await? == Delivery::Unwanted {
            return Ok(Delivery::Unwanted);
        }
        let (mut batches, mut next) = match self.run.at_work(scan).await {
            Err(error) if matches!(error.kind(), ErrorKind::Reservation { .. }) => {
                if progress.waiting.is_some() {
                    // There is no room for two batches of a worker: from now on one after the other.
                    progress.alone = true;
                    self.run.decide(self.number, Choice::OneBatchAtATime);
                    if self.catch_up(progress).await? == Delivery::Unwanted {
                        return Ok(Delivery::Unwanted);
                    }
                }
                self.run.when_there_is_room(scan).await?
            }
            other => other?,
        };
        let mut number = 0;
        while let Some(batch) = next {
            gave(meter, &batch);
            if self.catch_up(progress).await? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
            progress.waiting = Some((lane, sequence(index, number), batch));
            number += 1;
            if batches.size_hint().1 == Some(0) {
                break;
            }
            if self.catch_up(progress).await? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
            let more = || {
                let _watch = lane.watch(meter, place);
                working(SCAN, || batches.next().transpose())
            };
            next = self.run.at_work(more).await?;
        }
        let rows = partition
            .row_groups()
            .iter()
            .map(RowGroup::rows_in_ranges)
            .sum();
        meter.took(RowCount { rows, exact: true }, partition.bytes());
        Ok(Delivery::Accepted)
    }

    /// Counts a batch of a source that hands on what it has.
    fn passed(&self, batch: &Batch) {
        let meter = &self.steps.source_meter;
        let (rows, bytes) = (rows_of(batch), batch.bytes());
        meter.took(rows, bytes);
        meter.gave(rows, bytes);
    }

    /// What another pipeline left, back from wherever it was spilled to.
    fn bring_back(&self, lane: &Lane, stored: &StoredBatch) -> Result<Batch> {
        let _watch = lane.watch(&self.steps.source_meter, self.steps.source);
        let batch = self.stored_batch(stored)?;
        self.passed(&batch);
        Ok(batch)
    }

    fn stored_batch(&self, stored: &StoredBatch) -> Result<Batch> {
        let operator = self.first_operator();
        working(operator, || {
            bringing_back(operator, self.number, || stored.get())
        })
    }

    /// Computes the batch that waits, if there is one.
    async fn catch_up(&self, progress: &mut Progress<'_>) -> Result<Delivery> {
        match progress.waiting.take() {
            None => Ok(Delivery::Accepted),
            Some((lane, place, batch)) => self.batch(lane, place, batch, &mut progress.state).await,
        }
    }

    async fn batch(
        &self,
        lane: &Lane,
        place: Sequence,
        batch: Batch,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        self.through(lane, (self.from, None), place, batch, state)
            .await
    }

    /// Runs a batch through the transforms from one on, and ends what they give. Where there is no
    /// room for that, or it joins to more rows than a batch may have, it goes in halves. `first` is
    /// what the first of them needs, if it is not among the built batches.
    async fn through(
        &self,
        lane: &Lane,
        (from, first): (usize, Option<&Batch>),
        place: Sequence,
        batch: Batch,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let mut rest = vec![batch];
        while let Some(batch) = rest.pop() {
            let transform = || self.transform(lane, from, first, batch.clone());
            let transformed = match batch.rows_max() > FEW_ROWS {
                true => self.run.at_work(transform).await,
                false => self.run.when_there_is_room(transform).await,
            };
            match transformed {
                Err(error) if goes_in_halves(&error) => {
                    let halves = halves(lane, batch);
                    let halves = halves.map_err(|error| in_step(error, self.operators()))?;
                    let [one, two] = halves.ok_or(error)?;
                    rest.extend([two, one]);
                    continue;
                }
                transformed => {
                    drop(batch);
                    let batch = transformed?;
                    if self.end(lane, place, batch, state).await? == Delivery::Unwanted {
                        return Ok(Delivery::Unwanted);
                    }
                }
            }
        }
        Ok(Delivery::Accepted)
    }

    /// Joins a part of the probe side to its part of the build side.
    async fn part(
        &self,
        lane: &Lane,
        index: u64,
        part: &Part,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let parts = self.parts()?;
        let build = || {
            working(parts.step.spec.name(), || {
                parts.build(&self.run, lane, &part.build)
            })
        };
        let built = self.run.at_work(build).await?;
        while let Some((place, stored)) = part.probe.pop() {
            self.run.scope.check()?;
            let bring = || self.stored_batch(&stored);
            let batch = self.run.when_there_is_room(bring).await?;
            drop(stored);
            let join = (self.from, Some(&built));
            if self.through(lane, join, place, batch, state).await? == Delivery::Unwanted {
                return Ok(Delivery::Unwanted);
            }
        }
        self.synchronize(lane)?; // marks of matches are set
        let place = sequence(index, u32::MAX);
        self.finish_transform(lane, self.from, Some(&built), place, state)
            .await
    }

    /// The build side of the join that the stage starts with.
    fn parts(&self) -> Result<&Arc<BuiltParts>> {
        match self.built.get(self.from) {
            Some(Some(Built::Parts(parts))) => Ok(parts),
            _ => Err(Error::invalid("join", "its build side is not in parts", "")),
        }
    }

    /// What is left to give of the transforms whose built batch is whole, once all batches have been
    /// through them.
    ///
    /// # Errors
    /// As the operators' contracts say.
    pub(super) async fn finish(
        &self,
        lane: &Lane,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        for index in self.from..self.until {
            let built = match self.built.get(index) {
                Some(Some(Built::Whole(batch))) => Some(batch),
                Some(Some(Built::Parts(_))) => continue, // each part was finished by itself
                _ => None,
            };
            let place = sequence(u64::MAX, index as u32);
            if self
                .finish_transform(lane, index, built, place, state)
                .await?
                == Delivery::Unwanted
            {
                return Ok(Delivery::Unwanted);
            }
        }
        self.synchronize(lane)?;
        Ok(Delivery::Accepted)
    }

    async fn finish_transform(
        &self,
        lane: &Lane,
        index: usize,
        built: Option<&Batch>,
        place: Sequence,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let Some(step) = self.steps.transforms.get(index) else {
            return Ok(Delivery::Accepted);
        };
        let finish = || {
            let _watch = lane.watch(&step.meter, step.place);
            working(step.spec.name(), || {
                step.transform.finish(lane.context(step.place), built)
            })
        };
        match self.run.at_work(finish).await? {
            Some(batch) => {
                gave(&step.meter, &batch);
                self.through(lane, (index + 1, None), place, batch, state)
                    .await
            }
            None => Ok(Delivery::Accepted),
        }
    }

    /// Runs a batch through the stage's transforms from `from` on; `first` is what that one needs, if
    /// it is not among the built batches.
    fn transform(
        &self,
        lane: &Lane,
        from: usize,
        first: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let started = Instant::now();
        let mut batch = batch;
        for index in from..self.until {
            let step = &self.steps.transforms[index];
            let built = match (index == from, first, self.built.get(index)) {
                (true, Some(first), _) => Some(first),
                (_, _, Some(Some(Built::Whole(built)))) => Some(built),
                _ => None,
            };
            let next = working(step.spec.name(), || {
                let batch = self.bring(lane, index, step.place, batch)?;
                took(&step.meter, &batch);
                let _watch = lane.watch(&step.meter, step.place);
                let context = lane.context(step.place);
                step.transform.next(context, built, batch)
            })?;
            let Some(next) = next else {
                return Ok(None);
            };
            gave(&step.meter, &next);
            batch = next;
        }
        self.count(started);
        Ok(Some(batch))
    }

    /// The batch where operators of a place can read it. If it came to the host, the rows that the
    /// `index` transforms before gave are known now.
    fn bring(&self, lane: &Lane, index: usize, place: Place, batch: Batch) -> Result<Batch> {
        let before = rows_of(&batch);
        let batch = lane.bring(batch, place)?;
        if let (false, Some(rows)) = (before.exact, batch.rows_exact()) {
            self.steps.resolve(index, before.rows, rows);
        }
        Ok(batch)
    }

    /// A batch that has passed all transforms, on the host.
    fn to_host(&self, lane: &Lane, batch: Batch) -> Result<Batch> {
        let before = rows_of(&batch);
        let rows = lane.download(batch);
        let batch = Batch::host(rows.map_err(|error| in_step(error, self.operators()))?);
        if !before.exact {
            self.steps
                .resolve(self.until, before.rows, batch.rows_max());
        }
        Ok(batch)
    }

    async fn end(
        &self,
        lane: &Lane,
        place: Sequence,
        batch: Option<Batch>,
        state: &mut Option<FoldState>,
    ) -> Result<Delivery> {
        let Some(batch) = batch else {
            return Ok(Delivery::Accepted);
        };
        let started = Instant::now();
        let rows = match &self.end {
            End::Output(output) => match output.as_ref() {
                Output::Result(rows) => rows,
                output => return output.send(&self.run, lane, place, batch).await,
            },
            End::Counted(rows) => rows.as_ref(),
            End::Fold(folding) => {
                let fold = || {
                    working(folding.meter().facts().operator, || {
                        let batch = match folding.brings() {
                            Some(place) => self.bring(lane, self.until, place, batch)?,
                            None => batch,
                        };
                        folding.next(&self.run, lane, state, place, batch)
                    })
                };
                self.run.at_work(fold).await?;
                self.count(started);
                return Ok(Delivery::Accepted);
            }
            End::Kept(store) => {
                self.run.store_in(store, place, batch, SpillClass::Build)?;
                return Ok(Delivery::Accepted);
            }
            End::Split(splitter) => {
                let split = || {
                    let join = self.steps.transforms.get(self.until);
                    let _watch = join.map(|join| lane.watch(&join.meter, join.place));
                    let name = join.map_or(SPLIT, |join| join.spec.name());
                    working(name, || splitter.split(&self.run, lane, place, batch))
                };
                self.run.at_work(split).await?;
                self.count(started);
                return Ok(Delivery::Accepted);
            }
        };
        let batch = self.to_host(lane, batch)?;
        let _span = lane.span("send");
        self.run.send_rows(rows, lane, place, batch).await
    }

    fn count(&self, started: Instant) {
        let metrics = &self.run.read.metrics;
        metrics.add_duration(names::OPERATOR_NANOSECONDS, started.elapsed());
    }
}
