//! The end of a pipeline that has a fold: states of workers, or batches that are kept until all are
//! there.
//!
//! A `group_by` or `top_k` is folded as batches come, a state per worker. The state of a `group_by`
//! that grows too large is written down as rows of partial states, which may be spilled; these are
//! put together at the end, in parts by their keys where they are many. A join's build side, a sort
//! and a window need all rows at one time: these wait in a store, may be spilled there, and are folded
//! at the end, in parts where they do not fit.

use std::sync::Arc;

use super::bounds::range_of;
use super::build_keys::BuildKeys;
use super::failure::bringing_back;
use super::join::{Built, BuiltParts};
use super::lane::Lane;
use super::parts::{Splitter, parts_for};
use super::steps::{FoldStep, fold};
use super::swap::WaitingSide;
use super::watch::took;
use super::{Place, QueryRun, sequence};
use crate::error::{Error, Result};
use crate::memory::{Batch, BatchStore, Sequence, SpillClass, StoredBatch};
use crate::metrics::Meter;
use crate::operators::{
    FoldState, GroupByPhase, GroupBySpec, OperatorSpec, Partitioning, WindowSpec,
};

/// Share of a tier's limit that all workers' states of a `group_by` may have.
const STATES_SHARE: u64 = 4;

/// How a fold takes its batches.
pub(super) enum Folding {
    /// As they come, into a state per worker.
    States(FoldStep, Option<Box<Grouped>>),
    /// All at the end.
    Kept(FoldStep, Arc<BatchStore>, SpillClass),
}

/// What a `group_by` needs to write its states down.
pub(super) struct Grouped {
    last: FoldStep,
    written: BatchStore,
    /// Bytes that a worker's state may have.
    state_bytes: u64,
}

impl Folding {
    /// `bytes` are those of all batches to come, about.
    ///
    /// # Errors
    /// What the backends say of the phases, except that they have none.
    pub(super) fn new(
        run: &QueryRun,
        number: usize,
        step: FoldStep,
        bytes: u64,
        workers: usize,
    ) -> Result<Folding> {
        let class = match &step.spec {
            OperatorSpec::HashJoinBuild(_) | OperatorSpec::NestedLoopJoinBuild(_) => {
                SpillClass::Build
            }
            OperatorSpec::Sort(_) | OperatorSpec::Window(_) => SpillClass::SortRun,
            OperatorSpec::GroupBy(spec) => {
                let grouped = Grouped::new(run, number, (spec, &step), bytes, workers)?;
                return Ok(match grouped {
                    Some((partial, grouped)) => Folding::States(partial, Some(Box::new(grouped))),
                    None => Folding::States(step, None),
                });
            }
            _ => return Ok(Folding::States(step, None)),
        };
        Ok(Folding::Kept(step, Arc::default(), class))
    }

    fn step(&self) -> &FoldStep {
        match self {
            Folding::States(step, _) | Folding::Kept(step, ..) => step,
        }
    }

    /// Which backend folds.
    pub(super) fn place(&self) -> Place {
        self.step().place
    }

    /// Where the fold's batches must be, if it folds them as they come.
    pub(super) fn brings(&self) -> Option<Place> {
        match self {
            Folding::States(step, _) => Some(step.place),
            Folding::Kept(..) => None,
        }
    }

    /// Who counts what the fold takes and gives.
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.step().meter
    }

    /// Folds a batch into a worker's state.
    ///
    /// # Errors
    /// As the operator's contract says.
    pub(super) fn next(
        &self,
        run: &QueryRun,
        lane: &Lane,
        state: &mut Option<FoldState>,
        place: Sequence,
        batch: Batch,
    ) -> Result<()> {
        took(self.meter(), &batch);
        let _watch = lane.watch(self.meter(), self.place());
        let (step, grouped) = match self {
            Folding::States(step, grouped) => (step, grouped),
            Folding::Kept(step, store, class) => {
                let batch = lane
                    .backend(step.place)
                    .trimmed(lane.context(step.place), batch)?;
                return run.store_in(store, place, batch, *class);
            }
        };
        let context = lane.context(step.place);
        let state_now = match state {
            Some(state) => state,
            None => state.insert(step.fold.init(context)?),
        };
        step.fold.next(context, state_now, batch)?;
        if let Some(grouped) = grouped
            && step.fold.bytes(state_now) > grouped.state_bytes
            && let Some(full) = state.take()
        {
            grouped.write(run, lane, step, place, full)?;
        }
        Ok(())
    }

    /// The result of all batches; `shared` if several pipelines read it.
    ///
    /// # Errors
    /// As the operator's contract says.
    pub(super) fn finish(
        self,
        run: &QueryRun,
        number: usize,
        lane: &Lane,
        states: Vec<FoldState>,
        shared: bool,
    ) -> Result<Finished> {
        match self {
            Folding::States(step, None) => merge(&step, lane, states).map(Finished::Batches),
            Folding::States(step, Some(grouped)) => {
                let place = sequence(u64::MAX, 0);
                for batch in merge(&step, lane, states)? {
                    run.store_in(&grouped.written, place, batch, SpillClass::Aggregate)?;
                }
                let parts = grouped.finish(run, number, lane)?;
                Ok(Finished::Parts(Box::new(parts)))
            }
            Folding::Kept(step, store, _) => kept(run, number, lane, step, &store, shared),
        }
    }
}

