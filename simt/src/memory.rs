//! Device memory: one reserved range of addresses, allocations between unmapped pages, and which bytes
//! were written.
//!
//! Addresses are reused as late as possible, so that a stale pointer meets a dead allocation, whose name
//! the report can give. Scheduling is not here: an allocation is `Pending` until its stream reaches it.

use std::collections::BTreeMap;
use std::io;
use std::ptr;

use crate::error::{SimtError, SimtErrorKind};
use crate::random::Random;
use crate::shadow::RaceTable;

pub(crate) const PAGE: usize = 4096;
/// CUDA aligns allocations so; kernels may rely on it for vector accesses.
const ALIGNMENT: usize = 256;
/// Fresh memory is filled with noise up to here, and at the end: more only costs time, as a read of
/// unwritten bytes is reported anyway.
const POISON_MAX: usize = 4 << 20;
/// The least that is reserved, so that small devices reuse addresses late, too.
const REGION_MIN: usize = 16 << 30;

/// Where an allocation is in its life, in stream order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Handed out, but its stream has not reached the allocation.
    Pending,
    Live,
    /// Its stream has reached the free.
    Freed,
}

/// One allocation, alive or dead.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) name: &'static str,
    /// Offset in the region.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    pub(crate) life: Life,
    /// A free was queued: another one is an error.
    free_queued: bool,
    first_page: usize,
    pages: usize,
    pub(crate) written: Written,
    pub(crate) races: RaceTable,
}

/// Which bytes of a buffer were written: a bit each, or all of them.
#[derive(Debug, Default)]
pub(crate) struct Written {
    bits: Vec<u64>,
    pub(crate) all: bool,
}

impl Written {
    pub(crate) fn none(bytes: usize) -> Written {
        Written { bits: vec![0; bytes.div_ceil(64)], all: false }
    }

    pub(crate) fn all() -> Written {
        Written { bits: Vec::new(), all: true }
    }

    /// Bits of at most 16 bytes; the second word is that of the bytes past a multiple of 64.
    fn masks(offset: usize, bytes: usize) -> (usize, u64, u64) {
        let shift = offset % 64;
        let low = (1u64 << bytes) - 1;
        (offset / 64, low << shift, if shift + bytes > 64 { low >> (64 - shift) } else { 0 })
    }

    /// The first unwritten byte of at most 16.
    #[inline]
    pub(crate) fn unwritten(&self, offset: usize, bytes: usize) -> Option<usize> {
        if self.all {
            return None;
        }
        let (word, low, high) = Written::masks(offset, bytes);
        let missing_low = !self.bits[word] & low;
        if missing_low == 0 && (high == 0 || !self.bits[word + 1] & high == 0) {
            return None;
        }
        if missing_low != 0 {
            return Some(word * 64 + missing_low.trailing_zeros() as usize);
        }
        Some((word + 1) * 64 + (!self.bits[word + 1] & high).trailing_zeros() as usize)
    }

    /// Marks at most 16 bytes.
    #[inline]
    pub(crate) fn mark(&mut self, offset: usize, bytes: usize) {
        if self.all {
            return;
        }
        let (word, low, high) = Written::masks(offset, bytes);
        self.bits[word] |= low;
        if high != 0 {
            self.bits[word + 1] |= high;
        }
    }

    /// Marks any number of bytes of a buffer of `total`.
    pub(crate) fn mark_range(&mut self, offset: usize, bytes: usize, total: usize) {
        if bytes == total {
            *self = Written::all();
        }
        if self.all || bytes == 0 {
            return;
        }
        let end = offset + bytes;
        let mut at = offset;
        while at < end {
            let take = (64 - at % 64).min(end - at);
            self.bits[at / 64] |= word_mask(take) << (at % 64);
            at += take;
        }
    }

    /// The bits of up to 64 bytes from `offset`.
    fn read(&self, offset: usize, bytes: usize) -> u64 {
        if self.all {
            return word_mask(bytes);
        }
        let shift = offset % 64;
        let mut bits = self.bits[offset / 64] >> shift;
        if shift + bytes > 64 {
            bits |= self.bits[offset / 64 + 1] << (64 - shift);
        }
        bits & word_mask(bytes)
    }

