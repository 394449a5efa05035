//! A pipeline's operators, each on the backend that has it.

use std::sync::Arc;

use super::{Place, QueryRun};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Meter, StepKind};
use crate::operators::{Fold, Operator, OperatorSpec, Partition, Transform};
use crate::options::FallbackMode;
use crate::pipeline::{Pipeline, Source};

/// A transform of a pipeline.
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) transform: Box<dyn Transform>,
    pub(super) spec: OperatorSpec,
    pub(super) meter: Arc<Meter>,
}

/// The fold at the end of a pipeline.
pub(super) struct FoldStep {
    pub(super) place: Place,
    pub(super) fold: Box<dyn Fold>,
    pub(super) spec: OperatorSpec,
    pub(super) meter: Arc<Meter>,
}

/// All operators of a pipeline.
pub(super) struct Steps {
    /// Where the source's batches are made.
    pub(super) source: Place,
    pub(super) source_meter: Arc<Meter>,
    pub(super) transforms: Vec<Step>,
    pub(super) fold: Option<FoldStep>,
}

/// Who runs what, and what is done where the engine's backend refuses.
pub(in crate::engine) struct Backends<'a> {
    pub(in crate::engine) own: &'a dyn Backend,
    pub(in crate::engine) cpu: &'a dyn Backend,
    pub(in crate::engine) mode: FallbackMode,
}