/// What a fold finished with.
pub(super) enum Finished {
    /// All batches of the result, in order.
    Batches(Vec<Batch>),
    /// Parts of the result, in order, each made when it is asked for.
    Parts(Box<Parts>),
    /// What a join's probe needs.
    Built(Built),
}

/// Parts that are folded one after the other.
pub(super) struct Parts {
    step: FoldStep,
    stores: Vec<Arc<BatchStore>>,
}

impl Parts {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.stores.len()
    }

    /// The result of one part.
    ///
    /// # Errors
    /// As the operator's contract says.
    pub(super) fn fold(&self, run: &QueryRun, lane: &Lane, index: usize) -> Result<Vec<Batch>> {
        match self.stores.get(index) {
            Some(store) if !store.is_empty() => fold_store(run, lane, &self.step, store),
            _ => Ok(Vec::new()),
        }
    }
}

/// Merges states in their order and finishes them.
fn merge(step: &FoldStep, lane: &Lane, states: Vec<FoldState>) -> Result<Vec<Batch>> {
    let context = lane.context(step.place);
    let mut states = states.into_iter();
    let mut merged = match states.next() {
        Some(state) => state,
        None => step.fold.init(context)?,
    };
    for state in states {
        step.fold.merge(context, &mut merged, state)?;
    }
    let batches = step.fold.finish(context, merged)?;
    lane.synchronize()?; // whoever reads them may use another stream
    Ok(batches)
}

/// Folds all batches of a store, in their order; it is empty then.
///
/// # Errors
/// As the operator's contract says.
pub(super) fn fold_store(
    run: &QueryRun,
    lane: &Lane,
    step: &FoldStep,
    store: &BatchStore,
) -> Result<Vec<Batch>> {
    let mut waiting = Vec::with_capacity(store.len());
    while let Some(entry) = store.pop() {
        waiting.push(entry);
    }
    fold_batches(run, lane, step, waiting)
}

/// Folds stored batches in their order.
///
/// # Errors
/// As the operator's contract says.
pub(super) fn fold_batches(
    run: &QueryRun,
    lane: &Lane,
    step: &FoldStep,
    mut waiting: Vec<(Sequence, Arc<StoredBatch>)>,
) -> Result<Vec<Batch>> {
    let context = lane.context(step.place);
    waiting.sort_by_key(|(sequence, _)| *sequence);
    let mut state = step.fold.init(context)?;
    for (_, stored) in waiting {
        run.scope.check()?;
        let facts = step.meter.facts();
        let batch = bringing_back(facts.operator, facts.pipeline, || stored.get())?;
        let batch = lane.bring(batch, step.place)?;
        drop(stored);
        step.fold.next(context, &mut state, batch)?;
    }
    let batches = step.fold.finish(context, state)?;
    lane.synchronize()?;
    Ok(batches)
}

/// Folds what was kept: at one time if it fits, else in parts.
fn kept(
    run: &QueryRun,
    number: usize,
    lane: &Lane,
    step: FoldStep,
    store: &Arc<BatchStore>,
    shared: bool,
) -> Result<Finished> {
    if let OperatorSpec::HashJoinBuild(spec) = &step.spec
        && let Some(filtered) = run.filtered_by(number)
    {
        let keys = BuildKeys::of(run, number, lane, (spec, &step), store, &filtered)?;
        run.note_keys(number, keys);
    }
    if let OperatorSpec::HashJoinBuild(spec) = &step.spec
        && !shared
        && run.swaps(number, lane, (spec, &step), store)?
    {
        let store = Arc::clone(store);
        return Ok(Finished::Built(Built::Waiting(Arc::new(WaitingSide {
            store,
        }))));
    }
    let parts = parts_for(store.bytes(), run.limit_of(step.place));
    let (input, by) = match &step.spec {
        _ if parts == 1 => return kept_whole(run, lane, &step, store),
        OperatorSpec::HashJoinBuild(spec) => {
            let keys = spec.build_keys.clone();
            (Arc::clone(&spec.build), Partitioning::Hash { keys })
        }
        OperatorSpec::Window(WindowSpec {
            input,
            partition_by,
            ..
        }) if !partition_by.is_empty() => {
            let keys = partition_by.clone();
            (Arc::clone(input), Partitioning::Hash { keys })
        }
        OperatorSpec::Sort(spec) if !spec.keys.is_empty() => {
            match range_of(run, (number, lane), spec, store, parts)? {
                Some(by) => (Arc::clone(&spec.input), by),
                None => return kept_whole(run, lane, &step, store),
            }
        }
        _ => return kept_whole(run, lane, &step, store),
    };
    let parts = match &by {
        Partitioning::Range { bounds, .. } => bounds.num_rows() as u32 + 1,
        _ => parts,
    };
    let class = match &step.spec {
        OperatorSpec::HashJoinBuild(_) => SpillClass::Build,
        _ => SpillClass::SortRun,
    };
    let splitter = match run.keeps_order(number) {
        true => Splitter::keeping_order(run, &input, by, parts, class)?,
        false => Splitter::new(run, number, &input, by, parts, class)?,
    };
    splitter.split_all(run, lane, step.meter.facts(), store)?;
    run.note_parts(number, step.spec.name(), parts);
    let stores = splitter.stores;
    Ok(match &step.spec {
        OperatorSpec::HashJoinBuild(_) => Finished::Built(Built::Parts(Arc::new(BuiltParts {
            step,
            stores,
            shared,
        }))),
        _ => Finished::Parts(Box::new(Parts { step, stores })),
    })
}

