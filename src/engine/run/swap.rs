//! Joins that build from the other side than was planned.
//!
//! Which side of an inner join is built was decided by estimates. Once all rows of that side are there
//! they are counted, and nothing is built of them yet; where the source of the probe side says that it has
//! far fewer rows, these are built in their place, and the rows that wait are what probes.

use std::sync::Arc;

use super::build_keys::count_rows;
use super::fold::fold_store;
use super::lane::Lane;
use super::parts::parts_for;
use super::pipeline::Stages;
use super::source::{Unit, Units};
use super::steps::{FoldStep, Step, fold};
use super::watch::gave;
use super::worker::End;
use super::{Place, QueryRun, sequence};
use crate::error::{Error, Result};
use crate::expr::JoinKind;
use crate::memory::{Batch, BatchStore};
use crate::metrics::Choice;
use crate::operators::{HashJoinSpec, Operator, OperatorSpec};
use crate::pipeline::{Pipeline, Source, map_columns, row_bytes};
use crate::storage::Dataset;

/// How many times the rows of the probe side the build side must have: probe rows are kept until all are
/// there, and nothing is gained where the sides are about alike.
const ROWS_FACTOR: u64 = 4;

/// The rows that a join was to build from.
pub(super) struct WaitingSide {
    pub(super) store: Arc<BatchStore>,
}

/// The same join with its sides exchanged.
fn exchanged(spec: &HashJoinSpec) -> HashJoinSpec {
    let (probe, build) = (spec.probe.fields().len(), spec.build.fields().len());
    let place = |column: usize| match column < probe {
        true => build + column,
        false => column - probe,
    };
    let mut residual = spec.residual.clone();
    if let Some(residual) = &mut residual {
        map_columns(residual, &place);
    }
    HashJoinSpec {
        build: Arc::clone(&spec.probe),
        probe: Arc::clone(&spec.build),
        build_keys: spec.probe_keys.clone(),
        probe_keys: spec.build_keys.clone(),
        residual,
        projection: spec.projection.iter().copied().map(place).collect(),
        ..spec.clone()
    }
}

/// Most rows that come to a transform of a pipeline, where its source knows how many it has and nothing
/// before makes more of them.
fn rows_at_most(pipeline: &Pipeline, until: usize) -> Option<u64> {
    let makes_more = |spec: &OperatorSpec| match spec {
        OperatorSpec::Filter(_) | OperatorSpec::Project(_) => false,
        OperatorSpec::HashJoinProbe(join) => join.kind.gives_build_rows(),
        _ => true,
    };
    let mut before = pipeline.transforms.get(..until)?.iter();
    if before.any(|transform| makes_more(&transform.spec)) {
        return None;
    }
    match &pipeline.source {
        Source::Scan(scan) => Dataset::open(&scan.files).ok().map(|data| data.rows()),
        Source::Memory { table, .. } => Some(table.rows()),
        Source::Stored(rows) => Some(rows.rows),
        Source::Pipelines(_) => None,
    }
}

impl QueryRun {
    /// Whether the one join that a pipeline builds for had better build from its probe side.
    ///
    /// # Errors
    /// As counting the rows of the store.
    pub(super) fn swaps(
        &self,
        number: usize,
        lane: &Lane,
        (spec, step): (&HashJoinSpec, &FoldStep),
        store: &BatchStore,
    ) -> Result<bool> {
        let may = self.dynamic_planning
            && spec.kind == JoinKind::Inner
            && self.planner.comm.world() == 1
            && self.refusals.is_empty();
        if !may {
            return Ok(false);
        }
        let join_in = |pipeline: &Pipeline| {
            let mut transforms = pipeline.transforms.iter();
            transforms.position(|transform| transform.built == Some(number - 1))
        };
        let mut pipelines = self.pipelines.iter().zip(1..);
        let found = pipelines.find_map(|(pipeline, prober)| {
            join_in(pipeline).map(|index| (pipeline, prober, index))
        });
        let Some((pipeline, prober, index)) = found else {
            return Ok(false);
        };
        let Some(probe) = rows_at_most(pipeline, index) else {
            return Ok(false);
        };
        let fits = parts_for(
            probe.saturating_mul(row_bytes(&spec.probe)),
            self.limit_of(step.place),
        ) == 1;
        // What the device alone has counted is no more than what the host knows.
        let is_larger = |rows: u64| rows / ROWS_FACTOR > probe;
        if !fits || !is_larger(store.rows()) {
            return Ok(false);
        }
        let build = count_rows(self, number, lane, (spec, step), store)?;
        if !is_larger(build) || !self.has_exchanged(spec, step.place)? {
            return Ok(false);
        }
        self.decide(prober, Choice::OtherSideBuilt { build, probe });
        Ok(true)
    }

    /// Whether the backend of a join has it with its sides exchanged, too.
    fn has_exchanged(&self, spec: &HashJoinSpec, place: Place) -> Result<bool> {
        let spec = exchanged(spec);
        let backends = self.backends();
        let (build, ..) = backends.instantiate(&OperatorSpec::HashJoinBuild(spec.clone()))?;
        let (probe, ..) = backends.instantiate(&OperatorSpec::HashJoinProbe(spec))?;
        Ok(build == place && probe == place)
    }
}

impl Stages {
    /// Runs the stage before a join whose build side waits, builds from the rows that it gives, and gives
    /// the rows that wait as those to go on with.
    ///
    /// # Errors
    /// The first error of any worker, and as the operators' contracts say.
    pub(super) async fn swap(
        &mut self,
        units: Units,
        (from, join): (usize, usize),
        side: &WaitingSide,
    ) -> Result<Units> {
        let store = Arc::new(BatchStore::default());
        self.stage(units, from, join, End::Kept(Arc::clone(&store)))
            .await?;
        let lane = self.run.lane(&self.track)?;
        let run = Arc::clone(&self.run);
        let wrong = |cause: &str| Error::invalid("join", cause, "");
        let steps = Arc::get_mut(&mut self.steps);
        let steps = steps.ok_or_else(|| wrong("a worker is still at it"))?;
        let step = steps.transforms.get_mut(join);
        let step = step.ok_or_else(|| wrong("it is not there"))?;
        let OperatorSpec::HashJoinProbe(spec) = &step.spec else {
            return Err(wrong("its build side waits, and it has no keys"));
        };
        let spec = exchanged(spec);
        let build = OperatorSpec::HashJoinBuild(spec.clone());
        let built = fold(&run, self.number, build, &step.meter)?;
        let table = || fold_store(&run, &lane, &built, &store);
        let built: Option<Batch> = run.at_work(table).await?.into_iter().next();
        let built = built.ok_or_else(|| wrong("the build side gave no batch"))?;
        gave(&step.meter, &built);
        let spec = OperatorSpec::HashJoinProbe(spec);
        let (place, Operator::Transform(transform), _) = run.backends().instantiate(&spec)? else {
            return Err(wrong("no backend made a transform of it"));
        };
        *step = Step {
            place,
            transform,
            spec,
            meter: Arc::clone(&step.meter),
        };
        self.set_built(join, built)?;
        let mut waiting = side.store.batches();
        while side.store.pop().is_some() {}
        waiting.sort_by_key(|(place, _)| *place);
        let units = waiting.into_iter().zip(0..);
        let unit = |((_, stored), index)| Unit::Waiting(sequence(index, 0), stored);
        Ok(Units::ready(units.map(unit)))
    }
}
