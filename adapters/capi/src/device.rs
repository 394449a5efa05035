//! Devices, streams and events.

use std::collections::HashSet;
use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use pelton::device::cuda::CudaDriver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::device::{Device, Driver, ForeignEvent, ForeignStream};
use pelton::memory::{MemoryLimits, MemoryManager, StreamHandle};
use pelton::{Error, Result};

use crate::handle::{OutHandle, end, shared};
use crate::status::{PeltonStatus, answer};

/// A device and the kernels for it.
pub struct PeltonDevice {
    pub(crate) device: Arc<Device>,
    name: CString,
    /// Streams taken and not yet released.
    taken: Mutex<HashSet<StreamHandle>>,
}

/// A stream of a device: the CUstream as a number, which is 0 for the legacy default stream; for an
/// emulated device any number.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeltonStream {
    /// The CUstream.
    pub handle: u64,
}

impl PeltonStream {
    pub(crate) fn handle(self) -> StreamHandle {
        StreamHandle(self.handle)
    }
}

fn open(driver: Arc<dyn Driver>) -> PeltonDevice {
    let name = driver.properties().name.clone();
    PeltonDevice {
        device: Device::new(driver, MemoryManager::new(MemoryLimits::UNLIMITED)),
        name: CString::new(name).unwrap_or_default(),
        taken: Mutex::default(),
    }
}

/// Opens the CUDA device of this index, in its primary context, which is the one that the CUDA runtime uses.
/// Memory comes from a pool of Pelton's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_device_open_cuda(
    index: u32,
    out: *mut *mut PeltonDevice,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        out.give(open(Arc::new(CudaDriver::guest(index, None)?)));
        Ok(())
    })
}

/// Works in a CUcontext of the caller's, which must live until the device and all handles made with it
/// are ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_device_open_cuda_context(
    context: *mut c_void,
    out: *mut *mut PeltonDevice,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live context, and keeps it so.
        let driver = unsafe { CudaDriver::guest_in(context.expose_provenance() as u64, None) }?;
        out.give(open(Arc::new(driver)));
        Ok(())
    })
}

/// Opens an emulated device: the same kernels, run by this processor, every access checked. `seed` decides every
/// order that CUDA leaves open. For tests; addresses of its memory mean nothing elsewhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_device_open_simt(
    seed: u64,
    out: *mut *mut PeltonDevice,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        let options = SimtOptions {
            seed,
            ..SimtOptions::default()
        };
        out.give(open(Arc::new(SimtDriver::new(options))));
        Ok(())
    })
}

/// What the device calls itself, valid until it is closed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_device_name(device: *const PeltonDevice) -> *const c_char {
    // SAFETY: the caller passes a live handle, or null.
    let device = unsafe { device.as_ref() };
    device.map_or(std::ptr::null(), |device| device.name.as_ptr())
}

/// Ends the handle. The device is left when the last column, buffer and table of it is ended, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_device_close(device: *mut PeltonDevice) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a handle that it ends once, or null.
        unsafe { end(device) };
        Ok(())
    })
}

/// A stream of Pelton's, the caller's alone until it is released. `out->handle` is a CUstream to queue work on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_take(
    device: *const PeltonDevice,
    out: *mut PeltonStream,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a stream, or null.
        let out = unsafe { crate::handle::out(out, "out") }?;
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        let stream = device.device.take_stream()?;
        taken(device, |taken| taken.insert(stream));
        out.handle = stream.0;
        Ok(())
    })
}

fn taken<T>(device: &PeltonDevice, change: impl FnOnce(&mut HashSet<StreamHandle>) -> T) -> T {
    change(&mut device.taken.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A stream of the caller's, made in the device's context; NULL is the legacy default stream. It must live until it
/// is released, or the device and all handles made with it are ended. The default stream of each thread
/// (CU_STREAM_PER_THREAD) is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_adopt(
    device: *const PeltonDevice,
    stream: *mut c_void,
    out: *mut PeltonStream,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a stream, or null.
        let out = unsafe { crate::handle::out(out, "out") }?;
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        // SAFETY: the caller passes a live stream, and keeps it so until its release.
        let foreign = unsafe { ForeignStream::new(stream.expose_provenance() as u64) };
        out.handle = device.device.adopt_stream(foreign)?.0;
        Ok(())
    })
}

/// Gives a stream back, taken or adopted, after waiting for all work on it. What failed there is told; the stream is
/// given back even so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_release(
    device: *const PeltonDevice,
    stream: PeltonStream,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        let stream = stream.handle();
        if taken(device, |taken| taken.remove(&stream)) {
            let waited = device.device.synchronize(stream);
            device.device.give_back_stream(stream);
            return waited;
        }
        device.device.release_stream(stream)
    })
}

/// Waits for all work on a stream, and tells what failed there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_synchronize(
    device: *const PeltonDevice,
    stream: PeltonStream,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        device.device.synchronize(stream.handle())
    })
}

/// Lets what follows on the stream wait for a CUevent of the caller's, as it was last recorded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_wait_event(
    device: *const PeltonDevice,
    stream: PeltonStream,
    event: *mut c_void,
) -> PeltonStatus {
    // SAFETY: the caller passes a live handle, or null, and a live event, or null.
    answer(|| unsafe { with_event(device, stream, event, Device::wait_for) })
}

/// Records a CUevent of the caller's behind what is queued on the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_stream_record_event(
    device: *const PeltonDevice,
    stream: PeltonStream,
    event: *mut c_void,
) -> PeltonStatus {
    // SAFETY: the caller passes a live handle, or null, and a live event, or null.
    answer(|| unsafe { with_event(device, stream, event, Device::signal) })
}

/// # Safety
/// The pointers are null, or a live device and a live event of its context.
unsafe fn with_event(
    device: *const PeltonDevice,
    stream: PeltonStream,
    event: *mut c_void,
    work: impl FnOnce(&Device, StreamHandle, ForeignEvent) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let device = unsafe { shared(device, "device") }?;
    if event.is_null() {
        let remedy = "pass an event of the device's context";
        return Err(Error::invalid("event", "the pointer is null", remedy));
    }
    // SAFETY: the caller's promise.
    let event = unsafe { ForeignEvent::new(event.expose_provenance() as u64) };
    work(&device.device, stream.handle(), event)
}
