//! Launchers of `hash_join`: a table of the build side's keys, and the rows that meet in it.
//!
//! [`JoinTable::build`] chooses the table by the keys' range and by whether a key comes twice, and
//! waits for both. Probing waits for nothing: [`JoinTable::found`], [`JoinTable::select`],
//! [`JoinTable::lookup`] and [`JoinTable::pairs`] have an output of at most the probe's rows. Where keys repeat there is
//! [`JoinTable::count`], whose size somebody must wait for, and then [`JoinCount::emit`].

mod filter;
mod layout;
mod marks;
mod parts;

pub use layout::{JoinKey, JoinLayout, JoinTuning};
pub use marks::JoinMarks;

use std::sync::Arc;

use super::abi::{self, HashJoinKeys, HashJoinTable};
use super::column::check_rows;
use super::project::compare;
use super::{DeviceColumn, DeviceRows, Kernel, Launch, OutputColumn, Status, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;
use filter::{Filter, SampledFilter};
use layout::{Range, Shape, hashed, no_side};
use parts::{Rest, build_parts, no_rest};

/// Stands for no row: a build side has one row less than row numbers there are.
const NO_ROW: u32 = u32::MAX;

/// Shared memory of a block that static arrays take, at most.
const SHARED_BYTES_TAKEN: u32 = 1 << 10;

/// What probing asks of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinNeed {
    /// Whether a key is there.
    Existence,
    /// The rows that have it.
    Rows,
}

/// A table of the build side's keys.
#[derive(Debug)]
pub struct JoinTable {
    layout: JoinLayout,
    tuning: JoinTuning,
    shape: Shape,
    slots: Option<Arc<DeviceBuffer>>,
    rows: Option<Arc<DeviceBuffer>>,
    filter: Option<Filter>,
    /// Key columns of the build side, for wide keys alone.
    columns: Vec<DeviceColumn>,
}

/// Pairs of rows with equal keys.
#[derive(Debug)]
pub struct JoinPairs {
    /// Row of the probe side of each pair.
    pub probe_rows: DeviceColumn,
    /// Row of the build side; null where there is none.
    pub build_rows: DeviceColumn,
    /// Pairs.
    pub rows: DeviceRows,
}

/// Probe rows with their lists of build rows, not yet written out as pairs.
#[derive(Debug)]
pub struct JoinCount {
    hits: DeviceBuffer,
    tile_starts: DeviceBuffer,
    /// Ticket, output rows, states of tiles.
    words: DeviceBuffer,
    list_rows: Arc<DeviceBuffer>,
    rows: DeviceRows,
    outer: bool,
}

/// Blocks that stride over `rows` rows, `per_block` at a time.
fn grid(launch: &Launch, tuning: &JoinTuning, rows: u64, per_block: u32) -> u64 {
    let resident = u64::from(launch.device().properties().multiprocessors)
        * u64::from(tuning.blocks_per_multiprocessor.max(1));
    blocks(rows, per_block).min(resident)
}

fn read_words<const N: usize>(launch: &Launch, buffer: &DeviceBuffer, at: u64) -> Result<[u64; N]> {
    let mut bytes = vec![0u8; N * 8];
    let device = launch.device();
    device.read_at(launch.stream(), buffer, at * 8, &mut bytes)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
    }
    Ok(words)
}

/// Blocks of `hash_join_match` and `hash_join_pairs`: what runs at a time, so that no block is left
/// for a second round.
fn probe_grid(launch: &Launch, tuning: &JoinTuning, rows: u64) -> u64 {
    let per_multiprocessor = tuning
        .blocks_per_multiprocessor
        .min(abi::HASH_JOIN_PROBE_BLOCKS);
    let tuning = JoinTuning {
        blocks_per_multiprocessor: per_multiprocessor,
        ..*tuning
    };
    grid(launch, &tuning, rows, abi::HASH_JOIN_PROBE_ROWS)
}

/// Shared memory of a block that is ours to ask for: static arrays take some.
fn shared_bytes_max(launch: &Launch) -> u64 {
    let all = launch.device().properties().shared_bytes_per_block_max;
    u64::from(all.saturating_sub(SHARED_BYTES_TAKEN))
}

