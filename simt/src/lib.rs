//! Runs CUDA kernel sources on the CPU: for tests where there is no GPU, and for checks that no GPU makes.
//!
//! The build script compiles every `kernels/**/*.cu` as C++ against `include/simt.h`, twice. Each thread
//! of a block becomes a fiber; barriers and warp exchanges suspend it; a seed decides who runs when. The
//! *plain* variant gives results only. In the *checked* variant the compiler calls a hook before every
//! access (`-fsanitize=thread`, without its runtime library), and the launch fails on an access outside
//! a buffer, a read of unwritten bytes, a race, or a divergent barrier, naming block, thread and line.
//!
//! [`Device`] is the door: memory, streams and events in the manner of the CUDA driver.
//!
//! What the checks cannot see: padding is part of a struct copy, so it must have been written; a call of
//! `memcpy` is not checked; the race check keeps the last write and the last two readers of a byte, so it
//! reports no race that is not there, but may need several seeds to meet one that is; two launches are not
//! checked against each other, but streams run in a seeded order, so a missing event wait gives wrong
//! answers; a loop without memory accesses that never ends is not interrupted.
//!
//! Read next: `device` (streams), `schedule` (order), `machine` (checks), `shadow` (races).

mod arena;
mod calls;
mod device;
mod error;
mod fiber;
mod hooks;
mod image;
mod machine;
mod memory;
mod options;
mod random;
mod schedule;
mod shadow;
mod sync;
mod work;

pub use calls::Calls;
pub use device::Device;
pub use error::{SimtError, SimtErrorKind};
pub use options::{DevicePointer, EntryInfo, EventId, SimtOptions, StreamId};

/// A compiled entry in its two variants.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) checked: unsafe extern "C" fn(*const u8),
    pub(crate) plain: unsafe extern "C" fn(*const u8),
    pub(crate) params_bytes: extern "C" fn() -> u64,
    pub(crate) threads_max: extern "C" fn() -> u32,
}

mod entries {
    //! The table that the build script makes.
    use crate::Entry;

    include!(concat!(env!("OUT_DIR"), "/entries.rs"));
}
