//! Errors of SQL as Pelton's errors.

use arrow::error::ArrowError;
use datafusion_common::utils::datafusion_strsim::levenshtein;
use datafusion_common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::Location;
use pelton::error::{Error, ErrorKind};

use crate::source::{SQL, Source};

/// Most names that an error lists.
const LISTED_MAX: usize = 24;

/// How the planner says that a function takes no such operands, and which it takes.
const NO_SIGNATURE: &str = "No function matches the given name and argument types '";
const CANDIDATES: &str = "Candidate functions:";

/// How the planner says that it has not got something.
const NOT_IMPLEMENTED: [&str; 3] = [
    " is not yet supported",
    " is not supported yet",
    " is not implemented",
];

/// How the planner's error about an unknown function begins.
const NO_FUNCTION: &str = "Invalid function '";

/// What the parser, the analyser or the optimiser found.
pub(crate) fn refused(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(cause) => match cause.downcast_ref::<Error>() {
            Some(error) => Error::new(error.kind().clone()),
            None => Error::invalid(SQL, cause.to_string(), ""),
        },
        DataFusionError::SQL(error, _) => Error::invalid(SQL, syntax_parts(error).0, ""),
        DataFusionError::SchemaError(cause, _) => schema(cause, error.diagnostic()),
        DataFusionError::ArrowError(cause, _) => match cause.as_ref() {
            ArrowError::DivideByZero => Error::arithmetic("a constant", "division by zero"),
            ArrowError::ArithmeticOverflow(what) => Error::arithmetic("a constant", what.clone()),
            other => Error::invalid(SQL, other.to_string(), ""),
        },
        DataFusionError::NotImplemented(what) => {
            let what = line(what);
            let said = NOT_IMPLEMENTED
                .iter()
                .find_map(|end| what.strip_suffix(end));
            unsupported(said.unwrap_or(&what))
        }
        DataFusionError::Plan(cause) => match error.diagnostic() {
            Some(diagnostic) if !diagnostic.helps.is_empty() => {
                let helps = diagnostic.helps.iter().map(|help| line(&help.message));
                let helps = helps.collect::<Vec<_>>().join("; ");
                Error::invalid(SQL, line(&diagnostic.message), helps)
            }
            _ => planning(cause),
        },
        other => planning(&other.strip_backtrace()),
    }
}

/// The same with its place in the text, as far as it is known, and for a function that does not exist
/// the nearest of `functions`.
pub(crate) fn placed(error: &DataFusionError, source: &Source<'_>, functions: &[&str]) -> Error {
    if let DataFusionError::SQL(error, _) = error.find_root() {
        return syntax(error, source);
    }
    let refused = refused(error);
    let refused = match refused.kind() {
        ErrorKind::InvalidInput { cause, .. } => match unknown_function(cause) {
            Some(name) => {
                let remedy = suggestion(name, functions, "");
                Error::invalid(SQL, format!("there is no function `{name}`"), remedy)
            }
            None => refused,
        },
        _ => refused,
    };
    let span = error.diagnostic().and_then(span_of);
    match span {
        Some(span) => source.placed(refused, Some(span)),
        None => mentioned(refused, source, functions),
    }
}

/// An error that does not know its place, with the place that it talks about.
pub(crate) fn mentioned(error: Error, source: &Source<'_>, functions: &[&str]) -> Error {
    let span = match error.kind() {
        ErrorKind::InvalidInput { cause, remedy, .. } => {
            let cause = source.mention(cause, functions);
            cause.or_else(|| source.mention(remedy, functions))
        }
        ErrorKind::Unsupported { reason, .. } => source.mention(reason, functions),
        other => source.mention(&other.to_string(), functions),
    };
    source.placed(error, span)
}

/// What the planner says: of a call whose operands do not fit, the call and what would fit.
fn planning(cause: &str) -> Error {
    let call = cause.split_once(NO_SIGNATURE).and_then(|(_, rest)| {
        let (call, rest) = rest.split_once('\'')?;
        let (_, candidates) = rest.split_once(CANDIDATES)?;
        Some((call, candidates))
    });
    let Some((call, candidates)) = call else {
        return Error::invalid(SQL, line(cause), "");
    };
    let candidates = candidates.lines().map(str::trim);
    let candidates: Vec<&str> = candidates.filter(|one| !one.is_empty()).collect();
    let remedy = format!("there is {}", candidates.join(", "));
    Error::invalid(SQL, format!("there is no {call}"), remedy)
}

/// What the parser found, with its place.
pub(crate) fn syntax(error: &ParserError, source: &Source<'_>) -> Error {
    let (cause, location) = syntax_parts(error);
    let span = match location {
        Some(location) => source.token_at(location),
        None => source.end(),
    };
    source.placed(Error::invalid(SQL, cause, ""), Some(span))
}

