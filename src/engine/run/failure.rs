//! What a failure says of where it happened: the operator and the pipeline, as `explain` has them.
//!
//! Errors of files, columns and expressions name these themselves. What is told here is where memory
//! was short, a device failed or code panicked.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::QueryRun;
use crate::error::{Error, ErrorKind, Result};

/// Most pipelines that are told to have been under way when a query was ended.
const PIPELINES_TOLD_MAX: usize = 3;

/// Whether an error says nothing of where it happened.
fn is_placeless(error: &Error) -> bool {
    use ErrorKind::{Device, Kernel, Reservation};
    matches!(
        error.kind(),
        Reservation { .. } | Device { .. } | Kernel { .. }
    )
}

/// The error with the step in which it happened, once.
pub(super) fn in_step(error: Error, step: impl Display) -> Error {
    let step = step.to_string();
    match is_placeless(&error) && !error.is_in(&step) {
        true => error.context(step),
        false => error,
    }
}

/// The error with the pipeline in which it happened.
pub(super) fn in_pipeline(error: Error, number: usize) -> Error {
    in_step(error, format_args!("pipeline {number}"))
}

/// Does an operator's work: its error has the operator's name, and so has its panic.
///
/// # Errors
/// The work's; `Panicked`.
pub(super) fn working<T>(operator: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whatever state a panic leaves behind ends with the query.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(worked) => worked.map_err(|error| in_step(error, operator)),
        Err(panic) => Err(Error::panicked(&*panic).context(operator)),
    }
}

/// Brings rows back from wherever they were spilled to, within a step's work: an error of a spill file
/// has no other name than that of who needs the rows.
///
/// # Errors
/// The work's.
pub(super) fn bringing_back<T>(
    operator: &str,
    number: usize,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    work().map_err(|error| match error.kind() {
        ErrorKind::Io { .. } | ErrorKind::Corrupt { .. } => error
            .context(operator)
            .context(format!("pipeline {number}")),
        _ => error,
    })
}

impl QueryRun {
    /// The error of a query that was ended from outside, with the pipelines that were under way.
    pub(in crate::engine) fn with_pipelines(&self, error: Error) -> Error {
        use ErrorKind::{Cancelled, DeadlinePassed};
        if !matches!(error.kind(), Cancelled { .. } | DeadlinePassed { .. }) {
            return error;
        }
        let under_way = self.under_way();
        let told = under_way.iter().take(PIPELINES_TOLD_MAX);
        let mut told: Vec<String> = told
            .filter_map(|number| {
                let pipeline = self.pipelines.get(number.checked_sub(1)?)?;
                let operators: Vec<_> = pipeline.operators().collect();
                Some(format!("pipeline {number} ({})", operators.join(", ")))
            })
            .collect();
        match under_way.len().saturating_sub(PIPELINES_TOLD_MAX) {
            0 => {}
            more => told.push(format!("{more} more")),
        }
        match told.is_empty() {
            true => error,
            false => error.context(told.join(", ")),
        }
    }
}
