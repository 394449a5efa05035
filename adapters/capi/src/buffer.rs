//! Device memory: allocated here, or adopted from the caller.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pelton::device::{DeviceBuffer, ForeignMemory};
use pelton::{Error, Result};

use crate::device::{PeltonDevice, PeltonStream};
use crate::handle::{OutHandle, end, out, shared, slice, slice_mut};
use crate::status::{PeltonStatus, answer};

/// Device memory that knows which streams use it.
pub struct PeltonBuffer {
    pub(crate) buffer: Arc<DeviceBuffer>,
}

/// Called with its context when adopted memory is not used any more; NULL: nothing is called.
pub type PeltonRelease = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// What keeps adopted memory allocated: the caller, until it is told.
pub(crate) struct Owner {
    release: PeltonRelease,
    context: *mut c_void,
    /// Whether the adopting function has succeeded: before that the memory is the caller's.
    adopted: AtomicBool,
}

// SAFETY: the header asks that `release` may be called on any thread with its context.
unsafe impl Send for Owner {}
// SAFETY: as for `Send`; the pointer is not read here.
unsafe impl Sync for Owner {}

impl Owner {
    pub(crate) fn new(release: PeltonRelease, context: *mut c_void) -> Arc<Owner> {
        Arc::new(Owner {
            release,
            context,
            adopted: AtomicBool::new(false),
        })
    }

    pub(crate) fn adopted(&self) {
        self.adopted.store(true, Ordering::Relaxed);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let (Some(release), true) = (self.release, *self.adopted.get_mut()) {
            // SAFETY: the caller of the adopting function vouches for its callback and context.
            unsafe { release(self.context) };
        }
    }
}

pub(crate) fn address_of(pointer: *const c_void) -> u64 {
    pointer.expose_provenance() as u64
}

/// Allocates device memory, valid once the stream reaches this point; its contents are undefined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_allocate(
    device: *const PeltonDevice,
    stream: PeltonStream,
    bytes: u64,
    out: *mut *mut PeltonBuffer,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        if bytes > i64::MAX as u64 {
            let cause = format!("{bytes} bytes are more than memory has");
            return Err(Error::invalid("bytes", cause, "pass their number"));
        }
        let buffer = device.device.alloc(stream.handle(), bytes)?;
        out.give(PeltonBuffer {
            buffer: Arc::new(buffer),
        });
        Ok(())
    })
}

/// Adopts device memory of the caller's, as it is once the stream reaches this point. The address is a multiple of
/// 16, the memory is readable up to the next multiple of 64 bytes; without `writable`, writing to it is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_adopt(
    device: *const PeltonDevice,
    stream: PeltonStream,
    address: *mut c_void,
    bytes: u64,
    writable: bool,
    release: PeltonRelease,
    context: *mut c_void,
    out: *mut *mut PeltonBuffer,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let device = unsafe { shared(device, "device") }?;
        if address.is_null() {
            return Err(Error::invalid(
                "address",
                "it is null",
                "pass device memory",
            ));
        }
        let owner = Owner::new(release, context);
        // SAFETY: the caller vouches for the memory until `release` is called.
        let memory =
            unsafe { ForeignMemory::owned(address_of(address), bytes, Arc::clone(&owner)) };
        let memory = if writable { memory } else { memory.read_only() };
        let buffer = device.device.adopt_memory(stream.handle(), memory)?;
        owner.adopted();
        out.give(PeltonBuffer {
            buffer: Arc::new(buffer),
        });
        Ok(())
    })
}

/// Where the buffer starts in device memory. Say by pelton_buffer_order how you are about to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_address(
    buffer: *const PeltonBuffer,
    out_address: *mut *mut c_void,
    out_bytes: *mut u64,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a pointer, or null.
        let address = unsafe { out_address.as_mut() };
        let address = address.ok_or_else(|| {
            Error::invalid("out_address", "the pointer is null", "pass a live one")
        })?;
        *address = std::ptr::null_mut();
        // SAFETY: the caller passes a place for a number, or null.
        let bytes = unsafe { out(out_bytes, "out_bytes") }?;
        // SAFETY: the caller passes a live handle, or null.
        let buffer = &unsafe { shared(buffer, "buffer") }?.buffer;
        *address = std::ptr::with_exposed_provenance_mut(buffer.address() as usize);
        *bytes = buffer.bytes();
        Ok(())
    })
}

/// Says that the caller's own work that follows on the stream reads the buffer, or, with `write`, writes it: the
/// stream then waits for what other streams do with it, and they for it later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_order(
    buffer: *const PeltonBuffer,
    stream: PeltonStream,
    write: bool,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let buffer = &unsafe { shared(buffer, "buffer") }?.buffer;
        let stream = stream.handle();
        buffer.device().check_stream(stream)?;
        if write {
            buffer.order_write(stream)
        } else {
            buffer.order_read(stream)
        }
    })
}

fn check_range(buffer: &DeviceBuffer, offset: u64, bytes: u64) -> Result<()> {
    let end = offset.checked_add(bytes);
    if end.is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    let cause = format!(
        "{bytes} bytes from byte {offset} on are not within its {}",
        buffer.bytes()
    );
    Err(Error::invalid("buffer", cause, "pass a smaller range"))
}

/// Copies host memory into the buffer, from byte `offset` on. The host memory may be used again at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_write(
    buffer: *const PeltonBuffer,
    stream: PeltonStream,
    offset: u64,
    source: *const c_void,
    bytes: usize,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let buffer = &unsafe { shared(buffer, "buffer") }?.buffer;
        check_range(buffer, offset, bytes as u64)?;
        // SAFETY: the caller passes so many bytes, or null.
        let source = unsafe { slice(source.cast::<u8>(), bytes, "source") }?;
        let device = buffer.device();
        device.write_at(stream.handle(), buffer, offset, source)
    })
}

/// Copies bytes of the buffer, from byte `offset` on, to host memory. Waits for the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_read(
    buffer: *const PeltonBuffer,
    stream: PeltonStream,
    offset: u64,
    target: *mut c_void,
    bytes: usize,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let buffer = &unsafe { shared(buffer, "buffer") }?.buffer;
        check_range(buffer, offset, bytes as u64)?;
        // SAFETY: the caller passes room for so many bytes, or null.
        let target = unsafe { slice_mut(target.cast::<u8>(), bytes, "target") }?;
        let device = buffer.device();
        device.read_at(stream.handle(), buffer, offset, target)
    })
}

/// Ends the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_buffer_free(buffer: *mut PeltonBuffer) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a handle that it ends once, or null.
        unsafe { end(buffer) };
        Ok(())
    })
}
