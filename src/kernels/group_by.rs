//! Launchers of `group_by`: a hash table of groups in device memory that grows as batches come.
//!
//! [`GroupTable`] chooses what each launch needs from a sketch of the keys, or of a sample of them:
//! the table's capacity, and the size of the tables that blocks keep in shared memory. Rows that
//! still find no slot are done again over a larger table, so that no estimate has to be right. Each
//! update waits for the stream for the sketch, up to three times where samples are taken, unless few
//! keys were found so far, and for the counts.

mod layout;
mod moments;
mod sketch;
mod states;
mod texts;
mod values;

use layout::Part;
pub use layout::{GroupKey, GroupLayout, GroupTuning};
pub use moments::Moments;
pub use states::{Raised, element_rows, read_registers, write_registers};
use texts::Texts;
use values::Width;
pub use values::registers;

use std::sync::Arc;

use super::abi::{self, GroupByKey, GroupByTable};
use super::column::check_rows;
use super::halves;
use super::{DeviceColumn, DeviceRows, Kernel, Launch, OutputColumn, Status, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// The counters that an update raises, in the order in which they lie in device memory.
const COUNTERS: u64 = 3;

/// Of so many tiles a sample takes two, one for each of its halves.
const SAMPLE_STEP: u32 = 16;

/// Slots for each group of a table that is far from full: it is not asked how many keys new rows have.
/// Where these are many all the same, rows are done again over a larger table.
const ROOMY_SLOTS: u64 = 8;

/// Bytes of a table that the second-level cache holds whatever else goes through it.
const CACHED_BYTES: u64 = 16 << 20;

/// A hash table of groups and their accumulators.
#[derive(Debug)]
pub struct GroupTable {
    layout: GroupLayout,
    tuning: GroupTuning,
    entries: Arc<DeviceBuffer>,
    capacity: u64,
    groups: u64,
    registers: Arc<DeviceBuffer>,
    /// Rows of all updates, which number them.
    rows: u64,
    /// Rows since carries of exact sums were carried.
    unsettled_rows: u64,
    /// Of each accumulator; matters to sums of 128 bits.
    widths: Vec<Width>,
    /// Bit a: accumulator a is an `ACCUMULATE_ANY` that is not written, for every row had a value.
    present: u64,
    /// What keys that are strings lie in.
    texts: Texts,
}

/// A finished aggregate: what `emit_aggregate` makes of an accumulator.
#[derive(Debug, Clone, Copy)]
pub struct Emit {
    /// One of `abi::EMIT_*`.
    pub emit: u32,
    /// The accumulator.
    pub accumulator: u32,
    /// The accumulator that tells how many values there were, or whether.
    pub count_accumulator: u32,
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
    /// Variance: what is taken from the count in the denominator.
    pub ddof: u32,
}

impl GroupTable {
    /// Bytes of device memory that the table holds on to.
    pub fn bytes(&self) -> u64 {
        self.entries.bytes() + self.registers.bytes() + self.texts.bytes()
    }

    /// An empty table.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn new(launch: &Launch, layout: GroupLayout, tuning: GroupTuning) -> Result<Self> {
        let capacity = tuning.capacity_min.max(2).next_power_of_two();
        let entries = empty_entries(launch, &layout, capacity)?;
        let bytes = u64::from(abi::GROUP_BY_SKETCH_REGISTERS) * 4;
        let registers = Arc::new(launch.alloc_zeroed(bytes)?);
        let widths = vec![Width::Narrow(0); layout.accumulators()];
        let any = (0..layout.accumulators()).filter(|a| layout.kind(*a) == abi::ACCUMULATE_ANY);
        let present = any.fold(0, |mask, accumulator| mask | 1 << accumulator);
        Ok(GroupTable {
            present,
            layout,
            tuning,
            entries,
            capacity,
            groups: 0,
            registers,
            rows: 0,
            unsettled_rows: 0,
            widths,
            texts: Texts::default(),
        })
    }

    /// Groups in the table.
    pub fn groups(&self) -> u64 {
        self.groups
    }

    /// The layout of the table.
    pub fn layout(&self) -> &GroupLayout {
        &self.layout
    }

    fn table(&self) -> GroupByTable {
        GroupByTable {
            entries: address_of(&self.entries),
            capacity: self.capacity,
        }
    }

    /// Aggregates rows: `inputs` are accumulators and the columns they take. Waits for the stream.
    ///
    /// # Errors
    /// No memory is left, a failure on the stream, or columns that do not fit the layout.
    pub fn update(
        &mut self,
        launch: &Launch,
        keys: &[&DeviceColumn],
        inputs: &[(u32, &DeviceColumn)],
        rows: &DeviceRows,
    ) -> Result<()> {
        if rows.max() == 0 {
            return Ok(());
        }
        check_rows("group_by", keys, rows.max())?;
        for (accumulator, column) in inputs {
            check_rows("group_by", &[column], rows.max())?;
            self.layout.check_accumulator(*accumulator)?;
        }
        let places = self.layout.place(launch, keys)?;
        for key in keys {
            self.texts.add(key.kept()); // also of what fails midway
        }
        let estimate = self.estimate(launch, &places, rows)?;
        self.reserve(launch, estimate)?;
        self.settle_digits(launch, rows.max())?;
        let inputs = &self.without_presence(launch, inputs)?[..];
        let layout = self.narrowed(launch, inputs, rows)?;
        let inputs = inputs.iter().map(|(accumulator, column)| Input {
            accumulator: *accumulator,
            part: Part::Values,
            column,
        });
        let inputs: Vec<Input> = inputs.collect();
        let per_launch = abi::GROUP_BY_ACCUMULATORS_MAX as usize;
        let passes: Vec<_> = if inputs.is_empty() {
            vec![&inputs[..]]
        } else {
            inputs.chunks(per_launch).collect()
        };
        for inputs in passes {
            let pass = Pass {
                layout,
                places: &places,
                inputs,
                known: false,
                estimate,
            };
            self.update_pass(launch, &pass, rows)?;
        }
        self.rows += rows.max();
        self.gather_texts(launch)
    }

    /// Adds the squares of distances from the means of groups, all of which are in the table, to
    /// variances. Waits for the stream.
    ///
    /// # Errors
    /// As [`GroupTable::update`].
    pub fn update_distances(
        &mut self,
        launch: &Launch,
        keys: &[&DeviceColumn],
        inputs: &[(u32, &DeviceColumn)],
        rows: &DeviceRows,
    ) -> Result<()> {
        let inputs = inputs.iter().map(|(accumulator, column)| Input {
            accumulator: *accumulator,
            part: Part::Distances,
            column,
        });
        self.update_known(launch, keys, &inputs.collect::<Vec<_>>(), rows)
    }

    /// Aggregates rows whose groups are all in the table. Waits for the stream.
    fn update_known(
        &mut self,
        launch: &Launch,
        keys: &[&DeviceColumn],
        inputs: &[Input],
        rows: &DeviceRows,
    ) -> Result<()> {
        if rows.max() == 0 {
            return Ok(());
        }
        let places = self.layout.place(launch, keys)?;
        for inputs in inputs.chunks(abi::GROUP_BY_ACCUMULATORS_MAX as usize) {
            let pass = Pass {
                layout: self.layout.abi(),
                places: &places,
                inputs,
                known: true,
                estimate: self.groups,
            };
            self.update_pass(launch, &pass, rows)?;
        }
        Ok(())
    }

    /// The distinct keys of all updates so far and of these rows, by the sketch. Without keys there is
    /// one group; and where the rows so far had few keys, those that follow are taken to have no more.
    ///
    /// The more rows, the fewer of their keys are new. So what the second half of a sample adds to
    /// the first bounds what the other rows add, if rows come in no order: where that leaves the
    /// table's capacity as it is, they are not looked at. Clustered keys add much.
    fn estimate(
        &mut self,
        launch: &Launch,
        places: &[GroupByKey; 16],
        rows: &DeviceRows,
    ) -> Result<u64> {
        if self.layout.has_no_keys() {
            return Ok(1);
        }
        if self.groups > 0 && self.groups * ROOMY_SLOTS <= self.capacity {
            return Ok(self.groups);
        }
        if rows.max() >= self.tuning.sample_rows_min {
            let half = self.sketch(launch, places, rows, (0, SAMPLE_STEP))?;
            if half < rows.max() / u64::from(SAMPLE_STEP) / 4 {
                let whole = self.sketch(launch, places, rows, (SAMPLE_STEP / 2, SAMPLE_STEP))?;
                let most = whole + (whole - half) * u64::from(SAMPLE_STEP - 2);
                if self.wanted_capacity(most) == self.wanted_capacity(whole) {
                    return Ok(whole);
                }
            }
        }
        self.sketch(launch, places, rows, (0, 1))
    }

    /// Raises the sketch by the keys of some tiles (the first, and the distance between them), and
    /// answers the distinct keys so far. Waits for the stream.
    fn sketch(
        &mut self,
        launch: &Launch,
        places: &[GroupByKey; 16],
        rows: &DeviceRows,
        (first_tile, tile_step): (u32, u32),
    ) -> Result<u64> {
        self.registers.order_write(launch.stream())?;
        let params = abi::GroupBySketchParams {
            layout: self.layout.abi(),
            keys: *places,
            registers: address_of(&self.registers),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            first_tile,
            tile_step,
        };
        let resident = u64::from(launch.device().properties().multiprocessors)
            * u64::from(abi::GROUP_BY_SKETCH_BLOCKS);
        let tiles = blocks(rows.max(), abi::GROUP_BY_SKETCH_ROWS);
        let grid = blocks(tiles, tile_step * 4).min(resident);
        self.layout
            .launch_by_width::<abi::GroupBySketch, abi::GroupBySketchWide>(
                launch,
                grid,
                abi::GROUP_BY_TABLE_THREADS,
                0,
                &params,
            )?;
        let mut bytes = vec![0u8; abi::GROUP_BY_SKETCH_REGISTERS as usize * 4];
        launch
            .device()
            .read(launch.stream(), &self.registers, &mut bytes)?;
        Ok(sketch::distinct_count(&bytes).max(self.groups))
    }

    /// Slots for this many groups: a load of about one half at most; of a quarter where the table
    /// stays in the cache for certain, so that rows of a warp seldom wait for a long probe.
    fn wanted_capacity(&self, groups: u64) -> u64 {
        let half = (groups + groups / 32).saturating_mul(2).next_power_of_two();
        let quarter = half.saturating_mul(2);
        let cached = quarter.saturating_mul(self.layout.entry_bytes()) <= CACHED_BYTES;
        let wanted = if cached { quarter } else { half };
        wanted.min(self.tuning.capacity_estimate_max)
    }

    /// Makes room for this many groups.
    fn reserve(&mut self, launch: &Launch, groups: u64) -> Result<()> {
        let wanted = self.wanted_capacity(groups);
        if wanted > self.capacity {
            self.grow(launch, wanted)
        } else {
            Ok(())
        }
    }

    /// Moves the groups to a larger table.
    fn grow(&mut self, launch: &Launch, capacity: u64) -> Result<()> {
        if capacity > abi_capacity_max() {
            let cause = format!("{} groups are more than one table holds", self.groups);
            return Err(Error::invalid("group_by", cause, "group by fewer keys"));
        }
        let old = std::mem::replace(
            &mut self.entries,
            empty_entries(launch, &self.layout, capacity)?,
        );
        let old_capacity = std::mem::replace(&mut self.capacity, capacity);
        if self.groups == 0 {
            return Ok(());
        }
        self.groups = 0;
        let all = old_capacity + u64::from(abi::GROUP_BY_SPECIAL_SLOTS);
        let source = Entries {
            count: all,
            special_start: old_capacity,
            row_shift: 0,
            exclusive: true,
        };
        self.merge_entries(launch, &old, source)
    }

    /// Merges entries into the table, which has room for them. Waits for the stream.
    fn merge_entries(
        &mut self,
        launch: &Launch,
        entries: &DeviceBuffer,
        source: Entries,
    ) -> Result<()> {
        entries.order_read(launch.stream())?;
        self.entries.order_write(launch.stream())?;
        self.texts.order_read(launch)?;
        let status = Status::new(launch, "group_by_merge")?;
        let count = launch.alloc_zeroed(8)?;
        let params = abi::GroupByMergeParams {
            layout: self.layout.abi(),
            table: self.table(),
            entries: address_of(entries),
            status: status.pointer(),
            group_count: address_of(&count),
            entry_count: source.count,
            special_start: source.special_start,
            row_shift: source.row_shift,
            exclusive: u64::from(source.exclusive),
        };
        self.layout
            .launch_by_width::<abi::GroupByMerge, abi::GroupByMergeWide>(
                launch,
                blocks(source.count, abi::GROUP_BY_TABLE_THREADS),
                abi::GROUP_BY_TABLE_THREADS,
                0,
                &params,
            )?;
        status.check(launch)?;
        self.groups += read_words::<1>(launch, &count)?[0];
        Ok(())
    }

    fn update_pass(&mut self, launch: &Launch, pass: &Pass, rows: &DeviceRows) -> Result<()> {
        let mut pending_in: Option<DeviceBuffer> = None;
        let mut undone = rows.max();
        loop {
            // A table at least half empty after all of them takes any key, however they collide.
            let half_empty = self.capacity >= (self.groups + undone).saturating_mul(2);
            let roomy = half_empty || pass.known;
            let probe_max = if roomy {
                self.capacity
            } else {
                self.tuning.probe_max
            };
            let pending_out = launch.alloc(blocks(rows.max(), 32) * 4)?;
            let own = self.own_table(launch, pass.estimate);
            let grid = self.update_grid(launch, rows);
            let spilled_max = if own.0 == 0 || roomy {
                0
            } else {
                grid * u64::from(own.0 + abi::GROUP_BY_SPECIAL_SLOTS)
            };
            let spilled = launch.alloc(spilled_max * self.layout.entry_bytes())?;
            let counters = launch.alloc_zeroed(COUNTERS * 8)?;
            let counter = address_of::<u64>(&counters);
            let mut params = abi::GroupByUpdateParams {
                layout: pass.layout,
                keys: *pass.places,
                inputs: [self.layout.no_input(); abi::GROUP_BY_ACCUMULATORS_MAX as usize],
                table: self.table(),
                pending_in: pending_in
                    .as_ref()
                    .map_or(std::ptr::null(), |b| address_of::<u32>(b)),
                pending_out: address_of(&pending_out),
                pending_count: counter,
                group_count: counter.wrapping_add(1),
                spilled_entries: address_of(&spilled),
                spilled_count: counter.wrapping_add(2),
                row_count_device: rows.pointer(launch)?,
                row_count: rows.max(),
                probe_max,
                row_start: self.rows,
                input_count: pass.inputs.len() as u32,
                shared_slots: own.0,
                shared_replicas: own.1,
                reserved: 0,
            };
            for (place, input) in params.inputs.iter_mut().zip(pass.inputs) {
                let view = input.column.view(launch)?;
                *place = GroupLayout::input(&pass.layout, input.accumulator, input.part, view);
            }
            self.entries.order_write(launch.stream())?;
            self.texts.order_read(launch)?;
            self.layout
                .launch_by_width::<abi::GroupByUpdate, abi::GroupByUpdateWide>(
                    launch,
                    grid,
                    abi::GROUP_BY_THREADS,
                    self.layout.own_bytes(own.0, own.1),
                    &params,
                )?;
            let [pending, inserted, spilled_count] = read_words(launch, &counters)?;
            self.groups += inserted;
            if pending == 0 && spilled_count == 0 {
                return Ok(());
            }
            let needed = (self.groups + spilled_count)
                .max(self.capacity)
                .saturating_mul(2);
            self.grow(launch, needed.next_power_of_two().max(self.capacity * 4))?;
            if spilled_count > 0 {
                let source = Entries {
                    count: spilled_count,
                    special_start: u64::MAX / 2,
                    row_shift: 0,
                    exclusive: false,
                };
                self.merge_entries(launch, &spilled, source)?;
            }
            if pending == 0 {
                return Ok(());
            }
            undone = pending;
            pending_in = Some(pending_out);
        }
    }

    fn update_grid(&self, launch: &Launch, rows: &DeviceRows) -> u64 {
        let tiles = blocks(rows.max(), abi::GROUP_BY_THREADS * abi::GROUP_BY_ITEMS);
        let resident = u64::from(launch.device().properties().multiprocessors)
            * u64::from(self.tuning.blocks_per_multiprocessor);
        tiles.min(resident)
    }

    /// Slots and replicas of a block's own table, for this many groups.
    fn own_table(&self, launch: &Launch, groups: u64) -> (u32, u32) {
        let device = u64::from(launch.device().properties().shared_bytes_per_block_max);
        let budget = device.min(u64::from(self.tuning.shared_bytes));
        let fits = |slots, replicas| u64::from(self.layout.own_bytes(slots, replicas)) <= budget;
        let most = (3..16)
            .rev()
            .map(|bits| 1 << bits)
            .find(|slots| fits(*slots, 1));
        let Some(most) = most else { return (0, 1) };
        let wanted = u32::try_from(groups.saturating_mul(2))
            .unwrap_or(u32::MAX)
            .max(8);
        if wanted > most {
            return (most, 1);
        }
        let slots = wanted.next_power_of_two();
        let replicas = [32, 16, 8, 4, 2]
            .into_iter()
            .find(|replicas| fits(slots, *replicas));
        (slots, replicas.unwrap_or(1))
    }

    /// Merges all groups of another table of the same layout, whose rows came later. Waits for the
    /// stream.
    ///
    /// # Errors
    /// No memory is left, or a failure on the stream.
    pub fn merge(&mut self, launch: &Launch, other: &mut GroupTable) -> Result<()> {
        let row_shift = self.rows;
        self.rows += other.rows;
        if other.groups == 0 {
            return Ok(());
        }
        for table in [&mut *self, &mut *other] {
            table.settle(launch)?;
            table.settle_presence(launch, u64::MAX)?;
        }
        let all = (self.groups + other.groups)
            .saturating_mul(2)
            .next_power_of_two();
        if all > self.capacity {
            self.grow(launch, all)?;
        }
        let entries = other.capacity + u64::from(abi::GROUP_BY_SPECIAL_SLOTS);
        let source = Entries {
            count: entries,
            special_start: other.capacity,
            row_shift,
            exclusive: true,
        };
        self.texts.add(other.texts.buffers());
        self.merge_entries(launch, &other.entries, source)?;
        self.gather_texts(launch)
    }

    /// Lists the slots in use, for the emitting launches.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn list(&mut self, launch: &Launch) -> Result<GroupList> {
        self.settle(launch)?;
        self.entries.order_read(launch.stream())?;
        let slots = launch.alloc(self.groups * 4)?;
        let count = launch.alloc_zeroed(8)?;
        let params = abi::GroupByListParams {
            table: self.table(),
            slots: address_of(&slots),
            slot_count: address_of(&count),
            layout: self.layout.abi(),
        };
        let all = self.capacity + u64::from(abi::GROUP_BY_SPECIAL_SLOTS);
        let grid = blocks(all, abi::GROUP_BY_TABLE_THREADS);
        // SAFETY: `slots` has room for every group of the table, whose entries were ordered above.
        unsafe {
            launch.launch::<abi::GroupByList>(grid, abi::GROUP_BY_TABLE_THREADS, 0, &params)
        }?;
        Ok(GroupList {
            slots,
            groups: self.groups,
        })
    }

    /// A key column of the listed groups.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub fn emit_key(&self, launch: &Launch, list: &GroupList, key: usize) -> Result<DeviceColumn> {
        let (place, key) = self.layout.key(key);
        let output = OutputColumn::new(launch, key.physical, list.groups, key.nullable)?;
        let params = abi::GroupByEmitKeyParams {
            layout: self.layout.abi(),
            table: self.table(),
            key: place,
            output: output.out(),
            slots: address_of(&list.slots),
            group_count: list.groups,
        };
        let grid = blocks(list.groups, abi::GROUP_BY_TABLE_THREADS);
        // SAFETY: the output has `groups` rows, the list as many slots, all below the capacity.
        unsafe {
            launch.launch::<abi::GroupByEmitKey>(grid, abi::GROUP_BY_TABLE_THREADS, 0, &params)
        }?;
        let column = output.into_column();
        Ok(match key.physical {
            PhysicalType::View => column.keeping(self.texts.buffers().into()),
            _ => column,
        })
    }

    /// A finished aggregate of the listed groups.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses. Sums that do not fit are reported by `status`.
    pub fn emit_aggregate(
        &self,
        launch: &Launch,
        list: &GroupList,
        emit: Emit,
        status: &Status,
    ) -> Result<DeviceColumn> {
        let output = OutputColumn::new(launch, emit.physical, list.groups, true)?;
        let (limit_low, limit_high) = halves(emit.limit);
        let params = abi::GroupByEmitAggregateParams {
            layout: self.layout.abi(),
            table: self.table(),
            output: output.out(),
            slots: address_of(&list.slots),
            status: status.pointer(),
            group_count: list.groups,
            limit_low,
            limit_high,
            factor: emit.factor,
            emit: emit.emit,
            accumulator: emit.accumulator,
            count_accumulator: if self.present >> emit.count_accumulator & 1 == 1 {
                abi::GROUP_BY_EVERY
            } else {
                emit.count_accumulator
            },
            empty_is_zero: u32::from(emit.empty_is_zero),
            overflow_is_error: u32::from(emit.overflow_is_error),
            ddof: emit.ddof,
        };
        let grid = blocks(list.groups, abi::GROUP_BY_TABLE_THREADS);
        let threads = abi::GROUP_BY_TABLE_THREADS;
        // SAFETY: the output has `groups` rows, the list as many slots, all below the capacity.
        unsafe { launch.launch::<abi::GroupByEmitAggregate>(grid, threads, 0, &params) }?;
        Ok(output.into_column())
    }
}