/// A buffer whose bytes are all `value`.
fn filled(launch: &Launch, bytes: u64, value: u8) -> Result<Arc<DeviceBuffer>> {
    let buffer = launch.alloc(bytes)?;
    let driver = launch.device().driver();
    driver.fill(launch.stream(), buffer.address(), value, buffer.bytes())?;
    Ok(Arc::new(buffer))
}

/// Queues what finds the range of the build side's words.
fn queue_range(
    launch: &Launch,
    tuning: &JoinTuning,
    build: &HashJoinKeys,
    row_count: u64,
) -> Result<DeviceBuffer> {
    let start: Vec<u8> = Range::NOTHING
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let found = launch.device().upload(launch.stream(), &start)?;
    let params = abi::HashJoinRangeParams {
        build: *build,
        found: address_of(&found),
        row_count,
    };
    let grid = grid(launch, tuning, row_count, abi::HASH_JOIN_TILE_ROWS);
    // SAFETY: `JoinLayout::side` took the keys from columns that have `row_count` rows, which
    // `JoinTable::build` checked; `found` has HASH_JOIN_RANGE_WORDS words.
    unsafe { launch.launch::<abi::HashJoinRange>(grid, abi::HASH_JOIN_THREADS, 0, &params) }?;
    Ok(found)
}

/// The layout, with keys packed that are wide by their types alone. Waits for the stream if there
/// are such.
fn narrowed(
    launch: &Launch,
    layout: JoinLayout,
    columns: &[&DeviceColumn],
    rows: u64,
    tuning: &JoinTuning,
) -> Result<JoinLayout> {
    if !layout.may_narrow(tuning) {
        return Ok(layout);
    }
    let mut found = Vec::with_capacity(columns.len());
    for (key, column) in columns.iter().enumerate() {
        let side = layout.alone(key).side(launch, &[*column])?;
        found.push(queue_range(launch, tuning, &side, rows)?);
    }
    let ranges = found.iter();
    let ranges = ranges.map(|found| read_words(launch, found, 0).map(Range::of));
    let ranges = ranges.collect::<Result<Vec<_>>>()?;
    Ok(layout.narrowed(&ranges).unwrap_or(layout))
}

/// Where build rows wait for their places in lists.
struct Ranks {
    slots: DeviceBuffer,
    ranks: DeviceBuffer,
}

impl Ranks {
    fn new(launch: &Launch, rows: u64) -> Result<Ranks> {
        let (slots, ranks) = (launch.alloc(rows * 4)?, launch.alloc(rows * 4)?);
        Ok(Ranks { slots, ranks })
    }
}

impl JoinTable {
    /// The table of a build side of `rows` rows. Waits for the stream.
    ///
    /// # Errors
    /// No memory is left, a failure on the stream, or columns that do not fit the layout.
    pub fn build(
        launch: &Launch,
        layout: JoinLayout,
        columns: &[&DeviceColumn],
        rows: u64,
        need: JoinNeed,
        tuning: JoinTuning,
    ) -> Result<JoinTable> {
        if rows > u64::from(u32::MAX) || columns.iter().any(|column| column.rows() < rows) {
            let cause = format!("{rows} build rows, which columns or row numbers do not have");
            return Err(Error::invalid("hash_join", cause, ""));
        }
        let layout = narrowed(launch, layout, columns, rows, &tuning)?;
        let build = layout.side(launch, columns)?;
        let (dense, keys, nulls) = if layout.is_wide() {
            (None, rows, 0)
        } else {
            let found = queue_range(launch, &tuning, &build, rows)?;
            let range = read_words(launch, &found, 0).map(Range::of)?;
            (range.dense(&tuning), range.words, range.nulls)
        };
        let slot_words = match need {
            JoinNeed::Existence => 1,
            JoinNeed::Rows => 2,
        };
        let is_dense = dense.is_some();
        let columns = match layout.is_wide() {
            true => columns.iter().map(|column| (*column).clone()).collect(),
            false => Vec::new(),
        };
        let mut this = JoinTable {
            layout,
            tuning,
            shape: dense.unwrap_or_else(|| hashed(keys, slot_words, &tuning)),
            slots: None,
            rows: None,
            filter: None,
            columns,
        };
        match (is_dense, need) {
            (true, JoinNeed::Existence) => this.build_bits(launch, &build, rows),
            (true, JoinNeed::Rows) => this.build_dense(launch, &build, rows),
            (false, _) => this.build_hashed(launch, &build, rows, need, nulls > 0),
        }?;
        Ok(this)
    }

