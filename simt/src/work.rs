//! What is queued on streams.

use crate::machine::Launch;
use crate::options::DevicePointer;

/// Host memory that a queued copy reads or writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostPointer(pub(crate) *mut u8);

// SAFETY: only the copy uses it, once, under the device's lock, and the caller who queued the copy vouched
// for the memory until then.
unsafe impl Send for HostPointer {}

/// What a stream does.
#[derive(Debug)]
pub(crate) enum Work {
    Allocate {
        index: u32,
    },
    Free {
        index: u32,
    },
    CopyIn {
        target: DevicePointer,
        source: HostPointer,
        bytes: u64,
        number: u64,
    },
    CopyOut {
        target: HostPointer,
        source: DevicePointer,
        bytes: u64,
        number: u64,
    },
    CopyDevice {
        target: DevicePointer,
        source: DevicePointer,
        bytes: u64,
        number: u64,
    },
    Fill {
        target: DevicePointer,
        value: u8,
        bytes: u64,
    },
    Launch(Box<Launch>),
    Record {
        record: u64,
    },
    Wait {
        record: u64,
    },
}

/// A queued operation; `sequence` counts all operations of the device.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) sequence: u64,
    pub(crate) work: Work,
}