/// One launch over rows: what is fed, where the keys are, how many groups there may be.
struct Pass<'a> {
    layout: abi::GroupByLayout,
    places: &'a [GroupByKey; 16],
    inputs: &'a [Input<'a>],
    /// Whether all groups are in the table already.
    known: bool,
    estimate: u64,
}

/// A column and the accumulator that takes it.
#[derive(Debug, Clone, Copy)]
struct Input<'a> {
    accumulator: u32,
    part: Part,
    column: &'a DeviceColumn,
}

/// What is merged into a table.
#[derive(Clone, Copy)]
struct Entries {
    count: u64,
    /// Entries from here on are special slots.
    special_start: u64,
    /// Added to their row numbers.
    row_shift: u64,
    /// Whether each is a whole group, which stands once.
    exclusive: bool,
}

/// The slots that hold a group, in no order.
#[derive(Debug)]
pub struct GroupList {
    slots: DeviceBuffer,
    groups: u64,
}

impl GroupList {
    /// Groups listed.
    pub fn groups(&self) -> u64 {
        self.groups
    }
}

/// Slots of the largest table: a slot number fits 32 bits.
fn abi_capacity_max() -> u64 {
    1 << 31
}

fn empty_entries(
    launch: &Launch,
    layout: &GroupLayout,
    capacity: u64,
) -> Result<Arc<DeviceBuffer>> {
    let all = capacity + u64::from(abi::GROUP_BY_SPECIAL_SLOTS);
    let entries = Arc::new(launch.alloc(all * layout.entry_bytes())?);
    let table = GroupByTable {
        entries: address_of(&entries),
        capacity,
    };
    let params = abi::GroupByInitParams {
        table,
        layout: layout.abi(),
    };
    let resident = u64::from(launch.device().properties().multiprocessors) * 8;
    let grid = blocks(all, abi::GROUP_BY_TABLE_THREADS).min(resident);
    // SAFETY: the buffer has an entry for every slot, the special ones included.
    unsafe { launch.launch::<abi::GroupByInit>(grid, abi::GROUP_BY_TABLE_THREADS, 0, &params) }?;
    Ok(entries)
}

fn read_words<const N: usize>(launch: &Launch, buffer: &DeviceBuffer) -> Result<[u64; N]> {
    let mut bytes = vec![0u8; N * 8];
    launch.device().read(launch.stream(), buffer, &mut bytes)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
    }
    Ok(words)
}

impl GroupLayout {
    /// Launches the entry for keys of one word, or the one for wider keys.
    fn launch_by_width<Narrow, Wide>(
        &self,
        launch: &Launch,
        grid: u64,
        block: u32,
        shared_bytes: u32,
        params: &Narrow::Params,
    ) -> Result<()>
    where
        Narrow: Kernel,
        Wide: Kernel<Params = Narrow::Params>,
    {
        if self.abi().key_words == 1 {
            // SAFETY: the callers take every pointer from a live buffer that they ordered on this
            // stream and sized by this layout.
            unsafe { launch.launch::<Narrow>(grid, block, shared_bytes, params) }
        } else {
            // SAFETY: as above.
            unsafe { launch.launch::<Wide>(grid, block, shared_bytes, params) }
        }
    }
}
