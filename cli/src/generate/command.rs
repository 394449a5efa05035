//! The `gen` command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use clap::{Args, Subcommand};
use pelton::storage::SinkCodec;

use super::{Made, Request, RowGroups, Table, generate};
use crate::args::Globals;
use crate::failure::Failure;
use crate::output;
use crate::terminal::{self, Terminal};

/// Flags of `gen`.
#[derive(Debug, Args)]
pub struct GenArgs {
    #[command(subcommand)]
    family: Family,
}

/// The families of tables.
#[derive(Debug, Subcommand)]
enum Family {
    /// The eight tables of TPC-H
    Tpch(TpchArgs),
    /// The five tables of the Star Schema Benchmark, from those of TPC-H
    #[cfg(feature = "sql")]
    #[command(after_help = super::star::EXAMPLES)]
    Ssb(super::star::SsbArgs),
}

const TPCH_EXAMPLES: &str = "\
Columns are as TPC-H has them and never null: money is DECIMAL(15, 2), dates are DATE. Pages are of
version 1, dictionary-encoded where that helps, with statistics. A table is TABLE.parquet, or with
--files the folder TABLE of part-NNNNN.parquet. The same request gives the same bytes everywhere.

Examples:
  pelton gen tpch --scale 0.1 --out data
  pelton gen tpch --scale 10 --out data --tables lineitem,orders --codec zstd
  pelton gen tpch --scale 100 --out data --files 8 --row-group-bytes 128MiB
  pelton gen tpch --scale 1 --out data --codec none --row-group-rows 1000000
`pelton rewrite` gives such files other encodings.";

/// Flags of `gen tpch`.
#[derive(Debug, Args)]
#[command(after_help = TPCH_EXAMPLES)]
struct TpchArgs {
    /// Scale factor: 1 gives 6 million rows of lineitem, 0.1 a tenth
    #[arg(long, value_name = "S", value_parser = scale)]
    scale: f64,

    /// Folder to write to; made if absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Tables to make [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TABLES")]
    tables: Vec<Table>,

    /// Encoded bytes of a row group before compression, about
    #[arg(long, value_name = "BYTES", value_parser = byte_count, default_value = "128MiB")]
    row_group_bytes: u64,

    /// Rows of a row group, about, instead of bytes
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..),
          conflicts_with = "row_group_bytes")]
    row_group_rows: Option<u64>,

    /// Compression of pages: none, snappy, zstd, zstd(LEVEL), lz4, gzip, brotli
    #[arg(
        long,
        visible_alias = "compression",
        value_name = "CODEC",
        default_value = "snappy"
    )]
    codec: SinkCodec,

    /// Files a table (nation and region are one always)
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=99_999))]
    files: u32,

    /// Replace tables that exist
    #[arg(long)]
    overwrite: bool,
}

/// Runs the command.
///
/// # Errors
/// A table exists, or the disk refuses.
pub fn run(args: GenArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    match args.family {
        Family::Tpch(args) => tpch(args, globals, terminal),
        #[cfg(feature = "sql")]
        Family::Ssb(args) => super::star::run(&args, globals, terminal),
    }
}

fn tpch(args: TpchArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let request = Request {
        scale: args.scale,
        tables: if args.tables.is_empty() {
            Table::ALL.to_vec()
        } else {
            args.tables
        },
        row_groups: match args.row_group_rows {
            Some(rows) => RowGroups::Rows(rows),
            None => RowGroups::Bytes(args.row_group_bytes),
        },
        codec: args.codec,
        files: args.files,
        overwrite: args.overwrite,
    };
    let started = Instant::now();
    let made = generate(&args.out, &request, terminal)?;
    let seconds = started.elapsed().as_secs_f64();
    let rows: u64 = made.iter().map(|made| made.rows).sum();
    let bytes: u64 = made.iter().map(|made| made.bytes).sum();
    let batch = table_of(&made).map_err(Failure::new)?;
    output::write(&batch.schema(), std::slice::from_ref(&batch), globals)?;
    terminal.note(&format!(
        "{} rows, {} in {seconds:.2} s",
        terminal::grouped(rows),
        terminal::bytes(bytes)
    ));
    Ok(())
}

fn table_of(made: &[Made]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |f: fn(&Made) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(made.iter().map(f)))
    };
    let small = |f: fn(&Made) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(made.iter().map(f)))
    };
    let large = |f: fn(&Made) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(made.iter().map(f)))
    };
    RecordBatch::try_from_iter([
        ("table", text(|made| made.table.name().to_string())),
        ("path", text(|made| made.path.display().to_string())),
        ("files", small(|made| made.files)),
        ("row_groups", small(|made| made.row_groups)),
        ("rows", large(|made| made.rows)),
        ("bytes", large(|made| made.bytes)),
    ])
}

/// A scale factor.
pub fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 100_000.0 => Ok(scale),
        _ => Err("a scale factor is a number above 0, up to 100000".to_string()),
    }
}

/// A number of bytes, with or without a unit.
pub fn byte_count(text: &str) -> Result<u64, String> {
    let complaint = || "a size is a number of bytes such as 134217728, 128MiB or 128MB".to_string();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| complaint())?;
    let factor: f64 = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(complaint()),
    };
    let bytes = number * factor;
    // A float as cast saturates; the range was checked.
    (1.0..1e15)
        .contains(&bytes)
        .then_some(bytes as u64)
        .ok_or_else(complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(byte_count("128MiB"), Ok(128 << 20));
        assert_eq!(byte_count("1.5 kB"), Ok(1500));
        assert_eq!(byte_count("77"), Ok(77));
        assert!(byte_count("x").is_err());
        assert!(byte_count("0").is_err());
        assert!(byte_count("-1").is_err());
        assert!(scale("0").is_err());
        assert!(scale("NaN").is_err());
    }
}
