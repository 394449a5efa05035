//! The `parquet` crate's decoder, held at arm's length: whatever it does with hostile bytes, the
//! answer is a value or an error of ours.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;

use crate::error::{Error, Result};

thread_local! {
    /// Whether this thread is in the decoder, so that its panics are answers, not accidents.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread decodes bytes of a file, so that a panic of its is caught and becomes
/// an error. For panic hooks, which may want to say nothing then.
pub fn decoder_is_guarded() -> bool {
    GUARDED.get()
}

/// Runs the decoder on bytes that anybody may have written: its errors and its panics become
/// `Corrupt`, what it has not learnt yet to `Unsupported`. A panic still calls the program's panic
/// hook, which [`decoder_is_guarded`] tells of it.
pub(super) fn guard<T>(
    file: &Path,
    place: impl Into<String>,
    decode: impl FnOnce() -> parquet::errors::Result<T>,
) -> Result<T> {
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(outer);
    match outcome {
        Ok(Ok(decoded)) => Ok(decoded),
        Ok(Err(ParquetError::NYI(cause))) => Err(Error::unsupported(
            "cpu",
            format!("{}", file.display()),
            one_line(&cause),
        )),
        Ok(Err(cause)) => Err(Error::corrupt(file, place, one_line(&cause.to_string()))),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            let cause = format!("the decoder gave up: {}", one_line(message));
            Err(Error::corrupt(file, place, cause))
        }
    }
}

/// A decoder's message without the names of the types that it was wrapped in.
fn one_line(text: &str) -> String {
    const WRAPPERS: [&str; 6] = [
        "Arrow: ",
        "EOF: ",
        "External: ",
        "General: ",
        "Parquet argument error: ",
        "Parquet error: ",
    ];
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut inner = line.as_str();
    while let Some(stripped) = WRAPPERS
        .iter()
        .find_map(|wrapper| inner.strip_prefix(wrapper))
    {
        inner = stripped;
    }
    inner.to_string()
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the panic is the subject")]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_are_answers_on_one_line() {
        let text = |outcome: Result<()>| outcome.err().map(|error| error.to_string());
        let path = Path::new("a.parquet");
        let panicked = guard(path, "footer", || {
            assert!(decoder_is_guarded());
            panic!("page\n 3")
        });
        let expected = "a.parquet: footer: the decoder gave up: page 3";
        assert_eq!(text(panicked).as_deref(), Some(expected));
        let failed = guard(path, "", || Err(ParquetError::General("no\nluck".into())));
        assert_eq!(text(failed).as_deref(), Some("a.parquet: no luck"));
        let unknown = guard(path, "", || Err(ParquetError::NYI("LZO".into())));
        let expected = "the cpu backend does not support a.parquet: LZO";
        assert_eq!(text(unknown).as_deref(), Some(expected));
        assert!(!decoder_is_guarded());
    }
}
