//! Pure functions from a kernel specification to CUDA text.
