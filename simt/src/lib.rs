//! Runs CUDA kernel sources on the CPU.
