//! The emulator as a driver: the same kernels, run by code of the host's compiler.

use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use pelton_simt::{Device as SimtDevice, EventId, SimtError, StreamId};

pub use pelton_simt::SimtOptions;

use super::{DeviceProperties, Driver, EventHandle, KernelHandle, LaunchShape, device_error};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::StreamHandle;

/// Alignment of pinned memory, as a page has it.
const PINNED_ALIGNMENT: usize = 4096;

/// The emulated device.
#[derive(Debug)]
pub struct SimtDriver {
    device: SimtDevice,
    properties: DeviceProperties,
    entries: Mutex<Vec<String>>,
}

impl SimtDriver {
    /// A device with these options.
    pub fn new(options: SimtOptions) -> Self {
        let properties = DeviceProperties {
            name: "emulated device".to_string(),
            compute_capability: (0, 0),
            driver_version: env!("CARGO_PKG_VERSION").to_string(),
            memory_bytes: options.memory_bytes,
            memory_bytes_per_second: None,
            multiprocessors: options.resident_blocks.max(1),
            shared_bytes_per_block_max: 96 << 10,
            l2_bytes: 1 << 20,
            kernels: format!(
                "the host's processor{}",
                if options.checked {
                    ", with checks of every access"
                } else {
                    ""
                }
            ),
        };
        SimtDriver {
            device: SimtDevice::new(options),
            properties,
            entries: Mutex::default(),
        }
    }

    /// The emulator itself: seeds, faults, counters.
    pub fn emulator(&self) -> &SimtDevice {
        &self.device
    }
}

fn error(operation: &'static str) -> impl Fn(SimtError) -> Error {
    move |cause| device_error(operation, cause)
}

fn stream_id(stream: StreamHandle) -> StreamId {
    StreamId(stream.0)
}

fn layout(bytes: usize) -> Result<std::alloc::Layout> {
    std::alloc::Layout::from_size_align(bytes.max(1), PINNED_ALIGNMENT)
        .map_err(|cause| device_error("pinned allocation", cause))
}

