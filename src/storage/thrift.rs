//! Walks Thrift compact protocol without building anything: enough to see sizes before a decoder
//! believes them.
//!
//! Every list length is checked against the bytes that are left and nesting is bounded, so a walk
//! costs no more than its input.

/// Nesting at which a walk gives up. The format's own structures nest less than ten deep.
const DEPTH_MAX: u32 = 32;

use wire::{BINARY, BYTE, DOUBLE, FALSE, I16, I32, I64, LIST, MAP, SET, STOP, STRUCT, TRUE, UUID};

/// Type codes on the wire.
pub mod wire {
    pub const STOP: u8 = 0;
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// Why a walk gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end within the struct: more of them might help.
    Ended,
    /// The bytes are not Thrift, whatever follows.
    Wrong,
}

/// A position in bytes of Thrift compact protocol.
#[derive(Debug)]
pub struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

/// A field's value, as far as a walk looks at it.
pub enum Value {
    /// An integer of 16 bits or more.
    Integer(i64),
    /// A truth value.
    Bool(bool),
    /// A list of so many structs; the visitor must walk or skip each.
    Structs(usize),
    /// A struct; the visitor must walk or skip it.
    Struct,
    /// Anything else, already skipped.
    Other,
}

impl<'a> Walker<'a> {
    /// A walk from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Walker {
            bytes,
            at: 0,
            depth: 0,
        }
    }

    /// Bytes walked.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Walks one struct, showing each field's number and value to `visit`.
    ///
    /// # Errors
    /// The bytes are not a struct.
    pub fn fields(
        &mut self,
        mut visit: impl FnMut(&mut Self, i64, Value) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Malformed::Wrong);
        }
        let mut field = 0;
        while let Some((number, kind)) = self.field(field)? {
            field = number;
            let value = match kind {
                STRUCT => Value::Struct,
                LIST | SET => match self.list()? {
                    (STRUCT, count) => Value::Structs(count),
                    (kind, count) => {
                        for _ in 0..count {
                            self.skip_element(kind)?;
                        }
                        Value::Other
                    }
                },
                I16 | I32 | I64 => Value::Integer(self.integer()?),
                TRUE | FALSE => Value::Bool(kind == TRUE),
                other => {
                    self.skip(other)?;
                    Value::Other
                }
            };
            visit(self, field, value)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// The next field's number and wire type, given the previous field's number; `None` at the
    /// end of the struct.
    ///
    /// # Errors
    /// The bytes end.
    pub fn field(&mut self, previous: i64) -> Result<Option<(i64, u8)>, Malformed> {
        let head = self.byte()?;
        let kind = head & 15;
        if kind == STOP {
            return Ok(None);
        }
        let number = match head >> 4 {
            0 => self.integer()?,
            delta => previous
                .checked_add(i64::from(delta))
                .ok_or(Malformed::Wrong)?,
        };
        Ok(Some((number, kind)))
    }

    /// The bytes walked since a position.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The length of a list of elements of one of these types.
    ///
    /// # Errors
    /// It has others, or the bytes end.
    pub fn list_of(&mut self, kinds: &[u8]) -> Result<usize, Malformed> {
        let (kind, count) = self.list()?;
        if count > 0 && !kinds.contains(&kind) {
            return Err(Malformed::Wrong);
        }
        Ok(count)
    }

    /// Skips what a visitor does not look into.
    ///
    /// # Errors
    /// The bytes are malformed.
    pub fn skip_value(&mut self, value: &Value) -> Result<(), Malformed> {
        match value {
            Value::Struct => self.skip(STRUCT),
            Value::Structs(count) => (0..*count).try_for_each(|_| self.skip(STRUCT)),
            Value::Integer(_) | Value::Bool(_) | Value::Other => Ok(()),
        }
    }

    /// Skips a value of a wire type.
    ///
    /// # Errors
    /// The bytes are malformed.
    pub fn skip(&mut self, kind: u8) -> Result<(), Malformed> {
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.advance(1),
            I16 | I32 | I64 => self.integer().map(|_| ()),
            DOUBLE => self.advance(8),
            UUID => self.advance(16),
            BINARY => {
                let length = self.varint()?;
                self.advance(usize::try_from(length).map_err(|_| Malformed::Wrong)?)
            }
            LIST | SET => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(Malformed::Wrong);
                }
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_element(kind)?;
                }
                self.depth -= 1;
                Ok(())
            }
            MAP => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(Malformed::Wrong);
                }
                let count = self.count()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_element(kinds >> 4)?;
                    self.skip_element(kinds & 15)?;
                }
                self.depth -= 1;
                Ok(())
            }
            STRUCT => self.fields(|walker, _, value| walker.skip_value(&value)),
            _ => Err(Malformed::Wrong),
        }
    }

    /// In lists and maps a Boolean takes a byte of its own.
    fn skip_element(&mut self, kind: u8) -> Result<(), Malformed> {
        match kind {
            TRUE | FALSE => self.advance(1),
            other => self.skip(other),
        }
    }

    /// A list's element type and length.
    ///
    /// # Errors
    /// The list claims more elements than there are bytes.
    pub fn list(&mut self) -> Result<(u8, usize), Malformed> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.count()?,
            short => usize::from(short),
        };
        if count > self.bytes.len() - self.at {
            return Err(Malformed::Ended);
        }
        Ok((head & 15, count))
    }

    /// A length, of elements that take at least a byte each.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed::Wrong)?;
        if count > self.bytes.len() - self.at {
            return Err(Malformed::Ended);
        }
        Ok(count)
    }

    /// Bytes with their length in front.
    ///
    /// # Errors
    /// The bytes end.
    pub fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Wrong)?;
        let start = self.at;
        self.advance(length)?;
        Ok(self.since(start))
    }

    /// An integer of 16 bits or more.
    ///
    /// # Errors
    /// The bytes end.
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Wrong)
    }

    /// A byte: in lists, a truth value is one.
    ///
    /// # Errors
    /// The bytes end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, bytes: usize) -> Result<(), Malformed> {
        if bytes > self.bytes.len() - self.at {
            return Err(Malformed::Ended);
        }
        self.at += bytes;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn walks_fields_and_refuses_lengths_that_cannot_be() {
        // Field 1 = i32 5, field 3 = list of two empty structs, stop.
        let bytes = [0x15, 0x0a, 0x29, 0x2c, 0x00, 0x00, 0x00];
        let mut seen = Vec::new();
        let mut walker = Walker::new(&bytes);
        walker
            .fields(|walker, field, value| {
                seen.push((field, matches!(value, Value::Structs(2))));
                walker.skip_value(&value)
            })
            .unwrap();
        assert_eq!(seen, [(1, false), (3, true)]);
        assert_eq!(walker.position(), bytes.len());

        // A list of 2^31 structs in seven bytes.
        let bytes = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(
            Walker::new(&bytes).fields(|_, _, _| Ok(())),
            Err(Malformed::Ended)
        );

        // Structs within structs without end.
        let bytes = [0x1c; 4096];
        let deep = Walker::new(&bytes).fields(|walker, _, value| walker.skip_value(&value));
        assert_eq!(deep, Err(Malformed::Wrong));
    }
}
