//! How a command ends when it cannot do what it was asked: one line, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::terminal::Terminal;

/// Exit codes. `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The query, a file or the machine failed.
    Failed = 1,
    /// The command line asks for what cannot be.
    Usage = 2,
    /// A GPU was asked for and none is usable.
    NoDevice = 3,
    /// Somebody pressed Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// To be told in one line.
    Told {
        /// The exit code.
        exit: Exit,
        /// Cause and place.
        message: String,
        /// Lines of the text that it is about, with a mark under the place, to stand below.
        excerpt: Option<String>,
    },
    /// Everything was told already, line by line.
    Quiet(Exit),
    /// Nobody reads our output any more: that is the reader's right, and no failure.
    ReaderGone,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl fmt::Display) -> Self {
        Failure::Told {
            exit: Exit::Failed,
            message: message.to_string(),
            excerpt: None,
        }
    }

    /// A failure of the command line, with exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Failure::Told {
            exit: Exit::Usage,
            message: message.to_string(),
            excerpt: None,
        }
    }

    /// The same of a part of the work, which its line names.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn within(self, part: impl fmt::Display) -> Self {
        match self {
            Failure::Told {
                exit,
                message,
                excerpt,
            } => Failure::Told {
                exit,
                message: format!("{part}: {message}"),
                excerpt,
            },
            other => other,
        }
    }

    /// Tells it; the exit code of who ends because of it.
    pub fn tell(&self, terminal: Terminal) -> ExitCode {
        match self {
            Failure::ReaderGone => ExitCode::SUCCESS,
            Failure::Quiet(exit) => (*exit).into(),
            Failure::Told {
                exit,
                message,
                excerpt,
            } => {
                terminal.error(message, excerpt.as_deref());
                (*exit).into()
            }
        }
    }

    /// A path that the system refuses.
    pub fn path(operation: &str, path: &Path, cause: impl fmt::Display) -> Self {
        Failure::new(format_args!(
            "cannot {operation} {}: {cause}",
            path.display()
        ))
    }
}

/// Output that failed: a reader that went away, or a full disk.
impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            Failure::ReaderGone
        } else {
            Failure::new(format_args!("cannot write: {cause}"))
        }
    }
}