// SAFETY: `pelton_simt::Device` keeps each stream's operations in call order, hands out disjoint
// mappings, and runs a copy only before the stream's next synchronisation returns.
unsafe impl Driver for SimtDriver {
    fn name(&self) -> &'static str {
        "simt"
    }

    fn properties(&self) -> &DeviceProperties {
        &self.properties
    }

    fn stream_create(&self) -> Result<StreamHandle> {
        Ok(StreamHandle(self.device.stream_create().0))
    }

    unsafe fn adopt_stream(&self, raw: u64) -> Result<StreamHandle> {
        // Waiting for an event that was never recorded is nothing, on a stream that exists.
        let event = self.device.event_create();
        let known = self.device.stream_wait_event(StreamId(raw), event);
        self.device.event_destroy(event);
        if known.is_err() {
            let cause = format!("the emulated device has no stream {raw}");
            let remedy = "pass a stream of the emulator that the device was opened over";
            return Err(Error::invalid("stream", cause, remedy));
        }
        Ok(StreamHandle(raw))
    }

    fn check_memory(&self, address: u64, bytes: u64) -> Result<()> {
        if self.device.has_memory(address, bytes) {
            return Ok(());
        }
        let cause =
            format!("{bytes} bytes at {address:#x} are in no buffer of the emulated device");
        let remedy = "pass what the emulator that the device was opened over allocated, and no \
                      more bytes than it has";
        Err(Error::invalid("memory of another engine", cause, remedy))
    }

    fn stream_destroy(&self, stream: StreamHandle) {
        self.device.stream_destroy(stream_id(stream));
    }

    fn stream_synchronize(&self, stream: StreamHandle) -> Result<()> {
        self.device
            .stream_synchronize(stream_id(stream))
            .map_err(error("stream"))
    }

    fn synchronize(&self) -> Result<()> {
        self.device.synchronize().map_err(error("synchronize"))
    }

    fn event_create(&self) -> Result<EventHandle> {
        Ok(EventHandle(self.device.event_create().0))
    }

    fn timer_create(&self) -> Result<EventHandle> {
        self.event_create()
    }

    fn event_destroy(&self, event: EventHandle) {
        self.device.event_destroy(EventId(event.0));
    }

    fn event_record(&self, event: EventHandle, stream: StreamHandle) -> Result<()> {
        self.device
            .event_record(EventId(event.0), stream_id(stream))
            .map_err(error("event"))
    }

    fn stream_wait(&self, stream: StreamHandle, event: EventHandle) -> Result<()> {
        self.device
            .stream_wait_event(stream_id(stream), EventId(event.0))
            .map_err(error("event"))
    }

    fn event_query(&self, event: EventHandle) -> Result<bool> {
        let passed = self.device.event_query(EventId(event.0));
        match self.device.event_failed(EventId(event.0)) {
            true => Err(device_error("event", "work in front of it failed")),
            false => Ok(passed),
        }
    }

    fn event_synchronize(&self, event: EventHandle) -> Result<()> {
        self.device
            .event_synchronize(EventId(event.0))
            .map_err(error("event"))
    }

    fn event_elapsed(&self, _start: EventHandle, _end: EventHandle) -> Result<f32> {
        Err(Error::unsupported(
            "simt",
            "timing",
            "emulated time means nothing",
        ))
    }

    fn alloc(&self, stream: StreamHandle, bytes: u64) -> Result<u64> {
        self.device
            .alloc(stream_id(stream), bytes, "buffer")
            .map_err(error("allocation"))
    }

    fn free(&self, stream: StreamHandle, address: u64, _bytes: u64, _home: StreamHandle) {
        // A refusal is reported by the next synchronisation; there is nothing to undo here.
        let _reported_later = self.device.free(stream_id(stream), address);
    }

    fn pinned_alloc(&self, bytes: usize) -> Result<*mut u8> {
        // SAFETY: the layout has a size above zero.
        let pointer = unsafe { std::alloc::alloc_zeroed(layout(bytes)?) };
        NonNull::new(pointer)
            .map(NonNull::as_ptr)
            .ok_or_else(|| device_error("pinned allocation", format!("{bytes} bytes refused")))
    }

    unsafe fn pinned_free(&self, pointer: *mut u8, bytes: usize) {
        if let Ok(layout) = layout(bytes) {
            // SAFETY: the caller got the pointer from `pinned_alloc` with the same size.
            unsafe { std::alloc::dealloc(pointer, layout) };
        }
    }

    unsafe fn copy_to_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: *const u8,
        bytes: u64,
    ) -> Result<()> {
        // SAFETY: the caller keeps `source` valid until the stream has passed the copy.
        unsafe {
            self.device
                .copy_to_device(stream_id(stream), target, source, bytes)
        }
        .map_err(error("copy to device"))
    }

    unsafe fn copy_to_host(
        &self,
        stream: StreamHandle,
        target: *mut u8,
        source: u64,
        bytes: u64,
    ) -> Result<()> {
        // SAFETY: the caller keeps `target` valid until the stream has passed the copy.
        unsafe {
            self.device
                .copy_to_host(stream_id(stream), target, source, bytes)
        }
        .map_err(error("copy to host"))
    }

    fn copy_device(
        &self,
        stream: StreamHandle,
        target: u64,
        source: u64,
        bytes: u64,
    ) -> Result<()> {
        self.device
            .copy_device(stream_id(stream), target, source, bytes)
            .map_err(error("copy"))
    }

    fn fill(&self, stream: StreamHandle, target: u64, value: u8, bytes: u64) -> Result<()> {
        self.device
            .fill(stream_id(stream), target, value, bytes)
            .map_err(error("fill"))
    }

    fn kernel(&self, _module: &str, entry: &str, params_bytes: usize) -> Result<KernelHandle> {
        let known = SimtDevice::entries()
            .into_iter()
            .find(|info| info.name == entry);
        match known {
            Some(info) if info.params_bytes == params_bytes as u64 => {}
            Some(info) => {
                let cause = format!(
                    "its launch struct has {} bytes, not {params_bytes}; the bindings are stale",
                    info.params_bytes
                );
                return Err(device_error(format!("kernel {entry}"), cause));
            }
            None => {
                let cause = format!("the emulator has no entry {entry}");
                return Err(Error::new(ErrorKind::KernelsNotBuilt { cause }));
            }
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry.to_string());
        Ok(KernelHandle(entries.len() as u64 - 1))
    }

    unsafe fn launch(
        &self,
        stream: StreamHandle,
        kernel: KernelHandle,
        shape: LaunchShape,
        params: &[u8],
    ) -> Result<()> {
        let entry = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(kernel.0)
                .ok()
                .and_then(|index| entries.get(index).cloned())
        };
        let entry = entry.ok_or_else(|| device_error("launch", "unknown kernel"))?;
        self.device
            .launch(
                stream_id(stream),
                &entry,
                [shape.grid, 1, 1],
                [shape.block, 1, 1],
                shape.shared_bytes,
                params,
            )
            .map_err(error("launch"))
    }
}
