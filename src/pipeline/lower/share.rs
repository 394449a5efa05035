//! What a plan has more than once, and what is built more than once, is lowered once.
//!
//! Two steps, for two sizes of sharing. Equal subplans that end somewhere in a breaker are found in the
//! plan ([`Shared`]): their one pipeline leaves the columns that any of their readers wants. Equal
//! build sides are found among the pipelines ([`merge_builds`]): those may be plain scans, of which
//! the table of keys is what is worth sharing.

use std::collections::BTreeSet;

use super::super::{Pipeline, Source};
use super::Lowering;
use super::columns::{columns_of, projected};
use crate::error::Result;
use crate::operators::OperatorSpec;
use crate::plan::LogicalPlan;
use crate::types::SchemaRef;

/// A subplan that stands in a plan more than once.
pub(super) struct Shared<'p> {
    plan: &'p LogicalPlan,
    /// Columns that some reader wants, as far as is known.
    wanted: BTreeSet<String>,
    /// Its pipeline and what that leaves, once it is lowered.
    lowered: Option<(usize, SchemaRef)>,
}

impl<'p> Shared<'p> {
    /// The largest subplans that a plan has more than once.
    pub(super) fn find(plan: &'p LogicalPlan) -> Vec<Shared<'p>> {
        let mut seen = Vec::new();
        count(plan, &mut seen);
        let shared = |&(plan, times): &(&'p LogicalPlan, usize)| {
            (times > 1).then_some(Shared {
                plan,
                wanted: BTreeSet::new(),
                lowered: None,
            })
        };
        seen.iter().filter_map(shared).collect()
    }

    /// The same before it was lowered, with what its readers turned out to want.
    pub(super) fn again(self) -> Shared<'p> {
        Shared {
            lowered: None,
            ..self
        }
    }
}

/// Counts subplans with breakers; below one that was seen, nothing is seen twice.
fn count<'p>(plan: &'p LogicalPlan, seen: &mut Vec<(&'p LogicalPlan, usize)>) {
    if !has_breaker(plan) {
        return;
    }
    if let Some((_, times)) = seen.iter_mut().find(|(have, _)| *have == plan) {
        *times += 1;
        return;
    }
    seen.push((plan, 1));
    for input in plan.inputs() {
        count(input, seen);
    }
}

/// Whether a plan has a step that sees all rows before it gives any, or one that picks rows as it
/// likes: a limit, whose readers ought to see the same ones.
fn has_breaker(plan: &LogicalPlan) -> bool {
    let own = matches!(
        plan,
        LogicalPlan::Aggregate { .. }
            | LogicalPlan::Distinct { .. }
            | LogicalPlan::Join { .. }
            | LogicalPlan::Sort { .. }
            | LogicalPlan::Window { .. }
            | LogicalPlan::Limit { .. }
    );
    own || plan.inputs().into_iter().any(has_breaker)
}

impl Lowering<'_> {
    /// Which of the shared subplans this is.
    pub(super) fn shared_place(&self, plan: &LogicalPlan) -> Option<usize> {
        self.shared.iter().position(|shared| shared.plan == plan)
    }

    /// Reads a shared subplan, which is lowered where it is first wanted. A reader that wants what was
    /// not lowered has everything lowered once more.
    pub(super) fn shared_step(
        &mut self,
        place: usize,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let shared = &mut self.shared[place];
        if !wanted.is_subset(&shared.wanted) {
            shared.wanted.extend(wanted.iter().cloned());
            self.incomplete |= shared.lowered.is_some();
        }
        let (number, schema) = match &shared.lowered {
            Some(lowered) => lowered.clone(),
            None => {
                let (plan, all) = (shared.plan, shared.wanted.clone());
                let schema = self.own_step(plan, &all)?;
                let lowered = (self.close(), schema);
                self.shared[place].lowered = Some(lowered.clone());
                lowered
            }
        };
        let mut reader = Pipeline::new(Source::Pipelines(vec![number]), &schema);
        reader.ordered = self.done.get(number).is_some_and(Pipeline::gives_order);
        self.current = Some(reader);
        let columns = columns_of(&schema, wanted)?;
        let output = projected(&schema, &columns);
        self.pick(&schema, &columns, &output);
        Ok(output)
    }
}

/// Pipelines that end in a build and do the same as one before them are left out; whoever needs what
/// they built takes that one's.
pub(super) fn merge_builds(pipelines: Vec<Pipeline>) -> Vec<Pipeline> {
    let mut kept: Vec<Pipeline> = Vec::with_capacity(pipelines.len());
    let mut numbers = Vec::with_capacity(pipelines.len());
    for mut pipeline in pipelines {
        renumber(&mut pipeline, &numbers);
        let same = kept
            .iter()
            .position(|have| builds_the_same(have, &pipeline));
        numbers.push(same.unwrap_or(kept.len()));
        if same.is_none() {
            kept.push(pipeline);
        }
    }
    kept
}

fn renumber(pipeline: &mut Pipeline, numbers: &[usize]) {
    let renumber = |number: &mut usize| *number = numbers.get(*number).copied().unwrap_or(*number);
    if let Source::Pipelines(sources) = &mut pipeline.source {
        sources.iter_mut().for_each(renumber);
    }
    let transforms = pipeline.transforms.iter_mut();
    transforms
        .filter_map(|transform| transform.built.as_mut())
        .for_each(renumber);
}

fn builds_the_same(one: &Pipeline, other: &Pipeline) -> bool {
    let folds = match (&one.fold, &other.fold) {
        (Some(OperatorSpec::HashJoinBuild(a)), Some(OperatorSpec::HashJoinBuild(b))) => {
            a.builds_for(b)
        }
        (
            Some(OperatorSpec::NestedLoopJoinBuild(a)),
            Some(OperatorSpec::NestedLoopJoinBuild(b)),
        ) => a.builds_for(b),
        _ => false,
    };
    folds
        && one.source == other.source
        && one.input == other.input
        && one.transforms == other.transforms
        && one.limit.is_none()
        && other.limit.is_none()
        && one.ordered == other.ordered
}
