//! The few layouts that kernels know.

use super::{DECIMAL64_PRECISION_MAX, DataType, decimal_parts, is_text};

/// How the values of a column lie in memory. The discriminants cross to the kernels
/// (`kernels/abi/column.h`), where the same names stand with the prefix `PHYSICAL_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum PhysicalType {
    /// A bitmap, least significant bit first.
    Boolean = 0,
    /// Signed 8-bit integer.
    Int8 = 1,
    /// Signed 16-bit integer.
    Int16 = 2,
    /// Signed 32-bit integer; dates, seconds of a day.
    Int32 = 3,
    /// Signed 64-bit integer; timestamps, durations, decimals of at most 18 digits.
    Int64 = 4,
    /// Unsigned 8-bit integer.
    UInt8 = 5,
    /// Unsigned 16-bit integer.
    UInt16 = 6,
    /// Unsigned 32-bit integer; dictionary codes of strings and bytes.
    UInt32 = 7,
    /// Unsigned 64-bit integer.
    UInt64 = 8,
    /// IEEE 754 binary16.
    Float16 = 9,
    /// IEEE 754 binary32.
    Float32 = 10,
    /// IEEE 754 binary64.
    Float64 = 11,
    /// Signed 128-bit integer; decimals of 19 to 38 digits.
    Int128 = 12,
    /// Bytes that lie elsewhere: address and length, 16 bytes.
    View = 13,
}

impl PhysicalType {
    /// Every physical type, in the order of the discriminants.
    pub const ALL: [PhysicalType; 14] = [
        PhysicalType::Boolean,
        PhysicalType::Int8,
        PhysicalType::Int16,
        PhysicalType::Int32,
        PhysicalType::Int64,
        PhysicalType::UInt8,
        PhysicalType::UInt16,
        PhysicalType::UInt32,
        PhysicalType::UInt64,
        PhysicalType::Float16,
        PhysicalType::Float32,
        PhysicalType::Float64,
        PhysicalType::Int128,
        PhysicalType::View,
    ];

    /// The layout of a logical type on the device, or `None` if kernels do not know it.
    /// Strings, dictionaries of strings and bytes are codes, or views in their place; decimals narrow to what their precision
    /// needs, whatever width the host holds them in.
    pub fn of(data_type: &DataType) -> Option<PhysicalType> {
        if is_text(data_type) {
            return Some(PhysicalType::UInt32);
        }
        if let Some((precision, _)) = decimal_parts(data_type) {
            return Some(if precision <= DECIMAL64_PRECISION_MAX {
                PhysicalType::Int64
            } else {
                PhysicalType::Int128
            });
        }
        Some(match data_type {
            DataType::Boolean => PhysicalType::Boolean,
            DataType::Int8 => PhysicalType::Int8,
            DataType::Int16 => PhysicalType::Int16,
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => PhysicalType::Int32,
            DataType::Int64
            | DataType::Date64
            | DataType::Timestamp(_, _)
            | DataType::Time64(_)
            | DataType::Duration(_) => PhysicalType::Int64,
            DataType::UInt8 => PhysicalType::UInt8,
            DataType::UInt16 => PhysicalType::UInt16,
            DataType::UInt32 => PhysicalType::UInt32,
            DataType::UInt64 => PhysicalType::UInt64,
            DataType::Float16 => PhysicalType::Float16,
            DataType::Float32 => PhysicalType::Float32,
            DataType::Float64 => PhysicalType::Float64,
            _ => return None,
        })
    }

    /// Bits of one value.
    pub fn bits(self) -> u64 {
        match self {
            PhysicalType::Boolean => 1,
            PhysicalType::Int8 | PhysicalType::UInt8 => 8,
            PhysicalType::Int16 | PhysicalType::UInt16 | PhysicalType::Float16 => 16,
            PhysicalType::Int32 | PhysicalType::UInt32 | PhysicalType::Float32 => 32,
            PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Float64 => 64,
            PhysicalType::Int128 | PhysicalType::View => 128,
        }
    }

    /// Bytes that `rows` values take: a bitmap rounds up to whole bytes.
    pub fn bytes(self, rows: u64) -> u64 {
        match self {
            PhysicalType::Boolean => rows.div_ceil(8),
            other => rows * (other.bits() / 8),
        }
    }
}
