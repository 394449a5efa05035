//! The order in which threads and blocks run: all of it from the seed.
//!
//! In rounds: each round takes some of the threads that can run, in some order, and runs each until it
//! waits. Most rounds take all of them; others let one block or one warp run ahead, or hold one back.

use std::cell::RefCell;

use crate::error::{SimtError, SimtErrorKind};
use crate::fiber::{Fibers, suspend};
use crate::machine::{Launch, Lent, Machine, State, with};

/// Fibers of one launch at most: more blocks are not resident at the same time.
const FIBERS_MAX: usize = 4096;

/// Which blocks of a launch run when.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    blocks: u64,
    next: u64,
    /// Block `first + i * stride` is the i-th to start.
    first: u64,
    stride: u64,
    /// A finished block makes room at once; else a wave of blocks finishes together.
    eager: bool,
    resident: usize,
    live: usize,
    /// Whether the launch has run to its end.
    pub(crate) done: bool,
}

impl Machine {
    fn begin_schedule(&mut self, launch: &Launch) {
        let blocks = launch.grid.iter().map(|&n| u64::from(n)).product::<u64>();
        let random = &mut self.random;
        let (first, stride) = match random.below(4) {
            0 => (0, 1),
            1 => (blocks - 1, blocks - 1),
            _ => {
                let mut stride = 1 + random.below(blocks.min(1 << 31));
                while greatest_common_divisor(stride, blocks) != 1 {
                    stride += 1;
                }
                (random.below(blocks.min(1 << 31)), stride)
            }
        };
        let threads = launch.block.iter().product::<u32>() as usize;
        let resident = (self.options.resident_blocks.max(1) as usize)
            .min(usize::try_from(blocks).unwrap_or(usize::MAX))
            .min((FIBERS_MAX / threads).max(1));
        let eager = random.chance(512);
        self.schedule =
            Schedule { blocks, next: 0, first, stride, eager, resident, live: 0, done: false };
        for block in &mut self.blocks {
            block.live = false;
        }
    }

    /// Starts blocks where there is room.
    fn refill(&mut self) {
        let live = self.schedule.live;
        if live == self.schedule.resident || !(self.schedule.eager || live == 0) {
            return;
        }
        for slot in 0..self.schedule.resident {
            let schedule = &mut self.schedule;
            if schedule.next == schedule.blocks {
                return;
            }
            if self.blocks.get(slot).is_some_and(|block| block.live) {
                continue;
            }
            let place = u128::from(schedule.next) * u128::from(schedule.stride);
            let id = (u128::from(schedule.first) + place) % u128::from(schedule.blocks);
            schedule.next += 1;
            schedule.live += 1;
            self.start_block(slot, id as u32);
        }
    }

    /// Picks the threads of the next round; false at the end of the launch.
    fn pick(&mut self, round: &mut Vec<(u32, u32)>) -> bool {
        round.clear();
        self.refill();
        if self.failure.is_some() {
            return false;
        }
        if self.schedule.live == 0 {
            self.schedule.done = true;
            return false;
        }
        if self.switches > self.options.max_switches {
            let message = format!("after {} switches: {}", self.switches, self.waiting());
            self.fail(SimtErrorKind::Hang, message);
            return false;
        }
        let roll = self.random.below(8);
        let slots = self.schedule.resident;
        let chosen = self.random.index(slots);
        let block_threads = self.threads_per_block as usize;
        let chosen_warp = self.random.index(block_threads.div_ceil(32)) as u32;
        for slot in 0..slots {
            let block = &mut self.blocks[slot];
            if !block.live || (matches!(roll, 0 | 1 | 2) && slot != chosen) {
                continue;
            }
            let only_warp = roll == 0;
            let without_warp = roll == 3 && slot == chosen;
            if only_warp || without_warp {
                block.ready.retain(|&thread| {
                    let take = (thread / 32 == chosen_warp) == only_warp;
                    if take {
                        round.push((slot as u32, thread));
                    }
                    !take
                });
            } else {
                round.extend(block.ready.drain(..).map(|thread| (slot as u32, thread)));
            }
        }
        if round.is_empty() {
            for slot in 0..slots {
                let block = &mut self.blocks[slot];
                if block.live {
                    round.extend(block.ready.drain(..).map(|thread| (slot as u32, thread)));
                }
            }
        }
        if round.is_empty() {
            let message = format!("no thread can run: {}", self.waiting());
            self.fail(SimtErrorKind::Deadlock, message);
            return false;
        }
        match self.random.below(4) {
            0 => {}
            1 => round.reverse(),
            _ => self.random.shuffle(round),
        }
        true
    }

