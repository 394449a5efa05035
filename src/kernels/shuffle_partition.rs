//! Launchers of `shuffle_partition`: the rows of columns, split into partitions that lie ready to be
//! sent.
//!
//! [`shuffle_partition`] queues everything and waits for nothing. What it gives is one buffer and its
//! table ([`PackedPartitions`]); whoever wants the partitions waits once, for their rows
//! ([`PackedPartitions::resolve`]), and gets columns that share the buffer.
//!
//! # The wire layout
//!
//! The buffer has the partitions behind one another, a partition its columns behind one another, a
//! column its values and then, if it is nullable, its validity bitmap. Each of these sections starts
//! at a multiple of 64 bytes and is zero behind its rows; bitmaps are least significant bit first. So
//! a partition is one stretch of bytes whose inside follows from its rows and from [`PackedLayout`]:
//! bytes and row count are all that must be sent. Codes of dictionaries and views (address and
//! length) travel as such, and mean something only where dictionary and text are.
//!
//! The table has 64-bit words: the rows of each partition, then the first byte of each section of
//! each partition, section by section, then the bytes of all.

use std::ops::Range;
use std::sync::Arc;

use super::abi::{self, ShufflePartitionColumn, ShufflePartitionKey};
use super::{DeviceColumn, DeviceRows, Launch, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Shared memory of a block that is not ours to ask for: what the driver and static arrays take.
const SHARED_BYTES_TAKEN: u32 = 2 << 10;

/// Rows of a bitmap that one block clears: 16 KiB.
const ROWS_CLEARED_PER_BLOCK: u64 = 1 << 17;

/// Blocks that clear, at most, unless there are more sections.
const CLEARING_BLOCKS_MAX: u64 = 1 << 16;

/// Choices that change no result but the order within partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShuffleTuning {
    /// Rows that a block splits at a time, at most; 0: as many as keep runs long
    /// (`shuffle_partition/hash`).
    pub tile_rows: u32,
    /// Blocks per multiprocessor that find targets (`shuffle_partition/hash`).
    pub blocks_per_multiprocessor: u32,
}

impl Default for ShuffleTuning {
    fn default() -> Self {
        ShuffleTuning {
            tile_rows: 0,
            blocks_per_multiprocessor: 3, // what runs at one time
        }
    }
}

/// How rows find their partitions.
#[derive(Debug, Clone, Copy)]
pub enum ShuffleBy<'a> {
    /// By the hash of keys, as the operator's contract defines it.
    Hash(&'a [ShuffleHashKey<'a>]),
    /// By where the keys lie among bounds: a bound less than the partitions.
    Range(&'a [ShuffleRangeKey<'a>]),
    /// In turn, the first row to partition `start`.
    RoundRobin {
        /// Partition of row 0.
        start: u32,
    },
}

/// A key that is hashed.
#[derive(Debug, Clone, Copy)]
pub struct ShuffleHashKey<'a> {
    /// The values, `[rows]`.
    pub column: &'a DeviceColumn,
    /// The words of what the values stand for, if they are codes.
    pub words: Option<&'a CodeWords>,
}

/// A key that is looked for among bounds.
#[derive(Debug, Clone, Copy)]
pub struct ShuffleRangeKey<'a> {
    /// The values, `[rows]`.
    pub column: &'a DeviceColumn,
    /// The bounds of this key.
    pub bounds: &'a ShuffleBounds,
}

/// A hash word for each code of a dictionary, on the device.
#[derive(Debug)]
pub struct CodeWords {
    buffer: DeviceBuffer,
    count: u64,
}

impl CodeWords {
    /// Uploads the words of codes 0, 1 and so on. A code beyond them has word 0.
    ///
    /// # Errors
    /// No memory is left, or the copy fails.
    pub fn new(launch: &Launch, words: &[u64]) -> Result<CodeWords> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(CodeWords {
            buffer: launch.device().upload(launch.stream(), &bytes)?,
            count: words.len() as u64,
        })
    }

    /// Codes that have a word.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The bounds of one key on the device, as words in the order of the key.