    /// Takes over what `source` knows about a range.
    fn copy_range(&mut self, offset: usize, source: &[u64], bytes: usize) {
        if self.all && source.iter().all(|&bits| bits == u64::MAX) {
            return;
        }
        for byte in 0..bytes {
            let bit = source[byte / 64] >> (byte % 64) & 1;
            let at = offset + byte;
            self.bits[at / 64] = self.bits[at / 64] & !(1 << (at % 64)) | bit << (at % 64);
        }
    }

    /// Forgets that everything was written, keeping the fact in the bits.
    fn spell_out(&mut self, total: usize) {
        if self.all {
            *self = Written { bits: vec![u64::MAX; total.div_ceil(64)], all: false };
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bits.fill(0);
    }
}

fn word_mask(bits: usize) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// All memory of one device.
#[derive(Debug)]
pub(crate) struct DeviceMemory {
    pub(crate) base: usize,
    pub(crate) bytes: usize,
    checked: bool,
    capacity: u64,
    pub(crate) used: u64,
    pub(crate) used_peak: u64,
    /// Index of the allocation that a page belongs to, alive or dead; 0 for none.
    owners: Vec<u32>,
    pub(crate) allocations: Vec<Allocation>,
    /// Free page ranges, first page → pages.
    free: BTreeMap<usize, usize>,
    /// Where the next search for free pages starts.
    cursor: usize,
}

impl DeviceMemory {
    pub(crate) fn new(capacity: u64, checked: bool) -> io::Result<DeviceMemory> {
        let wanted = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_mul(4);
        let bytes = wanted.clamp(REGION_MIN, 1 << 42).next_multiple_of(PAGE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh private mapping at an address of the kernel's choice touches no memory in use.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = bytes / PAGE;
        let nothing = Allocation {
            name: "nothing",
            start: 0,
            bytes: 0,
            life: Life::Freed,
            free_queued: true,
            first_page: 0,
            pages: 0,
            written: Written::all(),
            races: RaceTable::default(),
        };
        Ok(DeviceMemory {
            base: base as usize,
            bytes,
            checked,
            capacity,
            used: 0,
            used_peak: 0,
            owners: vec![0; pages],
            allocations: vec![nothing],
            // The first page stays unmapped: it guards the first allocation.
            free: BTreeMap::from([(1, pages - 1)]),
            cursor: 1,
        })
    }

    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.used.checked_add(bytes).is_some_and(|used| used <= self.capacity)
    }

    /// Maps a fresh `Pending` allocation and returns its index and address.
    pub(crate) fn allocate(
        &mut self,
        bytes: u64,
        name: &'static str,
        random: &mut Random,
    ) -> Result<(u32, u64), SimtError> {
        let out_of_memory = |used: u64, capacity: u64| {
            SimtError::new(
                SimtErrorKind::OutOfMemory,
                format!("{name}: {bytes} bytes wanted, {used} of {capacity} in use"),
            )
        };
        if !self.fits(bytes) {
            return Err(out_of_memory(self.used, self.capacity));
        }
        let bytes = bytes as usize;
        let data_pages = bytes.next_multiple_of(ALIGNMENT).div_ceil(PAGE);
        let pages = data_pages + 1;
        let first_page =
            self.take_pages(pages).ok_or_else(|| out_of_memory(self.used, self.capacity))?;
        if data_pages > 0 {
            self.protect(first_page, data_pages, libc::PROT_READ | libc::PROT_WRITE)
                .map_err(|_| out_of_memory(self.used, self.capacity))?;
        }
        // The end of the buffer lies at the unmapped page, as far as the alignment allows.
        let start = (first_page + data_pages) * PAGE - bytes.next_multiple_of(ALIGNMENT);
        let index = u32::try_from(self.allocations.len()).unwrap_or(u32::MAX);
        self.owners[first_page..first_page + pages].fill(index);
        let written = if self.checked { Written::none(bytes) } else { Written::all() };
        self.allocations.push(Allocation {
            name,
            start,
            bytes,
            life: Life::Pending,
            free_queued: false,
            first_page,
            pages,
            written,
            races: RaceTable::default(),
        });
        if self.checked {
            let head = bytes.min(POISON_MAX);
            self.poison(start, head, random);
            let tail = (bytes - head).min(PAGE);
            self.poison(start + bytes - tail, tail, random);
        }
        self.used += bytes as u64;
        self.used_peak = self.used_peak.max(self.used);
        Ok((index, (self.base + start) as u64))
    }

