//! One launch: its blocks, its threads, and the checks of each access.
//!
//! A machine is owned by a device and lent to the launching OS thread, where hooks reach it through
//! [`with`]. No borrow of it lives across a suspension. Barriers and warp exchanges are in `sync`, the
//! order in which threads run is in `schedule`.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use crate::Entry;
use crate::arena::{ARENA_ALIGNMENT, ARENA_BYTES, Arena, SHARED_UNIT};
use crate::error::{SimtError, SimtErrorKind};
use crate::image::{Site, image, kernel_line, text_of};
use crate::memory::{DeviceMemory, Life, PAGE};
use crate::random::Random;
use crate::shadow::{Clocks, Knowledge, Observer, Race, RacePool, RaceTable, Record, merge_shared};

/// What `__shared__` arrays of fixed size may take together.
const STATIC_SHARED_BYTES_MAX: usize = 48 << 10;
/// A thread that makes so many accesses in a row is suspended, so that a plain spin is not for ever.
const ACCESSES_IN_A_ROW_MAX: u32 = 1 << 16;

thread_local! {
    static CURRENT: Cell<*mut Machine> = const { Cell::new(ptr::null_mut()) };
}

/// Lends the machine of this OS thread's running launch to `f`; outside a launch, the default.
#[inline]
pub(crate) fn with<R: Default>(f: impl FnOnce(&mut Machine) -> R) -> R {
    let machine = CURRENT.get();
    if machine.is_null() {
        return R::default();
    }
    // SAFETY: `Lent` holds the only borrow of the machine and does not use it while it is set here, and no
    // `f` suspends or calls back, so this is the only reference.
    f(unsafe { &mut *machine })
}

/// A machine made reachable to the hooks of this OS thread.
pub(crate) struct Lent<'a> {
    outer: *mut Machine,
    machine: std::marker::PhantomData<&'a mut Machine>,
}

impl<'a> Lent<'a> {
    pub(crate) fn new(machine: &'a mut Machine) -> Lent<'a> {
        Lent {
            outer: CURRENT.replace(machine),
            machine: std::marker::PhantomData,
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

/// What a launch asks for.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) entry: &'static Entry,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) params: Vec<u128>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Running,
    AtBarrier,
    AtWarp,
    Done,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) state: State,
    pub(crate) op: u32,
    pub(crate) site: Site,
    pub(crate) value: u64,
    pub(crate) source: u32,
    pub(crate) got: u64,
    pub(crate) clocks: Clocks,
    /// What its next access leaves behind; none if its numbers do not fit.
    pub(crate) record: Option<Record>,
    /// What it has acquired.
    pub(crate) knowledge: Option<Arc<Knowledge>>,
    /// What a fence would make it acquire.
    pending: Option<Arc<Knowledge>>,
    /// What its relaxed atomics release since its last fence for the device, or for the block.
    fence: Option<Arc<Knowledge>>,
    fence_block: Option<Arc<Knowledge>>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) live: bool,
    pub(crate) id: u32,
    pub(crate) index: [u32; 3],
    /// Threads that have not exited.
    pub(crate) left: u32,
    pub(crate) at_barrier: u32,
    /// Barriers passed.
    pub(crate) epoch: u32,
    /// Some thread has acquired something since the last barrier.
    pub(crate) acquired: bool,
    pub(crate) threads: Vec<Thread>,
    pub(crate) warps: Vec<crate::sync::Warp>,
    pub(crate) ready: Vec<u32>,
    arena: Arena,
}

/// What an atomic store left at its address for those who acquire it.
#[derive(Debug, Default)]
struct Released {
    device: Option<Arc<Knowledge>>,
    block: Option<(u32, Arc<Knowledge>)>,
}

/// The first failure of a launch.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: SimtErrorKind,
    message: String,
    place: Option<Backtrace>,
}

/// How an access, or an arrival, goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    #[default]
    Go,
    /// Let others run first, then ask again.
    Yield,
    /// The launch has failed: never come back.
    Abandon,
}

