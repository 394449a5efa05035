//! The one error type of the library, named by who can react.
//!
//! Every kind carries the coordinates of what went wrong (a file, a column, an entry, a tier), so
//! that one printed line says what failed, where, and what to do. A room has no error type of its
//! own unless a caller would match on it.

#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::memory::Tier;

/// Result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with its coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that cannot be: an unknown column, a type error, a bad option.
    InvalidInput {
        /// Where: an expression, an option name, an argument.
        place: String,
        /// Why it cannot be.
        cause: String,
        /// What to write instead; may be empty.
        remedy: String,
    },
    /// A backend does not implement an operator, a type or an encoding.
    Unsupported {
        /// The backend that refused: `cpu`, `cuda`.
        backend: &'static str,
        /// The operator or feature.
        operator: String,
        /// Why.
        reason: String,
    },
    /// A file does not hold what its format promises.
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Row group, column or page, as far as known; may be empty.
        place: String,
        /// What is wrong there.
        cause: String,
    },
    /// A file is encrypted; there is no way yet to give keys.
    Encrypted {
        /// The file.
        file: PathBuf,
        /// What of it; may be empty.
        place: String,
    },
    /// A file asks for more than a fixed limit of ours, which keeps hostile files harmless.
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Row group, column or page, as far as known; may be empty.
        place: String,
        /// What is too large, and the limit.
        cause: String,
    },
    /// An allocation would pass a tier's limit.
    Reservation {
        /// The tier that is full.
        tier: Tier,
        /// Bytes asked for.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// The tier's limit in bytes.
        limit: u64,
    },
    /// The device driver refused an operation.
    Device {
        /// The operation: `launch`, `copy`, `alloc`.
        operation: String,
        /// The driver's words.
        cause: String,
    },
    /// No usable device, and one was asked for.
    DeviceNotFound {
        /// Why none is usable.
        cause: String,
    },
    /// A kernel reported a status other than success.
    Kernel {
        /// Entry point.
        entry: &'static str,
        /// The status, spelled out.
        status: String,
        /// Its argument: a row, an offset, rows needed.
        argument: u64,
    },
    /// Kernels were neither compiled at build time nor can be compiled now.
    KernelsNotBuilt {
        /// What was looked for.
        cause: String,
    },
    /// An expression failed on a value: overflow, division by zero, an impossible cast.
    Arithmetic {
        /// The expression.
        operation: String,
        /// Overflow, division by zero, and so on.
        cause: String,
    },
    /// Another rank died or left.
    PeerLost {
        /// The rank.
        rank: u32,
    },
    /// A file could not be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation: `open`, `read`, `write`.
        operation: &'static str,
        /// The system's words.
        cause: String,
    },
    /// The query took longer than its caller allowed.
    DeadlinePassed {
        /// The time from its start to its deadline.
        allowed: Duration,
    },
    /// The query was cancelled, or one of its actors ended early.
    Cancelled {
        /// Who ended it.
        cause: String,
    },
    /// Code panicked: a defect of it, and never of the data. The query has ended, the engine goes on.
    Panicked {
        /// What the panic says.
        message: String,
    },
}

/// An [`ErrorKind`] with the steps that led to it.
#[derive(Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    context: Vec<String>,
    excerpt: Option<Box<str>>,
}