#[derive(Debug)]
pub struct ShuffleBounds {
    words: DeviceBuffer,
    count: u64,
    physical: PhysicalType,
    descending: bool,
    nulls_first: bool,
}

impl ShuffleBounds {
    /// The bounds in `column` `[bounds]`, for a key of its layout in this order.
    ///
    /// # Errors
    /// `InvalidInput` for views, which have no words; no memory is left, or the driver refuses.
    pub fn new(
        launch: &Launch,
        column: &DeviceColumn,
        descending: bool,
        nulls_first: bool,
    ) -> Result<ShuffleBounds> {
        if column.physical() == PhysicalType::View {
            return Err(Error::invalid("shuffle_partition", "bounds are views", ""));
        }
        let count = column.rows();
        let words = launch.alloc(count * u64::from(abi::SHUFFLE_PARTITION_BOUND_WORDS) * 8)?;
        let bounds = ShuffleBounds {
            words,
            count,
            physical: column.physical(),
            descending,
            nulls_first,
        };
        let params = abi::ShufflePartitionBoundsParams {
            key: bounds.key(launch, column)?,
            out_words: address_of(&bounds.words),
            bound_count: count,
        };
        let grid = blocks(count, abi::SHUFFLE_PARTITION_THREADS);
        // SAFETY: `view` gives a column of `count` rows, no views among them; `words` was allocated
        // for as many bounds.
        unsafe {
            launch.launch::<abi::ShufflePartitionBounds>(
                grid,
                abi::SHUFFLE_PARTITION_THREADS,
                0,
                &params,
            )
        }?;
        Ok(bounds)
    }

    /// What bounds are compared by, most significant word first, for each bound. Waits for the stream.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn read(&self, launch: &Launch) -> Result<Vec<Vec<u64>>> {
        let words = abi::SHUFFLE_PARTITION_BOUND_WORDS as usize;
        let read = read_words(launch, &self.words, 0, self.count as usize * words)?;
        Ok(read.chunks_exact(words).map(<[u64]>::to_vec).collect())
    }

    fn key(&self, launch: &Launch, column: &DeviceColumn) -> Result<ShufflePartitionKey> {
        self.words.order_read(launch.stream())?;
        Ok(ShufflePartitionKey {
            column: column.view(launch)?,
            words: address_of(&self.words),
            word_count: self.count,
            flip: if self.descending { u64::MAX } else { 0 },
            nulls_first: u32::from(self.nulls_first),
            reserved: 0,
        })
    }
}

fn read_words(launch: &Launch, buffer: &DeviceBuffer, at: u64, count: usize) -> Result<Vec<u64>> {
    let mut bytes = vec![0u8; count * 8];
    let device = launch.device();
    device.read_at(launch.stream(), buffer, at * 8, &mut bytes)?;
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    Ok(bytes.chunks_exact(8).map(word).collect())
}

/// The columns of a packed partition: all that a receiver must know besides its bytes and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayout {
    columns: Vec<(PhysicalType, bool)>,
}

impl PackedLayout {
    /// The layout of columns: how their values lie, and whether a validity bitmap follows.
    pub fn new(columns: Vec<(PhysicalType, bool)>) -> PackedLayout {
        PackedLayout { columns }
    }