    fn build_bits(&mut self, launch: &Launch, build: &HashJoinKeys, rows: u64) -> Result<()> {
        self.shape.layout = abi::HASH_JOIN_DENSE_BITS;
        self.slots = Some(filled(launch, self.shape.capacity.div_ceil(64) * 8, 0)?);
        self.insert(launch, build, rows, None).map(drop)
    }

    fn build_dense(&mut self, launch: &Launch, build: &HashJoinKeys, rows: u64) -> Result<()> {
        if !self.tuning.force_lists {
            self.shape.layout = abi::HASH_JOIN_DENSE_ROWS;
            self.rows = Some(filled(launch, self.shape.capacity * 4, 0xff)?);
            if self.insert(launch, build, rows, None)? == 0 {
                return Ok(());
            }
        }
        self.shape.layout = abi::HASH_JOIN_DENSE_LISTS;
        self.rows = None;
        self.slots = Some(filled(launch, self.shape.capacity * 8, 0)?);
        let ranks = Ranks::new(launch, rows)?;
        self.insert(launch, build, rows, Some(&ranks))?;
        self.make_lists(launch, &ranks, rows)
    }

    fn build_hashed(
        &mut self,
        launch: &Launch,
        build: &HashJoinKeys,
        rows: u64,
        need: JoinNeed,
        has_null_key: bool,
    ) -> Result<()> {
        self.shape.layout = match need {
            JoinNeed::Existence => abi::HASH_JOIN_HASH_KEYS,
            JoinNeed::Rows => abi::HASH_JOIN_HASH_ROWS,
        };
        if !self.layout.is_wide() && self.shape.is_large(&self.tuning) {
            self.filter = Filter::new(launch, &self.tuning, build, rows)?;
        }
        let may_divide = !self.layout.is_wide() && !has_null_key;
        let part_bits = match may_divide && !(need == JoinNeed::Rows && self.tuning.force_lists) {
            true => self.shape.divide(&self.tuning, shared_bytes_max(launch)),
            false => None,
        };
        if let Some(part_bits) = part_bits
            && self.build_by_parts(launch, build, rows, part_bits)?
        {
            return Ok(());
        }
        self.slots = Some(filled(launch, self.shape.slot_bytes(), 0xff)?);
        if need == JoinNeed::Existence {
            return self.insert(launch, build, rows, None).map(drop);
        }
        let ranks = Ranks::new(launch, rows)?;
        let duplicates = self.insert(launch, build, rows, Some(&ranks))?;
        if duplicates == 0 && !self.tuning.force_lists {
            return Ok(());
        }
        self.shape.layout = abi::HASH_JOIN_HASH_LISTS;
        self.make_lists(launch, &ranks, rows)
    }

    /// Builds a large table part by part. Answers whether it could: keys are even enough and, if
    /// rows are wanted, none comes twice.
    fn build_by_parts(
        &mut self,
        launch: &Launch,
        build: &HashJoinKeys,
        rows: u64,
        part_bits: u32,
    ) -> Result<bool> {
        let slots = launch.alloc(self.shape.slot_bytes())?;
        let special_bytes =
            u64::from(abi::HASH_JOIN_SPECIAL_SLOTS) * u64::from(self.shape.slot_words) * 8;
        let specials = slots.address() + (self.shape.slot_bytes() - special_bytes);
        let driver = launch.device().driver();
        driver.fill(launch.stream(), specials, 0xff, special_bytes)?;
        self.slots = Some(Arc::new(slots));
        let table = self.table(launch)?;
        let side = (build, rows);
        let rest = build_parts(launch, &self.tuning, table, side, part_bits)?;
        let [mut duplicates, left] = read_words(launch, rest.counts(), 0)?;
        let may_repeat = self.shape.slot_words == 1;
        let mut is_built = left <= rest.room() && (may_repeat || duplicates == 0);
        if is_built && left > 0 {
            self.insert_from(launch, (build, left), Some(&rest), None, rest.counts())?;
            [duplicates] = read_words(launch, rest.counts(), 0)?;
            is_built = may_repeat || duplicates == 0;
        }
        if !is_built {
            self.slots = None;
        }
        Ok(is_built)
    }

