//! The kernels that build.rs compiled, and the sources of all of them.

include!(concat!(env!("OUT_DIR"), "/embedded_kernels.rs"));
