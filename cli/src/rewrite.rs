//! The `rewrite` command: the same rows in files that suit GPUs.
//!
//! Row groups are read one after the other and written as they come, so that memory holds one of
//! either side. `choice` decides the encodings; files are written by the library's sink.

mod choice;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use clap::Args;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};
use pelton::storage::{
    Dataset, Kept, PageVersion, ParquetSink, Partition, ReadOptions, SinkCodec, SinkOptions,
    SinkSummary, StatisticsLevel, expand,
};

use crate::args::Globals;
use crate::failure::Failure;
use crate::generate::command::byte_count;
use crate::interrupt::Registered;
use crate::terminal::{self, Terminal};
use crate::{output, session};
use choice::{Choice, SAMPLE_ROWS, choose};

/// Rows of a batch between reading and writing.
const BATCH_ROWS: u64 = 1 << 16;

const EXAMPLES: &str = "\
Without --encoding, each column is encoded by its type and its first 131072 rows: few values that
repeat get a dictionary, other integers, dates, timestamps and decimals of up to 18 digits get
delta_binary_packed, other strings delta_length_byte_array, other floats plain, or
byte_stream_split if there is a codec. IN is a file, a folder or a pattern; files of one rewrite
share a schema. OUT appears when it is whole, or not at all. Columns, types and rows stay as they
are and in their order; key-value metadata of the files is left behind. Memory holds one row group
read and one written.

Codecs:    none, snappy, zstd, zstd(LEVEL), lz4, gzip, gzip(LEVEL), brotli, brotli(LEVEL)
Encodings: plain, dictionary, delta_binary_packed, delta_length_byte_array, delta_byte_array,
           byte_stream_split

Examples:
  pelton rewrite lineitem.parquet lineitem-gpu.parquet
  pelton rewrite 'data/part-*.parquet' out.parquet --dry-run
  pelton rewrite data out --file-rows 100000000 --codec 'zstd(3)'
  pelton rewrite in.parquet out.parquet --encoding l_comment=delta_byte_array --overwrite";

/// Flags of `rewrite`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RewriteArgs {
    /// Parquet files, folders or patterns
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,

    /// File to write, or with --file-rows (or the option sink_to_directory) the folder
    #[arg(required = true, value_name = "OUT")]
    out: PathBuf,

    /// Compression of pages
    #[arg(long, value_name = "CODEC", default_value = "none")]
    codec: SinkCodec,

    /// Most rows of a row group
    #[arg(long, value_name = "ROWS", default_value_t = 10_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    row_group_rows: u64,

    /// Encoded bytes of a row group before compression, about [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = byte_count)]
    row_group_bytes: Option<u64>,

    /// Encoded bytes of a page, about
    #[arg(long, value_name = "BYTES", value_parser = byte_count, default_value = "1MiB")]
    page_bytes: u64,

    /// Most rows of a file: OUT is then a folder of part-NNNNN.parquet
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    file_rows: Option<u64>,

    /// Encoding of a column, instead of choosing; may be repeated
    #[arg(long, value_name = "COLUMN=ENCODING")]
    encoding: Vec<String>,

    /// Column that gets a Bloom filter; may be repeated
    #[arg(long, value_name = "COLUMN")]
    bloom_filter: Vec<String>,

    /// Statistics to write: none, row_group or page
    #[arg(long, value_name = "LEVEL", default_value = "page")]
    statistics: StatisticsLevel,

    /// Version of data pages: 1 or 2
    #[arg(long, value_name = "VERSION", default_value = "1")]
    page_version: PageVersion,

    /// Print the encoding of each column, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Replace OUT if it exists: a file, or a folder of Parquet files
    #[arg(long)]
    overwrite: bool,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, the target exists, the disk refuses, or an encoding does not fit.
pub fn run(args: &RewriteArgs, globals: &Globals, terminal: Terminal) -> Result<(), Failure> {
    let dataset = Dataset::open(&expand(&args.inputs)?)?;
    let schema = dataset.schema().clone();
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let kept = dataset.prune(&columns, None)?;
    // Each row group by itself: neighbours are not fused below no bytes at all.
    let partitions = kept.partitions(0);

    let mut options = options(args)?;
    if session::options(globals)?.sink_to_directory() {
        options = options.into_folder();
    }
    let sample = sample(&schema, &partitions)?;
    let cut = sample.num_rows() as u64 != kept.rows();
    let mut choices = choose(&schema, &sample, cut, args.codec).map_err(Failure::new)?;
    drop(sample);
    for (field, choice) in schema.fields().iter().zip(&mut choices) {
        match (options.encodings.get(field.name()), choice.encoding) {
            (Some(asked), _) => {
                *choice = Choice {
                    encoding: Some(*asked),
                    reason: "asked for".to_string(),
                };
            }
            (None, Some(chosen)) => {
                options.encodings.insert(field.name().clone(), chosen);
            }
            (None, None) => {}
        }
    }
    options.check(&schema).map_err(Failure::usage)?;

    let before = bytes_of(&dataset, &schema)?;
    if args.dry_run {
        return report(&schema, &choices, &before, None, globals);
    }
    let started = Instant::now();
    let summary = write(args, options, &kept, &partitions, terminal)?;
    let seconds = started.elapsed().as_secs_f64();
    report(&schema, &choices, &before, Some(&summary), globals)?;
    let all = dataset.files().iter().map(|file| file.bytes());
    terminal.note(&format!(
        "{} rows in {} row groups; {} before, {} after, in {seconds:.2} s",
        terminal::grouped(summary.rows),
        terminal::grouped(summary.row_groups),
        terminal::bytes(all.sum()),
        terminal::bytes(summary.bytes),
    ));
    Ok(())
}

