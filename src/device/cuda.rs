//! The NVIDIA driver, loaded when it is asked for: Pelton builds and starts without it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys;

use super::{
    DeviceProperties, Driver, EventHandle, KernelHandle, LaunchShape, device_error, embedded, nvrtc,
};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::StreamHandle;

/// One CUDA device and its primary context.
#[derive(Debug)]
pub struct CudaDriver {
    device: sys::CUdevice,
    context: sys::CUcontext,
    properties: DeviceProperties,
    modules: Mutex<HashMap<String, usize>>,
    kernel_cache: Option<PathBuf>,
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

impl CudaDriver {
    /// Opens the device of this index. Kernels that must be compiled at run time are kept in
    /// `kernel_cache`, if it is given.
    ///
    /// # Errors
    /// `DeviceNotFound` naming what is missing: the driver library, a device, or this index.
    pub fn new(index: u32, kernel_cache: Option<PathBuf>) -> Result<Self> {
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
        check(unsafe { sys::cuInit(0) }, "cuInit").map_err(|e| not_found(e.to_string()))?;
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
        let mut context = ptr::null_mut();
        // SAFETY: `context` is a live pointer to write to.
        let retained = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, device) };
        check(retained, "cuDevicePrimaryCtxRetain").map_err(|e| not_found(e.to_string()))?;
        let properties = properties_of(device)?;
        let driver = CudaDriver {
            device,
            context,
            properties,
            modules: Mutex::default(),
            kernel_cache,
        };
        driver.bind()?;
        driver.keep_pool()?;
        Ok(driver)
    }

    /// Makes the context current on this thread.
    fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained until the driver is dropped.
        let result = unsafe { sys::cuCtxSetCurrent(self.context) };
        check(result, "cuCtxSetCurrent")
    }

    /// Lets the stream-ordered pool keep what is freed, for the next allocation.
    fn keep_pool(&self) -> Result<()> {
        let mut pool = ptr::null_mut();
        // SAFETY: `pool` is a live pointer to write to.
        let got = unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, self.device) };
        check(got, "cuDeviceGetDefaultMemPool")?;
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
        let set = unsafe {
            sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut allowed).cast::<c_void>())
        };
        check(set, "cuMemPoolSetAttribute")
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

fn attribute(device: sys::CUdevice, which: sys::CUdevice_attribute) -> Result<u32> {
    let mut value = 0;
    // SAFETY: `value` is a live integer, and the device exists.
    let result = unsafe { sys::cuDeviceGetAttribute(&raw mut value, which, device) };
    check(result, "attribute")?;
    Ok(u32::try_from(value).unwrap_or(0))
}

fn properties_of(device: sys::CUdevice) -> Result<DeviceProperties> {
    use sys::CUdevice_attribute_enum as Attribute;
    let mut name = [0i8; 256];
    // SAFETY: the buffer has 256 bytes.
    let result = unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 256, device) };
    check(result, "cuDeviceGetName")?;
    // SAFETY: the driver ended the name with a zero byte within the buffer.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }
        .to_string_lossy()
        .into_owned();
    let mut version = 0;
    // SAFETY: `version` is a live integer.
    let result = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    check(result, "cuDriverGetVersion")?;
    let mut memory_bytes = 0;
    // SAFETY: `memory_bytes` is a live integer.
    let result = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, device) };
    check(result, "cuDeviceTotalMem")?;
    let major = attribute(
        device,
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
    )?;
    let minor = attribute(
        device,
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    )?;
    let kernels = if embedded::FATBINS.is_empty() {
        format!("compiled at run time for sm_{major}{minor}")
    } else {
        embedded::BUILT_FOR.to_string()
    };
    Ok(DeviceProperties {
        name,
        compute_capability: (major, minor),
        driver_version: format!("{}.{}", version / 1000, version % 1000 / 10),
        memory_bytes: memory_bytes as u64,
        multiprocessors: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_per_block_max: attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?,
        l2_bytes: u64::from(attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE,
        )?),
        kernels,
    })
}

/// What the kernels in this binary were compiled for; empty if they were not.
pub fn kernels_built_for() -> &'static str {
    embedded::BUILT_FOR
}

