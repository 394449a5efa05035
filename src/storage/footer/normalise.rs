//! Copies a footer without the fields whose wire type is not the format's.
//!
//! Some writers put fields of their own under numbers that the format later gave away. Thrift's
//! rule is that a reader skips a field of another type; the decoder used here would misread it, so
//! it gets a copy in which such fields, and unknown ones, are left out.

use crate::storage::thrift::{Malformed, Walker, wire};

/// The wire type of a field.
#[derive(Clone, Copy)]
enum Wire {
    Bool,
    Scalar(u8),
    Struct(&'static [(i64, Wire)]),
    Structs(&'static [(i64, Wire)]),
}

const I16: Wire = Wire::Scalar(wire::I16);
const I32: Wire = Wire::Scalar(wire::I32);
const I64: Wire = Wire::Scalar(wire::I64);
const BINARY: Wire = Wire::Scalar(wire::BINARY);
const LIST: Wire = Wire::Scalar(wire::LIST);
const STRUCT: Wire = Wire::Scalar(wire::STRUCT);

const FILE_METADATA: &[(i64, Wire)] = &[
    (1, I32),
    (2, LIST),
    (3, I64),
    (4, Wire::Structs(ROW_GROUP)),
    (5, LIST),
    (6, BINARY),
    (7, LIST),
    (8, STRUCT),
    (9, BINARY),
];

const ROW_GROUP: &[(i64, Wire)] = &[
    (1, Wire::Structs(COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, LIST),
    (5, I64),
    (6, I64),
    (7, I16),
];

const COLUMN_CHUNK: &[(i64, Wire)] = &[
    (1, BINARY),
    (2, I64),
    (3, Wire::Struct(COLUMN_METADATA)),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (8, STRUCT),
    (9, BINARY),
];

const COLUMN_METADATA: &[(i64, Wire)] = &[
    (1, I32),
    (2, LIST),
    (3, LIST),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, LIST),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Wire::Struct(STATISTICS)),
    (13, LIST),
    (14, I64),
    (15, I32),
    (16, STRUCT),
    (17, STRUCT),
];

const STATISTICS: &[(i64, Wire)] = &[
    (1, BINARY),
    (2, BINARY),
    (3, I64),
    (4, I64),
    (5, BINARY),
    (6, BINARY),
    (7, Wire::Bool),
    (8, Wire::Bool),
    (9, I64),
];

/// The footer's fields that have the format's types.
///
/// # Errors
/// The footer is not Thrift.
pub(super) fn footer(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len());
    copy(&mut Walker::new(bytes), FILE_METADATA, &mut out)?;
    Ok(out)
}

fn copy(
    walker: &mut Walker<'_>,
    fields: &'static [(i64, Wire)],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut written = 0;
    let mut read = 0;
    while let Some((field, kind)) = walker.field(read)? {
        read = field;
        let expected = fields.iter().find(|(number, _)| *number == field);
        let fits = match expected.map(|(_, wire)| *wire) {
            None => false,
            Some(Wire::Bool) => matches!(kind, wire::TRUE | wire::FALSE),
            Some(Wire::Scalar(scalar)) => kind == scalar,
            Some(Wire::Struct(_)) => kind == wire::STRUCT,
            Some(Wire::Structs(_)) => kind == wire::LIST,
        };
        // Fields out of order would need the long form of a header; no writer makes them.
        let delta = u8::try_from(field - written)
            .ok()
            .filter(|delta| (1..16).contains(delta));
        let (Some((_, expected)), true, Some(delta)) = (expected, fits, delta) else {
            walker.skip(kind)?;
            continue;
        };
        out.push(delta << 4 | kind);
        written = field;
        match expected {
            Wire::Bool => {}
            Wire::Struct(inner) => copy(walker, inner, out)?,
            Wire::Structs(inner) => {
                let start = walker.position();
                let (kind, count) = walker.list()?;
                out.extend_from_slice(walker.since(start));
                if kind != wire::STRUCT && count > 0 {
                    return Err(Malformed::Wrong);
                }
                for _ in 0..count {
                    copy(walker, inner, out)?;
                }
            }
            Wire::Scalar(kind) => {
                let start = walker.position();
                walker.skip(*kind)?;
                out.extend_from_slice(walker.since(start));
            }
        }
    }
    out.push(wire::STOP);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn drops_fields_of_other_types_and_keeps_the_rest() {
        // version 1; field 3 as a list of bytes instead of an integer; created_by "x".
        let bytes = [0x15, 0x02, 0x29, 0x23, 7, 7, 0x38, 1, b'x', 0];
        assert_eq!(footer(&bytes).unwrap(), [0x15, 0x02, 0x58, 1, b'x', 0]);
    }
}
