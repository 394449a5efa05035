//! Data types, literals and semantics: the words every other room speaks.
//!
//! Logical types, fields and schemas are Arrow's own and re-exported here, so that a batch needs
//! no translation at the doors. What is ours: [`PhysicalType`], the few layouts that kernels
//! know; [`Literal`], a constant as a user writes it; [`Semantics`], the choices in which front
//! ends differ. No data lives here: see `memory` for batches.

#![forbid(unsafe_code)]

pub(crate) mod calendar;
mod estimate;
mod literal;
mod physical;
mod semantics;

pub use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
pub use estimate::ColumnEstimate;
pub use literal::Literal;
pub use physical::PhysicalType;
pub use semantics::{DivisionByZero, EmptySum, Overflow, Semantics};

/// Widest precision whose values fit an `i64`: computed in 64 bits on the device.
pub const DECIMAL64_PRECISION_MAX: u8 = 18;

/// Widest precision of a 128-bit decimal.
pub const DECIMAL128_PRECISION_MAX: u8 = 38;

/// Precision and scale of a decimal type of any width up to 128 bits.
pub fn decimal_parts(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// True for strings, dictionary-coded or not.
pub fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_string(value),
        _ => false,
    }
}

/// True for bytes that need not be text.
pub fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}