impl Backends<'_> {
    /// An operator of the engine's backend, or, where that refuses and may, of the CPU's with the
    /// refusal.
    ///
    /// # Errors
    /// What either backend says.
    pub(in crate::engine) fn instantiate(
        &self,
        spec: &OperatorSpec,
    ) -> Result<(Place, Operator, Option<Error>)> {
        match self.own.instantiate(spec) {
            Ok(operator) => Ok((Place::Own, operator, None)),
            Err(error) if self.falls_back(&error) => {
                Ok((Place::Cpu, self.cpu.instantiate(spec)?, Some(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Where a pipeline's source makes its batches, and why not on the engine's backend.
    ///
    /// # Errors
    /// The engine's backend refuses, and nothing may take its place.
    pub(in crate::engine) fn source(&self, pipeline: &Pipeline) -> Result<(Place, Option<Error>)> {
        let checked = match &pipeline.source {
            Source::Scan(_) => self.own.check_scan(&pipeline.input),
            // Host rows may stay there until an operator needs them.
            Source::Memory { .. } | Source::Stored(_) | Source::Pipelines(_) => {
                return Ok((Place::Cpu, None));
            }
        };
        match checked {
            Ok(()) => Ok((Place::Own, None)),
            Err(error) if self.falls_back(&error) => Ok((Place::Cpu, Some(error))),
            Err(error) => Err(error),
        }
    }

    /// True if the engine's backend refused, and the CPU's may take its place.
    pub(in crate::engine) fn falls_back(&self, error: &Error) -> bool {
        matches!(error.kind(), ErrorKind::Unsupported { .. }) && self.may_fall_back()
    }

    /// True if the engine's backend cannot go on, where the CPU's may: it refused, or what it works on
    /// does not fit its memory.
    pub(in crate::engine) fn gives_up(&self, error: &Error) -> bool {
        let tier = self.own.tier();
        let short = matches!(error.kind(), ErrorKind::Reservation { tier: full, .. }
            if *full == tier && tier != self.cpu.tier());
        self.falls_back(error) || short && self.may_fall_back()
    }

    fn may_fall_back(&self) -> bool {
        self.own.name() != self.cpu.name() && self.mode != FallbackMode::Raise
    }
}

impl Steps {
    /// Makes the operators of a pipeline, `number` from 1.
    ///
    /// # Errors
    /// `Unsupported` for what no backend may run.
    pub(super) fn new(run: &QueryRun, number: usize, pipeline: &Pipeline) -> Result<Steps> {
        let (source, refusal) = match run.forced(number) {
            Some(reason) => (Place::Cpu, Some(reason.clone())),
            None => {
                let (place, refusal) = run.backends().source(pipeline)?;
                (
                    place,
                    refusal.map(|error| run.note_fallback(number, &error)),
                )
            }
        };
        let place = matches!(pipeline.source, Source::Scan(_)).then_some(source);
        let kind = (StepKind::Source, pipeline.source.name());
        let source_meter = run.meter((number, 0), kind, place, refusal);
        let mut transforms = Vec::with_capacity(pipeline.transforms.len());
        for (transform, step) in pipeline.transforms.iter().zip(1..) {
            let (place, operator, reason) = instantiate(run, number, &transform.spec)?;
            let Operator::Transform(operator) = operator else {
                return Err(wrong(&transform.spec, "transform"));
            };
            let kind = (StepKind::Transform, transform.spec.name());
            transforms.push(Step {
                place,
                transform: operator,
                spec: transform.spec.clone(),
                meter: run.meter((number, step), kind, Some(place), reason),
            });
        }
        let fold = pipeline.fold.as_ref().map(|spec| {
            let (place, fold, reason) = make_fold(run, number, spec)?;
            let kind = (StepKind::Fold, spec.name());
            Ok::<_, Error>(FoldStep {
                place,
                fold,
                spec: spec.clone(),
                meter: run.meter((number, transforms.len() + 1), kind, Some(place), reason),
            })
        });
        Ok(Steps {
            source,
            source_meter,
            fold: fold.transpose()?,
            transforms,
        })
    }

    /// Puts the exact rows of a batch that has come to the host behind the first `until` transforms in
    /// the place of their bound: those of the last one, and of what gives as many rows as it takes.
    pub(super) fn resolve(&self, until: usize, bound: u64, exact: u64) {
        for step in self.transforms[..until].iter().rev() {
            step.meter.resolve_given(bound, exact);
            if !matches!(step.spec, OperatorSpec::Project(_)) {
                return;
            }
            step.meter.resolve_taken(bound, exact);
        }
        self.source_meter.resolve_given(bound, exact);
    }
}

/// Makes a fold that works for another one, and counts as a part of it.
///
/// # Errors
/// `Unsupported` if no backend may run it.
pub(super) fn fold(
    run: &QueryRun,
    number: usize,
    spec: OperatorSpec,
    meter: &Arc<Meter>,
) -> Result<FoldStep> {
    let (place, fold, _) = make_fold(run, number, &spec)?;
    Ok(FoldStep {
        place,
        fold,
        spec,
        meter: Arc::clone(meter),
    })
}

/// A fold, with the reason if it is not the engine's own backend that makes it.
fn make_fold(
    run: &QueryRun,
    number: usize,
    spec: &OperatorSpec,
) -> Result<(Place, Box<dyn Fold>, Option<String>)> {
    match instantiate(run, number, spec)? {
        (place, Operator::Fold(fold), reason) => Ok((place, fold, reason)),
        _ => Err(wrong(spec, "fold")),
    }
}

/// Makes an operator that splits batches.
///
/// # Errors
/// `Unsupported` if no backend may run it.
pub(super) fn partition(
    run: &QueryRun,
    number: usize,
    spec: &OperatorSpec,
) -> Result<(Place, Box<dyn Partition>)> {
    match instantiate(run, number, spec)? {
        (place, Operator::Partition(partition), _) => Ok((place, partition)),
        _ => Err(wrong(spec, "partition")),
    }
}

/// As [`partition`], on the CPU backend.
///
/// # Errors
/// `Unsupported` if it cannot run it.
pub(super) fn partition_on_cpu(run: &QueryRun, spec: &OperatorSpec) -> Result<Box<dyn Partition>> {
    match run.cpu.instantiate(spec)? {
        Operator::Partition(partition) => Ok(partition),
        _ => Err(wrong(spec, "partition")),
    }
}

fn instantiate(
    run: &QueryRun,
    number: usize,
    spec: &OperatorSpec,
) -> Result<(Place, Operator, Option<String>)> {
    if let Some(reason) = run.forced(number) {
        return Ok((Place::Cpu, run.cpu.instantiate(spec)?, Some(reason.clone())));
    }
    let (place, operator, refusal) = run.backends().instantiate(spec)?;
    let reason = refusal.map(|error| run.note_fallback(number, &error));
    Ok((place, operator, reason))
}

fn wrong(spec: &OperatorSpec, role: &str) -> Error {
    let place = format!("operator {}", spec.name());
    Error::invalid(place, format!("no backend made a {role} of it"), "")
}