    /// Puts the build side into the table. Answers the rows whose key was there, and waits for that.
    fn insert(
        &self,
        launch: &Launch,
        build: &HashJoinKeys,
        rows: u64,
        ranks: Option<&Ranks>,
    ) -> Result<u64> {
        let duplicates = launch.alloc_zeroed(8)?;
        self.insert_from(launch, (build, rows), None, ranks, &duplicates)?;
        read_words::<1>(launch, &duplicates, 0).map(|[count]| count)
    }

    /// Puts so many rows of the build side, or of those that are left, into the table; waits for
    /// errors. The first word of `counts` is raised by rows whose key was there.
    fn insert_from(
        &self,
        launch: &Launch,
        (build, row_count): (&HashJoinKeys, u64),
        rest: Option<&Rest>,
        ranks: Option<&Ranks>,
        counts: &DeviceBuffer,
    ) -> Result<()> {
        let status = Status::new(launch, "hash_join_insert")?;
        let params = abi::HashJoinInsertParams {
            build: *build,
            table: self.table(launch)?,
            rest: rest.map_or_else(no_rest, Rest::params),
            row_slots: ranks.map_or(std::ptr::null_mut(), |r| address_of(&r.slots)),
            row_ranks: ranks.map_or(std::ptr::null_mut(), |r| address_of(&r.ranks)),
            duplicate_count: address_of(counts),
            status: status.pointer(),
            row_count,
        };
        let grid = grid(launch, &self.tuning, row_count, abi::HASH_JOIN_THREADS);
        self.launch_by_width::<abi::HashJoinInsert, abi::HashJoinInsertWide>(
            launch, grid, &params,
        )?;
        status.check(launch)
    }

    /// Turns the rows counted in each slot into lists.
    fn make_lists(&mut self, launch: &Launch, ranks: &Ranks, row_count: u64) -> Result<()> {
        self.rows = Some(Arc::new(launch.alloc(row_count * 4)?));
        let list_count = launch.alloc_zeroed(8)?;
        let special = match self.shape.layout {
            abi::HASH_JOIN_DENSE_LISTS => 0,
            _ => u64::from(abi::HASH_JOIN_SPECIAL_SLOTS),
        };
        let table = self.table(launch)?;
        let params = abi::HashJoinOffsetsParams {
            table,
            list_count: address_of(&list_count),
            slot_count: self.shape.capacity + special,
        };
        let threads = abi::HASH_JOIN_THREADS;
        let over = |rows| grid(launch, &self.tuning, rows, threads);
        // SAFETY: the table has `slot_count` slots with values, which `insert` counted rows in.
        unsafe {
            launch.launch::<abi::HashJoinOffsets>(over(params.slot_count), threads, 0, &params)
        }?;
        let params = abi::HashJoinFillParams {
            table,
            row_slots: address_of(&ranks.slots),
            row_ranks: address_of(&ranks.ranks),
            row_count,
        };
        // SAFETY: `insert` wrote slot and rank of every row; ranks are below the counts of their
        // slots, whose sum is at most the rows that `rows` has room for.
        unsafe { launch.launch::<abi::HashJoinFill>(over(row_count), threads, 0, &params) }
    }

    /// The table for a launch struct; what follows on the stream may read it.
    fn table(&self, launch: &Launch) -> Result<HashJoinTable> {
        let (mut slots, mut rows) = (std::ptr::null_mut(), std::ptr::null_mut());
        if let Some(buffer) = &self.slots {
            buffer.order_read(launch.stream())?;
            slots = address_of(buffer);
        }
        if let Some(buffer) = &self.rows {
            buffer.order_read(launch.stream())?;
            rows = address_of(buffer);
        }
        Ok(self.shape.with(slots, rows))
    }

