//! Looks at a file's footer before it is parsed: is it Parquet, is it encrypted, can its structure
//! be?

use std::fs::File;
use std::os::unix::fs::FileExt;

use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataReader,
};

use super::normalise;
use super::problem::{Kind, Problem};
use super::thrift::{Malformed, Value, Walker};

/// Footers beyond this are refused: parsed, they take many times their size.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Nesting of a schema beyond this is refused: readers recurse.
const SCHEMA_DEPTH_MAX: usize = 100;

/// A magic number at each end.
const MAGIC_BYTES: i64 = 4;

/// Magic number, footer length, magic number.
const FRAME_BYTES: u64 = 12;

/// Checks magic numbers, footer length and footer structure, then parses the footer.
///
/// # Errors
/// `Corrupt`, `Encrypted`, or `Memory` for a footer too large to parse.
pub(super) fn read(file: &File, file_bytes: u64) -> Result<ParquetMetaData, Problem> {
    if file_bytes < FRAME_BYTES {
        return Err(Problem::new(
            Kind::Corrupt,
            format_args!("{file_bytes} bytes are too few for a Parquet file"),
        ));
    }
    let mut tail = [0; 8];
    read_at(file, &mut tail, file_bytes - 8)?;
    let [a, b, c, d, magic @ ..] = tail;
    match &magic {
        b"PAR1" => {}
        b"PARE" => {
            return Err(Problem::new(Kind::Encrypted, "the footer is encrypted"));
        }
        _ => {
            return Err(Problem::new(
                Kind::Corrupt,
                "no Parquet magic number at the end: truncated, or another format",
            ));
        }
    }
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    if footer_bytes > file_bytes - FRAME_BYTES {
        return Err(Problem::new(
            Kind::Corrupt,
            format_args!("a footer of {footer_bytes} bytes in a file of {file_bytes}"),
        ));
    }
    if footer_bytes > FOOTER_BYTES_MAX {
        return Err(Problem::new(
            Kind::Memory,
            format_args!("a footer of {footer_bytes} bytes; the limit is {FOOTER_BYTES_MAX}"),
        ));
    }
    let mut footer = vec![0; usize::try_from(footer_bytes).unwrap_or(0)];
    read_at(file, &mut footer, file_bytes - 8 - footer_bytes)?;

    let malformed = |Malformed| Problem::new(Kind::Corrupt, "the footer is not a Thrift structure");
    let facts = walk(&footer).map_err(malformed)?;
    if facts.encrypted_columns > 0 {
        return Err(Problem::new(
            Kind::Encrypted,
            format_args!("{} column chunks are encrypted", facts.encrypted_columns),
        ));
    }
    if facts.schema_depth > SCHEMA_DEPTH_MAX {
        return Err(Problem::new(
            Kind::Unsupported,
            format_args!("a schema nested deeper than {SCHEMA_DEPTH_MAX}"),
        ));
    }
    let footer = normalise::footer(&footer).map_err(malformed)?;
    repaired(&ParquetMetaDataReader::decode_metadata(&footer)?)
}

/// Puts right what writers are known to leave wrong and every reader forgives: a file's row count
/// that is not the sum of its row groups', and a dictionary offset inside the magic number, which
/// means that there is no dictionary.
fn repaired(metadata: &ParquetMetaData) -> Result<ParquetMetaData, Problem> {
    let no_dictionary = |column: &ColumnChunkMetaData| {
        column
            .dictionary_page_offset()
            .is_some_and(|offset| (0..MAGIC_BYTES).contains(&offset))
    };
    let mut rows = 0_i64;
    let mut row_groups = Vec::with_capacity(metadata.num_row_groups());
    for group in metadata.row_groups() {
        rows = rows.saturating_add(group.num_rows().max(0));
        if !group.columns().iter().any(no_dictionary) {
            row_groups.push(group.clone());
            continue;
        }
        let mut columns = group.columns().to_vec();
        for column in &mut columns {
            if no_dictionary(column) {
                let builder = column.clone().into_builder();
                *column = builder.set_dictionary_page_offset(None).build()?;
            }
        }
        let group = group.clone().into_builder().set_column_metadata(columns);
        row_groups.push(group.build()?);
    }
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(str::to_string),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaDataBuilder::new(file)
        .set_row_groups(row_groups)
        .build())
}

/// Fills `buffer` from `offset`.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<(), Problem> {
    file.read_exact_at(buffer, offset)
        .map_err(|cause| Problem::io("read", &cause))
}

struct Facts {
    encrypted_columns: u64,
    schema_depth: usize,
}

/// Field numbers of the format's Thrift definition.
mod fields {
    pub const FILE_SCHEMA: i64 = 2;
    pub const FILE_ROW_GROUPS: i64 = 4;
    pub const SCHEMA_NUM_CHILDREN: i64 = 5;
    pub const ROW_GROUP_COLUMNS: i64 = 1;
    pub const COLUMN_CRYPTO_METADATA: i64 = 8;
    pub const COLUMN_ENCRYPTED_METADATA: i64 = 9;
}

fn walk(footer: &[u8]) -> Result<Facts, Malformed> {
    let mut facts = Facts {
        encrypted_columns: 0,
        schema_depth: 0,
    };
    Walker::new(footer).fields(|walker, field, value| match (field, &value) {
        (fields::FILE_SCHEMA, Value::Structs(count)) => {
            facts.schema_depth = walk_schema(walker, *count)?;
            Ok(())
        }
        (fields::FILE_ROW_GROUPS, Value::Structs(count)) => {
            for _ in 0..*count {
                facts.encrypted_columns += walk_row_group(walker)?;
            }
            Ok(())
        }
        _ => walker.skip_value(&value),
    })?;
    Ok(facts)
}

/// The depth of the tree that the elements, in depth-first order, claim to be.
fn walk_schema(walker: &mut Walker<'_>, count: usize) -> Result<usize, Malformed> {
    let mut open: Vec<i64> = Vec::new();
    let mut depth_max = 0;
    for _ in 0..count {
        let mut children = 0;
        walker.fields(|walker, field, value| match (field, &value) {
            (fields::SCHEMA_NUM_CHILDREN, Value::Integer(count)) => {
                children = *count;
                Ok(())
            }
            _ => walker.skip_value(&value),
        })?;
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(siblings) = open.last_mut() {
            *siblings -= 1;
        }
        if children > 0 {
            open.push(children);
            depth_max = depth_max.max(open.len());
        }
    }
    Ok(depth_max)
}

/// How many column chunks of a row group are encrypted.
fn walk_row_group(walker: &mut Walker<'_>) -> Result<u64, Malformed> {
    let mut encrypted = 0;
    walker.fields(|walker, field, value| match (field, &value) {
        (fields::ROW_GROUP_COLUMNS, Value::Structs(count)) => {
            for _ in 0..*count {
                let mut is_encrypted = false;
                walker.fields(|walker, field, value| {
                    is_encrypted |= matches!(
                        field,
                        fields::COLUMN_CRYPTO_METADATA | fields::COLUMN_ENCRYPTED_METADATA
                    );
                    walker.skip_value(&value)
                })?;
                encrypted += u64::from(is_encrypted);
            }
            Ok(())
        }
        _ => walker.skip_value(&value),
    })?;
    Ok(encrypted)
}
