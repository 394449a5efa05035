//! Launchers of `window`: functions of rows that stand in the order of their partitions.
//!
//! [`WindowRows`] finds partitions and groups of peers once, which the host waits for; each function
//! is then one launch, or two where a result per segment is given to the segment's rows, or where a
//! frame is put together from scans.

use std::sync::Arc;

use super::abi::{self, WindowFinish, WindowSegmentsView};
use super::{DeviceColumn, Kernel, Launch, OutputColumn, Status, address_of, blocks, halves};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Farther than any two rows are apart.
const DISTANCE_MAX: i64 = 1 << 32;

/// Which rows of its partition a row looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowExtent {
    /// All.
    Partition,
    /// From the first one to the row's last peer.
    Range,
    /// From `start` to `end`, both included, counted from the row; none: as far as the partition goes.
    Rows {
        /// The first row.
        start: Option<i64>,
        /// The last row, not before the first.
        end: Option<i64>,
    },
}

/// An aggregate over a frame.
#[derive(Debug, Clone, Copy)]
pub struct WindowAggregate {
    /// One of `abi::WINDOW_ADD_*` and `abi::WINDOW_MAX_*`, which fits the column.
    pub add: u32,
    /// One of `abi::WINDOW_FINISH_*`.
    pub finish: u32,
    /// The smallest value is wanted, not the greatest.
    pub smallest: bool,
    /// Layout of the output.
    pub physical: PhysicalType,
    /// Absolute sums must be below this; 0: the output's type decides.
    pub limit: i128,
    /// Mean: 10^scale of a decimal operand, else 1.
    pub factor: f64,
    /// A sum of no values is zero, not null.
    pub empty_is_zero: bool,
    /// A sum beyond its limit is an error, not null.
    pub overflow_is_error: bool,
}

/// Runs of consecutive rows.
#[derive(Debug)]
struct Segments {
    heads: DeviceBuffer,
    before: DeviceBuffer,
    starts: Arc<DeviceBuffer>,
    count: u64,
}

/// Rows in the order of their partitions, and where partitions and groups of peers begin.
#[derive(Debug)]
pub struct WindowRows {
    partitions: Segments,
    /// None: the peers of a row are its partition.
    peers: Option<Segments>,
    rows: u64,
}

/// What a scan leaves for each row.
struct States {
    values: Option<DeviceBuffer>,
    counts: Option<DeviceBuffer>,
}

impl Segments {
    fn new(launch: &Launch, rows: u64) -> Result<Segments> {
        let words = rows.div_ceil(32);
        Ok(Segments {
            heads: launch.alloc(4 * words)?,
            before: launch.alloc(4 * words)?,
            starts: Arc::new(launch.alloc(4 * (rows + 1))?),
            count: 0,
        })
    }

    fn abi(&self) -> WindowSegmentsView {
        WindowSegmentsView {
            heads: address_of(&self.heads),
            before: address_of(&self.before),
            starts: address_of(&self.starts),
        }
    }
}

impl WindowExtent {
    fn abi(self) -> abi::WindowFrameBounds {
        let (kind, start, end) = match self {
            WindowExtent::Partition => (abi::WINDOW_FRAME_PARTITION, None, None),
            WindowExtent::Range => (abi::WINDOW_FRAME_RANGE, None, None),
            WindowExtent::Rows { start, end } => (abi::WINDOW_FRAME_ROWS, start, end),
        };
        abi::WindowFrameBounds {
            start: within(start.unwrap_or(0)),
            end: within(end.unwrap_or(0)),
            kind,
            start_bounded: u32::from(start.is_some()),
            end_bounded: u32::from(end.is_some()),
            reserved: 0,
        }
    }

    /// True if a row is always in its own frame.
    fn has_own_row(self) -> bool {
        match self {
            WindowExtent::Partition | WindowExtent::Range => true,
            WindowExtent::Rows { start, end } => {
                start.is_none_or(|start| start <= 0) && end.is_none_or(|end| end >= 0)
            }
        }
    }
}

fn within(offset: i64) -> i64 {
    offset.clamp(-DISTANCE_MAX, DISTANCE_MAX)
}

