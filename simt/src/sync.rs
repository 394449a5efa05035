//! Block barriers and warp exchanges: who has arrived, whether all came to the same place, and the result.

use std::sync::Arc;

use crate::error::SimtErrorKind;
use crate::image::Site;
use crate::machine::{Block, Machine, State};
use crate::random::Random;
use crate::shadow::{Clocks, Knowledge, Record, join_clocks, merge_shared};

/// The operations of `simt_barrier`, as `simt.h` numbers them.
mod barrier_op {
    pub(super) const COUNT: u32 = 1;
    pub(super) const AND: u32 = 2;
    pub(super) const OR: u32 = 3;
}

/// The operations of `simt_warp`, as `simt.h` numbers them.
mod warp_op {
    pub(super) const SYNC: u32 = 0;
    pub(super) const SHUFFLE: u32 = 1;
    pub(super) const BALLOT: u32 = 2;
    pub(super) const MATCH: u32 = 3;
    pub(super) const ADD: u32 = 4;
    pub(super) const MIN_SIGNED: u32 = 5;
    pub(super) const MAX_SIGNED: u32 = 6;
    pub(super) const MIN_UNSIGNED: u32 = 7;
    pub(super) const MAX_UNSIGNED: u32 = 8;
    pub(super) const AND: u32 = 9;
    pub(super) const OR: u32 = 10;
    pub(super) const XOR: u32 = 11;
    pub(super) const ANY: u32 = 12;
    pub(super) const ALL: u32 = 13;
}

/// How often the thread that completes a barrier lets the others go first, of 1024.
const YIELD_AFTER_BARRIER: u32 = 512;

/// Lanes that wait for each other.
#[derive(Debug)]
struct Gather {
    mask: u32,
    op: u32,
    site: Site,
    arrived: u32,
}

#[derive(Debug)]
pub(crate) struct Warp {
    gathers: Vec<Gather>,
    /// Lanes that have exited or never existed.
    gone: u32,
}

impl Warp {
    pub(crate) fn new(lanes: u32) -> Warp {
        let gone = if lanes == 32 { 0 } else { u32::MAX << lanes };
        Warp {
            gathers: Vec::new(),
            gone,
        }
    }
}

/// How an arrival goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The last one: go on, perhaps after the others.
    Complete {
        let_others_first: bool,
    },
    /// Wait for the others.
    #[default]
    Wait,
    Failed,
}

/// The lanes of a mask.
fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

impl Machine {
    /// The value that the running thread got from its barrier or exchange.
    pub(crate) fn got(&self) -> u64 {
        self.blocks[self.here.slot].threads[self.here.thread as usize].got
    }

    fn let_others_first(&mut self) -> Arrival {
        Arrival::Complete {
            let_others_first: self.random.chance(YIELD_AFTER_BARRIER),
        }
    }

    fn failed(&mut self, kind: SimtErrorKind, message: String) -> Arrival {
        self.fail(kind, message);
        Arrival::Failed
    }

    // ---- block barriers ------------------------------------------------------------------------

    pub(crate) fn arrive_at_barrier(&mut self, op: u32, value: u32, site: Site) -> Arrival {
        let block = &mut self.blocks[self.here.slot];
        let thread = &mut block.threads[self.here.thread as usize];
        thread.state = State::AtBarrier;
        thread.op = op;
        thread.site = site;
        thread.value = u64::from(value);
        block.at_barrier += 1;
        if block.at_barrier < block.left {
            return Arrival::Wait;
        }
        if block.left < self.threads_per_block {
            return self.fail_exited_before_barrier(site);
        }
        let elsewhere = block
            .threads
            .iter()
            .position(|other| other.site != site || other.op != op);
        if let Some(other) = elsewhere {
            let other_site = block.threads[other].site.text();
            let message = format!(
                "__syncthreads reached at two places: {} by {} and {other_site} by thread {other}",
                site.text(),
                self.who()
            );
            return self.failed(SimtErrorKind::Synccheck, message);
        }
        let count = block
            .threads
            .iter()
            .filter(|thread| thread.value != 0)
            .count() as u64;
        let result = match op {
            barrier_op::COUNT => count,
            barrier_op::AND => u64::from(count == block.threads.len() as u64),
            barrier_op::OR => u64::from(count != 0),
            _ => 0,
        };
        pass_barrier(block, self.options.checked);
        for (index, thread) in block.threads.iter_mut().enumerate() {
            thread.got = result;
            if index == self.here.thread as usize {
                thread.state = State::Running;
            } else {
                thread.state = State::Ready;
                block.ready.push(index as u32);
            }
        }
        self.let_others_first()
    }

