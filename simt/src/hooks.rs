//! What compiled kernels call: the functions that `simt.h` declares, and the compiler's access hooks.
//!
//! A hook borrows the machine, lets the borrow go, and only then suspends. Nothing here may panic: the
//! caller is a kernel.

use std::ffi::{c_char, c_void};

use crate::error::SimtErrorKind;
use crate::fiber::suspend;
use crate::image::{Site, text_of};
use crate::machine::{Machine, Step, with};
use crate::schedule::yield_now;
use crate::sync::Arrival;

/// The launch has failed: the fiber is never resumed, and later reset.
#[cold]
fn abandon() -> ! {
    loop {
        suspend();
    }
}

fn go_on(step: Step) {
    match step {
        Step::Go => {}
        Step::Yield => yield_now(),
        Step::Abandon => abandon(),
    }
}

// ---- coordinates --------------------------------------------------------------------------------

macro_rules! coordinates {
    ($($name:ident = $value:expr;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> u32 {
            let value: fn(&mut Machine) -> u32 = $value;
            with(value)
        }
    )*};
}

coordinates! {
    simt_thread_x = |m| m.here.thread_index[0];
    simt_thread_y = |m| m.here.thread_index[1];
    simt_thread_z = |m| m.here.thread_index[2];
    simt_lane = |m| m.here.thread % 32;
    simt_block_x = |m| m.here.block_index[0];
    simt_block_y = |m| m.here.block_index[1];
    simt_block_z = |m| m.here.block_index[2];
    simt_block_dim_x = |m| m.launch.as_ref().map_or(0, |launch| launch.block[0]);
    simt_block_dim_y = |m| m.launch.as_ref().map_or(0, |launch| launch.block[1]);
    simt_block_dim_z = |m| m.launch.as_ref().map_or(0, |launch| launch.block[2]);
    simt_grid_dim_x = |m| m.launch.as_ref().map_or(0, |launch| launch.grid[0]);
    simt_grid_dim_y = |m| m.launch.as_ref().map_or(0, |launch| launch.grid[1]);
    simt_grid_dim_z = |m| m.launch.as_ref().map_or(0, |launch| launch.grid[2]);
}

// ---- shared memory ------------------------------------------------------------------------------