    /// The running thread has left its fiber; true if the launch goes on.
    fn leave(&mut self) -> bool {
        let block = &mut self.blocks[self.here.slot];
        let thread = &mut block.threads[self.here.thread as usize];
        if thread.state == State::Running {
            thread.state = State::Ready;
            block.ready.push(self.here.thread);
        }
        if block.left == 0 && block.live {
            block.live = false;
            self.schedule.live -= 1;
        }
        self.failure.is_none()
    }

    /// What a few of the threads that have not exited do.
    fn waiting(&self) -> String {
        let mut text = Vec::new();
        for block in self.blocks.iter().filter(|block| block.live) {
            for (index, thread) in block.threads.iter().enumerate() {
                let what = match thread.state {
                    State::Done => continue,
                    State::AtBarrier => format!("waits at __syncthreads, {}", thread.site.text()),
                    State::AtWarp => format!("waits at a warp operation, {}", thread.site.text()),
                    State::Ready | State::Running => "runs".to_owned(),
                };
                text.push(format!("block {} thread {index} {what}", block.id));
                if text.len() == 3 {
                    return text.join("; ");
                }
            }
        }
        text.join("; ")
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

thread_local! {
    static FIBERS: RefCell<Fibers> = RefCell::new(Fibers::new(run_thread));
}

/// The body of a fiber: the running thread, from the entry's first line to its exit.
fn run_thread() {
    let (run, params) = with(|machine| {
        let launch = machine.launch.as_ref();
        let entry = launch.map(|launch| {
            if machine.options.checked { launch.entry.checked } else { launch.entry.plain }
        });
        (entry, launch.map_or(0, |launch| launch.params.as_ptr() as usize))
    });
    if let Some(run) = run {
        // SAFETY: the launch holds a struct of the size that this entry takes, until all threads are done.
        unsafe { run(params as *const u8) };
    }
    with(Machine::exit_thread);
}

/// Runs a launch to its end, on this OS thread.
pub(crate) fn run(
    machine: &mut Machine,
    launch: Launch,
    seed: u64,
    number: u64,
) -> Result<(), SimtError> {
    machine.begin(launch.clone(), seed, number);
    machine.begin_schedule(&launch);
    let threads = machine.threads_per_block as usize;
    let in_use = machine.schedule.resident * threads;
    let lent = Lent::new(machine);
    let ran = FIBERS.with_borrow_mut(|fibers| {
        fibers.ensure(in_use)?;
        drive(fibers, threads);
        if with(|machine| !machine.schedule.done) {
            fibers.abandon(0..in_use);
        }
        fibers.trim();
        Ok::<(), std::io::Error>(())
    });
    drop(lent);
    ran.map_err(|error| {
        SimtError::new(SimtErrorKind::OutOfMemory, format!("stacks for {in_use} threads: {error}"))
    })?;
    machine.finish()
}

fn drive(fibers: &mut Fibers, threads: usize) {
    let mut round = Vec::new();
    while with(|machine| machine.pick(&mut round)) {
        for &(slot, thread) in &round {
            let fiber = slot as usize * threads + thread as usize;
            let stack = fibers.stack(fiber);
            with(|machine| machine.enter(slot as usize, thread, stack));
            fibers.resume(fiber);
            if !with(Machine::leave) {
                break;
            }
        }
    }
}

/// Lets other threads run.
pub(crate) fn yield_now() {
    suspend();
}
