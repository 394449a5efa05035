//! Typed launchers: safe functions over columns in device memory, one file per operator.
//!
//! A launcher takes a [`Launch`] (a device and a stream of the caller's), columns and row counts,
//! allocates what it returns, and queues its kernels. It does not wait, unless it says so.
//! Launch structs and their pointers never leave this room. [`abi`] is generated from
//! `kernels/abi`.
//!
//! Columns, buffers and streams may be another engine's: [`crate::device`] adopts them, and
//! docs/linking.md shows the way. A launcher checks that its columns are of its device, of the types
//! that it knows and long enough for the rows asked for, so that no safe call leads a kernel out of
//! a buffer.
//!
//! ```
//! use std::sync::Arc;
//! use pelton::device::{Device, simt::{SimtDriver, SimtOptions}};
//! use pelton::kernels::{DeviceColumn, DeviceRows, Launch, filter::filter_compact};
//! use pelton::memory::{MemoryLimits, MemoryManager};
//! use pelton::types::PhysicalType;
//!
//! # fn main() -> pelton::Result<()> {
//! let driver = Arc::new(SimtDriver::new(SimtOptions::default()));
//! let device = Device::new(driver, MemoryManager::new(MemoryLimits::UNLIMITED));
//! let launch = Launch::new(&device, device.take_stream()?);
//! let values: Vec<u8> = [3i64, 5, 7].into_iter().flat_map(i64::to_ne_bytes).collect();
//! let values = Arc::new(device.upload(launch.stream(), &values)?);
//! let keep = Arc::new(device.upload(launch.stream(), &[0b101])?);
//! let values = DeviceColumn::array(PhysicalType::Int64, values, None, 0, 3)?;
//! let keep = DeviceColumn::array(PhysicalType::Boolean, keep, None, 0, 3)?;
//! let (kept, rows) = filter_compact(&launch, &keep, &[&values], &DeviceRows::known(3))?;
//! assert_eq!(rows.resolve(&launch)?, 2);
//! let mut bytes = [0; 16];
//! device.read(launch.stream(), kept[0].values().expect("an array"), &mut bytes)?;
//! assert_eq!(bytes[8..], 7i64.to_ne_bytes());
//! # Ok(())
//! # }
//! ```
//!
//! A launch does not outlive its device:
//!
//! ```compile_fail,E0505
//! # use std::sync::Arc;
//! # use pelton::{device::Device, kernels::{Launch, Status}};
//! # fn refused(device: Arc<Device>) -> pelton::Result<()> {
//! let launch = Launch::new(&device, device.take_stream()?);
//! drop(device);
//! Status::new(&launch, "filter_compact")?; // the device is gone
//! # Ok(())
//! # }
//! ```

pub mod abi;
pub mod append;
pub mod bloom_filter;
pub mod ceilings;
mod column;
pub mod filter;
pub mod gather;
pub mod group_by;
pub mod hash_join;
pub mod math;
pub mod nested_loop_join;
pub mod page;
pub mod project;
pub mod quantile;
pub mod shuffle_partition;
pub mod sort;
pub mod strings;
pub mod temporal;
pub mod text;
pub mod top_k;
pub mod window;

pub use column::{DeviceColumn, DeviceRows, OutputColumn};

use std::sync::Arc;

use crate::device::{Device, DeviceBuffer, LaunchShape, PackedRange};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::StreamHandle;
use crate::metrics::{Metrics, StreamSpan};
use crate::types::PhysicalType;

/// A kernel entry and its launch struct.
///
/// # Safety
/// `Params` has the layout of the one struct that the entry `ENTRY` of module `MODULE` takes.
/// Implemented by generated code only.
pub unsafe trait Kernel {
    /// Name of the entry.
    const ENTRY: &'static str;
    /// Stem of the source file.
    const MODULE: &'static str;
    /// The launch struct. It has no padding.
    type Params: Copy;
}

/// Where launchers put their work: a device, and a stream of it.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    device: &'a Arc<Device>,
    stream: StreamHandle,
    copies: StreamHandle,
    metrics: Option<&'a Metrics>,
}

impl<'a> Launch<'a> {
    /// Work for this stream.
    pub fn new(device: &'a Arc<Device>, stream: StreamHandle) -> Self {
        Launch {
            device,
            stream,
            copies: stream,
            metrics: None,
        }
    }

