//! The shared memory of a resident block: arrays with gaps between them.

use std::alloc::{self, Layout};
use std::ptr;

use crate::memory::Written;
use crate::random::Random;
use crate::shadow::RaceTable;

/// Shared memory of a block on the smallest GPU we build for that allows more than 48 KiB.
pub(crate) const SHARED_BYTES_MAX: usize = 227 << 10;
/// Shared memory plus the gaps between its arrays.
pub(crate) const ARENA_BYTES: usize = 256 << 10;
pub(crate) const ARENA_ALIGNMENT: usize = 1024;
/// The unit that belongs to one shared array; at least one between two arrays belongs to none.
pub(crate) const SHARED_UNIT: usize = 16;
/// One array in a block's shared memory.
#[derive(Debug)]
pub(crate) struct SharedArray {
    pub(crate) tag: usize,
    pub(crate) name: &'static str,
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

/// The shared memory of one resident block.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) base: usize,
    pub(crate) used: usize,
    /// Without the gaps.
    pub(crate) bytes: usize,
    pub(crate) generation: u32,
    pub(crate) arrays: Vec<SharedArray>,
    /// Index + 1 of the array that a unit belongs to.
    pub(crate) owners: Vec<u8>,
    pub(crate) written: Written,
    pub(crate) races: RaceTable,
}

impl Arena {
    fn layout() -> Layout {
        Layout::from_size_align(ARENA_BYTES, ARENA_ALIGNMENT).unwrap_or(Layout::new::<u128>())
    }

    pub(crate) fn new() -> Arena {
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc::alloc_zeroed(Arena::layout()) };
        if base.is_null() {
            alloc::handle_alloc_error(Arena::layout());
        }
        Arena {
            base: base as usize,
            used: 0,
            bytes: 0,
            generation: 0,
            arrays: Vec::new(),
            owners: vec![0; ARENA_BYTES / SHARED_UNIT],
            written: Written::none(ARENA_BYTES),
            races: RaceTable::default(),
        }
    }

    pub(crate) fn clear(&mut self, generation: u32) {
        let units = self.used.div_ceil(SHARED_UNIT).min(self.owners.len());
        self.owners[..units].fill(0);
        self.arrays.clear();
        self.used = 0;
        self.bytes = 0;
        self.generation = generation;
        self.written.clear();
    }

    /// Adds an array and fills it with noise. `None` if the block has not so much shared memory.
    pub(crate) fn add(
        &mut self,
        tag: usize,
        bytes: usize,
        align: usize,
        name: &'static str,
        random: &mut Random,
    ) -> Option<usize> {
        let start = (self.used + SHARED_UNIT).next_multiple_of(align.max(SHARED_UNIT));
        let end = start + bytes;
        let owner = u8::try_from(self.arrays.len() + 1).ok()?;
        if self.bytes + bytes > SHARED_BYTES_MAX || end > ARENA_BYTES {
            return None;
        }
        self.owners[start / SHARED_UNIT..end.div_ceil(SHARED_UNIT)].fill(owner);
        self.arrays.push(SharedArray {
            tag,
            name,
            start,
            bytes,
        });
        self.used = end;
        self.bytes += bytes;
        let noise = random.next() as u8;
        // SAFETY: start..end lies in the arena, and no thread knows the array yet.
        unsafe { ptr::write_bytes((self.base + start) as *mut u8, noise | 1, bytes) };
        Some(self.base + start)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { alloc::dealloc(self.base as *mut u8, Arena::layout()) };
    }
}
