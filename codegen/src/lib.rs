//! Pure functions from a kernel specification to CUDA text.

/// Every generated kernel file: path below `kernels/generated/`, text.
pub fn generate() -> Vec<(String, String)> {
    Vec::new()
}
