//! What goes wrong on an emulated device.

use std::error::Error;
use std::fmt;

/// What kind of thing went wrong; who can react is in each variant's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SimtErrorKind {
    /// The device has not enough memory left, or the options made this allocation fail.
    OutOfMemory,
    /// No kernel source has an entry of this name.
    UnknownEntry,
    /// The launch struct passed is not as large as the one the entry takes.
    ParamsSize,
    /// Grid, block or shared memory beyond what a device, or `__launch_bounds__`, allows.
    LaunchShape,
    /// A pointer that no live allocation of the device covers was passed to the device's own functions.
    InvalidPointer,
    /// A stream or event that does not exist.
    InvalidHandle,
    /// The options made this copy fail.
    CopyFailed,
    /// A kernel accessed memory outside a buffer, null, misaligned, or before or after its life.
    Memcheck,
    /// A kernel read bytes that nobody wrote.
    Initcheck,
    /// Two threads accessed the same bytes, one of them writing, with nothing that orders them.
    Racecheck,
    /// Threads met at different barriers, or named an exited thread in a mask.
    Synccheck,
    /// No thread of a launch can go on.
    Deadlock,
    /// A launch ran for longer than `max_switches` allows.
    Hang,
    /// A kernel used what works on some GPUs only.
    Portability,
    /// A kernel called `__trap`.
    Trap,
}

impl SimtErrorKind {
    /// The word that a report starts with.
    pub fn as_str(self) -> &'static str {
        match self {
            SimtErrorKind::OutOfMemory => "out of memory",
            SimtErrorKind::UnknownEntry => "unknown entry",
            SimtErrorKind::ParamsSize => "params size",
            SimtErrorKind::LaunchShape => "launch shape",
            SimtErrorKind::InvalidPointer => "invalid pointer",
            SimtErrorKind::InvalidHandle => "invalid handle",
            SimtErrorKind::CopyFailed => "copy failed",
            SimtErrorKind::Memcheck => "memcheck",
            SimtErrorKind::Initcheck => "initcheck",
            SimtErrorKind::Racecheck => "racecheck",
            SimtErrorKind::Synccheck => "synccheck",
            SimtErrorKind::Deadlock => "deadlock",
            SimtErrorKind::Hang => "hang",
            SimtErrorKind::Portability => "portability",
            SimtErrorKind::Trap => "trap",
        }
    }
}

/// An error of the emulated device: what, where, and under which seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimtError {
    /// What kind of thing went wrong.
    pub kind: SimtErrorKind,
    /// One line: block, thread, buffer, byte, source line and seed, as far as they apply.
    pub message: String,
    /// The kernel entry that was running, if one was.
    pub entry: Option<String>,
}

impl SimtError {
    pub(crate) fn new(kind: SimtErrorKind, message: impl Into<String>) -> SimtError {
        SimtError { kind, message: message.into(), entry: None }
    }
}

impl fmt::Display for SimtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "{} in {entry}: {}", self.kind.as_str(), self.message),
            None => write!(f, "{}: {}", self.kind.as_str(), self.message),
        }
    }
}

impl Error for SimtError {}