impl Error {
    /// An error of this kind, with no context yet.
    pub fn new(kind: ErrorKind) -> Self {
        Error {
            kind: Box::new(kind),
            context: Vec::new(),
            excerpt: None,
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Adds the step that was under way; the innermost step is added first.
    #[must_use]
    pub fn context(mut self, step: impl Into<String>) -> Self {
        self.context.push(step.into());
        self
    }

    /// Adds the lines of a text that the error is about, with a mark under the place. They are no part
    /// of the printed line.
    #[must_use]
    pub fn with_excerpt(mut self, lines: impl Into<Box<str>>) -> Self {
        self.excerpt = Some(lines.into());
        self
    }

    /// The lines of the text that the error is about, if it is about a text.
    pub fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// Whether this is the last step that was added.
    pub(crate) fn is_in(&self, step: &str) -> bool {
        self.context.last().is_some_and(|last| last == step)
    }

    /// An [`ErrorKind::InvalidInput`].
    pub fn invalid(
        place: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Error::new(ErrorKind::InvalidInput {
            place: place.into(),
            cause: cause.into(),
            remedy: remedy.into(),
        })
    }

    /// An [`ErrorKind::Unsupported`].
    pub fn unsupported(
        backend: &'static str,
        operator: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Error::new(ErrorKind::Unsupported {
            backend,
            operator: operator.into(),
            reason: reason.into(),
        })
    }

    /// An [`ErrorKind::Io`] about one path.
    pub fn io(path: impl AsRef<Path>, operation: &'static str, cause: &std::io::Error) -> Self {
        Error::new(ErrorKind::Io {
            path: path.as_ref().to_path_buf(),
            operation,
            cause: cause.to_string(),
        })
    }

    /// An [`ErrorKind::Corrupt`].
    pub fn corrupt(
        file: impl AsRef<Path>,
        place: impl Into<String>,
        cause: impl fmt::Display,
    ) -> Self {
        Error::new(ErrorKind::Corrupt {
            file: file.as_ref().to_path_buf(),
            place: place.into(),
            cause: cause.to_string(),
        })
    }

    /// An [`ErrorKind::Panicked`], of what a caught panic carries.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Error::new(ErrorKind::Panicked {
            message: message.to_string(),
        })
    }

    /// An [`ErrorKind::Arithmetic`].
    pub fn arithmetic(operation: impl Into<String>, cause: impl Into<String>) -> Self {
        Error::new(ErrorKind::Arithmetic {
            operation: operation.into(),
            cause: cause.into(),
        })
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, file: &Path, place: &str) -> fmt::Result {
    write!(f, "{}: ", file.display())?;
    if place.is_empty() {
        return Ok(());
    }
    write!(f, "{place}: ")
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::InvalidInput {
                place,
                cause,
                remedy,
            } => {
                write!(f, "{place}: {cause}")?;
                if remedy.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; {remedy}")
                }
            }
            ErrorKind::Unsupported {
                backend,
                operator,
                reason,
            } => {
                write!(
                    f,
                    "the {backend} backend does not support {operator}: {reason}"
                )
            }
            ErrorKind::Corrupt { file, place, cause } => {
                write_place(f, file, place)?;
                write!(f, "{cause}")
            }
            ErrorKind::Encrypted { file, place } => {
                write_place(f, file, place)?;
                write!(f, "encrypted; write the file anew without encryption")
            }
            ErrorKind::TooLarge { file, place, cause } => {
                write_place(f, file, place)?;
                write!(f, "{cause}; write the file anew in smaller parts")
            }
            ErrorKind::Reservation {
                tier,
                needed,
                used,
                limit,
            } => write!(
                f,
                "{tier} memory: {needed} bytes needed, {used} of {limit} in use; \
                 raise `{}` by {} or lower `target_partition_size`",
                tier.limit_option(),
                used.saturating_add(*needed).saturating_sub(*limit)
            ),
            ErrorKind::Device { operation, cause } => write!(f, "device {operation}: {cause}"),
            ErrorKind::DeviceNotFound { cause } => {
                write!(
                    f,
                    "no usable CUDA device: {cause}; use the backend `cpu` or `auto`"
                )
            }
            ErrorKind::Kernel {
                entry,
                status,
                argument,
            } => {
                write!(f, "kernel {entry}: {status} (argument {argument})")
            }
            ErrorKind::KernelsNotBuilt { cause } => write!(
                f,
                "no CUDA kernels: {cause}; build with nvcc (see `cargo xtask cuda`) or install NVRTC"
            ),
            ErrorKind::Arithmetic { operation, cause } => write!(f, "{operation}: {cause}"),
            ErrorKind::PeerLost { rank } => write!(f, "rank {rank} is lost"),
            ErrorKind::Io {
                path,
                operation,
                cause,
            } => {
                write!(f, "cannot {operation} {}: {cause}", path.display())
            }
            ErrorKind::DeadlinePassed { allowed } => {
                write!(f, "the deadline of {allowed:?} has passed; allow more time")
            }
            ErrorKind::Cancelled { cause } => write!(f, "cancelled: {cause}"),
            ErrorKind::Panicked { message } => {
                write!(f, "panicked: {message}; this is a defect, please report it")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.context.iter().rev() {
            write!(f, "{step}: ")?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        Error::io("(unnamed file)", "use", &cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_cause_and_remedy() {
        let error = Error::invalid("column `x`", "not in the schema", "the columns are a, b")
            .context("filter");
        assert_eq!(
            error.to_string(),
            "filter: column `x`: not in the schema; the columns are a, b"
        );
    }
    #[test]
    fn files_are_named_with_what_to_do() {
        let file = PathBuf::from("a.parquet");
        let place = "footer".to_string();
        let encrypted = ErrorKind::Encrypted {
            file: file.clone(),
            place: place.clone(),
        };
        assert_eq!(
            encrypted.to_string(),
            "a.parquet: footer: encrypted; write the file anew without encryption"
        );
        let cause = "has 9 bytes; the limit is 8".to_string();
        let large = ErrorKind::TooLarge { file, place, cause };
        assert_eq!(
            large.to_string(),
            "a.parquet: footer: has 9 bytes; the limit is 8; write the file anew in smaller parts"
        );
    }
}