    /// Bytes of each section of a partition of `rows` rows, in order.
    fn sections(&self, rows: u64) -> impl Iterator<Item = u64> + '_ {
        let alignment = u64::from(abi::SHUFFLE_PARTITION_ALIGNMENT);
        let aligned =
            move |physical: PhysicalType| physical.bytes(rows).next_multiple_of(alignment);
        let sections = self.columns.iter().flat_map(move |(physical, nullable)| {
            let validity = nullable.then(|| aligned(PhysicalType::Boolean));
            [Some(aligned(*physical)), validity]
        });
        sections.flatten()
    }

    /// Bytes of a partition of `rows` rows.
    pub fn bytes(&self, rows: u64) -> u64 {
        self.sections(rows).sum()
    }

    /// The columns of the partition of `rows` rows that lies in `buffer` from byte `start` on. They
    /// share the buffer. Views need what they point into: [`DeviceColumn::keeping`].
    ///
    /// # Errors
    /// `InvalidInput` if the partition is not within the buffer, or not at a multiple of 64.
    pub fn columns(
        &self,
        buffer: &Arc<DeviceBuffer>,
        start: u64,
        rows: u64,
    ) -> Result<Vec<DeviceColumn>> {
        let alignment = u64::from(abi::SHUFFLE_PARTITION_ALIGNMENT);
        let bytes = self.bytes(rows);
        if !start.is_multiple_of(alignment) || start + bytes > buffer.bytes() {
            let cause = format!("{bytes} bytes from {start} on, of {}", buffer.bytes());
            return Err(Error::invalid("packed partition", cause, ""));
        }
        let mut at = start;
        let mut sections = self.sections(rows);
        let mut section = || {
            let bytes = sections.next().unwrap_or(0);
            at += bytes;
            Arc::new(DeviceBuffer::part(buffer, at - bytes, bytes))
        };
        let columns = self.columns.iter().map(|(physical, nullable)| {
            let values = section();
            let validity = nullable.then(&mut section);
            DeviceColumn::array(*physical, values, validity, 0, rows)
        });
        columns.collect()
    }
}

/// The partitions of some rows in one buffer. The host does not know their rows yet.
#[derive(Debug)]
pub struct PackedPartitions {
    buffer: Arc<DeviceBuffer>,
    table: DeviceBuffer,
    layout: PackedLayout,
    kept: Vec<Arc<[Arc<DeviceBuffer>]>>,
    partitions: u32,
}

/// The rows of packed partitions, and where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTable {
    rows: Vec<u64>,
    /// The first byte of each partition, and the bytes of all.
    starts: Vec<u64>,
}

impl PackedTable {
    /// Partitions.
    pub fn partitions(&self) -> usize {
        self.rows.len()
    }

    /// Rows of a partition.
    pub fn rows(&self, partition: usize) -> u64 {
        self.rows[partition]
    }

    /// The bytes of a partition in the buffer.
    pub fn bytes(&self, partition: usize) -> Range<u64> {
        self.starts[partition]..self.starts[partition + 1]
    }
}

impl PackedPartitions {
    /// The partitions, in the wire layout. It may be longer than they are.
    pub fn buffer(&self) -> &Arc<DeviceBuffer> {
        &self.buffer
    }

    /// The table, as the kernels wrote it (see the module's documentation).
    pub fn device_table(&self) -> &DeviceBuffer {
        &self.table
    }

    /// What lies in a partition.
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The rows of the partitions. Waits for the stream.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn resolve(&self, launch: &Launch) -> Result<PackedTable> {
        let partitions = self.partitions as usize;
        // The first sections' starts, which lie behind the rows, are those of the partitions; without
        // columns there is one word behind the rows, the bytes of all.
        let starts = if self.layout.columns.is_empty() {
            1
        } else {
            partitions
        };
        let mut rows = read_words(launch, &self.table, 0, partitions + starts)?;
        let mut starts = rows.split_off(partitions);
        let last = starts.last().copied().unwrap_or(0);
        starts.push(last + rows.last().map_or(0, |rows| self.layout.bytes(*rows)));
        starts.resize(partitions + 1, 0);
        Ok(PackedTable { rows, starts })
    }

