//! A pipeline's operators, each on the backend that has it.

use super::{Place, QueryRun};
use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::operators::{Fold, Operator, OperatorSpec, Partition, Transform};
use crate::options::FallbackMode;
use crate::pipeline::{Pipeline, Source};

/// A transform of a pipeline.
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) transform: Box<dyn Transform>,
    pub(super) spec: OperatorSpec,
}

/// The fold at the end of a pipeline.
pub(super) struct FoldStep {
    pub(super) place: Place,
    pub(super) fold: Box<dyn Fold>,
    pub(super) spec: OperatorSpec,
}

/// All operators of a pipeline.
pub(super) struct Steps {
    /// Where the source's batches are made.
    pub(super) source: Place,
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
            true => (Place::Cpu, None),
            false => run.backends().source(pipeline)?,
        };
        if let Some(error) = refusal {
            run.note_fallback(number, &error);
        }
        let mut transforms = Vec::with_capacity(pipeline.transforms.len());
        for transform in &pipeline.transforms {
            let (place, operator) = instantiate(run, number, &transform.spec)?;
            let Operator::Transform(operator) = operator else {
                return Err(wrong(&transform.spec, "transform"));
            };
            transforms.push(Step {
                place,
                transform: operator,
                spec: transform.spec.clone(),
            });
        }
        let fold = pipeline.fold.as_ref().map(|spec| fold(run, number, spec));
        Ok(Steps {
            source,
            transforms,
            fold: fold.transpose()?,
        })
    }
}

/// Makes a fold.
///
/// # Errors
/// `Unsupported` if no backend may run it.
pub(super) fn fold(run: &QueryRun, number: usize, spec: &OperatorSpec) -> Result<FoldStep> {
    let (place, operator) = instantiate(run, number, spec)?;
    match operator {
        Operator::Fold(fold) => Ok(FoldStep {
            place,
            fold,
            spec: spec.clone(),
        }),
        Operator::Transform(_) | Operator::Partition(_) => Err(wrong(spec, "fold")),
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
        (place, Operator::Partition(partition)) => Ok((place, partition)),
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

fn instantiate(run: &QueryRun, number: usize, spec: &OperatorSpec) -> Result<(Place, Operator)> {
    if run.forced(number) {
        return Ok((Place::Cpu, run.cpu.instantiate(spec)?));
    }
    let (place, operator, refusal) = run.backends().instantiate(spec)?;
    if let Some(error) = refusal {
        run.note_fallback(number, &error);
    }
    Ok((place, operator))
}

fn wrong(spec: &OperatorSpec, role: &str) -> Error {
    let place = format!("operator {}", spec.name());
    Error::invalid(place, format!("no backend made a {role} of it"), "")
}
