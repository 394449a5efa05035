//! The NVIDIA driver, loaded when it is asked for: Pelton builds and starts without it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys;

use super::blocks::{Block, Blocks};
use super::{
    DeviceProperties, Driver, EventHandle, KernelHandle, LaunchShape, device_error, embedded, nvrtc,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::StreamHandle;

mod properties;

use properties::properties_of;

type PointerAttribute = sys::CUpointer_attribute;

/// `CU_STREAM_PER_THREAD`.
const STREAM_PER_THREAD: u64 = 2;
const FOREIGN_STREAM_REMEDY: &str = "pass a stream made in the device's context, or 0 for the legacy default stream of that context";

/// Of a device's memory, at most one byte in so many is kept for the streams that freed it.
const KEPT_PART: u64 = 8;

/// So many bytes of pageable memory go with the command, and the host does not wait ("CUDA C++ Programming
/// Guide", asynchronous concurrent execution).
const FEW_BYTES: usize = 64 << 10;

/// One CUDA device, and a context of it.
///
/// [`CudaDriver::new`] takes the device's primary context as its own. A *guest* ([`CudaDriver::guest`],
/// [`CudaDriver::guest_in`]) works in a context that another engine uses, too, and changes nothing
/// there: it has a memory pool of its own, and every call leaves the thread's current context as it
/// was.
#[derive(Debug)]
pub struct CudaDriver {
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// Whether the primary context was retained, and is to be released.
    primary: bool,
    /// A guest's own pool; else the device's default one is used.
    pool: Option<sys::CUmemoryPool>,
    /// Freed memory that its stream takes again.
    blocks: Blocks,
    properties: DeviceProperties,
    modules: Mutex<HashMap<String, usize>>,
    kernel_cache: Option<PathBuf>,
    /// Events that nobody uses: making one takes 50 to 150 µs where many threads do, recording one
    /// next to nothing.
    events: Mutex<Vec<EventHandle>>,
}

// SAFETY: a CUDA context may be used from any thread that makes it current (`bind`), and the other
// fields are plain values behind a mutex.
unsafe impl Send for CudaDriver {}
// SAFETY: as for `Send`: the driver API serialises what it must.
unsafe impl Sync for CudaDriver {}

fn not_found(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::DeviceNotFound {
        cause: cause.into(),
    })
}

fn text_of(result: sys::CUresult) -> String {
    let mut text = ptr::null();
    // SAFETY: `text` is a live pointer to write to.
    let got = unsafe { sys::cuGetErrorString(result, &raw mut text) };
    if got != sys::CUresult::CUDA_SUCCESS || text.is_null() {
        return format!("{result:?}");
    }
    // SAFETY: the driver returns a static string.
    let text = unsafe { CStr::from_ptr(text) };
    format!("{} ({result:?})", text.to_string_lossy())
}

fn check(result: sys::CUresult, operation: &str) -> Result<()> {
    if result == sys::CUresult::CUDA_SUCCESS {
        Ok(())
    } else {
        Err(device_error(operation, text_of(result)))
    }
}

/// Loads the driver, and makes sure that there are kernels for it.
fn start() -> Result<()> {
    // SAFETY: asking loads the library and nothing else; it has no precondition.
    if !unsafe { sys::is_culib_present() } {
        return Err(not_found("the driver library libcuda.so was not found"));
    }
    if embedded::FATBINS.is_empty() && !nvrtc::is_present() {
        let cause = "this build has none, and NVRTC was not found to compile them now";
        return Err(Error::new(ErrorKind::KernelsNotBuilt {
            cause: cause.to_string(),
        }));
    }
    // SAFETY: the first call of the driver API, with the only flags there are.
    check(unsafe { sys::cuInit(0) }, "cuInit").map_err(|e| not_found(e.to_string()))
}

/// A context that is current on this thread, as long as the work that needs it goes on.
#[must_use]
struct Bound {
    pop: bool,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.pop {
            let mut popped = ptr::null_mut();
            // SAFETY: `popped` is a live pointer to write to; the context was pushed on this thread,
            // which `Bound` never leaves, as it does not leave the function that made it.
            let _result = unsafe { sys::cuCtxPopCurrent_v2(&raw mut popped) };
        }
    }
}