    fn fail_exited_before_barrier(&mut self, site: Site) -> Arrival {
        let threads = &self.blocks[self.here.slot].threads;
        let gone = threads
            .iter()
            .position(|thread| thread.state == State::Done)
            .unwrap_or(0);
        let message = format!(
            "__syncthreads at {} is divergent: thread {gone} of block {} has exited",
            site.text(),
            self.blocks[self.here.slot].id
        );
        self.failed(SimtErrorKind::Synccheck, message)
    }

    /// The running thread has returned from the kernel.
    pub(crate) fn exit_thread(&mut self) {
        let block = &mut self.blocks[self.here.slot];
        let index = self.here.thread;
        block.threads[index as usize].state = State::Done;
        block.left -= 1;
        let bit = 1u32 << (index % 32);
        let warp = &mut block.warps[index as usize / 32];
        warp.gone |= bit;
        let waiting = warp.gathers.iter().find(|gather| gather.mask & bit != 0);
        if let Some(site) = waiting.map(|gather| gather.site) {
            let message = format!(
                "{} exited while lanes of its warp wait for it at {}",
                self.who(),
                site.text()
            );
            self.fail(SimtErrorKind::Synccheck, message);
            return;
        }
        if block.left > 0 && block.at_barrier == block.left {
            let waiting = block
                .threads
                .iter()
                .find(|thread| thread.state == State::AtBarrier);
            let site = waiting.map_or(Site::NOWHERE, |thread| thread.site);
            self.fail_exited_before_barrier(site);
        }
    }

    // ---- warp exchanges ------------------------------------------------------------------------

    pub(crate) fn arrive_at_warp(
        &mut self,
        op: u32,
        mask: u32,
        value: u64,
        source: u32,
        site: Site,
    ) -> Arrival {
        let block = &mut self.blocks[self.here.slot];
        let index = self.here.thread as usize;
        let lane = index % 32;
        let warp = &mut block.warps[index / 32];
        if mask >> lane & 1 == 0 {
            let message = format!("{} is not in its own mask at {}", self.who(), site.text());
            return self.failed(SimtErrorKind::Synccheck, message);
        }
        if mask & warp.gone != 0 {
            let lane = (mask & warp.gone).trailing_zeros();
            let message = format!(
                "the mask of {} at {} names lane {lane}, which has exited or does not exist",
                self.who(),
                site.text()
            );
            return self.failed(SimtErrorKind::Synccheck, message);
        }
        let thread = &mut block.threads[index];
        thread.state = State::AtWarp;
        thread.op = op;
        thread.site = site;
        thread.value = value;
        thread.source = source;
        let same = |g: &Gather| g.mask == mask && g.op == op && g.site == site;
        let at = match warp.gathers.iter().position(same) {
            Some(at) => at,
            None => {
                // One mask at two places: each set of lanes waits for the other.
                if let Some(other) = warp.gathers.iter().find(|gather| gather.mask == mask) {
                    let other_site = other.site.text();
                    let message = format!(
                        "lanes of one mask ({mask:#x}) meet at two places: {} by {} and {other_site}",
                        site.text(),
                        self.who()
                    );
                    return self.failed(SimtErrorKind::Synccheck, message);
                }
                warp.gathers.push(Gather {
                    mask,
                    op,
                    site,
                    arrived: 0,
                });
                warp.gathers.len() - 1
            }
        };
        warp.gathers[at].arrived |= 1 << lane;
        if warp.gathers[at].arrived != mask {
            return Arrival::Wait;
        }
        warp.gathers.swap_remove(at);
        let first = index - lane;
        exchange(
            block,
            first,
            op,
            mask,
            &mut self.random,
            self.options.checked,
        );
        for lane in lanes(mask) {
            let thread = first + lane;
            if thread == index {
                block.threads[thread].state = State::Running;
            } else {
                block.threads[thread].state = State::Ready;
                block.ready.push(thread as u32);
            }
        }
        self.let_others_first()
    }
}