fn options(args: &RewriteArgs) -> Result<SinkOptions, Failure> {
    let mut options = SinkOptions {
        codec: args.codec,
        row_group_rows: args.row_group_rows,
        row_group_bytes: args.row_group_bytes,
        page_bytes: args.page_bytes,
        statistics: args.statistics,
        page_version: args.page_version,
        bloom_filters: args.bloom_filter.iter().cloned().collect(),
        file_rows: args.file_rows,
        overwrite: args.overwrite,
        ..SinkOptions::default()
    };
    for pair in &args.encoding {
        options.set_encoding(pair).map_err(Failure::usage)?;
    }
    Ok(options)
}

/// The first rows, of as many row groups as it takes.
fn sample(schema: &SchemaRef, partitions: &[Partition]) -> Result<RecordBatch, Failure> {
    let mut batches = Vec::new();
    let mut rows = 0;
    for partition in partitions {
        for batch in partition.read(ReadOptions::detached(BATCH_ROWS)) {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(SAMPLE_ROWS - rows));
            rows += batch.num_rows();
            batches.push(batch);
            if rows == SAMPLE_ROWS {
                break;
            }
        }
        if rows == SAMPLE_ROWS {
            break;
        }
    }
    concat_batches(schema, &batches).map_err(Failure::new)
}

fn write(
    args: &RewriteArgs,
    options: SinkOptions,
    kept: &Kept,
    partitions: &[Partition],
    terminal: Terminal,
) -> Result<SinkSummary, Failure> {
    let mut sink = ParquetSink::create(&args.out, kept.schema().clone(), options)?;
    let _registered = sink.temporary().map(Registered::new);
    let progress = terminal.progress(kept.rows(), "rewriting");
    let outcome = (|| {
        for partition in partitions {
            for batch in partition.read(ReadOptions::detached(BATCH_ROWS)) {
                let batch = batch?;
                sink.write(&batch)?;
                progress.inc(batch.num_rows() as u64);
            }
        }
        sink.finish()
    })();
    progress.finish_and_clear();
    Ok(outcome?)
}

/// Compressed bytes of each column of the schema, in the files as they are.
fn bytes_of(dataset: &Dataset, schema: &SchemaRef) -> Result<Vec<u64>, Failure> {
    let mut bytes = vec![0; schema.fields().len()];
    for file in dataset.files() {
        let refused = |cause: &dyn std::fmt::Display| Failure::path("read", file.path(), cause);
        let opened = File::open(file.path()).map_err(|cause| refused(&cause))?;
        let footer = ParquetMetaDataReader::new()
            .parse_and_finish(&opened)
            .map_err(|cause| refused(&cause))?;
        for chunk in footer
            .row_groups()
            .iter()
            .flat_map(RowGroupMetaData::columns)
        {
            let root = chunk.column_path().parts().first();
            if let Some(root) = root.and_then(|root| schema.index_of(root).ok()) {
                bytes[root] += chunk.compressed_size().unsigned_abs();
            }
        }
    }
    Ok(bytes)
}

/// A line per column: its encoding, why, and its bytes before and after.
fn report(
    schema: &SchemaRef,
    choices: &[Choice],
    before: &[u64],
    summary: Option<&SinkSummary>,
    globals: &Globals,
) -> Result<(), Failure> {
    let fields = schema.fields().iter();
    let names = fields.clone().map(|field| field.name());
    let types = fields.clone().map(|field| field.data_type().to_string());
    let encodings = choices.iter().map(|choice| {
        let encoding = choice.encoding.map(|encoding| encoding.to_string());
        encoding.unwrap_or_else(|| "default".to_string())
    });
    let reasons = choices.iter().map(|choice| choice.reason.as_str());
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("column", Arc::new(StringArray::from_iter_values(names))),
        ("type", Arc::new(StringArray::from_iter_values(types))),
        (
            "encoding",
            Arc::new(StringArray::from_iter_values(encodings)),
        ),
        ("reason", Arc::new(StringArray::from_iter_values(reasons))),
        ("bytes_before", Arc::new(UInt64Array::from(before.to_vec()))),
    ];
    if let Some(summary) = summary {
        let after: Vec<u64> = fields
            .map(|field| {
                let below = format!("{}.", field.name());
                let leaves = summary.columns.iter();
                leaves
                    .filter(|leaf| leaf.column == *field.name() || leaf.column.starts_with(&below))
                    .map(|leaf| leaf.compressed)
                    .sum()
            })
            .collect();
        let ratio = |(before, after): (&u64, &u64)| {
            (*before > 0).then(|| (*after as f64 / *before as f64 * 1000.0).round() / 1000.0)
        };
        let ratios: Float64Array = before.iter().zip(&after).map(ratio).collect();
        columns.push(("bytes_after", Arc::new(UInt64Array::from(after))));
        columns.push(("after_per_before", Arc::new(ratios)));
    }
    let table = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .map_err(Failure::new)?;
    output::write(&table.schema(), std::slice::from_ref(&table), globals)
}