impl WindowAggregate {
    /// 64-bit words of a state's value.
    fn words(&self) -> u64 {
        match self.add {
            abi::WINDOW_ADD_INT128 | abi::WINDOW_MAX_UINT128 => 2,
            _ => 1,
        }
    }

    fn abi(&self) -> WindowFinish {
        let (limit_low, limit_high) = halves(self.limit);
        WindowFinish {
            limit_low,
            limit_high,
            flip: if self.smallest { u64::MAX } else { 0 },
            factor: self.factor,
            finish: self.finish,
            empty_is_zero: u32::from(self.empty_is_zero),
            overflow_is_error: u32::from(self.overflow_is_error),
            reserved: 0,
        }
    }

    /// Whether a result may be null.
    fn nullable(&self, column: &DeviceColumn, extent: WindowExtent) -> bool {
        let always_fits = self.limit == 0;
        let never_empty = !column.nullable() && extent.has_own_row();
        self.finish != abi::WINDOW_FINISH_COUNT && !(always_fits && never_empty)
    }
}

impl WindowRows {
    /// Finds the partitions of rows that stand in their order, by comparing neighbours, and the groups
    /// of peers within them; without order keys, a partition is one such group. Waits for the stream.
    ///
    /// # Errors
    /// `InvalidInput` for views and for more than `abi::WINDOW_KEYS_MAX` keys; no memory is left, or
    /// what failed on the stream.
    pub fn new(
        launch: &Launch,
        partition_keys: &[&DeviceColumn],
        order_keys: &[&DeviceColumn],
        rows: u64,
    ) -> Result<WindowRows> {
        let mut found = WindowRows {
            partitions: Segments::new(launch, rows)?,
            peers: match order_keys {
                [] => None,
                _ => Some(Segments::new(launch, rows)?),
            },
            rows,
        };
        if rows == 0 {
            return Ok(found);
        }
        let keys: Vec<_> = partition_keys.iter().chain(order_keys).collect();
        let views = keys.iter().any(|key| key.physical() == PhysicalType::View);
        if views || keys.len() > abi::WINDOW_KEYS_MAX as usize {
            let cause = "views, or too many keys";
            return Err(Error::invalid("window", cause, "pass codes for views"));
        }
        let tiles = blocks(rows, abi::WINDOW_TILE_ROWS);
        let words = launch.alloc_zeroed(8 * (1 + tiles))?;
        let counts = launch.alloc(16)?;
        let ticket = address_of::<u64>(&words);
        let nothing = DeviceColumn::scalar(PhysicalType::Boolean, None, rows);
        let mut params = abi::WindowSegmentsParams {
            keys: [nothing.view(launch)?; abi::WINDOW_KEYS_MAX as usize],
            partitions: found.partitions.abi(),
            peers: found.peers.as_ref().map_or(
                WindowSegmentsView {
                    heads: std::ptr::null_mut(),
                    before: std::ptr::null_mut(),
                    starts: std::ptr::null_mut(),
                },
                Segments::abi,
            ),
            tile_states: ticket.wrapping_add(1),
            tile_ticket: ticket,
            out_counts: address_of(&counts),
            row_count: rows,
            partition_key_count: partition_keys.len() as u32,
            key_count: keys.len() as u32,
        };
        for (place, key) in params.keys.iter_mut().zip(&keys) {
            *place = key.view(launch)?;
        }
        // SAFETY: `view` gives buffers of `rows` rows; segments were made for as many; `words` has a
        // ticket and a state per tile, all zero.
        unsafe { launch.launch::<abi::WindowSegments>(tiles, abi::WINDOW_THREADS, 0, &params) }?;
        let mut bytes = [0u8; 16];
        launch.device().read(launch.stream(), &counts, &mut bytes)?;
        let word = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        found.partitions.count = word(0);
        if let Some(peers) = &mut found.peers {
            peers.count = word(8);
        }
        Ok(found)
    }

    /// Partitions found.
    pub fn partitions(&self) -> u64 {
        self.partitions.count
    }

    /// The first row of each partition, and the end of the last one: `UInt32` `[partitions + 1]`.
    ///
    /// # Errors
    /// `InvalidInput` if there are no rows.
    pub fn partition_starts(&self) -> Result<DeviceColumn> {
        let starts = Arc::clone(&self.partitions.starts);
        if self.rows == 0 {
            return Err(Error::invalid("window", "no rows have no partitions", ""));
        }
        let count = self.partitions.count + 1;
        DeviceColumn::array(PhysicalType::UInt32, starts, None, 0, count)
    }

