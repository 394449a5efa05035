//! Pelton's kernels from C. The rules for callers (status, ownership, order, threads) stand at the
//! head of `include/pelton.h`, which `cargo xtask header` writes from this crate; docs/linking.md
//! shows a whole program.
//!
//! Every function is a thin, checked step over `pelton`'s public interface: pointers become
//! references in `handle`, failures and panics become codes in `status`. Nothing is decided here
//! but what SQL would say where C needs a default: the sum of nothing is null, integers that do not
//! fit their sum are an error.

#![expect(
    clippy::missing_safety_doc,
    reason = "what callers vouch for is the same for every function, and said once: handles are live and of \
              this library, pointers to host memory are valid for what the function reads or writes there"
)]

mod buffer;
mod column;
mod device;
mod filter;
mod group_by;
mod handle;
mod hash_join;
mod status;
mod table;

pub use buffer::*;
pub use column::*;
pub use device::*;
pub use filter::*;
pub use group_by::*;
pub use hash_join::*;
pub use status::*;
pub use table::*;