fn kept_whole(
    run: &QueryRun,
    lane: &Lane,
    step: &FoldStep,
    store: &BatchStore,
) -> Result<Finished> {
    let batches = fold_store(run, lane, step, store)?;
    match &step.spec {
        OperatorSpec::HashJoinBuild(_) | OperatorSpec::NestedLoopJoinBuild(_) => {
            let mut batches = batches.into_iter();
            let built = batches.next().ok_or_else(|| {
                Error::invalid(step.spec.name(), "the build side gave no batch", "")
            })?;
            Ok(Finished::Built(Built::Whole(built)))
        }
        _ => Ok(Finished::Batches(batches)),
    }
}

impl Grouped {
    /// The phases of a `group_by` whose groups may not fit; none if they surely do, or if its backend
    /// lacks a phase, so that its states stay. Result: the first phase, and how it goes on.
    fn new(
        run: &QueryRun,
        number: usize,
        (spec, step): (&GroupBySpec, &FoldStep),
        bytes: u64,
        workers: usize,
    ) -> Result<Option<(FoldStep, Grouped)>> {
        let place = step.place;
        let budget = run.limit_of(place) / STATES_SHARE;
        if spec.phase != GroupByPhase::Complete || spec.group_keys.is_empty() || bytes <= budget {
            return Ok(None);
        }
        let [partial, _, last] = spec.phases()?;
        let (partial, last) = (OperatorSpec::GroupBy(partial), OperatorSpec::GroupBy(last));
        let has = |spec: &OperatorSpec| run.backend_of(place).instantiate(spec).is_ok();
        if !has(&partial) || !has(&last) {
            return Ok(None);
        }
        let phase = |spec| fold(run, number, spec, &step.meter);
        let grouped = Grouped {
            last: phase(last)?,
            written: BatchStore::default(),
            state_bytes: budget / workers.max(1) as u64,
        };
        Ok(Some((phase(partial)?, grouped)))
    }

    /// Writes a state down as rows.
    fn write(
        &self,
        run: &QueryRun,
        lane: &Lane,
        step: &FoldStep,
        place: Sequence,
        state: FoldState,
    ) -> Result<()> {
        for batch in step.fold.finish(lane.context(step.place), state)? {
            run.store_in(&self.written, place, batch, SpillClass::Aggregate)?;
        }
        Ok(())
    }

    fn finish(self, run: &QueryRun, number: usize, lane: &Lane) -> Result<Parts> {
        let parts = parts_for(self.written.bytes(), run.limit_of(self.last.place));
        let OperatorSpec::GroupBy(last) = &self.last.spec else {
            return Err(Error::invalid(
                "group_by",
                "its last phase is no group_by",
                "",
            ));
        };
        if parts == 1 {
            return Ok(Parts {
                step: self.last,
                stores: vec![Arc::new(self.written)],
            });
        }
        let by = Partitioning::Hash {
            keys: last.group_keys.clone(),
        };
        let class = SpillClass::Aggregate;
        // Only the CPU backend splits rows that have lists.
        let mut fields = last.input.fields().iter();
        let splitter = match fields.any(|field| field.data_type().is_nested()) {
            true => Splitter::keeping_order(run, &last.input, by, parts, class)?,
            false => Splitter::new(run, number, &last.input, by, parts, class)?,
        };
        splitter.split_all(run, lane, self.last.meter.facts(), &self.written)?;
        run.note_parts(number, "group_by", parts);
        Ok(Parts {
            step: self.last,
            stores: splitter.stores,
        })
    }
}
