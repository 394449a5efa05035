//! What a stored column becomes on the device.

use crate::error::{Error, Result};
use crate::kernels::page::PageConversion;
use crate::storage::{ChunkFacts, PhysicalKind};
use crate::types::{DataType, Field, PhysicalType, TimeUnit, decimal_parts, is_binary, is_string};

/// Levels beyond this are refused: on the device a level is a byte. The schemas that storage opens
/// are not half as deep.
const DEFINITION_LEVEL_MAX: u16 = u8::MAX as u16;

/// How the values of a column are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// What the column is on the device. Strings become codes where they can.
    pub(super) physical: PhysicalType,
    /// Bytes of a PLAIN element; 0 for BYTE_ARRAY.
    pub(super) element_bytes: u32,
    pub(super) conversion: PageConversion,
}

impl Layout {
    /// The layout of a column chunk's values as this type; `nested` if it is a leaf of a nested
    /// column.
    pub(super) fn of(facts: &ChunkFacts, field: &Field, nested: bool) -> Result<Layout> {
        let flat = facts.repetition_level_max == 0 && facts.definition_level_max <= 1;
        if !flat && !nested {
            return Err(refused(field, "is nested"));
        }
        if facts.definition_level_max > DEFINITION_LEVEL_MAX {
            return Err(refused(field, "is nested too deep"));
        }
        let nulls = nested && *field.data_type() == DataType::Null;
        let known = if nulls {
            untyped(facts)
        } else {
            let physical = PhysicalType::of(field.data_type());
            physical.map(|physical| (physical, conversion(facts, field.data_type())))
        };
        let Some((physical, conversion)) = known else {
            return Err(refused(field, &format!("has type {}", field.data_type())));
        };
        let Some(conversion) = conversion else {
            let (stored, wanted) = (facts.physical, field.data_type());
            return Err(refused(
                field,
                &format!("is {stored:?} in the file and {wanted} here"),
            ));
        };
        let element_bytes = match facts.physical {
            PhysicalKind::Boolean | PhysicalKind::ByteArray => 0,
            PhysicalKind::Int32 | PhysicalKind::Float => 4,
            PhysicalKind::Int64 | PhysicalKind::Double => 8,
            PhysicalKind::Int96 => 12,
            PhysicalKind::FixedLenByteArray => facts.type_length,
        };
        let physical = match conversion {
            PageConversion::View => PhysicalType::View,
            _ => physical,
        };
        Ok(Layout {
            physical,
            element_bytes,
            conversion,
        })
    }
}

/// A column that kernels do not decode.
pub(super) fn refused(field: &Field, reason: &str) -> Error {
    Error::unsupported(
        "cuda",
        "scan",
        format!("column `{}` {reason}", field.name()),
    )
}

/// How values are decoded that nobody looks at: those of a column that has nothing but nulls.
fn untyped(facts: &ChunkFacts) -> Option<(PhysicalType, Option<PageConversion>)> {
    use PageConversion as To;
    let (physical, conversion) = match facts.physical {
        PhysicalKind::Boolean => (PhysicalType::Boolean, To::Bits1),
        PhysicalKind::Int32 | PhysicalKind::Float => (PhysicalType::UInt32, To::Bits32),
        PhysicalKind::Int64 | PhysicalKind::Double => (PhysicalType::UInt64, To::Bits64),
        PhysicalKind::ByteArray | PhysicalKind::FixedLenByteArray => (PhysicalType::View, To::View),
        PhysicalKind::Int96 => return None,
    };
    Some((physical, Some(conversion)))
}

fn conversion(facts: &ChunkFacts, data_type: &DataType) -> Option<PageConversion> {
    use PageConversion as To;
    let decimal = decimal_parts(data_type).and_then(|_| PhysicalType::of(data_type));
    Some(match (facts.physical, data_type) {
        (PhysicalKind::Boolean, DataType::Boolean) => To::Bits1,
        (PhysicalKind::Int32, DataType::Int8 | DataType::UInt8) => To::Bits8,
        (PhysicalKind::Int32, DataType::Int16 | DataType::UInt16) => To::Bits16,
        (
            PhysicalKind::Int32,
            DataType::Int32 | DataType::UInt32 | DataType::Date32 | DataType::Time32(_),
        )
        | (PhysicalKind::Float, DataType::Float32) => To::Bits32,
        (PhysicalKind::Int32, _) if decimal == Some(PhysicalType::Int64) => To::Widen64,
        (
            PhysicalKind::Int64,
            DataType::Int64
            | DataType::UInt64
            | DataType::Timestamp(..)
            | DataType::Time64(_)
            | DataType::Duration(_),
        )
        | (PhysicalKind::Double, DataType::Float64) => To::Bits64,
        (PhysicalKind::Int64, _) if decimal == Some(PhysicalType::Int64) => To::Bits64,
        (PhysicalKind::Int96, DataType::Timestamp(TimeUnit::Microsecond, _)) => To::Int96,
        (PhysicalKind::FixedLenByteArray, DataType::Float16) if facts.type_length == 2 => {
            To::Bits16
        }
        (PhysicalKind::FixedLenByteArray | PhysicalKind::ByteArray, _) if decimal.is_some() => {
            match decimal {
                Some(PhysicalType::Int64) => To::Decimal64,
                _ => To::Decimal128,
            }
        }
        (PhysicalKind::FixedLenByteArray, DataType::FixedSizeBinary(_)) => To::View,
        (PhysicalKind::ByteArray, other) if is_string(other) || is_binary(other) => To::View,
        _ => return None,
    })
}
