//! What a caller says and holds: options, names of streams and events, entries.

/// An address in device memory.
pub type DevicePointer = u64;

/// A stream of a [`Device`](crate::Device).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// An event of a [`Device`](crate::Device).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u64);

/// A kernel entry that [`Device::launch`](crate::Device::launch) finds by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The name of the `extern "C" __global__` function.
    pub name: &'static str,
    /// The size of its launch struct.
    pub params_bytes: u64,
    /// The threads per block that its `__launch_bounds__` allows; 1024 without one.
    pub threads_max: u32,
}

/// How a [`Device`](crate::Device) behaves.
///
/// ```
/// use pelton_simt::SimtOptions;
///
/// let options = SimtOptions { seed: 7, checked: true, ..SimtOptions::default() };
/// assert!(options.fail_alloc_at.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimtOptions {
    /// Decides every order that CUDA leaves open: threads, warps, blocks, streams.
    pub seed: u64,
    /// Runs the checked variant of the kernels. The plain one is several times faster and only computes;
    /// in it an access far outside a buffer ends the process.
    pub checked: bool,
    /// Blocks that run at the same time.
    pub resident_blocks: u32,
    /// In the checked variant, how often an access lets other threads run first, of 1024. 0 is never.
    pub yield_per_1024: u32,
    /// The memory of the device; allocations beyond fail.
    pub memory_bytes: u64,
    /// A launch that switches threads more often than this is taken for hung.
    pub max_switches: u64,
    /// The allocation with this number, counted from 1, fails.
    pub fail_alloc_at: Option<u64>,
    /// The copy with this number fails, counted from 1 over both directions and copies on the device.
    pub fail_copy_at: Option<u64>,
}

impl Default for SimtOptions {
    fn default() -> SimtOptions {
        SimtOptions {
            seed: 1,
            checked: true,
            resident_blocks: 4,
            yield_per_1024: 16,
            memory_bytes: 4 << 30,
            max_switches: 1 << 28,
            fail_alloc_at: None,
            fail_copy_at: None,
        }
    }
}
