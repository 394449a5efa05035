//! `COPY … TO`: the rows of a query in a file, written as they come.

use std::path::Path;

use clap::ValueEnum;
use pelton::engine::Engine;
use pelton::storage::{SinkCodec, SinkOptions};
use pelton_sql::CopyTo;

use crate::args::Globals;
use crate::failure::Failure;
use crate::output::{self, Format, Target};
use crate::session;
use crate::terminal::Terminal;

/// Writes the file, and tells how many rows it has.
///
/// # Errors
/// An option that does not exist or has no such value, the query's, or a file that cannot be written:
/// none is left then.
pub fn run(
    engine: &Engine,
    copy: &CopyTo,
    globals: &Globals,
    terminal: Terminal,
) -> Result<(), Failure> {
    if globals.output.is_some() {
        return Err(Failure::usage(
            "COPY names the file itself: leave out --output",
        ));
    }
    let options = output::sink_options(globals)?;
    let (format, options) = chosen(&copy.target, &copy.options, options)?;
    let target = Target {
        path: &copy.target,
        format,
        options,
    };
    session::write(engine, &copy.rows, target, globals, terminal)
}

/// The format, and what is chosen of a Parquet file.
fn chosen(
    target: &Path,
    given: &[(String, String)],
    mut options: SinkOptions,
) -> Result<(Format, SinkOptions), Failure> {
    let invalid = |what: String| Failure::new(format_args!("COPY: {what}"));
    let formats = || {
        let names = Format::value_variants().iter();
        let names = names.filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|name| name.get_name().to_string()).collect();
        names.join(", ")
    };
    let mut format = Format::of_extension(target);
    let mut of_parquet = None;
    for (name, value) in given {
        match name.as_str() {
            "format" => {
                let named = Format::from_str(value, true);
                format = Some(named.map_err(|_| {
                    invalid(format!(
                        "no format `{value}`; the formats are {}",
                        formats()
                    ))
                })?);
                continue;
            }
            "compression" => options.codec = value.parse::<SinkCodec>()?,
            "row_group_rows" => {
                let rows = value.parse().ok().filter(|rows| *rows > 0);
                options.row_group_rows = rows.ok_or_else(|| {
                    invalid(format!(
                        "row_group_rows is `{value}`; it is a number of rows"
                    ))
                })?;
            }
            _ => {
                let known = "the options are format, compression, row_group_rows";
                return Err(invalid(format!("no option `{name}`; {known}")));
            }
        }
        of_parquet = Some(name);
    }
    let format = format.ok_or_else(|| {
        let target = target.display();
        let formats = formats();
        invalid(format!(
            "the name {target} says no format; add (FORMAT …), one of {formats}"
        ))
    })?;
    match of_parquet.filter(|_| format != Format::Parquet) {
        Some(name) => Err(invalid(format!("{name} is an option of Parquet alone"))),
        None => Ok((format, options)),
    }
}
