//! What can be wrong with a file, by who can react, and panics turned into it.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

/// Why a file gave no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file does not hold what its format promises.
    Corrupt,
    /// The file may be in order, but this program cannot read it.
    Unsupported,
    /// The file is encrypted.
    Encrypted,
    /// The file could not be read at all.
    Io,
    /// Decoding would pass the memory limit.
    Memory,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Encrypted => "encrypted",
            Kind::Io => "io",
            Kind::Memory => "memory",
        })
    }
}

/// A kind and one line about it.
#[derive(Debug)]
pub struct Problem {
    /// Who can react.
    pub kind: Kind,
    /// Cause and place, on one line.
    pub message: String,
}

impl Problem {
    /// A problem; line ends in the message become spaces.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let words: Vec<&str> = message.split_whitespace().collect();
        Problem {
            kind,
            message: words.join(" "),
        }
    }

    /// A file that the system refuses.
    pub fn io(operation: &str, cause: &std::io::Error) -> Self {
        Problem::new(Kind::Io, format_args!("cannot {operation}: {cause}"))
    }
}

impl From<ParquetError> for Problem {
    fn from(cause: ParquetError) -> Self {
        let kind = match &cause {
            ParquetError::NYI(_) => Kind::Unsupported,
            ParquetError::External(inner) if inner.is::<std::io::Error>() => Kind::Io,
            _ => Kind::Corrupt,
        };
        Problem::new(kind, cause)
    }
}

impl From<ArrowError> for Problem {
    fn from(cause: ArrowError) -> Self {
        let kind = match &cause {
            ArrowError::NotYetImplemented(_) => Kind::Unsupported,
            ArrowError::IoError(_, _) => Kind::Io,
            _ => Kind::Corrupt,
        };
        Problem::new(kind, cause)
    }
}

thread_local! {
    /// Whether this thread's panics are answers, not accidents.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that may panic on hostile input, and makes a `corrupt` problem of a panic.
///
/// # Errors
/// What `work` returns, or its panic.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                previous(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Problem::new(
            Kind::Corrupt,
            format_args!("the decoder gave up: {text}"),
        ))
    })
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the panic is the subject")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_corrupt_file_on_one_line() {
        let outcome: Result<(), Problem> = guarded(|| panic!("page\n 3"));
        let problem = outcome.err().map(|problem| problem.message);
        assert_eq!(problem.as_deref(), Some("the decoder gave up: page 3"));
    }
}
