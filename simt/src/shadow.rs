//! Who accessed which byte last, and what each thread knows of the others: the race check.
//!
//! An access leaves a 64-bit record (block, thread, barrier epoch, warp clock) in the cell of its bytes.
//! A later access that conflicts with a record is a race unless something orders the two: the same
//! thread, a `__syncthreads` or `__syncwarp` between them, or a release that the later thread acquired.
//! Cells exist for pages of 4 KiB that a launch touches, and are as coarse as its accesses (8 bytes at
//! first, halved when a narrower access comes), so a large buffer costs nothing until it is used.

use std::sync::Arc;

use crate::memory::PAGE;

const CLOCK_BITS: u32 = 17;
const EPOCH_BITS: u32 = 16;
const THREAD_BITS: u32 = 10;
const BLOCK_BITS: u32 = 20;
const _: () = assert!(1 + CLOCK_BITS + EPOCH_BITS + THREAD_BITS + BLOCK_BITS == 64);

/// Beyond so many blocks, a snapshot gives up being exact and claims to know everything: no false report.
const KNOWN_BLOCKS_MAX: usize = 1024;

/// Who did an access, and when by that thread's clocks. Zero is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record(u64);

impl Record {
    /// `None` where a number does not fit: such a thread leaves no records.
    pub(crate) fn new(block: u32, thread: u32, epoch: u32, clock: u32) -> Option<Record> {
        if block >> BLOCK_BITS != 0 || epoch >> EPOCH_BITS != 0 || clock >> CLOCK_BITS != 0 {
            return None;
        }
        let mut bits = u64::from(block);
        bits = bits << THREAD_BITS | u64::from(thread);
        bits = bits << EPOCH_BITS | u64::from(epoch);
        bits = bits << CLOCK_BITS | u64::from(clock);
        Some(Record(bits << 1))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn atomic(self, atomic: bool) -> Record {
        Record(self.0 | u64::from(atomic))
    }

    fn is_atomic(self) -> bool {
        self.0 & 1 != 0
    }

    fn field(self, below: u32, bits: u32) -> u32 {
        (self.0 >> (1 + below) & ((1 << bits) - 1)) as u32
    }

    fn clock(self) -> u32 {
        self.field(0, CLOCK_BITS)
    }

    fn epoch(self) -> u32 {
        self.field(CLOCK_BITS, EPOCH_BITS)
    }

    pub(crate) fn thread(self) -> u32 {
        self.field(CLOCK_BITS + EPOCH_BITS, THREAD_BITS)
    }

    pub(crate) fn block(self) -> u32 {
        self.field(CLOCK_BITS + EPOCH_BITS + THREAD_BITS, BLOCK_BITS)
    }

    /// Both by one thread.
    fn same_thread(self, other: Record) -> bool {
        (self.0 ^ other.0) >> (1 + CLOCK_BITS + EPOCH_BITS) == 0
    }
}

/// The warp clocks of one thread: what it knows of each lane of its warp, since the last block barrier.
pub(crate) type Clocks = [u32; 32];

/// What is known of one warp in the newest known epoch of its block.
#[derive(Clone, Debug)]
struct WarpClock {
    warp: u32,
    clocks: Clocks,
}

/// What is known of one block: all accesses of earlier epochs, and some of this one.
#[derive(Clone, Debug)]
struct BlockClock {
    block: u32,
    epoch: u32,
    warps: Arc<Vec<WarpClock>>,
}

/// What a thread knows of other threads through acquires. Grows only; shared by those who know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knowledge {
    everything: bool,
    /// Sorted by block.
    blocks: Vec<BlockClock>,
}

impl Knowledge {
    /// What `clocks`, of a thread of `block`, proves by itself.
    pub(crate) fn of_thread(block: u32, epoch: u32, warp: u32, clocks: &Clocks) -> Knowledge {
        let warps = Arc::new(vec![WarpClock { warp, clocks: *clocks }]);
        Knowledge { everything: false, blocks: vec![BlockClock { block, epoch, warps }] }
    }