    fn take_pages(&mut self, pages: usize) -> Option<usize> {
        let fits = |(&first, &free): (&usize, &usize)| (free >= pages).then_some((first, free));
        let (first, free) = self
            .free
            .range(self.cursor..)
            .find_map(fits)
            .or_else(|| self.free.range(..self.cursor).find_map(fits))?;
        self.free.remove(&first);
        if free > pages {
            self.free.insert(first + pages, free - pages);
        }
        self.cursor = first + pages;
        Some(first)
    }

    fn give_pages(&mut self, first: usize, pages: usize) {
        let (mut first, mut pages) = (first, pages);
        if let Some(after) = self.free.remove(&(first + pages)) {
            // Never in front of the cursor: joining there would hand the pages out again at once.
            if first + pages == self.cursor {
                self.free.insert(first + pages, after);
            } else {
                pages += after;
            }
        }
        if let Some((&before, &before_pages)) = self.free.range(..first).next_back() {
            if before + before_pages == first {
                self.free.remove(&before);
                first = before;
                pages += before_pages;
            }
        }
        self.free.insert(first, pages);
    }

    fn protect(&self, first_page: usize, pages: usize, protection: i32) -> io::Result<()> {
        let address = (self.base + first_page * PAGE) as *mut libc::c_void;
        // SAFETY: the pages lie in the region that `new` mapped and belong to one allocation alone.
        let result = unsafe { libc::mprotect(address, pages * PAGE, protection) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn poison(&mut self, start: usize, bytes: usize, random: &mut Random) {
        if bytes == 0 {
            return;
        }
        let noise = random.next();
        // SAFETY: the range lies in the mapped pages of an allocation, which nobody else knows yet.
        let target = unsafe { std::slice::from_raw_parts_mut((self.base + start) as *mut u8, bytes) };
        for (index, word) in target.chunks_mut(8).enumerate() {
            let value = noise.wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
        }
    }

    /// The stream has reached the allocation.
    pub(crate) fn begin_life(&mut self, index: u32) {
        self.allocations[index as usize].life = Life::Live;
    }

    /// The allocation that starts at `pointer`, marked as about to be freed.
    pub(crate) fn queue_free(&mut self, pointer: u64) -> Result<u32, SimtError> {
        let index = self.owner(pointer);
        let base = self.base;
        let allocation = &mut self.allocations[index as usize];
        if index == 0 || (base + allocation.start) as u64 != pointer || allocation.free_queued {
            let why = if allocation.free_queued { "freed already" } else { "not an allocation" };
            return Err(SimtError::new(
                SimtErrorKind::InvalidPointer,
                format!("free of {pointer:#x}: {why}"),
            ));
        }
        allocation.free_queued = true;
        Ok(index)
    }

    /// The stream has reached the free.
    pub(crate) fn end_life(&mut self, index: u32) {
        let allocation = &mut self.allocations[index as usize];
        allocation.life = Life::Freed;
        allocation.written = Written::all();
        allocation.races = RaceTable::default();
        let (first_page, pages) = (allocation.first_page, allocation.pages);
        self.used -= allocation.bytes as u64;
        let data_pages = pages - 1;
        if data_pages > 0 {
            let address = (self.base + first_page * PAGE) as *mut libc::c_void;
            // SAFETY: the pages belong to this allocation, which is dead from here on.
            unsafe { libc::madvise(address, data_pages * PAGE, libc::MADV_DONTNEED) };
            // A failure leaves dead pages readable, which only weakens the plain variant's checks.
            let _ = self.protect(first_page, data_pages, libc::PROT_NONE);
        }
        self.give_pages(first_page, pages);
    }

    fn owner(&self, pointer: u64) -> u32 {
        let offset = (pointer as usize).wrapping_sub(self.base);
        if offset < self.bytes { self.owners[offset / PAGE] } else { 0 }
    }

    /// The allocation that the page at `offset` of the region belongs to, alive or dead.
    #[inline]
    pub(crate) fn owner_at(&self, offset: usize) -> u32 {
        self.owners[offset / PAGE]
    }

    /// Index and offset of a range that lies in one allocation.
    pub(crate) fn range(&self, pointer: u64, bytes: u64) -> Result<(u32, usize), SimtError> {
        let index = self.owner(pointer);
        let allocation = &self.allocations[index as usize];
        let offset = (pointer as usize).wrapping_sub(self.base + allocation.start);
        let inside = offset <= allocation.bytes && bytes <= (allocation.bytes - offset) as u64;
        if index == 0 || !inside {
            let name = allocation.name;
            let size = allocation.bytes;
            return Err(SimtError::new(
                SimtErrorKind::InvalidPointer,
                format!(
                    "{bytes} bytes at {pointer:#x} are not inside an allocation (nearest: {name}, \
                     {size} bytes, byte {})",
                    offset as isize
                ),
            ));
        }
        Ok((index, offset))
    }

    /// The same, and alive.
    fn live_range(&self, pointer: u64, bytes: u64) -> Result<(u32, usize), SimtError> {
        let (index, offset) = self.range(pointer, bytes)?;
        let allocation = &self.allocations[index as usize];
        let when = match allocation.life {
            Life::Live => return Ok((index, offset)),
            Life::Pending => "before its allocation in stream order",
            Life::Freed => "after its free in stream order",
        };
        Err(SimtError::new(
            SimtErrorKind::InvalidPointer,
            format!("{} ({:#x}) is used {when}", allocation.name, pointer),
        ))
    }

    /// # Safety
    ///
    /// `source` must be readable for `bytes`.
    pub(crate) unsafe fn copy_in(
        &mut self,
        target: u64,
        source: *const u8,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let (index, offset) = self.live_range(target, bytes)?;
        // SAFETY: the caller vouches for the source; `live_range` for the target, which is mapped.
        unsafe { ptr::copy_nonoverlapping(source, target as *mut u8, bytes as usize) };
        let allocation = &mut self.allocations[index as usize];
        allocation.written.mark_range(offset, bytes as usize, allocation.bytes);
        Ok(())
    }

    /// # Safety
    ///
    /// `target` must be writable for `bytes`.
    pub(crate) unsafe fn copy_out(
        &mut self,
        target: *mut u8,
        source: u64,
        bytes: u64,
    ) -> Result<(), SimtError> {
        self.live_range(source, bytes)?;
        // SAFETY: the caller vouches for the target; `live_range` for the source, which is mapped.
        unsafe { ptr::copy_nonoverlapping(source as *const u8, target, bytes as usize) };
        Ok(())
    }

    pub(crate) fn copy_within(
        &mut self,
        target: u64,
        source: u64,
        bytes: u64,
    ) -> Result<(), SimtError> {
        let (source_index, source_offset) = self.live_range(source, bytes)?;
        let (target_index, target_offset) = self.live_range(target, bytes)?;
        let bytes = bytes as usize;
        // SAFETY: `live_range` vouches for both ranges, and `copy` allows them to overlap.
        unsafe { ptr::copy(source as *const u8, target as *mut u8, bytes) };
        if self.checked {
            let known = &self.allocations[source_index as usize].written;
            let words: Vec<u64> = (0..bytes)
                .step_by(64)
                .map(|at| {
                    let take = 64.min(bytes - at);
                    known.read(source_offset + at, take) | !word_mask(take)
                })
                .collect();
            let allocation = &mut self.allocations[target_index as usize];
            if words.iter().all(|&bits| bits == u64::MAX) {
                allocation.written.mark_range(target_offset, bytes, allocation.bytes);
            } else {
                allocation.written.spell_out(allocation.bytes);
                allocation.written.copy_range(target_offset, &words, bytes);
            }
        }
        Ok(())
    }

    pub(crate) fn fill(&mut self, target: u64, value: u8, bytes: u64) -> Result<(), SimtError> {
        let (index, offset) = self.live_range(target, bytes)?;
        // SAFETY: `live_range` vouches for the target, which is mapped.
        unsafe { ptr::write_bytes(target as *mut u8, value, bytes as usize) };
        let allocation = &mut self.allocations[index as usize];
        allocation.written.mark_range(offset, bytes as usize, allocation.bytes);
        Ok(())
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this region, and nothing outlives the device that owns it.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.bytes) };
    }
}
