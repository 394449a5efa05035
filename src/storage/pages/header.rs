//! A page header as it is written: numbers without judgement.

use crate::storage::thrift::{Malformed, Value, Walker};

/// Field numbers of the format's Thrift definition.
mod fields {
    pub const TYPE: i64 = 1;
    pub const UNCOMPRESSED: i64 = 2;
    pub const COMPRESSED: i64 = 3;
    pub const CRC: i64 = 4;
    pub const DATA_V1: i64 = 5;
    pub const INDEX: i64 = 6;
    pub const DICTIONARY: i64 = 7;
    pub const DATA_V2: i64 = 8;

    pub const V1_VALUES: i64 = 1;
    pub const V1_ENCODING: i64 = 2;
    pub const V1_DEFINITION_ENCODING: i64 = 3;
    pub const V1_REPETITION_ENCODING: i64 = 4;

    pub const DICTIONARY_VALUES: i64 = 1;
    pub const DICTIONARY_ENCODING: i64 = 2;

    pub const V2_VALUES: i64 = 1;
    pub const V2_NULLS: i64 = 2;
    pub const V2_ROWS: i64 = 3;
    pub const V2_ENCODING: i64 = 4;
    pub const V2_DEFINITION_BYTES: i64 = 5;
    pub const V2_REPETITION_BYTES: i64 = 6;
    pub const V2_IS_COMPRESSED: i64 = 7;
}

/// What a header says; a number that it does not say is `None`.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
    pub(super) page_type: Option<i64>,
    pub(super) uncompressed: Option<i64>,
    pub(super) compressed: Option<i64>,
    pub(super) crc: Option<i64>,
    pub(super) data_v1: Option<DataV1>,
    pub(super) dictionary: Option<Dictionary>,
    pub(super) data_v2: Option<DataV2>,
}

#[derive(Debug, Default)]
pub(super) struct DataV1 {
    pub(super) values: Option<i64>,
    pub(super) encoding: Option<i64>,
    pub(super) definition_encoding: Option<i64>,
    pub(super) repetition_encoding: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    pub(super) values: Option<i64>,
    pub(super) encoding: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct DataV2 {
    pub(super) values: Option<i64>,
    pub(super) nulls: Option<i64>,
    pub(super) rows: Option<i64>,
    pub(super) encoding: Option<i64>,
    pub(super) definition_bytes: Option<i64>,
    pub(super) repetition_bytes: Option<i64>,
    /// False where the header does not say.
    pub(super) is_not_compressed: bool,
}

/// Reads the header at the start of the bytes.
///
/// # Errors
/// `Ended` if the header may go on behind the bytes, `Wrong` if it is none.
pub(super) fn read(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut header = Header::default();
    let mut walker = Walker::new(bytes);
    walker.fields(|walker, field, value| {
        match (field, &value) {
            (fields::TYPE, Value::Integer(number)) => header.page_type = Some(*number),
            (fields::UNCOMPRESSED, Value::Integer(number)) => header.uncompressed = Some(*number),
            (fields::COMPRESSED, Value::Integer(number)) => header.compressed = Some(*number),
            (fields::CRC, Value::Integer(number)) => header.crc = Some(*number),
            (fields::DATA_V1, Value::Struct) => header.data_v1 = Some(data_v1(walker)?),
            (fields::DICTIONARY, Value::Struct) => header.dictionary = Some(dictionary(walker)?),
            (fields::DATA_V2, Value::Struct) => header.data_v2 = Some(data_v2(walker)?),
            (fields::INDEX, Value::Struct) => walker.skip_value(&value)?,
            (fields::TYPE..=fields::DATA_V2, _) => return Err(Malformed::Wrong),
            _ => walker.skip_value(&value)?,
        }
        Ok(())
    })?;
    header.header_bytes = walker.position();
    Ok(header)
}

fn data_v1(walker: &mut Walker<'_>) -> Result<DataV1, Malformed> {
    let mut found = DataV1::default();
    walker.fields(|walker, field, value| {
        let place = match field {
            fields::V1_VALUES => &mut found.values,
            fields::V1_ENCODING => &mut found.encoding,
            fields::V1_DEFINITION_ENCODING => &mut found.definition_encoding,
            fields::V1_REPETITION_ENCODING => &mut found.repetition_encoding,
            _ => return walker.skip_value(&value),
        };
        integer(&value, place)
    })?;
    Ok(found)
}

fn dictionary(walker: &mut Walker<'_>) -> Result<Dictionary, Malformed> {
    let mut found = Dictionary::default();
    walker.fields(|walker, field, value| {
        let place = match field {
            fields::DICTIONARY_VALUES => &mut found.values,
            fields::DICTIONARY_ENCODING => &mut found.encoding,
            _ => return walker.skip_value(&value),
        };
        integer(&value, place)
    })?;
    Ok(found)
}

fn data_v2(walker: &mut Walker<'_>) -> Result<DataV2, Malformed> {
    let mut found = DataV2::default();
    walker.fields(|walker, field, value| {
        let place = match (field, &value) {
            (fields::V2_VALUES, _) => &mut found.values,
            (fields::V2_NULLS, _) => &mut found.nulls,
            (fields::V2_ROWS, _) => &mut found.rows,
            (fields::V2_ENCODING, _) => &mut found.encoding,
            (fields::V2_DEFINITION_BYTES, _) => &mut found.definition_bytes,
            (fields::V2_REPETITION_BYTES, _) => &mut found.repetition_bytes,
            (fields::V2_IS_COMPRESSED, Value::Bool(is_compressed)) => {
                found.is_not_compressed = !is_compressed;
                return Ok(());
            }
            (fields::V2_IS_COMPRESSED, _) => return Err(Malformed::Wrong),
            _ => return walker.skip_value(&value),
        };
        integer(&value, place)
    })?;
    Ok(found)
}

/// Keeps an integer. A field that we know is of the type that we know: decoders do not look at what
/// the header says of it, and would read something else.
fn integer(value: &Value, place: &mut Option<i64>) -> Result<(), Malformed> {
    match value {
        Value::Integer(number) => {
            *place = Some(*number);
            Ok(())
        }
        _ => Err(Malformed::Wrong),
    }
}