    /// The columns of a partition. They share the buffer, and keep it as long as they live.
    ///
    /// # Errors
    /// `InvalidInput` if the table is another's.
    pub fn columns(&self, table: &PackedTable, partition: usize) -> Result<Vec<DeviceColumn>> {
        let (start, rows) = (table.bytes(partition).start, table.rows(partition));
        let columns = self.layout.columns(&self.buffer, start, rows)?;
        let columns = columns.into_iter().zip(&self.kept);
        Ok(columns
            .map(|(column, kept)| column.keeping(Arc::clone(kept)))
            .collect())
    }
}

/// Splits rows into `partitions` partitions. Waits for nothing; the order within partitions is
/// unspecified.
///
/// Shape: `columns[rows]` → packed partitions, together of `rows` rows.
///
/// # Errors
/// `InvalidInput` for partitions, keys or bounds that do not fit; no memory is left, or the driver
/// refuses.
pub fn shuffle_partition(
    launch: &Launch,
    columns: &[&DeviceColumn],
    rows: &DeviceRows,
    partitions: u32,
    by: ShuffleBy,
    tuning: ShuffleTuning,
) -> Result<PackedPartitions> {
    if !(2..=abi::SHUFFLE_PARTITION_PARTITIONS_MAX).contains(&partitions) {
        let cause = format!("{partitions} partitions");
        return Err(Error::invalid("shuffle_partition", cause, ""));
    }
    check_rows(columns.iter().copied(), rows)?;
    let layout = columns
        .iter()
        .map(|column| (column.physical(), column.nullable()));
    let layout = PackedLayout::new(layout.collect());
    let sections = layout.sections(0).count() as u64;
    let words = u64::from(partitions) * (1 + sections) + 1;
    let table = launch.alloc(words * 8)?;
    let driver = launch.device().driver();
    driver.fill(
        launch.stream(),
        table.address(),
        0,
        u64::from(partitions) * 8,
    )?;
    let targets = queue_target(launch, rows, partitions, by, tuning, &table)?;

    let mut structs = Vec::with_capacity(columns.len());
    let mut section = 0;
    for column in columns {
        let nullable = u32::from(column.nullable());
        structs.push(ShufflePartitionColumn {
            column: column.view(launch)?,
            section,
            nullable,
        });
        section += 1 + nullable;
    }
    let structs = launch.upload_structs(&structs)?;
    let params = abi::ShufflePartitionLayoutParams {
        columns: address_of(&structs),
        table: address_of(&table),
        column_count: columns.len() as u32,
        partitions,
    };
    let threads = abi::SHUFFLE_PARTITION_THREADS;
    // SAFETY: `structs` has all columns; `table` has a word per partition, which the targets' launch
    // raised, one per section and partition, and one more.
    unsafe { launch.launch::<abi::ShufflePartitionLayout>(1, threads, 0, &params) }?;

    // Every section is rounded up in every partition; bitmaps before that to whole bytes.
    let rounding = u64::from(partitions) * u64::from(abi::SHUFFLE_PARTITION_ALIGNMENT);
    let bytes = layout.bytes(rows.max()) + sections * rounding;
    let packed = PackedPartitions {
        buffer: Arc::new(launch.alloc(bytes)?),
        table,
        layout,
        kept: columns
            .iter()
            .map(|column| Arc::clone(column.kept()))
            .collect(),
        partitions,
    };
    queue_clear(launch, &packed, &structs, rows)?;
    queue_scatter(launch, &packed, &structs, &targets, rows, tuning)?;
    Ok(packed)
}

fn check_rows<'a>(
    columns: impl IntoIterator<Item = &'a DeviceColumn>,
    rows: &DeviceRows,
) -> Result<()> {
    let mut columns = columns.into_iter();
    let cause = match columns.find(|column| column.rows() < rows.max()) {
        None if rows.max() <= i32::MAX as u64 => return Ok(()),
        None => format!("{} rows are too many", rows.max()),
        Some(column) => format!("a column of {} rows, of {}", column.rows(), rows.max()),
    };
    Err(Error::invalid("shuffle_partition", cause, ""))
}