    /// The build side's keys for a launch struct: wide ones are compared by them.
    fn build_side(&self, launch: &Launch) -> Result<HashJoinKeys> {
        if !self.layout.is_wide() {
            return Ok(no_side());
        }
        let columns: Vec<&DeviceColumn> = self.columns.iter().collect();
        self.layout.side(launch, &columns)
    }

    /// The filter for a launch struct, after a sample of the probe rows.
    fn sampled(
        &self,
        launch: &Launch,
        probe: &HashJoinKeys,
        rows: &DeviceRows,
    ) -> Result<SampledFilter> {
        match &self.filter {
            Some(filter) => filter.sample(launch, probe, rows),
            None => Ok(SampledFilter::none()),
        }
    }

    /// Launches the entry for keys of one word, or the one for wide keys.
    fn launch_by_width<Narrow, Wide>(
        &self,
        launch: &Launch,
        grid: u64,
        params: &Narrow::Params,
    ) -> Result<()>
    where
        Narrow: Kernel,
        Wide: Kernel<Params = Narrow::Params>,
    {
        if self.layout.is_wide() {
            // SAFETY: the callers take every pointer from a live buffer that they ordered on this
            // stream, sized by the rows and by the table, and keys from `JoinLayout::side`.
            unsafe { launch.launch::<Wide>(grid, abi::HASH_JOIN_THREADS, 0, params) }
        } else {
            // SAFETY: as above.
            unsafe { launch.launch::<Narrow>(grid, abi::HASH_JOIN_THREADS, 0, params) }
        }
    }

    /// Bytes of device memory that the table holds on to, besides the build side's columns.
    pub fn bytes(&self) -> u64 {
        let buffers = self.slots.iter().chain(&self.rows);
        let filter = self.filter.as_ref().map_or(0, Filter::bytes);
        filter + buffers.map(|buffer| buffer.bytes()).sum::<u64>()
    }

    /// What kind of table it is: one of `abi::HASH_JOIN_DENSE_*` and `abi::HASH_JOIN_HASH_*`.
    pub fn kind(&self) -> u32 {
        self.shape.layout
    }

    /// True if keys are hashed and compared by their columns, not packed into a word.
    pub fn is_wide(&self) -> bool {
        self.layout.is_wide()
    }

    /// True if no key comes twice: then a probe row has at most one match.
    pub fn is_unique(&self) -> bool {
        matches!(
            self.shape.layout,
            abi::HASH_JOIN_DENSE_ROWS | abi::HASH_JOIN_HASH_ROWS
        )
    }

    fn check(&self, what: &str, fits: bool) -> Result<()> {
        if fits {
            return Ok(());
        }
        let cause = format!("a table of kind {} does not {what}", self.shape.layout);
        Err(Error::invalid("hash_join", cause, "build it for that need"))
    }

    /// Launches `hash_join_match`; the output's bitmap is that of its values or of its validity.
    fn launch_match(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
        output: &OutputColumn,
        invert: bool,
    ) -> Result<()> {
        check_rows("hash_join", columns, rows.max())?;
        let out = output.out();
        let (out_found, out_build_rows) = match out.validity.is_null() {
            true => (out.values.cast(), std::ptr::null_mut()),
            false => (out.validity, out.values.cast()),
        };
        let probe = self.layout.side(launch, columns)?;
        let filter = self.sampled(launch, &probe, rows)?;
        let params = abi::HashJoinMatchParams {
            probe,
            build: self.build_side(launch)?,
            table: self.table(launch)?,
            filter: filter.params(),
            out_found,
            out_build_rows,
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            invert: u32::from(invert),
            reserved: 0,
        };
        let grid = probe_grid(launch, &self.tuning, rows.max());
        self.launch_by_width::<abi::HashJoinMatch, abi::HashJoinMatchWide>(launch, grid, &params)
    }

