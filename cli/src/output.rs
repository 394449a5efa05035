//! Where results go and how they look there.
//!
//! A file is written beside its name and renamed when complete, so it is all there or not at all.

use std::fs::Permissions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use arrow::util::pretty::pretty_format_batches_with_schema;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use pelton::storage::{ParquetSink, SinkOptions, temporary_file};

use crate::args::Globals;
use crate::canonical;
use crate::failure::Failure;
use crate::interrupt::Registered;
use crate::session;

/// How a result looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines and columns for people
    Table,
    /// Comma-separated values with a line of names
    Csv,
    /// An array of objects
    Json,
    /// An object a line
    Ndjson,
    /// A Parquet file
    Parquet,
    /// One spelling per value, for comparing engines
    Canonical,
}

impl Format {
    /// The format that the name of a file promises.
    pub fn of_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "json" => Some(Format::Json),
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// A file that rows are written to.
#[derive(Debug)]
pub struct Target<'a> {
    /// Its name.
    pub path: &'a Path,
    /// How it looks.
    pub format: Format,
    /// What is chosen of a Parquet file.
    pub options: SinkOptions,
}

/// Batches of one result, as they come.
type Batches<'a> = &'a mut dyn Iterator<Item = Result<RecordBatch, Failure>>;

/// Writes a result where the command line says.
///
/// # Errors
/// The target cannot be written, or the format has no place for a type.
pub fn write(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    globals: &Globals,
) -> Result<(), Failure> {
    let by_name = globals.output.as_deref().and_then(Format::of_extension);
    let format = globals.format.or(by_name).unwrap_or(Format::Table);
    let mut batches = batches.iter().cloned().map(Ok);
    match &globals.output {
        Some(path) => {
            let options = sink_options(globals)?;
            let target = Target {
                path,
                format,
                options,
            };
            file(target, schema, &mut batches).map(drop)
        }
        None => {
            let stdout = io::stdout();
            if format == Format::Parquet && stdout.is_terminal() {
                return Err(Failure::usage(
                    "Parquet is not for terminals: redirect the output or use `--output FILE`",
                ));
            }
            let mut out = BufWriter::new(stdout);
            write_to(&mut out, format, schema, &mut batches)?;
            Ok(out.flush()?)
        }
    }
}

/// How Parquet files are written that replace others of their name.
///
/// # Errors
/// As [`session::options`].
pub fn sink_options(globals: &Globals) -> Result<SinkOptions, Failure> {
    let options = SinkOptions {
        overwrite: true,
        ..SinkOptions::default()
    };
    Ok(match session::options(globals)?.sink_to_directory() {
        true => options.into_folder(),
        false => options,
    })
}

/// Writes batches to a file as they come, whole or not at all; how many rows they had.
///
/// # Errors
/// As [`write()`], and those of the batches.
pub fn file(target: Target<'_>, schema: &SchemaRef, batches: Batches<'_>) -> Result<u64, Failure> {
    let Target {
        path,
        format,
        options,
    } = target;
    match format {
        Format::Parquet => sink(path, options, schema, batches),
        _ => to_file(path, |out| write_to(out, format, schema, batches)),
    }
}

/// Writes plain text to standard output.
///
/// # Errors
/// Standard output refuses.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a result as a Parquet file, or as a folder of them.
fn sink(
    path: &Path,
    options: SinkOptions,
    schema: &SchemaRef,
    batches: Batches<'_>,
) -> Result<u64, Failure> {
    let mut sink = ParquetSink::create(path, schema.clone(), options)?;
    let _registered = sink.temporary().map(Registered::new);
    for batch in batches {
        sink.write(&batch?)?;
    }
    Ok(sink.finish()?.rows)
}

/// Writes a value as a JSON file, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn json_file(path: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    to_file(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value).map_err(Failure::new)?;
        Ok(writeln!(out)?)
    })
}

/// Fills a file that appears only when it is complete.
///
/// # Errors
/// The file cannot be written, and what fills it.
pub fn to_file<T>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&std::fs::File>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |cause: &dyn std::fmt::Display| Failure::path("write", path, cause);
    // As any new file: the user's mask applies.
    let permissions = Permissions::from_mode(0o666);
    let file = temporary_file(folder, "output", Some(permissions));
    let file = file.map_err(|cause| failed(&cause))?;
    let _registered = Registered::new(file.path());
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let filled = fill(&mut out)?;
    out.flush().map_err(|cause| failed(&cause))?;
    drop(out);
    file.persist(path).map_err(|cause| failed(&cause.error))?;
    Ok(filled)
}

/// Writes batches in a format; how many rows they had.
fn write_to(
    out: &mut (impl Write + Send),
    format: Format,
    schema: &SchemaRef,
    batches: Batches<'_>,
) -> Result<u64, Failure> {
    let mut rows = 0;
    let batches = &mut batches.inspect(|batch| {
        rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
    });
    match format {
        Format::Table => {
            let all = batches.collect::<Result<Vec<_>, _>>()?;
            let table = pretty_format_batches_with_schema(schema.clone(), &all);
            writeln!(out, "{}", table.map_err(format_failed)?)?;
        }
        Format::Csv => {
            // An empty batch writes the names even if there are no rows. The text is handed on
            // here, because the CSV writer reduces failures of its output to words.
            let empty = RecordBatch::new_empty(schema.clone());
            let mut text = Vec::new();
            for (index, batch) in std::iter::once(Ok(empty)).chain(batches).enumerate() {
                text.clear();
                let builder = arrow::csv::WriterBuilder::new().with_header(index == 0);
                let written = builder.build(&mut text).write(&batch?);
                written.map_err(format_failed)?;
                out.write_all(&text)?;
            }
        }
        Format::Json => {
            json::<JsonArray>(out, batches)?;
            out.write_all(b"\n")?;
        }
        Format::Ndjson => json::<LineDelimited>(out, batches)?,
        Format::Parquet => parquet(out, schema, batches)?,
        Format::Canonical => {
            out.write_all(canonical::header(schema).as_bytes())?;
            let mut line = String::new();
            for batch in batches {
                let batch = batch?;
                let mut rows =
                    canonical::Rows::new(&batch, schema.fields()).map_err(Failure::new)?;
                for row in 0..batch.num_rows() {
                    line.clear();
                    rows.write(row, &mut line).map_err(Failure::new)?;
                    line.push('\n');
                    out.write_all(line.as_bytes())?;
                }
            }
        }
    }
    Ok(rows)
}

fn json<F: JsonFormat>(out: &mut impl Write, batches: Batches<'_>) -> Result<(), Failure> {
    let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, F>(&mut *out);
    for batch in batches {
        writer.write(&batch?).map_err(format_failed)?;
    }
    writer.finish().map_err(format_failed)
}

fn parquet(
    out: &mut (impl Write + Send),
    schema: &SchemaRef,
    batches: Batches<'_>,
) -> Result<(), Failure> {
    let failed = |cause: parquet::errors::ParquetError| match cause {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(cause) => Failure::from(*cause),
            Err(cause) => Failure::new(cause),
        },
        cause => Failure::new(cause),
    };
    let mut writer = ArrowWriter::try_new(out, schema.clone(), None).map_err(failed)?;
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Arrow's writers wrap what the output says.
fn format_failed(cause: ArrowError) -> Failure {
    match cause {
        ArrowError::IoError(_, cause) => Failure::from(cause),
        ArrowError::CsvError(text) => Failure::new(format_args!(
            "{text}; the formats json, ndjson and parquet hold every type"
        )),
        cause => Failure::new(cause),
    }
}