/// Orders all that the block did before its barrier before all that it does after.
fn pass_barrier(block: &mut Block, checked: bool) {
    block.at_barrier = 0;
    block.epoch += 1;
    if !checked {
        return;
    }
    if block.acquired {
        block.acquired = false;
        let known = block.threads.iter().map(|thread| thread.knowledge.clone());
        let merged = known.fold(None, merge_shared);
        for thread in &mut block.threads {
            thread.knowledge = merged.clone();
        }
    }
    for (index, thread) in block.threads.iter_mut().enumerate() {
        thread.clocks = [0; 32];
        thread.clocks[index % 32] = 1;
        thread.record = Record::new(block.id, index as u32, block.epoch, 1);
    }
}

/// Computes what each lane of `mask` gets.
fn exchange(
    block: &mut Block,
    first: usize,
    op: u32,
    mask: u32,
    random: &mut Random,
    checked: bool,
) {
    if op == warp_op::SYNC {
        if checked {
            sync_warp(block, first, mask);
        }
        return;
    }
    let end = (first + 32).min(block.threads.len());
    let warp = &mut block.threads[first..end];
    let values: [u64; 32] =
        std::array::from_fn(|lane| warp.get(lane).map_or(0, |thread| thread.value));
    match op {
        warp_op::SHUFFLE => {
            for lane in lanes(mask) {
                let source = warp[lane].source as usize & 31;
                // A lane outside the mask has no defined value.
                let defined = mask >> source & 1 != 0;
                warp[lane].got = if defined {
                    values[source]
                } else {
                    random.next()
                };
            }
        }
        warp_op::MATCH => {
            for lane in lanes(mask) {
                let equal = lanes(mask).filter(|&other| values[other] == values[lane]);
                warp[lane].got = equal.fold(0, |bits, other| bits | 1 << other);
            }
        }
        _ => {
            let result = reduce(op, lanes(mask).map(|lane| (lane, values[lane])));
            for lane in lanes(mask) {
                warp[lane].got = result;
            }
        }
    }
}

/// The operations whose result is the same for all lanes.
fn reduce(op: u32, lanes: impl Iterator<Item = (usize, u64)>) -> u64 {
    let ballot = |bits: u64, (lane, value): (usize, u64)| bits | u64::from(value != 0) << lane;
    match op {
        warp_op::BALLOT => return lanes.fold(0, ballot),
        warp_op::ANY => return u64::from(lanes.fold(0, ballot) != 0),
        warp_op::ALL => return u64::from({ lanes }.all(|(_, value)| value != 0)),
        _ => {}
    }
    let words = lanes.map(|(_, value)| value as u32);
    let result = words.reduce(|a, b| match op {
        warp_op::ADD => a.wrapping_add(b),
        warp_op::MIN_SIGNED => (a as i32).min(b as i32) as u32,
        warp_op::MAX_SIGNED => (a as i32).max(b as i32) as u32,
        warp_op::MIN_UNSIGNED => a.min(b),
        warp_op::MAX_UNSIGNED => a.max(b),
        warp_op::AND => a & b,
        warp_op::OR => a | b,
        warp_op::XOR => a ^ b,
        _ => a,
    });
    u64::from(result.unwrap_or(0))
}

/// Orders what the lanes of `mask` did before, as each knows it, before what they do from here on.
fn sync_warp(block: &mut Block, first: usize, mask: u32) {
    let mut joined: Clocks = [0; 32];
    let mut knowledge: Option<Arc<Knowledge>> = None;
    for lane in lanes(mask) {
        let thread = &mut block.threads[first + lane];
        thread.clocks[lane] += 1;
        join_clocks(&mut joined, &thread.clocks);
        if thread.knowledge.is_some() {
            knowledge = merge_shared(knowledge, thread.knowledge.clone());
        }
    }
    for lane in lanes(mask) {
        let index = first + lane;
        let thread = &mut block.threads[index];
        thread.clocks = joined;
        thread.record = Record::new(block.id, index as u32, block.epoch, joined[lane]);
        if knowledge.is_some() {
            thread.knowledge = knowledge.clone();
        }
    }
}