/// True if kernels that were not compiled can be compiled at run time.
pub fn can_compile() -> bool {
    nvrtc::is_present()
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
        self.bind()?;
        let mut stream = ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: `stream` is a live pointer to write to.
        let result = unsafe { sys::cuStreamCreate(&raw mut stream, flags) };
        check(result, "cuStreamCreate")?;
        Ok(StreamHandle(stream.expose_provenance() as u64))
    }

    fn stream_destroy(&self, stream: StreamHandle) {
        if self.bind().is_ok() {
            // SAFETY: the handle came from `stream_create`; the driver finishes its work first.
            let _result = unsafe { sys::cuStreamDestroy_v2(raw_stream(stream)) };
        }
    }

    fn stream_synchronize(&self, stream: StreamHandle) -> Result<()> {
        self.bind()?;
        // SAFETY: the handle came from `stream_create`.
        let result = unsafe { sys::cuStreamSynchronize(raw_stream(stream)) };
        check(result, "stream")
    }

    fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: a context is current.
        check(unsafe { sys::cuCtxSynchronize() }, "synchronize")
    }

    fn event_create(&self) -> Result<EventHandle> {
        self.bind()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` is a live pointer to write to.
        let result = unsafe { sys::cuEventCreate(&raw mut event, 0) };
        check(result, "cuEventCreate")?;
        Ok(EventHandle(event.expose_provenance() as u64))
    }

    fn event_destroy(&self, event: EventHandle) {
        if self.bind().is_ok() {
            // SAFETY: the handle came from `event_create`; the driver frees it when it has passed.
            let _result = unsafe { sys::cuEventDestroy_v2(raw_event(event)) };
        }
    }

    fn event_record(&self, event: EventHandle, stream: StreamHandle) -> Result<()> {
        self.bind()?;
        // SAFETY: both handles came from this driver.
        let result = unsafe { sys::cuEventRecord(raw_event(event), raw_stream(stream)) };
        check(result, "event")
    }

    fn stream_wait(&self, stream: StreamHandle, event: EventHandle) -> Result<()> {
        self.bind()?;
        // SAFETY: both handles came from this driver.
        let result = unsafe { sys::cuStreamWaitEvent(raw_stream(stream), raw_event(event), 0) };
        check(result, "event")
    }

    fn event_query(&self, event: EventHandle) -> Result<bool> {
        self.bind()?;
        // SAFETY: the handle came from `event_create`.
        match unsafe { sys::cuEventQuery(raw_event(event)) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            result => check(result, "event").map(|()| true),
        }
    }

    fn event_synchronize(&self, event: EventHandle) -> Result<()> {
        self.bind()?;
        // SAFETY: the handle came from `event_create`.
        let result = unsafe { sys::cuEventSynchronize(raw_event(event)) };
        check(result, "event")
    }

    fn event_elapsed(&self, start: EventHandle, end: EventHandle) -> Result<f32> {
        self.bind()?;
        let mut milliseconds = 0.0;
        // SAFETY: both handles came from `event_create`, and the float is live.
        let got = unsafe {
            sys::cuEventElapsedTime_v2(&raw mut milliseconds, raw_event(start), raw_event(end))
        };
        check(got, "event")?;
        Ok(milliseconds)
    }

    fn alloc(&self, stream: StreamHandle, bytes: u64) -> Result<u64> {
        self.bind()?;
        let mut address = 0;
        // SAFETY: `address` is a live integer, and the stream came from `stream_create`.
        let got =
            unsafe { sys::cuMemAllocAsync(&raw mut address, bytes_of(bytes)?, raw_stream(stream)) };
        check(got, "allocation")?;
        Ok(address)
    }

    fn free(&self, stream: StreamHandle, address: u64) {
        if self.bind().is_ok() {
            // SAFETY: the address came from `alloc`, and `DeviceBuffer` frees it once, on a stream
            // that comes after every use.
            let _result = unsafe { sys::cuMemFreeAsync(address, raw_stream(stream)) };
        }
    }

    fn pinned_alloc(&self, bytes: usize) -> Result<*mut u8> {
        self.bind()?;
        let mut pointer = ptr::null_mut();
        // SAFETY: `pointer` is a live pointer to write to; no flags.
        let result = unsafe { sys::cuMemHostAlloc(&raw mut pointer, bytes, 0) };
        check(result, "pinned allocation")?;
        Ok(pointer.cast())
    }

    unsafe fn pinned_free(&self, pointer: *mut u8, _bytes: usize) {
        if self.bind().is_ok() {
            // SAFETY: the caller got the pointer from `pinned_alloc`, and no copy uses it.
            let _result = unsafe { sys::cuMemFreeHost(pointer.cast()) };
        }
    }

    unsafe fn copy_to_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: *const u8,
        bytes: u64,
    ) -> Result<()> {
        self.bind()?;
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
        self.bind()?;
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
        self.bind()?;
        // SAFETY: `DeviceBuffer` gives addresses of live allocations only.
        let queued = unsafe {
            sys::cuMemcpyDtoDAsync_v2(target, source, bytes_of(bytes)?, raw_stream(stream))
        };
        check(queued, "copy")
    }

    fn fill(&self, stream: StreamHandle, target: u64, value: u8, bytes: u64) -> Result<()> {
        self.bind()?;
        // SAFETY: `DeviceBuffer` gives addresses of live allocations only.
        let queued =
            unsafe { sys::cuMemsetD8Async(target, value, bytes_of(bytes)?, raw_stream(stream)) };
        check(queued, "fill")
    }

    fn kernel(&self, module: &str, entry: &str, params_bytes: usize) -> Result<KernelHandle> {
        self.bind()?;
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
        self.bind()?;
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
        // SAFETY: the context was retained once, in `new`; modules go with it.
        let _result = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}