    fn peers(&self) -> &Segments {
        self.peers.as_ref().unwrap_or(&self.partitions)
    }

    fn tiles(&self) -> u64 {
        blocks(self.rows, abi::WINDOW_TILE_ROWS)
    }

    /// The rank of each row: one of `abi::WINDOW_ROW_NUMBER` and on, of so many buckets for
    /// `abi::WINDOW_NTILE`.
    ///
    /// # Errors
    /// `InvalidInput` for no buckets; no memory is left, or the driver refuses.
    pub fn rank(&self, launch: &Launch, rank: u32, buckets: u64) -> Result<DeviceColumn> {
        if buckets == 0 {
            return Err(Error::invalid(
                "ntile",
                "no buckets",
                "ask for at least one",
            ));
        }
        let physical = match rank {
            abi::WINDOW_PERCENT_RANK | abi::WINDOW_CUME_DIST => PhysicalType::Float64,
            _ => PhysicalType::Int64,
        };
        let output = OutputColumn::new(launch, physical, self.rows, false)?;
        let params = abi::WindowRankParams {
            partitions: self.partitions.abi(),
            peers: self.peers().abi(),
            output: output.out(),
            row_count: self.rows,
            buckets,
            rank,
            reserved: 0,
        };
        let threads = abi::WINDOW_THREADS;
        // SAFETY: the output and the segments have `rows` rows.
        unsafe { launch.launch::<abi::WindowRank>(self.tiles(), threads, 0, &params) }?;
        Ok(output.into_column())
    }

    /// The value of the row `offset` rows behind (before, if negative) in the partition; where there is
    /// none, the bits of the default, or null.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn neighbour(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        offset: i64,
        default: Option<u128>,
    ) -> Result<DeviceColumn> {
        let extent = WindowExtent::Partition;
        let nullable = column.nullable() || default.is_none();
        let pick = (abi::WINDOW_PICK_NEIGHBOUR, within(offset));
        self.pick(launch, column, pick, extent, default, nullable)
    }

    /// The value of the frame's row with this index, counted from 0.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn nth_value(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        extent: WindowExtent,
        index: u64,
    ) -> Result<DeviceColumn> {
        let nullable = column.nullable() || index > 0 || !extent.has_own_row();
        let index = within(i64::try_from(index).unwrap_or(DISTANCE_MAX));
        let pick = (abi::WINDOW_PICK_FIRST, index);
        self.pick(launch, column, pick, extent, None, nullable)
    }

    /// The value of the frame's last row.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn last_value(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        extent: WindowExtent,
    ) -> Result<DeviceColumn> {
        let nullable = column.nullable() || !extent.has_own_row();
        let pick = (abi::WINDOW_PICK_LAST, 0);
        self.pick(launch, column, pick, extent, None, nullable)
    }

    fn pick(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        (pick, offset): (u32, i64),
        extent: WindowExtent,
        default: Option<u128>,
        nullable: bool,
    ) -> Result<DeviceColumn> {
        let output = OutputColumn::new(launch, column.physical(), self.rows, nullable)?;
        let (default_low, default_high) = halves(default.unwrap_or(0).cast_signed());
        let params = abi::WindowPickParams {
            column: column.view(launch)?,
            output: output.out(),
            partitions: self.partitions.abi(),
            peers: self.peers().abi(),
            frame: extent.abi(),
            offset,
            default_low,
            default_high,
            row_count: self.rows,
            pick,
            default_valid: u32::from(default.is_some()),
        };
        let threads = abi::WINDOW_THREADS;
        // SAFETY: the output and the segments have `rows` rows, and so has the column, or an element
        // per segment where those are picked.
        unsafe { launch.launch::<abi::WindowPick>(self.tiles(), threads, 0, &params) }?;
        Ok(output.into_column().keeping(Arc::clone(column.kept())))
    }

    /// An aggregate of each row's frame; without a column, the number of its rows.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses. Sums that do not fit are reported by `status`.
    pub fn aggregate(
        &self,
        launch: &Launch,
        column: Option<&DeviceColumn>,
        how: &WindowAggregate,
        extent: WindowExtent,
        status: &Status,
    ) -> Result<DeviceColumn> {
        let every_row = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), self.rows);
        let column = column.unwrap_or(&every_row);
        let job = Job {
            rows: self,
            launch,
            column,
            how,
            status,
            nullable: how.nullable(column, extent),
        };
        if how.finish == abi::WINDOW_FINISH_COUNT && !column.nullable() {
            return job.combined(extent, abi::WINDOW_COMBINE_PREFIX, 0, [None, None]);
        }
        let integers = matches!(how.add, abi::WINDOW_ADD_I64 | abi::WINDOW_ADD_INT128);
        let (start, end) = match extent {
            WindowExtent::Partition => (None, None),
            WindowExtent::Range if self.peers.is_none() => (None, None),
            WindowExtent::Range => return job.of_segments(abi::WINDOW_SCAN_PEERS),
            WindowExtent::Rows { start, end } => (start, end),
        };
        match (start, end) {
            (None, None) => job.of_segments(abi::WINDOW_SCAN_PARTITIONS),
            (None, Some(0)) => {
                let output = OutputColumn::new(launch, how.physical, self.rows, job.nullable)?;
                job.scan(abi::WINDOW_SCAN_ROWS, Some(&output), None, (false, 0))?;
                Ok(output.into_column())
            }
            (None, Some(_)) => {
                let prefix = job.states(false, 0)?;
                job.combined(extent, abi::WINDOW_COMBINE_PREFIX, 0, [Some(prefix), None])
            }
            (Some(_), None) => {
                let suffix = job.states(true, 0)?;
                job.combined(extent, abi::WINDOW_COMBINE_SUFFIX, 0, [None, Some(suffix)])
            }
            (Some(_), Some(_)) if integers => {
                let prefix = job.states(false, 0)?;
                job.combined(
                    extent,
                    abi::WINDOW_COMBINE_DIFFERENCE,
                    0,
                    [Some(prefix), None],
                )
            }
            (Some(start), Some(end)) => {
                let block_rows = (within(end) - within(start) + 1).clamp(1, 1 << 31) as u32;
                let states = [
                    job.states(false, block_rows)?,
                    job.states(true, block_rows)?,
                ];
                job.combined(
                    extent,
                    abi::WINDOW_COMBINE_BLOCKS,
                    block_rows,
                    states.map(Some),
                )
            }
        }
    }
}