    /// Whether each probe row's key is there, or, inverted, whether it is not: a Boolean column.
    ///
    /// # Errors
    /// No memory is left, or columns that do not fit the layout.
    pub fn found(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
        invert: bool,
    ) -> Result<DeviceColumn> {
        let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), false)?;
        self.launch_match(launch, columns, rows, &output, invert)?;
        Ok(output.into_column())
    }

    /// The build row of each probe row, in the order of the probe rows; null where there is none.
    ///
    /// # Errors
    /// `InvalidInput` if a key comes twice; no memory, or columns that do not fit the layout.
    pub fn lookup(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        self.check("have one row per key", self.is_unique())?;
        let output = OutputColumn::new(launch, PhysicalType::UInt32, rows.max(), true)?;
        self.launch_match(launch, columns, rows, &output, false)?;
        Ok(output.into_column())
    }

    /// Numbers of the probe rows whose key is there, or, inverted, is not, in no order. Their number
    /// stays on the device.
    ///
    /// # Errors
    /// No memory is left, or columns that do not fit the layout.
    pub fn select(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
        invert: bool,
    ) -> Result<(DeviceColumn, DeviceRows)> {
        let out_rows = OutputColumn::new(launch, PhysicalType::UInt32, rows.max(), false)?;
        let count = self.launch_pairs(launch, columns, rows, (&out_rows, None), invert)?;
        Ok((out_rows.into_column(), count))
    }

    /// Pairs of rows with equal keys, at most one per probe row, in no order. Their number stays on
    /// the device.
    ///
    /// # Errors
    /// `InvalidInput` if a key comes twice; no memory, or columns that do not fit the layout.
    pub fn pairs(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
    ) -> Result<JoinPairs> {
        self.check("have one row per key", self.is_unique())?;
        check_rows("hash_join", columns, rows.max())?;
        let output = || OutputColumn::new(launch, PhysicalType::UInt32, rows.max(), false);
        let (probe_rows, build_rows) = (output()?, output()?);
        let outputs = (&probe_rows, Some(&build_rows));
        let rows = self.launch_pairs(launch, columns, rows, outputs, false)?;
        Ok(JoinPairs {
            probe_rows: probe_rows.into_column(),
            build_rows: build_rows.into_column(),
            rows,
        })
    }

    /// Launches `hash_join_pairs`: what is written are row numbers of the probe side and, if they
    /// are wanted, of the build side.
    fn launch_pairs(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
        (probe_rows, build_rows): (&OutputColumn, Option<&OutputColumn>),
        invert: bool,
    ) -> Result<DeviceRows> {
        let probe = self.layout.side(launch, columns)?;
        let filter = self.sampled(launch, &probe, rows)?;
        let count = Arc::new(launch.alloc_zeroed(8)?);
        let params = abi::HashJoinPairsParams {
            probe,
            build: self.build_side(launch)?,
            table: self.table(launch)?,
            filter: filter.params(),
            out_probe_rows: probe_rows.out().values.cast(),
            out_build_rows: build_rows.map_or(std::ptr::null_mut(), |b| b.out().values.cast()),
            out_row_count: address_of(&count),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            invert: u32::from(invert),
            reserved: 0,
        };
        let grid = probe_grid(launch, &self.tuning, rows.max());
        self.launch_by_width::<abi::HashJoinPairs, abi::HashJoinPairsWide>(launch, grid, &params)?;
        Ok(DeviceRows::pending(rows.max(), count))
    }

    /// Finds the build rows of each probe row, and how many pairs they make. With `outer`, a probe
    /// row without any makes a pair with no build row.
    ///
    /// # Errors
    /// `InvalidInput` if the table has no lists; no memory, or columns that do not fit the layout.
    pub fn count(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
        rows: &DeviceRows,
        outer: bool,
    ) -> Result<JoinCount> {
        let list_rows = self.rows.as_ref().filter(|_| !self.is_unique());
        self.check("have lists", list_rows.is_some())?;
        check_rows("hash_join", columns, rows.max())?;
        let tiles = blocks(rows.max(), abi::HASH_JOIN_TILE_ROWS).max(1);
        let hits = launch.alloc(8 * rows.max())?;
        let tile_starts = launch.alloc(8 * (tiles + 1))?;
        let words = launch.alloc_zeroed(8 * (2 + tiles))?;
        let ticket = address_of::<u64>(&words);
        let probe = self.layout.side(launch, columns)?;
        let filter = self.sampled(launch, &probe, rows)?;
        let params = abi::HashJoinCountParams {
            probe,
            build: self.build_side(launch)?,
            table: self.table(launch)?,
            filter: filter.params(),
            out_hits: address_of(&hits),
            out_tile_starts: address_of(&tile_starts),
            tile_states: ticket.wrapping_add(2),
            tile_ticket: ticket,
            out_row_count: ticket.wrapping_add(1),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            outer: u32::from(outer),
            reserved: 0,
        };
        self.launch_by_width::<abi::HashJoinCount, abi::HashJoinCountWide>(launch, tiles, &params)?;
        let list_rows = list_rows.cloned();
        Ok(JoinCount {
            hits,
            tile_starts,
            words,
            list_rows: list_rows.map_or_else(|| launch.alloc(0).map(Arc::new), Ok)?,
            rows: rows.clone(),
            outer,
        })
    }
}

