//! Placeholder until the kernels are compiled.
fn main() {}
