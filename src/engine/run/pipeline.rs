//! The life of a pipeline: it waits for what its joins need, starts workers, and finishes its fold.

use std::sync::Arc;

use tracing::Instrument;

use super::dynamic_filter::Narrowed;
use super::failure::{in_pipeline, working};
use super::fold::{Finished, Folding};
use super::join::{Built, BuiltParts};
use super::lane::Lane;
use super::limit::limited;
use super::link::{Message, Output};
use super::parts::{Part, Splitter};
use super::source::{Unit, Units};
use super::steps::Steps;
use super::watch::{OwnTrack, gave};
use super::worker::{End, Stage};
use super::{Place, QueryRun, sequence};
use crate::comm::stretch_of_rank;
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::memory::{Batch, SpillClass};
use crate::metrics::{Choice, Meter};
use crate::network::{Delivery, Gate, GateReader, Receiver};
use crate::operators::{FoldState, OperatorSpec, Partitioning};
use crate::pipeline::{Pipeline, Source};
use crate::storage::{KeyFilter, RowGroup};

/// Where a pipeline's result goes.
pub(super) enum Target {
    /// Batches, to other pipelines or out of the engine.
    Output(Output),
    /// A built side, to the joins that need it.
    Gate(Gate<Built>),
}

/// A pipeline with its operators and its ends.
pub(super) struct Actor {
    pub(super) run: Arc<QueryRun>,
    /// Its number, from 1.
    pub(super) number: usize,
    pub(super) pipeline: Pipeline,
    pub(super) steps: Steps,
    /// What other pipelines send, in the order of the source's list.
    pub(super) links: Vec<Receiver<Message>>,
    /// What each transform needs, if it needs something.
    pub(super) gates: Vec<Option<GateReader<Built>>>,
    pub(super) target: Target,
    /// Pipelines that read the result.
    pub(super) consumers: usize,
}

impl Actor {
    /// Runs the pipeline to its end.
    ///
    /// # Errors
    /// The first error of any of its parts.
    pub(super) async fn drive(self) -> Result<()> {
        let (run, number) = (Arc::clone(&self.run), self.number);
        match self.drive_all().await {
            Ok(()) => {
                run.ended(number);
                Ok(())
            }
            Err(error) => {
                run.note_refusal(number, &error);
                Err(in_pipeline(error, number))
            }
        }
    }

    async fn drive_all(self) -> Result<()> {
        let track = self.run.track(&format!("pipeline {}", self.number));
        let waiting = track
            .as_ref()
            .map(|track| track.span("wait for build sides"));
        let mut built = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            built.push(match gate {
                Some(gate) => Some(gate.get().await?),
                None => None,
            });
        }
        drop(waiting);
        self.run.begins(self.number);
        let inbox = match &self.target {
            Target::Output(Output::Exchange(exchanger)) => {
                let name = format!("pipeline {}, inbox", self.number);
                let inbox = exchanger.inbox(&self.run);
                Some(self.run.scope.spawn_part(name, inbox.take()))
            }
            _ => None,
        };
        self.work(built, track).await?;
        match inbox {
            Some(inbox) => inbox.await,
            None => Ok(()),
        }
    }

    /// What the pipeline does once it has what its joins need.
    async fn work(self, built: Vec<Option<Built>>, track: OwnTrack) -> Result<()> {
        let (units, filters) = self.units()?;
        let workers = self.workers(&units);
        let bytes = self.pipeline.fold_bytes();
        let Actor {
            run,
            number,
            pipeline,
            mut steps,
            target,
            consumers,
            ..
        } = self;
        // Without keys there is a row of nothing: one rank gives it for all.
        let silent = pipeline.first_only && run.planner.comm.rank() != 0;
        let fold = steps.fold.take();
        let folding = fold.map(|step| Folding::new(&run, number, step, bytes, workers));
        let folding = folding.transpose()?.map(Arc::new);
        let mut stages = Stages {
            run: Arc::clone(&run),
            number,
            steps: Arc::new(steps),
            built: Arc::new(built),
            workers,
            states: Vec::new(),
            track,
        };
        let worked = match (folding, target) {
            (Some(folding), target) => {
                stages
                    .all(units, || End::Fold(Arc::clone(&folding)))
                    .await?;
                let states = std::mem::take(&mut stages.states);
                let lane = run.lane(&stages.track)?;
                drop(stages); // the built sides of its joins are of no use any more
                let (meter, place) = (Arc::clone(folding.meter()), folding.place());
                let finish = || {
                    let _watch = lane.watch(&meter, place);
                    working(meter.facts().operator, || match silent {
                        true => Ok(Finished::Batches(Vec::new())),
                        false => sole(folding)?.finish(&run, number, &lane, states, consumers > 1),
                    })
                };
                let finished = run.at_work(finish).await?;
                hand_on(&run, &lane, (&meter, place), finished, target).await
            }
            (None, Target::Output(output)) => match pipeline.limit {
                None => {
                    let output = Arc::new(output);
                    stages
                        .all(units, || End::Output(Arc::clone(&output)))
                        .await?;
                    sole(output)?.finish(&run, &stages.track).await
                }
                Some(limit) => limited(&run, stages, units, limit, output).await,
            },
            (None, Target::Gate(_)) => {
                Err(Error::invalid("join", "its build side has no fold", ""))
            }
        };
        run.decide_sampled(number, &filters);
        worked
    }

    /// No more workers than units; one where the order of batches matters, so that they leave, or are
    /// folded, in it.
    fn workers(&self, units: &Units) -> usize {
        let minds_order = self.pipeline.fold.as_ref().is_none_or(minds_order);
        if minds_order && self.pipeline.keeps_order() {
            return 1;
        }
        let most = match &self.pipeline.source {
            Source::Scan(_) => self.run.scan_workers(units),
            Source::Memory { .. } | Source::Stored(_) | Source::Pipelines(_) => self.run.workers,
        };
        units.count().map_or(most, |count| most.min(count)).max(1)
    }

    /// What the workers take, and the filters of a scan's rows.
    fn units(&self) -> Result<(Units, Vec<Arc<KeyFilter>>)> {
        let units = match &self.pipeline.source {
            Source::Scan(scan) => {
                let Narrowed { scan, filters } =
                    self.run.narrowed(self.number, &self.pipeline, scan);
                let partitions = self.run.partitions(self.number, &scan, &filters)?;
                for partition in &partitions {
                    let groups = partition.row_groups().iter();
                    let rows = groups.map(RowGroup::rows_in_ranges).sum();
                    self.steps.source_meter.expect(rows, partition.bytes());
                    let counts = partition.cache_counts(); // the same for all
                    self.steps.source_meter.count_cached(counts);
                }
                let units = partitions.into_iter().zip(0..);
                let units = units.map(|(partition, index)| Unit::Partition(index, partition));
                return Ok((Units::ready(units), filters));
            }
            Source::Memory { table, projection } => {
                let rows = self.run.table_rows(table, projection)?;
                let rows = stretch_of_rank(self.run.planner.comm.as_ref(), rows);
                for rows in &rows {
                    let rows = Batch::host(rows.clone());
                    self.steps
                        .source_meter
                        .expect(rows.rows_max(), rows.bytes());
                }
                let units = rows.into_iter().zip(0..);
                Units::ready(units.map(|(rows, index)| Unit::Rows(sequence(index, 0), rows)))
            }
            Source::Stored(rows) => {
                let batches = self.run.kept_batches(rows)?;
                let units = batches.into_iter();
                Units::ready(units.map(|(place, stored)| Unit::Stored(place, stored)))
            }
            Source::Pipelines(_) => Units::links(self.links.clone()),
        };
        Ok((units, Vec::new()))
    }
}