    pub(crate) fn merge(&self, other: &Knowledge) -> Knowledge {
        if self.everything || other.everything {
            return Knowledge { everything: true, blocks: Vec::new() };
        }
        let mut blocks = Vec::with_capacity(self.blocks.len() + other.blocks.len());
        let (mut left, mut right) = (self.blocks.iter().peekable(), other.blocks.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a.block == b.block => {
                    let both = merge_block(a, b);
                    left.next();
                    right.next();
                    blocks.push(both);
                    continue;
                }
                (Some(a), Some(b)) if a.block < b.block => left.next(),
                (Some(_), None) => left.next(),
                _ => right.next(),
            };
            blocks.extend(next.cloned());
        }
        if blocks.len() > KNOWN_BLOCKS_MAX {
            return Knowledge { everything: true, blocks: Vec::new() };
        }
        Knowledge { everything: false, blocks }
    }

    fn covers(&self, record: Record) -> bool {
        if self.everything {
            return true;
        }
        let block = record.block();
        let Ok(at) = self.blocks.binary_search_by_key(&block, |known| known.block) else {
            return false;
        };
        let known = &self.blocks[at];
        if known.epoch != record.epoch() {
            return record.epoch() < known.epoch;
        }
        let thread = record.thread();
        known.warps.iter().any(|warp| {
            warp.warp == thread / 32 && record.clock() < warp.clocks[thread as usize % 32]
        })
    }
}

fn merge_block(a: &BlockClock, b: &BlockClock) -> BlockClock {
    if a.epoch != b.epoch || Arc::ptr_eq(&a.warps, &b.warps) {
        return if a.epoch >= b.epoch { a.clone() } else { b.clone() };
    }
    let mut warps = (*a.warps).clone();
    for theirs in b.warps.iter() {
        match warps.iter_mut().find(|ours| ours.warp == theirs.warp) {
            Some(ours) => join_clocks(&mut ours.clocks, &theirs.clocks),
            None => warps.push(theirs.clone()),
        }
    }
    BlockClock { block: a.block, epoch: a.epoch, warps: Arc::new(warps) }
}

pub(crate) fn join_clocks(ours: &mut Clocks, theirs: &Clocks) {
    for (our, their) in ours.iter_mut().zip(theirs) {
        *our = (*our).max(*their);
    }
}

/// Merges two optional pieces of shared knowledge, sharing the result where one side adds nothing.
pub(crate) fn merge_shared(
    a: Option<Arc<Knowledge>>,
    b: Option<Arc<Knowledge>>,
) -> Option<Arc<Knowledge>> {
    match (a, b) {
        (Some(a), Some(b)) if Arc::ptr_eq(&a, &b) => Some(a),
        (Some(a), Some(b)) => Some(Arc::new(a.merge(&b))),
        (a, b) => a.or(b),
    }
}

/// The thread that accesses now.
pub(crate) struct Observer<'a> {
    pub(crate) record: Record,
    pub(crate) block: u32,
    pub(crate) thread: u32,
    pub(crate) epoch: u32,
    pub(crate) clocks: &'a Clocks,
    pub(crate) knowledge: Option<&'a Knowledge>,
}

impl Observer<'_> {
    /// Whether something orders the access of `record` before what this thread does now.
    #[inline]
    fn ordered(&self, record: Record) -> bool {
        if record.same_thread(self.record) {
            return true;
        }
        if record.block() == self.block {
            if record.epoch() < self.epoch {
                return true;
            }
            let thread = record.thread();
            if thread / 32 == self.thread / 32
                && record.clock() < self.clocks[thread as usize % 32]
            {
                return true;
            }
        }
        self.knowledge.is_some_and(|knowledge| knowledge.covers(record))
    }
}

/// The last write and the last two readers of some bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    write: Record,
    read: Record,
    read_before: Record,
}

/// The cells of one page of a buffer, for one generation.
#[derive(Debug, Default)]
struct CellPage {
    /// Log2 of the bytes that a cell stands for.
    shift: u32,
    cells: Vec<Cell>,
}