/// Lets a pool keep what is freed for the next allocation.
fn keep(pool: sys::CUmemoryPool) -> Result<()> {
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: this attribute is a 64-bit integer.
    let set = unsafe {
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast::<c_void>())
    };
    check(set, "cuMemPoolSetAttribute")?;
    // By default an allocation may make its stream wait for another one, to reuse what that one
    // is about to free: streams would run one after the other.
    let mut allowed = 0i32;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
    // SAFETY: this attribute is an `int`.
    let set =
        unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut allowed).cast::<c_void>()) };
    check(set, "cuMemPoolSetAttribute")
}

impl CudaDriver {
    /// Opens the device of this index. Kernels that must be compiled at run time are kept in
    /// `kernel_cache`, if it is given.
    ///
    /// # Errors
    /// `DeviceNotFound` naming what is missing: the driver library, a device, or this index.
    pub fn new(index: u32, kernel_cache: Option<PathBuf>) -> Result<Self> {
        let driver = CudaDriver::in_primary_context(index, kernel_cache, true)?;
        driver.keep_pool()?;
        Ok(driver)
    }

    /// Opens the device of this index as a guest in its primary context, which is the one that
    /// programs of the CUDA runtime work in.
    ///
    /// # Errors
    /// As [`CudaDriver::new`].
    pub fn guest(index: u32, kernel_cache: Option<PathBuf>) -> Result<Self> {
        let mut driver = CudaDriver::in_primary_context(index, kernel_cache, false)?;
        driver.own_pool()?;
        Ok(driver)
    }

    /// Works as a guest in `context`, a `CUcontext` of the caller's, as an address.
    ///
    /// # Safety
    /// The context is live, and stays so until this driver, and with it every
    /// [`Device`](super::Device) and buffer over it, is dropped.
    ///
    /// # Errors
    /// As [`CudaDriver::new`]; `InvalidInput` for a null context.
    pub unsafe fn guest_in(context: u64, kernel_cache: Option<PathBuf>) -> Result<Self> {
        if context == 0 {
            let remedy = "pass a live CUcontext, or open the device by its index";
            return Err(Error::invalid("context", "it is null", remedy));
        }
        start()?;
        let context: sys::CUcontext =
            ptr::with_exposed_provenance_mut(usize::try_from(context).unwrap_or(0));
        // SAFETY: the caller vouches for the context.
        let pushed = unsafe { sys::cuCtxPushCurrent_v2(context) };
        check(pushed, "cuCtxPushCurrent")?;
        let bound = Bound { pop: true };
        let mut device = 0;
        // SAFETY: `device` is a live integer, and a context is current.
        let result = unsafe { sys::cuCtxGetDevice(&raw mut device) };
        check(result, "cuCtxGetDevice")?;
        drop(bound);
        let mut driver = CudaDriver::over(device, context, false, kernel_cache)?;
        driver.own_pool()?;
        Ok(driver)
    }

