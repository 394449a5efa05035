//! Parquet files on local disks: which bytes are read, and in what portions, and how they are
//! written.
//!
//! [`expand`] turns patterns into files, [`Dataset`] reads their footers (cached) and checks that
//! they share a schema, [`Dataset::prune`] drops the files, row groups and pages in which no row can
//! satisfy a predicate, [`Kept::partitions`] makes the units of scheduling, and [`PartitionReader`]
//! gives their rows as Arrow batches. [`ParquetSink`] writes batches. Files are hostile input: whatever one holds, the answer is rows
//! or an error of the file's, never a panic that leaves this room (the decoder's own are caught).
//! So this is the one door to files: footers are judged when they are opened, and a column chunk's
//! pages by a [`PageWalker`] before anything decodes them, here or on a device.

#![forbid(unsafe_code)]

mod chunk;
mod dataset;
mod estimate;
mod expand;
mod footer;
mod guard;
mod inflate;
mod interval;
mod key_filter;
mod late;
mod masked;
mod nested;
mod opened;
mod pages;
mod partition;
mod prune;
mod reader;
#[cfg(feature = "object_store")]
mod remote;
mod sample;
mod selected;
mod sink;
mod split;
mod stored;
mod temporary;
mod thrift;

pub use chunk::ColumnChunk;
pub use dataset::Dataset;
pub use expand::expand;
pub use footer::{EXTENSION_NAME, FileIdentity, ParquetFile, UUID};
pub use guard::decoder_is_guarded;
pub use key_filter::{Asking, BackendBlocks, FEW_KEYS_MAX, KeyBits, KeyFilter, KeySet};
pub use late::{LateDecoding, LateMode};
pub use nested::{NestedKind, NestedNode, NestedShape};
pub use opened::OpenedFile;
pub use pages::{
    ChunkFacts, Codec, PAGE_BYTES_MAX, Page, PageChecksums, PageEncoding, PageKind, PageProblem,
    PageWalker, PhysicalKind,
};
pub use partition::{Kept, Partition, RowGroup};
pub use prune::{PruneSteps, Pruned, Removed};
pub use reader::{PartitionReader, ReadOptions};
#[doc(hidden)]
pub use sample::write_orders;
pub use selected::{PageRows, SelectedPages};
pub use sink::{
    BROTLI_LEVEL_DEFAULT, ColumnBytes, ColumnEncoding, DICTIONARY_BYTES_DEFAULT,
    GZIP_LEVEL_DEFAULT, PAGE_BYTES_DEFAULT, PAGE_ROWS_DEFAULT, PageVersion, ParquetSink,
    ROW_GROUP_ROWS_DEFAULT, SinkCodec, SinkOptions, SinkSummary, StatisticsLevel,
    ZSTD_LEVEL_DEFAULT,
};
pub use stored::{ChunkIdentity, StoredChunk};
#[doc(hidden)]
pub use temporary::{TemporaryFolder, temporary_file, temporary_folder};
