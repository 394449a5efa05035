//! Handles of the `cust` crate as ours; feature `cust-interop`.
//!
//! `cust` links libcuda when it is built and wants a CUDA installation, so the feature is off by
//! default, and nothing else of Pelton names that crate. Its events hide their handles; order its
//! streams among themselves with `cust::stream::Stream::wait_event` before one is adopted.
//!
//! ```no_run
//! # fn linked(context: &::cust::context::Context, stream: &::cust::stream::Stream)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use pelton::device::{Device, ForeignMemory, ForeignStream, cuda::CudaDriver};
//! use pelton::memory::{MemoryLimits, MemoryManager};
//!
//! // SAFETY: context and stream outlive `device`.
//! let driver = unsafe { CudaDriver::guest_of_cust(context, None) }?;
//! let device = Device::new(Arc::new(driver), MemoryManager::new(MemoryLimits::UNLIMITED));
//! // SAFETY: as above.
//! let stream = device.adopt_stream(unsafe { ForeignStream::of_cust(stream) })?;
//! let values = ::cust::memory::DeviceBuffer::from_slice(&[1i64, 2, 3])?;
//! let values = device.adopt_memory(stream, ForeignMemory::of_cust(values))?;
//! # Ok(())
//! # }
//! ```

use std::path::PathBuf;

use ::cust::context::Context;
use ::cust::memory::{DeviceBuffer, DeviceCopy, DeviceSlice};
use ::cust::stream::Stream;

use super::cuda::CudaDriver;
use super::{ForeignMemory, ForeignStream};
use crate::error::Result;

impl CudaDriver {
    /// Works as a guest in a context of `cust`'s.
    ///
    /// # Safety
    /// The context outlives the driver, and every [`Device`](super::Device) and buffer over it.
    ///
    /// # Errors
    /// As [`CudaDriver::guest_in`].
    pub unsafe fn guest_of_cust(context: &Context, kernel_cache: Option<PathBuf>) -> Result<Self> {
        let context = context.as_raw().expose_provenance() as u64;
        // SAFETY: the context is live, and the caller keeps it so.
        unsafe { CudaDriver::guest_in(context, kernel_cache) }
    }
}

impl ForeignStream {
    /// A stream of `cust`'s.
    ///
    /// # Safety
    /// The stream outlives what [`ForeignStream::new`] says.
    pub unsafe fn of_cust(stream: &Stream) -> Self {
        let stream = stream.as_inner().expose_provenance() as u64;
        // SAFETY: the stream is live, and the caller keeps it so.
        unsafe { ForeignStream::new(stream) }
    }
}

impl ForeignMemory {
    /// The memory of a buffer of `cust`'s, which is freed with the last buffer of ours.
    pub fn of_cust<T: DeviceCopy + Send + Sync + 'static>(buffer: DeviceBuffer<T>) -> Self {
        let (address, bytes) = place_of(&buffer);
        // SAFETY: the buffer owns memory that cuMemAlloc gave, and nobody else has the buffer.
        unsafe { ForeignMemory::owned(address, bytes, buffer) }
    }

    /// The memory of a slice of `cust`'s.
    ///
    /// # Safety
    /// As [`ForeignMemory::borrowed`].
    pub unsafe fn borrow_cust<T: DeviceCopy>(slice: &DeviceSlice<T>) -> Self {
        let (address, bytes) = place_of(slice);
        // SAFETY: the caller vouches for the memory.
        unsafe { ForeignMemory::borrowed(address, bytes) }
    }
}

/// Address and bytes.
fn place_of<T: DeviceCopy>(slice: &DeviceSlice<T>) -> (u64, u64) {
    let bytes = slice.len() * size_of::<T>();
    (slice.as_device_ptr().as_raw(), bytes as u64)
}
