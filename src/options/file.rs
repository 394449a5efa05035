//! Options from a file: TOML, a `name = value` for each, and no sections.

use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::values::ValueKind;
use super::{EngineOptions, OptionSource, OptionSpec, spec_of};
use crate::error::{Error, Result};

impl EngineOptions {
    /// The defaults, overlaid with a file. Reads no environment.
    ///
    /// ```
    /// use pelton::options::{EngineOptions, OptionSource};
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("pelton.toml");
    /// std::fs::write(&path, "device = 1\nspill = false\nchannel_bytes = \"64MiB\"\n")?;
    /// let mut options = EngineOptions::from_file(&path)?;
    /// assert_eq!((options.device(), options.spill()), (1, false));
    /// options.set("device", "2")?;
    /// assert_eq!(options.device(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`EngineOptions::overlay_file`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let mut options = EngineOptions::default();
        options.overlay_file(path)?;
        Ok(options)
    }

    /// Sets what a file says, except where the environment or [`set`](EngineOptions::set) has set it.
    /// After an error nothing is changed.
    ///
    /// A value is a string, as `set` takes it; a number may be an integer, `true` and `false` booleans.
    ///
    /// # Errors
    /// `Io` for a file that cannot be read; `InvalidInput`, with the file and the line, for one that is
    /// not TOML, a name that is no option, with the nearest one, or a value of another type or that
    /// cannot be read.
    pub fn overlay_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|cause| Error::io(path, "read", &cause))?;
        let place = |at: usize| format!("{}, line {}", path.display(), line_of(&text, at));
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let remedy = "write `name = value`, and text in quotes";
            Error::invalid(place(at), error.message(), remedy)
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut overlaid = self.clone();
        for (name, value) in entries {
            let (at, name) = (name.span().start, name.get_ref());
            let place = format!("{}: option `{name}`", place(at));
            if matches!(value.get_ref(), DeValue::Table(_)) {
                let remedy = "write `name = value`, outside of sections";
                return Err(Error::invalid(place, "tables have no meaning", remedy));
            }
            let spec = spec_of(name, || place.clone())?;
            let value = text_of(spec, value.get_ref()).map_err(|found| {
                let remedy = format!("expected is {}", spec.expected);
                Error::invalid(
                    place.clone(),
                    format!("{found} is not a value of it"),
                    remedy,
                )
            })?;
            overlaid.store(spec, &value, OptionSource::File, place)?;
        }
        *self = overlaid;
        Ok(())
    }
}

/// A value as [`EngineOptions::set`] takes it, or what it is instead.
fn text_of(spec: &OptionSpec, value: &DeValue<'_>) -> Result<String, &'static str> {
    match (value, spec.kind) {
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Integer(integer), ValueKind::Number) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix());
            Ok(number.map_or_else(|_| integer.to_string(), |number| number.to_string()))
        }
        (DeValue::Boolean(truth), ValueKind::Truth) => Ok(truth.to_string()),
        (DeValue::Integer(_), _) => Err("an integer"),
        (DeValue::Boolean(_), _) => Err("a boolean"),
        (DeValue::Float(_), _) => Err("a float"),
        (DeValue::Datetime(_), _) => Err("a date or time"),
        (DeValue::Array(_), _) => Err("an array"),
        (DeValue::Table(_), _) => Err("a table"),
    }
}

/// The line, from 1, of a byte of a text.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
