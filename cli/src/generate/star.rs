//! `gen ssb`: the tables of the Star Schema Benchmark, derived from TPC-H's by queries.
//!
//! The queries are the description: `queries/ssb/tables`.

use std::path::PathBuf;

use clap::Args;
use pelton::storage::{SinkCodec, SinkOptions};

use crate::args::Globals;
use crate::failure::Failure;
use crate::output::{Format, Target};
use crate::terminal::Terminal;
use crate::{session, sql};

pub(super) const EXAMPLES: &str = "\
Tables: lineorder, customer, supplier, part and dates (the benchmark's `date`). They have the columns and
values that the queries of `pelton bench ssb` ask for; their distributions are those of TPC-H's tables.
The order of rows is unspecified.

Examples:
  pelton gen tpch --scale 1 --out data && pelton gen ssb --from data --out ssb
  pelton bench ssb --dir ssb";

/// The tables, each with its query over TPC-H's.
const TABLES: [(&str, &str); 5] = [
    (
        "lineorder",
        include_str!("../../queries/ssb/tables/lineorder.sql"),
    ),
    (
        "customer",
        include_str!("../../queries/ssb/tables/customer.sql"),
    ),
    (
        "supplier",
        include_str!("../../queries/ssb/tables/supplier.sql"),
    ),
    ("part", include_str!("../../queries/ssb/tables/part.sql")),
    ("dates", include_str!("../../queries/ssb/tables/dates.sql")),
];

/// Flags of `gen ssb`.
#[derive(Debug, Args)]
pub(super) struct SsbArgs {
    /// Folder with the eight tables of TPC-H
    #[arg(long, value_name = "DIR")]
    from: PathBuf,

    /// Folder to write to; made if absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Compression of pages: none, snappy, zstd, zstd(LEVEL), lz4, gzip, brotli
    #[arg(long, value_name = "CODEC", default_value = "snappy")]
    codec: SinkCodec,

    /// Replace tables that exist
    #[arg(long)]
    overwrite: bool,
}

/// Runs the command.
///
/// # Errors
/// TPC-H's tables cannot be read, a table exists, or the disk refuses.
pub(super) fn run(args: &SsbArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let catalog = sql::catalog(Some(&args.from), &[])?;
    let engine = session::engine(globals, terminal)?;
    std::fs::create_dir_all(&args.out).map_err(|cause| Failure::path("make", &args.out, cause))?;
    for (table, text) in TABLES {
        let frame = catalog.sql(text).map_err(Failure::from);
        let frame = frame.map_err(|failure| failure.within(format_args!("table {table}")))?;
        let options = SinkOptions {
            codec: args.codec,
            overwrite: args.overwrite,
            ..SinkOptions::default()
        };
        let target = Target {
            path: &args.out.join(format!("{table}.parquet")),
            format: Format::Parquet,
            options,
        };
        session::write(&engine, &frame, target, globals, terminal)?;
    }
    Ok(())
}
