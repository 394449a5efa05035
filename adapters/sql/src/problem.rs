//! Errors of SQL as Pelton's errors.

use datafusion_common::DataFusionError;
use pelton::error::Error;

/// What the parser, the analyser or the optimiser found.
pub(crate) fn refused(error: &DataFusionError) -> Error {
    let cause = match error.find_root() {
        DataFusionError::SQL(error, _) => error.to_string(),
        DataFusionError::Plan(cause) | DataFusionError::NotImplemented(cause) => cause.clone(),
        DataFusionError::SchemaError(error, _) => error.to_string(),
        other => other.strip_backtrace(),
    };
    Error::invalid("SQL", cause, "")
}

/// A construct that has no translation.
pub(crate) fn unsupported(construct: impl std::fmt::Display) -> Error {
    Error::unsupported(
        "sql",
        "translation",
        format!("{construct} is not supported yet"),
    )
}