/// What the parser says, and the place that it writes behind that.
fn syntax_parts(error: &ParserError) -> (String, Option<Location>) {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return ("is nested too deeply to be read".to_string(), None);
        }
    };
    let place = message
        .rsplit_once(" at Line: ")
        .and_then(|(cause, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            let location = Location::of(line.parse().ok()?, column.parse().ok()?);
            Some((cause, location))
        });
    match place {
        Some((cause, location)) => (expected(cause), Some(location)),
        None => (expected(message), None),
    }
}

/// The parser's `Expected: this, found: that` as a sentence.
fn expected(message: &str) -> String {
    let parts = message.strip_prefix("Expected: ");
    match parts.and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => format!("{} is missing at the end", sign(expected)),
        Some((expected, found)) => {
            format!("{} is expected where `{found}` stands", sign(expected))
        }
        None => line(message),
    }
}

/// A sign in quotes, words as they are.
fn sign(expected: &str) -> String {
    match expected.starts_with(|c: char| c.is_ascii_punctuation()) {
        true => format!("`{expected}`"),
        false => expected.to_string(),
    }
}

/// A message on one line.
fn line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ")
}

fn unknown_function(cause: &str) -> Option<&str> {
    let (name, _) = cause.strip_prefix(NO_FUNCTION)?.split_once('\'')?;
    Some(name)
}

/// Where a diagnostic points; its notes point at parts of the same.
fn span_of(diagnostic: &Diagnostic) -> Option<Span> {
    let notes = diagnostic.notes.iter().map(|note| note.span);
    let mut spans = std::iter::once(diagnostic.span).chain(notes);
    spans.find_map(|span| span)
}

fn schema(cause: &SchemaError, diagnostic: Option<&Diagnostic>) -> Error {
    match cause {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let name = field.flat_name();
            let known = |column: &Column| match field.relation {
                Some(_) => column.flat_name(),
                None => column.name.clone(),
            };
            let mut known: Vec<String> = valid_fields.iter().map(known).collect();
            known.sort();
            known.dedup();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let cause = format!("there is no column `{name}`");
            Error::invalid(SQL, cause, suggestion(&name, &known, "the columns are"))
        }
        SchemaError::AmbiguousReference { field } => {
            let cause = format!("the column `{}` is in several tables", field.flat_name());
            let notes = diagnostic.into_iter().flat_map(|known| &known.notes);
            let candidates = notes.map(|note| line(&note.message).replace("possible column ", ""));
            let candidates: Vec<String> = candidates.collect();
            let remedy = match candidates.is_empty() {
                true => "write its table before it".to_string(),
                false => format!("write its table before it: {}", candidates.join(", ")),
            };
            Error::invalid(SQL, cause, remedy)
        }
        other => Error::invalid(SQL, line(&other.to_string()), "give one of them an alias"),
    }
}

/// "did you mean `x`?" for the nearest name; if none is near, the names behind `all`, unless that is empty.
pub(crate) fn suggestion(wanted: &str, known: &[&str], all: &str) -> String {
    let lower = wanted.to_lowercase();
    let begun = |name: &&&str| wanted.len() > 2 && name.to_lowercase().starts_with(&lower);
    let mut begun = known.iter().filter(begun);
    if let (Some(name), None) = (begun.next(), begun.next()) {
        return format!("did you mean {}?", quoted(name));
    }
    let distances = known
        .iter()
        .map(|name| (levenshtein(&lower, &name.to_lowercase()), *name));
    match distances.min() {
        Some((distance, name)) if distance <= wanted.len().max(name.len()) / 3 => {
            format!("did you mean {}?", quoted(name))
        }
        _ if all.is_empty() || known.is_empty() => String::new(),
        _ => {
            let listed = known.iter().take(LISTED_MAX).copied().collect::<Vec<_>>();
            let more = if known.len() > LISTED_MAX {
                ", …"
            } else {
                ""
            };
            format!("{all} {}{more}", listed.join(", "))
        }
    }
}

/// A name as it is to be written: only one in quotes keeps its capitals.
fn quoted(name: &str) -> String {
    let parts = name
        .split('.')
        .map(|part| match part.chars().any(char::is_uppercase) {
            true => format!("\"{part}\""),
            false => part.to_string(),
        });
    format!("`{}`", parts.collect::<Vec<_>>().join("."))
}

/// A construct that has no translation.
pub(crate) fn unsupported(construct: impl std::fmt::Display) -> Error {
    let reason = format!("{construct} is not supported yet; docs/sql.md says what is");
    Error::unsupported("sql", "this", reason)
}