/// One aggregate on its way.
struct Job<'a> {
    rows: &'a WindowRows,
    launch: &'a Launch<'a>,
    column: &'a DeviceColumn,
    how: &'a WindowAggregate,
    status: &'a Status,
    nullable: bool,
}

impl Job<'_> {
    /// A result per partition, or group of peers, given to its rows.
    fn of_segments(&self, target: u32) -> Result<DeviceColumn> {
        let (launch, rows) = (self.launch, self.rows);
        let (segments, pick) = match target {
            abi::WINDOW_SCAN_PEERS => (rows.peers(), abi::WINDOW_PICK_PEERS),
            _ => (&rows.partitions, abi::WINDOW_PICK_PARTITION),
        };
        let (physical, nullable) = (self.how.physical, self.nullable);
        let output = OutputColumn::zeroed_bitmaps(launch, physical, segments.count, nullable)?;
        self.scan(target, Some(&output), None, (false, 0))?;
        let results = output.into_column();
        let extent = WindowExtent::Partition;
        rows.pick(launch, &results, (pick, 0), extent, None, nullable)
    }

    /// States of the rows up to each row, or from it on, within blocks of so many rows.
    fn states(&self, reverse: bool, block_rows: u32) -> Result<States> {
        let (launch, rows) = (self.launch, self.rows.rows);
        let valued = self.how.finish != abi::WINDOW_FINISH_COUNT;
        let values = valued.then(|| launch.alloc(8 * self.how.words() * rows));
        let counts = self.column.nullable().then(|| launch.alloc(4 * rows));
        let states = States {
            values: values.transpose()?,
            counts: counts.transpose()?,
        };
        self.scan(
            abi::WINDOW_SCAN_STATES,
            None,
            Some(&states),
            (reverse, block_rows),
        )?;
        Ok(states)
    }

    fn scan(
        &self,
        target: u32,
        output: Option<&OutputColumn>,
        states: Option<&States>,
        (reverse, block_rows): (bool, u32),
    ) -> Result<()> {
        let (launch, tiles) = (self.launch, self.rows.tiles());
        let words = launch.alloc_zeroed(8 * (1 + tiles))?;
        let tile_values = launch.alloc(16 * self.how.words() * tiles)?;
        let ticket = address_of::<u64>(&words);
        let no_output = abi::ColumnOut {
            values: std::ptr::null_mut(),
            validity: std::ptr::null_mut(),
            type_: 0,
            reserved: 0,
        };
        let values = states.and_then(|states| states.values.as_ref());
        let counts = states.and_then(|states| states.counts.as_ref());
        let params = abi::WindowScanParams {
            column: self.column.view(launch)?,
            output: output.map_or(no_output, OutputColumn::out),
            partitions: self.rows.partitions.abi(),
            peers: self.rows.peers().abi(),
            finish: self.how.abi(),
            out_values: values.map_or(std::ptr::null_mut(), address_of::<u64>),
            out_counts: counts.map_or(std::ptr::null_mut(), address_of::<u32>),
            tile_flags: ticket.wrapping_add(1),
            tile_values: address_of(&tile_values),
            tile_ticket: ticket,
            status: self.status.pointer(),
            row_count: self.rows.rows,
            block_rows,
            target,
            reverse: u32::from(reverse),
            reserved: 0,
        };
        match self.how.add {
            abi::WINDOW_ADD_I64 => self.launch_scan::<abi::WindowScanI64>(&params),
            abi::WINDOW_ADD_INT128 => self.launch_scan::<abi::WindowScanInt128>(&params),
            abi::WINDOW_ADD_F64 => self.launch_scan::<abi::WindowScanF64>(&params),
            abi::WINDOW_MAX_U64 => self.launch_scan::<abi::WindowScanMaxU64>(&params),
            _ => self.launch_scan::<abi::WindowScanMaxUint128>(&params),
        }
    }

    fn launch_scan<K: Kernel<Params = abi::WindowScanParams>>(
        &self,
        params: &abi::WindowScanParams,
    ) -> Result<()> {
        let (launch, tiles) = (self.launch, self.rows.tiles());
        // SAFETY: the column, the segments and what is written have `rows` rows, outputs of segments
        // an element for each; tiles have their flags, which are zero, and their values.
        unsafe { launch.launch::<K>(tiles, abi::WINDOW_THREADS, 0, params) }
    }

    /// Frames put together from the states of a scan forward and of one in reverse.
    fn combined(
        &self,
        extent: WindowExtent,
        combine: u32,
        block_rows: u32,
        [prefix, suffix]: [Option<States>; 2],
    ) -> Result<DeviceColumn> {
        let (launch, rows) = (self.launch, self.rows);
        let output = OutputColumn::new(launch, self.how.physical, rows.rows, self.nullable)?;
        let values = |states: &Option<States>| {
            let values = states.as_ref().and_then(|states| states.values.as_ref());
            values.map_or(std::ptr::null(), |values| {
                address_of::<u64>(values).cast_const()
            })
        };
        let counts = |states: &Option<States>| {
            let counts = states.as_ref().and_then(|states| states.counts.as_ref());
            counts.map_or(std::ptr::null(), |counts| {
                address_of::<u32>(counts).cast_const()
            })
        };
        let params = abi::WindowFrameParams {
            output: output.out(),
            partitions: rows.partitions.abi(),
            peers: rows.peers().abi(),
            frame: extent.abi(),
            finish: self.how.abi(),
            prefix_values: values(&prefix),
            prefix_counts: counts(&prefix),
            suffix_values: values(&suffix),
            suffix_counts: counts(&suffix),
            status: self.status.pointer(),
            row_count: rows.rows,
            block_rows,
            add: self.how.add,
            combine,
            reserved: 0,
        };
        let threads = abi::WINDOW_THREADS;
        // SAFETY: the output, the segments and the states have `rows` rows; which states are read is
        // what `combine` says, and `aggregate` scans those.
        unsafe { launch.launch::<abi::WindowFrame>(rows.tiles(), threads, 0, &params) }?;
        Ok(output.into_column())
    }
}
