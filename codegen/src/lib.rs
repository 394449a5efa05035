//! Pure functions from a kernel specification to CUDA text.

#![forbid(unsafe_code)]

/// Every generated kernel file: path below `kernels/generated/`, text.
pub fn generate() -> Vec<(String, String)> {
    Vec::new()
}