/// Whether what a fold gives depends on the order in which batches come to its state.
fn minds_order(fold: &OperatorSpec) -> bool {
    match fold {
        OperatorSpec::TopK(_) => true,
        OperatorSpec::GroupBy(spec) => spec.aggregates.iter().any(|aggregate| {
            use AggregateFunction::{Collect, First, Last};
            matches!(aggregate.function, First | Last | Collect)
        }),
        _ => false, // what is kept until the end is put in order there
    }
}

/// The stages of a pipeline: between them stand the joins whose build side is in parts, or waits.
pub(super) struct Stages {
    pub(super) run: Arc<QueryRun>,
    pub(super) number: usize,
    pub(super) steps: Arc<Steps>,
    built: Arc<Vec<Option<Built>>>,
    workers: usize,
    states: Vec<FoldState>,
    pub(super) track: OwnTrack,
}

impl Stages {
    /// The place of a step behind all transforms, as meters count them.
    pub(super) fn step_count(&self) -> usize {
        self.steps.transforms.len() + 1
    }

    /// Runs all stages; the batches of the last one end as `end` says.
    ///
    /// # Errors
    /// The first error of any worker.
    pub(super) async fn all(&mut self, units: Units, end: impl Fn() -> End) -> Result<()> {
        let count = self.steps.transforms.len();
        let (mut from, mut units) = (0, units);
        // A join in parts that the stage itself starts with does not end it.
        let mut next = 0;
        loop {
            let is_whole = |index: usize| {
                let built = self.built.get(index).and_then(Option::as_ref);
                !matches!(built, Some(Built::Parts(_) | Built::Waiting(_)))
            };
            let Some(join) = (next..count).find(|index| !is_whole(*index)) else {
                return self.stage(units, from, count, end()).await.map(drop);
            };
            units = match self.built.get(join).cloned().flatten() {
                Some(Built::Parts(parts)) => self.split(units, (from, join), &parts).await?,
                Some(Built::Waiting(side)) => self.swap(units, (from, join), &side).await?,
                _ => return Ok(()),
            };
            (from, next) = (join, join + 1);
        }
    }

    /// Runs the stage before a join whose build side is in parts; gives both sides of each part.
    async fn split(
        &mut self,
        units: Units,
        (from, join): (usize, usize),
        parts: &BuiltParts,
    ) -> Result<Units> {
        let splitter = self.splitter(join)?;
        let stores = splitter.stores.clone();
        self.stage(units, from, join, End::Split(splitter)).await?;
        let pairs = parts.stores.iter().zip(stores).zip(0..);
        Ok(Units::ready(pairs.map(|((build, probe), index)| {
            let build = Arc::clone(build);
            Unit::Part(index, Part { build, probe })
        })))
    }

