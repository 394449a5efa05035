//! How calls end: codes, the last message of each thread, and the border that no panic crosses.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pelton::{ErrorKind, Result};

/// How a call ended: one of PELTON_OK and PELTON_ERROR_*.
pub type PeltonStatus = i32;

/// Done.
pub const PELTON_OK: PeltonStatus = 0;
/// An argument cannot be: null, out of range, of another type or size.
pub const PELTON_ERROR_INVALID: PeltonStatus = 1;
/// There are no kernels for these types.
pub const PELTON_ERROR_UNSUPPORTED: PeltonStatus = 2;
/// No usable CUDA device.
pub const PELTON_ERROR_NO_DEVICE: PeltonStatus = 3;
/// Kernels were neither built in, nor can NVRTC compile them.
pub const PELTON_ERROR_NO_KERNELS: PeltonStatus = 4;
/// The driver refused, or memory ran out.
pub const PELTON_ERROR_DEVICE: PeltonStatus = 5;
/// A kernel reported a value that it cannot compute with: a sum that does not fit, for example.
pub const PELTON_ERROR_KERNEL: PeltonStatus = 6;
/// Anything else that the message names.
pub const PELTON_ERROR_OTHER: PeltonStatus = 7;
/// A bug in Pelton: a panic, stopped at the border. The handles of the call are still to be ended.
pub const PELTON_ERROR_PANIC: PeltonStatus = 8;

/// Version of the functions and structs of this header. A library of another one is another library.
pub const PELTON_ABI_VERSION: u32 = 1;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

fn remember(message: String) {
    // A message is text of ours, and has no zero byte but by what a caller passed.
    let bytes: Vec<u8> = message
        .into_bytes()
        .into_iter()
        .filter(|byte| *byte != 0)
        .collect();
    let message = CString::new(bytes).unwrap_or_default();
    let _thread_ends = LAST.try_with(|last| last.replace(message));
}

fn code_of(kind: &ErrorKind) -> PeltonStatus {
    match kind {
        ErrorKind::InvalidInput { .. } => PELTON_ERROR_INVALID,
        ErrorKind::Unsupported { .. } => PELTON_ERROR_UNSUPPORTED,
        ErrorKind::DeviceNotFound { .. } => PELTON_ERROR_NO_DEVICE,
        ErrorKind::KernelsNotBuilt { .. } => PELTON_ERROR_NO_KERNELS,
        ErrorKind::Device { .. } | ErrorKind::Reservation { .. } => PELTON_ERROR_DEVICE,
        ErrorKind::Kernel { .. } | ErrorKind::Arithmetic { .. } => PELTON_ERROR_KERNEL,
        ErrorKind::Panicked { .. } => PELTON_ERROR_PANIC,
        _ => PELTON_ERROR_OTHER,
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

/// Runs a call's work: the border between Rust and C.
pub(crate) fn answer(work: impl FnOnce() -> Result<()>) -> PeltonStatus {
    // What a panic leaves half done is behind mutexes that answer their last state, or dropped.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => PELTON_OK,
        Ok(Err(error)) => {
            let code = code_of(error.kind());
            remember(error.to_string());
            code
        }
        Err(panic) => {
            let words = words_of(panic.as_ref());
            remember(format!("a bug in Pelton: {words}; please report it"));
            PELTON_ERROR_PANIC
        }
    }
}

/// The message of the last failure of this thread, empty if there was none: one line in UTF-8 that
/// says what failed, why, and what to do. Valid until the next failure on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn pelton_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// The version of Pelton, as "major.minor.patch". Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn pelton_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// PELTON_ABI_VERSION of the library that is running: compare it with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn pelton_abi_version() -> u32 {
    PELTON_ABI_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the pointer is valid until the next failure on this thread.
        let message = unsafe { CStr::from_ptr(pelton_last_error()) };
        message.to_string_lossy().into_owned()
    }

    #[test]
    fn no_panic_crosses_and_messages_belong_to_threads() {
        assert_eq!(last(), "");
        assert_eq!(answer(|| panic!("out of {}", "luck")), PELTON_ERROR_PANIC);
        assert_eq!(last(), "a bug in Pelton: out of luck; please report it");
        assert_eq!(std::thread::spawn(last).join().ok(), Some(String::new()));
        let zero = pelton::Error::invalid("a\0b", "no", "write c");
        assert_eq!(answer(|| Err(zero)), PELTON_ERROR_INVALID);
        assert_eq!(last(), "ab: no; write c");
        assert_eq!(answer(|| Ok(())), PELTON_OK);
        assert_eq!(last(), "ab: no; write c");
    }
}