/// Queues what finds the partition of each row, and counts rows into the table.
fn queue_target(
    launch: &Launch,
    rows: &DeviceRows,
    partitions: u32,
    by: ShuffleBy,
    tuning: ShuffleTuning,
    table: &DeviceBuffer,
) -> Result<DeviceBuffer> {
    let invalid = |cause: String| Err(Error::invalid("shuffle_partition", cause, ""));
    let mut keys = Vec::with_capacity(abi::SHUFFLE_PARTITION_KEYS_MAX as usize);
    let (by, start) = match by {
        ShuffleBy::Hash(hashed) => {
            check_rows(hashed.iter().map(|key| key.column), rows)?;
            for key in hashed {
                keys.push(hash_key(launch, key)?);
            }
            (abi::SHUFFLE_PARTITION_HASH, 0)
        }
        ShuffleBy::Range(ranged) => {
            check_rows(ranged.iter().map(|key| key.column), rows)?;
            for ShuffleRangeKey { column, bounds } in ranged {
                let fits = bounds.physical == column.physical();
                if !fits || bounds.count + 1 != u64::from(partitions) {
                    return invalid(format!("{} bounds, or another type's", bounds.count));
                }
                keys.push(bounds.key(launch, column)?);
            }
            (abi::SHUFFLE_PARTITION_RANGE, 0)
        }
        ShuffleBy::RoundRobin { start } => (abi::SHUFFLE_PARTITION_ROUND_ROBIN, start % partitions),
    };
    let key_count = keys.len() as u32;
    if key_count > abi::SHUFFLE_PARTITION_KEYS_MAX {
        return invalid(format!("{key_count} keys"));
    }
    let unused = DeviceColumn::scalar(PhysicalType::Boolean, None, 0);
    let unused = hash_key(
        launch,
        &ShuffleHashKey {
            column: &unused,
            words: None,
        },
    )?;
    let mut all = [unused; abi::SHUFFLE_PARTITION_KEYS_MAX as usize];
    all[..keys.len()].copy_from_slice(&keys);
    let targets = launch.alloc(rows.max() * 2)?;
    let params = abi::ShufflePartitionTargetParams {
        keys: all,
        out_targets: address_of(&targets),
        out_rows: address_of(table),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        key_count,
        by,
        partitions,
        start,
    };
    let threads = abi::SHUFFLE_PARTITION_THREADS;
    let resident = u64::from(launch.device().properties().multiprocessors)
        * u64::from(tuning.blocks_per_multiprocessor.max(1));
    let grid = blocks(rows.max(), threads * abi::SHUFFLE_PARTITION_TARGET_ITEMS).min(resident);
    // SAFETY: key columns have `rows.max()` rows and were ordered by `view`; bounds were checked to be
    // one less than the partitions, codes are checked by the kernel; `targets` has a place per row,
    // `table` begins with a zeroed word per partition.
    unsafe {
        launch.launch::<abi::ShufflePartitionTarget>(grid, threads, 4 * partitions, &params)
    }?;
    Ok(targets)
}

fn hash_key(launch: &Launch, key: &ShuffleHashKey) -> Result<ShufflePartitionKey> {
    if let Some(words) = key.words {
        words.buffer.order_read(launch.stream())?;
        if key.column.physical() != PhysicalType::UInt32 {
            let cause = "words for a key that has no codes";
            return Err(Error::invalid("shuffle_partition", cause, ""));
        }
    }
    Ok(ShufflePartitionKey {
        column: key.column.view(launch)?,
        words: key
            .words
            .map_or(std::ptr::null_mut(), |words| address_of(&words.buffer)),
        word_count: key.words.map_or(0, CodeWords::count),
        flip: 0,
        nulls_first: 0,
        reserved: 0,
    })
}

