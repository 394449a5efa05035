//! What can be wrong with a file, in one word for programs, and panics turned into it.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use pelton::ErrorKind;

/// Why a file gave no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The file does not hold what its format promises.
    Corrupt,
    /// The file may be in order, but the backend cannot read it.
    Unsupported,
    /// The file is encrypted.
    Encrypted,
    /// The file could not be read at all.
    Io,
    /// Decoding would pass a limit.
    Memory,
}

impl Kind {
    /// The kind of an error about a file; `None` if it is about the machine or this program.
    fn of(error: &ErrorKind) -> Option<Kind> {
        Some(match error {
            ErrorKind::Corrupt { .. } => Kind::Corrupt,
            ErrorKind::Unsupported { .. } | ErrorKind::InvalidInput { .. } => Kind::Unsupported,
            ErrorKind::Encrypted { .. } => Kind::Encrypted,
            ErrorKind::Io { .. } => Kind::Io,
            ErrorKind::Reservation { .. } | ErrorKind::TooLarge { .. } => Kind::Memory,
            _ => return None,
        })
    }
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

    /// The engine's error about a file, without the file's name.
    ///
    /// # Errors
    /// The error, if it is about something else.
    pub fn of(path: &Path, error: pelton::Error) -> Result<Problem, pelton::Error> {
        let Some(kind) = Kind::of(error.kind()) else {
            return Err(error);
        };
        let text = error.to_string();
        let name = format!("{}: ", path.display());
        Ok(Problem::new(
            kind,
            text.strip_prefix(&name).unwrap_or(&text),
        ))
    }
}

thread_local! {
    /// Whether this thread's panics are answers, not accidents.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Says nothing about panics that become errors: those of [`guarded`] work, and of the decoder on
/// whatever thread.
pub fn silence_caught_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() && !pelton::storage::decoder_is_guarded() {
                previous(info);
            }
        }));
    });
}

/// Runs code that may panic on hostile input, and makes a `corrupt` problem of a panic.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
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
            format_args!("its rows cannot be: {text}"),
        ))
    })
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the panic is the subject")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_corrupt_file_on_one_line() {
        silence_caught_panics();
        let outcome: Result<(), Problem> = guarded(|| panic!("page\n 3"));
        let problem = outcome.err().map(|problem| problem.message);
        assert_eq!(problem.as_deref(), Some("its rows cannot be: page 3"));
    }

    #[test]
    fn errors_about_files_lose_the_files_name_and_others_stay_errors() {
        let path = Path::new("a.parquet");
        let corrupt = pelton::Error::corrupt(path, "footer", "has no end");
        let problem = Problem::of(path, corrupt).map(|problem| (problem.kind, problem.message));
        assert_eq!(
            problem.ok(),
            Some((Kind::Corrupt, "footer: has no end".into()))
        );
        let lost = pelton::Error::new(ErrorKind::PeerLost { rank: 1 });
        assert!(Problem::of(path, lost).is_err());
    }
}