impl JoinCount {
    /// The number of pairs. Waits for the stream.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn resolve(&self, launch: &Launch) -> Result<u64> {
        read_words::<1>(launch, &self.words, 1).map(|[count]| count)
    }

    /// Writes the pairs, `count` as `resolve` said, in the order of the probe rows.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    ///
    /// # Panics
    /// There are more than 2^32 - 1 pairs: a place within a tile's output fits 32 bits.
    pub fn emit(&self, launch: &Launch, count: u64) -> Result<JoinPairs> {
        assert!(count <= u64::from(u32::MAX), "the caller bounds the pairs");
        let output = || OutputColumn::new(launch, PhysicalType::UInt32, count, false);
        let (probe_rows, build_rows) = (output()?, output()?);
        self.list_rows.order_read(launch.stream())?;
        let params = abi::HashJoinEmitParams {
            hits: address_of(&self.hits),
            tile_starts: address_of(&self.tile_starts),
            list_rows: address_of(&self.list_rows),
            out_probe_rows: probe_rows.out().values.cast(),
            out_build_rows: build_rows.out().values.cast(),
            row_count_device: self.rows.pointer(launch)?,
            row_count: self.rows.max(),
            outer: u32::from(self.outer),
            no_row: NO_ROW,
        };
        let tiles = blocks(self.rows.max(), abi::HASH_JOIN_TILE_ROWS);
        let cost = tiles * u64::from(abi::HASH_JOIN_TILE_COST) + count;
        let grid = blocks(cost, abi::HASH_JOIN_SHARE);
        // SAFETY: the outputs have room for the pairs that `hash_join_count` counted, which wrote
        // a hit per row and a start per tile.
        unsafe { launch.launch::<abi::HashJoinEmit>(grid, abi::HASH_JOIN_THREADS, 0, &params) }?;
        let (probe_rows, build_rows) = (probe_rows.into_column(), build_rows.into_column());
        let rows = DeviceRows::known(count);
        let build_rows = match self.outer {
            true => with_nulls(launch, &build_rows, count)?,
            false => build_rows,
        };
        Ok(JoinPairs {
            probe_rows,
            build_rows,
            rows,
        })
    }
}

/// Row numbers in which `NO_ROW` is a null.
fn with_nulls(launch: &Launch, column: &DeviceColumn, rows: u64) -> Result<DeviceColumn> {
    let none = Some(u128::from(NO_ROW));
    let none = DeviceColumn::scalar(PhysicalType::UInt32, none, rows);
    let known = DeviceRows::known(rows);
    let valid = compare(launch, abi::PROJECT_NOT_EQUAL, column, &none, &known)?;
    match (column.values(), valid.values()) {
        (Some(values), Some(bits)) => {
            let (values, bits) = (Arc::clone(values), Arc::clone(bits));
            DeviceColumn::array(PhysicalType::UInt32, values, Some(bits), 0, rows)
        }
        _ => Ok(column.clone()),
    }
}