    /// The same, with what is copied to the device on a stream of its own: copies do not queue up
    /// behind kernels then.
    #[must_use]
    pub fn with_copies(self, copies: StreamHandle) -> Self {
        Launch { copies, ..self }
    }

    /// Adds to a counter of the query's metrics, if there are any.
    pub(crate) fn count(&self, name: &'static str, amount: u64) {
        if let Some(metrics) = self.metrics {
            metrics.add(name, amount);
        }
    }

    /// The same, counted in a query's metrics.
    #[must_use]
    pub fn with_metrics(self, metrics: &'a Metrics) -> Self {
        Launch {
            metrics: Some(metrics),
            ..self
        }
    }

    /// The device.
    pub fn device(&self) -> &'a Arc<Device> {
        self.device
    }

    /// The stream.
    pub fn stream(&self) -> StreamHandle {
        self.stream
    }

    /// The stream of copies to the device.
    pub fn copies(&self) -> StreamHandle {
        self.copies
    }

    /// A span of what is put on a stream from now on until it is dropped, if the query is traced.
    fn span(&self, stream: StreamHandle, name: &'static str) -> Option<StreamSpan<'a>> {
        self.metrics?.on_stream(stream.0, name)
    }

    /// A buffer of this stream; contents undefined.
    fn alloc(&self, bytes: u64) -> Result<DeviceBuffer> {
        self.device.alloc(self.stream, bytes)
    }

    /// A buffer of zeros.
    fn alloc_zeroed(&self, bytes: u64) -> Result<DeviceBuffer> {
        self.device.alloc_zeroed(self.stream, bytes)
    }

    /// A buffer with these structs, for a kernel to read.
    fn upload_structs<T: Unpadded>(&self, structs: &[T]) -> Result<DeviceBuffer> {
        let buffer = self.upload_on(self.copies, bytes_of(structs))?;
        buffer.order_read(self.stream)?;
        Ok(buffer)
    }

    /// Copies host bytes to the start of a buffer, on the stream of copies.
    fn write(&self, buffer: &DeviceBuffer, bytes: &[u8]) -> Result<()> {
        let _span = self.copying(self.copies, "copy to device", bytes.len() as u64);
        self.device.write(self.copies, buffer, bytes)
    }

    /// Copies host bytes to a new buffer of this stream.
    ///
    /// # Errors
    /// As [`Device::upload`].
    pub fn upload(&self, bytes: &[u8]) -> Result<DeviceBuffer> {
        self.upload_on(self.stream, bytes)
    }

    fn upload_on(&self, stream: StreamHandle, bytes: &[u8]) -> Result<DeviceBuffer> {
        let _span = self.copying(stream, "copy to device", bytes.len() as u64);
        self.device.upload(stream, bytes)
    }

    /// Copies bytes of a buffer, from `start` on, to the host and waits for them.
    ///
    /// # Errors
    /// As [`Device::read_at`].
    ///
    /// # Panics
    /// The buffer ends before.
    pub fn read(&self, buffer: &DeviceBuffer, start: u64, bytes: &mut [u8]) -> Result<()> {
        let _span = self.copying(self.stream, "copy to host", bytes.len() as u64);
        self.device.read_at(self.stream, buffer, start, bytes)
    }

    /// Counts a copy of a stream; what this gives is dropped when it is queued.
    pub fn copying(
        &self,
        stream: StreamHandle,
        name: &'static str,
        bytes: u64,
    ) -> Option<StreamSpan<'a>> {
        self.metrics?.copied(stream.0, bytes);
        self.span(stream, name)
    }

    /// Queues a kernel over `grid` blocks; a grid of nothing is not launched.
    ///
    /// # Safety
    /// The pointers in `params` reach what the kernel's docstring says, and their buffers were
    /// ordered on this stream.
    unsafe fn launch<K: Kernel>(
        &self,
        grid: u64,
        block: u32,
        shared_bytes: u32,
        params: &K::Params,
    ) -> Result<()> {
        if grid == 0 {
            return Ok(());
        }
        self.device.check_stream(self.stream)?;
        let grid = u32::try_from(grid).map_err(|_| {
            let cause = format!("{grid} blocks are too many for one launch");
            Error::new(ErrorKind::Device {
                operation: format!("launch of {}", K::ENTRY),
                cause,
            })
        })?;
        let params_bytes = size_of::<K::Params>();
        let kernel = self.device.kernel(K::MODULE, K::ENTRY, params_bytes)?;
        // SAFETY: `Kernel::Params` is a `Copy` struct without padding, so its bytes are initialised.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(params).cast::<u8>(), params_bytes)
        };
        if let Some(metrics) = self.metrics {
            metrics.launched(self.stream.0);
        }
        let _span = self.span(self.stream, K::ENTRY);
        let shape = LaunchShape {
            grid,
            block,
            shared_bytes,
        };
        // SAFETY: the caller vouches for the struct's pointers; its layout is `Kernel`'s promise,
        // and its size was compared by `Device::kernel`.
        unsafe {
            self.device
                .driver()
                .launch(self.stream, kernel, shape, bytes)
        }
        .map_err(|error| error.context(format!("kernel {}", K::ENTRY)))
    }
}

