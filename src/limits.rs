//! Numbers that nothing may pass, each with its reason. Options choose below them.

#![forbid(unsafe_code)]

/// Rows of one batch. A row index within a batch fits 32 bits, with room for a sentinel.
pub const ROWS_PER_BATCH_MAX: u64 = (1 << 31) - 1;

/// Columns of one batch; bounds the launch descriptors that a batch needs.
pub const COLUMNS_MAX: usize = 4096;

/// Depth of an expression. Expressions are walked by recursion, in debug builds with frames of up to
/// 16 KiB a level; this keeps the stack below the 2 MiB that a thread has by default.
pub const EXPR_DEPTH_MAX: usize = 100;

/// Key columns of one group-by or join; bounds the packed key.
pub const KEYS_MAX: usize = 16;