/// The thread that runs now.
#[derive(Debug, Default)]
pub(crate) struct Here {
    pub(crate) slot: usize,
    pub(crate) thread: u32,
    pub(crate) thread_index: [u32; 3],
    pub(crate) block_index: [u32; 3],
    stack_low: usize,
    stack_bytes: usize,
    arena_base: usize,
}

/// How the next launches run.
#[derive(Clone, Debug)]
pub(crate) struct MachineOptions {
    pub(crate) checked: bool,
    pub(crate) resident_blocks: u32,
    pub(crate) yield_per_1024: u32,
    pub(crate) max_switches: u64,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) memory: DeviceMemory,
    pub(crate) options: MachineOptions,
    pub(crate) random: Random,
    pub(crate) launch: Option<Launch>,
    seed: u64,
    params_base: usize,
    params_bytes: usize,
    pub(crate) threads_per_block: u32,
    thread_indices: Vec<[u32; 3]>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) here: Here,
    /// Accesses until the running thread lets others run.
    budget: u32,
    image: (usize, usize),
    races: RacePool,
    generation: u32,
    launch_generation: u32,
    released: HashMap<usize, Released>,
    pub(crate) failure: Option<Failure>,
    pub(crate) schedule: crate::schedule::Schedule,
    pub(crate) switches: u64,
    pub(crate) accesses: u64,
}

impl Machine {
    pub(crate) fn new(memory: DeviceMemory, options: MachineOptions) -> Machine {
        Machine {
            memory,
            options,
            random: Random::new(0),
            launch: None,
            seed: 0,
            params_base: 0,
            params_bytes: 0,
            threads_per_block: 0,
            thread_indices: Vec::new(),
            blocks: Vec::new(),
            here: Here::default(),
            budget: 1,
            image: image(),
            races: RacePool::default(),
            generation: 0,
            launch_generation: 0,
            released: HashMap::new(),
            failure: None,
            schedule: crate::schedule::Schedule::default(),
            switches: 0,
            accesses: 0,
        }
    }