    /// Works in the primary context of the device; `own`: as if it were no one else's.
    fn in_primary_context(index: u32, kernel_cache: Option<PathBuf>, own: bool) -> Result<Self> {
        start()?;
        let mut count = 0;
        // SAFETY: `count` is a live integer.
        let result = unsafe { sys::cuDeviceGetCount(&raw mut count) };
        check(result, "cuDeviceGetCount").map_err(|e| not_found(e.to_string()))?;
        let ordinal = c_int::try_from(index).unwrap_or(c_int::MAX);
        if ordinal >= count {
            return Err(not_found(format!(
                "device {index} was asked for, and there are {count}"
            )));
        }
        let mut device = 0;
        // SAFETY: `device` is a live integer, and the ordinal is below the count.
        let result = unsafe { sys::cuDeviceGet(&raw mut device, ordinal) };
        check(result, "cuDeviceGet")?;
        if own {
            // Who waits for the device lets others have the core: they read files meanwhile. A context that
            // is in use already stays as it is.
            let flags = sys::CUctx_flags::CU_CTX_SCHED_YIELD as u32;
            // SAFETY: the device exists.
            let _result = unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device, flags) };
        }
        let mut context = ptr::null_mut();
        // SAFETY: `context` is a live pointer to write to.
        let retained = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) };
        check(retained, "cuDevicePrimaryCtxRetain").map_err(|e| not_found(e.to_string()))?;
        CudaDriver::over(device, context, true, kernel_cache)
    }

    fn over(
        device: sys::CUdevice,
        context: sys::CUcontext,
        primary: bool,
        kernel_cache: Option<PathBuf>,
    ) -> Result<Self> {
        let properties = properties_of(device)?;
        Ok(CudaDriver {
            device,
            context,
            primary,
            pool: None,
            blocks: Blocks::new(0),
            properties,
            modules: Mutex::default(),
            events: Mutex::default(),
            kernel_cache,
        })
    }

    /// Makes the context current on this thread; a guest's only until what this answers is dropped.
    fn bind(&self) -> Result<Bound> {
        if self.pool.is_some() {
            // SAFETY: the context is live until the driver is dropped: retained, or the caller of
            // `guest_in` vouched for it.
            let result = unsafe { sys::cuCtxPushCurrent_v2(self.context) };
            check(result, "cuCtxPushCurrent")?;
            return Ok(Bound { pop: true });
        }
        // SAFETY: the context is retained until the driver is dropped.
        let result = unsafe { sys::cuCtxSetCurrent(self.context) };
        check(result, "cuCtxSetCurrent")?;
        Ok(Bound { pop: false })
    }

    /// A pool for this driver alone, that keeps what is freed.
    fn own_pool(&mut self) -> Result<()> {
        let properties = sys::CUmemPoolProps {
            allocType: sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
            handleTypes: sys::CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_NONE,
            location: sys::CUmemLocation {
                type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
                id: self.device,
            },
            win32SecurityAttributes: ptr::null_mut(),
            maxSize: 0,
            usage: 0,
            reserved: [0; 54],
        };
        let mut pool = ptr::null_mut();
        // SAFETY: `pool` is a live pointer to write to, and the properties are read in this call.
        let made = unsafe { sys::cuMemPoolCreate(&raw mut pool, &raw const properties) };
        check(made, "cuMemPoolCreate")?;
        self.pool = Some(pool);
        keep(pool)
    }

    /// Memory of the pool; the context is bound.
    fn alloc_block(&self, stream: StreamHandle, bytes: u64) -> Result<u64> {
        let mut address = 0;
        let (bytes, stream) = (bytes_of(bytes)?, raw_stream(stream));
        let got = match self.pool {
            // SAFETY: `address` is a live integer, the pool lives as long as the driver, and the
            // stream came from `stream_create` or `adopt_stream`.
            Some(pool) => unsafe {
                sys::cuMemAllocFromPoolAsync(&raw mut address, bytes, pool, stream)
            },
            // SAFETY: as above.
            None => unsafe { sys::cuMemAllocAsync(&raw mut address, bytes, stream) },
        };
        check(got, "allocation")?;
        Ok(address)
    }

    /// Gives memory back to the pool once the stream gets here; the context is bound.
    fn free_block(&self, stream: StreamHandle, address: u64) {
        // SAFETY: the address came from `alloc_block`, and `DeviceBuffer` frees it once, on a stream
        // that comes after every use.
        let _result = unsafe { sys::cuMemFreeAsync(address, raw_stream(stream)) };
    }

    /// Gives a block that was kept for a stream back to the pool; the context is bound.
    fn give_up(&self, stream: StreamHandle, block: Block) {
        if let Some(event) = block.used_until {
            if self.stream_wait(stream, event).is_err() {
                // The device is lost; waiting on the host is all that is left.
                let _lost = self.event_synchronize(event);
            }
            self.event_destroy(event);
        }
        self.free_block(stream, block.address);
    }

    fn new_event(&self, flags: u32) -> Result<EventHandle> {
        let _bound = self.bind()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` is a live pointer to write to.
        let result = unsafe { sys::cuEventCreate(&raw mut event, flags) };
        check(result, "cuEventCreate")?;
        Ok(EventHandle(event.expose_provenance() as u64))
    }

    /// Lets the device's stream-ordered pool keep what is freed.
    fn keep_pool(&self) -> Result<()> {
        let mut pool = ptr::null_mut();
        // SAFETY: `pool` is a live pointer to write to.
        let got = unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, self.device) };
        check(got, "cuDeviceGetDefaultMemPool")?;
        keep(pool)
    }

    /// Takes everything out of a context that others go on using. Waits for all work in it.
    fn leave(&mut self, pool: sys::CUmemoryPool) {
        let Ok(_bound) = self.bind() else { return };
        // SAFETY: a context is current.
        let _result = unsafe { sys::cuCtxSynchronize() };
        // SAFETY: the pool came from `own_pool`, and every buffer of it held on to this driver.
        let _result = unsafe { sys::cuMemPoolDestroy(pool) };
        let events = self.events.get_mut();
        for event in events.unwrap_or_else(PoisonError::into_inner).drain(..) {
            // SAFETY: the event came from `new_event`, and nobody has its handle any more.
            let _result = unsafe { sys::cuEventDestroy_v2(raw_event(event)) };
        }
        let modules = self.modules.get_mut();
        for (_, module) in modules.unwrap_or_else(PoisonError::into_inner).drain() {
            // SAFETY: the module came from `module`, and no launch of its kernels is left.
            let _result = unsafe { sys::cuModuleUnload(ptr::with_exposed_provenance_mut(module)) };
        }
    }

    /// The module of this name, loaded once.
    fn module(&self, name: &str) -> Result<sys::CUmodule> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(name) {
            return Ok(ptr::with_exposed_provenance_mut(*module));
        }
        let built = embedded::FATBINS.iter().find(|(stem, _)| *stem == name);
        let compiled;
        let image = match built {
            Some((_, fatbin)) => *fatbin,
            None => {
                compiled = nvrtc::cubin(
                    name,
                    self.properties.compute_capability,
                    self.kernel_cache.as_deref(),
                )?;
                compiled.as_slice()
            }
        };
        let mut module = ptr::null_mut();
        // SAFETY: the image is a whole fatbin or cubin, as nvcc or NVRTC wrote it.
        let loaded = unsafe { sys::cuModuleLoadData(&raw mut module, image.as_ptr().cast()) };
        check(loaded, &format!("loading the kernels of {name}"))?;
        modules.insert(name.to_string(), module.expose_provenance());
        Ok(module)
    }
}

/// What the kernels in this binary were compiled for; empty if they were not.
pub fn kernels_built_for() -> &'static str {
    embedded::BUILT_FOR
}

/// True if kernels that were not compiled can be compiled at run time.
pub fn can_compile() -> bool {
    nvrtc::is_present()
}

/// What the driver knows of an address; none if it knows nothing.
fn pointer_attribute(address: u64, which: PointerAttribute) -> Option<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the attributes asked for here are 32-bit integers, or a Boolean that is smaller, and
    // `value` is live and zero; any address may be asked for.
    let got = unsafe { sys::cuPointerGetAttribute((&raw mut value).cast(), which, address) };
    (got == sys::CUresult::CUDA_SUCCESS).then_some(value)
}

fn raw_stream(stream: StreamHandle) -> sys::CUstream {
    ptr::with_exposed_provenance_mut(usize::try_from(stream.0).unwrap_or(0))
}

fn raw_event(event: EventHandle) -> sys::CUevent {
    ptr::with_exposed_provenance_mut(usize::try_from(event.0).unwrap_or(0))
}

fn raw_function(kernel: KernelHandle) -> sys::CUfunction {
    ptr::with_exposed_provenance_mut(usize::try_from(kernel.0).unwrap_or(0))
}

fn bytes_of(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|cause| device_error("size", cause))
}

// SAFETY: CUDA streams run operations in the order of the calls, the pool hands out disjoint
// allocations, and an asynchronous copy is over when its stream has passed it.
unsafe impl Driver for CudaDriver {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn properties(&self) -> &DeviceProperties {
        &self.properties
    }

    fn stream_create(&self) -> Result<StreamHandle> {
        let _bound = self.bind()?;
        let mut stream = ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: `stream` is a live pointer to write to.
        let result = unsafe { sys::cuStreamCreate(&raw mut stream, flags) };
        check(result, "cuStreamCreate")?;
        let stream = StreamHandle(stream.expose_provenance() as u64);
        self.blocks.enter(stream);
        Ok(stream)
    }

    unsafe fn adopt_stream(&self, raw: u64) -> Result<StreamHandle> {
        let _bound = self.bind()?;
        if raw == STREAM_PER_THREAD {
            let cause = "the default stream of each thread is another one on every thread";
            return Err(Error::invalid("stream", cause, FOREIGN_STREAM_REMEDY));
        }
        let stream = StreamHandle(raw);
        let mut context = ptr::null_mut();
        // SAFETY: the caller vouches for the stream, and `context` is a live pointer to write to.
        let got = unsafe { sys::cuStreamGetCtx(raw_stream(stream), &raw mut context) };
        check(got, "stream of another engine")?;
        if context != self.context {
            let cause = "it belongs to another context than the device";
            return Err(Error::invalid("stream", cause, FOREIGN_STREAM_REMEDY));
        }
        Ok(stream)
    }

    fn check_memory(&self, address: u64, bytes: u64) -> Result<()> {
        let _bound = self.bind()?;
        let last = address.saturating_add(bytes.saturating_sub(1));
        let here = |address| {
            let ask = |which| pointer_attribute(address, which);
            let on_device = ask(PointerAttribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
                == Some(sys::CUmemorytype::CU_MEMORYTYPE_DEVICE as c_int)
                && ask(PointerAttribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == Some(self.device);
            let managed = ask(PointerAttribute::CU_POINTER_ATTRIBUTE_IS_MANAGED);
            on_device || managed.is_some_and(|managed| managed != 0)
        };
        if here(address) && here(last) {
            return Ok(());
        }
        let cause = format!(
            "{bytes} bytes at {address:#x} are no memory of device {}",
            self.device
        );
        let remedy = "pass what cudaMalloc, cuMemAlloc or cuMemAllocAsync gave on this device, and \
                      no more bytes than it has";
        Err(Error::invalid("memory of another engine", cause, remedy))
    }

    fn in_context(&self, work: &mut dyn FnMut()) {
        let _bound_if_the_context_lives = self.bind();
        work();
    }

    fn stream_destroy(&self, stream: StreamHandle) {
        if let Ok(_bound) = self.bind() {
            for block in self.blocks.leave(stream) {
                self.give_up(stream, block);
            }
            // SAFETY: the handle came from `stream_create`; the driver finishes its work first.
            let _result = unsafe { sys::cuStreamDestroy_v2(raw_stream(stream)) };
        }
    }

    fn stream_synchronize(&self, stream: StreamHandle) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: the handle came from `stream_create`.
        let result = unsafe { sys::cuStreamSynchronize(raw_stream(stream)) };
        check(result, "stream")
    }

    fn synchronize(&self) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: a context is current.
        check(unsafe { sys::cuCtxSynchronize() }, "synchronize")
    }

    fn event_create(&self) -> Result<EventHandle> {
        let known = {
            let mut idle = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            idle.pop()
        };
        match known {
            Some(event) => Ok(event),
            None => self.new_event(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32),
        }
    }

    fn timer_create(&self) -> Result<EventHandle> {
        self.new_event(sys::CUevent_flags::CU_EVENT_DEFAULT as u32)
    }

    fn event_destroy(&self, event: EventHandle) {
        // Who waits for the event waits for what it was recorded on, even if it is recorded again.
        let mut idle = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(event);
    }

    fn event_record(&self, event: EventHandle, stream: StreamHandle) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: both handles came from this driver.
        let result = unsafe { sys::cuEventRecord(raw_event(event), raw_stream(stream)) };
        check(result, "event")
    }

    fn stream_wait(&self, stream: StreamHandle, event: EventHandle) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: both handles came from this driver.
        let result = unsafe { sys::cuStreamWaitEvent(raw_stream(stream), raw_event(event), 0) };
        check(result, "event")
    }

    fn event_query(&self, event: EventHandle) -> Result<bool> {
        let _bound = self.bind()?;
        // SAFETY: the handle came from `event_create`.
        match unsafe { sys::cuEventQuery(raw_event(event)) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            result => check(result, "event").map(|()| true),
        }
    }

    fn event_synchronize(&self, event: EventHandle) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: the handle came from `event_create`.
        let result = unsafe { sys::cuEventSynchronize(raw_event(event)) };
        check(result, "event")
    }

    fn event_elapsed(&self, start: EventHandle, end: EventHandle) -> Result<f32> {
        let _bound = self.bind()?;
        let mut milliseconds = 0.0;
        // SAFETY: both handles came from `event_create`, and the float is live.
        let got = unsafe {
            sys::cuEventElapsedTime_v2(&raw mut milliseconds, raw_event(start), raw_event(end))
        };
        check(got, "event")?;
        Ok(milliseconds)
    }

    fn alloc(&self, stream: StreamHandle, bytes: u64) -> Result<u64> {
        let size = Blocks::size_of(bytes);
        let passed = |event| self.event_query(event).unwrap_or(false);
        if let Some(block) = self.blocks.take(stream, size, passed) {
            if let Some(event) = block.used_until {
                self.event_destroy(event);
            }
            return Ok(block.address);
        }
        let _bound = self.bind()?;
        self.alloc_block(stream, size).or_else(|_| {
            // What other streams keep may be what is missing.
            for (stream, block) in self.blocks.leave_all() {
                self.give_up(stream, block);
            }
            self.alloc_block(stream, size)
        })
    }

    fn keep_at_most(&self, bytes: u64) {
        // Without a limit it is a part of what there is.
        let most = self.properties.memory_bytes / KEPT_PART;
        self.blocks.keep_at_most(bytes.min(most));
    }

    fn free(&self, stream: StreamHandle, address: u64, bytes: u64, home: StreamHandle) {
        let size = Blocks::size_of(bytes);
        let free = || {
            // Without a context the memory is gone with it.
            self.bind()
                .map(|_bound| self.free_block(stream, address))
                .unwrap_or_default();
        };
        if !self.blocks.reserve(home, size) {
            return free();
        }
        let mut used_until = None;
        if stream != home {
            let marked = self.event_create().and_then(|event| {
                used_until = Some(event);
                self.event_record(event, stream)
            });
            if marked.is_err() {
                // The device is lost; waiting on the host is all that is left.
                let _lost = self.stream_synchronize(stream);
            }
        }
        let block = Block {
            address,
            used_until,
        };
        if !self.blocks.keep(home, block, size) {
            free(); // its stream is no more
        }
    }

    fn pinned_alloc(&self, bytes: usize) -> Result<*mut u8> {
        let _bound = self.bind()?;
        let mut pointer = ptr::null_mut();
        // SAFETY: `pointer` is a live pointer to write to; no flags.
        let result = unsafe { sys::cuMemHostAlloc(&raw mut pointer, bytes, 0) };
        check(result, "pinned allocation")?;
        Ok(pointer.cast())
    }

    unsafe fn pinned_free(&self, pointer: *mut u8, _bytes: usize) {
        if let Ok(_bound) = self.bind() {
            // SAFETY: the caller got the pointer from `pinned_alloc`, and no copy uses it.
            let _result = unsafe { sys::cuMemFreeHost(pointer.cast()) };
        }
    }

    unsafe fn write_few(&self, stream: StreamHandle, target: u64, bytes: &[u8]) -> Result<bool> {
        if bytes.len() > FEW_BYTES {
            return Ok(false);
        }
        // Memory of our own is pageable, whatever the caller's is: only that is taken at once.
        let own = bytes.to_vec();
        let _bound = self.bind()?;
        // SAFETY: the driver copies pageable memory before it returns, and the caller vouches for the
        // target.
        let queued = unsafe {
            sys::cuMemcpyHtoDAsync_v2(target, own.as_ptr().cast(), own.len(), raw_stream(stream))
        };
        check(queued, "copy to device")?;
        Ok(true)
    }

    unsafe fn copy_to_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: *const u8,
        bytes: u64,
    ) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: the caller vouches for both ranges until the stream has passed the copy.
        let queued = unsafe {
            sys::cuMemcpyHtoDAsync_v2(target, source.cast(), bytes_of(bytes)?, raw_stream(stream))
        };
        check(queued, "copy to device")
    }

    unsafe fn copy_to_host(
        &self,
        stream: StreamHandle,
        target: *mut u8,
        source: u64,
        bytes: u64,
    ) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: the caller vouches for both ranges until the stream has passed the copy.
        let queued = unsafe {
            sys::cuMemcpyDtoHAsync_v2(target.cast(), source, bytes_of(bytes)?, raw_stream(stream))
        };
        check(queued, "copy to host")
    }

    fn copy_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: u64,
        bytes: u64,
    ) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: `DeviceBuffer` gives addresses of live allocations only.
        let queued = unsafe {
            sys::cuMemcpyDtoDAsync_v2(target, source, bytes_of(bytes)?, raw_stream(stream))
        };
        check(queued, "copy")
    }

    fn fill(&self, stream: StreamHandle, target: u64, value: u8, bytes: u64) -> Result<()> {
        let _bound = self.bind()?;
        // SAFETY: `DeviceBuffer` gives addresses of live allocations only.
        let queued =
            unsafe { sys::cuMemsetD8Async(target, value, bytes_of(bytes)?, raw_stream(stream)) };
        check(queued, "fill")
    }

    fn kernel(&self, module: &str, entry: &str, params_bytes: usize) -> Result<KernelHandle> {
        let _bound = self.bind()?;
        let loaded = self.module(module)?;
        let name = CString::new(entry).map_err(|cause| device_error("kernel", cause))?;
        let mut function = ptr::null_mut();
        // SAFETY: the module is loaded for the life of the context.
        let got = unsafe { sys::cuModuleGetFunction(&raw mut function, loaded, name.as_ptr()) };
        check(got, &format!("kernel {entry}"))?;
        let (mut offset, mut bytes) = (0, 0);
        // SAFETY: both integers are live, and the function has at least one parameter.
        let got = unsafe { sys::cuFuncGetParamInfo(function, 0, &raw mut offset, &raw mut bytes) };
        check(got, &format!("parameters of {entry}"))?;
        if bytes != params_bytes {
            let cause =
                format!("its launch struct has {bytes} bytes, not {params_bytes}; stale bindings");
            return Err(device_error(format!("kernel {entry}"), cause));
        }
        let shared = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        let mut static_bytes = 0;
        // SAFETY: `static_bytes` is a live integer.
        let got = unsafe { sys::cuFuncGetAttribute(&raw mut static_bytes, shared, function) };
        check(got, "shared memory of a kernel")?;
        let all = c_int::try_from(self.properties.shared_bytes_per_block_max).unwrap_or(0);
        let dynamic = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is live; the driver checks the value.
        let set = unsafe { sys::cuFuncSetAttribute(function, dynamic, all - static_bytes) };
        check(set, "shared memory of a kernel")?;
        Ok(KernelHandle(function.expose_provenance() as u64))
    }

    unsafe fn launch(
        &self,
        stream: StreamHandle,
        kernel: KernelHandle,
        shape: LaunchShape,
        params: &[u8],
    ) -> Result<()> {
        let _bound = self.bind()?;
        let mut arguments = [params.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: the caller vouches for the launch struct; the driver copies it in this call, by
        // the size that `kernel` compared.
        let queued = unsafe {
            sys::cuLaunchKernel(
                raw_function(kernel),
                shape.grid,
                1,
                1,
                shape.block,
                1,
                1,
                shape.shared_bytes,
                raw_stream(stream),
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        check(queued, "launch")
    }
}

impl Drop for CudaDriver {
    fn drop(&mut self) {
        if let Some(pool) = self.pool {
            self.leave(pool);
        }
        if self.primary {
            // SAFETY: the context was retained once; modules and events go with it.
            let _result = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
        }
    }
}
