//! The seam between Pelton and whoever runs its kernels.

use std::fmt;

use crate::error::Result;
use crate::memory::StreamHandle;

/// A point in a stream that others can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHandle(pub u64);

/// A kernel entry, ready to launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelHandle(pub u64);

/// The shape of a launch. All kernels are one-dimensional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchShape {
    /// Blocks.
    pub grid: u32,
    /// Threads per block.
    pub block: u32,
    /// Bytes of dynamic shared memory per block.
    pub shared_bytes: u32,
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProperties {
    /// The device's own name.
    pub name: String,
    /// Compute capability, major and minor; (0, 0) for the emulator.
    pub compute_capability: (u32, u32),
    /// Version of the driver, as `major.minor`.
    pub driver_version: String,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// Bytes a second that device memory moves at most, by its clock and its bus, where they are told.
    pub memory_bytes_per_second: Option<u64>,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Most bytes of shared memory that one block may have.
    pub shared_bytes_per_block_max: u32,
    /// Bytes of second-level cache.
    pub l2_bytes: u64,
    /// What the kernels were built for, as people read it.
    pub kernels: String,
}

/// Streams, events, memory and launches of one device, below the safe functions of
/// [`Device`](super::Device): handles and addresses are plain numbers here, and whoever passes one
/// passes one of this driver's. Everything that takes a stream happens in
/// the stream's order, after the call has returned; what fails then is reported by the next call
/// that waits.
///
/// # Safety
/// Implementations must put operations on their stream in call order, must hand out disjoint live
/// allocations, and must not touch host memory of a copy after the stream has passed it.
pub unsafe trait Driver: Send + Sync + fmt::Debug {
    /// `cuda` or `simt`.
    fn name(&self) -> &'static str;

    /// What the device is.
    fn properties(&self) -> &DeviceProperties;

    /// A new stream that does not wait for any other.
    ///
    /// # Errors
    /// The driver refuses.
    fn stream_create(&self) -> Result<StreamHandle>;

    /// The handle of a stream that another engine made in the same context; 0 is CUDA's legacy
    /// default stream.
    ///
    /// # Safety
    /// `raw` is a stream of the driver's: a live `CUstream`, or a live stream of the same emulator.
    ///
    /// # Errors
    /// `InvalidInput` if it belongs to another context, or is another stream on every thread.
    unsafe fn adopt_stream(&self, raw: u64) -> Result<StreamHandle>;

    /// Answers whether an address range is memory of this device, as far as the driver knows.
    ///
    /// # Errors
    /// `InvalidInput` if it is not.
    fn check_memory(&self, address: u64, bytes: u64) -> Result<()>;