/// Where the cells of a buffer's pages are: generation and pool index, per page.
#[derive(Debug, Default)]
pub(crate) struct RaceTable(Vec<(u32, u32)>);

/// A race: the access of the other thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) other: Record,
    pub(crate) other_wrote: bool,
    /// Offset of the first byte of the cell in the buffer.
    pub(crate) offset: usize,
}

/// The pages in use in the current launch.
#[derive(Debug, Default)]
pub(crate) struct RacePool {
    pages: Vec<CellPage>,
    used: usize,
}

impl RacePool {
    /// Forgets everything. Tables must be asked with a new generation from here on.
    pub(crate) fn reset(&mut self) {
        self.used = 0;
        // A launch that touched much memory must not hold it for ever.
        self.pages.truncate(4096);
    }

    fn page(&mut self, table: &mut RaceTable, generation: u32, page: usize, bytes: usize) -> usize {
        if table.0.is_empty() {
            table.0 = vec![(0, 0); bytes.div_ceil(PAGE)];
        }
        let (known, index) = table.0[page];
        if known == generation {
            return index as usize;
        }
        let index = self.used;
        self.used += 1;
        if index == self.pages.len() {
            self.pages.push(CellPage::default());
        }
        let fresh = &mut self.pages[index];
        fresh.shift = 3;
        fresh.cells.clear();
        fresh.cells.resize(PAGE >> 3, Cell::default());
        table.0[page] = (generation, index as u32);
        index
    }

    /// Checks and records an access of at most 16 bytes at `offset` of a buffer of `total`.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the hot path: everything in registers")]
    pub(crate) fn access<const WRITE: bool, const ATOMIC: bool>(
        &mut self,
        table: &mut RaceTable,
        generation: u32,
        total: usize,
        offset: usize,
        bytes: usize,
        observer: &Observer<'_>,
    ) -> Option<Race> {
        let page = offset / PAGE;
        let within = offset % PAGE;
        if within + bytes > PAGE {
            let first = PAGE - within;
            return self
                .access::<WRITE, ATOMIC>(table, generation, total, offset, first, observer)
                .or_else(|| {
                    let (offset, bytes) = (offset + first, bytes - first);
                    self.access::<WRITE, ATOMIC>(table, generation, total, offset, bytes, observer)
                });
        }
        let index = self.page(table, generation, page, total);
        let page = &mut self.pages[index];
        let fitting = (within | bytes).trailing_zeros();
        if fitting < page.shift {
            refine(page, fitting);
        }
        let (first, last) = (within >> page.shift, (within + bytes - 1) >> page.shift);
        let record = observer.record.atomic(ATOMIC);
        let shift = page.shift;
        for (step, cell) in page.cells[first..=last].iter_mut().enumerate() {
            let conflicts = |other: Record| {
                !other.is_none() && !(ATOMIC && other.is_atomic()) && !observer.ordered(other)
            };
            let race = |other: Record, other_wrote: bool| {
                let offset = offset - within + ((first + step) << shift);
                Some(Race { other, other_wrote, offset })
            };
            if conflicts(cell.write) {
                return race(cell.write, true);
            }
            if WRITE {
                if conflicts(cell.read) {
                    return race(cell.read, false);
                }
                if conflicts(cell.read_before) {
                    return race(cell.read_before, false);
                }
                *cell = Cell { write: record, ..Cell::default() };
            } else if cell.read != record {
                if !cell.read.is_none() && !cell.read.same_thread(record) {
                    cell.read_before = cell.read;
                }
                cell.read = record;
            }
        }
        None
    }
}

/// Makes the cells of a page as fine as `1 << shift` bytes.
#[cold]
fn refine(page: &mut CellPage, shift: u32) {
    let copies = 1usize << (page.shift - shift);
    page.cells = page.cells.iter().flat_map(|&cell| std::iter::repeat_n(cell, copies)).collect();
    page.shift = shift;
}
