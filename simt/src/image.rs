//! Where in the program and in the kernel sources something lies.

use std::backtrace::Backtrace;
use std::ffi::{CStr, c_char};
use std::fs;
use std::ptr;
use std::sync::OnceLock;

use crate::memory::PAGE;

/// A line of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) file: *const c_char,
    pub(crate) line: i32,
}

impl Site {
    pub(crate) const NOWHERE: Site = Site {
        file: ptr::null(),
        line: 0,
    };

    pub(crate) fn text(self) -> String {
        format!("{}:{}", text_of(self.file), self.line)
    }
}

// SAFETY: the file is the address of a string literal of a kernel: constant, and alive for ever.
unsafe impl Send for Site {}

/// A string literal of a kernel.
pub(crate) fn text_of(literal: *const c_char) -> &'static str {
    if literal.is_null() {
        return "?";
    }
    // SAFETY: `simt.h` passes string literals only, which are terminated and live for ever.
    unsafe { CStr::from_ptr(literal) }.to_str().unwrap_or("?")
}

/// The innermost frame that lies in a kernel source, as `file:line`.
pub(crate) fn kernel_line(backtrace: &Backtrace) -> Option<String> {
    let text = backtrace.to_string();
    let places = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("at "));
    places
        .filter(|place| place.contains(".cu"))
        .map(|place| {
            // From `kernels/` on, without the column.
            let place = place.rfind("kernels/").map_or(place, |at| &place[at..]);
            let mut parts = place.splitn(3, ':');
            let (file, number) = (parts.next().unwrap_or(place), parts.next().unwrap_or("?"));
            format!("{file}:{number}")
        })
        .next()
}

/// Where the object that holds the kernels, with its constants, lies: start and size.
pub(crate) fn image() -> (usize, usize) {
    static IMAGE: OnceLock<(usize, usize)> = OnceLock::new();
    *IMAGE.get_or_init(|| find_image().unwrap_or((PAGE, usize::MAX - PAGE)))
}

fn find_image() -> Option<(usize, usize)> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let parsed: Vec<(usize, usize, &str)> = maps
        .lines()
        .filter_map(|line| {
            let (low, high) = line.split_whitespace().next()?.split_once('-')?;
            let path = line.split_whitespace().nth(5).unwrap_or("");
            Some((
                usize::from_str_radix(low, 16).ok()?,
                usize::from_str_radix(high, 16).ok()?,
                path,
            ))
        })
        .collect();
    let inside = find_image as fn() -> Option<(usize, usize)> as usize;
    let path = parsed
        .iter()
        .find(|(low, high, _)| (*low..*high).contains(&inside))?
        .2;
    let low = parsed
        .iter()
        .filter(|map| map.2 == path)
        .map(|map| map.0)
        .min()?;
    let mut high = parsed
        .iter()
        .filter(|map| map.2 == path)
        .map(|map| map.1)
        .max()?;
    // Zeroed globals follow without a name.
    if let Some(zeroed) = parsed.iter().find(|map| map.0 == high && map.2.is_empty()) {
        high = zeroed.1;
    }
    Some((low, high - low))
}