fn queue_clear(
    launch: &Launch,
    packed: &PackedPartitions,
    structs: &DeviceBuffer,
    rows: &DeviceRows,
) -> Result<()> {
    let items = packed.layout.columns.len() as u64 * u64::from(packed.partitions);
    let most = (CLEARING_BLOCKS_MAX / items.max(1)).max(1);
    let splits = rows.max().div_ceil(ROWS_CLEARED_PER_BLOCK).clamp(1, most);
    let params = abi::ShufflePartitionClearParams {
        columns: address_of(structs),
        table: address_of(&packed.table),
        out_bytes: address_of(&packed.buffer),
        partitions: packed.partitions,
        splits: splits as u32,
    };
    let threads = abi::SHUFFLE_PARTITION_CLEAR_THREADS;
    // SAFETY: `structs` and `table` are those of `layout`; the buffer has room for every section,
    // rounded up.
    unsafe { launch.launch::<abi::ShufflePartitionClear>(items * splits, threads, 0, &params) }
}

/// Rows that a block splits at a time: longer runs for more partitions, fewer rows where shared memory
/// is short, and no more than give every multiprocessor something to do.
fn tile_rows(
    launch: &Launch,
    rows: u64,
    partitions: u32,
    stage_bytes: u32,
    tuning: ShuffleTuning,
) -> u32 {
    let properties = launch.device().properties();
    let wanted = match tuning.tile_rows {
        0 if partitions > 256 => abi::SHUFFLE_PARTITION_TILE_ROWS_MAX,
        0 => abi::SHUFFLE_PARTITION_TILE_ROWS_MAX / 2,
        rows => rows.min(abi::SHUFFLE_PARTITION_TILE_ROWS_MAX),
    };
    // Two blocks share a multiprocessor: one computes while the other waits for memory.
    let shared = properties.shared_bytes_per_block_max / 2;
    let shared = shared.saturating_sub(SHARED_BYTES_TAKEN + 8 * partitions);
    let fit = shared / (stage_bytes + 4);
    let spread = rows.div_ceil(2 * u64::from(properties.multiprocessors.max(1)));
    let spread = spread.clamp(
        u64::from(abi::SHUFFLE_PARTITION_THREADS),
        u64::from(wanted.max(512)),
    );
    let rows = wanted.min(fit).min(spread as u32);
    (rows & !31).max(32)
}

fn queue_scatter(
    launch: &Launch,
    packed: &PackedPartitions,
    structs: &DeviceBuffer,
    targets: &DeviceBuffer,
    rows: &DeviceRows,
    tuning: ShuffleTuning,
) -> Result<()> {
    let partitions = packed.partitions;
    let columns = packed.layout.columns.iter();
    let widest = columns.map(|(physical, _)| physical.bits() / 8).max();
    let stage_bytes = widest.unwrap_or(0).max(1) as u32;
    let tile_rows = tile_rows(launch, rows.max(), partitions, stage_bytes, tuning);
    let cursors = launch.alloc_zeroed(u64::from(partitions) * 4)?;
    let params = abi::ShufflePartitionScatterParams {
        columns: address_of(structs),
        targets: address_of(targets),
        table: address_of(&packed.table),
        cursors: address_of(&cursors),
        out_bytes: address_of(&packed.buffer),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        column_count: packed.layout.columns.len() as u32,
        partitions,
        tile_rows,
        stage_bytes,
    };
    let grid = match params.column_count {
        0 => 0, // rows without columns are in the table alone
        _ => blocks(rows.max(), tile_rows),
    };
    let shared_bytes = tile_rows * (stage_bytes + 4) + 8 * partitions;
    let threads = abi::SHUFFLE_PARTITION_THREADS;
    // SAFETY: the columns in `structs` have `rows.max()` rows and were ordered by `view`; `targets` and
    // `table` are of the same rows, so that the rows of every partition have room in its sections;
    // bitmaps were cleared; shared memory is what the kernel's docstring asks for.
    unsafe { launch.launch::<abi::ShufflePartitionScatter>(grid, threads, shared_bytes, &params) }
}