    /// Puts a table in the place of what a join's build side was.
    pub(super) fn set_built(&mut self, join: usize, table: Batch) -> Result<()> {
        let wrong = || Error::invalid("join", "a worker is still at it", "");
        let built = Arc::get_mut(&mut self.built).ok_or_else(wrong)?;
        if let Some(built) = built.get_mut(join) {
            *built = Some(Built::Whole(table));
        }
        Ok(())
    }

    /// Splits probe rows as the build rows of a join are.
    fn splitter(&self, join: usize) -> Result<Splitter> {
        let wrong = || Error::invalid("join", "its build side is in parts, and it has no keys", "");
        let OperatorSpec::HashJoinProbe(spec) = &self.steps.transforms[join].spec else {
            return Err(wrong());
        };
        let Some(Some(Built::Parts(parts))) = self.built.get(join) else {
            return Err(wrong());
        };
        let by = Partitioning::Hash {
            keys: spec.probe_keys.clone(),
        };
        let count = parts.stores.len() as u32;
        Splitter::new(
            &self.run,
            self.number,
            &spec.probe,
            by,
            count,
            SpillClass::Build,
        )
    }

    /// Runs the transforms from one to another over all units.
    pub(super) async fn stage(
        &mut self,
        units: Units,
        from: usize,
        until: usize,
        end: End,
    ) -> Result<()> {
        let workers = units
            .count()
            .map_or(self.workers, |count| self.workers.min(count))
            .max(1);
        let stage = Arc::new(Stage {
            run: Arc::clone(&self.run),
            number: self.number,
            steps: Arc::clone(&self.steps),
            built: Arc::clone(&self.built),
            from,
            until,
            units,
            tells_ends: matches!(end, End::Output(_)) && self.run.tells_ends(self.number),
            end,
        });
        let name = |index: usize| format!("pipeline {}, worker {index}", self.number);
        self.run.decide(self.number, Choice::Workers(workers));
        let work = |index| {
            let name = name(index);
            let work = Arc::clone(&stage).work(self.run.track(&name));
            self.run.scope.spawn_part(name, work.in_current_span())
        };
        if workers == 1 {
            // It shares its work with nobody: there is no use in an actor of its own.
            let track = self.run.track(&name(0));
            self.states.extend(Arc::clone(&stage).work(track).await?);
        } else {
            let handles: Vec<_> = (0..workers).map(work).collect();
            for handle in handles {
                self.states.extend(handle.await?);
            }
        }
        let mut state = None;
        let lane = self.run.lane(&self.track)?;
        if stage.finish(&lane, &mut state).await? == Delivery::Unwanted {
            stage.units.stop();
        }
        self.states.extend(state);
        Ok(())
    }
}

/// What workers shared, once they have ended.
pub(super) fn sole<T>(shared: Arc<T>) -> Result<T> {
    let still = || Error::invalid("pipeline", "a worker is still at it", "");
    Arc::into_inner(shared).ok_or_else(still)
}

/// Hands on what a fold finished with.
async fn hand_on(
    run: &Arc<QueryRun>,
    lane: &Lane,
    (meter, place): (&Meter, Place),
    finished: Finished,
    target: Target,
) -> Result<()> {
    let output = match (finished, target) {
        (Finished::Built(built), Target::Gate(gate)) => {
            if let Built::Whole(batch) = &built {
                gave(meter, batch);
            }
            gate.set(built);
            return Ok(());
        }
        (Finished::Batches(batches), Target::Output(output)) => {
            // Whether they are wanted or not, there are no more.
            batches.iter().for_each(|batch| gave(meter, batch));
            let _ = send_all(run, lane, &output, 0, batches).await?;
            output
        }
        (Finished::Parts(parts), Target::Output(output)) => {
            for index in 0..parts.count() {
                run.scope.check()?;
                let fold = || {
                    let _watch = lane.watch(meter, place);
                    working(meter.facts().operator, || parts.fold(run, lane, index))
                };
                let batches = run.at_work(fold).await?;
                batches.iter().for_each(|batch| gave(meter, batch));
                if send_all(run, lane, &output, index as u64, batches).await? == Delivery::Unwanted
                {
                    break;
                }
            }
            output
        }
        _ => return Err(Error::invalid("fold", "gave what nobody can take", "")),
    };
    output.finish(run, lane.track()).await
}

async fn send_all(
    run: &QueryRun,
    lane: &Lane,
    output: &Output,
    unit: u64,
    batches: Vec<Batch>,
) -> Result<Delivery> {
    for (batch, number) in batches.into_iter().zip(0..) {
        let _span = lane.span("send");
        if output
            .send(run, lane, sequence(unit, number), batch)
            .await?
            == Delivery::Unwanted
        {
            return Ok(Delivery::Unwanted);
        }
    }
    Ok(Delivery::Accepted)
}