/// Structs of the ABI that travel to the device as arrays.
///
/// # Safety
/// The type has no padding.
unsafe trait Unpadded: Copy {}

/// Structs as they travel.
fn bytes_of<T: Unpadded>(structs: &[T]) -> &[u8] {
    // SAFETY: `Unpadded` promises that every byte of a struct is initialised.
    unsafe { std::slice::from_raw_parts(structs.as_ptr().cast::<u8>(), size_of_val(structs)) }
}

// SAFETY: an integer has no padding.
unsafe impl Unpadded for u32 {}
// SAFETY: an integer has no padding.
unsafe impl Unpadded for u64 {}
// SAFETY: fields are ordered by size and fill the struct (`ABI_ASSERT` in kernels/abi/page.h).
unsafe impl Unpadded for abi::Page {}
// SAFETY: as `Page`.
unsafe impl Unpadded for abi::PageState {}
// SAFETY: as `Page`.
unsafe impl Unpadded for abi::PageCompressed {}
// SAFETY: as `Page`.
unsafe impl Unpadded for abi::PageSplit {}
// SAFETY: as `Page` (kernels/abi/shuffle_partition.h).
unsafe impl Unpadded for abi::ShufflePartitionColumn {}
// SAFETY: four fields of 32 bits (`ABI_ASSERT` in kernels/abi/strings.h).
unsafe impl Unpadded for abi::StringsPiece {}
// SAFETY: an integer has no padding.
unsafe impl Unpadded for u8 {}
// SAFETY: an integer has no padding.
unsafe impl Unpadded for u16 {}

/// The status word of launches that can fail. Read once, after the launches.
#[derive(Debug)]
pub struct Status {
    buffer: Arc<DeviceBuffer>,
    start: u64,
    entry: &'static str,
}

impl Status {
    /// A status word that says nothing yet, for launches of `entry`.
    ///
    /// # Errors
    /// No memory is left.
    pub fn new(launch: &Launch, entry: &'static str) -> Result<Self> {
        let [status] = Status::several(launch, [entry])?;
        Ok(status)
    }

