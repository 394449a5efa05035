//! Whether a device decodes the columns of a scan's predicate first and of the others only the pages in
//! which rows are left: when that is wanted, and what it has brought so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Batches of a scan that are decoded late before anybody knows whether it pays.
const SAMPLE_BATCHES: u64 = 4;

/// It pays if at least one byte in so many was left out. Each batch waits for the device once, for a
/// fraction of a millisecond; at 60 GB/s that is the time of some 20 MB, of batches of 100 MB and more.
const PAYING_PART: u64 = 8;

/// When columns are decoded late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LateMode {
    /// Never.
    Off,
    /// As long as the first batches of a scan say that it pays.
    #[default]
    Auto,
    /// Wherever a predicate allows it.
    On,
}

/// What late decoding has brought to one scan so far, shared by all who read its partitions.
#[derive(Debug, Default)]
pub struct LateDecoding {
    begun: AtomicU64,
    bytes: AtomicU64,
    left_out: AtomicU64,
}

impl LateDecoding {
    /// Begins a batch; true if it is to be decoded late.
    pub fn begin(&self, mode: LateMode) -> bool {
        // Workers begin together: the first batches alone are the sample, whoever reads them.
        let sample = || self.begun.fetch_add(1, Ordering::Relaxed) < SAMPLE_BATCHES;
        self.pays(mode) || mode == LateMode::Auto && sample()
    }

    /// Whether it is known to pay, or taken for granted.
    pub fn pays(&self, mode: LateMode) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let left_out = self.left_out.load(Ordering::Relaxed);
        match mode {
            LateMode::Off => false,
            LateMode::On => true,
            LateMode::Auto => bytes > 0 && left_out >= bytes / PAYING_PART,
        }
    }

    /// Takes down what a batch brought: bytes of pages that could be left out, and that were.
    pub fn note(&self, bytes: u64, left_out: u64) {
        // Read at any time by whoever begins a batch: nothing depends on their order.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.left_out.fetch_add(left_out, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_as_long_as_it_pays() {
        let late = LateDecoding::default();
        for _ in 0..SAMPLE_BATCHES {
            assert!(late.begin(LateMode::Auto));
            late.note(100, 5);
        }
        assert!(!late.begin(LateMode::Auto));
        assert!(late.begin(LateMode::On));
        late.note(100, 80);
        assert!(late.begin(LateMode::Auto));
        assert!(!late.begin(LateMode::Off));
        let unknown = LateDecoding::default();
        let begun = (0..9).filter(|_| unknown.begin(LateMode::Auto)).count();
        assert_eq!(begun as u64, SAMPLE_BATCHES);
    }
}
