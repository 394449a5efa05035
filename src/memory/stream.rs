//! The name of a stream, for those who pass it on without knowing what it is.

#![forbid(unsafe_code)]

/// A stream of a backend: work put on it happens in order. The CPU backend has but one, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StreamHandle(pub u64);