    /// Runs `work` with the device's context current on this thread, as frees of another engine's
    /// need it.
    fn in_context(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// Ends a stream after the work that is on it.
    fn stream_destroy(&self, stream: StreamHandle);

    /// Waits for all work on a stream.
    ///
    /// # Errors
    /// The first failure of that work.
    fn stream_synchronize(&self, stream: StreamHandle) -> Result<()>;

    /// Waits for all work on all streams.
    ///
    /// # Errors
    /// The first failure of that work.
    fn synchronize(&self) -> Result<()>;

    /// A new event, for order alone.
    ///
    /// # Errors
    /// The driver refuses.
    fn event_create(&self) -> Result<EventHandle>;

    /// A new event that keeps the time when it passed.
    ///
    /// # Errors
    /// The driver refuses.
    fn timer_create(&self) -> Result<EventHandle>;

    /// Ends an event.
    fn event_destroy(&self, event: EventHandle);

    /// Puts the event on the stream; it passes when the stream gets there.
    ///
    /// # Errors
    /// The driver refuses.
    fn event_record(&self, event: EventHandle, stream: StreamHandle) -> Result<()>;

    /// Lets the stream wait until the event has passed.
    ///
    /// # Errors
    /// The driver refuses.
    fn stream_wait(&self, stream: StreamHandle, event: EventHandle) -> Result<()>;

    /// True if the event has passed.
    ///
    /// # Errors
    /// A failure of work before the event.
    fn event_query(&self, event: EventHandle) -> Result<bool>;

    /// Waits until the event has passed.
    ///
    /// # Errors
    /// A failure of work before the event.
    fn event_synchronize(&self, event: EventHandle) -> Result<()>;

    /// Milliseconds between two timers that have passed, as the device counts them.
    ///
    /// # Errors
    /// One of them has not passed, or was not recorded.
    fn event_elapsed(&self, start: EventHandle, end: EventHandle) -> Result<f32>;

    /// Device memory, valid from this point of the stream on; contents undefined.
    ///
    /// # Errors
    /// No memory is left.
    fn alloc(&self, stream: StreamHandle, bytes: u64) -> Result<u64>;

    /// How many bytes of freed memory may be kept for allocations to come, if any are.
    fn keep_at_most(&self, _bytes: u64) {}

    /// Gives memory back when the stream gets there; so many bytes were asked for, on the stream `home`.
    fn free(&self, stream: StreamHandle, address: u64, bytes: u64, home: StreamHandle);

    /// Host memory that copies at full speed; contents undefined.
    ///
    /// # Errors
    /// No memory is left.
    fn pinned_alloc(&self, bytes: usize) -> Result<*mut u8>;

    /// Gives pinned memory back.
    ///
    /// # Safety
    /// `pointer` came from [`Driver::pinned_alloc`] with the same size, and no copy uses it.
    unsafe fn pinned_free(&self, pointer: *mut u8, bytes: usize);

    /// Copies a few bytes to the device without pinned memory, where the driver takes them before it
    /// returns; false where it does not.
    ///
    /// # Safety
    /// `target` is within a live allocation.
    ///
    /// # Errors
    /// The driver refuses.
    unsafe fn write_few(&self, _stream: StreamHandle, _target: u64, _bytes: &[u8]) -> Result<bool> {
        Ok(false)
    }

    /// Copies host memory to the device.
    ///
    /// # Safety
    /// `source` is valid for `bytes` until the stream has passed the copy; `target` is within a
    /// live allocation.
    ///
    /// # Errors
    /// The driver refuses.
    unsafe fn copy_to_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: *const u8,
        bytes: u64,
    ) -> Result<()>;

    /// Copies device memory to the host.
    ///
    /// # Safety
    /// `target` is valid for `bytes`, and nobody else's, until the stream has passed the copy;
    /// `source` is within a live allocation.
    ///
    /// # Errors
    /// The driver refuses.
    unsafe fn copy_to_host(
        &self,
        stream: StreamHandle,
        target: *mut u8,
        source: u64,
        bytes: u64,
    ) -> Result<()>;

    /// Copies device memory to device memory.
    ///
    /// # Errors
    /// The driver refuses.
    fn copy_device(&self, stream: StreamHandle, target: u64, source: u64, bytes: u64)
    -> Result<()>;

    /// Fills device memory with one byte.
    ///
    /// # Errors
    /// The driver refuses.
    fn fill(&self, stream: StreamHandle, target: u64, value: u8, bytes: u64) -> Result<()>;

    /// Looks up an entry of a module. `params_bytes` is the size of its one launch struct.
    ///
    /// # Errors
    /// `KernelsNotBuilt`, `Device`; also if the compiled struct has another size.
    fn kernel(&self, module: &str, entry: &str, params_bytes: usize) -> Result<KernelHandle>;

    /// Launches a kernel.
    ///
    /// # Safety
    /// `params` is the entry's launch struct, and its pointers fit what the kernel does with them.
    ///
    /// # Errors
    /// The driver refuses the shape.
    unsafe fn launch(
        &self,
        stream: StreamHandle,
        kernel: KernelHandle,
        shape: LaunchShape,
        params: &[u8],
    ) -> Result<()>;
}
