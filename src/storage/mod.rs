//! Parquet files on local disks: which bytes are read, and in what portions, and how they are
//! written.
//!
//! [`expand`] turns patterns into files, [`Dataset`] reads their footers (cached) and checks that
//! they share a schema, [`Dataset::prune`] drops the row groups in which no row can satisfy a
//! predicate, [`Kept::partitions`] makes the units of scheduling, and [`PartitionReader`] gives
//! their rows as Arrow batches. [`ParquetSink`] writes batches. Files are hostile input: whatever one holds, the answer is rows
//! or [`Corrupt`](crate::ErrorKind::Corrupt), never a panic that leaves this room (the decoder's
//! own are caught). Decoding on a device is the backend's matter.

#![forbid(unsafe_code)]

mod dataset;
mod expand;
mod footer;
mod interval;
mod partition;
mod prune;
mod reader;
mod sample;
mod sink;

pub use dataset::Dataset;
pub use expand::expand;
pub use footer::ParquetFile;
pub use partition::{Kept, Partition, RowGroup};
pub use reader::{PartitionReader, ReadOptions};
#[doc(hidden)]
pub use sample::write_orders;
pub use sink::{
    BROTLI_LEVEL_DEFAULT, Codec, ColumnBytes, ColumnEncoding, DICTIONARY_BYTES_DEFAULT,
    GZIP_LEVEL_DEFAULT, PAGE_BYTES_DEFAULT, PAGE_ROWS_DEFAULT, PageVersion, ParquetSink,
    ROW_GROUP_ROWS_DEFAULT, SinkOptions, SinkSummary, StatisticsLevel, ZSTD_LEVEL_DEFAULT,
};