    /// Status words of one buffer.
    fn several<const N: usize>(launch: &Launch, entries: [&'static str; N]) -> Result<[Self; N]> {
        let bytes = size_of::<abi::KernelStatus>() as u64;
        let buffer = Arc::new(launch.alloc_zeroed(N as u64 * bytes)?);
        let mut start = 0;
        Ok(entries.map(|entry| {
            let status = Status {
                buffer: Arc::clone(&buffer),
                start,
                entry,
            };
            start += bytes;
            status
        }))
    }

    fn pointer(&self) -> *mut abi::KernelStatus {
        address_of::<u8>(&self.buffer)
            .wrapping_add(self.start as usize)
            .cast()
    }

    /// Where the word is, for a copy of several words at one time.
    pub(crate) fn word(&self) -> PackedRange {
        PackedRange {
            buffer: Arc::clone(&self.buffer),
            start: self.start,
            bytes: size_of::<abi::KernelStatus>() as u64,
            at: 0,
        }
    }

    /// Waits for the stream and answers what the launches said.
    ///
    /// # Errors
    /// `Kernel` with the status, or what failed on the stream.
    pub fn check(&self, launch: &Launch) -> Result<()> {
        let mut bytes = [0u8; size_of::<abi::KernelStatus>()];
        launch
            .device
            .read_at(launch.stream, &self.buffer, self.start, &mut bytes)?;
        self.say(&bytes)
    }

    /// What the launches said, by the bytes of the word.
    ///
    /// # Errors
    /// `Kernel` with the status.
    pub(crate) fn say(&self, bytes: &[u8]) -> Result<()> {
        let code = bytes[..4].try_into().map_or(0, u32::from_ne_bytes);
        if code == abi::STATUS_OK {
            return Ok(());
        }
        let argument = bytes[8..16].try_into().map_or(0, u64::from_ne_bytes);
        let status = match code {
            abi::STATUS_OVERFLOW => "a result does not fit its type".to_string(),
            abi::STATUS_DIVISION_BY_ZERO => "division by zero".to_string(),
            abi::STATUS_CAST => "a value does not fit the type it is cast to".to_string(),
            abi::STATUS_INDEX_OUT_OF_RANGE => {
                let place = format!("{}, row {argument}", self.entry);
                return Err(Error::invalid(
                    place,
                    "an index is not below the built rows",
                    "",
                ));
            }
            abi::STATUS_TABLE_FULL => "a hash table is full".to_string(),
            abi::STATUS_PAGE_CODEC => "compressed bytes are malformed".to_string(),
            abi::STATUS_PAGE_LEVELS => "levels are malformed".to_string(),
            abi::STATUS_PAGE_VALUES => "values end early or are malformed".to_string(),
            abi::STATUS_PAGE_INDEX => "an index is outside of the dictionary".to_string(),
            abi::STATUS_PAGE_TEXT => "a string is not UTF-8".to_string(),
            abi::STATUS_STATE => {
                let place = format!("{}, row {argument}", self.entry);
                let remedy = "make the three specifications by `GroupBySpec::phases`";
                return Err(Error::invalid(
                    place,
                    "a column is not an aggregate's state",
                    remedy,
                ));
            }
            abi::STATUS_SUM_OVERFLOW => "a sum does not fit its type".to_string(),
            other => format!("status {other}"),
        };
        Err(Error::new(ErrorKind::Kernel {
            entry: self.entry,
            status,
            argument,
        }))
    }
}

/// Blocks that cover `rows` rows, `per_block` each.
fn blocks(rows: u64, per_block: u32) -> u64 {
    rows.div_ceil(u64::from(per_block))
}

/// A device address as a pointer of a launch struct.
fn address_of<T>(buffer: &DeviceBuffer) -> *mut T {
    std::ptr::with_exposed_provenance_mut(buffer.address() as usize)
}

/// Low and high words of a 128-bit constant.
fn halves(value: i128) -> (u64, u64) {
    (value as u64, (value >> 64) as u64)
}

const _: () = {
    assert!(abi::PHYSICAL_BOOLEAN == PhysicalType::Boolean as u32);
    assert!(abi::PHYSICAL_INT8 == PhysicalType::Int8 as u32);
    assert!(abi::PHYSICAL_INT16 == PhysicalType::Int16 as u32);
    assert!(abi::PHYSICAL_INT32 == PhysicalType::Int32 as u32);
    assert!(abi::PHYSICAL_INT64 == PhysicalType::Int64 as u32);
    assert!(abi::PHYSICAL_UINT8 == PhysicalType::UInt8 as u32);
    assert!(abi::PHYSICAL_UINT16 == PhysicalType::UInt16 as u32);
    assert!(abi::PHYSICAL_UINT32 == PhysicalType::UInt32 as u32);
    assert!(abi::PHYSICAL_UINT64 == PhysicalType::UInt64 as u32);
    assert!(abi::PHYSICAL_FLOAT16 == PhysicalType::Float16 as u32);
    assert!(abi::PHYSICAL_FLOAT32 == PhysicalType::Float32 as u32);
    assert!(abi::PHYSICAL_FLOAT64 == PhysicalType::Float64 as u32);
    assert!(abi::PHYSICAL_INT128 == PhysicalType::Int128 as u32);
    assert!(abi::PHYSICAL_VIEW == PhysicalType::View as u32);
};