#[unsafe(no_mangle)]
extern "C" fn simt_shared(
    tag: *const c_void,
    bytes: u64,
    align: u64,
    name: *const c_char,
) -> *mut c_void {
    let found = with(|m| m.shared(tag as usize, bytes as usize, align as usize, name));
    match found {
        Some(address) => address as *mut c_void,
        None => abandon(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn simt_dynamic_shared(_name: *const c_char) -> *mut c_void {
    match with(Machine::dynamic_shared) {
        Some(address) => address as *mut c_void,
        None => abandon(),
    }
}

// ---- barriers and exchanges -----------------------------------------------------------------------

fn wait(arrival: Arrival) -> u64 {
    match arrival {
        Arrival::Complete {
            let_others_first: false,
        } => {}
        Arrival::Complete {
            let_others_first: true,
        }
        | Arrival::Wait => suspend(),
        Arrival::Failed => abandon(),
    }
    with(|m| m.got())
}

#[unsafe(no_mangle)]
extern "C" fn simt_barrier(op: u32, value: u32, file: *const c_char, line: i32) -> u32 {
    wait(with(|m| {
        m.arrive_at_barrier(op, value, Site { file, line })
    })) as u32
}

#[unsafe(no_mangle)]
extern "C" fn simt_warp(
    op: u32,
    mask: u32,
    value: u64,
    source: u32,
    file: *const c_char,
    line: i32,
) -> u64 {
    wait(with(|m| {
        m.arrive_at_warp(op, mask, value, source, Site { file, line })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn simt_yield() {
    yield_now();
}

#[unsafe(no_mangle)]
extern "C" fn simt_fence(device_wide: u32) {
    with(|m| m.fence(device_wide != 0));
}

#[unsafe(no_mangle)]
extern "C" fn simt_portability(what: *const c_char, file: *const c_char, line: i32) {
    go_on(with(|m| {
        let site = Site { file, line };
        let message = format!("{} ({}, {})", text_of(what), site.text(), m.who());
        m.fail(SimtErrorKind::Portability, message)
    }));
}

#[unsafe(no_mangle)]
extern "C" fn simt_trap(file: *const c_char, line: i32) {
    go_on(with(|m| {
        let message = format!("__trap at {} by {}", Site { file, line }.text(), m.who());
        m.fail(SimtErrorKind::Trap, message)
    }));
}

// ---- atomics ------------------------------------------------------------------------------------

/// The kinds of `simt_atomic`, as `simt.h` numbers them.
mod kind {
    pub(super) const LOAD: u32 = 0;
    pub(super) const STORE: u32 = 1;
    pub(super) const LOAD_ACQUIRE: u32 = 2;
    pub(super) const STORE_RELEASE: u32 = 3;
    pub(super) const UPDATE: u32 = 4;
    pub(super) const COMPARE: u32 = 5;
    pub(super) const SWAP: u32 = 6;
    pub(super) const DONE: u32 = 7;
}

/// How often a thread lets others run around an atomic, of 1024. Loads more often: they may spin.
const YIELD_AT_ATOMIC: u32 = 128;
const YIELD_AT_LOAD: u32 = 512;

#[unsafe(no_mangle)]
extern "C" fn simt_atomic(address: usize, bytes: u64, kind: u32) {
    let before = with(|m| {
        let per_1024 = match kind {
            kind::LOAD_ACQUIRE => 1024,
            kind::LOAD => YIELD_AT_LOAD,
            kind::SWAP => 0,
            _ => YIELD_AT_ATOMIC,
        };
        if m.random.chance(per_1024) {
            Step::Yield
        } else {
            Step::Go
        }
    });
    go_on(before);
    if kind == kind::DONE {
        return;
    }
    let after = with(|m| {
        if !m.options.checked {
            return Step::Go;
        }
        let bytes = bytes as usize;
        let reads = matches!(
            kind,
            kind::LOAD | kind::LOAD_ACQUIRE | kind::UPDATE | kind::COMPARE
        );
        let writes = matches!(
            kind,
            kind::STORE | kind::STORE_RELEASE | kind::UPDATE | kind::SWAP
        );
        if reads {
            let step = m.access::<false, true, true>(address, bytes);
            if step != Step::Go {
                return step;
            }
            m.observe(address, kind == kind::LOAD_ACQUIRE);
        }
        if writes {
            let step = m.access::<true, true, true>(address, bytes);
            if step != Step::Go {
                return step;
            }
            let update = matches!(kind, kind::UPDATE | kind::SWAP);
            m.publish(address, kind == kind::STORE_RELEASE, update);
        }
        Step::Go
    });
    go_on(after);
}

// ---- the hooks of -fsanitize=thread ---------------------------------------------------------------

#[inline]
fn access<const WRITE: bool, const ALIGNED: bool>(address: usize, bytes: usize) {
    let step = with(|m| {
        if m.tick() {
            Step::Yield
        } else {
            m.access::<WRITE, false, ALIGNED>(address, bytes)
        }
    });
    if step == Step::Go {
        return;
    }
    if step == Step::Abandon {
        abandon();
    }
    yield_now();
    go_on(with(|m| m.access::<WRITE, false, ALIGNED>(address, bytes)));
}

macro_rules! access_hooks {
    ($($name:ident: $write:literal, $aligned:literal, $bytes:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(address: usize) {
            access::<$write, $aligned>(address, $bytes);
        }
    )*};
}

access_hooks! {
    __tsan_read1: false, true, 1;
    __tsan_read2: false, true, 2;
    __tsan_read4: false, true, 4;
    __tsan_read8: false, true, 8;
    __tsan_read16: false, true, 16;
    __tsan_write1: true, true, 1;
    __tsan_write2: true, true, 2;
    __tsan_write4: true, true, 4;
    __tsan_write8: true, true, 8;
    __tsan_write16: true, true, 16;
    __tsan_unaligned_read2: false, false, 2;
    __tsan_unaligned_read4: false, false, 4;
    __tsan_unaligned_read8: false, false, 8;
    __tsan_unaligned_read16: false, false, 16;
    __tsan_unaligned_write2: true, false, 2;
    __tsan_unaligned_write4: true, false, 4;
    __tsan_unaligned_write8: true, false, 8;
    __tsan_unaligned_write16: true, false, 16;
    __tsan_volatile_read1: false, true, 1;
    __tsan_volatile_read2: false, true, 2;
    __tsan_volatile_read4: false, true, 4;
    __tsan_volatile_read8: false, true, 8;
    __tsan_volatile_read16: false, true, 16;
    __tsan_volatile_write1: true, true, 1;
    __tsan_volatile_write2: true, true, 2;
    __tsan_volatile_write4: true, true, 4;
    __tsan_volatile_write8: true, true, 8;
    __tsan_volatile_write16: true, true, 16;
}

/// An access of any size: a struct that is copied.
fn access_range<const WRITE: bool>(address: usize, bytes: usize) {
    let mut at = 0;
    while at < bytes {
        let here = address + at;
        let take = (8 - here % 8).min(bytes - at);
        access::<WRITE, false>(here, take);
        at += take;
    }
}

#[unsafe(no_mangle)]
extern "C" fn __tsan_read_range(address: usize, bytes: usize) {
    access_range::<false>(address, bytes);
}

#[unsafe(no_mangle)]
extern "C" fn __tsan_write_range(address: usize, bytes: usize) {
    access_range::<true>(address, bytes);
}

#[unsafe(no_mangle)]
extern "C" fn __tsan_init() {}

#[unsafe(no_mangle)]
extern "C" fn __tsan_func_entry(_caller: usize) {}

#[unsafe(no_mangle)]
extern "C" fn __tsan_func_exit() {}