    /// Makes the machine ready to run `launch`; `number` counts the device's launches.
    pub(crate) fn begin(&mut self, launch: Launch, seed: u64, number: u64) {
        self.random = Random::new(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
        self.seed = seed;
        self.failure = None;
        self.switches = 0;
        self.released.clear();
        self.races.reset();
        self.launch_generation = self.next_generation();
        let [x, y, z] = launch.block;
        self.threads_per_block = x * y * z;
        self.thread_indices.clear();
        self.thread_indices
            .extend((0..self.threads_per_block).map(|t| [t % x, t / x % y, t / (x * y)]));
        self.params_base = launch.params.as_ptr() as usize;
        self.params_bytes = launch.params.len() * size_of::<u128>();
        self.launch = Some(launch);
        self.draw_budget();
    }

    /// Ends the launch and says how it went.
    pub(crate) fn finish(&mut self) -> Result<(), SimtError> {
        let launch = self.launch.take();
        let Some(failure) = self.failure.take() else {
            return Ok(());
        };
        let place = failure.place.as_ref().and_then(kernel_line);
        let place = place.map_or(String::new(), |place| format!(" at {place}"));
        Err(SimtError {
            kind: failure.kind,
            message: format!("{}{place} [seed {}]", failure.message, self.seed),
            entry: launch.map(|launch| launch.entry.name.to_owned()),
        })
    }

    fn next_generation(&mut self) -> u32 {
        // After 2^32 blocks an old cell could be taken for a new one: start the tables afresh.
        if self.generation == u32::MAX {
            self.generation = 0;
            for allocation in &mut self.memory.allocations {
                allocation.races = RaceTable::default();
            }
            for block in &mut self.blocks {
                block.arena.races = RaceTable::default();
            }
        }
        self.generation += 1;
        self.generation
    }

    /// Puts block `id` into a slot.
    pub(crate) fn start_block(&mut self, slot: usize, id: u32) {
        let Some(launch) = &self.launch else { return };
        let ([x, y, _], shared_bytes) = (launch.grid, launch.shared_bytes as usize);
        let threads = self.threads_per_block;
        let generation = self.next_generation();
        if slot == self.blocks.len() {
            self.blocks.push(Block {
                live: false,
                id: 0,
                index: [0; 3],
                left: 0,
                at_barrier: 0,
                epoch: 0,
                acquired: false,
                threads: Vec::new(),
                warps: Vec::new(),
                ready: Vec::new(),
                arena: Arena::new(),
            });
        }
        let block = &mut self.blocks[slot];
        block.live = true;
        block.id = id;
        block.index = [id % x, id / x % y, id / (x * y)];
        block.left = threads;
        block.at_barrier = 0;
        block.epoch = 0;
        block.acquired = false;
        block.threads.clear();
        for thread in 0..threads {
            let mut clocks = [0; 32];
            clocks[thread as usize % 32] = 1;
            block.threads.push(Thread {
                state: State::Ready,
                op: 0,
                site: Site::NOWHERE,
                value: 0,
                source: 0,
                got: 0,
                clocks,
                record: Record::new(id, thread, 0, 1),
                knowledge: None,
                pending: None,
                fence: None,
                fence_block: None,
            });
        }
        block.warps.clear();
        block.warps.extend(
            (0..threads.div_ceil(32))
                .map(|warp| crate::sync::Warp::new((threads - warp * 32).min(32))),
        );
        block.ready.clear();
        block.ready.extend(0..threads);
        block.arena.clear(generation);
        if shared_bytes > 0 {
            // The launch was checked to fit, and comes first.
            block.arena.add(
                0,
                shared_bytes,
                ARENA_ALIGNMENT,
                "dynamic shared memory",
                &mut self.random,
            );
        }
    }

    /// Makes a thread the running one.
    pub(crate) fn enter(&mut self, slot: usize, thread: u32, stack: (usize, usize)) {
        let block = &mut self.blocks[slot];
        block.threads[thread as usize].state = State::Running;
        self.here = Here {
            slot,
            thread,
            thread_index: self.thread_indices[thread as usize],
            block_index: block.index,
            stack_low: stack.0,
            stack_bytes: stack.1,
            arena_base: block.arena.base,
        };
        self.switches += 1;
    }

    // ---- failures ------------------------------------------------------------------------------

    pub(crate) fn who(&self) -> String {
        format!(
            "block {} thread {}",
            self.blocks[self.here.slot].id, self.here.thread
        )
    }

    /// Notes the first failure; the launch is then abandoned.
    #[cold]
    pub(crate) fn fail(&mut self, kind: SimtErrorKind, message: String) -> Step {
        if self.failure.is_none() {
            self.failure = Some(Failure {
                kind,
                message,
                place: None,
            });
        }
        Step::Abandon
    }

    /// The same for an access, whose line only the stack knows.
    #[cold]
    fn fail_access(&mut self, kind: SimtErrorKind, message: String) -> Step {
        if self.failure.is_none() {
            let place = Some(Backtrace::force_capture());
            self.failure = Some(Failure {
                kind,
                message,
                place,
            });
        }
        Step::Abandon
    }

    // ---- accesses ------------------------------------------------------------------------------

    fn draw_budget(&mut self) {
        let mean_doubled = 2048u32.checked_div(self.options.yield_per_1024.min(1024));
        self.budget = match mean_doubled {
            Some(bound) => 1 + self.random.below(u64::from(bound)) as u32,
            None => ACCESSES_IN_A_ROW_MAX,
        };
    }

    /// Whether the running thread should let others run before its next access.
    #[inline]
    pub(crate) fn tick(&mut self) -> bool {
        self.budget -= 1;
        if self.budget != 0 {
            return false;
        }
        self.draw_budget();
        true
    }

    /// Checks and records an access of 1 to 16 bytes.
    #[inline]
    pub(crate) fn access<const WRITE: bool, const ATOMIC: bool, const ALIGNED: bool>(
        &mut self,
        address: usize,
        bytes: usize,
    ) -> Step {
        self.accesses += 1;
        if address.wrapping_sub(self.params_base) < self.params_bytes {
            return if WRITE {
                self.fail_params(address)
            } else {
                Step::Go
            };
        }
        let offset = address.wrapping_sub(self.memory.base);
        if offset < self.memory.bytes {
            return self.access_device::<WRITE, ATOMIC, ALIGNED>(offset, bytes);
        }
        let offset = address.wrapping_sub(self.here.arena_base);
        if offset < ARENA_BYTES {
            return self.access_shared::<WRITE, ATOMIC, ALIGNED>(offset, bytes);
        }
        if address.wrapping_sub(self.here.stack_low) < self.here.stack_bytes {
            return Step::Go;
        }
        if address.wrapping_sub(self.image.0) < self.image.1 {
            // Constants of the kernel.
            return Step::Go;
        }
        self.fail_wild::<WRITE>(address, bytes)
    }

    #[inline]
    fn access_device<const WRITE: bool, const ATOMIC: bool, const ALIGNED: bool>(
        &mut self,
        region_offset: usize,
        bytes: usize,
    ) -> Step {
        let index = self.memory.owner_at(region_offset) as usize;
        let allocation = &mut self.memory.allocations[index];
        let offset = region_offset.wrapping_sub(allocation.start);
        if offset >= allocation.bytes
            || bytes > allocation.bytes - offset
            || allocation.life != Life::Live
        {
            return self.fail_outside::<WRITE>(index, offset, bytes);
        }
        if ALIGNED && !offset.is_multiple_of(bytes) {
            let name = allocation.name;
            return self.fail_misaligned(name, offset, bytes);
        }
        if !WRITE && let Some(byte) = allocation.written.unwritten(offset, bytes) {
            let name = allocation.name;
            return self.fail_unwritten(name, byte);
        }
        let block = &self.blocks[self.here.slot];
        if let Some(observer) = observer(block, self.here.thread) {
            let race = self.races.access::<WRITE, ATOMIC>(
                &mut allocation.races,
                self.launch_generation,
                allocation.bytes,
                offset,
                bytes,
                &observer,
            );
            if let Some(race) = race {
                let name = allocation.name;
                return self.fail_race::<WRITE, ATOMIC>(name, 0, race);
            }
        }
        if WRITE {
            allocation.written.mark(offset, bytes);
        }
        Step::Go
    }

    #[inline]
    fn access_shared<const WRITE: bool, const ATOMIC: bool, const ALIGNED: bool>(
        &mut self,
        offset: usize,
        bytes: usize,
    ) -> Step {
        let block = &mut self.blocks[self.here.slot];
        let owner = usize::from(block.arena.owners[offset / SHARED_UNIT]);
        let Some(array) = owner.checked_sub(1).map(|index| &block.arena.arrays[index]) else {
            return self.fail_outside_shared::<WRITE>(offset);
        };
        let (start, name) = (array.start, array.name);
        if offset + bytes > start + array.bytes {
            return self.fail_outside_shared::<WRITE>(offset);
        }
        if ALIGNED && !offset.is_multiple_of(bytes) {
            return self.fail_misaligned(name, offset - start, bytes);
        }
        if !WRITE && let Some(byte) = block.arena.written.unwritten(offset, bytes) {
            return self.fail_unwritten(name, byte - start);
        }
        let mut table = std::mem::take(&mut block.arena.races);
        let generation = block.arena.generation;
        let race = observer(block, self.here.thread).and_then(|observer| {
            self.races.access::<WRITE, ATOMIC>(
                &mut table,
                generation,
                ARENA_BYTES,
                offset,
                bytes,
                &observer,
            )
        });
        block.arena.races = table;
        if let Some(race) = race {
            return self.fail_race::<WRITE, ATOMIC>(name, start, race);
        }
        if WRITE {
            block.arena.written.mark(offset, bytes);
        }
        Step::Go
    }

    #[cold]
    fn fail_params(&mut self, address: usize) -> Step {
        let message = format!(
            "write to byte {} of the launch struct by {}",
            address - self.params_base,
            self.who()
        );
        self.fail_access(SimtErrorKind::Memcheck, message)
    }

    #[cold]
    fn fail_wild<const WRITE: bool>(&mut self, address: usize, bytes: usize) -> Step {
        let what = if address < PAGE {
            "null pointer"
        } else {
            "address outside device memory"
        };
        let message = format!(
            "{what}: {} of {bytes} bytes at {address:#x} by {}",
            verb::<WRITE>(),
            self.who()
        );
        self.fail_access(SimtErrorKind::Memcheck, message)
    }

    #[cold]
    fn fail_outside<const WRITE: bool>(
        &mut self,
        index: usize,
        offset: usize,
        bytes: usize,
    ) -> Step {
        let allocation = &self.memory.allocations[index];
        let (name, size, offset) = (allocation.name, allocation.bytes, offset as isize);
        let how = match allocation.life {
            Life::Freed if index != 0 => "after its free",
            Life::Pending => "before its allocation, in stream order",
            _ => "outside it",
        };
        let message = format!(
            "{} of {bytes} bytes of {name} {how} (byte {offset} of {size}) by {}",
            verb::<WRITE>(),
            self.who()
        );
        self.fail_access(SimtErrorKind::Memcheck, message)
    }

    #[cold]
    fn fail_outside_shared<const WRITE: bool>(&mut self, offset: usize) -> Step {
        let arrays = &self.blocks[self.here.slot].arena.arrays;
        let near = arrays
            .iter()
            .rev()
            .find(|array| array.start <= offset)
            .or(arrays.first());
        let what = near.map_or("no shared array".to_owned(), |array| {
            let byte = offset as isize - array.start as isize;
            format!("shared {} (byte {byte} of {})", array.name, array.bytes)
        });
        let message = format!("{} outside {what} by {}", verb::<WRITE>(), self.who());
        self.fail_access(SimtErrorKind::Memcheck, message)
    }

    #[cold]
    fn fail_misaligned(&mut self, name: &'static str, offset: usize, bytes: usize) -> Step {
        let message = format!(
            "misaligned access of {bytes} bytes at byte {offset} of {name} by {}",
            self.who()
        );
        self.fail_access(SimtErrorKind::Memcheck, message)
    }

    #[cold]
    fn fail_unwritten(&mut self, name: &'static str, byte: usize) -> Step {
        let message = format!("read of unwritten byte {byte} of {name} by {}", self.who());
        self.fail_access(SimtErrorKind::Initcheck, message)
    }

    #[cold]
    fn fail_race<const WRITE: bool, const ATOMIC: bool>(
        &mut self,
        name: &'static str,
        start: usize,
        race: Race,
    ) -> Step {
        let message = format!(
            "{}{} of {name} byte {} by {} races with the {} of block {} thread {}",
            if ATOMIC { "atomic " } else { "" },
            verb::<WRITE>(),
            race.offset.saturating_sub(start),
            self.who(),
            if race.other_wrote { "write" } else { "read" },
            race.other.block(),
            race.other.thread(),
        );
        self.fail_access(SimtErrorKind::Racecheck, message)
    }

    // ---- shared memory -------------------------------------------------------------------------

    /// The address of the block's array for a declaration, made on first use; `None` after a failure.
    pub(crate) fn shared(
        &mut self,
        tag: usize,
        bytes: usize,
        align: usize,
        name: *const c_char,
    ) -> Option<usize> {
        let arena = &mut self.blocks[self.here.slot].arena;
        if let Some(array) = arena.arrays.iter().find(|array| array.tag == tag) {
            return Some(arena.base + array.start);
        }
        let fixed: usize = arena
            .arrays
            .iter()
            .filter(|array| array.tag != 0)
            .map(|array| array.bytes)
            .sum();
        if fixed + bytes > STATIC_SHARED_BYTES_MAX {
            let message = format!(
                "shared arrays of fixed size take {} bytes, CUDA allows {STATIC_SHARED_BYTES_MAX}",
                fixed + bytes
            );
            self.fail(SimtErrorKind::LaunchShape, message);
            return None;
        }
        let address = arena.add(tag, bytes, align, text_of(name), &mut self.random);
        if address.is_none() {
            let message = format!("{bytes} more bytes of shared memory than a block has");
            self.fail(SimtErrorKind::LaunchShape, message);
        }
        address
    }

    /// The address of the dynamic shared memory; `None` after a failure.
    pub(crate) fn dynamic_shared(&mut self) -> Option<usize> {
        let arena = &self.blocks[self.here.slot].arena;
        let address = arena
            .arrays
            .iter()
            .find(|array| array.tag == 0)
            .map(|array| arena.base + array.start);
        if address.is_none() {
            let message = "dynamic shared memory is used, but the launch gave none".to_owned();
            self.fail(SimtErrorKind::LaunchShape, message);
        }
        address
    }

    // ---- release and acquire -------------------------------------------------------------------

    /// Everything the running thread may vouch for; its accesses from here on are not part of it.
    fn snapshot(&mut self) -> Arc<Knowledge> {
        let block = &mut self.blocks[self.here.slot];
        let index = self.here.thread;
        let thread = &mut block.threads[index as usize];
        let lane = index as usize % 32;
        thread.clocks[lane] += 1;
        thread.record = Record::new(block.id, index, block.epoch, thread.clocks[lane]);
        let own = Knowledge::of_thread(block.id, block.epoch, index / 32, &thread.clocks);
        Arc::new(match &thread.knowledge {
            Some(knowledge) => own.merge(knowledge),
            None => own,
        })
    }

    pub(crate) fn fence(&mut self, device_wide: bool) {
        if !self.options.checked {
            return;
        }
        let snapshot = self.snapshot();
        let block = &mut self.blocks[self.here.slot];
        let thread = &mut block.threads[self.here.thread as usize];
        if device_wide {
            thread.fence = Some(snapshot);
        } else {
            thread.fence_block = Some(snapshot);
        }
        if let Some(pending) = thread.pending.take() {
            thread.knowledge = merge_shared(thread.knowledge.take(), Some(pending));
            block.acquired = true;
        }
    }

    /// An atomic load has read what `address` holds.
    pub(crate) fn observe(&mut self, address: usize, acquire: bool) {
        let Some(released) = self.released.get(&address) else {
            return;
        };
        let block = &mut self.blocks[self.here.slot];
        let of_block = released.block.as_ref().filter(|(id, _)| *id == block.id);
        let seen = merge_shared(
            released.device.clone(),
            of_block.map(|(_, knowledge)| knowledge.clone()),
        );
        if seen.is_none() {
            return;
        }
        let thread = &mut block.threads[self.here.thread as usize];
        if acquire {
            thread.knowledge = merge_shared(thread.knowledge.take(), seen);
            block.acquired = true;
        } else {
            thread.pending = merge_shared(thread.pending.take(), seen);
        }
    }

    /// An atomic store, or update, puts its value at `address`.
    pub(crate) fn publish(&mut self, address: usize, release: bool, update: bool) {
        if release {
            let device = Some(self.snapshot());
            self.released.insert(
                address,
                Released {
                    device,
                    block: None,
                },
            );
            return;
        }
        let block = &self.blocks[self.here.slot];
        let thread = &block.threads[self.here.thread as usize];
        let device = thread.fence.clone();
        let of_block = thread
            .fence_block
            .clone()
            .map(|knowledge| (block.id, knowledge));
        if device.is_none() && of_block.is_none() {
            // A relaxed update continues a release sequence, a relaxed store ends it.
            if !update {
                self.released.remove(&address);
            }
            return;
        }
        let released = self.released.entry(address).or_default();
        if !update {
            *released = Released::default();
        }
        released.device = merge_shared(released.device.take(), device);
        released.block = match (released.block.take(), of_block) {
            (Some((id, a)), Some((own, b))) if id == own => {
                merge_shared(Some(a), Some(b)).map(|both| (own, both))
            }
            (old, new) => new.or(old),
        };
    }
}

/// The running thread as the race check sees it.
#[inline]
fn observer(block: &Block, index: u32) -> Option<Observer<'_>> {
    let thread = &block.threads[index as usize];
    Some(Observer {
        record: thread.record?,
        block: block.id,
        thread: index,
        epoch: block.epoch,
        clocks: &thread.clocks,
        knowledge: thread.knowledge.as_deref(),
    })
}

fn verb<const WRITE: bool>() -> &'static str {
    if WRITE { "write" } else { "read" }
}
